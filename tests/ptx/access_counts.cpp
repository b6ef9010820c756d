#include "access_counts.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "warp.h"

namespace lathe::ptx {
namespace {

constexpr uint64_t kSectorBytes = 32, kBanks = 32, kBankBytes = 4;
constexpr double kPlainlyMore = 2;  // times as many as need be: such instructions are listed

uint64_t CeilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// Lanes of vectors are served in parts: a half of the warp for 8 bytes a lane, a quarter for 16. In each part a pass serves one word a
// bank.
void CountPasses(const AccessCounts::Lanes& lanes, uint32_t bytes, uint64_t& passes, uint64_t& least) {
  const uint32_t lanes_of_part = bytes <= kBankBytes ? kLanes : kLanes * kBankBytes / bytes;
  for (uint32_t first = 0; first < kLanes; first += lanes_of_part) {
    std::set<uint64_t> words;
    for (const auto& [lane, address] : lanes)
      if (lane >= first && lane < first + lanes_of_part)
        for (uint64_t word = address / kBankBytes; word <= (address + bytes - 1) / kBankBytes; ++word) words.insert(word);
    if (words.empty()) continue;
    std::array<uint64_t, kBanks> of_bank = {};
    for (const uint64_t word : words) ++of_bank[word % kBanks];
    passes += *std::max_element(of_bank.begin(), of_bank.end());
    least += CeilDiv(words.size(), kBanks);
  }
}

void CountSectors(const AccessCounts::Lanes& lanes, uint32_t bytes, uint64_t& sectors, uint64_t& least) {
  std::set<uint64_t> touched, starts;
  for (const auto& [lane, address] : lanes) {
    starts.insert(address);
    for (uint64_t sector = address / kSectorBytes; sector <= (address + bytes - 1) / kSectorBytes; ++sector) touched.insert(sector);
  }
  sectors += touched.size();
  least += CeilDiv(starts.size() * bytes, kSectorBytes);
}

}  // namespace

void AccessCounts::Note(const Instruction& instruction, bool is_shared, uint32_t bytes_of_lane, const Lanes& lanes) {
  Count& count = counts_[{&instruction, is_shared}];
  ++count.requests;
  if (is_shared)
    CountPasses(lanes, bytes_of_lane, count.units, count.least);
  else
    CountSectors(lanes, bytes_of_lane, count.units, count.least);
}

void AccessCounts::EndLaunch(const Grid& grid) {
  std::FILE* file = std::fopen(path_.c_str(), "a");
  if (file == nullptr) return;
  const Kernel& kernel = *grid.kernel;
  std::fprintf(file, "kernel %s  blocks %u x %u x %u  threads %u x %u x %u\n", kernel.name.c_str(), grid.blocks[0], grid.blocks[1],
               grid.blocks[2], grid.threads[0], grid.threads[1], grid.threads[2]);
  for (const bool is_shared : {false, true}) {
    Count all;
    for (const auto& [key, count] : counts_) {
      if (key.is_shared != is_shared) continue;
      all.requests += count.requests;
      all.units += count.units;
      all.least += count.least;
    }
    const auto ratio = [](uint64_t a, uint64_t b) { return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b); };
    const char* unit = is_shared ? "passes" : "sectors";
    std::fprintf(file, "  %s: %llu requests, %.2f %s each, %.2f times as many as need be\n", is_shared ? "shared" : "global",
                 static_cast<unsigned long long>(all.requests), ratio(all.units, all.requests), unit, ratio(all.units, all.least));
    for (const auto& [key, count] : counts_) {
      if (key.is_shared != is_shared || ratio(count.units, count.least) < kPlainlyMore) continue;
      const Kernel::Source& source = kernel.sources[static_cast<size_t>(key.instruction - kernel.code.data())];
      std::fprintf(file, "    %.1f times, %.0f%% of all %s: line %u: %s\n", ratio(count.units, count.least),
                   100 * ratio(count.units, all.units), unit, source.line, source.text.c_str());
    }
  }
  std::fclose(file);
  counts_.clear();
}

}  // namespace lathe::ptx
