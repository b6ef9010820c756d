#include "ptx_module.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "decoding.h"

namespace lathe::ptx {
namespace {

uint64_t AlignUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

struct InstructionSet {
  Forms forms;
  Decoders decoders;
  InstructionSet() {
    AddArithmetic(forms);
    AddConversions(decoders);
    AddMemoryInstructions(decoders);
    AddAsynchronousCopies(decoders);
    AddWarpInstructions(decoders);
    AddTensorInstructions(decoders);
  }
};

const InstructionSet& Instructions() {
  static const InstructionSet set;
  return set;
}

// Also the `Decoding` of each of its instructions in turn.
class KernelLoader : public Decoding {
 public:
  KernelLoader(const KernelText& text, const std::map<std::string, uint64_t>& global_addresses)
      : kernel_text_(text), addresses_(global_addresses) {}

  Kernel Run(const std::vector<VariableText>& module_variables) {
    kernel_.name = kernel_text_.name;
    kernel_.most_threads = kernel_text_.most_threads;
    kernel_.exact_threads = kernel_text_.exact_threads;
    PlaceParameters();
    PlaceRegisters();
    PlaceVariables(module_variables);
    for (const InstructionText& text : kernel_text_.instructions) {
      text_ = &text;
      kernel_.code.push_back(Decode());
      kernel_.sources.push_back({text.line, text.text});
    }
    text_ = nullptr;
    // Where the text just ends, threads do.
    Instruction end;
    end.flow = Flow::kExit;
    kernel_.code.push_back(end);
    kernel_.sources.push_back({0, "(the kernel's end)"});
    kernel_.constants.resize(kernel_.slot_bytes - kernel_.constants_at);
    return std::move(kernel_);
  }

  const InstructionText& text() const override { return *text_; }

  uint32_t Slot(const OperandText& operand, uint8_t bytes) override {
    if (operand.kind == OperandText::Kind::kNumber) return NumberSlot(BitsOf(operand.number, bytes, text_->line), bytes);
    if (operand.kind != OperandText::Kind::kName) Refuse("a register or a number should stand here");
    if (const auto address = addresses_.find(operand.name); address != addresses_.end()) {
      if (bytes != 4 && bytes != 8) Refuse("an address has 4 or 8 bytes");
      return NumberSlot(address->second + static_cast<uint64_t>(operand.offset), bytes);
    }
    uint8_t there = 0;
    const uint32_t slot = Slot(operand, &there);
    if (there != bytes) Refuse("'" + operand.name + "' has another size");
    return slot;
  }

  uint32_t Slot(const OperandText& operand, uint8_t* bytes) override {
    const auto found = operand.kind == OperandText::Kind::kName && operand.offset == 0 ? registers_.find(operand.name) : registers_.end();
    if (found == registers_.end()) Refuse("'" + operand.name + "' is no register that is known");
    *bytes = found->second.bytes;
    return found->second.slot;
  }

  uint32_t NumberSlot(uint64_t bits, uint8_t bytes) {
    const auto [found, is_new] = numbers_.emplace(std::pair(bytes, bits), 0);
    if (!is_new) return found->second;
    found->second = NewSlot(bytes);
    kernel_.constants.resize(kernel_.slot_bytes - kernel_.constants_at);
    uint8_t* at = kernel_.constants.data() + (found->second - kernel_.constants_at);
    if (bytes == kPredicateBytes) {
      const Mask mask = bits != 0 ? kAllLanes : 0;
      std::memcpy(at, &mask, sizeof mask);
    } else {
      for (uint32_t lane = 0; lane < kLanes; ++lane) std::memcpy(at + lane * bytes, &bits, bytes);
    }
    return found->second;
  }

  void Address(const OperandText& operand, Instruction& instruction) override {
    if (operand.kind != OperandText::Kind::kAddress) Refuse("an address should stand here");
    instruction.offset = operand.offset;
    instruction.address_bytes = 8;
    const auto symbol = addresses_.find(operand.name);
    if (operand.name.empty() || symbol != addresses_.end()) {
      instruction.at[4] = NumberSlot(operand.name.empty() ? 0 : symbol->second, 8);
      return;
    }
    OperandText plain = operand;
    plain.kind = OperandText::Kind::kName;
    plain.offset = 0;
    instruction.at[4] = Slot(plain, &instruction.address_bytes);
    if (instruction.address_bytes != 8 && (instruction.address_bytes != 4 || instruction.space != Space::kShared))
      Refuse("this register is too small for an address");
  }

  uint32_t Label(const OperandText& operand) override {
    const auto found = kernel_text_.labels.find(operand.name);
    if (found == kernel_text_.labels.end()) Refuse("there is no label '" + operand.name + "'");
    return found->second;
  }

  const Kernel::Parameter& Parameter(const OperandText& operand) override {
    for (const Kernel::Parameter& parameter : kernel_.parameters)
      if (parameter.name == operand.name && operand.kind == OperandText::Kind::kAddress) return parameter;
    Refuse("there is no parameter '" + operand.name + "'");
  }

  void NoteAccess(uint32_t bytes) override { kernel_.granule = std::min(kernel_.granule, bytes); }

 private:
  struct Register {
    uint32_t slot = 0;
    uint8_t bytes = 0;
  };

