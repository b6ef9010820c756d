#include "tools/lathe/machine_limits.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr const char* kFmaOperator = "machine_fma";
constexpr const char* kCopyOperator = "machine_copy";

// Highest of amount / seconds over everything tuned of one limit operator on the target.
Result<double> BestRate(const TemplateLibrary& library, TuningLog& log, const std::string& target_key, const std::string& op_name,
                        Result<double> (Operator::*amount)(const Workload&) const) {
  Result<const Operator*> op = library.FindOperator(op_name);
  if (!op) return 0.0;  // a template folder without limit operators is a smaller installation, not an error
  LogFilter filter;
  filter.operator_name = op_name;
  filter.target = target_key;
  Result<std::vector<LoggedMeasurement>> rows = log.BestPerWorkload(filter);
  if (!rows) return rows.error();
  double best = 0;
  for (const LoggedMeasurement& row : *rows) {
    Result<double> done = ((*op)->*amount)(row.measurement.candidate.workload);
    if (done && row.seconds > 0) best = std::max(best, *done / row.seconds);
  }
  return best;
}

}  // namespace

Result<std::vector<Workload>> LimitWorkloads(const TemplateLibrary& library, const Target& target) {
  std::vector<Workload> workloads;
  for (const char* name : {kFmaOperator, kCopyOperator}) {
    Result<const Operator*> op = library.FindOperator(name);
    if (!op) return op.error();
    Workload wanted{name, {}};
    // Every attribute has a default. Copying must leave every cache behind, and each of a GPU's processors have as much to multiply as a
    // CPU.
    const auto l3 = target.limits.find("l3_bytes"), processors = target.limits.find("compute_units");
    for (const Attribute& attribute : (*op)->attributes()) {
      if (attribute.name == "bytes" && l3 != target.limits.end()) {
        const double beyond = std::clamp(2 * l3->second, 64.0 * (1 << 20), 512.0 * (1 << 20));
        wanted.attributes.emplace_back("bytes", static_cast<int64_t>(beyond) / 4096 * 4096);
      }
      if (attribute.name == "elements" && processors != target.limits.end())
        wanted.attributes.emplace_back("elements", 5760 * static_cast<int64_t>(std::clamp(processors->second, 1.0, 180.0)));
    }
    Result<Workload> workload = (*op)->Normalise(wanted);
    if (!workload) return workload.error();
    workloads.push_back(*std::move(workload));
  }
  return workloads;
}

Result<MachineLimits> LimitsFromLog(const TemplateLibrary& library, TuningLog& log, const std::string& target_key) {
  Result<double> flops = BestRate(library, log, target_key, kFmaOperator, &Operator::Flops);
  if (!flops) return flops.error();
  Result<double> bytes = BestRate(library, log, target_key, kCopyOperator, &Operator::Bytes);
  if (!bytes) return bytes.error();
  return MachineLimits{*flops, *bytes};
}

std::optional<ShareOfLimit> ShareOf(const MachineLimits& limits, const Operator& op, const Workload& workload, double seconds) {
  Result<double> flops = op.Flops(workload), bytes = op.Bytes(workload);
  if (!flops || !bytes || !(seconds > 0)) return std::nullopt;
  const double by_flops = limits.flops_per_second > 0 ? *flops / limits.flops_per_second : 0;
  const double by_bytes = limits.bytes_per_second > 0 ? *bytes / limits.bytes_per_second : 0;
  if (by_flops <= 0 && by_bytes <= 0) return std::nullopt;
  return by_flops >= by_bytes ? ShareOfLimit{by_flops / seconds, "FMA"} : ShareOfLimit{by_bytes / seconds, "copy"};
}

}  // namespace lathe
