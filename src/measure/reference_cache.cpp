#include "measure/reference_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "measure/verification.h"

namespace lathe {
namespace {

// Each tensor its own stream of random numbers, whatever the others' sizes.
uint64_t SeedOf(uint64_t seed, const std::string& tensor) { return std::stoull(ShortHash(tensor), nullptr, 16) ^ seed; }

}  // namespace

ReferenceCache::ReferenceCache(const TemplateLibrary* library, CpuBuilder* builder, const Scratch* scratch, Options options)
    : library_(library), builder_(builder), scratch_(scratch), options_(std::move(options)) {
  options_.worker.sampling.max_samples = 1;
}

Result<std::shared_ptr<const ReferenceData>> ReferenceCache::Get(const Workload& workload, const CancelToken* cancel) {
  const std::string key = workload.Key();
  if (library_ == nullptr)
    return Error{ErrorCode::kInvalidInput, "compute the reference of " + key + ": there are no templates here, and it came without text"};
  return Get(
      key, [&] { return RenderReference(*library_, workload); }, cancel);
}

Result<std::shared_ptr<const ReferenceData>> ReferenceCache::Get(const ReferenceText& text, const CancelToken* cancel) {
  return Get(
      text.key, [&] { return Result<ReferenceText>(text); }, cancel);
}

Result<std::shared_ptr<const ReferenceData>> ReferenceCache::Get(const std::string& key, const Render& render, const CancelToken* cancel) {
  std::unique_lock lock(mutex_);
  const auto [position, first] = entries_.try_emplace(key);
  if (!first) {
    changed_.wait(lock, [&] {
      const auto entry = entries_.find(key);
      return entry == entries_.end() || entry->second.ready;
    });
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) {  // whoever computed it was cancelled
      lock.unlock();
      if (cancel != nullptr && cancel->cancelled()) return Error{ErrorCode::kCancelled, "compute the reference of " + key + ": cancelled"};
      return Get(key, render, cancel);
    }
    entry->second.last_use = ++uses_;
    return entry->second.data;
  }
  lock.unlock();
  Result<std::shared_ptr<const ReferenceData>> data = Compute(key, render, cancel);
  lock.lock();
  if (!data && data.error().code == ErrorCode::kCancelled) {
    entries_.erase(key);
  } else {
    Entry& entry = entries_[key];
    entry.ready = true;
    entry.data = data;
    entry.last_use = ++uses_;
    EvictLocked();
  }
  lock.unlock();
  changed_.notify_all();
  return data;
}

void ReferenceCache::EvictLocked() {
  const auto held = [](const Entry& entry) { return entry.ready && entry.data && *entry.data ? (*entry.data)->bytes() : 0; };
  size_t total = 0;
  for (const auto& [key, entry] : entries_) total += held(entry);
  while (total > options_.max_bytes) {
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry)
      if (held(entry->second) > 0 && entry->second.last_use != uses_ &&
          (oldest == entries_.end() || entry->second.last_use < oldest->second.last_use))
        oldest = entry;
    if (oldest == entries_.end()) return;
    total -= held(oldest->second);
    entries_.erase(oldest);
  }
}

Result<std::shared_ptr<const ReferenceData>> ReferenceCache::Compute(const std::string& key, const Render& render,
                                                                     const CancelToken* cancel) {
  const auto failed = [&](const Error& error) { return error.In("compute the reference of " + key); };
  Result<ReferenceText> text = render();
  if (!text) return failed(text.error());
  std::vector<TensorShape>* tensors = &text->tensors;
  std::vector<int64_t>* dynamic = &text->dynamic;
  const BuildOutcome built =
      text->artifact ? BuildOutcome{MeasureStatus::kOk, "", *text->artifact, 0} : builder_->Build(text->source, {}, cancel);
  if (cancel != nullptr && cancel->cancelled()) return failed({ErrorCode::kCancelled, "cancelled"});
  if (built.status != MeasureStatus::kOk)
    return failed({ErrorCode::kInvalidInput, fmt::format("{}: {}", ToString(built.status), built.message)});

  const bool makes_inputs = text->makes_inputs;
  std::vector<std::vector<std::byte>> inputs(tensors->size());
  if (!makes_inputs)
    for (size_t i = 0; i < tensors->size(); ++i)
      if ((*tensors)[i].role != TensorRole::kOut && (*tensors)[i].present)
        inputs[i] = FillTensor((*tensors)[i], SeedOf(options_.seed, (*tensors)[i].name));

  // The worker is fed like a candidate's, only there is nothing to expect yet.
  auto feed = std::make_shared<ReferenceData>();
  if (makes_inputs) {
    feed->tensors = *tensors;
    feed->dynamic = *dynamic;
  } else {
    Result<ReferenceData> fed = ReferenceData::Create(*tensors, *dynamic, {inputs.begin(), inputs.end()}, {});
    if (!fed) return failed(fed.error());
    *feed = std::move(*fed);
  }
  JobSpec spec;
  spec.runner = "cpu";
  spec.tensors = *tensors;
  Result<WorkerRun> run = WorkerRun::Prepare(spec, built.artifact.path, feed, options_.worker, *scratch_,
                                             makes_inputs ? WorkerTask::kReferenceMakingInputs : WorkerTask::kReference, options_.seed);
  if (!run) return failed(run.error());
  run->Run(cancel);
  std::string message;
  const MeasureStatus status = run->ReferenceOutcome(message);
  if (cancel != nullptr && cancel->cancelled()) return failed({ErrorCode::kCancelled, "cancelled"});
  if (status != MeasureStatus::kOk) return failed({ErrorCode::kInvalidInput, fmt::format("{}: {}", ToString(status), message)});

  std::vector<std::vector<std::byte>> expected(tensors->size());
  for (size_t i = 0; i < tensors->size(); ++i) {
    const TensorShape& tensor = (*tensors)[i];
    if (!tensor.present || (tensor.role != TensorRole::kOut && !makes_inputs)) continue;
    Result<std::vector<std::byte>> bytes = run->FirstResult(i);
    if (!bytes) return failed(bytes.error());
    (tensor.role == TensorRole::kOut ? expected[i] : inputs[i]) = std::move(*bytes);
  }
  if (!makes_inputs) {
    feed->expected = std::move(expected);
    for (size_t i = 0; i < tensors->size(); ++i) {
      const bool out = !feed->expected[i].empty();
      feed->largest[i] =
          out ? LargestMagnitude((*tensors)[i].dtype, feed->expected[i].data(), static_cast<size_t>((*tensors)[i].elements())) : 0;
    }
    return std::shared_ptr<const ReferenceData>(std::move(feed));
  }
  Result<ReferenceData> data =
      ReferenceData::Create(std::move(*tensors), std::move(*dynamic), {inputs.begin(), inputs.end()}, std::move(expected));
  if (!data) return failed(data.error());
  return std::shared_ptr<const ReferenceData>(std::make_shared<ReferenceData>(std::move(*data)));
}

}  // namespace lathe
