// In which order the parameters of a group are best assigned: the order whose states (see solver_walk.h) stay few.
//
// How many states there are after assigning a set of parameters depends on the set alone, so this is a shortest path over sets. A beam of
// the best sets of each size is followed; the number of states is estimated from the values that the sub-expressions at the border can
// take, and from how many assignments the constraints decided by then let through (256 random ones are tried). Rejected:
// fewest-values-first, the usual rule. It splits products such as bx*tx, whose factors' states would merge, and visited up to 20 times as
// many partial assignments on recorded spaces (Hotspot 2.8 M instead of 0.13 M, GEMM 4700 instead of 700).
#pragma once

#include <cstdint>
#include <vector>

#include "space/solver_graph.h"

namespace lathe::solver {

// `parameters` ascending: the group. `roots`: the constraints over nothing else. The result depends on nothing but these.
// A group of more than 64 parameters keeps its own order.
std::vector<uint16_t> ChooseOrder(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<uint16_t>& parameters);

}  // namespace lathe::solver
