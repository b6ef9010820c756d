#include "measure/build_facts.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <sstream>

#include "core/file.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

template <typename T>
std::optional<T> At(const std::string& file, uint64_t offset) {
  T value;
  if (offset > file.size() || file.size() - offset < sizeof value) return std::nullopt;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

std::optional<double> CodeBytes(const std::string& file) {
  const auto header = At<Elf64_Ehdr>(file, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64) return std::nullopt;
  const auto names = At<Elf64_Shdr>(file, header->e_shoff + uint64_t{header->e_shstrndx} * header->e_shentsize);
  if (!names) return std::nullopt;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    const auto section = At<Elf64_Shdr>(file, header->e_shoff + uint64_t{i} * header->e_shentsize);
    if (!section) return std::nullopt;
    const uint64_t name = names->sh_offset + section->sh_name;
    if (name < file.size() && file.compare(name, 6, ".text\0", 6) == 0) return static_cast<double>(section->sh_size);
  }
  return std::nullopt;
}

// "file:line:column:function<TAB>bytes<TAB>static"
double LargestFrame(const std::string& usage) {
  double largest = 0;
  std::istringstream lines(usage);
  for (std::string line; std::getline(lines, line);)
    if (const size_t tab = line.find('\t'); tab != std::string::npos) largest = std::max(largest, std::atof(line.c_str() + tab));
  return largest;
}

}  // namespace

std::map<std::string, double> ReadBuildFacts(const fs::path& object, const fs::path& directory) {
  std::map<std::string, double> facts;
  if (const Result<std::string> file = ReadFile(object); file)
    if (const auto bytes = CodeBytes(*file)) facts["code_bytes"] = *bytes;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(directory, failure)) {
    if (entry.path().extension() != ".su") continue;
    if (const Result<std::string> usage = ReadFile(entry.path()); usage) facts["stack_bytes"] = LargestFrame(*usage);
  }
  return facts;
}

std::string ElfArchitecture(const std::string& file) {
  const auto header = At<Elf64_Ehdr>(file, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return "no ELF file";
  if (header->e_machine == EM_AARCH64) return "aarch64";
  if (header->e_machine == EM_X86_64) return "x86_64";
  return "machine " + std::to_string(header->e_machine);
}

}  // namespace lathe
