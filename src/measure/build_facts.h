// What can be read off a built object for next to nothing.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace lathe {

// code_bytes: size of the executable section of an ELF file (.text). Absent when the file is none.
// stack_bytes: the largest frame that GCC's -fstack-usage reports (a *.su file in `directory`); large where registers spilled.
std::map<std::string, double> ReadBuildFacts(const std::filesystem::path& object, const std::filesystem::path& directory);

// "aarch64", "x86_64"; "no ELF file" or "machine 40" otherwise.
std::string ElfArchitecture(const std::string& file);

}  // namespace lathe
