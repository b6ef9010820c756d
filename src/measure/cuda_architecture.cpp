#include "measure/cuda_architecture.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace lathe {
namespace {

constexpr uint32_t kKiB = 1024, kWarp = 32, kRegisterPortion = 256;
constexpr double kUnknownMemory = 9007199254740992;  // 2^53: an architecture alone does not tell how much a device has

//  capability, registers of a group and of a processor, shared memory of a processor and of a group, reserved, items, groups, processors
constexpr std::array<CudaArchitecture, 19> kArchitectures = {{
    {50, 65536, 65536, 64 * kKiB, 48 * kKiB, 0, 2048, 32, 5},          // GTX 750 Ti
    {52, 65536, 65536, 96 * kKiB, 48 * kKiB, 0, 2048, 32, 16},         // GTX 980
    {53, 32768, 65536, 64 * kKiB, 48 * kKiB, 0, 2048, 32, 1},          // Jetson Nano
    {60, 65536, 65536, 64 * kKiB, 48 * kKiB, 0, 2048, 32, 56},         // P100
    {61, 65536, 65536, 96 * kKiB, 48 * kKiB, 0, 2048, 32, 20},         // GTX 1080
    {62, 32768, 65536, 64 * kKiB, 48 * kKiB, 0, 2048, 32, 2},          // Jetson TX2
    {70, 65536, 65536, 96 * kKiB, 96 * kKiB, 0, 2048, 32, 80},         // V100
    {72, 65536, 65536, 96 * kKiB, 96 * kKiB, 0, 2048, 32, 8},          // Jetson AGX Xavier
    {75, 65536, 65536, 64 * kKiB, 64 * kKiB, 0, 1024, 16, 40},         // T4
    {80, 65536, 65536, 164 * kKiB, 163 * kKiB, kKiB, 2048, 32, 108},   // A100
    {86, 65536, 65536, 100 * kKiB, 99 * kKiB, kKiB, 1536, 16, 82},     // RTX 3090
    {87, 65536, 65536, 164 * kKiB, 163 * kKiB, kKiB, 1536, 16, 16},    // Jetson AGX Orin
    {89, 65536, 65536, 100 * kKiB, 99 * kKiB, kKiB, 1536, 24, 128},    // RTX 4090
    {90, 65536, 65536, 228 * kKiB, 227 * kKiB, kKiB, 2048, 32, 132},   // H100
    {100, 65536, 65536, 228 * kKiB, 227 * kKiB, kKiB, 2048, 32, 148},  // B200
    {103, 65536, 65536, 228 * kKiB, 227 * kKiB, kKiB, 2048, 32, 148},  // B300
    {110, 65536, 65536, 228 * kKiB, 227 * kKiB, kKiB, 1536, 24, 20},   // Jetson AGX Thor
    {120, 65536, 65536, 100 * kKiB, 99 * kKiB, kKiB, 1536, 24, 170},   // RTX 5090
    {121, 65536, 65536, 100 * kKiB, 99 * kKiB, kKiB, 1536, 24, 48},    // GB10
}};

template <typename T>
constexpr T AlignUp(T value, T to) {
  return (value + to - 1) / to * to;
}

}  // namespace

std::optional<CudaArchitecture> FindCudaArchitecture(const std::string& name) {
  for (const CudaArchitecture& architecture : kArchitectures) {
    const std::string plain = "sm_" + std::to_string(architecture.capability);
    if (name == plain || name == plain + 'a' || name == plain + 'f') return architecture;
  }
  return std::nullopt;
}

std::vector<std::string> CudaArchitectureNames() {
  std::vector<std::string> names;
  for (const CudaArchitecture& architecture : kArchitectures) names.push_back("sm_" + std::to_string(architecture.capability));
  return names;
}

std::map<std::string, double> CudaLimits(const CudaArchitecture& architecture) {
  return {{"max_work_group", 1024},
          {"max_work_group_z", 64},
          {"max_groups_yz", 65535},
          {"local_bytes", 49152},  // of declared arrays; more is for launches that ask
          {"local_bytes_asked", architecture.local_per_group},
          {"max_buffer_bytes", kUnknownMemory},
          {"images", 0},  // OpenCL's; kernels of the dialect have none on CUDA
          {"max_image_width", 0},
          {"max_image_height", 0},
          {"registers_per_group", architecture.registers_per_group},
          {"registers_per_item", 255},
          {"compute_units", architecture.processors},
          {"subgroup", kWarp},
          {"vector_bytes", 16},
          {"fp16", architecture.capability == 61 || architecture.capability < 53 ? 0 : 1},
          {"dp4a", architecture.capability >= 61 ? 1 : 0},
          {"tensor_cores", architecture.capability >= 70 ? 1 : 0},
          {"async_copy", architecture.capability >= 80 ? 1 : 0},
          {"compute_capability", architecture.capability}};
}

CudaArchitecture WithLimits(CudaArchitecture architecture, const std::map<std::string, double>& limits) {
  const auto take = [&](const char* name, uint32_t& value) {
    if (const auto found = limits.find(name); found != limits.end()) value = static_cast<uint32_t>(found->second);
  };
  take("registers_per_group", architecture.registers_per_group);
  take("local_bytes_asked", architecture.local_per_group);
  take("compute_units", architecture.processors);
  return architecture;
}

uint64_t RegistersOfGroup(const GroupNeeds& needs) {
  const uint64_t warps = (needs.items + kWarp - 1) / kWarp;
  return warps * AlignUp(needs.registers_per_item * kWarp, kRegisterPortion);
}

double Occupancy(const CudaArchitecture& architecture, const GroupNeeds& needs) {
  const uint32_t warps = (needs.items + kWarp - 1) / kWarp, most_warps = architecture.items_per_processor / kWarp;
  if (warps == 0 || RegistersOfGroup(needs) > architecture.registers_per_group) return 0;
  // Each of the four schedulers has a quarter of the registers, and a warp's lie all with one.
  const uint64_t of_warp = AlignUp(std::max(needs.registers_per_item, 1U) * kWarp, kRegisterPortion);
  const uint64_t by_registers = architecture.registers_per_processor / 4 / of_warp * 4 / warps;
  const uint64_t local = AlignUp<uint64_t>(needs.local_bytes + architecture.local_reserved, 128);
  const uint64_t by_local = local == 0 ? architecture.groups_per_processor : architecture.local_per_processor / local;
  const uint64_t groups = std::min({by_registers, by_local, uint64_t{architecture.groups_per_processor}, uint64_t{most_warps / warps}});
  return static_cast<double>(groups * warps) / most_warps;
}

}  // namespace lathe
