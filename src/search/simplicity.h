// Which of two configs that measure alike is the simpler one and wins: the one of the earlier template; then the one with fewer parameters
// that differ from its template's first valid config, the author's own choice; then the earlier point of the space. The tuner's report,
// queries and kernel libraries all go by it.
#pragma once

#include <compare>
#include <cstddef>
#include <optional>

#include "core/candidate.h"
#include "search/tune_task.h"

namespace lathe {

struct Simplicity {  // the least is the simplest
  size_t arm = 0;    // place of the template in the task
  size_t departures = 0;
  Point point;
  auto operator<=>(const Simplicity&) const = default;
};

Simplicity SimplicityOf(const TuneTask& task, size_t arm, const Point& point);
// Nothing when the task has no such template or its space no such config.
std::optional<Simplicity> SimplicityOf(const TuneTask& task, const Candidate& candidate);

}  // namespace lathe
