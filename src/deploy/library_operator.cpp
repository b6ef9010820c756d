#include "deploy/library_operator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "codegen/c_literal.h"
#include "codegen/candidate_source.h"
#include "codegen/fallback_source.h"
#include "codegen/macros.h"
#include "deploy/library_files.h"
#include "space/evaluate.h"

namespace lathe {
namespace {

std::string CamelCase(const std::string& name) {
  std::string result;
  bool upper = true;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
    } else {
      result += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
      upper = false;
    }
  }
  return result;
}

}  // namespace

std::string WhenText(const Operator& op, const nlohmann::ordered_json& tensor) {
  if (!tensor.contains("when")) return "";
  std::string when = ExpressionTextOf(tensor["when"]);
  const auto truth = std::find_if(op.attributes().begin(), op.attributes().end(), [&](const Attribute& attribute) {
    return attribute.type == AttributeType::kBool && attribute.name == when;
  });
  return truth != op.attributes().end() ? when + "=1" : when;
}

std::string LibraryOperator::MatchEnumerator(Match match) { return "LATHE_MATCH_" + Capitals(ToString(match)); }

std::string LibraryOperator::ChoiceEnumerator(const std::string& attribute, const std::string& choice) const {
  return fmt::format("LATHE_{}_{}_{}", Capitals(op_.name()), Capitals(attribute), Capitals(choice));
}

std::vector<LibraryOperator::TensorFacts> LibraryOperator::TensorsOf() const {
  std::vector<TensorFacts> tensors;
  for (const auto& [name, spec] : op_.manifest()["tensors"].items()) {
    const std::optional<DType> dtype = ParseDType(spec["dtype"].get<std::string>());
    const TensorRole role = spec["role"] == "in" ? TensorRole::kIn : spec["role"] == "constant" ? TensorRole::kConstant : TensorRole::kOut;
    tensors.push_back({name, role, dtype ? CppName(*dtype) : "void", &spec});
  }
  return tensors;
}

// "const float* input, float* output": the constants, or all the others.
std::string LibraryOperator::Arguments(bool constants, bool with_types) const {
  std::string arguments;
  for (const TensorFacts& tensor : TensorsOf()) {
    if ((tensor.role == TensorRole::kConstant) != constants) continue;
    if (with_types) arguments += fmt::format("{}{}* ", tensor.role == TensorRole::kOut ? "" : "const ", tensor.c_type);
    arguments += tensor.name + ", ";
  }
  return arguments;
}

std::string LibraryOperator::PublicDeclarations() const {
  const std::string& op = op_.name();
  std::string text = fmt::format("/* ---- {}: {} ---- */\n\n", op, op_.summary());
  for (const Attribute& attribute : op_.attributes()) {
    if (attribute.type != AttributeType::kChoice) continue;
    text += "enum {\n";
    for (size_t i = 0; i < attribute.choices.size(); ++i)
      text += fmt::format("  {} = {},\n", ChoiceEnumerator(attribute.name, attribute.choices[i]), i + 1);
    text += "};\n";
  }
  text += fmt::format("typedef struct lathe_{}_workload {{\n", op);
  for (const Attribute& attribute : op_.attributes()) {
    std::string note = attribute.meaning;
    if (attribute.type == AttributeType::kChoice) note += (note.empty() ? "" : "; ") + std::string("one of the names above");
    if (attribute.dynamic) note += (note.empty() ? "" : "; ") + std::string("a kernel answers any value");
    text += fmt::format("  {} {};{}\n", attribute.type == AttributeType::kFloat ? "double" : "int64_t", attribute.name,
                        note.empty() ? "" : fmt::format("  /* {} */", note));
  }
  text += fmt::format(
      "}} lathe_{0}_workload;\n\n/* What an attribute is unless you say otherwise; those without a default are 0 and must be set. */\n"
      "lathe_{0}_workload lathe_{0}_defaults(void);\n\n",
      op);
  text += "/* Tensors:";
  for (const TensorFacts& tensor : TensorsOf())
    text += fmt::format("\n *   {} [{}]", tensor.name, [&] {
      const auto& shape = (*tensor.spec)["shape"];
      std::string extents;
      if (shape.is_object()) {
        for (const auto& [key, list] : shape.items())
          if (key != "by") {
            extents += (extents.empty() ? "" : "] or [") + key + ": ";
            for (size_t i = 0; i < list.size(); ++i) extents += (i == 0 ? "" : ", ") + ExpressionTextOf(list[i]);
          }
      } else {
        for (size_t i = 0; i < shape.size(); ++i) extents += (i == 0 ? "" : ", ") + ExpressionTextOf(shape[i]);
      }
      return extents;
    }());
  text += "\n */\n";
  text += fmt::format(
      "size_t lathe_{0}_tensor_bytes(const lathe_{0}_workload* workload, int tensor); /* in the order above; 0 where absent, SIZE_MAX "
      "where no memory holds it */\n\n",
      op);
  text += fmt::format(
      "/* Chooses a kernel and packs the constants, which may be freed afterwards. On failure *kernel is null and lathe_last_error() says "
      "why. */\n"
      "typedef struct lathe_{0} lathe_{0};\n"
      "lathe_status lathe_{0}_create(const lathe_{0}_workload* workload, {1}uint32_t flags, lathe_{0}** kernel);\n"
      "lathe_match lathe_{0}_match(const lathe_{0}* kernel);\n"
      "const char* lathe_{0}_reason(const lathe_{0}* kernel);\n"
      "/* Allocates nothing. One call at a time per handle: it owns the kernel's scratch memory. parallel may be null: one thread. */\n"
      "lathe_status lathe_{0}_run(lathe_{0}* kernel, {2}const lathe_parallel* parallel);\n"
      "void lathe_{0}_destroy(lathe_{0}* kernel);\n\n",
      op, Arguments(true, true), Arguments(false, true));
  return text;
}

