#include "search/warm_strategy.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr size_t kFirst = 9;          // trials before the prior is judged
constexpr size_t kMostBorrowed = 16;  // proposals of the prior
constexpr double kTrust = 0.2;        // Kendall's tau to be trusted
constexpr double kDrop = 0.1;         // and to stay so
constexpr size_t kOutgrown = 64;      // trials after which the task's own measurements say more than any hint

}  // namespace

WarmStrategy::WarmStrategy(std::string name, const StrategyContext& context, TransferPrior prior)
    : name_(std::move(name)), context_(context), prior_(std::move(prior)) {}

Result<std::unique_ptr<WarmStrategy>> WarmStrategy::Make(const std::string& name, const StrategyContext& context, TransferPrior prior) {
  Result<std::unique_ptr<Strategy>> inner = MakeStrategy(name, context);
  if (!inner) return inner.error();
  std::unique_ptr<WarmStrategy> warm(new WarmStrategy(name, context, std::move(prior)));
  warm->inner_ = *std::move(inner);
  if (warm->prior_.empty()) warm->verdict_ = Verdict::kDropped;
  return warm;
}

bool WarmStrategy::PriorsTurn() const {
  if (verdict_ == Verdict::kDropped || dry_ || borrowed_ >= kMostBorrowed) return false;
  return verdict_ == Verdict::kUndecided ? proposed_ % 3 != 2 : proposed_ % 2 == 0;
}

std::vector<Point> WarmStrategy::Propose(size_t count) {
  std::vector<Point> points;
  const auto give = [&](const Point& point) {
    if (!seen_.insert(point).second) return false;
    points.push_back(point);
    ++proposed_;
    return true;
  };
  bool dry = false;
  while (points.size() < count && !dry) {
    if (PriorsTurn()) {
      if (const std::optional<Point> point = prior_.Next(seen_); point && give(*point)) {
        // Foretold, not yet answered: the next pick looks elsewhere.
        prior_.Assume(*point);
        ++borrowed_;
        continue;
      }
      dry_ = verdict_ == Verdict::kUndecided;  // it has nothing more to say
    }
    // As many as come before the prior's next turn, so that the strategy beneath spreads its batch itself.
    size_t run = 1;
    if (verdict_ == Verdict::kDropped || dry_ || borrowed_ >= kMostBorrowed) run = count - points.size();
    const std::vector<Point> own = inner_->Propose(run);
    dry = own.empty();
    for (const Point& point : own) give(point);
  }
  return points;
}

void WarmStrategy::Observe(const std::vector<Observation>& observations) {
  for (const Observation& observation : observations) {
    seen_.insert(observation.point);
    history_.push_back(observation);
    if (!prior_.empty()) prior_.Observe(observation.point, observation.ok, observation.objective);
  }
  inner_->Observe(observations);
  Judge();
}

void WarmStrategy::Judge() {
  if (verdict_ == Verdict::kDropped || outgrown_ || history_.size() < kFirst) return;
  if (verdict_ == Verdict::kTrusted && history_.size() >= kOutgrown) {
    outgrown_ = true;
    ReplaceStrategy(false);
    return;
  }
  const double agreement = prior_.Agreement();
  if (agreement < (verdict_ == Verdict::kUndecided ? kTrust : kDrop)) {
    const bool informed = verdict_ == Verdict::kTrusted;
    verdict_ = Verdict::kDropped;
    if (informed) ReplaceStrategy(false);
    return;
  }
  // The weights of the sources settle as trials come in; the feature follows them at every doubling.
  if (verdict_ == Verdict::kTrusted && history_.size() < 2 * rebuilt_at_) return;
  verdict_ = Verdict::kTrusted;
  rebuilt_at_ = history_.size();
  ReplaceStrategy(true);
}

void WarmStrategy::ReplaceStrategy(bool informed) {
  StrategyContext context = context_;
  context.seed += history_.size();
  if (informed) {
    const auto prior = std::make_shared<const TransferPrior>(prior_);
    context.features = [prior, own = context_.features](const Point& point) {
      std::vector<double> features = own ? own(point) : std::vector<double>{};
      features.push_back(prior->Efficiency(point) - 1);  // not positive: an encoder that takes logs of what is leaves it as it is
      return features;
    };
    // The borrowed trials are the start.
    if (name_ == "model") context.options.emplace("start", "1");
  }
  Result<std::unique_ptr<Strategy>> fresh = MakeStrategy(name_, context);
  if (!fresh) return;
  inner_ = *std::move(fresh);
  inner_->Observe(history_);
}

Borrowing WarmStrategy::Report() const {
  Borrowing report = prior_.Report();
  report.proposed = borrowed_;
  report.verdict = verdict_ == Verdict::kUndecided ? "undecided" : verdict_ == Verdict::kTrusted ? "trusted" : "dropped";
  return report;
}

}  // namespace lathe
