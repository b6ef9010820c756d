// Greedy non-maximum suppression. Candidates come best first (order_cpu.h). Boxes that others are held against lie in columns (left[],
// top[], …), a vector of them meets one box at a time.
//
//   kept_list  a candidate meets the kept boxes, oldest first, and stops at the first vector with one that suppresses it. Least work when
//              few are kept or max_out comes early.
//   blocks     a block of candidates meets the kept boxes, candidates shared out to threads; then the block is settled within itself.
//   sweep      each kept box meets all candidates left; the suppressed ones are squeezed out every BLOCK kept boxes. Pays when each box
//              removes many.
//   grid       kept boxes lie in GRID x GRID cells by their centres, and a candidate meets those of the cells where a suppressor can be:
//              IoU > t needs widths whose ratio is > t and an overlap of > t/(1 + t) of their sum, so centres at most w*(1 - t)/(2*t) apart
//              (likewise down). Pays when many are kept.
//
// Rounding never decides (operator.json), so the IoU test may take any algebraically equal form. MARGIN is its difference, > 0: suppressed.

#include "order_cpu.h"

constexpr float THRESHOLD = float(IOU_THRESHOLD);
constexpr float AREA_SCALE = IOU == IOU_SCALED ? THRESHOLD / (1.0f + THRESHOLD) : 1.0f;
constexpr int64_t STEP = LANES * UNROLL;
constexpr int64_t SLACK = STEP > BLOCK ? STEP : BLOCK;  // columns are filled up to whole steps

typedef Vec<float, LANES> Floats;
typedef Vec<int32_t, LANES> Ints;

struct Box {
  float left, top, right, bottom, area;  // area times AREA_SCALE
  int32_t cls;
};

LATHE_INLINE Box BoxAt(const float* boxes, const int32_t* class_ids, int64_t i) {
  const float a = boxes[4 * i], b = boxes[4 * i + 1], c = boxes[4 * i + 2], d = boxes[4 * i + 3];
  Box box;
  if (CENTER_POINT_BOX)
    box = {a - c / 2, b - d / 2, a + c / 2, b + d / 2, 0, 0};
  else
    box = {Min(a, c), Min(b, d), Max(a, c), Max(b, d), 0, 0};
  box.area = (box.right - box.left) * (box.bottom - box.top) * AREA_SCALE;
  box.cls = BATCHED ? class_ids[i] : 0;
  return box;
}

// Boxes by column.
struct Columns {
  float *left, *top, *right, *bottom, *area;
  int32_t* cls;

  LATHE_INLINE void Set(int64_t i, const Box& box) const {
    left[i] = box.left, top[i] = box.top, right[i] = box.right, bottom[i] = box.bottom, area[i] = box.area;
    if (BATCHED) cls[i] = box.cls;
  }
  LATHE_INLINE Box Get(int64_t i) const { return {left[i], top[i], right[i], bottom[i], area[i], BATCHED ? cls[i] : 0}; }
  // Boxes [from, to) that overlap nothing.
  void Clear(int64_t from, int64_t to) const {
    for (int64_t i = from; i < to; ++i) Set(i, {1e18f, 1e18f, -1e18f, -1e18f, 0, 0});
  }
  void Move(int64_t from, int64_t to) const { Set(to, Get(from)); }
};

LATHE_INLINE Floats Margin(const Columns& columns, int64_t i, const Box& box) {
  const auto load = [i](const float* column) { return Load<float, LANES>(column + i); };
  const auto all = [](float value) { return Broadcast<float, LANES>(value); };
  const Floats width = Min(load(columns.right), all(box.right)) - Max(load(columns.left), all(box.left));
  const Floats height = Min(load(columns.bottom), all(box.bottom)) - Max(load(columns.top), all(box.top));
  const Floats both = Max(width, Floats{}) * Max(height, Floats{});
  const Floats areas = load(columns.area) + box.area;
  Floats margin;
  if constexpr (IOU == IOU_SCALED)
    margin = both - areas;
  else if constexpr (IOU == IOU_MULTIPLY)
    margin = both - THRESHOLD * (areas - both);
  else
    margin = both / Max(areas - both, all(1e-30f)) - THRESHOLD;  // an empty union has an empty intersection
  if constexpr (BATCHED && GROUPS == GROUPS_COMPARE) {
    const Ints same = Load<int32_t, LANES>(columns.cls + i) == box.cls;
    margin = same ? margin : all(-1.0f);
  }
  return margin;
}

