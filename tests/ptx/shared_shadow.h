// Who touched a block's shared memory last, granule by granule, so that accesses which nothing orders are seen.
//
// A barrier of the block begins an epoch: accesses of different epochs are ordered. Within one, accesses of a warp's lanes are ordered by
// its bar.warp.sync between them, others not at all. That lanes run in lockstep orders nothing: since Volta they need not.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace lathe::ptx {

class SharedShadow {
 public:
  using Id = uint16_t;                   // a thread of the block
  static constexpr Id kOfWarp = 0x4000;  // | warp: some lane of it, nobody knows which
  static constexpr Id kMany = 0xffff;    // of several warps

  struct Who {
    Id id = 0;
    Id warp = 0;
    uint32_t syncs = 0;  // how often the warp's lanes have waited for each other
  };
  struct Conflict {
    enum Kind : uint8_t { kNone, kUnwritten, kCopyUnderWay, kWritten, kRead } kind = kNone;
    Id other = 0;
  };

  void Resize(uint64_t bytes, uint32_t granule) {
    granule_ = granule;
    cells_.assign(bytes / granule + 1, Cell());
  }
  void BeginBlock() { first_epoch_ = ++epoch_; }
  void NextEpoch() { ++epoch_; }

  Conflict Read(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      Conflict conflict = Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.atomic, Conflict::kWritten}});
      if (conflict.kind == Conflict::kNone && cell.write.epoch < first_epoch_ && cell.atomic.epoch < first_epoch_)
        conflict = {Conflict::kUnwritten, 0};
      Join(cell.read, who);
      return conflict;
    });
  }

  Conflict Write(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      const Conflict conflict =
          Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.atomic, Conflict::kWritten}, {&cell.read, Conflict::kRead}});
      cell.write = {epoch_, who.syncs, who.id};
      return conflict;
    });
  }

  // Atomic operations conflict with all but each other.
  Conflict Change(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      Conflict conflict = Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.read, Conflict::kRead}});
      if (conflict.kind == Conflict::kNone && cell.write.epoch < first_epoch_ && cell.atomic.epoch < first_epoch_)
        conflict = {Conflict::kUnwritten, 0};
      Join(cell.atomic, who);
      return conflict;
    });
  }

  // From here to EndCopy the bytes may change at any time.
  Conflict BeginCopy(uint64_t offset, uint64_t bytes, const Who& who) {
    const Conflict conflict = Write(offset, bytes, who);
    ForEach(offset, bytes, [&](Cell& cell) {
      cell.copy_epoch = epoch_;
      return Conflict();
    });
    return conflict;
  }
  void EndCopy(uint64_t offset, uint64_t bytes, const Who& who) {
    ForEach(offset, bytes, [&](Cell& cell) {
      cell.copy_epoch = 0;
      cell.write = {epoch_, who.syncs, who.id};
      return Conflict();
    });
  }

 private:
  struct Touch {  // the last, or of several in one epoch what they have in common
    uint32_t epoch = 0, syncs = 0;
    Id id = 0;
  };
  struct Cell {
    Touch write, read, atomic;
    uint32_t copy_epoch = 0;  // of an asynchronous copy that is under way; its thread is the writer
  };
  struct Other {
    const Touch* touch;
    Conflict::Kind kind;
  };

  template <typename F>
  Conflict ForEach(uint64_t offset, uint64_t bytes, F touch) {
    Conflict conflict;
    for (uint64_t i = offset / granule_; i < (offset + bytes + granule_ - 1) / granule_; ++i)
      if (const Conflict one = touch(cells_[i]); one.kind != Conflict::kNone) conflict = one;
    return conflict;
  }

  static Id WarpOf(Id id) {
    return id == kMany ? kMany : (id & kOfWarp) != 0 ? static_cast<Id>(id & (kOfWarp - 1)) : static_cast<Id>(id / 32);
  }

  Conflict Meeting(const Cell& cell, const Who& who, std::initializer_list<Other> others) const {
    if (cell.copy_epoch >= first_epoch_) return {Conflict::kCopyUnderWay, cell.write.id};
    for (const Other& other : others) {
      const Touch& touch = *other.touch;
      if (touch.epoch != epoch_ || (touch.id == who.id && (touch.id & kOfWarp) == 0)) continue;
      if (WarpOf(touch.id) != who.warp || touch.syncs >= who.syncs) return {other.kind, touch.id};
    }
    return {};
  }

  void Join(Touch& touch, const Who& who) {
    if (touch.epoch != epoch_)
      touch.id = who.id;
    else if (touch.id != who.id)
      touch.id = WarpOf(touch.id) == who.warp ? static_cast<Id>(kOfWarp | who.warp) : kMany;
    touch.epoch = epoch_;
    touch.syncs = who.syncs;
  }

  uint32_t granule_ = 1, epoch_ = 0, first_epoch_ = 1;
  std::vector<Cell> cells_;
};

}  // namespace lathe::ptx
