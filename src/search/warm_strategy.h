// WarmStrategy: any strategy, started with what was learned elsewhere.
//
// At first two proposals of three come from the prior, the third from the strategy beneath, which knows nothing of it: the cold proposals
// are the yardstick that the prior is held against. Once there are enough answers the prior is judged by the order it foretold:
//   trusted: a new strategy beneath sees the prior's expectation as one more feature, and is handed everything observed. A feature has to
//   earn
//            its weight in the model like any other, so a prior that is only half right fades by itself. Some more proposals come from the
//            prior, re-weighted by what was seen;
//   dropped: the strategy beneath goes on alone. A wrong prior has then cost kFirst * 2 / 3 trials, which still taught something.
// A prior that was trusted is judged again as trials come in, and may yet be dropped. After kOutgrown trials the feature goes: by then it
// hides more than it shows.
#pragma once

#include <memory>
#include <string>

#include "search/strategy.h"
#include "search/transfer_prior.h"

namespace lathe {

class WarmStrategy : public Strategy {
 public:
  // `name` and `context` as for MakeStrategy; fails when that does.
  static Result<std::unique_ptr<WarmStrategy>> Make(const std::string& name, const StrategyContext& context, TransferPrior prior);

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;
  std::optional<double> ExpectedGain() const override { return inner_->ExpectedGain(); }
  Borrowing Report() const;

 private:
  enum class Verdict { kUndecided, kTrusted, kDropped };
  WarmStrategy(std::string name, const StrategyContext& context, TransferPrior prior);
  bool PriorsTurn() const;
  void Judge();
  void ReplaceStrategy(bool informed);  // keeps the old one where the new one cannot be made

  std::string name_;
  StrategyContext context_;
  TransferPrior prior_;
  std::unique_ptr<Strategy> inner_;
  Verdict verdict_ = Verdict::kUndecided;
  bool outgrown_ = false, dry_ = false;  // the prior has been outgrown; it knew nothing more before it was judged
  PointSet seen_;
  std::vector<Observation> history_;
  size_t proposed_ = 0, borrowed_ = 0, rebuilt_at_ = 0;
};

}  // namespace lathe
