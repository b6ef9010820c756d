// Ctrl-C and SIGTERM ask the run to stop; a second one ends the program at once.
#pragma once

#include <atomic>

namespace lathe {

// Installs the handlers on first use.
const std::atomic<bool>& StopRequested();

}  // namespace lathe
