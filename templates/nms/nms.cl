// Greedy suppression without a look at the host. The kernels in order; a problem is an (image, class), dimension 1 everywhere:
//   choose    one group a problem: the keys of its candidates, in any order. A key rises as the score falls and holds the box's index below,
//             so that no two are equal; where there are more than TOP_K, the TOP_K-th is found digit by digit (radix selection).
//   rank      SORT == rank: a candidate's place is the number of smaller keys, counted tile by tile; its box goes there.
//   merge     SORT == bitonic: parts of PART keys are sorted in local memory, then merged by passes; `gather` fetches the boxes.
//   suppress  CHUNK candidates after the other, two passes each, until MAX_OUT are kept or none is left; then passes end at once.
//             Even: whether a box kept before suppresses a candidate of the chunk (SLICES groups share the kept boxes), and beside that the
//             bit matrix of which candidate of the chunk would suppress which later one of it.
//             Odd: one group a problem walks down the matrix, 32 rows at a time.
// With CHUNK >= candidates that is the well-known single bit matrix; smaller chunks compare with kept boxes only, and stop early.
//
// The workspace holds everything between the kernels (Layout below; the manifest's sum). Rounding never decides (operator.json), so the IoU
// test may take any algebraically equal form; MARGIN is its difference, > 0: suppressed.

#define CHUNK_WORDS (CHUNK / 32)
#define TILE (32 * WORDS)  // boxes in local memory that a group's items are held against

#if DTYPE == DTYPE_F16
typedef half stored_t;
#define SCORE(i) vload_half(i, scores)
#define BOX(i) vloada_half4(i, boxes)
#else
typedef float stored_t;
#define SCORE(i) scores[i]
#define BOX(i) *(GLOBAL const float4*)(boxes + (i) * 4)
#endif

typedef struct {
  int candidates, results, done, chosen;
} State;  // of one problem

// ---- the workspace: arrays of all problems, each at a multiple of 256 bytes

typedef struct {
  int capacity;  // candidates of a problem at most
  int padded;    // keys of a problem
  GLOBAL State* states;
  GLOBAL ulong* keys;
  GLOBAL float4* boxes;  // by rank: left, top, right, bottom
  GLOBAL float* areas;
  GLOBAL int* indices;
  GLOBAL int* classes;
  GLOBAL float4* kept_boxes;
  GLOBAL float* kept_areas;
  GLOBAL int* kept_classes;
  GLOBAL uint* dead;  // a bit for each candidate of the chunk
  GLOBAL uint* matrix;
} Layout;

DEVICE int CapacityOf(int n) {
#if TOP_K > 0
  return max(min(n, TOP_K), 1);
#else
  return max(n, 1);
#endif
}

DEVICE GLOBAL uchar* Take(GLOBAL uchar** workspace, size_t bytes) {
  GLOBAL uchar* taken = *workspace;
  *workspace += (bytes + 255) / 256 * 256;
  return taken;
}

// Of problem `problem`.
DEVICE Layout LayoutOf(GLOBAL uchar* workspace, int n, size_t problem) {
  Layout at;
  at.capacity = CapacityOf(n);
  at.padded = at.capacity;
#if SORT == SORT_BITONIC
  at.padded = PART;
  while (at.padded < at.capacity) at.padded *= 2;
#endif
  const size_t all = PROBLEMS, capacity = (size_t)at.capacity, kept = (size_t)min(at.capacity, MAX_OUT);
  at.states = (GLOBAL State*)Take(&workspace, all * 16) + problem;
  at.keys = (GLOBAL ulong*)Take(&workspace, all * at.padded * 8) + problem * at.padded;
  at.boxes = (GLOBAL float4*)Take(&workspace, all * capacity * 16) + problem * capacity;
  at.areas = (GLOBAL float*)Take(&workspace, all * capacity * 4) + problem * capacity;
  at.indices = (GLOBAL int*)Take(&workspace, all * capacity * 4) + problem * capacity;
  at.classes = (GLOBAL int*)Take(&workspace, BATCHED ? all * capacity * 4 : 0) + problem * capacity;
  at.kept_boxes = (GLOBAL float4*)Take(&workspace, all * kept * 16) + problem * kept;
  at.kept_areas = (GLOBAL float*)Take(&workspace, all * kept * 4) + problem * kept;
  at.kept_classes = (GLOBAL int*)Take(&workspace, BATCHED ? all * kept * 4 : 0) + problem * kept;
  at.dead = (GLOBAL uint*)Take(&workspace, all * CHUNK_WORDS * 4) + problem * CHUNK_WORDS;
  at.matrix = (GLOBAL uint*)Take(&workspace, all * CHUNK * CHUNK_WORDS * 4) + problem * ((size_t)CHUNK * CHUNK_WORDS);
  return at;
}

