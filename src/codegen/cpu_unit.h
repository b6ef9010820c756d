// CpuUnit: the translation unit around a CPU source: prelude before it, glue with the exported C functions after it.
#pragma once

#include <string>
#include <vector>

#include "space/template_library.h"

namespace lathe {

struct CpuUnit {
  const Operator& op;
  std::vector<TensorShape> tensors;  // as the kernel takes them
  std::vector<TensorShape> plain;    // as the caller has them
  std::string prefix;                // before each exported name
};

std::string RunGlue(const CpuUnit& unit);
std::string PrepareGlue(const CpuUnit& unit, const KernelTemplate& tmpl);
std::string MakeInputsGlue(const CpuUnit& unit);
// "lathe_candidate::run(<tensors>, <dynamic attributes>, Context(CALL))", CALL a lathe_call pointer.
std::string RunCall(const CpuUnit& unit, const std::string& call);
// "lathe_candidate::make_inputs(<tensors>, <dynamic attributes>, seed)"
std::string MakeInputsCall(const CpuUnit& unit, const std::string& call);

// `before` stands in the source's own namespace, ahead of it.
std::string CpuSource(const TemplateLibrary& library, const CpuUnit& unit, const std::string& macros, const std::string& before,
                      const std::string& source_name, const std::string& source, const std::string& glue);

}  // namespace lathe
