// Config and Candidate: one point of a space, and that point ready to build.
#pragma once

#include <string>

#include "core/value.h"
#include "core/workload.h"

namespace lathe {

// The values of a template's parameters, in the template's order.
using Config = NamedValues;

struct Candidate {
  Workload workload;
  std::string template_name;  // unique within the operator
  std::string template_hash;  // of manifest, source and operator: another hash makes old measurements history
  Config config;

  // "conv2d:…|direct_cpu@1a2b3c4d|LANES=16,TILE_K=2": the same key is the same kernel on the same target.
  std::string Key() const { return workload.Key() + '|' + template_name + '@' + template_hash + '|' + ToString(config); }
};

}  // namespace lathe
