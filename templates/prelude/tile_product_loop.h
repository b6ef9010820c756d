// The body of such a kernel up to its sums: fetches, stages and adds step by step. Before it: tile_product.h, sum_t, FetchPixels, and in the kernel
// the local arrays `pixels` and `weights`.
  const int item = (int)get_local_id(0), tile = (int)get_group_id(0), slice = (int)get_group_id(1);
  const int all_pixels = n * PIXELS;
#if LAYOUT == LAYOUT_NHWC  // neighbouring items store side by side
  const int item_n = item % GROUP_N, item_m = item / GROUP_N;
#else
  const int item_m = item % GROUP_M, item_n = item / GROUP_M;
#endif
#if ORDER == ORDER_PIXELS
  const int tile_m = tile / (TILES_N * GROUPS), tile_n = tile % (TILES_N * GROUPS);
#else
  const int tiles_m = (all_pixels + TILE_M - 1) / TILE_M;
  const int tile_m = tile % tiles_m, tile_n = tile / tiles_m;
#endif
  const int group = tile_n / TILES_N;

  sum_t sum[ITEM_M][ITEM_N];
  UNROLL
  for (int i = 0; i < ITEM_M; ++i) {
    UNROLL
    for (int j = 0; j < ITEM_N; ++j) sum[i][j] = 0;
  }
  Windows windows;
  FindWindows(item, tile_m * TILE_M, all_pixels, group, &windows);
  const size_t tile_weights = (size_t)tile_n * STEPS;
  const int first = slice * STEPS_PER_SLICE, last = min(STEPS, first + STEPS_PER_SLICE);
  staged_t next_pixels[FETCHES_M * LOAD], next_weights[FETCHES_N * 4];

#if PREFETCH != PREFETCH_NONE
  FetchPixels(input, item, first, &windows, next_pixels);
  FetchWeights(weight_packed, item, tile_weights + (size_t)first, next_weights);
#endif
  for (int step = first; step < last; ++step) {
    const int buffer = (step - first) % BUFFERS;  // with two, the others may still read the one of the step before
#if PREFETCH == PREFETCH_NONE
    FetchPixels(input, item, step, &windows, next_pixels);
    FetchWeights(weight_packed, item, tile_weights + (size_t)step, next_weights);
#endif
    StagePixels(item, next_pixels, pixels + buffer * (TILE_K * ROW));
    StageWeights(item, next_weights, weights + buffer * (TILE_K * TILE_N));
    barrier(CLK_LOCAL_MEM_FENCE);
#if PREFETCH != PREFETCH_NONE
    if (step + 1 < last) {
      FetchPixels(input, item, step + 1, &windows, next_pixels);
      FetchWeights(weight_packed, item, tile_weights + (size_t)(step + 1), next_weights);
    }
#endif
    AddStep(item_m, item_n, pixels + buffer * (TILE_K * ROW), weights + buffer * (TILE_K * TILE_N), sum);
#if BUFFERS == 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
  }

