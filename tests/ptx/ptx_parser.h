// PTX as text to PTX as statements: what is declared, and each instruction with its operands. What an instruction means is not known here.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace lathe::ptx {

// Why a text is not accepted. It leaves this folder as a Result.
struct Refusal : std::runtime_error {
  Refusal(const std::string& why, uint32_t line) : std::runtime_error("line " + std::to_string(line) + ": " + why) {}
};

// %r1, 0f3F800000, table+4, [%rd2+-8], {%r1, %r2}, $L__BB0_1
struct OperandText {
  enum class Kind { kName, kNumber, kAddress, kVector };
  Kind kind = Kind::kName;
  std::string name;    // a register's, a symbol's, a label's; of an address, too; empty in an absolute address
  std::string number;  // as it stands, with its sign
  int64_t offset = 0;  // behind a name
  std::vector<OperandText> parts;
};

struct InstructionText {
  std::string guard;  // "%p1", or empty
  bool guard_negated = false;
  std::string opcode;  // with all that dots add: "ld.global.nc.v4.f32"
  std::vector<OperandText> operands;
  uint32_t line = 0;
  std::string text;  // for people
};

struct VariableText {
  std::string name;
  std::string space;  // "shared", "local", "const", "global"
  bool is_extern = false;
  uint64_t bytes = 0, alignment = 1;
  std::vector<uint8_t> initial;  // as long as `bytes`, or empty
};

struct RegisterText {
  std::string name;
  uint8_t bytes = 0;  // 0: a predicate
};

struct KernelText {
  struct Parameter {
    std::string name;
    uint64_t bytes = 0, alignment = 1;
  };
  std::string name;
  std::vector<Parameter> parameters;
  std::array<uint32_t, 3> most_threads = {0, 0, 0};  // of .maxntid or .reqntid; zeros where neither stands
  bool exact_threads = false;                        // .reqntid
  std::vector<RegisterText> registers;               // those of inner scopes under names of their own
  std::vector<VariableText> variables;
  std::vector<InstructionText> instructions;
  std::map<std::string, uint32_t> labels;  // the instruction that follows
};

struct ModuleText {
  std::string version, target;
  std::vector<VariableText> variables;
  std::vector<KernelText> kernels;
};

// Throws Refusal.
ModuleText Parse(const std::string& text);

// Bytes of ".f32", ".b64", ".pred" (0). Throws Refusal.
uint8_t BytesOfType(const std::string& type, uint32_t line);
// The bits of a number for so many bytes: 12, -5, 0x1f, 7U, 0f3F800000, 0d3FF0000000000000.
uint64_t BitsOf(const std::string& number, uint8_t bytes, uint32_t line);

}  // namespace lathe::ptx
