// Toolchain profiles: cross compilers as JSON files. Those that ship lie in toolchains/, one a kind of board:
//
//     {"description": "NVIDIA Jetson AGX Orin, …",
//      "architecture": "aarch64",                               what it builds for; no other yet
//      "compiler": "aarch64-linux-gnu-g++",                     looked up in $PATH, or a path
//      "cpu": "cortex-a78ae",                                   -mcpu
//      "features": ["asimddp"],                                 which the board's processor must show, by the kernel's names
//      "flags": ["-mtune=…"],                                   further ones
//      "sysroot": "/opt/orin",                                  --sysroot
//      "launcher": ["qemu-aarch64-static", "-L", "/usr/…"],     starts a built program on the host, for `lathe check --toolchain`
//      "worker": "../build/aarch64/bin/lathe-worker"}           what it starts
//
// Only architecture and compiler must be there. Relative paths begin at the profile, in the launcher where the program is started.
#pragma once

#include <filesystem>
#include <string>

#include "core/result.h"
#include "core/target.h"
#include "measure/toolchain.h"

namespace lathe {

// A file, or the name of a profile that ships: "jetson-orin". An error says file, key and reason.
Result<Toolchain> ReadToolchainProfile(const std::string& name_or_file);

// Whether what the toolchain builds runs on the target: architecture and features. Always, for this machine's own.
Status CheckRunsOn(const Toolchain& toolchain, const Target& target);

// The target that such candidates are measured on: who compiles is part of what a record is worth.
void DescribeCompiler(const Toolchain& toolchain, const std::string& compiler_version, Target& target);

// $LATHE_TOOLCHAINS; share/lathe/toolchains beside this program's bin/; or the source tree's.
std::filesystem::path ToolchainProfileDirectory();

}  // namespace lathe
