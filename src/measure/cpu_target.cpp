#include "measure/cpu_target.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "core/file.h"
#include "measure/toolchain_profile.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

std::string Line(const fs::path& file) {
  Result<std::string> text = ReadFile(file);
  return text ? text->substr(0, text->find('\n')) : "";
}

// "48K", "260M", "1024"
double Bytes(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  return *end == 'K' ? number * 1024 : *end == 'M' ? number * 1024 * 1024 : number;
}

struct Caches {
  double l1 = 32768, l2 = 262144, l3 = 0;
};

Caches ReadCaches(const fs::path& root) {
  Caches caches;
  const fs::path dir = root / "sys/devices/system/cpu/cpu0/cache";
  for (int i = 0; i < 8; ++i) {
    const fs::path index = dir / fmt::format("index{}", i);
    const std::string type = Line(index / "type"), level = Line(index / "level");
    const double bytes = Bytes(Line(index / "size"));
    if (type.empty() || type == "Instruction" || bytes <= 0) continue;
    (level == "1" ? caches.l1 : level == "2" ? caches.l2 : caches.l3) = bytes;
  }
  return caches;
}

// The first value of "name : value" in /proc/cpuinfo; empty when there is none.
std::string CpuInfo(const std::string& info, const std::string& name) {
  std::istringstream lines(info);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.rfind(name, 0) != 0) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string NameOf(const fs::path& root) {
  const std::string info = ReadFile(root / "proc/cpuinfo") ? ReadFile(root / "proc/cpuinfo").value() : "";
  // Boards say what they are in the device tree, and their cpuinfo only knows part numbers.
  for (std::string name : {Line(root / "proc/device-tree/model"), CpuInfo(info, "model name"), CpuInfo(info, "Hardware")}) {
    name.erase(std::remove(name.begin(), name.end(), '\0'), name.end());
    if (!name.empty()) return name;
  }
  const std::string part = CpuInfo(info, "CPU part");
  return part.empty() ? "unknown CPU" : fmt::format("CPU implementer {} part {}", CpuInfo(info, "CPU implementer"), part);
}

struct VectorUnit {
  std::string architecture;
  double bytes, registers;
};

const VectorUnit kNeon = {"aarch64-neon", 16, 32};

VectorUnit DetectVectorUnit() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq"))
    return {"x86_64-avx512", 64, 32};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"x86_64-avx2", 32, 16};
  if (__builtin_cpu_supports("avx")) return {"x86_64-avx", 32, 16};
  return {"x86_64-sse2", 16, 16};
#elif defined(__aarch64__)
  return kNeon;
#else
  return {"unknown", 16, 16};
#endif
}

// Optional parts of the processor, by the names that /proc/cpuinfo has for them: what a cross toolchain may count on. On x86 the
// architecture says enough.
std::string Features() {
  std::string names;
#if defined(__aarch64__)
  const auto add = [&](unsigned long set, unsigned long bit, const char* name) {
    if ((set & bit) != 0) names.append(names.empty() ? "" : " ").append(name);
  };
  const unsigned long first = ::getauxval(AT_HWCAP), second = ::getauxval(AT_HWCAP2);
  add(first, HWCAP_ATOMICS, "atomics");
  add(first, HWCAP_FPHP, "fphp");
  add(first, HWCAP_ASIMDHP, "asimdhp");
  add(first, HWCAP_ASIMDDP, "asimddp");
  add(first, HWCAP_ASIMDFHM, "asimdfhm");
  add(first, HWCAP_SVE, "sve");
  add(second, HWCAP2_I8MM, "i8mm");
  add(second, HWCAP2_BF16, "bf16");
#endif
  return names;
}

}  // namespace

Target DetectCpuTarget(int threads, const Toolchain& toolchain, const std::string& compiler_version, const fs::path& root) {
  const VectorUnit unit = DetectVectorUnit();
  const Caches caches = ReadCaches(root);
  Target target;
  target.backend = "cpu";
  target.architecture = unit.architecture;
  target.name = NameOf(root);
  target.limits = {{"vector_bytes", unit.bytes},      {"vector_registers", unit.registers},
                   {"threads", std::max(1, threads)}, {"l1_bytes", caches.l1},
                   {"l2_bytes", caches.l2},           {"l3_bytes", caches.l3 > 0 ? caches.l3 : caches.l2}};
  utsname system = {};
  ::uname(&system);
  target.fingerprint = {{"kernel", fmt::format("{} {}", system.sysname, system.release)}};
  if (const std::string features = Features(); !features.empty()) target.fingerprint["cpu_features"] = features;
  DescribeCompiler(toolchain, compiler_version, target);
  return target;
}

Target EmulatedCpuTarget(int threads, const Toolchain& toolchain, const std::string& compiler_version) {
  Target target = DetectCpuTarget(threads, toolchain, compiler_version);
  if (toolchain.architecture == "aarch64") {  // else this machine's own
    target.architecture = kNeon.architecture;
    target.limits["vector_bytes"] = kNeon.bytes;
    target.limits["vector_registers"] = kNeon.registers;
  }
  target.name = fmt::format("{} emulated on {}", toolchain.profile, target.name);
  std::string features;
  for (const std::string& feature : toolchain.features) features.append(features.empty() ? "" : " ").append(feature);
  target.fingerprint["cpu_features"] = features;
  return target;
}

}  // namespace lathe
