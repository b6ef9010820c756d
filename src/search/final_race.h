// FinalRace: which of a few candidates is the fastest, on samples that wander; who is clearly slower costs no more of them.
//
// Successive elimination (Even-Dar, Mannor & Mansour, "Action elimination and stopping conditions for the multi-armed bandit", 2006) with
// normal bounds on the log of the statistic. The standard error of a candidate has two parts: the samples' own spread within a measurement
// (bootstrapped, and shrunk towards what is common for all candidates: five samples tell little about a spread), and how far whole
// measurements of one candidate lie apart (another process, another clock) once what all of a round have in common is taken out:
// estimated from all candidates together as soon as they were measured twice. A race therefore takes two rounds at least.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace lathe {

// Who is so near the fastest, as a fraction, ties with it: nobody would notice the difference.
inline constexpr double kTie = 0.005;

struct RaceOptions {
  double within = 0.01;      // the winner may be so much slower than the truly best one
  double confidence = 0.95;  // and is so with this probability when the race ends by itself
  double tie = kTie;
  size_t fewest_rounds = 2, most_rounds = 6;
  std::function<double(const std::vector<double>&)> statistic = {};  // empty: LowQuantile
};

class FinalRace {
 public:
  FinalRace(size_t candidates, RaceOptions options);

  // One measurement's samples, at least one.
  void Add(size_t candidate, const std::vector<double>& samples);
  // Failed when measured again: it cannot win.
  void Fail(size_t candidate);

  // Whom the next round measures, once each; empty when the race is decided or its rounds are spent. Call between rounds only.
  std::vector<size_t> NextRound();

  struct Verdict {
    bool any = false;          // false: all failed
    size_t fastest = 0;        // by estimate
    std::vector<size_t> tied;  // with the fastest, itself included: as near, and no less sure to be within reach of the best; ascending
    double margin = 0;         // of the fastest: 95 % half width of its estimate, as a fraction
  };
  Verdict Result() const;
  // Probability that `candidate` is within RaceOptions::within of the best candidate, the errors being normal; by drawing, deterministic.
  double Confidence(size_t candidate) const;

 private:
  struct Candidate {
    std::vector<std::vector<double>> measurements;
    bool failed = false, out = false;
    double estimate = 0, error = 0;  // of the log of the statistic
    size_t samples = 0;
  };
  double Between() const;
  void Estimate();
  double ChanceToBeat(size_t candidate, size_t other, double by) const;  // that candidate is faster than other by more than `by`
  size_t Fastest() const;                                                // past the end when all failed

  RaceOptions options_;
  std::vector<Candidate> candidates_;
  size_t round_ = 0;
};

// The verdict on candidates that were measured as the samples say and will not be measured again.
FinalRace::Verdict Judge(const std::vector<std::vector<double>>& samples, RaceOptions options);

// Standard error of the log of the statistic of `samples`, by bootstrap; deterministic. Zero for fewer than two samples.
double BootstrapError(const std::vector<double>& samples, const std::function<double(const std::vector<double>&)>& statistic);

// Who enters a race, best estimate first, `most` at most: whose first samples do not show that it is slower than the first by more than
// chance explains (2.5 standard errors), or lies within `near` of it anyway. samples[i] empty: not a candidate. The error of one candidate
// is never taken for less than half of what is common.
std::vector<size_t> RaceEntries(const std::vector<std::vector<double>>& samples, double near, size_t most,
                                const std::function<double(const std::vector<double>&)>& statistic = nullptr);

}  // namespace lathe
