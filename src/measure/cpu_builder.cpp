#include "measure/cpu_builder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/file.h"
#include "core/hash.h"
#include "measure/build_facts.h"
#include "measure/descriptor.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {

constexpr const char* kSourceName = "candidate.cpp";
constexpr const char* kObjectName = "candidate.so";

// Errors first: a page of "in instantiation of" before the reason helps nobody.
std::string FirstLines(const std::string& output, size_t most) {
  std::istringstream lines(output);
  std::string kept, rest;
  size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool error = line.find("error") != std::string::npos;
    if (count < most && error) {
      kept += line + '\n';
      ++count;
    } else if (rest.size() < 2000) {
      rest += line + '\n';
    }
  }
  if (kept.empty()) return rest;
  return kept;
}

// What -march=native stands for: the same text builds something else on another machine, and caches lie on shared file systems.
std::string MachineIdentity() {
  std::string identity;
  if (const Result<std::string> info = ReadFile("/proc/cpuinfo"); info) {
    std::istringstream lines(*info);
    for (std::string line; std::getline(lines, line) && !line.empty();)
      for (const char* name : {"model name", "flags", "Features", "CPU part", "CPU implementer"})
        if (line.rfind(name, 0) == 0) identity += line + '\n';
  }
  return identity;
}

// As worker/compiler_sandbox.h reads it.
std::string SandboxOf(const BuildLimits& limits) {
  if (!limits.confine) return "-";
  std::string text = fmt::format("{}:{}", limits.uid, limits.gid);
  for (const std::filesystem::path& folder : limits.readable) text += ':' + folder.string();
  return text;
}

Error Failed(const char* doing, const std::filesystem::path& path) {
  return {ErrorCode::kUnavailable, fmt::format("{} '{}': {}", doing, path.string(), std::strerror(errno))};
}

}  // namespace

Toolchain Toolchain::Default() {
  Toolchain toolchain;
  if (const char* given = std::getenv("CXX"); given != nullptr && *given != 0) toolchain.compiler = given;
  return toolchain;
}

Result<std::unique_ptr<CpuBuilder>> CpuBuilder::Create(Options options, const Scratch* scratch, ArtifactCache* cache) {
  std::unique_ptr<CpuBuilder> builder(new CpuBuilder(std::move(options), scratch, cache));
  SubprocessOptions version;
  version.argv = {builder->options_.toolchain.compiler, "--version"};
  version.deadline = std::chrono::seconds(20);
  Result<SubprocessResult> result = RunSubprocess(version);
  const Toolchain& toolchain = builder->toolchain();
  if (!result && toolchain.cross())
    return Error{ErrorCode::kNotFound,
                 fmt::format("use toolchain profile '{}': its compiler does not start: {}", toolchain.profile, result.error().message)};
  if (!result) return result.error().In("use the C++ compiler (set CXX to another one)");
  if (result->end != SubprocessResult::End::kExited || result->code != 0)
    return Error{ErrorCode::kUnavailable,
                 fmt::format("use the C++ compiler '{}': --version failed: {}", builder->options_.toolchain.compiler, result->output)};
  builder->compiler_version_ = result->output.substr(0, result->output.find('\n'));
  // A cross compiler builds the same on every machine.
  builder->identity_ = builder->compiler_version_ + '\n' + (builder->toolchain().cross() ? "" : MachineIdentity());
  if (builder->toolchain().cross())
    if (Status fits = builder->TryCrossCompiler(); !fits) return fits.error();
  return builder;
}

std::unique_ptr<CpuBuilder> CpuBuilder::Without(std::string why, Options options, const Scratch* scratch, ArtifactCache* cache) {
  std::unique_ptr<CpuBuilder> builder(new CpuBuilder(std::move(options), scratch, cache));
  builder->missing_ = std::move(why);
  return builder;
}

// A profile may name a compiler for another machine, a processor that this compiler does not know, or a sysroot without libraries.
Status CpuBuilder::TryCrossCompiler() {
  const Toolchain& toolchain = options_.toolchain;
  const auto failed = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("use toolchain profile '{}': {}", toolchain.profile, why)};
  };
  const BuildOutcome built = Build("extern \"C\" int lathe_probe() { return 0; }\n", {});
  if (built.status != MeasureStatus::kOk)
    return failed(fmt::format("'{}' builds nothing with its flags: {}", toolchain.compiler, built.message));
  Result<std::string> object = ReadFile(built.artifact.path);
  if (!object) return object.error();
  const std::string architecture = ElfArchitecture(*object);
  if (architecture != toolchain.architecture)
    return failed(fmt::format("'{}' builds for {}, the profile says {}", toolchain.compiler, architecture, toolchain.architecture));
  return {};
}

std::vector<std::string> CpuBuilder::Command(const std::vector<std::string>& flags) const {
  const Toolchain& toolchain = options_.toolchain;
  std::vector<std::string> command = {toolchain.compiler};
  for (const auto* list : {&toolchain.flags, &flags, &toolchain.extra_flags}) command.insert(command.end(), list->begin(), list->end());
  return command;
}

