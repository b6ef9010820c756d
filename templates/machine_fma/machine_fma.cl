// output[i] = start[i] after STEPS times x = x*scale + increment.   start, output: [ELEMENTS]   scale, increment: [1]
//
// CHAINS numbers of an item live in registers through all steps, so memory does not count; scale and increment are known at run time only, so no
// compiler can shorten the chain.
KERNEL void multiply_add(GLOBAL const float* RESTRICT start, GLOBAL const float* RESTRICT scale, GLOBAL const float* RESTRICT increment,
                         GLOBAL float* RESTRICT output) {
  const int stride = (int)get_local_size(0), first = (int)get_group_id(0) * stride * CHAINS + (int)get_local_id(0);
  const float a = scale[0], b = increment[0];
  float x[CHAINS];
  UNROLL
  for (int k = 0; k < CHAINS; ++k) x[k] = start[first + k * stride];
  UNROLL_BY(4)
  for (int step = 0; step < STEPS; ++step) {
    UNROLL
    for (int k = 0; k < CHAINS; ++k) x[k] = mad(x[k], a, b);
  }
  UNROLL
  for (int k = 0; k < CHAINS; ++k) output[first + k * stride] = x[k];
}
