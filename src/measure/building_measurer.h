// BuildingMeasurer: candidates are rendered and built on this machine, by a toolchain for the board, and measured by another measurer,
// which gets nothing but built files: the board needs no compiler.
//
//     Submit ─► builders (render, compile, reference) ─► the other measurer ─► Wait
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "measure/candidate_text.h"
#include "measure/cpu_builder.h"
#include "measure/measurer.h"
#include "measure/scratch.h"
#include "space/template_library.h"

namespace lathe {

// Candidates to built text. Thread-safe.
class HostBuild {
 public:
  struct Options {
    Toolchain toolchain;
    BuildLimits limits;
    std::filesystem::path worker_program;  // launches compilers under limits
    std::filesystem::path cache_dir;       // empty: ArtifactCache::DefaultDirectory(), or scratch when there is no home
    uint64_t cache_bytes = uint64_t{2} << 30;
    std::filesystem::path scratch_root;
  };
  // `library` outlives it.
  static Result<std::unique_ptr<HostBuild>> Create(const TemplateLibrary* library, Options options);

  struct Made {
    MeasureStatus status = MeasureStatus::kOk;  // as BuildOutcome's
    std::string message;
    std::shared_ptr<const CandidateText> text;  // when kOk: candidate and reference with their artifacts
    double seconds = 0;
  };
  Made Make(const Candidate& candidate, const Target& target, const CancelToken* cancel = nullptr);

  const Toolchain& toolchain() const { return builder_->toolchain(); }
  const std::string& compiler_version() const { return builder_->compiler_version(); }

 private:
  HostBuild(const TemplateLibrary* library, Scratch scratch, ArtifactCache cache)
      : library_(library), scratch_(std::move(scratch)), cache_(std::move(cache)) {}
  Made MakeReference(const Workload& workload, const CancelToken* cancel, std::shared_ptr<const ReferenceText>& reference);

  const TemplateLibrary* library_;
  Scratch scratch_;
  ArtifactCache cache_;
  std::unique_ptr<CpuBuilder> builder_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const ReferenceText>> references_;  // by workload
};

class BuildingMeasurer : public Measurer {
 public:
  // Fails when what the toolchain builds does not run on the measurer's target. `build` outlives it.
  static Result<std::unique_ptr<BuildingMeasurer>> Create(std::unique_ptr<Measurer> measurer, HostBuild* build, int builders);
  ~BuildingMeasurer() override;

  // The board's, with our compiler.
  const Target& target() const override { return target_; }
  size_t capacity() const override { return measurer_->capacity() + threads_.size(); }
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override;
  void ObserveStarts(std::function<void(uint64_t ticket)> started) override { measurer_->ObserveStarts(std::move(started)); }

 private:
  struct Built {
    double seconds = 0;
    std::map<std::string, double> facts;
  };
  BuildingMeasurer(std::unique_ptr<Measurer> measurer, HostBuild* build) : measurer_(std::move(measurer)), build_(build) {}
  void BuildLoop();

  std::unique_ptr<Measurer> measurer_;
  HostBuild* build_;
  Target target_;

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<MeasureRequest> queue_;
  std::vector<Measurement> failed_;  // that did not build
  std::optional<Error> lost_;        // the other measurer takes nothing any more
  std::map<uint64_t, Built> built_;  // by ticket, until measured
  std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lathe
