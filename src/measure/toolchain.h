// Toolchain: a compiler and how to call it. A cross compiler is another one of these.
#pragma once

#include <string>
#include <vector>

namespace lathe {

struct Toolchain {
  std::string compiler = "c++";  // looked up in $PATH, or a path
  std::vector<std::string> flags = {"-std=c++20", "-O3", "-march=native", "-fPIC", "-shared"};
  std::vector<std::string> extra_flags;  // after those of the template: -fsanitize=address

  // $CXX, or c++.
  static Toolchain Default();
};

}  // namespace lathe
