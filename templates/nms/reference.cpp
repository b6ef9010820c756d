// nms: for each image and class, boxes best first; each kept one removes the later ones that overlap it by more than IOU_THRESHOLD.
//   boxes: [BATCH, n, 4]   scores: [BATCH, CLASSES, n]   class_ids: [BATCH, n] or null
//   keep: [BATCH, CLASSES, MAX_OUT], filled up with -1   count: [BATCH, CLASSES]

struct Box {
  float left, top, right, bottom;
};

float Value(float value) { return value; }
float Value(uint16_t half) { return HalfToFloat(half); }
void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint16_t* half) { *half = FloatToHalf(float(value)); }

Box BoxAt(const boxes_t* boxes, int64_t i) {
  const float a = Value(boxes[4 * i]), b = Value(boxes[4 * i + 1]), c = Value(boxes[4 * i + 2]), d = Value(boxes[4 * i + 3]);
  if (CENTER_POINT_BOX) return {a - c / 2, b - d / 2, a + c / 2, b + d / 2};
  return {Min(a, c), Min(b, d), Max(a, c), Max(b, d)};
}

double Area(const Box& box) { return (double(box.right) - box.left) * (double(box.bottom) - box.top); }

double Intersection(const Box& a, const Box& b) {
  const double width = double(Min(a.right, b.right)) - Max(a.left, b.left), height = double(Min(a.bottom, b.bottom)) - Max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

bool Suppresses(const Box& kept, const Box& later) {
  const double both = Intersection(kept, later), either = Area(kept) + Area(later) - both;
  return either > 0 && both / either > double(float(IOU_THRESHOLD));
}

// A merge sort of indices by falling score; stable, so equal scores stay in the order of their indices.
void SortByScore(int64_t* order, int64_t* spare, int64_t count, const scores_t* scores) {
  if (count < 2) return;
  const int64_t half = count / 2;
  SortByScore(order, spare, half, scores);
  SortByScore(order + half, spare, count - half, scores);
  for (int64_t i = 0; i < count; ++i) spare[i] = order[i];
  for (int64_t i = 0, left = 0, right = half; i < count; ++i) {
    const bool take_right = left == half || (right < count && Value(scores[spare[right]]) > Value(scores[spare[left]]));
    order[i] = take_right ? spare[right++] : spare[left++];
  }
}

void run(const boxes_t* boxes, const scores_t* scores, const int32_t* class_ids, int32_t* keep, int32_t* count, int64_t n, const Context&) {
  int64_t* order = new int64_t[2 * n + 1];
  bool* removed = new bool[n + 1];
  for (int64_t image = 0; image < BATCH; ++image)
    for (int64_t cls = 0; cls < CLASSES; ++cls) {
      const boxes_t* box = boxes + image * n * 4;                    // [n, 4]
      const scores_t* score = scores + (image * CLASSES + cls) * n;  // [n]
      const int32_t* id = BATCHED ? class_ids + image * n : nullptr;
      int32_t* kept = keep + (image * CLASSES + cls) * MAX_OUT;
      int64_t candidates = 0, results = 0;
      for (int64_t i = 0; i < n; ++i)
        if (Value(score[i]) > float(SCORE_THRESHOLD)) order[candidates++] = i;
      SortByScore(order, order + n, candidates, score);
      if (TOP_K > 0 && candidates > TOP_K) candidates = TOP_K;
      for (int64_t i = 0; i < candidates; ++i) removed[i] = false;
      for (int64_t i = 0; i < candidates && results < MAX_OUT; ++i) {
        if (removed[i]) continue;
        kept[results++] = int32_t(order[i]);
        for (int64_t j = i + 1; j < candidates; ++j)
          if (!BATCHED || id[order[i]] == id[order[j]])
            if (Suppresses(BoxAt(box, order[i]), BoxAt(box, order[j]))) removed[j] = true;
      }
      count[image * CLASSES + cls] = int32_t(results);
      for (; results < MAX_OUT; ++results) kept[results] = -1;
    }
  delete[] order;
  delete[] removed;
}

// ---- inputs: what a detector puts out. Some twenty jittered copies around each object of a 1344 x 800 image, few of them with a high
// score.

double NextUniform(uint64_t* state) {  // [0, 1); splitmix64
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return double((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}
double NextJitter(uint64_t* state) {  // close to normal, variance 1
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += NextUniform(state);
  return sum;
}

// Object `which` of this seed: centre, width, height.
void Object(uint64_t seed, int64_t which, double* object) {
  uint64_t state = seed * 1000003u + uint64_t(which) * 7919u;
  NextUniform(&state);
  const double size = exp(log(16.0) + NextUniform(&state) * log(25.0)), aspect = exp(NextUniform(&state) * 1.4 - 0.7);
  object[0] = NextUniform(&state) * 1344;
  object[1] = NextUniform(&state) * 800;
  object[2] = size * sqrt(aspect);
  object[3] = size / sqrt(aspect);
}

void DrawBox(uint64_t seed, int64_t object_index, uint64_t* state, boxes_t* to) {
  double object[4];
  Object(seed, object_index, object);
  const double width = object[2] * exp(0.12 * NextJitter(state)), height = object[3] * exp(0.12 * NextJitter(state));
  const double x = object[0] + 0.08 * width * NextJitter(state), y = object[1] + 0.08 * height * NextJitter(state);
  double left = Max(0.0, x - width / 2), top = Max(0.0, y - height / 2);
  double right = Max(Min(1344.0, x + width / 2), left + 1), bottom = Max(Min(800.0, y + height / 2), top + 1);
  Assign(CENTER_POINT_BOX ? (left + right) / 2 : left, to);
  Assign(CENTER_POINT_BOX ? (top + bottom) / 2 : top, to + 1);
  Assign(CENTER_POINT_BOX ? right - left : right, to + 2);
  Assign(CENTER_POINT_BOX ? bottom - top : bottom, to + 3);
}

// Whether rounding could decide between box `i` and one before it.
bool NearThreshold(const boxes_t* boxes, int64_t i) {
  const Box box = BoxAt(boxes, i);
  for (int64_t j = 0; j < i; ++j) {
    const Box other = BoxAt(boxes, j);
    const double both = Intersection(box, other);
    if (both <= 0) continue;
    const double limit = double(float(IOU_THRESHOLD)) * (Area(box) + Area(other) - both);
    if (fabs(both - limit) <= 1e-5 * limit || (IOU_THRESHOLD == 0 && both < 1e-3)) return true;
  }
  return false;
}

void make_inputs(boxes_t* boxes, scores_t* scores, int32_t* class_ids, int64_t n, uint64_t seed) {
  const int64_t objects = Max<int64_t>(1, n / 20);
  for (int64_t image = 0; image < BATCH; ++image) {
    uint64_t state = seed + uint64_t(image) * 104729u;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t object = int64_t(NextUniform(&state) * double(objects));
      boxes_t* image_boxes = boxes + image * n * 4;
      do DrawBox(seed + uint64_t(image), object, &state, image_boxes + 4 * i);
      while (NearThreshold(image_boxes, i));
      if (BATCHED) class_ids[image * n + i] = int32_t(object % 80);
      for (int64_t cls = 0; cls < CLASSES; ++cls) {
        const double u = NextUniform(&state);
        const double score = object % CLASSES == cls ? 0.02 + 0.97 * u * u * u : 0.04 * u;
        Assign(floor(score * 65536) / 65536, scores + (image * CLASSES + cls) * n + i);  // so coarse that some scores are equal
      }
    }
  }
}
