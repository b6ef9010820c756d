// A candidate, and a workload's reference, as text: what a machine that has no templates needs in order to build, run and verify them. The
// local measurer renders them just before building; for a board that happens on the host, and only this crosses the network.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "core/target.h"
#include "measure/artifact_cache.h"
#include "space/template_library.h"

namespace lathe {

// What a worker is told beyond the workload's dynamic attributes.
struct JobSpec {
  std::string runner;                // the worker's Runner: "cpu"
  std::vector<TensorShape> tensors;  // as the operator states them, with the template's tolerances
  std::vector<size_t> packed_bytes;  // indexed like tensors; 0 where the kernel takes the plain one
  size_t workspace_bytes = 0;
  std::string runner_options;       // text of the runner's own: launch geometry, device index
  bool limit_address_space = true;  // false where a driver reserves huge ranges
  bool confine = true;              // false where a driver needs files, processes or sockets
};

struct ReferenceText {
  std::string key;  // names it among a workshop's references: another text has another key
  std::vector<TensorShape> tensors;
  std::vector<int64_t> dynamic;  // values of the dynamic attributes, in the operator's order
  bool makes_inputs = false;
  std::string source;
  std::optional<Artifact> artifact;  // built elsewhere: the source is not needed then
};

struct CandidateText {
  std::string source;              // one translation unit
  std::vector<std::string> flags;  // the template's own
  // What the templates know of it: tensors, packing, workspace, launches. The rest is the backend's to fill in, on the machine that has the
  // device: nobody else decides how a worker is confined.
  JobSpec spec;
  std::shared_ptr<const ReferenceText> reference;  // null: the workshop's own templates have it
  std::optional<Artifact> artifact;                // built elsewhere: the source is not needed then
};

// Fails when the candidate is not one of this library's and target's.
Result<CandidateText> RenderCandidate(const TemplateLibrary& library, const Candidate& candidate, const Target& target);
// The workload must be normalised.
Result<ReferenceText> RenderReference(const TemplateLibrary& library, const Workload& workload);

}  // namespace lathe
