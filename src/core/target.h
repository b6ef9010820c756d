// Target: a device as the log knows it.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/result.h"

namespace lathe {

struct Target {
  std::string backend;       // "cpu", "opencl", "cuda", "external"
  std::string architecture;  // "x86_64-avx512", "aarch64-neon", "sm_87"
  std::string name;          // as the device calls itself
  // What constraints may ask for as target.NAME: vector_bytes, vector_registers, threads, l1_bytes, l2_bytes, …
  std::map<std::string, double> limits;
  // What must match for a record to be trusted rather than only hinted at: compiler, driver, kernel, flags.
  std::map<std::string, std::string> fingerprint;

  // "cpu/x86_64-avx512/Some CPU/threads=1": queries and deployment match on it.
  std::string Key() const;
  // 16 hexadecimal digits over everything above.
  std::string FingerprintHash() const;
};

nlohmann::json ToJson(const Target& target);
Result<Target> TargetFromJson(const nlohmann::json& json);

}  // namespace lathe
