// The fixed texts of a kernel library: src/deploy/library_files/, compiled into the program.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lathe {

using Replacements = std::vector<std::pair<std::string, std::string>>;

// The text of library_files/NAME with each "@KEY@" replaced.
std::string FilledLibraryFile(const std::string& name, const Replacements& replacements);

}  // namespace lathe
