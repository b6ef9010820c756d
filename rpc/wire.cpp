#include "rpc/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/hash.h"
#include "measure/worker_protocol.h"

namespace lathe::wire {
namespace {

Error Bad(const std::string& what) { return {ErrorCode::kInvalidInput, what}; }

void Write(const SamplingOptions& options, v1::Sampling& message) {
  message.set_min_sample_seconds(options.min_sample_seconds);
  message.set_warmup_seconds(options.warmup_seconds);
  message.set_max_seconds(options.max_seconds);
  message.set_min_seconds(options.min_seconds);
  message.set_interval(options.interval);
  message.set_cut_ratio(options.cut_ratio);
  message.set_cut_after(options.cut_after);
  message.set_min_samples(options.min_samples);
  message.set_max_samples(options.max_samples);
}

Result<SamplingOptions> Read(const v1::Sampling& message) {
  constexpr double kMostSeconds = 3600;
  constexpr uint32_t kMostSamples = 100'000;
  SamplingOptions options;
  options.min_sample_seconds = message.min_sample_seconds();
  options.warmup_seconds = message.warmup_seconds();
  options.max_seconds = message.max_seconds();
  options.min_seconds = message.min_seconds();
  options.interval = message.interval();
  options.cut_ratio = message.cut_ratio();
  options.cut_after = message.cut_after();
  options.min_samples = message.min_samples();
  options.max_samples = message.max_samples();
  for (const double value :
       {options.min_sample_seconds, options.warmup_seconds, options.max_seconds, options.min_seconds, options.interval, options.cut_ratio})
    if (!(value >= 0 && value <= kMostSeconds)) return Bad(fmt::format("sampling: {} is not within 0 and {}", value, kMostSeconds));
  if (options.min_samples > kMostSamples || options.max_samples > kMostSamples)
    return Bad(fmt::format("sampling: at most {} samples are taken", kMostSamples));
  return options;
}

void Write(const TensorShape& shape, size_t packed_bytes, v1::Tensor& message) {
  message.set_name(shape.name);
  message.set_role(static_cast<uint32_t>(shape.role));
  message.set_dtype(ToString(shape.dtype));
  for (const int64_t size : shape.shape) message.add_shape(size);
  message.set_absent(!shape.present);
  message.set_exact(shape.tolerance.exact);
  message.set_relative(shape.tolerance.relative);
  message.set_absolute(shape.tolerance.absolute);
  message.set_low(shape.filling.low);
  message.set_high(shape.filling.high);
  message.set_integers(shape.filling.integers);
  message.set_packed_bytes(packed_bytes);
}

Result<TensorShape> Read(const v1::Tensor& message, uint64_t& bytes_left) {
  constexpr int kMostDimensions = 16;
  TensorShape shape;
  shape.name = message.name();
  if (shape.name.empty() || shape.name.size() >= sizeof(worker::JobTensor::name)) return Bad("a tensor's name is empty or too long");
  if (message.role() > static_cast<uint32_t>(TensorRole::kOut)) return Bad(fmt::format("tensor '{}': unknown role", shape.name));
  shape.role = static_cast<TensorRole>(message.role());
  const std::optional<DType> dtype = ParseDType(message.dtype());
  if (!dtype) return Bad(fmt::format("tensor '{}': unknown dtype", shape.name));
  shape.dtype = *dtype;
  shape.present = !message.absent();
  if (message.shape_size() > kMostDimensions) return Bad(fmt::format("tensor '{}': too many dimensions", shape.name));
  uint64_t bytes = SizeOf(*dtype);
  for (const int64_t size : message.shape()) {
    if (size < 0 || (size > 0 && bytes > bytes_left / static_cast<uint64_t>(size)))
      return Bad(fmt::format("tensor '{}': larger than this board takes", shape.name));
    bytes *= static_cast<uint64_t>(size);
    shape.shape.push_back(size);
  }
  if (bytes > bytes_left) return Bad(fmt::format("tensor '{}': larger than this board takes", shape.name));
  if (shape.present) bytes_left -= bytes;
  shape.tolerance = {message.exact(), message.relative(), message.absolute()};
  shape.filling = {message.low(), message.high(), message.integers()};
  for (const double value : {shape.tolerance.relative, shape.tolerance.absolute, shape.filling.low, shape.filling.high})
    if (!std::isfinite(value)) return Bad(fmt::format("tensor '{}': a number is not finite", shape.name));
  if (shape.filling.low > shape.filling.high) return Bad(fmt::format("tensor '{}': an empty range to fill it from", shape.name));
  return shape;
}

Result<std::vector<TensorShape>> ReadTensors(const google::protobuf::RepeatedPtrField<v1::Tensor>& messages, const Limits& limits) {
  if (messages.empty() || messages.size() > static_cast<int>(worker::kMaxTensors))
    return Bad(fmt::format("{} tensors: a workload has 1 to {}", messages.size(), worker::kMaxTensors));
  uint64_t left = limits.tensor_bytes;
  std::vector<TensorShape> tensors;
  for (const v1::Tensor& message : messages) {
    Result<TensorShape> tensor = Read(message, left);
    if (!tensor) return tensor.error();
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

bool SameData(const TensorShape& a, const TensorShape& b) {
  return a.name == b.name && a.role == b.role && a.dtype == b.dtype && a.shape == b.shape && a.present == b.present;
}

}  // namespace

void Write(const SessionSpec& spec, v1::Open& message) {
  message.set_target(spec.target);
  message.set_threads(static_cast<uint32_t>(spec.threads));
  message.set_seed(spec.seed);
  message.set_cold_cache(spec.cold_cache);
  message.set_verify_only(spec.verify_only);
  message.set_energy(spec.energy);
  Write(spec.sampling, *message.mutable_sampling());
  Write(spec.finalist_sampling, *message.mutable_finalist_sampling());
  message.set_run_seconds(spec.run_seconds);
  message.set_build_seconds(spec.build_seconds);
  message.set_prebuilt(spec.prebuilt);
}

Result<SessionSpec> Read(const v1::Open& message, const Limits& limits) {
  SessionSpec spec;
  spec.target = message.target();
  if (spec.target.size() > 64) return Bad("open: the target's name is too long");
  if (message.threads() < 1 || message.threads() > static_cast<uint32_t>(limits.threads))
    return Bad(fmt::format("open: {} threads: this board gives a kernel 1 to {}", message.threads(), limits.threads));
  spec.threads = static_cast<int>(message.threads());
  spec.seed = message.seed();
  spec.cold_cache = message.cold_cache();
  spec.verify_only = message.verify_only();
  spec.energy = message.energy();
  if (message.has_sampling()) {
    Result<SamplingOptions> sampling = Read(message.sampling());
    if (!sampling) return sampling.error();
    spec.sampling = *sampling;
  }
  if (message.has_finalist_sampling()) {
    Result<SamplingOptions> sampling = Read(message.finalist_sampling());
    if (!sampling) return sampling.error();
    spec.finalist_sampling = *sampling;
  }
  spec.run_seconds = message.run_seconds();
  spec.build_seconds = message.build_seconds();
  spec.prebuilt = message.prebuilt();
  for (const double seconds : {spec.run_seconds, spec.build_seconds})
    if (!(seconds >= 1e-3 && seconds < 1e6)) return Bad("open: a time limit is missing or absurd");
  return spec;
}

void Write(const ReferenceText& text, const std::string& artifact_sha256, v1::Reference& message) {
  message.set_key(text.key);
  for (const TensorShape& tensor : text.tensors) Write(tensor, 0, *message.add_tensors());
  for (const int64_t value : text.dynamic) message.add_dynamic(value);
  message.set_makes_inputs(text.makes_inputs);
  if (artifact_sha256.empty())
    message.set_source(text.source);
  else
    message.set_artifact_sha256(artifact_sha256);
}

Result<ReferenceText> Read(const v1::Reference& message, const Limits& limits) {
  ReferenceText text;
  if (message.key().size() > 4096) return Bad("reference: its key is too long");
  if (message.source().size() > limits.source_bytes) return Bad("reference: its source is larger than this board takes");
  if (message.dynamic_size() > static_cast<int>(worker::kMaxDynamic)) return Bad("reference: too many dynamic attributes");
  Result<std::vector<TensorShape>> tensors = ReadTensors(message.tensors(), limits);
  if (!tensors) return tensors.error().In("reference");
  text.tensors = std::move(*tensors);
  text.dynamic.assign(message.dynamic().begin(), message.dynamic().end());
  text.makes_inputs = message.makes_inputs();
  text.source = message.source();
  // Two clients may mean different things by one key.
  text.key = message.key() + '@' + ShortHash(message.SerializeAsString());
  return text;
}

void Write(const MeasureRequest& request, const std::string& artifact_sha256, v1::Job& message) {
  const Candidate& candidate = request.candidate;
  message.set_id(request.ticket);
  message.set_workload(candidate.workload.Key());
  message.set_template_name(candidate.template_name);
  message.set_template_hash(candidate.template_hash);
  message.set_config(ToString(candidate.config));
  message.set_best_seconds(request.best_seconds);
  message.set_finalist(request.finalist);
  if (request.text == nullptr) return;
  const CandidateText& text = *request.text;
  if (text.reference) message.set_reference(text.reference->key);
  for (size_t i = 0; i < text.spec.tensors.size(); ++i)
    Write(text.spec.tensors[i], i < text.spec.packed_bytes.size() ? text.spec.packed_bytes[i] : 0, *message.add_tensors());
  message.set_workspace_bytes(text.spec.workspace_bytes);
  message.set_launches(text.spec.runner_options);
  if (artifact_sha256.empty())
    message.set_source(text.source);
  else
    message.set_artifact_sha256(artifact_sha256);
  for (const std::string& flag : text.flags) message.add_flags(flag);
}

Result<MeasureRequest> Read(const v1::Job& message, std::shared_ptr<const ReferenceText> reference, const Limits& limits) {
  MeasureRequest request;
  request.ticket = message.id();
  if (message.workload().size() > 4096 || message.template_name().size() > 256 || message.template_hash().size() > 256 ||
      message.config().size() > 4096)
    return Bad("job: a name is too long");
  Result<Workload> workload = ParseWorkload(message.workload());
  if (!workload) return workload.error().In("job");
  Result<Config> config = ParseNamedValues(message.config());
  if (!config) return config.error().In("job");
  request.candidate = {std::move(*workload), message.template_name(), message.template_hash(), std::move(*config)};
  request.best_seconds = std::isfinite(message.best_seconds()) ? std::max(0.0, message.best_seconds()) : 0;
  request.finalist = message.finalist();
  if (reference == nullptr) return request;

  auto text = std::make_shared<CandidateText>();
  Result<std::vector<TensorShape>> tensors = ReadTensors(message.tensors(), limits);
  if (!tensors) return tensors.error().In("job");
  if (tensors->size() != reference->tensors.size() || !std::equal(tensors->begin(), tensors->end(), reference->tensors.begin(), SameData))
    return Bad("job: its tensors are not those of its reference");
  text->spec.tensors = std::move(*tensors);
  uint64_t left = limits.tensor_bytes;
  for (const v1::Tensor& tensor : message.tensors()) {
    if (tensor.packed_bytes() > left) return Bad("job: its packed constants are larger than this board takes");
    left -= tensor.packed_bytes();
    text->spec.packed_bytes.push_back(tensor.packed_bytes());
  }
  if (message.workspace_bytes() > limits.workspace_bytes) return Bad("job: its workspace is larger than this board takes");
  text->spec.workspace_bytes = message.workspace_bytes();
  if (message.launches().size() > 16384) return Bad("job: too many launches");
  text->spec.runner_options = message.launches();
  if (message.source().size() > limits.source_bytes) return Bad("job: its source is larger than this board takes");
  text->source = message.source();
  text->flags.assign(message.flags().begin(), message.flags().end());
  text->reference = std::move(reference);
  request.text = std::move(text);
  return request;
}

void Write(const Measurement& measurement, v1::MeasureResult& message) {
  message.set_id(measurement.ticket);
  message.set_status(ToString(measurement.status));
  message.set_message(measurement.message);
  for (const double seconds : measurement.seconds) message.add_seconds(seconds);
  message.set_build_seconds(measurement.build_seconds);
  message.set_run_seconds(measurement.run_seconds);
  message.set_max_error(measurement.max_error);
  if (measurement.joules) message.set_joules(*measurement.joules);
  for (const auto& [name, value] : measurement.build_facts) (*message.mutable_build_facts())[name] = value;
  for (const auto& [name, value] : measurement.conditions) (*message.mutable_conditions())[name] = value;
  message.set_cut_early(measurement.cut_early);
}

Result<Measurement> Read(const v1::MeasureResult& message) {
  Measurement measurement;
  measurement.ticket = message.id();
  const std::optional<MeasureStatus> status = ParseMeasureStatus(message.status());
  if (!status) return Bad(fmt::format("result: unknown status '{:.40}'; is the agent newer than this program?", message.status()));
  measurement.status = *status;
  measurement.message = message.message();
  measurement.seconds.assign(message.seconds().begin(), message.seconds().end());
  const bool possible =
      std::all_of(measurement.seconds.begin(), measurement.seconds.end(), [](double s) { return std::isfinite(s) && s > 0; });
  if (!possible || (*status != MeasureStatus::kOk && !measurement.seconds.empty())) return Bad("result: samples that cannot be");
  if (message.has_joules() && !(std::isfinite(message.joules()) && message.joules() > 0)) return Bad("result: joules that cannot be");
  measurement.build_seconds = message.build_seconds();
  measurement.run_seconds = message.run_seconds();
  measurement.max_error = message.max_error();
  if (message.has_joules()) measurement.joules = message.joules();
  for (const auto& [name, value] : message.build_facts()) measurement.build_facts[name] = value;
  for (const auto& [name, value] : message.conditions()) measurement.conditions[name] = value;
  measurement.cut_early = message.cut_early();
  return measurement;
}

}  // namespace lathe::wire
