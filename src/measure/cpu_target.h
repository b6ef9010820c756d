// The machine this process runs on, as a Target of the cpu backend.
#pragma once

#include <filesystem>
#include <string>

#include "core/target.h"
#include "measure/toolchain.h"

namespace lathe {

// `threads`: how many a kernel may use. `compiler_version`: first line of --version. `root`: where /proc and /sys are looked for; tests
// give another. Limits that cannot be read (no sysfs) get the least that any such machine has.
Target DetectCpuTarget(int threads, const Toolchain& toolchain, const std::string& compiler_version,
                       const std::filesystem::path& root = "/");

// What a cross toolchain's launcher stands in for on this machine: the profile's architecture and features, our caches and CPUs. Good for
// verifying; times mean nothing.
Target EmulatedCpuTarget(int threads, const Toolchain& toolchain, const std::string& compiler_version);

}  // namespace lathe
