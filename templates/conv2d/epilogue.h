// What a convolution of floats does to a finished sum: conv2d's attributes `residual` and `activation`. Before it: GET(i, p), a value in memory.

#if RESIDUAL
#define ADD_RESIDUAL(x, i) ((x) + GET(i, residual))
#else
#define ADD_RESIDUAL(x, i) (x)
#endif

DEVICE float Activated(float x) {
#if ACTIVATION == ACTIVATION_RELU
  return fmax(x, 0.0f);
#elif ACTIVATION == ACTIVATION_RELU6
  return fmin(fmax(x, 0.0f), 6.0f);
#elif ACTIVATION == ACTIVATION_SILU
  return x / (1.0f + exp(-x));
#else
  return x;
#endif
}
