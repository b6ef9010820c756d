#include "search/simplicity.h"

namespace lathe {

Simplicity SimplicityOf(const TuneTask& task, size_t arm, const Point& point) {
  Simplicity simplicity{arm, 0, point};
  const std::optional<Point> first = task.templates[arm].space->First();
  for (size_t p = 0; first && p < point.size(); ++p) simplicity.departures += point[p] != (*first)[p] ? 1 : 0;
  return simplicity;
}

std::optional<Simplicity> SimplicityOf(const TuneTask& task, const Candidate& candidate) {
  for (size_t arm = 0; arm < task.templates.size(); ++arm) {
    const TaskTemplate& kernel = task.templates[arm];
    if (kernel.name != candidate.template_name || kernel.hash != candidate.template_hash) continue;
    const Result<Point> point = kernel.space->PointOf(candidate.config);
    return point ? std::optional(SimplicityOf(task, arm, *point)) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace lathe
