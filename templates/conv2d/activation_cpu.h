// What becomes of finished sums. For sources that call their vector Lane.

// All activations but SiLU, which is dear enough to get a loop of its own.
LATHE_INLINE Lane Clamped(Lane value) {
  if (ACTIVATION == ACTIVATION_RELU || ACTIVATION == ACTIVATION_RELU6) value = AtLeast<LANES>(value, 0.0f);
  if (ACTIVATION == ACTIVATION_RELU6) value = AtMost<LANES>(value, 6.0f);
  return value;
}

LATHE_INLINE Lane Activated(Lane value) { return ACTIVATION == ACTIVATION_SILU ? Silu<LANES>(value) : Clamped(value); }
