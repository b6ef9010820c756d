// What becomes of finished sums: the residual is added, then comes the activation. For sources that call their vector Lane.

// A place of the output, and the same place of the residual: they lie alike.
struct Place {
  float* out;
#if RESIDUAL
  const float* residual;
  LATHE_INLINE Place operator+(int64_t floats) const { return {out + floats, residual + floats}; }
#else
  LATHE_INLINE Place operator+(int64_t floats) const { return {out + floats}; }
#endif
};
LATHE_INLINE Place FirstPlace(float* output, [[maybe_unused]] const float* residual) {
#if RESIDUAL
  return {output, residual};
#else
  return {output};
#endif
}

// All activations but SiLU, which is dear enough to get a loop of its own.
template <int N>
LATHE_INLINE Vec<float, N> Clamped(Vec<float, N> value) {
  if (ACTIVATION == ACTIVATION_RELU || ACTIVATION == ACTIVATION_RELU6) value = AtLeast<N>(value, 0.0f);
  if (ACTIVATION == ACTIVATION_RELU6) value = AtMost<N>(value, 6.0f);
  return value;
}

template <int N>
LATHE_INLINE Vec<float, N> Activated(Vec<float, N> value) {
  return ACTIVATION == ACTIVATION_SILU ? Silu<N>(value) : Clamped<N>(value);
}

// Neighbouring sums that belong at `at`; only the first `count` have a place there.
template <int N>
LATHE_INLINE Vec<float, N> Finished(Vec<float, N> sum, [[maybe_unused]] Place at, [[maybe_unused]] int count = N) {
#if RESIDUAL
  if (count == N) {
    sum += Load<float, N>(at.residual);
  } else {
    alignas(64) float part[N] = {};
    memcpy(part, at.residual, static_cast<size_t>(count) * sizeof(float));
    sum += Load<float, N>(part);
  }
#endif
  return Activated<N>(sum);
}

// Sums that pass through memory on their way out, to be turned or cut there, can only meet their residual behind that, and their activation
// behind the residual. Early is what is done to them before, Late, StoreLate and CopyLate what is left: nothing where there is no residual.
LATHE_INLINE Lane Early(Lane sum) { return RESIDUAL ? sum : Clamped<LANES>(sum); }

template <int N>
LATHE_INLINE Vec<float, N> Late(Vec<float, N> value, Place at, int count = N) {
  return RESIDUAL ? Finished<N>(value, at, count) : value;
}

template <int N>
LATHE_INLINE void StoreLate(Vec<float, N> value, Place at) {
  Store<float, N>(at.out, Late<N>(value, at));
}
LATHE_INLINE void StoreLate(float value, Place at) { *at.out = RESIDUAL ? Finished<4>(Broadcast<float, 4>(value), at, 1)[0] : value; }

template <int COUNT>
LATHE_INLINE void CopyLate(const float* values, Place at) {
  if (!RESIDUAL) {
    memcpy(at.out, values, COUNT * sizeof(float));
    return;
  }
  constexpr int kWhole = COUNT / LANES * LANES;
#pragma GCC unroll 1
  for (int i = 0; i < kWhole; i += LANES) StoreLate<LANES>(Load<float, LANES>(values + i), at + i);
  if (COUNT > kWhole) {
    alignas(64) float part[LANES];
    Store<float, LANES>(part, Late<LANES>(Load<float, LANES>(values + kWhole), at + kWhole, COUNT - kWhole));
    memcpy((at + kWhole).out, part, (COUNT - kWhole) * sizeof(float));
  }
}
