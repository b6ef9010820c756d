// What a kernel's loads and stores would cost a device's memory, as far as addresses alone tell: sectors of global memory a request, and
// bank conflicts of shared memory. Nothing of caches, and nothing of time. Each launch's counts are appended to the file that
// $LATHE_PTX_COUNTS names.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lathe::ptx {

struct Grid;
struct Instruction;

class AccessCounts {
 public:
  explicit AccessCounts(std::string path) : path_(std::move(path)) {}

  using Lanes = std::vector<std::pair<uint32_t, uint64_t>>;  // which take part, and each one's address

  // A request: what the lanes of a warp ask for by one instruction. Not counted: wmma's, for which lane reads what is not known; atomic and
  // generic ones.
  void Note(const Instruction& instruction, bool is_shared, uint32_t bytes_of_lane, const Lanes& lanes);
  void EndLaunch(const Grid& grid);

 private:
  struct Key {
    const Instruction* instruction;
    bool is_shared;
    bool operator<(const Key& other) const {
      return instruction != other.instruction ? instruction < other.instruction : is_shared < other.is_shared;
    }
  };
  struct Count {
    uint64_t requests = 0;
    uint64_t units = 0;  // sectors of 32 bytes that are moved; passes over the banks
    uint64_t least = 0;  // as many as the distinct bytes would take, packed
  };

  std::string path_;
  std::map<Key, Count> counts_;
};

}  // namespace lathe::ptx