  uint32_t NewSlot(uint8_t bytes) {
    constexpr uint64_t kSlotAlignment = 64;
    const uint64_t slot = kernel_.slot_bytes;
    kernel_.slot_bytes += AlignUp(bytes == kPredicateBytes ? sizeof(Mask) : uint64_t{bytes} * kLanes, kSlotAlignment);
    return static_cast<uint32_t>(slot);
  }

  void PlaceParameters() {
    for (const KernelText::Parameter& parameter : kernel_text_.parameters) {
      const uint64_t at = AlignUp(kernel_.parameter_bytes, parameter.alignment);
      kernel_.parameters.push_back({parameter.name, at, parameter.bytes});
      kernel_.parameter_bytes = at + parameter.bytes;
    }
  }

  void PlaceRegisters() {
    static constexpr std::array<const char*, kSpecials> names = {
        "%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",     "%ntid.z", "%ctaid.x",
        "%ctaid.y",     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",   "%laneid", "%warpid",
        "%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge"};
    for (uint32_t i = 0; i < kSpecials; ++i) registers_[names[i]] = {NewSlot(4), 4};
    for (const RegisterText& one : kernel_text_.registers) registers_[one.name] = {NewSlot(one.bytes), one.bytes};
    kernel_.constants_at = kernel_.slot_bytes;
  }

  void PlaceVariables(const std::vector<VariableText>& module_variables) {
    const auto place = [&](const VariableText& variable) {
      if (variable.space != "shared" && variable.space != "local") return;
      uint64_t& all = variable.space == "shared" ? kernel_.shared_bytes : kernel_.local_bytes;
      all = AlignUp(all, variable.alignment);
      addresses_[variable.name] = all + (variable.space == "shared" ? kSharedBase : 0);
      all += variable.bytes;
    };
    std::vector<VariableText> all = module_variables;
    all.insert(all.end(), kernel_text_.variables.begin(), kernel_text_.variables.end());
    for (const VariableText& variable : all)
      if (!variable.is_extern) place(variable);
    // What a launch adds lies behind everything that is declared.
    for (const VariableText& variable : all)
      if (variable.is_extern) place(variable);
    kernel_.local_bytes = AlignUp(kernel_.local_bytes, 16);
  }

  Instruction Decode() {
    const InstructionText& text = *text_;
    Instruction instruction;
    if (!text.guard.empty()) {
      OperandText guard;
      guard.name = text.guard;
      instruction.guard = Slot(guard, kPredicateBytes);
      instruction.guard_negated = text.guard_negated;
    }
    if (const auto form = Instructions().forms.find(text.opcode); form != Instructions().forms.end()) {
      ExpectOperands(form->second.bytes.size());
      instruction.run = form->second.run;
      for (size_t i = 0; i < text.operands.size(); ++i) {
        if (i == 0 && text.operands[0].kind != OperandText::Kind::kName) Refuse("it cannot write there");
        instruction.at[i] = Slot(text.operands[i], form->second.bytes[i]);
      }
      return instruction;
    }
    const auto decoder = Instructions().decoders.find(Words()[0]);
    if (decoder == Instructions().decoders.end()) Refuse("this instruction is not known");
    decoder->second(*this, instruction);
    return instruction;
  }

  const KernelText& kernel_text_;
  const InstructionText* text_ = nullptr;
  Kernel kernel_;
  std::map<std::string, uint64_t> addresses_;  // of variables
  std::unordered_map<std::string, Register> registers_;
  std::map<std::pair<uint8_t, uint64_t>, uint32_t> numbers_;
};

Variable MakeVariable(const VariableText& text) {
  Variable variable;
  variable.name = text.name;
  variable.read_only = text.space == "const";
  variable.bytes = text.bytes;
  const uint64_t whole = AlignUp(std::max<uint64_t>(text.bytes, 1), 256);
  variable.memory = {static_cast<uint8_t*>(std::aligned_alloc(256, whole)), std::free};
  std::memset(variable.memory.get(), 0, whole);
  std::copy(text.initial.begin(), text.initial.end(), variable.memory.get());
  return variable;
}

}  // namespace

std::vector<std::string> Decoding::Words() const {
  std::vector<std::string> words;
  const std::string& opcode = text().opcode;
  for (size_t at = 0; at <= opcode.size();) {
    const size_t dot = std::min(opcode.find('.', at), opcode.size());
    words.push_back(opcode.substr(at, dot - at));
    at = dot + 1;
  }
  return words;
}

Result<std::unique_ptr<Module>> LoadModule(const std::string& text) {
  try {
    const ModuleText parsed = Parse(text);
    auto module = std::make_unique<Module>();
    module->target = parsed.target;
    std::map<std::string, uint64_t> addresses;
    for (const VariableText& variable : parsed.variables) {
      if (variable.space != "const" && variable.space != "global") continue;
      module->variables.push_back(MakeVariable(variable));
      addresses[variable.name] = reinterpret_cast<uint64_t>(module->variables.back().memory.get());
    }
    for (const KernelText& kernel : parsed.kernels)
      module->kernels.emplace(kernel.name, KernelLoader(kernel, addresses).Run(parsed.variables));
    return module;
  } catch (const Refusal& refusal) {
    return Error{ErrorCode::kInvalidInput, std::string("load PTX: ") + refusal.what()};
  }
}

}  // namespace lathe::ptx
