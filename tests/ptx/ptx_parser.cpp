#include "ptx_parser.h"

#include <cctype>
#include <cstring>

namespace lathe::ptx {
namespace {

struct Token {
  std::string text;  // empty at the end
  uint32_t line = 0;
};

bool IsWordStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.'; }
bool IsWord(char c) { return IsWordStart(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::vector<Token> Tokens(const std::string& text) {
  std::vector<Token> tokens;
  uint32_t line = 1;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == 0) {
      ++i;
    } else if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const size_t end = text.find("*/", i);
      if (end == std::string::npos) throw Refusal("a comment does not end", line);
      for (; i < end + 2; ++i) line += text[i] == '\n' ? 1 : 0;
    } else if (c == '"') {
      const size_t end = text.find('"', i + 1);
      if (end == std::string::npos) throw Refusal("a string does not end", line);
      tokens.push_back({text.substr(i, end + 1 - i), line});
      i = end + 1;
    } else if (IsWord(c)) {
      size_t end = i + 1;
      // Numbers are words, too: 0f3F800000, 0x1F, 8.8. A double colon belongs to a word: .shared::cta
      while (end < text.size() && (IsWord(text[end]) || (text.compare(end, 2, "::") == 0 && ++end < text.size()))) ++end;
      tokens.push_back({text.substr(i, end - i), line});
      i = end;
    } else {
      tokens.push_back({std::string(1, c), line});
      ++i;
    }
  }
  tokens.insert(tokens.end(), 2, {"", line});  // one may always look one further
  return tokens;
}

class Parser {
 public:
  explicit Parser(const std::string& text) : tokens_(Tokens(text)) {}

  ModuleText Run() {
    ModuleText module;
    while (!Next().empty()) {
      if (Take(".version")) {
        module.version = Word();
      } else if (Take(".target")) {
        module.target = Word();
        while (Take(",")) Word();
      } else if (Take(".address_size")) {
        if (Word() != "64") Refuse("addresses are not of 64 bits");
      } else {
        const bool is_extern = Next() == ".extern";
        while (Next() == ".visible" || Next() == ".weak" || Next() == ".extern") Word();
        if (Take(".entry"))
          module.kernels.push_back(Kernel());
        else
          module.variables.push_back(Variable(is_extern));
      }
    }
    if (module.version.empty() || module.target.empty()) Refuse("there is no .version and .target: this is no PTX");
    if (module.kernels.empty()) Refuse("there is no kernel");
    return module;
  }

 private:
  [[noreturn]] void Refuse(const std::string& why) const { throw Refusal(why, tokens_[at_].line); }
  const std::string& Next() const { return tokens_[at_].text; }
  bool Take(const char* text) {
    if (Next() != text) return false;
    ++at_;
    return true;
  }
  void Expect(const char* text) {
    if (!Take(text)) Refuse(std::string("'") + text + "' should stand where '" + Next() + "' is");
  }
  std::string Word() {
    if (Next().empty()) Refuse("the text ends early");
    return tokens_[at_++].text;
  }
  int64_t Whole() {
    const bool negative = Take("-");
    const std::string word = Word();
    char* end = nullptr;
    std::string digits = word;
    if (!digits.empty() && digits.back() == 'U') digits.pop_back();
    const uint64_t value = std::strtoull(digits.c_str(), &end, 0);
    if (digits.empty() || *end != 0) Refuse("'" + word + "' is no whole number");
    return static_cast<int64_t>(negative ? 0 - value : value);
  }

