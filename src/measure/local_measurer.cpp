#include "measure/local_measurer.h"

#include <fmt/format.h>

#include <algorithm>

namespace lathe {
namespace {
using Clock = std::chrono::steady_clock;

constexpr int kMostRetakes = 3;                   // of a candidate whose samples were throttled
constexpr std::chrono::milliseconds kRest{1000};  // for the device to cool down

double Since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

Result<std::unique_ptr<LocalMeasurer>> LocalMeasurer::Create(const TemplateLibrary* library, WorkshopOptions options, int builders,
                                                             const Workshop::BackendFactory& make_backend) {
  Result<std::unique_ptr<Workshop>> shop = Workshop::Create(library, std::move(options), make_backend);
  if (!shop) return shop.error();
  if (builders <= 0) builders = static_cast<int>((*shop)->cpus().others.size());
  return std::unique_ptr<LocalMeasurer>(new LocalMeasurer(std::move(*shop), builders));
}

LocalMeasurer::LocalMeasurer(std::unique_ptr<Workshop> shop, int builders)
    : shop_(std::move(shop)), created_(Clock::now()), cancel_(std::make_shared<CancelToken>()) {
  stats_.builders = builders;
  // Workers die with the thread that started them, so that thread lives as long as we do.
  threads_.emplace_back([this] { DeviceLoop(); });
  threads_.emplace_back([this] { JudgeLoop(); });
  for (int i = 0; i < builders; ++i) threads_.emplace_back([this] { BuildLoop(); });
}

LocalMeasurer::~LocalMeasurer() {
  Cancel();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

size_t LocalMeasurer::capacity() const {
  // Every builder busy and as much again ready; taking turns, a turn should be worth its wait.
  return static_cast<size_t>(stats_.builders) * 2 + (shop_->cpus().exclusive ? 6 : 3);
}

Status LocalMeasurer::Submit(MeasureRequest request) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(request), cancel_});
    ++stats_.submitted;
  }
  work_.notify_all();
  return {};
}

Result<std::vector<Measurement>> LocalMeasurer::Wait(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  delivered_.wait_for(lock, timeout, [&] { return !done_.empty(); });
  return std::exchange(done_, {});
}

void LocalMeasurer::Cancel() {
  const std::lock_guard lock(mutex_);
  cancel_->Cancel();
  cancel_ = std::make_shared<CancelToken>();
  queue_.clear();
  ready_.clear();
  judged_.clear();
  done_.clear();
}

PipelineStats LocalMeasurer::stats() const {
  const std::lock_guard lock(mutex_);
  PipelineStats stats = stats_;
  stats.wall = Since(created_);
  return stats;
}

void LocalMeasurer::SettleDown() {
  if (shop_->options().pin && !shop_->cpus().exclusive) PinThisThread(shop_->cpus().others);
}

void LocalMeasurer::Deliver(Measurement measurement, const CancelToken& cancel) {
  if (cancel.cancelled()) return;
  if (measurement.status == MeasureStatus::kOk && !measurement.seconds.empty()) {
    const auto [best, first] = best_.try_emplace(measurement.candidate.workload.Key(), Seconds(measurement));
    if (!first) best->second = std::min(best->second, Seconds(measurement));
  }
  stats_.compiling += measurement.build_seconds;
  ++stats_.finished;
  done_.push_back(std::move(measurement));
  delivered_.notify_all();
}

// Whether the candidate goes round again; with the lock.
bool LocalMeasurer::Retake(Queued& queued, Measurement& measurement) {
  if (measurement.status != MeasureStatus::kOk || measurement.conditions.count("throttled") == 0) return false;
  ++stats_.throttled;
  rests_until_ = Clock::now() + kRest;
  if (queued.retakes == kMostRetakes) {
    measurement.status = MeasureStatus::kBoardLost;
    measurement.seconds.clear();
    measurement.joules.reset();
    measurement.message = fmt::format("the machine throttled during this candidate {} times; does it need cooling?", kMostRetakes + 1);
    return false;
  }
  ++queued.retakes;
  if (!queued.cancel->cancelled()) queue_.push_front(std::move(queued));
  return true;
}

