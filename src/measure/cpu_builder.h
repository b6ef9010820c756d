// CpuBuilder: C++ text in, shared object out, through a content-addressed cache.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "measure/artifact_cache.h"
#include "measure/cancel_token.h"
#include "measure/scratch.h"
#include "measure/toolchain.h"

namespace lathe {

struct BuildLimits {
  std::chrono::milliseconds timeout{20'000};  // of CPU time, in whole seconds; and five times that by the clock
  uint64_t memory_bytes = uint64_t{4} << 30;  // of each process of the compiler; 0: none
  std::vector<int> cpus;                      // where compilers run; empty: anywhere
  // For sources of strangers: see worker/compiler_sandbox.h.
  bool confine = false;
  uint32_t uid = 0, gid = 0;                    // whom compilers run as then, when we are root; 0: as we are
  std::vector<std::filesystem::path> readable;  // besides the system's folders: where a compiler of one's own lies
};

struct BuildOutcome {
  MeasureStatus status = MeasureStatus::kOk;  // kOk, kBuildError, kBuildTimeout; kBoardLost when the machine failed us, or on cancel
  std::string message;                        // compiler output, first lines
  Artifact artifact;                          // when kOk
  double seconds = 0;                         // compiler's time; 0 when the artifact was there already
};

class CpuBuilder {
 public:
  struct Options {
    Toolchain toolchain;
    BuildLimits limits;
    std::filesystem::path worker_program;  // lathe-worker, which also launches compilers under limits
  };
  // `scratch` and `cache` outlive the builder. Fails when the compiler cannot be run, or a cross compiler builds for another machine than
  // its profile says.
  static Result<std::unique_ptr<CpuBuilder>> Create(Options options, const Scratch* scratch, ArtifactCache* cache);

  // Where there is no compiler and none is needed: everything is a build error for this reason.
  static std::unique_ptr<CpuBuilder> Without(std::string why, Options options, const Scratch* scratch, ArtifactCache* cache);

  // Thread-safe.
  BuildOutcome Build(const std::string& source, const std::vector<std::string>& flags, const CancelToken* cancel = nullptr);

  const std::string& compiler_version() const { return compiler_version_; }  // first line of --version
  const Toolchain& toolchain() const { return options_.toolchain; }

 private:
  CpuBuilder(Options options, const Scratch* scratch, ArtifactCache* cache)
      : options_(std::move(options)), scratch_(scratch), cache_(cache) {}
  Status TryCrossCompiler();
  std::vector<std::string> Command(const std::vector<std::string>& flags) const;
  std::vector<std::string> Launched(const std::vector<std::string>& command) const;
  Status HandOver(const std::filesystem::path& directory) const;
  Status TakeBack(const std::filesystem::path& object) const;

  Options options_;
  const Scratch* scratch_;
  ArtifactCache* cache_;
  std::string compiler_version_, identity_, missing_;
};

}  // namespace lathe
