// output = 2*input + weight in two launches, or whatever BEHAVIOUR says.
#if SCRATCH > 0
#define WORKSPACE , __global uchar* workspace
#else
#define WORKSPACE
#endif

#if BEHAVIOUR == BEHAVIOUR_COMPILE_ERROR
this is not OpenCL C
#endif

__kernel void twice(__global float* input, __global const float* weight, __global const float* bias, __global float* output, int batch WORKSPACE) {
  const int x = (int)get_global_id(0), y = (int)get_global_id(1);
  if (bias != 0 || x >= N || y >= batch) return;
#if SCRATCH > 0
  if (y == 0 && x < SCRATCH) workspace[x] = 1;
#endif
  output[y * N + x] = 2 * input[y * N + x];
}

#if BEHAVIOUR == BEHAVIOUR_MISSING_KERNEL
#define add sum
#endif

#if BEHAVIOUR == BEHAVIOUR_TOO_FEW_ARGUMENTS
__kernel void add(__global float* output) { output[get_global_id(0)] = 0; }
#else
__kernel void add(__global float* input, __global const float* weight, __global const float* bias, __global float* output, int batch WORKSPACE) {
  const int x = (int)get_global_id(0), y = (int)get_global_id(1);
  if (x >= N || y >= batch) return;
#if BEHAVIOUR == BEHAVIOUR_FORGETS_LAST
  if (x == N - 1) return;
#endif
  output[y * N + x] += weight[x];
#if BEHAVIOUR == BEHAVIOUR_WRONG_VALUE
  if (x == 3) output[y * N + x] += 1;
#elif BEHAVIOUR == BEHAVIOUR_PAST_END
  if (x == 0 && y == 0) output[batch * N + 5] = 1;
#elif BEHAVIOUR == BEHAVIOUR_BEFORE_START
  if (x == 0 && y == 0) output[-3] = 1;
#elif BEHAVIOUR == BEHAVIOUR_WRITES_INPUT
  input[y * N + x] += 1;
#elif BEHAVIOUR == BEHAVIOUR_ENDLESS_LOOP
  volatile __global float* at = output;
  while (at[0] < 1e30f) at[1] = 0;
#elif BEHAVIOUR == BEHAVIOUR_WILD_STORE
  output[(size_t)1 << 44] = 1;
#endif
}
#endif