// Whether one of boxes [from, count) suppresses `box`; columns are clear up to the next whole step.
LATHE_INLINE bool Suppressed(const Columns& columns, int64_t count, const Box& box) {
  for (int64_t i = 0; i < count; i += STEP) {
    Floats margin = Margin(columns, i, box);
    for (int u = 1; u < UNROLL; ++u) margin = Max(margin, Margin(columns, i + u * LANES, box));
    if (AnyLane<LANES>(margin > 0.0f)) return true;
  }
  return false;
}

// dead[i] > 0 where `box` suppresses box i of [from, count), or something did before. Whole vectors: up to LANES - 1 before and after.
LATHE_INLINE void Suppress(const Columns& columns, int64_t from, int64_t count, const Box& box, float* dead) {
  for (int64_t i = from / LANES * LANES; i < count; i += LANES)
    Store<float, LANES>(dead + i, Max(Load<float, LANES>(dead + i), Margin(columns, i, box)));
}

// ---- grid

// Kept boxes of one cell; the places that hold none overlap nothing.
struct alignas(64) Chunk {
  float left[LANES], top[LANES], right[LANES], bottom[LANES], area[LANES];
  int32_t cls[LANES];
  int32_t next;  // of the same cell, older; -1: none

  LATHE_INLINE Columns columns() { return {left, top, right, bottom, area, cls}; }
};
constexpr int64_t CELLS = ALGORITHM == ALGORITHM_GRID ? int64_t(GRID) * GRID : 0;
constexpr int64_t ChunkCount(int64_t n) { return ALGORITHM == ALGORITHM_GRID ? n / LANES + CELLS + 1 : 0; }

// One axis cut into GRID cells. Centres beyond its ends belong to the outer ones.
struct Axis {
  float from = 0, per_cell = 1;

  LATHE_INLINE int64_t CellOf(float at) const {
    const float cell = (at - from) / per_cell;
    return cell > 0 ? int64_t(Min(cell, float(GRID - 1))) : 0;  // NaN: 0
  }
  // Cells in which a box that is suppressed by, or suppresses, one from `low` to `high` can have its centre; some more for rounding.
  LATHE_INLINE void Reach(float low, float high, int64_t& first, int64_t& last) const {
    const float centre = (low + high) / 2, size = high - low;
    constexpr float kReach = IOU_THRESHOLD > 0 ? float((1 - IOU_THRESHOLD) / (2 * IOU_THRESHOLD)) : 1e9f;
    const float reach = size * (kReach + 1e-4f) + Max(centre, -centre) * 1e-5f;
    first = CellOf(centre - reach), last = CellOf(centre + reach);
  }
};

// ---- one problem

struct Problem {
  const float *boxes, *scores;  // [n, 4], [n]
  const int32_t* class_ids;     // [n]; null unless BATCHED
  int32_t *keep, *count;        // [MAX_OUT], [1]
};

class Suppressor {
 public:
  // `scratch` holds ScratchBytes(n).
  Suppressor(const Problem& problem, int64_t n, char* scratch, const Context& context) : problem_(problem), n_(n), context_(context) {
    const auto take = [&scratch](int64_t bytes) {
      char* const taken = scratch;
      scratch += CeilDiv(bytes, 64) * 64;
      return taken;
    };
    keys_ = reinterpret_cast<uint64_t*>(take(n * 8));
    spare_ = reinterpret_cast<uint64_t*>(take(n * 8));
    class_keys_ = reinterpret_cast<uint64_t*>(take(n * 8));
    const auto floats = [&] { return reinterpret_cast<float*>(take((n + SLACK) * 4)); };
    const auto integers = [&] { return reinterpret_cast<int32_t*>(take((n + SLACK) * 4)); };
    kept_ = {floats(), floats(), floats(), floats(), floats(), integers()};
    others_ = {floats(), floats(), floats(), floats(), floats(), integers()};
    dead_ = floats();
    ranks_ = integers();
    chunks_ = reinterpret_cast<Chunk*>(take(ChunkCount(n) * int64_t(sizeof(Chunk))));
    heads_ = reinterpret_cast<int32_t*>(take(CELLS * 8));
  }
  // A multiple of 64, so that the next task's scratch is aligned too.
  static int64_t ScratchBytes(int64_t n) {
    return CeilDiv(84 * n + ChunkCount(n) * int64_t(sizeof(Chunk)) + CELLS * 8, 64) * 64 + 40 * 1024;
  }

