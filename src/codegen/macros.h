// Macros: how attributes, derived values and parameters reach a source: in capitals, a name out of a list as a number with names.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "space/kernel_template.h"
#include "space/operator.h"

namespace lathe {

std::string Capitals(std::string name);

class Macros {
 public:
  // LAYOUT_NHWC 1, LAYOUT_NCHW 2, LAYOUT LAYOUT_NHWC; or H 56. `choices` is empty unless the value is a name.
  void Add(const std::string& name, const Value& value, const std::vector<std::string>& choices);
  void AddChoices(const std::string& name, const std::vector<std::string>& choices);
  void Define(const std::string& macro, const std::string& text);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Whether each derived value is a whole number for every workload: then kernels see an int, else a double.
Result<std::map<std::string, bool>> WholeDerived(const Operator& op);

// Static attributes and the derived values that no dynamic one enters, as constants.
Result<Macros> WorkloadMacros(const Operator& op, const Workload& workload);
void AddConfigMacros(const KernelTemplate& tmpl, const Config& config, Macros& macros);

}  // namespace lathe
