// Winograd's minimal filtering F(m, 3) in one dimension, m = OUTPUT: what is done to the input, to the sums and, once, to the weights.

constexpr int kM = OUTPUT, kA = kM + 2;

// One dimension of B' d B.
template <typename T>
LATHE_INLINE void TransformInput(const T (&d)[kA], T (&v)[kA]) {
  if constexpr (kM == 2) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  } else if constexpr (kM == 4) {
    const T a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    v[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
  } else {
    const T a = d[2] + d[6] - 4.25f * d[4], b = d[1] + d[5] - 4.25f * d[3];
    const T c = d[6] + 0.25f * d[2] - 1.25f * d[4], e = 0.5f * d[1] - 2.5f * d[3] + 2.0f * d[5];
    const T f = d[6] + 4.0f * d[2] - 5.0f * d[4], g = 2.0f * d[1] - 2.5f * d[3] + 0.5f * d[5];
    v[0] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = f + g;
    v[6] = f - g;
    v[7] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
  }
}

// One dimension of A' (...) A.
template <typename T>
LATHE_INLINE void TransformOutput(const T (&v)[kA], T (&y)[kM]) {
  const T a = v[1] + v[2], b = v[1] - v[2];
  if constexpr (kM == 2) {
    y[0] = v[0] + a;
    y[1] = b - v[3];
  } else {
    const T c = v[3] + v[4], e = v[3] - v[4];
    if constexpr (kM == 4) {
      y[0] = v[0] + a + c;
      y[1] = b + 2.0f * e;
      y[2] = a + 4.0f * c;
      y[3] = b + 8.0f * e + v[5];
    } else {
      const T f = v[5] + v[6], g = v[5] - v[6];
      y[0] = v[0] + a + c + 32.0f * f;
      y[1] = b + 2.0f * e + 16.0f * g;
      y[2] = a + 4.0f * c + 8.0f * f;
      y[3] = b + 8.0f * e + 4.0f * g;
      y[4] = a + 16.0f * c + 2.0f * f;
      y[5] = b + 32.0f * e + g + v[7];
    }
  }
}

// One dimension of G g G'.
void TransformWeight(const double* g, int64_t step, double* v, int64_t v_step) {
  static const double kG2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  static const double kG4[6][3] = {
      {1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6},
      {0, 0, 1}};
  static const double kG6[8][3] = {{1, 0, 0},
                                   {-2. / 9, -2. / 9, -2. / 9},
                                   {-2. / 9, 2. / 9, -2. / 9},
                                   {1. / 90, 1. / 45, 2. / 45},
                                   {1. / 90, -1. / 45, 2. / 45},
                                   {1. / 45, 1. / 90, 1. / 180},
                                   {1. / 45, -1. / 90, 1. / 180},
                                   {0, 0, 1}};
  for (int i = 0; i < kA; ++i) {
    const double* row = kM == 2 ? kG2[i % 4] : kM == 4 ? kG4[i % 6] : kG6[i];
    v[i * v_step] = row[0] * g[0] + row[1] * g[step] + row[2] * g[2 * step];
  }
}
