// IEEE halves as 16 bits. Rounding is to nearest even.
#pragma once

#include <cstdint>

namespace lathe::ptx {

float HalfToFloat(uint16_t bits);
uint16_t FloatToHalf(float x);

}  // namespace lathe::ptx
