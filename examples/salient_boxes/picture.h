// Pictures as binary PPM files: the least that shows something.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

// Throws std::runtime_error with the file's name and what is wrong with it.
Picture ReadPpm(const std::string& file);
void WritePpm(const std::string& file, const Picture& picture);

// The middle of `picture`, width x height; what it lacks is grey.
Picture Centre(const Picture& picture, int width, int height);
void DrawBox(Picture& picture, int x0, int y0, int x1, int y1, int thickness);