  void Solve() {
    int64_t candidates = 0;
    for (int64_t i = 0; i < n_; ++i) {
      keys_[candidates] = KeyOf(problem_.scores[i], i);
      candidates += problem_.scores[i] > float(SCORE_THRESHOLD);
    }
    const int64_t limit = TOP_K > 0 ? Min<int64_t>(candidates, TOP_K) : candidates;
    Order order(keys_, spare_, candidates, limit);
    if constexpr (GROUPS == GROUPS_SEGMENTS)
      ByClass(order, limit);
    else if constexpr (ALGORITHM == ALGORITHM_KEPT_LIST)
      KeptList(order, limit);
    else if constexpr (ALGORITHM == ALGORITHM_BLOCKS)
      Blocks(order, limit);
    else if constexpr (ALGORITHM == ALGORITHM_GRID)
      Grid(order, limit);
    else
      Sweep(order, limit);
    *problem_.count = int32_t(results_);
    for (int64_t i = results_; i < MAX_OUT; ++i) problem_.keep[i] = -1;
  }

 private:
  Box Fetch(int64_t i) const { return BoxAt(problem_.boxes, problem_.class_ids, i); }

  // Adds to the kept columns, which stay clear up to a whole step.
  LATHE_INLINE void Keep(const Box& box) {
    if (kept_count_ % STEP == 0) kept_.Clear(kept_count_, kept_count_ + STEP);
    kept_.Set(kept_count_++, box);
  }

  void KeptList(Order& order, int64_t limit) {
    for (int64_t rank = 0; rank < limit && results_ < MAX_OUT; ++rank) {
      const int64_t index = order.At(rank);
      const Box box = Fetch(index);
      if (Suppressed(kept_, kept_count_, box)) continue;
      Keep(box);
      problem_.keep[results_++] = int32_t(index);
    }
  }

  void Blocks(Order& order, int64_t limit) {
    for (int64_t begin = 0; begin < limit && results_ < MAX_OUT; begin += BLOCK) {
      const int64_t size = Min<int64_t>(BLOCK, limit - begin);
      for (int64_t i = 0; i < size; ++i) {
        ranks_[i] = int32_t(order.At(begin + i));
        others_.Set(i, Fetch(ranks_[i]));
      }
      others_.Clear(size, BLOCK);
      constexpr int kPieces = BATCH * CLASSES == 1 ? TASKS : 1;
      context_.Parallel(kept_count_ >= 4 * STEP ? kPieces : 1, [&](int piece) {
        const int pieces = kept_count_ >= 4 * STEP ? kPieces : 1;
        for (int64_t i = size * piece / pieces; i < size * (piece + 1) / pieces; ++i)
          dead_[i] = Suppressed(kept_, kept_count_, others_.Get(i)) ? 1.0f : 0.0f;
      });
      for (int64_t i = 0; i < size && results_ < MAX_OUT; ++i) {
        if (dead_[i] > 0) continue;
        const Box box = others_.Get(i);
        Suppress(others_, i + 1, size, box, dead_);
        Keep(box);
        problem_.keep[results_++] = ranks_[i];
      }
    }
  }

  void Sweep(Order& order, int64_t limit) {
    for (int64_t i = 0; i < limit; ++i) {
      ranks_[i] = int32_t(order.At(i));
      others_.Set(i, Fetch(ranks_[i]));
      dead_[i] = 0;
    }
    others_.Clear(limit, limit + LANES);
    int64_t left = limit, since = 0;
    for (int64_t i = 0; i < left && results_ < MAX_OUT; ++i) {
      if (dead_[i] > 0) continue;
      Suppress(others_, i + 1, left, others_.Get(i), dead_);
      problem_.keep[results_++] = ranks_[i];
      if (++since < BLOCK) continue;
      since = 0;
      int64_t to = 0;
      for (int64_t j = i + 1; j < left; ++j) {
        if (dead_[j] > 0) continue;
        others_.Move(j, to);
        ranks_[to] = ranks_[j];
        dead_[to++] = 0;
      }
      others_.Clear(to, Min(left, to + LANES));
      left = to;
      i = -1;
    }
  }

  // Where the boxes' centres lie.
  void Measure(Axis& across, Axis& down) const {
    float low[2] = {1e30f, 1e30f}, high[2] = {-1e30f, -1e30f};
    for (int64_t i = 0; i < n_; ++i)
      for (int axis = 0; axis < 2; ++axis) {
        const float a = problem_.boxes[4 * i + axis], b = problem_.boxes[4 * i + 2 + axis];
        const float centre = CENTER_POINT_BOX ? a : (a + b) / 2;
        low[axis] = Min(low[axis], centre), high[axis] = Max(high[axis], centre);
      }
    across = {low[0], Max((high[0] - low[0]) / GRID, 1e-20f)};
    down = {low[1], Max((high[1] - low[1]) / GRID, 1e-20f)};
  }

