// Candidates in order: 64-bit keys, falling score above, index below, so that any sort puts equal scores in the order of their indices.

LATHE_INLINE uint64_t KeyOf(float score, int64_t index) {
  score += 0.0f;  // -0 and 0 are equal scores
  uint32_t bits;
  memcpy(&bits, &score, 4);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;  // rises with the score
  return uint64_t(~bits) << 32 | uint64_t(index);
}
LATHE_INLINE int64_t IndexOf(uint64_t key) { return int64_t(key & 0xFFFFFFFFu); }

// Sorts the lowest `wanted` of keys[0, count) to the front.
void QuickSort(uint64_t* keys, int64_t count, int64_t wanted) {
  while (count > 24) {
    const uint64_t a = keys[0], b = keys[count / 2], c = keys[count - 1];
    const uint64_t pivot = Max(Min(a, b), Min(Max(a, b), c));
    int64_t i = -1, j = count;
    while (true) {
      while (keys[++i] < pivot) {
      }
      while (keys[--j] > pivot) {
      }
      if (i >= j) break;
      const uint64_t swapped = keys[i];
      keys[i] = keys[j], keys[j] = swapped;
    }
    const int64_t left = j + 1;  // keys[0, left) <= pivot <= the rest; both sides hold something
    if (wanted <= left) {
      count = left;
    } else if (left < count - left) {  // the shorter side by recursion, so the stack stays shallow
      QuickSort(keys, left, left);
      keys += left, count -= left, wanted -= left;
    } else {
      QuickSort(keys + left, count - left, wanted - left);
      count = left, wanted = left;
    }
  }
  for (int64_t i = 1; i < count; ++i) {
    const uint64_t key = keys[i];
    int64_t j = i;
    for (; j > 0 && keys[j - 1] > key; --j) keys[j] = keys[j - 1];
    keys[j] = key;
  }
}

// By the upper 32 bits; keys that are equal there stay in their order. The result is in `keys`.
void RadixSort(uint64_t* keys, uint64_t* spare, int64_t count) {
  constexpr int kBits = SORT == SORT_RADIX11 ? 11 : 8, kPasses = (32 + kBits - 1) / kBits;
  constexpr uint32_t kDigits = 1u << kBits;
  uint32_t places[kPasses][kDigits] = {};
  for (int64_t i = 0; i < count; ++i)
    for (int pass = 0; pass < kPasses; ++pass) ++places[pass][keys[i] >> (32 + pass * kBits) & (kDigits - 1)];
  uint64_t *from = keys, *to = spare;
  for (int pass = 0; pass < kPasses; ++pass) {
    const int shift = 32 + pass * kBits;
    if (count > 0 && places[pass][from[0] >> shift & (kDigits - 1)] == uint32_t(count)) continue;  // one digit throughout
    uint32_t place = 0;
    for (uint32_t digit = 0; digit < kDigits; ++digit) {
      const uint32_t here = places[pass][digit];
      places[pass][digit] = place;
      place += here;
    }
    for (int64_t i = 0; i < count; ++i) to[places[pass][from[i] >> shift & (kDigits - 1)]++] = from[i];
    uint64_t* const swapped = from;
    from = to, to = swapped;
  }
  if (from != keys) memcpy(keys, from, size_t(count) * 8);
}

void SiftDown(uint64_t* heap, int64_t count, int64_t i) {
  const uint64_t key = heap[i];
  while (2 * i + 1 < count) {
    int64_t child = 2 * i + 1;
    if (child + 1 < count && heap[child + 1] < heap[child]) ++child;
    if (heap[child] >= key) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = key;
}

// Candidates, best first, brought into order no earlier than asked for.
class Order {
 public:
  // Both arrays hold `count` keys; `limit` of them will be asked for.
  Order(uint64_t* keys, uint64_t* spare, int64_t count, int64_t limit) : keys_(keys), sorted_(keys), left_(count) {
    if constexpr (SORT == SORT_QUICK) {
      QuickSort(keys, count, limit);
    } else if constexpr (SORT == SORT_HEAP) {
      sorted_ = spare;
      for (int64_t i = count / 2 - 1; i >= 0; --i) SiftDown(keys, count, i);
    } else {
      RadixSort(keys, spare, count);
    }
  }
  // The candidate of rank `rank`; ranks are asked for in turn.
  LATHE_INLINE int64_t At(int64_t rank) {
    if constexpr (SORT == SORT_HEAP) {
      if (rank == taken_) {
        sorted_[taken_++] = keys_[0];
        keys_[0] = keys_[--left_];
        SiftDown(keys_, left_, 0);
      }
    }
    return IndexOf(sorted_[rank]);
  }

 private:
  uint64_t *keys_, *sorted_;
  int64_t left_, taken_ = 0;
};