  KernelText Kernel() {
    KernelText kernel;
    kernel.name = Word();
    if (Take("(")) {
      while (!Take(")")) {
        Expect(".param");
        KernelText::Parameter parameter;
        if (Take(".align")) parameter.alignment = static_cast<uint64_t>(Whole());
        parameter.bytes = BytesOfType(Word(), tokens_[at_].line);
        if (parameter.alignment < parameter.bytes) parameter.alignment = parameter.bytes;
        while (Next() == ".ptr" || Next() == ".global" || Next() == ".align") {
          if (Word() == ".align") Whole();
        }
        parameter.name = Word();
        if (Take("[")) {
          parameter.bytes *= static_cast<uint64_t>(Whole());
          Expect("]");
        }
        kernel.parameters.push_back(parameter);
        if (Next() != ")") Expect(",");
      }
    }
    while (Next() != "{") {
      const std::string directive = Word();
      if (directive == ".maxntid" || directive == ".reqntid") {
        kernel.exact_threads = directive == ".reqntid";
        kernel.most_threads = {1, 1, 1};
        size_t i = 0;
        do {
          if (i == 3) Refuse("a block has three dimensions");
          kernel.most_threads[i++] = static_cast<uint32_t>(Whole());
        } while (Take(","));
      } else if (directive == ".minnctapersm" || directive == ".maxnreg") {
        Whole();
      } else {
        Refuse("'" + directive + "' of a kernel is not known");
      }
    }
    Body(kernel);
    return kernel;
  }

  void Body(KernelText& kernel) {
    Expect("{");
    scopes_.assign(1, {});
    while (!scopes_.empty()) {
      if (Take("{")) {
        scopes_.emplace_back();
      } else if (Take("}")) {
        scopes_.pop_back();
      } else if (Take(".reg")) {
        Registers(kernel);
      } else if (Take(".pragma")) {  // hints
        while (!Take(";")) Word();
      } else if (Next() == ".shared" || Next() == ".local") {
        kernel.variables.push_back(Variable(false));
      } else if (tokens_[at_ + 1].text == ":") {
        if (!kernel.labels.emplace(Next(), static_cast<uint32_t>(kernel.instructions.size())).second)
          Refuse("label '" + Next() + "' stands twice");
        at_ += 2;
      } else {
        kernel.instructions.push_back(Instruction());
      }
    }
  }

  // .reg .b32 %r<5>, %x;
  void Registers(KernelText& kernel) {
    const uint8_t bytes = BytesOfType(Word(), tokens_[at_].line);
    if (bytes == 1 || bytes > 8) Refuse("registers of 8 and of 128 bits are not known");
    do {
      const std::string name = Word();
      if (!Take("<")) {
        Declare(kernel, name, bytes);
        continue;
      }
      const int64_t count = Whole();
      if (count < 0 || count > 1'000'000) Refuse("so many registers there cannot be");
      for (int64_t i = 0; i < count; ++i) Declare(kernel, name + std::to_string(i), bytes);
      Expect(">");
    } while (Take(","));
    Expect(";");
  }

  void Declare(KernelText& kernel, const std::string& name, uint8_t bytes) {
    const std::string own = scopes_.size() == 1 ? name : name + '@' + std::to_string(kernel.registers.size());
    if (!scopes_.back().emplace(name, own).second) Refuse("register '" + name + "' is declared twice");
    kernel.registers.push_back({own, bytes});
  }

  std::string Resolved(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    return name;
  }

  // .shared .align 16 .b8 name[64];    .const .align 4 .b8 name[8] = {1, 2, …};    .global .f32 name = 0f3F800000;
  VariableText Variable(bool is_extern) {
    VariableText variable;
    variable.is_extern = is_extern;
    variable.space = Word().substr(1);
    if (variable.space != "shared" && variable.space != "local" && variable.space != "const" && variable.space != "global")
      Refuse("'." + variable.space + "' is not known here");
    if (Take(".align")) variable.alignment = static_cast<uint64_t>(Whole());
    const uint8_t element = BytesOfType(Word(), tokens_[at_].line);
    variable.alignment = std::max<uint64_t>(variable.alignment, element);
    variable.name = Word();
    variable.bytes = element;
    while (Take("[")) {
      variable.bytes *= Next() == "]" ? 0 : static_cast<uint64_t>(Whole());
      Expect("]");
    }
    if (Take("=")) {
      variable.initial.clear();
      const bool list = Take("{");
      do {
        if (list && Next() == "}") break;
        const uint32_t line = tokens_[at_].line;
        const uint64_t bits = BitsOf(Number(), element, line);
        for (uint8_t i = 0; i < element; ++i) variable.initial.push_back(static_cast<uint8_t>(bits >> (8 * i)));
      } while (list && Take(","));
      if (list) Expect("}");
      if (variable.initial.size() > variable.bytes) Refuse("'" + variable.name + "' has more values than room");
      variable.initial.resize(variable.bytes);
    }
    Expect(";");
    return variable;
  }

