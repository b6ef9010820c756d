#include "device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace lathe::ptx {
namespace {
constexpr uint64_t kAlignment = 512;  // of what cuMemAlloc returns
constexpr uint64_t kGap = 4096;       // that is nobody's, before and behind
}  // namespace

uint64_t DeviceMemory::Allocate(uint64_t bytes) {
  const uint64_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment + 2 * kGap;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(kGap, (whole + kGap - 1) / kGap * kGap));
  if (memory == nullptr) return 0;
  Allocation allocation;
  allocation.address = reinterpret_cast<uint64_t>(memory) + kGap;
  allocation.bytes = bytes;
  allocation.state.resize(bytes);
  allocation.memory = {memory, std::free};
  const uint64_t address = allocation.address;
  allocations_.emplace(address, std::move(allocation));
  return address;
}

bool DeviceMemory::Free(uint64_t address) {
  last_ = nullptr;
  return allocations_.erase(address) > 0;
}

void DeviceMemory::Add(uint64_t address, uint64_t bytes, bool read_only) {
  Allocation allocation;
  allocation.address = address;
  allocation.bytes = bytes;
  allocation.read_only = read_only;
  allocation.state.assign(bytes, kWritten);
  allocations_.emplace(address, std::move(allocation));
}

DeviceMemory::Allocation* DeviceMemory::FindAmongAll(uint64_t address, uint64_t bytes) {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  Allocation& candidate = std::prev(after)->second;
  const uint64_t within = address - candidate.address;
  if (within >= candidate.bytes || bytes > candidate.bytes - within) return nullptr;
  last_ = &candidate;
  return last_;
}

std::string DeviceMemory::Describe(uint64_t address) const {
  const auto after = allocations_.upper_bound(address);
  std::string text;
  if (after != allocations_.begin()) {
    const Allocation& before = std::prev(after)->second;
    const uint64_t within = address - before.address;
    const std::string of = " of an allocation of " + std::to_string(before.bytes) + " bytes";
    if (within < before.bytes) return "byte " + std::to_string(within) + of;
    text = std::to_string(within - before.bytes) + " bytes past the end" + of;
    if (after == allocations_.end() || within - before.bytes < after->first - address) return text;
  }
  if (after == allocations_.end()) return "nothing is allocated";
  return std::to_string(after->first - address) + " bytes before an allocation of " + std::to_string(after->second.bytes) + " bytes";
}

void DeviceMemory::Mark(uint64_t address, uint64_t bytes, uint8_t state) {
  if (Allocation* allocation = Find(address, bytes); allocation != nullptr)
    std::memset(allocation->state.data() + (address - allocation->address), state, bytes);
}

void DeviceMemory::EndLaunch() {
  for (auto& [address, allocation] : allocations_) {
    for (uint64_t i = allocation.dirty_from; i < allocation.dirty_to; ++i) allocation.state[i] &= kWritten;
    allocation.dirty_from = allocation.dirty_to = 0;
  }
}

}  // namespace lathe::ptx