std::string LibraryOperator::CppClass() const {
  const std::string name = CamelCase(op_.name());
  std::string constants = Arguments(true, true);
  return fmt::format(
      "// {5}\nclass {0} {{\n public:\n"
      "  {0}(const lathe_{1}_workload& workload, {2}uint32_t flags = 0) {{\n"
      "    Check(lathe_{1}_create(&workload, {3}flags, &kernel_));\n  }}\n"
      "  {0}({0}&& other) noexcept : kernel_(std::exchange(other.kernel_, nullptr)) {{}}\n"
      "  {0}& operator=({0}&& other) noexcept {{ std::swap(kernel_, other.kernel_); return *this; }}\n"
      "  {0}(const {0}&) = delete;\n  {0}& operator=(const {0}&) = delete;\n"
      "  ~{0}() {{ lathe_{1}_destroy(kernel_); }}\n"
      "  void Run({4}const lathe_parallel* parallel = nullptr) {{ Check(lathe_{1}_run(kernel_, {6}parallel)); }}\n"
      "  lathe_match match() const {{ return lathe_{1}_match(kernel_); }}\n"
      "  const char* reason() const {{ return lathe_{1}_reason(kernel_); }}\n\n"
      " private:\n  lathe_{1}* kernel_ = nullptr;\n}};\n\n",
      name, op_.name(), constants, Arguments(true, false), Arguments(false, true), op_.summary(), Arguments(false, false));
}

std::string LibraryOperator::WorkloadInitialiser(const Workload& workload) const {
  std::string text;
  for (const Attribute& attribute : op_.attributes()) {
    const Value& value = *Find(workload.attributes, attribute.name);
    const auto* choice = std::get_if<std::string>(&value);
    text += (text.empty() ? "" : ", ") + (choice != nullptr ? ChoiceEnumerator(attribute.name, *choice) : ToString(value));
  }
  return '{' + text + '}';
}

std::string LibraryOperator::KernelSymbol(size_t kernel) const { return fmt::format("lathe_{}_{}_", op_.name(), kernel); }

Result<std::string> LibraryOperator::InternalHeader() const {
  Result<std::string> facts = FactsStruct(op_, kLibraryPrefix);
  if (!facts) return facts.error();
  return fmt::format(
      "#pragma once\n#include \"lathe_kernels.h\"\n\n// The workload first, member for member; then what follows from it.\n{}"
      "extern \"C\" void lathe_{}_complete(lathe_{}_facts* facts);  // computes what follows\n",
      *facts, op_.name(), op_.name());
}

Status LibraryOperator::AddSources(LibraryFiles& files, std::vector<std::pair<std::string, std::string>>& kernel_sources,
                                   std::vector<std::string>& plain_sources) const {
  Result<std::string> header = InternalHeader();
  if (!header) return header.error();
  Result<std::string> dispatch = Dispatch();
  if (!dispatch) return dispatch.error();
  const std::string& op = op_.name();
  files[fmt::format("src/{}_facts.h", op)] = *header;
  files[fmt::format("src/{}.cpp", op)] = *dispatch;
  plain_sources.push_back(fmt::format("src/{}.cpp", op));
  const std::vector<DTypeChoice> dtypes = DTypeChoices(op_);
  for (size_t d = 0; d < dtypes.size(); ++d) {
    Result<std::string> fallback =
        FallbackSource(library_, op_, dtypes[d], kLibraryPrefix, op + "_facts.h", fmt::format("lathe_{}_fallback{}_", op, d));
    if (!fallback) return fallback.error();
    const std::string name = fmt::format("src/{}_fallback{}.cpp", op, d);
    files[name] = *fallback;
    plain_sources.push_back(name);
  }
  for (size_t i = 0; i < kernels_.size(); ++i) {
    if (!kernels_[i].candidate) continue;
    const Candidate& candidate = *kernels_[i].candidate;
    Result<std::string> source = CandidateSource(library_, candidate, target_, {KernelSymbol(i)});
    if (!source) return source.error();
    const std::string name = fmt::format("src/kernels/{}_{}.cpp", op, i);
    files[name] =
        fmt::format("// {}\n// {} {}\n{}", candidate.workload.Key(), candidate.template_name, ToString(candidate.config), *source);
    std::string flags;
    for (const std::string& flag : (*library_.FindTemplate(op + '/' + candidate.template_name))->Flags("cpu"))
      flags += (flags.empty() ? "" : ";") + flag;
    kernel_sources.emplace_back(name, flags);
  }
  return {};
}

