// BorrowedSource: what was measured with a template for another workload, on another device, or by another version of it. A hint, never a
// fact: nothing here answers for the task at hand.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/candidate.h"

namespace lathe {

struct BorrowedRow {
  Config config;
  bool ok = false;
  double objective = 0;          // of its own workload and device; only compared within a source
  std::vector<double> features;  // the manifest's, for its own workload and device; empty where nobody could tell
};

struct BorrowedSource {
  std::string label;    // for people: "conv2d 56x56x64 3x3 on cpu/x86_64-avx512/…"
  double nearness = 1;  // 0 to 1: how alike workload and device are, before anything was measured here
  std::vector<BorrowedRow> rows;
};

// What became of it, for reports.
struct Borrowing {
  size_t measurements = 0;  // in all sources
  struct Source {
    std::string label;
    size_t measurements = 0;
    double agreement = 0;  // Kendall's tau of what it foretold and what was measured here, -1 to 1
  };
  std::vector<Source> sources;
  size_t proposed = 0;   // trials that were its own proposals
  double agreement = 0;  // of the sources together, as weighted
  size_t compared = 0;   // measurements that agreement rests on
  std::string verdict;   // "undecided", "trusted", "dropped"
};

}  // namespace lathe