double LocalMeasurer::BestOf(const MeasureRequest& request) const {
  if (shop_->options().energy == WorkshopOptions::Energy::kAlways) return 0;  // what is slower may still draw less
  const auto ours = best_.find(request.candidate.workload.Key());
  if (ours == best_.end()) return request.best_seconds;
  return request.best_seconds > 0 ? std::min(request.best_seconds, ours->second) : ours->second;
}

// A turn of the device begins when compilers have nothing more to do or enough is ready, and ends when nothing is.
bool LocalMeasurer::DeviceMayStart() const {
  if (ready_.empty()) return false;
  if (!shop_->cpus().exclusive) return true;
  return building_ == 0 && (device_turn_ || queue_.empty() || ready_.size() >= capacity() / 2);
}

void LocalMeasurer::BuildLoop() {
  SettleDown();
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] {
      const bool our_turn = !shop_->cpus().exclusive || (!device_busy_ && !device_turn_ && ready_.size() < capacity() / 2);
      return stopping_ || (!queue_.empty() && our_turn);
    });
    if (stopping_) return;
    Queued queued = std::move(queue_.front());
    queue_.pop_front();
    ++building_;
    lock.unlock();
    const auto begin = Clock::now();
    Workshop::Job job = shop_->Prepare(queued.request, queued.cancel.get());
    const double seconds = Since(begin);
    const bool runs = job.run.has_value();
    Measurement failed = runs ? Measurement() : Workshop::Finish(std::move(job));
    lock.lock();
    --building_;
    stats_.building += seconds;
    if (!runs) {
      Deliver(std::move(failed), *queued.cancel);
    } else if (!queued.cancel->cancelled()) {
      ready_.push_back({std::move(queued), std::move(job)});
    }
    work_.notify_all();
  }
}

void LocalMeasurer::DeviceLoop() {
  SettleDown();
  std::unique_lock lock(mutex_);
  while (true) {
    const auto idle = Clock::now();
    if (ready_.empty() && device_turn_) {
      device_turn_ = false;
      work_.notify_all();
    }
    work_.wait(lock, [&] { return stopping_ || DeviceMayStart(); });
    stats_.device_idle += Since(idle);
    if (stopping_) return;
    Ready next = std::move(ready_.front());
    ready_.pop_front();
    device_busy_ = true;
    device_turn_ = shop_->cpus().exclusive;
    const double best = BestOf(next.queued.request);
    const Clock::time_point rest = rests_until_;
    lock.unlock();
    for (auto now = Clock::now(); now < rest && !next.queued.cancel->cancelled(); now = Clock::now())
      std::this_thread::sleep_for(std::min<Clock::duration>(rest - now, std::chrono::milliseconds(50)));
    const auto begin = Clock::now();
    if (started_) started_(next.queued.request.ticket);
    shop_->Run(next.job, best, next.queued.cancel.get());
    const double seconds = Since(begin);
    lock.lock();
    device_busy_ = false;
    stats_.measuring += seconds;
    stats_.sampling += next.job.run->sampling_seconds();
    judged_.push_back(std::move(next));
    work_.notify_all();
  }
}

void LocalMeasurer::JudgeLoop() {
  SettleDown();
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !judged_.empty(); });
    if (stopping_) return;
    Ready next = std::move(judged_.front());
    judged_.pop_front();
    lock.unlock();
    const auto begin = Clock::now();
    Measurement measurement = Workshop::Finish(std::move(next.job));
    const double seconds = Since(begin);
    lock.lock();
    stats_.judging += seconds;
    const std::shared_ptr<CancelToken> cancel = next.queued.cancel;
    if (Retake(next.queued, measurement))
      work_.notify_all();
    else
      Deliver(std::move(measurement), *cancel);
  }
}

}  // namespace lathe
