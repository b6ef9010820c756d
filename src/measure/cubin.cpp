#include "measure/cubin.h"

#include <elf.h>

#include <cstring>
#include <optional>
#include <regex>
#include <vector>

namespace lathe {
namespace {

// Of .nv.info: format, attribute, and then a 16-bit value or as many bytes as the 16 bits say.
constexpr uint8_t kByteFormat = 1, kByteValueFormat = 2, kHalfValueFormat = 3, kSizedFormat = 4;
constexpr uint8_t kRegisterCount = 0x2f, kFrameSize = 0x11, kMaxItems = 0x05;
constexpr uint64_t kReservedFrom90 = 1024;  // that .nv.shared counts in from sm_90 on
constexpr uint16_t kCudaMachine = 190;

template <typename T>
std::optional<T> At(const std::string& file, uint64_t offset) {
  T value;
  if (offset > file.size() || file.size() - offset < sizeof value) return std::nullopt;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

std::string TextAt(const std::string& file, uint64_t offset) {
  if (offset >= file.size()) return "";
  return std::string(file.data() + offset, ::strnlen(file.data() + offset, file.size() - offset));
}

struct Sections {
  std::vector<Elf64_Shdr> headers;
  std::vector<std::string> names;
};

std::optional<Sections> ReadSections(const std::string& file) {
  const auto header = At<Elf64_Ehdr>(file, 0);
  if (!header) return std::nullopt;
  const auto section = [&](uint64_t i) { return At<Elf64_Shdr>(file, header->e_shoff + i * header->e_shentsize); };
  const auto names = section(header->e_shstrndx);
  if (!names) return std::nullopt;
  Sections sections;
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    const auto one = section(i);
    if (!one) return std::nullopt;
    sections.headers.push_back(*one);
    sections.names.push_back(TextAt(file, names->sh_offset + one->sh_name));
  }
  return sections;
}

// Calls use(attribute, offset of the value, bytes) for each record of an information section.
template <typename Use>
void ForEachRecord(const std::string& file, const Elf64_Shdr& section, const Use& use) {
  uint64_t at = section.sh_offset;
  const uint64_t end = section.sh_offset + section.sh_size;
  while (at + 4 <= end && at + 4 <= file.size()) {
    const auto format = static_cast<uint8_t>(file[at]), attribute = static_cast<uint8_t>(file[at + 1]);
    const uint16_t value = *At<uint16_t>(file, at + 2);
    if (format == kSizedFormat) {
      use(attribute, at + 4, value);
      at += 4 + uint64_t{value};
    } else if (format == kByteFormat || format == kByteValueFormat || format == kHalfValueFormat) {
      at += 4;
    } else {
      return;
    }
  }
}

bool Removed(std::string& name, const char* prefix) {
  if (name.rfind(prefix, 0) != 0) return false;
  name.erase(0, std::strlen(prefix));
  return true;
}

}  // namespace

bool IsCubin(const std::string& content) {
  const auto header = At<Elf64_Ehdr>(content, 0);
  return header && std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
         header->e_machine == kCudaMachine;
}

Result<std::map<std::string, CubinKernel>> ReadCubin(const std::string& content) {
  const std::optional<Sections> sections = IsCubin(content) ? ReadSections(content) : std::nullopt;
  if (!sections) return Error{ErrorCode::kInvalidInput, "read a cubin: it is none, or it ends early"};

  std::map<std::string, CubinKernel> kernels;
  std::vector<std::string> symbols;
  for (size_t i = 0; i < sections->headers.size(); ++i) {
    const Elf64_Shdr& section = sections->headers[i];
    std::string name = sections->names[i];
    if (Removed(name, ".text.")) kernels[name].code_bytes = section.sh_size;
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections->headers.size()) continue;
    const Elf64_Shdr& texts = sections->headers[section.sh_link];
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section.sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = At<Elf64_Sym>(content, section.sh_offset + at);
      if (!symbol) break;
      symbols.push_back(TextAt(content, texts.sh_offset + symbol->st_name));
    }
  }
  bool reserves = false;
  for (size_t i = 0; i < sections->headers.size(); ++i) {
    const Elf64_Shdr& section = sections->headers[i];
    std::string name = sections->names[i];
    if (name == ".nv.info") {
      ForEachRecord(content, section, [&](uint8_t attribute, uint64_t at, uint16_t bytes) {
        if ((attribute != kRegisterCount && attribute != kFrameSize) || bytes < 8) return;
        const auto symbol = At<uint32_t>(content, at), value = At<uint32_t>(content, at + 4);
        if (!symbol || !value || *symbol >= symbols.size()) return;
        const auto kernel = kernels.find(symbols[*symbol]);
        if (kernel != kernels.end()) (attribute == kRegisterCount ? kernel->second.registers : kernel->second.frame_bytes) = *value;
      });
    } else if (Removed(name, ".nv.info.") && kernels.count(name) > 0) {
      ForEachRecord(content, section, [&](uint8_t attribute, uint64_t at, uint16_t bytes) {
        if (attribute != kMaxItems || bytes < 12) return;
        const auto x = At<uint32_t>(content, at), y = At<uint32_t>(content, at + 4), z = At<uint32_t>(content, at + 8);
        if (x && y && z) kernels[name].max_items = *x * *y * *z;
      });
    } else if (name == ".nv.shared.reserved.0") {
      reserves = true;
    } else if (Removed(name, ".nv.shared.") && kernels.count(name) > 0) {
      kernels[name].local_bytes = section.sh_size;
    }
  }
  if (reserves)
    for (auto& [name, kernel] : kernels)
      if (kernel.local_bytes >= kReservedFrom90) kernel.local_bytes -= kReservedFrom90;
  return kernels;
}

std::map<std::string, double> ReadPtxasLog(const std::string& log) {
  static const std::regex spills("([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  double stores = 0, loads = 0;
  for (std::sregex_iterator at(log.begin(), log.end(), spills), end; at != end; ++at) {
    stores += std::stod((*at)[1]);
    loads += std::stod((*at)[2]);
  }
  return {{"spill_store_bytes", stores}, {"spill_load_bytes", loads}};
}

}  // namespace lathe
