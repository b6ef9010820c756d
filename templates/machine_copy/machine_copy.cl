// output[i] = input[i].   input, output: [COUNT]
//
// An item copies PIECES vectors, a group's width apart, so that each access of a group is one stretch of memory. The items at the end, whose
// vectors are not all there, copy word by word.
#if WORDS == 4
typedef int4 Vector;
#elif WORDS == 2
typedef int2 Vector;
#else
typedef int Vector;
#endif

KERNEL void copy(GLOBAL const int* RESTRICT input, GLOBAL int* RESTRICT output) {
  const int stride = (int)get_local_size(0) * WORDS, first = (int)get_group_id(0) * stride * PIECES + (int)get_local_id(0) * WORDS;
  Vector held[PIECES];
  if (first + (PIECES - 1) * stride + WORDS <= COUNT) {
    UNROLL
    for (int p = 0; p < PIECES; ++p) held[p] = *(GLOBAL const Vector*)(input + first + p * stride);
    UNROLL
    for (int p = 0; p < PIECES; ++p) *(GLOBAL Vector*)(output + first + p * stride) = held[p];
  } else {
    for (int p = 0; p < PIECES; ++p)
      for (int i = first + p * stride; i < min(first + p * stride + WORDS, COUNT); ++i) output[i] = input[i];
  }
}
