// TrialSplit: divides a workload's trials over its templates by successive halving (Jamieson & Talwalkar 2016).
//
// Every template gets an equal share of a round; after each round the better half, by the best objective found, goes on. With one template
// there is nothing to divide.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

namespace lathe {

class TrialSplit {
 public:
  TrialSplit(size_t arms, size_t budget);

  // Whose turn it is; nullopt when every arm is exhausted.
  std::optional<size_t> Next();
  // How many trials the arm, whose turn it is, may take at once: what is left of its share of this round, one at least; without limit in
  // the last round.
  size_t Turn(size_t arm) const;
  // A trial of the arm was given out (or found in the history).
  void Take(size_t arm) { ++arms_[arm].taken; }
  void Report(size_t arm, double objective);
  void Exhaust(size_t arm) { arms_[arm].exhausted = true; }

 private:
  struct Arm {
    size_t taken = 0;
    double best = std::numeric_limits<double>::infinity();
    bool alive = true, exhausted = false;
  };
  void NextRound();

  std::vector<Arm> arms_;
  size_t budget_, rounds_ = 1, round_ = 0;
  std::vector<size_t> quota_;  // an arm's trials, up to the end of this round
};

}  // namespace lathe
