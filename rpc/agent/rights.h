// Rights: what a client may do on a board.
#pragma once

#include <string>

namespace lathe {

struct Rights {
  bool build = false;       // send source text to be compiled
  bool measure = false;     // hold the board, run candidates
  bool administer = false;  // release others, drain
  std::string who;          // as the certificate says; "loopback" without TLS
};

}  // namespace lathe
