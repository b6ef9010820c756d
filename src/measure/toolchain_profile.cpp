#include "measure/toolchain_profile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "core/file.h"
#include "core/parse_json.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

// What CheckRunsOn and EmulatedCpuTarget know to judge. On x86 a processor's features are not reported, and its vector unit is not known
// from a profile.
constexpr const char* kArchitecture = "aarch64";

std::vector<std::string> ShippedNames() {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(ToolchainProfileDirectory(), failure))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Reads one profile; the first thing wrong ends it.
class ProfileReader {
 public:
  ProfileReader(const nlohmann::json& json, fs::path file) : json_(json), file_(std::move(file)) {}

  Result<Toolchain> Read() {
    const std::vector<std::string> known = {"description", "architecture", "compiler", "cpu",   "features",
                                            "flags",       "sysroot",      "launcher", "worker"};
    for (const auto& [key, value] : json_.items())
      if (std::find(known.begin(), known.end(), key) == known.end())
        return Bad(key, fmt::format("no such key; there are {}", fmt::join(known, ", ")));
    Toolchain toolchain;
    toolchain.profile = file_.stem().string();
    const std::string cpu = Text("cpu"), sysroot = Path("sysroot");
    Text("description");
    toolchain.architecture = Text("architecture");
    toolchain.compiler = Text("compiler");
    toolchain.features = Texts("features");
    toolchain.launcher = Texts("launcher");
    toolchain.worker = Path("worker");
    const std::vector<std::string> further = Texts("flags");
    if (bad_) return *bad_;
    if (toolchain.architecture != kArchitecture)
      return Bad("architecture", fmt::format("'{}' is not supported, only {} is; other boards build for themselves: leave --toolchain out",
                                             toolchain.architecture, kArchitecture));
    if (toolchain.compiler.empty()) return Bad("compiler", "it must be there");
    if (toolchain.compiler.find('/') != std::string::npos) toolchain.compiler = Beside(toolchain.compiler).string();
    if (!std::regex_match(cpu, std::regex("[a-z0-9.+_-]*"))) return Bad("cpu", fmt::format("'{}' is no name that -mcpu takes", cpu));
    if (cpu == "native") return Bad("cpu", "'native' is the machine that compiles, not the board");
    if (!sysroot.empty() && !fs::is_directory(sysroot)) return Bad("sysroot", fmt::format("there is no directory '{}'", sysroot));
    toolchain.flags = {"-std=c++20", "-O3", "-fPIC", "-shared", kKeepOrder};
    if (!cpu.empty()) toolchain.flags.push_back("-mcpu=" + cpu);
    if (!sysroot.empty()) toolchain.flags.push_back("--sysroot=" + sysroot);
    for (const std::string& flag : further) {
      if (flag.size() < 2 || flag[0] != '-') return Bad("flags", fmt::format("'{}' is no flag: it begins with no '-'", flag));
      if (flag == "-march=native" || flag == "-mcpu=native" || flag == "-mtune=native")
        return Bad("flags", fmt::format("'{}' means the machine that compiles, not the board: name its processor in 'cpu'", flag));
      toolchain.flags.push_back(flag);
    }
    return toolchain;
  }

 private:
  Error Bad(const std::string& key, const std::string& why) const {
    return {ErrorCode::kInvalidInput, fmt::format("read toolchain profile '{}': '{}': {}", file_.string(), key, why)};
  }
  fs::path Beside(const fs::path& path) const { return (file_.parent_path() / path).lexically_normal(); }
  std::string Text(const char* key) {
    const auto found = json_.find(key);
    if (found == json_.end()) return {};
    if (found->is_string()) return found->get<std::string>();
    if (!bad_) bad_ = Bad(key, "it must be a text");
    return {};
  }
  std::string Path(const char* key) {
    const std::string text = Text(key);
    return text.empty() ? text : Beside(text).string();
  }
  std::vector<std::string> Texts(const char* key) {
    const auto found = json_.find(key);
    if (found == json_.end()) return {};
    std::vector<std::string> texts;
    bool fine = found->is_array();
    if (fine)
      for (const nlohmann::json& each : *found) {
        fine = fine && each.is_string() && !each.get_ref<const std::string&>().empty();
        if (fine) texts.push_back(each);
      }
    if (!fine && !bad_) bad_ = Bad(key, "it must be a list of texts");
    return fine ? texts : std::vector<std::string>();
  }

  const nlohmann::json& json_;
  const fs::path file_;
  std::optional<Error> bad_;
};

}  // namespace

fs::path ToolchainProfileDirectory() {
  if (const char* given = std::getenv("LATHE_TOOLCHAINS"); given != nullptr && *given != 0) return given;
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  if (const fs::path installed = program.parent_path().parent_path() / "share/lathe/toolchains"; fs::exists(installed, failure))
    return installed;
  return LATHE_TOOLCHAINS_DIR;
}

Result<Toolchain> ReadToolchainProfile(const std::string& name_or_file) {
  fs::path file = name_or_file;
  if (name_or_file.find('/') == std::string::npos && file.extension() != ".json") {
    file = ToolchainProfileDirectory() / (name_or_file + ".json");
    if (std::error_code failure; !fs::exists(file, failure))
      return Error{ErrorCode::kNotFound,
                   fmt::format("find toolchain profile '{}': there is none of that name in '{}', but {}; or give a file: ./{}.json",
                               name_or_file, ToolchainProfileDirectory().string(), fmt::join(ShippedNames(), ", "), name_or_file)};
  }
  Result<std::string> text = ReadFile(file);
  if (!text) return Error{ErrorCode::kInvalidInput, text.error().message}.In("toolchain profile");
  const auto wrong = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("read toolchain profile '{}': {}", file.string(), why)};
  };
  Result<nlohmann::json> parsed = ParseJson(*text);
  if (!parsed) return wrong(parsed.error().message);
  const nlohmann::json& json = *parsed;
  if (!json.is_object()) return wrong("it is no JSON object");
  return ProfileReader(json, fs::absolute(file)).Read();
}

Status CheckRunsOn(const Toolchain& toolchain, const Target& target) {
  if (!toolchain.cross()) return {};
  const auto wrong = [&](const std::string& why) {
    return Error{ErrorCode::kIncompatible,
                 fmt::format("build for {} with toolchain profile '{}': {}", target.Key(), toolchain.profile, why)};
  };
  if (target.backend != "cpu") return wrong("profiles are for cpu targets");
  if (target.architecture.rfind(toolchain.architecture + '-', 0) != 0)
    return wrong(fmt::format("it builds for {}", toolchain.architecture));
  const auto shown = target.fingerprint.find("cpu_features");
  std::vector<std::string> has;
  std::istringstream words(shown == target.fingerprint.end() ? "" : shown->second);
  for (std::string word; words >> word;) has.push_back(word);
  for (const std::string& feature : toolchain.features)
    if (std::find(has.begin(), has.end(), feature) == has.end())
      return wrong(fmt::format("it uses {}, which this processor does not have (it has: {}); take another profile", feature,
                               has.empty() ? "nothing that it says" : shown->second));
  return {};
}

void DescribeCompiler(const Toolchain& toolchain, const std::string& compiler_version, Target& target) {
  std::vector<std::string> flags = toolchain.flags;
  flags.insert(flags.end(), toolchain.extra_flags.begin(), toolchain.extra_flags.end());
  target.fingerprint["compiler"] = toolchain.compiler;
  target.fingerprint["compiler_version"] = compiler_version;
  target.fingerprint["flags"] = fmt::format("{}", fmt::join(flags, " "));
}

}  // namespace lathe
