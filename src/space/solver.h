// What a Space knows beyond its definition: domains narrowed by the constraints over one parameter, independent groups of parameters for
// the others, and programs that say what changing one parameter does.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "space/solver_graph.h"
#include "space/solver_group.h"
#include "space/solver_program.h"
#include "space/space.h"

namespace lathe {

struct Space::Solver {
  // What a change of one parameter touches: the sub-expressions above it and the constraints they end in.
  struct Probe {
    solver::LaneProgram lanes;
    std::vector<size_t> constraints;  // indices into `roots`
  };

  SpaceDefinition definition;                 // with a number bound to every category
  std::vector<std::vector<double>> numbers;   // by parameter, by value
  std::vector<std::vector<uint16_t>> domain;  // by parameter: the values that constraints over it alone allow, ascending
  bool impossible = false;               // a constraint over one or no parameter already empties the space; what follows is then not made
  std::unique_ptr<solver::Graph> graph;  // over the domains' numbers
  std::vector<solver::NodeId> roots;     // the constraints over two and more parameters
  std::vector<int> group_of, place_of;   // by parameter: its group (-1: free) and its place there
  solver::Program program;               // all roots, parameters in their own order
  std::vector<Probe> probes;             // by parameter; lanes are the domain's values

  mutable std::mutex mutex;  // guards what the groups remember
  mutable std::vector<solver::Group> groups;

  static Result<std::unique_ptr<Solver>> Make(SpaceDefinition definition);

  std::vector<double> NumbersAt(const Point& point) const;
  bool InDomain(size_t parameter, uint16_t value) const;

  class Lister;  // see space.cpp

 private:
  Status Parse();
  void NarrowDomains();
  std::vector<uint16_t> Allowed(solver::NodeId root, uint16_t parameter) const;
  void MakeGroups();
  void MakeProbes();
};

}  // namespace lathe
