#include "measure/building_measurer.h"

#include <algorithm>

#include "measure/toolchain_profile.h"

namespace lathe {

Result<std::unique_ptr<HostBuild>> HostBuild::Create(const TemplateLibrary* library, Options options) {
  Result<Scratch> scratch = Scratch::Create(options.scratch_root);
  if (!scratch) return scratch.error();
  std::filesystem::path directory = options.cache_dir.empty() ? ArtifactCache::DefaultDirectory() : options.cache_dir;
  if (directory.empty()) directory = scratch->path() / "artifacts";
  Result<ArtifactCache> cache = ArtifactCache::Open(directory, options.cache_bytes);
  if (!cache) return cache.error();
  std::unique_ptr<HostBuild> build(new HostBuild(library, std::move(*scratch), std::move(*cache)));
  CpuBuilder::Options compiler{std::move(options.toolchain), options.limits, std::move(options.worker_program)};
  Result<std::unique_ptr<CpuBuilder>> builder = CpuBuilder::Create(std::move(compiler), &build->scratch_, &build->cache_);
  if (!builder) return builder.error();
  build->builder_ = std::move(*builder);
  return build;
}

HostBuild::Made HostBuild::MakeReference(const Workload& workload, const CancelToken* cancel,
                                         std::shared_ptr<const ReferenceText>& reference) {
  const std::string key = workload.Key();
  {
    const std::lock_guard lock(mutex_);
    reference = references_[key];
    // The cache may have been cleaned; the board may still ask.
    if (reference != nullptr && cache_.Find(reference->artifact->key)) return {};
  }
  Result<ReferenceText> text = RenderReference(*library_, workload);
  if (!text) return {MeasureStatus::kBuildError, text.error().message, nullptr, 0};
  BuildOutcome built = builder_->Build(text->source, {}, cancel);
  if (built.status != MeasureStatus::kOk)
    return {MeasureStatus::kBoardLost, "build the reference of " + key + ": " + built.message, nullptr, 0};
  text->artifact = std::move(built.artifact);
  reference = std::make_shared<const ReferenceText>(std::move(*text));
  const std::lock_guard lock(mutex_);
  references_[key] = reference;
  return {};
}

HostBuild::Made HostBuild::Make(const Candidate& candidate, const Target& target, const CancelToken* cancel) {
  Result<CandidateText> text = RenderCandidate(*library_, candidate, target);
  if (!text) return {MeasureStatus::kBuildError, text.error().message, nullptr, 0};
  if (Made reference = MakeReference(candidate.workload, cancel, text->reference); reference.status != MeasureStatus::kOk) return reference;
  BuildOutcome built = builder_->Build(text->source, text->flags, cancel);
  if (built.status != MeasureStatus::kOk) return {built.status, std::move(built.message), nullptr, built.seconds};
  text->artifact = std::move(built.artifact);
  return {MeasureStatus::kOk, "", std::make_shared<const CandidateText>(std::move(*text)), built.seconds};
}

Result<std::unique_ptr<BuildingMeasurer>> BuildingMeasurer::Create(std::unique_ptr<Measurer> measurer, HostBuild* build, int builders) {
  if (Status runs = CheckRunsOn(build->toolchain(), measurer->target()); !runs) return runs.error();
  std::unique_ptr<BuildingMeasurer> made(new BuildingMeasurer(std::move(measurer), build));
  made->target_ = made->measurer_->target();
  DescribeCompiler(build->toolchain(), build->compiler_version(), made->target_);
  for (int i = 0; i < std::max(1, builders); ++i) made->threads_.emplace_back([self = made.get()] { self->BuildLoop(); });
  return made;
}

BuildingMeasurer::~BuildingMeasurer() {
  Cancel();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status BuildingMeasurer::Submit(MeasureRequest request) {
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return *lost_;
    queue_.push_back(std::move(request));
  }
  work_.notify_all();
  return {};
}

void BuildingMeasurer::BuildLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    MeasureRequest request = std::move(queue_.front());
    queue_.pop_front();
    const std::shared_ptr<CancelToken> cancel = cancel_;
    lock.unlock();
    HostBuild::Made made = build_->Make(request.candidate, measurer_->target(), cancel.get());
    lock.lock();
    if (cancel->cancelled()) continue;
    if (made.status != MeasureStatus::kOk) {
      Measurement failed;
      failed.ticket = request.ticket;
      failed.candidate = std::move(request.candidate);
      failed.board = "host";
      failed.status = made.status;
      failed.message = std::move(made.message);
      failed.build_seconds = made.seconds;
      failed_.push_back(std::move(failed));
      continue;
    }
    built_[request.ticket] = {made.seconds, made.text->artifact->facts};
    request.text = std::move(made.text);
    if (Status sent = measurer_->Submit(std::move(request)); !sent) lost_ = sent.error();
  }
}

Result<std::vector<Measurement>> BuildingMeasurer::Wait(std::chrono::milliseconds timeout) {
  // What fails to build here must not wait for the board.
  constexpr std::chrono::milliseconds kLook{50};
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (!failed_.empty()) return std::exchange(failed_, {});
      if (lost_) return *lost_;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    Result<std::vector<Measurement>> some = measurer_->Wait(std::clamp(left, std::chrono::milliseconds(0), kLook));
    if (!some) return some;
    const std::lock_guard lock(mutex_);
    for (Measurement& measurement : *some) {
      const auto built = built_.find(measurement.ticket);
      if (built == built_.end()) continue;
      measurement.build_seconds = built->second.seconds;
      measurement.build_facts = std::move(built->second.facts);
      built_.erase(built);
    }
    if (!some->empty() || left.count() <= 0) return some;
  }
}

void BuildingMeasurer::Cancel() {
  const std::lock_guard lock(mutex_);
  cancel_->Cancel();
  cancel_ = std::make_shared<CancelToken>();
  queue_.clear();
  failed_.clear();
  built_.clear();
  measurer_->Cancel();
}

}  // namespace lathe
