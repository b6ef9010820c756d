void run(const float* input, const float* weight, const float* bias, float* output, int64_t batch, const Context&) {
  (void)bias;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < N; ++i) output[b * N + i] = 2 * input[b * N + i] + weight[i];
}
