// Replay: runs a strategy against a recorded space through the tuning driver, and says how good it is.
//
// A failure costs a trial. "Fraction" is the optimum's time over the best time found so far, 0 while nothing worked.
// The score follows the autotuning methodology (Willemsen, Schoonhoven, Filipovič et al., "A methodology for comparing optimization
// algorithms for auto-tuning", 2024), on trials instead of seconds: at each trial (random - strategy) / (random - optimum), in best time
// found, averaged up to the trial at which random search has come 95 % of the way from the median to the optimum. Random search is not run
// but computed: the expected best of n draws without replacement. 0 is as good as random, 1 the optimum from the first trial. Until
// something worked, the slowest recorded time counts as found, for both.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "search/recorded_space.h"
#include "search/strategy.h"

namespace lathe {

struct ReplayOptions {
  std::string strategy = "model";
  StrategyOptions strategy_options;
  std::vector<size_t> budgets = {25, 50, 100, 200, 400};
  size_t seeds = 30;
  uint64_t first_seed = 1;
  size_t batch = 0, in_flight = 4;                 // as TuneOptions
  std::vector<const RecordedSpace*> lenders = {};  // of the same kernel on other devices: lent to the search, see transfer_prior.h
  size_t lent_trials = 0;  // of each lender only what a cold search of so many trials found there; 0: all of its record
};

struct ReplayFigures {
  std::string id;
  std::map<size_t, double> at, p10;                   // by budget: mean, and worst decile, of the fraction over seeds
  std::map<double, std::optional<double>> trials_to;  // by fraction: median over seeds; nullopt when half of them never got there
  double auc = 0;                                     // mean fraction over all trials up to the largest budget
  double score = 0;
  double strategy_s = 0;  // the strategy's own seconds, a seed
};

struct ReplayReport {
  std::string strategy;
  size_t seeds = 0;
  std::vector<ReplayFigures> spaces;
};

// Deterministic for its options, strategy_s apart.
Result<ReplayFigures> Replay(const RecordedSpace& space, const ReplayOptions& options);
// Means over spaces; medians for trials_to.
ReplayFigures Overall(const std::vector<ReplayFigures>& spaces);
// {"strategy", "seeds", "spaces": [{"id", "at": {"25": mean, …}, "p10": {…}, "trials_to": {"0.9": median or null, …}, "strategy_s"}],
// "overall": {the same keys without id, "score"}}.
nlohmann::ordered_json ToJson(const ReplayReport& report);

// Expected best time after 1, 2, … `most` draws without replacement out of `total` configurations, of which those in `sorted` (ascending)
// worked; a draw of none of them counts as the slowest.
std::vector<double> RandomBaseline(const std::vector<double>& sorted, size_t total, size_t most);

}  // namespace lathe
