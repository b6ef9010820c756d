// Damage for models: bytes as a broken disk leaves them, and fields as a broken exporter does.
#pragma once

#include <cstddef>
#include <random>
#include <string>

namespace lathe {

using Random = std::mt19937_64;
size_t Below(Random& random, size_t limit);  // uniform in [0, limit)
int64_t TellingNumber(Random& random);       // zero, small ones of both signs, the extremes

// Cut off, a piece lost or doubled, some bytes changed. Most changes are small: whoever changes much is refused by protobuf already.
std::string DamageBytes(std::string model, Random& random);

// The model parses still: numbers of attributes, sizes and constants become telling ones, inputs are lost, exchanged or doubled, operators
// renamed, nodes dropped or doubled.
std::string DamageFields(const std::string& model, Random& random);

}  // namespace lathe
