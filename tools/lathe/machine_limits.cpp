#include "tools/lathe/machine_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/lathe/table.h"

namespace lathe {
namespace {

constexpr const char* kFmaOperator = "machine_fma";
constexpr const char* kCopyOperator = "machine_copy";

// Amount / seconds at the best config of the workload on the target; 0 where nothing was measured.
Result<double> BestRate(TuningLog& log, const std::string& target_key, const Workload& workload, const Result<double>& amount) {
  if (!amount) return amount.error();
  LogFilter filter;
  filter.workload_key = workload.Key();
  filter.target = target_key;
  Result<std::vector<LoggedMeasurement>> rows = log.BestPerWorkload(filter);
  if (!rows) return rows.error();
  double best = 0;
  for (const LoggedMeasurement& row : *rows)
    if (row.seconds > 0) best = std::max(best, *amount / row.seconds);
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

ProgressLine::Words LimitsInWords(const TemplateLibrary& library, const std::vector<Workload>& workloads) {
  struct Limit {
    std::string name;
    double amount = 0;  // of one run
    const char* unit = "";
  };
  std::map<std::string, Limit> limits;  // by the task's label
  for (const Workload& workload : workloads) {
    const Result<const Operator*> op = library.FindOperator(workload.operator_name);
    if (!op) continue;
    const bool copies = workload.operator_name == kCopyOperator;
    const Result<double> amount = copies ? (*op)->Bytes(workload) : (*op)->Flops(workload);
    limits[(*op)->Label(workload)] = {copies ? "copying" : "multiply-adds", amount ? *amount : 0, copies ? "B" : "FLOP"};
  }
  return [limits](const TuneProgress& progress) {
    std::string text = fmt::format("{} to go", FormatSpan(progress.eta_seconds));
    for (const TaskProgress& task : progress.tasks) {
      const auto limit = limits.find(task.label);
      if (limit == limits.end()) continue;
      text += fmt::format(", {} {}", limit->second.name,
                          task.done        ? "done"
                          : task.in_finals ? "measuring the fastest again"
                                           : fmt::format("{} trials", task.trials));
      if (std::isfinite(task.best) && task.best > 0) text += ": " + FormatRate(limit->second.amount / task.best, limit->second.unit);
    }
    return text;
  };
}

Result<MachineLimits> LimitsFromLog(const TemplateLibrary& library, TuningLog& log, const std::string& target_key) {
  MachineLimits limits;
  // A folder without limit operators is a smaller installation, not an error.
  const Result<const Operator*> fma = library.FindOperator(kFmaOperator), copy = library.FindOperator(kCopyOperator);
  if (!fma || !copy) return limits;
  Result<std::vector<Target>> targets = log.Targets();
  if (!targets) return targets.error();
  for (const Target& target : *targets) {
    if (target.Key() != target_key) continue;
    // Only of these sizes: what is copied within a cache is no limit of memory.
    Result<std::vector<Workload>> workloads = LimitWorkloads(library, target);
    if (!workloads) return workloads.error();
    Result<double> flops = BestRate(log, target_key, workloads->front(), (*fma)->Flops(workloads->front()));
    if (!flops) return flops.error();
    Result<double> bytes = BestRate(log, target_key, workloads->back(), (*copy)->Bytes(workloads->back()));
    if (!bytes) return bytes.error();
    limits.flops_per_second = std::max(limits.flops_per_second, *flops);
    limits.bytes_per_second = std::max(limits.bytes_per_second, *bytes);
  }
  return limits;
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
