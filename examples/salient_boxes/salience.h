// What the pipelines compute around their kernels: edge filters, boxes with scores, the best ones drawn.
#pragma once

#include <cstdint>
#include <vector>

#include "picture.h"

constexpr int kFrameW = 1920, kFrameH = 1080, kSide = 640, kMap = 320, kFilters = 32, kWindow = 6, kBoxes = 8400;

// [height, width, 3] of bytes to [3, height, width] of 0 .. 1.
void ToPlanes(const Picture& frame, float* planes);
// [32, 3, 6, 6]: smoothed derivatives of brightness in 16 directions, each in both signs.
std::vector<float> EdgeFilters();
// The detector's 8400 places: cells of 8, 16 and 32 pixels, a box of three cells around each; score: edge energy inside less that of the
// surround. maps [32, 320, 320], boxes [8400, 4], scores [8400].
void ProposeBoxes(const float* maps, float* boxes, float* scores);
// Draws the ten best into the frame, and prints them.
void MarkBest(Picture& frame, const float* boxes, const int32_t* keep, int count);
