// LibraryOperator: everything a kernel library says about one operator.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "deploy/kernel_library.h"
#include "deploy/library_plan.h"

namespace lathe {

// Before every name that a library keeps to itself.
inline constexpr const char* kLibraryPrefix = "lathe";

// In which workloads a tensor of operator.json is there, for people: "bias=1", "levels > 1"; empty where in all.
std::string WhenText(const Operator& op, const nlohmann::ordered_json& tensor);

class LibraryOperator {
 public:
  // `kernels` are the plan's for this operator, in order.
  LibraryOperator(const TemplateLibrary& library, const Operator& op, const Target& target, std::vector<PlannedKernel> kernels)
      : library_(library), op_(op), target_(target), kernels_(std::move(kernels)) {}

  std::string PublicDeclarations() const;  // for lathe_kernels.h
  std::string CppClass() const;            // for lathe_kernels.hpp
  // Adds src/OP.h, src/OP.cpp, the kernels and fallbacks; appends the kernel sources' names and flags to `kernel_sources`.
  Status AddSources(LibraryFiles& files, std::vector<std::pair<std::string, std::string>>& kernel_sources,
                    std::vector<std::string>& plain_sources) const;
  Result<std::string> TestFunctions() const;  // for test/kernels_test.cpp: `static void TestOP()` and what it needs
  std::string TestName() const { return "Test_" + op_.name(); }
  std::string InfoRows() const;  // initialisers of lathe_kernel_info

 private:
  struct TensorFacts {
    std::string name;
    TensorRole role;
    std::string c_type;  // "float", or "void" where the dtype is an attribute
    const nlohmann::ordered_json* spec;
  };
  std::vector<TensorFacts> TensorsOf() const;
  std::string Arguments(bool constants, bool with_types) const;
  static std::string MatchEnumerator(Match match);
  std::string ChoiceEnumerator(const std::string& attribute, const std::string& choice) const;
  std::string WorkloadInitialiser(const Workload& workload) const;
  Result<std::string> InternalHeader() const;
  Result<std::string> Dispatch() const;
  std::string DifferenceOf(const Attribute& attribute) const;
  std::string PrintOf(const Attribute& attribute) const;
  Result<std::string> TensorBytes() const;
  Result<std::string> WorkspaceFunction(size_t kernel, const KernelTemplate& tmpl) const;
  Result<std::string> Entries(std::string& externs, std::string& functions) const;
  std::string KernelSymbol(size_t kernel) const;

  const TemplateLibrary& library_;
  const Operator& op_;
  const Target& target_;
  std::vector<PlannedKernel> kernels_;
};

}  // namespace lathe
