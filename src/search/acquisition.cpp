#include "search/acquisition.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lathe {

double ExpectedImprovement(double mean, double deviation, double best) {
  if (deviation <= 1e-12) return std::max(0.0, mean - best);
  const double z = (mean - best) / deviation;
  const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
  const double below = 0.5 * std::erfc(-z / std::numbers::sqrt2);
  // Far below the best both terms cancel; the tail's expansion keeps an order among hopeless candidates.
  if (z < -6) return deviation * density / (z * z);
  return deviation * (z * below + density);
}

}  // namespace lathe
