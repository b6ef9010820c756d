// Acquisition: how much a measurement of a point promises, from what the surrogate expects of it and how unsure it is. Higher targets are
// better.
#pragma once

namespace lathe {

// Mean of max(0, target - best) under a normal distribution (Mockus 1975).
double ExpectedImprovement(double mean, double deviation, double best);

}  // namespace lathe
