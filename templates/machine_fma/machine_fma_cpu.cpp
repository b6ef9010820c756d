// output[i] = start[i] after STEPS times x = x*scale + increment.   start, output: [ELEMENTS]   scale, increment: [1]
//
// A block of LANES*ACCUMULATORS numbers lives in registers through all its steps, so memory does not count; scale and increment are known at run
// time only, so no compiler can shorten the chain. Blocks are spread over the threads.
using V = Vec<float, LANES>;
constexpr int BLOCK = LANES * ACCUMULATORS;

void run(const float* start, const float* scale, const float* increment, float* output, const Context& context) {
  const V a = Broadcast<float, LANES>(scale[0]), b = Broadcast<float, LANES>(increment[0]);
  const int blocks = ELEMENTS / BLOCK, tasks = Min(blocks, context.threads());
  context.Parallel(tasks, [&](int task) {
    for (int block = blocks * task / tasks; block < blocks * (task + 1) / tasks; ++block) {
      V x[ACCUMULATORS];
#pragma GCC unroll 32
      for (int k = 0; k < ACCUMULATORS; ++k) x[k] = Load<float, LANES>(start + block * BLOCK + k * LANES);
      for (int step = 0; step < STEPS; ++step) {
#pragma GCC unroll 32
        for (int k = 0; k < ACCUMULATORS; ++k) x[k] = x[k] * a + b;
      }
#pragma GCC unroll 32
      for (int k = 0; k < ACCUMULATORS; ++k) Store<float, LANES>(output + block * BLOCK + k * LANES, x[k]);
    }
  });
}
