// Who touched memory last, granule by granule, so that accesses which nothing orders are seen.
//
// A barrier of a block begins an epoch: the block's accesses in different epochs are ordered. Within one, accesses of a warp's lanes are
// ordered by a bar.warp.sync between them, others not at all. That lanes run in lockstep orders nothing: since Volta they need not.
// Accesses of two blocks of a launch are never ordered.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace lathe::ptx {

// Blocks run one after the other, so one count does for all: where it stood when the launch and the block began.
struct Epochs {
  uint32_t launch = 1, block = 1, now = 1;

  void BeginLaunch() { launch = block = ++now; }
  void BeginBlock() { block = ++now; }
  void PassBarrier() { ++now; }
};

class AccessShadow {
 public:
  using Id = uint16_t;                       // a thread of the block
  static constexpr Id kOfWarp = 0x4000;      // | warp: some lane of it, nobody knows which
  static constexpr Id kMany = 0xffff;        // of several warps
  static constexpr Id kOtherBlock = 0xfffe;  // of another block

  struct Who {
    Id id = 0;
    Id warp = 0;
    uint32_t syncs = 0;  // how often the warp's lanes have waited for each other
  };
  struct Conflict {
    enum Kind : uint8_t { kNone, kUnwritten, kCopyUnderWay, kWritten, kRead } kind = kNone;
    Id other = 0;
  };

  // `shared`: each block has memory of its own, and begins with nothing written.
  AccessShadow(const Epochs& epochs, bool shared) : epochs_(&epochs), shared_(shared) {}

  // No access is smaller than the granule. What was known is forgotten where the granule changes.
  void Resize(uint64_t bytes, uint32_t granule) {
    if (granule_ == granule && cells_.size() == bytes / granule + 1) return;
    granule_ = granule;
    cells_.assign(bytes / granule + 1, Cell());
  }

  Conflict Read(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      const Conflict conflict = Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.atomic, Conflict::kWritten}});
      Join(cell.read, who);
      return conflict.kind == Conflict::kNone && IsUnwritten(cell) ? Conflict{Conflict::kUnwritten, 0} : conflict;
    });
  }

  Conflict Write(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      const Conflict conflict =
          Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.atomic, Conflict::kWritten}, {&cell.read, Conflict::kRead}});
      Replace(cell.write, who);
      return conflict;
    });
  }

  // Atomic operations conflict with all but each other.
  Conflict Change(uint64_t offset, uint64_t bytes, const Who& who) {
    return ForEach(offset, bytes, [&](Cell& cell) {
      const Conflict conflict = Meeting(cell, who, {{&cell.write, Conflict::kWritten}, {&cell.read, Conflict::kRead}});
      const bool unwritten = IsUnwritten(cell);
      Join(cell.atomic, who);
      return conflict.kind == Conflict::kNone && unwritten ? Conflict{Conflict::kUnwritten, 0} : conflict;
    });
  }

  // From here to EndCopy the bytes may change at any time.
  Conflict BeginCopy(uint64_t offset, uint64_t bytes, const Who& who) {
    const Conflict conflict = Write(offset, bytes, who);
    ForEach(offset, bytes, [&](Cell& cell) {
      cell.copy_epoch = epochs_->now;
      return Conflict();
    });
    return conflict;
  }
  void EndCopy(uint64_t offset, uint64_t bytes, const Who& who) {
    ForEach(offset, bytes, [&](Cell& cell) {
      cell.copy_epoch = 0;
      Replace(cell.write, who);
      return Conflict();
    });
  }

 private:
  struct Touch {  // the last; of several in one epoch, what they have in common
    uint32_t epoch = 0, syncs = 0;
    uint32_t other_block = 0;  // the launch in which another block touched, too
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
  bool IsUnwritten(const Cell& cell) const { return shared_ && cell.write.epoch < epochs_->block && cell.atomic.epoch < epochs_->block; }
  bool IsOfOtherBlock(const Touch& touch) const {
    return !shared_ && (touch.other_block == epochs_->launch || (touch.epoch >= epochs_->launch && touch.epoch < epochs_->block));
  }

  Conflict Meeting(const Cell& cell, const Who& who, std::initializer_list<Other> others) const {
    if (cell.copy_epoch >= epochs_->block) return {Conflict::kCopyUnderWay, cell.write.id};
    for (const Other& other : others) {
      const Touch& touch = *other.touch;
      if (IsOfOtherBlock(touch)) return {other.kind, kOtherBlock};
      if (touch.epoch != epochs_->now || (touch.id == who.id && (touch.id & kOfWarp) == 0)) continue;
      if (WarpOf(touch.id) != who.warp || touch.syncs >= who.syncs) return {other.kind, touch.id};
    }
    return {};
  }

  void Replace(Touch& touch, const Who& who) { touch = {epochs_->now, who.syncs, IsOfOtherBlock(touch) ? epochs_->launch : 0, who.id}; }
  void Join(Touch& touch, const Who& who) {
    Id id = who.id;
    if (touch.epoch == epochs_->now && touch.id != who.id) id = WarpOf(touch.id) == who.warp ? static_cast<Id>(kOfWarp | who.warp) : kMany;
    Replace(touch, who);
    touch.id = id;
  }

  const Epochs* epochs_;
  bool shared_;
  uint32_t granule_ = 1;
  std::vector<Cell> cells_;
};

}  // namespace lathe::ptx
