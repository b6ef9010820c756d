// FeatureFunction: a manifest's feature expressions, evaluated for a point of its space.
#pragma once

#include <functional>
#include <vector>

#include "space/space.h"

namespace lathe {

// As many numbers for every point; not finite where an expression has no value. May be empty.
using FeatureFunction = std::function<std::vector<double>(const Point&)>;

}  // namespace lathe
