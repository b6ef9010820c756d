// PointSet: which points were met already.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "space/space.h"

namespace lathe {

struct PointHash {
  size_t operator()(const Point& point) const {  // FNV-1a
    uint64_t hash = 14695981039346656037ULL;
    for (uint16_t value : point) hash = (hash ^ value) * 1099511628211ULL;
    return static_cast<size_t>(hash ^ (hash >> 29));
  }
};

using PointSet = std::unordered_set<Point, PointHash>;
template <typename T>
using PointMap = std::unordered_map<Point, T, PointHash>;

}  // namespace lathe
