// What this target can do at most, as measured by the operators machine_fma and machine_copy and kept in the tuning log like anything else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "db/tuning_log.h"
#include "space/template_library.h"
#include "tools/lathe/progress_line.h"

namespace lathe {

struct MachineLimits {
  double flops_per_second = 0;  // 0: not measured
  double bytes_per_second = 0;
};

// The workloads that `lathe limits` tunes, sized for the target: of machine_fma, then of machine_copy.
Result<std::vector<Workload>> LimitWorkloads(const TemplateLibrary& library, const Target& target);

// What `lathe limits` shows meanwhile: the rate of each reached so far, "20s to go, multiply-adds 12 trials: 118 GFLOP/s".
ProgressLine::Words LimitsInWords(const TemplateLibrary& library, const std::vector<Workload>& workloads);

// The best ever measured of those workloads on this target (any fingerprint); zeros where nothing was.
Result<MachineLimits> LimitsFromLog(const TemplateLibrary& library, TuningLog& log, const std::string& target_key);

// The roofline: no kernel beats max(flops / peak, bytes / bandwidth). `share` is that bound over the time, `limit` which of the two binds.
struct ShareOfLimit {
  double share = 0;
  std::string limit;  // "FMA", "copy"
};
std::optional<ShareOfLimit> ShareOf(const MachineLimits& limits, const Operator& op, const Workload& workload, double seconds);

}  // namespace lathe
