#include "measure/opencl_backend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <csignal>
#include <sstream>

#include "core/file.h"
#include "core/hash.h"
#include "measure/opencl_target.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {

constexpr const char *kSourceName = "candidate.cl", *kProgramName = "candidate.bin", *kFactsName = "facts";
constexpr size_t kMostLog = 3000;  // of a compiler's output
constexpr int kPatience = 5;       // clock over CPU time: the machine may be busy

std::map<std::string, double> ReadFacts(const std::filesystem::path& file) {
  std::map<std::string, double> facts;
  const Result<std::string> text = ReadFile(file);
  if (!text) return facts;
  std::istringstream lines(*text);
  double number = 0;
  for (std::string name; lines >> name >> number;) facts[name] = number;
  return facts;
}

}  // namespace

BuildOutcome OpenClBackend::Build(const CandidateText& text, const CancelToken* cancel) {
  return Compile(text.source, fmt::format("{}", fmt::join(text.flags, " ")), cancel);
}

BuildOutcome OpenClBackend::Compile(const std::string& source, const std::string& flags, const CancelToken* cancel) {
  // The fingerprint holds the driver's version: another one compiles to something else.
  const std::string key = Sha256(fmt::format("opencl\n{}\n{}\n{}", target_.FingerprintHash(), flags, source));
  ArtifactCache& cache = shop_->artifacts();
  if (std::optional<Artifact> there = cache.Find(key)) return {MeasureStatus::kOk, "", std::move(*there), 0};

  const auto lost = [](const Error& error) { return BuildOutcome{MeasureStatus::kBoardLost, error.message, {}, 0}; };
  Result<ScratchDir> dir = shop_->scratch().NewDir("build");
  if (!dir) return lost(dir.error());
  if (Status written = WriteFile(dir->path() / kSourceName, source); !written) return lost(written.error());

  const WorkshopOptions& options = shop_->options();
  const std::string worker = options.worker_program.string();
  const auto cpu_seconds = static_cast<long long>(std::ceil(std::chrono::duration<double>(options.build.timeout).count()));
  const std::vector<int> cpus = options.pin && !shop_->cpus().exclusive ? shop_->cpus().others : std::vector<int>();
  SubprocessOptions run;
  // No limit on address space: drivers reserve huge ranges.
  run.argv = {worker,
              "--launch",
              std::to_string(cpu_seconds),
              "0",
              fmt::format("{}", fmt::join(cpus, ",")),
              "-",
              "--",
              worker,
              "--opencl-build",
              std::to_string(device_),
              kSourceName,
              kProgramName,
              kFactsName,
              flags};
  run.directory = dir->path();
  run.environment = {"TMPDIR=" + dir->path().string(), "LC_ALL=C", "POCL_MAX_PTHREAD_COUNT=1"};
  run.deadline = kPatience * options.build.timeout;
  run.cancel = cancel;
  Result<SubprocessResult> result = RunSubprocess(run);
  if (!result) return lost(result.error().In("build a candidate"));

  using End = SubprocessResult::End;
  if (result->end == End::kCancelled) return {MeasureStatus::kBoardLost, "cancelled", {}, result->seconds};
  if (result->end == End::kDeadline || (result->end == End::kSignalled && result->code == SIGXCPU))
    return {
        MeasureStatus::kBuildTimeout, fmt::format("the OpenCL compiler took longer than {:.1f} s", result->seconds), {}, result->seconds};
  if (result->output.size() > kMostLog) result->output.resize(kMostLog);
  if (result->end == End::kSignalled)
    return {MeasureStatus::kBuildError,
            fmt::format("the OpenCL compiler ended with {}: {}", SignalName(result->code), result->output),
            {},
            result->seconds};
  constexpr int kNoDevice = 3;  // the machine's fault, not the candidate's; see worker/opencl_tool.cpp
  if (result->code == kNoDevice) return lost({ErrorCode::kUnavailable, result->output});
  if (result->code != 0) return {MeasureStatus::kBuildError, result->output, {}, result->seconds};

  Result<Artifact> artifact = cache.Add(key, dir->path() / kProgramName, ReadFacts(dir->path() / kFactsName));
  if (!artifact) return lost(artifact.error());
  return {MeasureStatus::kOk, "", std::move(*artifact), result->seconds};
}

void OpenClBackend::Complete(JobSpec& spec) const {
  spec.runner = "opencl";
  spec.limit_address_space = false;
  spec.confine = false;
  spec.runner_options.insert(0, fmt::format("device {}\n", device_));
}

Workshop::BackendFactory MakeOpenClBackend(size_t device) {
  return [device](Workshop& shop) -> Result<std::unique_ptr<Backend>> {
    Result<Target> target = OpenClTarget(device, shop.options().worker_program, shop.options().threads);
    if (!target) return target.error();
    return std::unique_ptr<Backend>(std::make_unique<OpenClBackend>(&shop, std::move(*target), device));
  };
}

}  // namespace lathe