std::vector<std::string> CpuBuilder::Launched(const std::vector<std::string>& command) const {
  if (options_.worker_program.empty()) return command;
  const auto cpu_seconds = static_cast<long long>(std::ceil(std::chrono::duration<double>(options_.limits.timeout).count()));
  std::vector<std::string> launched = {options_.worker_program.string(),
                                       "--launch",
                                       std::to_string(cpu_seconds),
                                       std::to_string(options_.limits.memory_bytes),
                                       fmt::format("{}", fmt::join(options_.limits.cpus, ",")),
                                       SandboxOf(options_.limits),
                                       "--"};
  launched.insert(launched.end(), command.begin(), command.end());
  return launched;
}

// To the user that the compiler runs as.
Status CpuBuilder::HandOver(const std::filesystem::path& directory) const {
  const BuildLimits& limits = options_.limits;
  if (!limits.confine || limits.uid == 0 || ::geteuid() != 0) return {};
  for (const std::filesystem::path& path : {directory, directory / kSourceName})
    if (::chown(path.c_str(), limits.uid, limits.gid) != 0) return Failed("give to the compiler's user", path);
  return {};
}

// What a stranger's source made of its own directory is not to be followed anywhere, nor to be changed later.
Status CpuBuilder::TakeBack(const std::filesystem::path& object) const {
  if (!options_.limits.confine) return {};
  const Descriptor file(::open(object.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat facts = {};
  if (file.get() < 0 || ::fstat(file.get(), &facts) != 0) return Failed("open", object);
  if (!S_ISREG(facts.st_mode)) return Error{ErrorCode::kUnavailable, fmt::format("open '{}': it is no plain file", object.string())};
  if (::fchown(file.get(), ::geteuid(), ::getegid()) != 0 || ::fchmod(file.get(), 0644) != 0) return Failed("take back", object);
  return {};
}

BuildOutcome CpuBuilder::Build(const std::string& source, const std::vector<std::string>& flags, const CancelToken* cancel) {
  if (!missing_.empty()) return {MeasureStatus::kBuildError, missing_, {}, 0};
  std::vector<std::string> command = Command(flags);
  const std::string key = Sha256(fmt::format("{}\n{}\n{}", identity_, fmt::join(command, "\x1f"), source));
  if (std::optional<Artifact> found = cache_->Find(key)) return {MeasureStatus::kOk, "", std::move(*found), 0};

  const auto lost = [](const Error& error) { return BuildOutcome{MeasureStatus::kBoardLost, error.message, {}, 0}; };
  Result<ScratchDir> dir = scratch_->NewDir("build");
  if (!dir) return lost(dir.error());
  if (Status written = WriteFile(dir->path() / kSourceName, source); !written) return lost(written.error());
  if (Status given = HandOver(dir->path()); !given) return lost(given.error());
  for (const char* argument : {"-fstack-usage", kSourceName, "-o", kObjectName}) command.emplace_back(argument);

  SubprocessOptions run;
  run.argv = Launched(command);
  run.directory = dir->path();
  // What the compiler leaves goes with our directory, which by its whole path another user may not reach.
  run.environment = {"TMPDIR=.", "LC_ALL=C"};
  // The limit proper counts CPU time, which the launcher sets: a busy machine must not make candidates look endless.
  constexpr int kPatience = 5;
  run.deadline = kPatience * options_.limits.timeout;
  run.cancel = cancel;
  Result<SubprocessResult> result = RunSubprocess(run);
  if (!result) return lost(result.error().In("build a candidate"));

  using End = SubprocessResult::End;
  if (result->end == End::kCancelled) return {MeasureStatus::kBoardLost, "cancelled", {}, result->seconds};
  // The part of the compiler that the signal hit is not the one that we started, which only reports a failure.
  const bool failed = result->end != End::kExited || result->code != 0;
  const double limit = std::chrono::duration<double>(options_.limits.timeout).count();
  if (result->end == End::kDeadline || (failed && result->UsedUp(limit)))
    return {MeasureStatus::kBuildTimeout,
            fmt::format("{} used up {:.1f} s of CPU time in {:.1f} s", command[0], result->cpu_seconds, result->seconds),
            {},
            result->seconds};
  if (result->end == End::kSignalled)
    return {MeasureStatus::kBuildError,
            fmt::format("{} ended with {}: {}", command[0], SignalName(result->code), FirstLines(result->output, 5)),
            {},
            result->seconds};
  if (result->code != 0) return {MeasureStatus::kBuildError, FirstLines(result->output, 5), {}, result->seconds};

  if (Status taken = TakeBack(dir->path() / kObjectName); !taken) return lost(taken.error());
  const std::map<std::string, double> facts = ReadBuildFacts(dir->path() / kObjectName, dir->path());
  Result<Artifact> artifact = cache_->Add(key, dir->path() / kObjectName, facts);
  if (!artifact) return lost(artifact.error());
  return {MeasureStatus::kOk, "", std::move(*artifact), result->seconds};
}

}  // namespace lathe
