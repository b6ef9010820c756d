// Between the protocol's messages and our own types. What comes from outside is checked here, once: sizes, counts, names, that a job's
// tensors are its reference's. An error says which field is wrong.
#pragma once

#include "core/measurement.h"
#include "core/result.h"
#include "measure/candidate_text.h"
#include "measure/measurer.h"
#include "rpc/lathe.pb.h"
#include "rpc/session_spec.h"

namespace lathe::wire {

struct Limits {
  uint64_t tensor_bytes = uint64_t{2} << 30;  // all tensors of a workload together, and likewise what a candidate packs
  uint64_t workspace_bytes = uint64_t{1} << 30;
  size_t source_bytes = size_t{1} << 20;
  int threads = 1024;
};

void Write(const SessionSpec& spec, v1::Open& message);
Result<SessionSpec> Read(const v1::Open& message, const Limits& limits);

// `artifact_sha256`: of what was built from it and uploaded; empty: its source travels.
void Write(const ReferenceText& text, const std::string& artifact_sha256, v1::Reference& message);
Result<ReferenceText> Read(const v1::Reference& message, const Limits& limits);

// Source or artifact: `artifact_sha256` is empty for a source.
void Write(const MeasureRequest& request, const std::string& artifact_sha256, v1::Job& message);
// Everything but the artifact. `reference` is the one the job names.
Result<MeasureRequest> Read(const v1::Job& message, std::shared_ptr<const ReferenceText> reference, const Limits& limits);

void Write(const Measurement& measurement, v1::MeasureResult& message);
Result<Measurement> Read(const v1::MeasureResult& message);

}  // namespace lathe::wire
