// A measurer on a thread of its own that takes one request at a time and does what the candidate's config says: DELAY milliseconds, then
// STATUS. Stands for a board's device where tests are about what lies before it.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "measure/measurer.h"

namespace lathe {

inline Candidate ScriptedCandidate(int64_t number, int64_t delay_ms = 1, const std::string& status = "ok") {
  return {{"scripted", {{"n", Value(number)}}}, "kernel", "hash", {{"DELAY", Value(delay_ms)}, {"STATUS", Value(status)}}};
}

class ScriptedMeasurer : public Measurer {
 public:
  explicit ScriptedMeasurer(std::string name = "fake", size_t capacity = 2, std::atomic<int>* runs = nullptr,
                            std::atomic<int>* slowness = nullptr, std::atomic<int>* throttled = nullptr)
      : capacity_(capacity), runs_(runs), slowness_(slowness), throttled_(throttled) {
    target_.backend = "cpu";
    target_.name = std::move(name);
    thread_ = std::thread([this] { Run(); });
  }
  ~ScriptedMeasurer() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  const Target& target() const override { return target_; }
  size_t capacity() const override { return capacity_; }
  Status Submit(MeasureRequest request) override {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(request));
    changed_.notify_all();
    return {};
  }
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [&] { return !done_.empty(); });
    return std::exchange(done_, {});
  }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    queue_.clear();
    done_.clear();
    ++epoch_;
    changed_.notify_all();
  }
  void ShowFeatures(const std::string& names) { target_.fingerprint["cpu_features"] = names; }
  void ObserveStarts(std::function<void(uint64_t)> started) override { started_ = std::move(started); }

 private:
  static int64_t Number(const NamedValues& values, const std::string& name) {
    const Value* value = Find(values, name);
    const auto* number = value != nullptr ? std::get_if<int64_t>(value) : nullptr;
    return number != nullptr ? std::clamp<int64_t>(*number, 0, 1'000'000) : 0;
  }
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      MeasureRequest request = std::move(queue_.front());
      queue_.pop_front();
      const uint64_t epoch = epoch_;
      lock.unlock();
      if (started_) started_(request.ticket);
      lock.lock();
      const Config& config = request.candidate.config;
      const auto delay = std::chrono::milliseconds((slowness_ != nullptr ? slowness_->load() : 1) * Number(config, "DELAY"));
      changed_.wait_for(lock, delay, [&] { return stopping_ || epoch != epoch_; });
      if (stopping_) return;
      if (epoch != epoch_) continue;
      if (runs_ != nullptr) ++*runs_;
      Measurement measurement;
      measurement.ticket = request.ticket;
      const Value* status = Find(config, "STATUS");
      const auto* text = status != nullptr ? std::get_if<std::string>(status) : nullptr;
      measurement.status = text != nullptr ? ParseMeasureStatus(*text).value_or(MeasureStatus::kCrashed) : MeasureStatus::kCrashed;
      if (measurement.status == MeasureStatus::kOk) measurement.seconds = {1e-3 * static_cast<double>(std::max<int64_t>(1, delay.count()))};
      // Number 0 is what calibrates.
      const bool real = Number(request.candidate.workload.attributes, "n") != 0;
      if (real && throttled_ != nullptr && throttled_->fetch_sub(1) > 0) measurement.conditions["throttled"] = "1";
      done_.push_back(std::move(measurement));
      changed_.notify_all();
    }
  }

  Target target_;
  size_t capacity_;
  std::atomic<int>*runs_, *slowness_, *throttled_;
  std::function<void(uint64_t)> started_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<MeasureRequest> queue_;
  std::vector<Measurement> done_;
  uint64_t epoch_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lathe
