#include "picture.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

Picture ReadPpm(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("read picture '" + file + "': it cannot be opened");
  std::string magic;
  int numbers[3] = {};
  in >> magic;
  for (int& number : numbers) {
    while (in >> std::ws && in.peek() == '#') in.ignore(4096, '\n');
    in >> number;
  }
  in.get();
  if (magic != "P6" || !in || numbers[2] != 255 || numbers[0] < 1 || numbers[1] < 1 || numbers[0] > 32768 || numbers[1] > 32768)
    throw std::runtime_error("read picture '" + file + "': not an 8-bit binary PPM (P6)");
  Picture picture{numbers[0], numbers[1], {}};
  picture.rgb.resize(static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) * 3);
  in.read(reinterpret_cast<char*>(picture.rgb.data()), static_cast<std::streamsize>(picture.rgb.size()));
  if (!in) throw std::runtime_error("read picture '" + file + "': it ends early");
  return picture;
}

void WritePpm(const std::string& file, const Picture& picture) {
  std::ofstream out(file, std::ios::binary);
  out << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
  out.write(reinterpret_cast<const char*>(picture.rgb.data()), static_cast<std::streamsize>(picture.rgb.size()));
  if (!out.flush()) throw std::runtime_error("write picture '" + file + "': the disk refused it");
}

Picture Centre(const Picture& picture, int width, int height) {
  Picture middle{width, height, std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, 128)};
  const int left = (picture.width - width) / 2, top = (picture.height - height) / 2;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int from_x = x + left, from_y = y + top;
      if (from_x < 0 || from_y < 0 || from_x >= picture.width || from_y >= picture.height) continue;
      for (int c = 0; c < 3; ++c)
        middle.rgb[static_cast<size_t>((y * width + x) * 3 + c)] = picture.rgb[static_cast<size_t>((from_y * picture.width + from_x) * 3 + c)];
    }
  return middle;
}

void DrawBox(Picture& picture, int x0, int y0, int x1, int y1, int thickness) {
  const uint8_t colour[3] = {255, 220, 0};
  for (int y = std::max(y0, 0); y <= std::min(y1, picture.height - 1); ++y)
    for (int x = std::max(x0, 0); x <= std::min(x1, picture.width - 1); ++x) {
      const bool edge = x - x0 < thickness || x1 - x < thickness || y - y0 < thickness || y1 - y < thickness;
      if (edge) std::copy(colour, colour + 3, picture.rgb.begin() + (y * picture.width + x) * 3);
    }
}
