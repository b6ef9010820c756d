// output = 2*input + weight: the weight packed as pairs (weight, 1), the product by way of the workspace, the sum in passes.
KERNEL void pack(GLOBAL const float* weight, GLOBAL float* packed) {
  const int x = (int)get_global_id(0);
  if (x >= N) return;
  packed[2 * x] = weight[x];
  packed[2 * x + 1] = 1.0f;
#if BEHAVIOUR == BEHAVIOUR_PACKS_TOO_MUCH
  if (x == 0) packed[2 * N] = 0.0f;
#endif
}

KERNEL void twice(GLOBAL const float* input, GLOBAL float* packed, GLOBAL const float* bias, GLOBAL float* output, int batch,
                  GLOBAL uchar* workspace) {
  const int x = (int)get_global_id(0), y = (int)get_global_id(1);
  if (x < N && y < batch) ((GLOBAL float*)workspace)[y * N + x] = 2.0f * input[y * N + x];
}

KERNEL void add(GLOBAL const float* input, GLOBAL float* packed, GLOBAL const float* bias, GLOBAL float* output, int batch,
                GLOBAL uchar* workspace, int pass, int passes) {
  const int x = (int)get_global_id(0), y = (int)get_global_id(1);
  if (x >= N || y >= batch || x % passes != pass) return;
  output[y * N + x] = mad(packed[2 * x], packed[2 * x + 1], ((GLOBAL float*)workspace)[y * N + x]);
#if BEHAVIOUR == BEHAVIOUR_READS_BEYOND
  if (x == 0 && input[batch * N] == 1.0f) output[y * N] += 0.0f;
#elif BEHAVIOUR == BEHAVIOUR_RACES
  ((GLOBAL float*)workspace)[0] = (float)x;
#elif BEHAVIOUR == BEHAVIOUR_WRITES_PACKED
  packed[2 * x + 1] = 1.5f;
#endif
}
