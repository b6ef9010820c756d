// Templates at random valid configs on given workloads: held to their reference, or only built. What `lathe check` and `lathe tune
// --build-only` do.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "tools/lathe/command.h"

namespace lathe {

struct TemplateCheckOptions {
  bool build_only = false;
  size_t configs = 5;  // for each template and workload
  size_t total = 0;    // if set, so many random ones for each template instead, dealt out over its workloads
  uint64_t seed = 1;
  int threads = 1;
  double time_limit = 0;  // seconds of compiler time for a build, of the clock for a run, instead of the measurer's; 0: those
  std::string toolchain;  // profile to build with, and to run under its launcher; empty: this machine's compiler
};

// Smallest, mean and largest of a build fact over the configs that have it.
struct Spread {
  double least = 0, sum = 0, most = 0;
  size_t count = 0, positive = 0;

  void Add(double value) {
    least = count == 0 ? value : std::min(least, value);
    most = count == 0 ? value : std::max(most, value);
    sum += value;
    ++count;
    if (value > 0) ++positive;
  }
  std::string Text() const { return count == 0 ? "-" : fmt::format("{:.0f} {:.0f} {:.0f}", least, sum / static_cast<double>(count), most); }
};

struct Tally {
  size_t shapes = 0, checked = 0, failed = 0;
  std::map<std::string, Spread> facts;
};

// What checking on one target came to.
struct TargetReport {
  std::string target;
  std::map<std::string, Tally> tallies;
  std::vector<Measurement> failures;
};

// Every template that applies, on every workload of its operator. `target`: see measure/target_choice.h.
Result<TargetReport> CheckOn(const std::string& target, const TemplateLibrary& library, const TemplateCheckOptions& options,
                             const std::vector<const KernelTemplate*>& templates, const std::vector<NamedWorkload>& shapes);
// Prints failures and a table, or JSON, and returns the exit status.
int PrintReports(const std::vector<TargetReport>& reports, bool build_only, bool json);

}  // namespace lathe