  void Grid(Order& order, int64_t limit) {
    Axis across, down;
    Measure(across, down);
    int32_t* const counts = heads_ + CELLS;
    for (int64_t cell = 0; cell < CELLS; ++cell) heads_[cell] = -1, counts[cell] = 0;
    int32_t chunks = 0;
    const auto suppressed = [&](const Box& box) {
      int64_t left, right, top, bottom;
      across.Reach(box.left, box.right, left, right);
      down.Reach(box.top, box.bottom, top, bottom);
      for (int64_t y = top; y <= bottom; ++y)
        for (int64_t x = left; x <= right; ++x)
          for (int32_t chunk = heads_[y * GRID + x]; chunk >= 0; chunk = chunks_[chunk].next)
            if (AnyLane<LANES>(Margin(chunks_[chunk].columns(), 0, box) > 0.0f)) return true;
      return false;
    };
    for (int64_t rank = 0; rank < limit && results_ < MAX_OUT; ++rank) {
      const int64_t index = order.At(rank);
      const Box box = Fetch(index);
      if (suppressed(box)) continue;
      const int64_t cell = down.CellOf((box.top + box.bottom) / 2) * GRID + across.CellOf((box.left + box.right) / 2);
      if (counts[cell] % LANES == 0) {
        chunks_[chunks].columns().Clear(0, LANES);
        chunks_[chunks].next = heads_[cell];
        heads_[cell] = chunks++;
      }
      chunks_[heads_[cell]].columns().Set(counts[cell]++ % LANES, box);
      problem_.keep[results_++] = int32_t(index);
    }
  }

  // Each class on its own, then the kept ones in order of rank.
  void ByClass(Order& order, int64_t limit) {
    for (int64_t rank = 0; rank < limit; ++rank) {
      const int64_t index = order.At(rank);
      ranks_[rank] = int32_t(index);
      dead_[rank] = 1;
      class_keys_[rank] = uint64_t(uint32_t(problem_.class_ids[index]) ^ 0x80000000u) << 32 | uint64_t(rank);
    }
    if constexpr (SORT == SORT_QUICK)
      QuickSort(class_keys_, limit, limit);
    else
      RadixSort(class_keys_, spare_, limit);
    int64_t cls = -1;
    for (int64_t i = 0; i < limit; ++i) {
      const int64_t rank = IndexOf(class_keys_[i]);
      if (int64_t(class_keys_[i] >> 32) != cls) {
        cls = int64_t(class_keys_[i] >> 32);
        kept_count_ = 0;
      }
      if (kept_count_ == MAX_OUT) continue;
      const Box box = Fetch(ranks_[rank]);
      if (Suppressed(kept_, kept_count_, box)) continue;
      Keep(box);
      dead_[rank] = 0;
    }
    for (int64_t rank = 0; rank < limit && results_ < MAX_OUT; ++rank)
      if (dead_[rank] == 0) problem_.keep[results_++] = ranks_[rank];
  }

  const Problem problem_;
  const int64_t n_;
  const Context& context_;
  uint64_t *keys_, *spare_, *class_keys_;
  Columns kept_, others_;
  float* dead_;
  int32_t* ranks_;
  Chunk* chunks_;
  int32_t* heads_;  // grid: the newest chunk of each cell, then how many boxes each has
  int64_t kept_count_ = 0, results_ = 0;
};

void run(const float* boxes, const float* scores, const int32_t* class_ids, int32_t* keep, int32_t* count, int64_t n,
         const Context& context) {
  constexpr int kProblems = BATCH * CLASSES, kTasks = TASKS < kProblems ? TASKS : kProblems;
  char* const scratch = static_cast<char*>(context.workspace());
  context.Parallel(kTasks, [&](int task) {
    for (int64_t i = task; i < kProblems; i += kTasks) {
      const int64_t image = i / CLASSES;
      const Problem problem = {boxes + image * n * 4, scores + i * n, BATCHED ? class_ids + image * n : nullptr, keep + i * MAX_OUT,
                               count + i};
      Suppressor(problem, n, scratch + task * Suppressor::ScratchBytes(n), context).Solve();
    }
  });
}
