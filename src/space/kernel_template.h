// KernelTemplate: one hand-written, parameterised kernel for an operator on a backend, as templates/OPERATOR/NAME.json states it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "core/target.h"
#include "space/operator.h"
#include "space/space.h"

namespace lathe {

// A kernel launch on a GPU, geometry evaluated for one candidate.
struct Launch {
  std::string kernel;                // name of the function
  std::vector<uint64_t> global;      // work items in each dimension, a multiple of local
  std::vector<uint64_t> local;       // work items of a group
  std::vector<int64_t> arguments;    // further ones, behind those that every kernel takes
  uint64_t dynamic_local_bytes = 0;  // CUDA: extern __shared__
};

class KernelTemplate {
 public:
  // Reads one manifest beside `op`'s; an error names file, key and reason.
  static Result<KernelTemplate> Load(const std::filesystem::path& manifest, const Operator& op);

  const std::string& name() const { return name_; }
  const std::string& operator_name() const { return operator_name_; }
  // "cpu", "opencl", "cuda", or "gpu" for one source in the GPU dialect, which is both.
  const std::string& backend() const { return backend_; }
  bool RunsOn(const std::string& target_backend) const {
    return target_backend == backend_ || (backend_ == "gpu" && (target_backend == "opencl" || target_backend == "cuda"));
  }
  const std::string& summary() const { return summary_; }
  const std::string& source() const { return source_; }            // text of the kernel
  const std::string& source_name() const { return source_name_; }  // "direct_cpu.cpp", for compiler messages
  // Further compiler flags on targets of that backend.
  std::vector<std::string> Flags(const std::string& target_backend) const;
  const std::string& hash() const {
    return hash_;
  }  // of manifest, source, prelude and operator: another hash makes old measurements history
  const nlohmann::ordered_json& manifest() const { return manifest_; }

  // Whether this template computes this (normalised) workload on this kind of target.
  Result<bool> Applies(const Operator& op, const Workload& workload, const Target& target) const;

  // The valid configurations for this workload on this target.
  Result<Space> SpaceFor(const Operator& op, const Workload& workload, const Target& target) const;

  // The outputs' tolerances and all else as the operator has them, but a template may honestly be less exact.
  Result<std::vector<TensorShape>> Tensors(const Operator& op, const Workload& workload) const;

  // Attributes, derived values, parameters and target limits by name, for the expressions below.
  Result<std::map<std::string, double>> Numbers(const Operator& op, const Workload& workload, const Target& target,
                                                const Config& config) const;

  // The tensors as the kernel takes them: a packed constant has its packed shape and dtype here. Same order as Operator::Tensors.
  Result<std::vector<TensorShape>> PackedTensors(const Operator& op, const Candidate& candidate, const Target& target) const;
  bool packs() const { return packs_; }  // has a prepare() in its source, or kernels that prepare
  Result<size_t> WorkspaceBytes(const Operator& op, const Candidate& candidate, const Target& target) const;
  // GPU only, in order: those of every run, and those that pack constants, once.
  Result<std::vector<Launch>> Launches(const Operator& op, const Candidate& candidate, const Target& target) const;
  Result<std::vector<Launch>> PrepareLaunches(const Operator& op, const Candidate& candidate, const Target& target) const;
  // Not compiled in: candidates that differ in such parameters alone share an artifact.
  bool IsLaunchOnly(const std::string& parameter) const;

  // The manifest's feature expressions, compiled once for a workload and a target: point in, values in the order of feature_names() out.
  // `space` is this template's own for the same workload and target; it outlives the function. Not thread-safe.
  const std::vector<std::string>& feature_names() const { return feature_names_; }
  Result<std::function<std::vector<double>(const Point&)>> FeaturesFor(const Operator& op, const Workload& workload, const Target& target,
                                                                       const Space& space) const;

 private:
  KernelTemplate() = default;
  friend class TemplateReader;
  Result<std::vector<Launch>> LaunchList(const char* key, const Operator& op, const Candidate& candidate, const Target& target) const;

  std::string name_, operator_name_, backend_, summary_, source_, source_name_, hash_;
  std::map<std::string, std::vector<std::string>> flags_;  // by backend; "": on each
  std::vector<std::string> feature_names_;
  bool packs_ = false;
  nlohmann::ordered_json manifest_;
};

}  // namespace lathe
