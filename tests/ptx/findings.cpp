#include "findings.h"

#include <cstdio>
#include <cstdlib>

namespace lathe::ptx {

Findings::Findings() {
  if (const char* path = std::getenv("LATHE_PTX_LOG"); path != nullptr) path_ = path;
}

bool Findings::IsNew(const std::string& kind, const void* instruction) { return ++counts_[{kind, instruction}] == 1; }

void Findings::Tell(const std::string& text) {
  all_ += text;
  std::FILE* file = path_.empty() ? nullptr : std::fopen(path_.c_str(), "a");
  std::fputs(text.c_str(), file == nullptr ? stderr : file);
  if (file != nullptr) std::fclose(file);
}

void Findings::EndKernel() {
  for (const auto& [finding, count] : counts_)
    if (count > 1) Tell("  (" + finding.first + ": " + std::to_string(count - 1) + " more at the same instruction)\n");
  counts_.clear();
}

}  // namespace lathe::ptx