// ---- candidates and their order

DEVICE ulong KeyOf(float score, int index) {
  score += 0.0f;  // -0 and 0 are equal scores
  uint bits = as_uint(score);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;  // rises with the score
  return (ulong)(~bits) << 32 | (ulong)(uint)index;
}
DEVICE int IndexOf(ulong key) { return (int)(uint)(key & 0xFFFFFFFFu); }

KERNEL GROUP_SIZE(CHOOSERS, 1, 1) void choose(GLOBAL const stored_t* boxes, GLOBAL const stored_t* scores, GLOBAL const int* class_ids,
                                              GLOBAL int* keep, GLOBAL int* count, int n, GLOBAL uchar* workspace) {
  LOCAL_ARRAY(int, histogram, 256);
  LOCAL_ARRAY(int, sums, 16);
  LOCAL_ARRAY(int, shared, 4);  // candidates; keys taken; the digit that selection goes on with; candidates of lower digits
  const int item = (int)get_local_id(0);
  const size_t problem = get_group_id(1);
  const Layout at = LayoutOf(workspace, n, problem);
  scores += problem * (size_t)n;
  if (item == 0) shared[0] = shared[1] = 0;
  for (int i = item; i < CHUNK_WORDS; i += CHOOSERS) at.dead[i] = 0;
  barrier(CLK_LOCAL_MEM_FENCE);

  ulong last = ~(ulong)0;  // keys up to this one are taken
#if TOP_K > 0
  int mine = 0;
  for (int i = item; i < n; i += CHOOSERS) mine += SCORE(i) > (float)SCORE_THRESHOLD;
  if (mine > 0) atomic_add(&shared[0], mine);
  barrier(CLK_LOCAL_MEM_FENCE);
  if (shared[0] > TOP_K) {
    int wanted = TOP_K;
    ulong prefix = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
      if (shift == 24) continue;  // an index has 24 bits
      for (int i = item; i < 256; i += CHOOSERS) histogram[i] = 0;
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int i = item; i < n; i += CHOOSERS) {
        const ulong key = KeyOf(SCORE(i), i);
        const bool counts = SCORE(i) > (float)SCORE_THRESHOLD && (shift == 56 || key >> (shift + 8) == prefix);
        if (counts) atomic_inc(&histogram[(int)(key >> shift & 255)]);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      if (item < 16) {
        int sum = 0;
        for (int i = 0; i < 16; ++i) sum += histogram[16 * item + i];
        sums[item] = sum;
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      if (item == 0) {
        int passed = 0, part = 0;
        while (part < 15 && passed + sums[part] < wanted) passed += sums[part++];
        int digit = 16 * part;
        while (digit < 16 * part + 15 && passed + histogram[digit] < wanted) passed += histogram[digit++];
        shared[2] = digit, shared[3] = passed;
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      wanted -= shared[3];
      prefix = prefix << 8 | (ulong)shared[2];
      if (shift == 32) prefix <<= 8;  // the byte that is left out
      last = shift > 0 ? ((prefix + 1) << (shift == 32 ? 24 : shift)) - 1 : prefix;
      if (histogram[shared[2]] == wanted) break;  // all of them
      barrier(CLK_LOCAL_MEM_FENCE);
    }
  }
#endif
  for (int i = item; i < n; i += CHOOSERS) {
    const ulong key = KeyOf(SCORE(i), i);
    if (SCORE(i) > (float)SCORE_THRESHOLD && key <= last) at.keys[atomic_inc(&shared[1])] = key;
  }
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  const int candidates = shared[1];
  for (int i = candidates + item; i < at.padded; i += CHOOSERS) at.keys[i] = ~(ulong)0;
  if (item == 0) at.states->candidates = candidates, at.states->results = 0, at.states->done = 0;
}

// Box `index` of the problem's image, to its rank.
DEVICE void Place(Layout at, GLOBAL const stored_t* boxes, GLOBAL const int* class_ids, int n, size_t problem, int index, int rank) {
  const size_t box = problem / CLASSES * (size_t)n + (size_t)index;
  const float4 corners = BOX(box);
#if CENTER_POINT_BOX
  const float left = corners.x - corners.z / 2, top = corners.y - corners.w / 2, right = corners.x + corners.z / 2,
              bottom = corners.y + corners.w / 2;
#else
  const float left = fmin(corners.x, corners.z), top = fmin(corners.y, corners.w), right = fmax(corners.x, corners.z),
              bottom = fmax(corners.y, corners.w);
#endif
  at.boxes[rank] = make_float4(left, top, right, bottom);
  at.areas[rank] = (right - left) * (bottom - top);
  at.indices[rank] = index;
#if BATCHED
  at.classes[rank] = class_ids[box];
#endif
}

#if SORT == SORT_RANK
KERNEL GROUP_SIZE(SORTERS, 1, 1) void rank(GLOBAL const stored_t* boxes, GLOBAL const stored_t* scores, GLOBAL const int* class_ids,
                                           GLOBAL int* keep, GLOBAL int* count, int n, GLOBAL uchar* workspace) {
  LOCAL_ARRAY(ulong, tile, SORTERS);
  const int item = (int)get_local_id(0), first = (int)get_group_id(0) * SORTERS, i = first + item;
  const size_t problem = get_group_id(1);
  const Layout at = LayoutOf(workspace, n, problem);
  const int candidates = at.states->candidates;
  if (first >= candidates) return;
  const ulong key = i < candidates ? at.keys[i] : 0;
  int smaller = 0;
  for (int begin = 0; begin < candidates; begin += SORTERS) {
    tile[item] = begin + item < candidates ? at.keys[begin + item] : ~(ulong)0;
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL_BY(8)
    for (int k = 0; k < SORTERS; ++k) smaller += tile[k] < key;
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (i < candidates) Place(at, boxes, class_ids, n, problem, IndexOf(key), smaller);
}
#else

DEVICE void Exchange(LOCAL ulong* tile, int item, int distance, int first, int run) {
  for (int pair = item; pair < PART / 2; pair += SORTERS) {
    const int low = pair / distance * (2 * distance) + pair % distance, high = low + distance;
    const ulong a = tile[low], b = tile[high];
    if ((a > b) == (((first + low) & run) == 0)) tile[low] = b, tile[high] = a;
  }
  barrier(CLK_LOCAL_MEM_FENCE);
}

// Pass 0 sorts each part; then runs of 2, 4, … parts: one pass for every distance of a part or more, one for all below.
KERNEL GROUP_SIZE(SORTERS, 1, 1) void merge(GLOBAL const stored_t* boxes, GLOBAL const stored_t* scores, GLOBAL const int* class_ids,
                                            GLOBAL int* keep, GLOBAL int* count, int n, GLOBAL uchar* workspace, int pass) {
  LOCAL_ARRAY(ulong, tile, PART);
  const int item = (int)get_local_id(0), part = (int)get_group_id(0), first = part * PART;
  const Layout at = LayoutOf(workspace, n, get_group_id(1));
  const int candidates = at.states->candidates;
  int run = PART, distance = 0;  // of a merge; 0: all distances within a part
  for (int left = pass - 1, parts = 2; pass > 0 && distance == 0; parts *= 2) {
    run = parts * PART;
    int steps = 1;  // the last is the local one
    for (int d = parts / 2; d >= 1; d /= 2) ++steps;
    if (left < steps) {
      distance = left == steps - 1 ? -1 : run / 2 >> left;
    } else {
      left -= steps;
    }
  }
  // Beyond the candidates there are only keys above all others: already in order.
  if (pass == 0 ? first >= candidates : run / 2 >= candidates) return;
  if (distance > 0) {
    for (int i = item; i < PART; i += SORTERS) {
      const int low = first + i, high = low ^ distance;
      if (high < low) continue;
      const ulong a = at.keys[low], b = at.keys[high];
      if ((a > b) == ((low & run) == 0)) at.keys[low] = b, at.keys[high] = a;
    }
    return;
  }
  for (int i = item; i < PART; i += SORTERS) tile[i] = at.keys[first + i];
  barrier(CLK_LOCAL_MEM_FENCE);
  if (distance == 0)
    for (int size = 2; size < PART; size *= 2)
      for (int d = size / 2; d >= 1; d /= 2) Exchange(tile, item, d, first, size);
  for (int d = PART / 2; d >= 1; d /= 2) Exchange(tile, item, d, first, run);
  for (int i = item; i < PART; i += SORTERS) at.keys[first + i] = tile[i];
}

KERNEL GROUP_SIZE(SORTERS, 1, 1) void gather(GLOBAL const stored_t* boxes, GLOBAL const stored_t* scores, GLOBAL const int* class_ids,
                                             GLOBAL int* keep, GLOBAL int* count, int n, GLOBAL uchar* workspace) {
  const int i = (int)get_global_id(0);
  const size_t problem = get_group_id(1);
  const Layout at = LayoutOf(workspace, n, problem);
  if (i < at.states->candidates) Place(at, boxes, class_ids, n, problem, IndexOf(at.keys[i]), i);
}
#endif

// ---- suppression

DEVICE bool Suppresses(float4 a, float area_a, float4 b, float area_b) {
  const float width = fmin(a.z, b.z) - fmax(a.x, b.x), height = fmin(a.w, b.w) - fmax(a.y, b.y);
  const float both = fmax(width, 0.0f) * fmax(height, 0.0f), threshold = (float)IOU_THRESHOLD;
#if IOU == IOU_SCALED
  return both > (area_a + area_b) * (threshold / (1.0f + threshold));
#elif IOU == IOU_MULTIPLY
  return both > threshold * (area_a + area_b - both);
#else
  return both / fmax(area_a + area_b - both, 1e-30f) > threshold;  // an empty union has an empty intersection
#endif
}

#if MATRIX == MATRIX_ROWS
#define MATRIX_AT(row, word) ((row) * CHUNK_WORDS + (word))
#else
#define MATRIX_AT(row, word) ((word) * CHUNK + (row))
#endif

KERNEL GROUP_SIZE(GROUP, 1, 1) void suppress(GLOBAL const stored_t* boxes, GLOBAL const stored_t* scores, GLOBAL const int* class_ids,
                                             GLOBAL int* keep, GLOBAL int* count, int n, GLOBAL uchar* workspace, int pass) {
  LOCAL_ARRAY(float4, tile_boxes, TILE);
  LOCAL_ARRAY(float, tile_areas, TILE);
#if BATCHED
  LOCAL_ARRAY(int, tile_classes, TILE);
#endif
  LOCAL_ARRAY(uint, diagonal, CHUNK);
  LOCAL_ARRAY(uint, dead, CHUNK_WORDS);
  const int item = (int)get_local_id(0), group = (int)get_group_id(0), chunk = pass / 2, first = chunk * CHUNK;
  if (pass % 2 == 1 && group > 0) return;
  const size_t problem = get_group_id(1);
  const Layout at = LayoutOf(workspace, n, problem);
  const int size = min(at.states->candidates - first, CHUNK);  // of this chunk
  if (at.states->done || (size <= 0 && chunk > 0)) return;

  if (pass % 2 == 0) {
    const int strips = (min(CHUNK, at.capacity) + GROUP - 1) / GROUP, killers = CHUNK < at.capacity ? strips * SLICES : 0;
    const bool kills = group < killers;
    const int strip = kills ? group % strips : (group - killers) % strips, column = (kills ? group : group - killers) / strips;
    const int row = strip * GROUP + item;
    const int others = kills ? at.states->results : size;  // boxes in columns: kept ones, or the chunk's
    if (strip * GROUP >= size || column * TILE >= others || (!kills && (column + 1) * TILE <= strip * GROUP)) return;
    GLOBAL const float4* from_boxes = kills ? at.kept_boxes : at.boxes + first;
    GLOBAL const float* from_areas = kills ? at.kept_areas : at.areas + first;
    const int mine = first + min(row, size - 1);
    const float4 box = at.boxes[mine];
    const float area = at.areas[mine];
#if BATCHED
    GLOBAL const int* from_classes = kills ? at.kept_classes : at.classes + first;
    const int cls = at.classes[mine];
#endif
    bool suppressed = false;
    for (int begin = column * TILE; begin < others; begin += kills ? SLICES * TILE : others) {
      const int count_here = min(TILE, others - begin);
      for (int i = item; i < count_here; i += GROUP) {
        tile_boxes[i] = from_boxes[begin + i], tile_areas[i] = from_areas[begin + i];
#if BATCHED
        tile_classes[i] = from_classes[begin + i];
#endif
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int word = 0; word < WORDS; ++word) {
        const int bits = min(32, count_here - 32 * word);
        uint overlaps = 0;
        for (int bit = 0; bit < bits; ++bit) {
          const int other = 32 * word + bit;
#if BATCHED
          if (tile_classes[other] != cls) continue;
#endif
          if (Suppresses(tile_boxes[other], tile_areas[other], box, area)) overlaps |= 1u << bit;
        }
        if (kills) {
          suppressed = suppressed || overlaps != 0;
        } else if (bits > 0 && row < size) {
          // Only later candidates: bits of columns > row.
          const int low = row + 1 - (begin + 32 * word);
          if (low > 0) overlaps &= low > 31 ? 0u : ~0u << low;
          at.matrix[MATRIX_AT(row, begin / 32 + word)] = overlaps;
        }
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (kills && suppressed && row < size) atomic_or(&at.dead[row >> 5], 1u << (row & 31));
    return;
  }

  const int words = (size + 31) / 32;
  for (int i = item; i < size; i += GROUP) diagonal[i] = at.matrix[MATRIX_AT(i, i / 32)];
  for (int i = item; i < words; i += GROUP) dead[i] = at.dead[i];
  int results = at.states->results;
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  keep += problem * MAX_OUT;
  for (int block = 0; block < words && results < MAX_OUT; ++block) {
    const int rows = min(32, size - 32 * block);
    uint alive = ~dead[block], kept = 0;
    if (rows < 32) alive &= (1u << rows) - 1u;
    int room = MAX_OUT - results;
    for (int i = 0; i < rows && room > 0; ++i)
      if (alive >> i & 1u) kept |= 1u << i, alive &= ~diagonal[32 * block + i], --room;
    for (int i = item; i < 32; i += GROUP) {
      if ((kept >> i & 1u) == 0) continue;
      const int rank = first + 32 * block + i, to = results + (int)popcount(kept & ((1u << i) - 1u));
      keep[to] = at.indices[rank];
      at.kept_boxes[to] = at.boxes[rank];
      at.kept_areas[to] = at.areas[rank];
#if BATCHED
      at.kept_classes[to] = at.classes[rank];
#endif
    }
    for (int word = block + 1 + item; word < words; word += GROUP) {
      uint gone = dead[word];
      for (int i = 0; i < rows; ++i)
        if (kept >> i & 1u) gone |= at.matrix[MATRIX_AT(32 * block + i, word)];
      dead[word] = gone;
    }
    results += (int)popcount(kept);
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  for (int i = item; i < CHUNK_WORDS; i += GROUP) at.dead[i] = 0;  // for the next chunk
  const bool done = results >= MAX_OUT || first + CHUNK >= at.states->candidates;
  if (done)
    for (int i = results + item; i < MAX_OUT; i += GROUP) keep[i] = -1;
  if (item == 0) {
    at.states->results = results;
    at.states->done = done;
    if (done) count[problem] = results;
  }
}
