#include "search/local_strategy.h"

#include <algorithm>
#include <cmath>

namespace lathe {
namespace {

constexpr size_t kClimbers = 2;
constexpr int kKicks = 20;          // attempts at a valid unseen kicked point
constexpr double kHopedGain = 0.1;  // of a parameter nobody tried yet, as a log ratio: 10 %

size_t StartSize(const StrategyContext& context) { return std::clamp<size_t>(context.budget / 10, 4, 10); }

}  // namespace

LocalStrategy::LocalStrategy(const StrategyContext& context)
    : space_(*context.space),
      unseen_(*context.space),
      random_(context.seed),
      start_size_(StartSize(context)),
      patience_(4 * context.space->parameters().size()),
      climbers_(kClimbers),
      credit_(context.space->parameters().size()) {}

std::optional<Point> LocalStrategy::Neighbour(const Point& from, size_t* parameter) {
  const std::vector<Point> neighbours = unseen_.Neighbours(from);
  if (neighbours.empty()) return std::nullopt;
  std::vector<std::vector<const Point*>> by_parameter(credit_.size());
  for (const Point& neighbour : neighbours) {
    const auto changed = std::mismatch(neighbour.begin(), neighbour.end(), from.begin()).first - neighbour.begin();
    by_parameter[static_cast<size_t>(changed)].push_back(&neighbour);
  }
  std::vector<double> weights;
  for (size_t p = 0; p < credit_.size(); ++p) {
    weights.push_back(by_parameter[p].empty() ? 0 : (credit_[p].gain + kHopedGain) / (credit_[p].tries + 1));
  }
  *parameter = std::discrete_distribution<size_t>(weights.begin(), weights.end())(random_);
  const std::vector<const Point*>& choices = by_parameter[*parameter];
  if (random_() % 2 == 0) return *choices[random_() % choices.size()];
  const auto distance = [&](const Point* point) { return std::abs(int{(*point)[*parameter]} - int{from[*parameter]}); };
  return **std::min_element(choices.begin(), choices.end(), [&](auto* a, auto* b) { return distance(a) < distance(b); });
}

std::optional<Point> LocalStrategy::Kicked() {
  const std::vector<Parameter>& parameters = space_.parameters();
  for (int kick = 0; kick < kKicks && best_; ++kick) {
    Point point = *best_;
    for (size_t changes = 2 + random_() % 2; changes > 0 && !point.empty(); --changes) {
      const size_t p = random_() % point.size();
      point[p] = static_cast<uint16_t>(random_() % parameters[p].values.size());
    }
    if (!unseen_.IsSeen(point) && space_.IsValid(point)) return point;
  }
  return unseen_.Draw(random_);
}

std::optional<Point> LocalStrategy::Step(size_t index, Pending* pending) {
  Climber& climber = climbers_[index];
  pending->climber = index;
  if (drawn_ < start_size_) {
    ++drawn_;
    return unseen_.Draw(random_);
  }
  if (climber.at && climber.idle <= patience_) {
    size_t parameter = 0;
    if (std::optional<Point> point = Neighbour(*climber.at, &parameter)) {
      pending->parameter = parameter;
      return point;
    }
  }
  climber = Climber{};  // it will stand on whatever comes back first
  return random_() % 4 == 0 ? unseen_.Draw(random_) : Kicked();
}

std::vector<Point> LocalStrategy::Propose(size_t count) {
  std::vector<Point> points;
  while (points.size() < count) {
    Pending pending;
    std::optional<Point> point = Step(turn_++ % climbers_.size(), &pending);
    if (!point) break;
    unseen_.MarkSeen(*point);
    pending_[*point] = pending;
    points.push_back(std::move(*point));
  }
  return points;
}

void LocalStrategy::Observe(const std::vector<Observation>& observations) {
  for (const Observation& observation : observations) {
    unseen_.MarkSeen(observation.point);
    const bool works = observation.ok && std::isfinite(observation.objective);
    if (works && observation.objective < best_objective_) {
      best_objective_ = observation.objective;
      best_ = observation.point;
    }
    const auto found = pending_.find(observation.point);
    if (found == pending_.end()) {
      // Somebody else's: the climber that stands worst goes there when it is better.
      Climber& worst = *std::max_element(climbers_.begin(), climbers_.end(),
                                         [](const Climber& a, const Climber& b) { return a.objective < b.objective; });
      if (works && observation.objective < worst.objective) worst = {observation.point, observation.objective, 0};
      continue;
    }
    const Pending pending = found->second;
    pending_.erase(found);
    Climber& climber = climbers_[pending.climber];
    ++climber.idle;
    const bool better = works && observation.objective < climber.objective;
    if (pending.parameter) {
      Credit& credit = credit_[*pending.parameter];
      credit.tries += 1;
      if (better && std::isfinite(climber.objective)) credit.gain += std::log(climber.objective / observation.objective);
    }
    if (better) climber = {observation.point, observation.objective, 0};
  }
}

}  // namespace lathe
