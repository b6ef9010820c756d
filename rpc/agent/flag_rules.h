// Which compiler flags a client may send. Templates need optimisation and language flags; a flag that names a file, a plugin, another
// program or an output is refused, because the compiler runs outside of the workers' sandbox.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

Status CheckFlags(const std::vector<std::string>& flags);

}  // namespace lathe
