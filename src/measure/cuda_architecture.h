// What an NVIDIA architecture allows, by the CUDA programming guide's table of compute capabilities: enough to tell, without a device,
// which built kernels can be launched and how many of their groups are resident. A device that is there is asked for its own numbers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

struct CudaArchitecture {
  int capability = 0;  // 87 for sm_87
  uint32_t registers_per_group = 65536, registers_per_processor = 65536;
  uint32_t local_per_processor = 0;  // bytes of shared memory
  uint32_t local_per_group = 49152;  // the most that a kernel may ask for beyond its declarations
  uint32_t local_reserved = 0;       // bytes that each resident group takes besides
  uint32_t items_per_processor = 2048, groups_per_processor = 32;
  uint32_t processors = 0;  // of a well-known board of this architecture
};

// "sm_87", and "sm_90a", which means the same limits.
std::optional<CudaArchitecture> FindCudaArchitecture(const std::string& name);
std::vector<std::string> CudaArchitectureNames();

// Under the names of docs/gpu-dialect.md.
std::map<std::string, double> CudaLimits(const CudaArchitecture& architecture);

// The architecture with what a device or a log says about itself in place of the table's numbers.
CudaArchitecture WithLimits(CudaArchitecture architecture, const std::map<std::string, double>& limits);

// One kernel of a cubin as it is launched.
struct GroupNeeds {
  uint32_t items = 0, registers_per_item = 0;
  uint64_t local_bytes = 0;
};

// Registers are handed out to whole warps, in portions of 256.
uint64_t RegistersOfGroup(const GroupNeeds& needs);
// The share of a processor's warps that can be resident; 0 when not one group fits.
double Occupancy(const CudaArchitecture& architecture, const GroupNeeds& needs);

}  // namespace lathe
