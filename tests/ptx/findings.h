// What was seen and should not be. Each goes to the file that $LATHE_PTX_LOG names, at once; without one, to the standard error.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace lathe::ptx {

class Findings {
 public:
  Findings();  // the file from the environment
  explicit Findings(std::string path) : path_(std::move(path)) {}

  // True where this kind was not told of this instruction yet; false counts it.
  bool IsNew(const std::string& kind, const void* instruction);
  void Tell(const std::string& text);
  // A kernel has ended: tells how often findings recurred, and forgets them.
  void EndKernel();
  const std::string& all() const { return all_; }

 private:
  std::string path_, all_;
  std::map<std::pair<std::string, const void*>, uint64_t> counts_;
};

}  // namespace lathe::ptx