  std::string Number() {
    const std::string sign = Take("-") ? "-" : "";
    if (std::isdigit(static_cast<unsigned char>(Next()[0])) == 0) Refuse("'" + Next() + "' is no number");
    return sign + Word();
  }

  InstructionText Instruction() {
    InstructionText instruction;
    const size_t first = at_;
    instruction.line = tokens_[at_].line;
    if (Take("@")) {
      instruction.guard_negated = Take("!");
      instruction.guard = Resolved(Word());
    }
    instruction.opcode = Word();
    if (!std::islower(static_cast<unsigned char>(instruction.opcode[0]))) Refuse("'" + instruction.opcode + "' is not known");
    while (!Take(";")) {
      instruction.operands.push_back(Operand());
      if (Next() != ";") Expect(",");
    }
    for (size_t i = first; i + 1 < at_; ++i) {
      const std::string& text = tokens_[i].text;
      const bool glued = text == "," || text == "]" || text == "}" || text == "+" || text == "-" || i == first ||
                         (i > 0 && std::strchr("@![{+-", tokens_[i - 1].text[0]) != nullptr);
      instruction.text += (glued ? "" : " ") + text;
    }
    return instruction;
  }

  OperandText Operand() {
    OperandText operand;
    if (Take("{")) {
      operand.kind = OperandText::Kind::kVector;
      do operand.parts.push_back(Operand());
      while (Take(","));
      Expect("}");
    } else if (Take("[")) {
      operand = Operand();
      if (operand.kind == OperandText::Kind::kNumber) {
        operand.offset = static_cast<int64_t>(std::strtoll(operand.number.c_str(), nullptr, 0));
      } else if (operand.kind != OperandText::Kind::kName) {
        Refuse("this is no address");
      }
      operand.kind = OperandText::Kind::kAddress;
      Expect("]");
    } else if (Next() == "-" || std::isdigit(static_cast<unsigned char>(Next()[0])) != 0) {
      operand.kind = OperandText::Kind::kNumber;
      operand.number = Number();
    } else {
      operand.name = Word();
      if (!IsWordStart(operand.name[0])) Refuse("'" + operand.name + "' is no operand");
      operand.name = Resolved(operand.name);
      if (Take("+"))
        operand.offset = Whole();
      else if (Next() == "-")
        operand.offset = Whole();
    }
    return operand;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::vector<std::map<std::string, std::string>> scopes_;  // a register's name as written, and its own
};

}  // namespace

uint8_t BytesOfType(const std::string& type, uint32_t line) {
  if (type == ".pred") return 0;
  if (type.size() >= 3 && type[0] == '.' && std::strchr("busf", type[1]) != nullptr) {
    const std::string bits = type.substr(2);
    for (const uint8_t bytes : {uint8_t{1}, uint8_t{2}, uint8_t{4}, uint8_t{8}, uint8_t{16}})
      if (bits == std::to_string(8 * bytes)) return bytes;
  }
  throw Refusal("type '" + type + "' is not known", line);
}

uint64_t BitsOf(const std::string& number, uint8_t bytes, uint32_t line) {
  const std::string start = number.substr(0, 2);
  if (start == "0f" || start == "0F" || start == "0d" || start == "0D") {
    if (bytes != (number[1] == 'f' || number[1] == 'F' ? 4 : 8)) throw Refusal("'" + number + "' has another size", line);
    return std::strtoull(number.c_str() + 2, nullptr, 16);
  }
  if (number.find('.') != std::string::npos) throw Refusal("'" + number + "': decimal fractions are not known", line);
  const char* digits = number.c_str() + (number[0] == '-' ? 1 : 0);
  char* end = nullptr;
  const uint64_t value = std::strtoull(digits, &end, 0);
  if (*end != 0 && std::string(end) != "U") throw Refusal("'" + number + "' is no number", line);
  return number[0] == '-' ? 0 - value : value;
}

ModuleText Parse(const std::string& text) { return Parser(text).Run(); }

}  // namespace lathe::ptx
