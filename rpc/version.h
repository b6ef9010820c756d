// What agents and clients call themselves.
#pragma once

namespace lathe {

constexpr const char* kVersion = LATHE_VERSION;

}  // namespace lathe
