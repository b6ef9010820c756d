// A kernel written in a test, run by the machine without a driver.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "ptx_machine.h"

namespace lathe::ptx {

class TestMachine {
 public:
  TestMachine() : findings_("/dev/null") {}

  // Device memory with these values.
  template <typename T>
  uint64_t Put(const std::vector<T>& values) {
    const uint64_t address = Room(values.size() * sizeof(T));
    std::memcpy(reinterpret_cast<void*>(address), values.data(), values.size() * sizeof(T));
    memory_.MarkWritten(address, values.size() * sizeof(T));
    return address;
  }
  // Device memory that nobody wrote.
  uint64_t Room(size_t bytes) { return memory_.Allocate(bytes); }
  template <typename T>
  std::vector<T> Get(uint64_t address, size_t count) const {
    std::vector<T> values(count);
    std::memcpy(values.data(), reinterpret_cast<const void*>(address), count * sizeof(T));
    return values;
  }

  // Kernel "k" of that text, with 64-bit parameters. The code that a launch of the driver would end with; -1: the text was not accepted.
  int Run(const std::string& text, std::array<uint32_t, 3> threads, const std::vector<uint64_t>& parameters, uint32_t blocks = 1,
          AccessCounts* counts = nullptr) {
    Result<std::unique_ptr<Module>> module = LoadModule(text);
    if (!module) {
      ADD_FAILURE() << module.error().message << '\n' << text;
      return -1;
    }
    Grid grid;
    grid.kernel = &(*module)->kernels.at("k");
    grid.blocks = {blocks, 1, 1};
    grid.threads = threads;
    grid.parameters.resize(grid.kernel->parameter_bytes);
    std::memcpy(grid.parameters.data(), parameters.data(), std::min(grid.parameters.size(), parameters.size() * 8));
    grid.shared_bytes = grid.kernel->shared_bytes;
    grid.memory = &memory_;
    grid.findings = &findings_;
    grid.counts = counts;
    grid.tells_unwritten_global = true;
    for (const Variable& variable : (*module)->variables)
      memory_.Add(reinterpret_cast<uint64_t>(variable.memory.get()), variable.bytes, variable.read_only);
    const int code = RunGrid(grid);
    for (const Variable& variable : (*module)->variables) memory_.Free(reinterpret_cast<uint64_t>(variable.memory.get()));
    return code;
  }

  const std::string& findings() const { return findings_.all(); }

 private:
  DeviceMemory memory_;
  Findings findings_;
};

// A kernel of three addresses. It begins with %tid.x in %r0 and %rd0, the addresses of this thread's 4 bytes of each in %rd1, %rd2, %rd3,
// and the bare addresses in %rd11, %rd12, %rd13.
inline std::string KernelOf(const std::string& body, const std::string& before = "") {
  return ".version 8.0\n.target sm_87\n.address_size 64\n" + before +
         ".visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)\n{\n"
         ".reg .pred %p<8>; .reg .b16 %rs<16>; .reg .b32 %r<64>; .reg .f32 %f<64>; .reg .b64 %rd<32>; .reg .f64 %fd<8>;\n"
         "mov.u32 %r0, %tid.x;\nmul.wide.u32 %rd10, %r0, 4;\ncvt.u64.u32 %rd0, %r0;\n"
         "ld.param.u64 %rd11, [a];\nld.param.u64 %rd12, [b];\nld.param.u64 %rd13, [c];\n"
         "add.s64 %rd1, %rd11, %rd10;\nadd.s64 %rd2, %rd12, %rd10;\nadd.s64 %rd3, %rd13, %rd10;\n" +
         body + "\nret;\n}\n";
}

}  // namespace lathe::ptx
