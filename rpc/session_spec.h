// SessionSpec: how a holder wants its candidates measured, as the host chose it and the board carries it out.
#pragma once

#include <cstdint>
#include <string>

#include "measure/workshop.h"

namespace lathe {

struct SessionSpec {
  std::string target = "cpu";  // see measure/target_choice.h
  int threads = 1;             // a kernel may use
  uint64_t seed = 1;           // of the inputs
  bool cold_cache = false;
  bool verify_only = false;
  bool energy = false;  // joules of every candidate
  SamplingOptions sampling = WorkshopOptions().sampling;
  SamplingOptions finalist_sampling = WorkshopOptions().finalist_sampling;
  double run_seconds = 15;  // limits; the board's own count where they are lower
  double build_seconds = 20;
  bool prebuilt = false;  // candidates and references come built: no compiler is needed
};

// The protocol versions that this build speaks.
struct ProtocolRange {
  uint32_t oldest = 1, newest = 3;
};
constexpr uint32_t kEnergyVersion = 2;  // the first that knows SessionSpec::energy
constexpr uint32_t kPrebuiltVersion = 3;  // the first that takes references built elsewhere
// The highest that both know; 0 where there is none.
inline uint32_t CommonVersion(const ProtocolRange& a, const ProtocolRange& b) {
  const uint32_t newest = a.newest < b.newest ? a.newest : b.newest;
  return newest >= a.oldest && newest >= b.oldest ? newest : 0;
}

}  // namespace lathe