std::string LibraryOperator::InfoRows() const {
  std::string rows;
  for (const PlannedKernel& kernel : kernels_) {
    rows += fmt::format(
        "    {{{}, {}, {}, {},\n     {}, {}, {}, {}, {}, {}, {}}},\n", CLiteral(op_.name()), CLiteral(kernel.workload.Key()),
        MatchEnumerator(kernel.match), CLiteral(kernel.reason), CLiteral(kernel.candidate ? kernel.candidate->template_name : ""),
        CLiteral(kernel.candidate ? ToString(kernel.candidate->config) : ""), CLiteral(kernel.origin ? kernel.origin->target.Key() : ""),
        kernel.origin ? kernel.origin->seconds : 0.0, kernel.origin ? kernel.origin->untuned_seconds : 0.0,
        CLiteral(kernel.origin ? kernel.origin->run_id : ""), kernel.origin ? kernel.origin->finished_unix_ms : 0);
  }
  return rows;
}

// Each kernel and, for its answer, the same call with LATHE_FORCE_FALLBACK; then a workload the library was not made for.
Result<std::string> LibraryOperator::TestFunctions() const {
  const std::string& op = op_.name();
  std::string cases;
  const auto add = [&](const Workload& workload, const std::vector<TensorShape>& tensors, const std::string& name) {
    std::string rows;
    for (const TensorShape& tensor : tensors)
      rows += fmt::format("{{{}, {}, {}, {}, {}, {}, {}, {}, {}}}, ", CLiteral(tensor.name),
                          tensor.role == TensorRole::kIn         ? "'i'"
                          : tensor.role == TensorRole::kConstant ? "'c'"
                                                                 : "'o'",
                          CLiteral(ToString(tensor.dtype)), tensor.filling.low, tensor.filling.high, tensor.filling.integers,
                          tensor.tolerance.exact, tensor.tolerance.relative, tensor.tolerance.absolute);
    cases += fmt::format("    {{{}, {}, {{{}}}}},\n", CLiteral(name), WorkloadInitialiser(workload), rows);
  };
  for (const PlannedKernel& kernel : kernels_) {
    Result<std::vector<TensorShape>> tensors = op_.Tensors(kernel.workload);
    if (kernel.candidate) tensors = (*library_.FindTemplate(op + '/' + kernel.candidate->template_name))->Tensors(op_, kernel.workload);
    if (!tensors) return tensors.error();
    add(kernel.workload, *tensors, kernel.workload.Key());
  }
  if (op_.manifest().contains("test_workloads") && !op_.manifest()["test_workloads"].empty()) {
    Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(op_.manifest()["test_workloads"][0]));
    if (!attributes) return attributes.error();
    Result<Workload> workload = op_.Normalise({op, *attributes});
    if (!workload) return workload.error();
    Result<std::vector<TensorShape>> tensors = op_.Tensors(*workload);
    if (!tensors) return tensors.error();
    add(*workload, *tensors, "a workload the library was not made for: " + workload->Key());
  }

  const std::vector<TensorFacts> tensors = TensorsOf();
  std::string constants, others, dynamic;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const std::string pointer = fmt::format("static_cast<{}*>(tensors[{}]), ", tensors[t].c_type, t);
    (tensors[t].role == TensorRole::kConstant ? constants : others) += pointer;
  }
  for (const Attribute& attribute : op_.attributes())
    if (attribute.dynamic) dynamic += fmt::format("{}workload.{}", dynamic.empty() ? "" : ", ", attribute.name);
  std::string make_inputs, make_inputs_extern;
  if (op_.makes_inputs()) {
    const std::vector<DTypeChoice> dtypes = DTypeChoices(op_);
    for (size_t d = 0; d < dtypes.size(); ++d) {
      make_inputs_extern += fmt::format(
          "extern \"C\" void lathe_{0}_fallback{1}_make_inputs(const lathe_{0}_facts* facts, const lathe_call* call, uint64_t seed);\n", op,
          d);
      std::string condition = "true";
      for (const auto& [name, value] : dtypes[d])
        condition += fmt::format(" && facts.{} == {}", name, ChoiceEnumerator(name, std::get<std::string>(value)));
      make_inputs += fmt::format("    if ({}) lathe_{}_fallback{}_make_inputs(&facts, &call, 1);\n", condition, op, d);
    }
  }
  return FilledLibraryFile("test_operator.cpp", {{"@OP@", op},
                                                 {"@TENSORS@", std::to_string(tensors.size())},
                                                 {"@CASES@", cases},
                                                 {"@CONSTANTS@", constants},
                                                 {"@OTHERS@", others},
                                                 {"@DYNAMIC@", dynamic.empty() ? "0" : dynamic},
                                                 {"@MAKE_INPUTS_EXTERN@", make_inputs_extern},
                                                 {"@MAKE_INPUTS@", make_inputs}});
}

}  // namespace lathe
