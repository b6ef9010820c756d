// Starts the program of its own name in ../libexec through the loader and libraries in ../lib, wherever the bundle was unpacked:
//
//     bin/lathe-agent (this, static)  ─exec─►  lib/ld-linux-aarch64.so.1 --library-path lib:… libexec/lathe-agent
//
// So the board's glibc may be older than the one that the agent was built with, or not be there at all. Its drivers still are the board's:
// after the bundle's own libraries come the places where boards keep theirs ($LATHE_DRIVER_PATH in front), then the board's ld.so.cache. A
// driver library built against an older glibc runs on a newer one; nothing of the board's glibc is ever mixed in, because the bundle
// carries all of its parts. Set as an option of the loader instead of in the environment, the path reaches nobody else: the board's
// compiler keeps the board's libraries.
#include <sys/auxv.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  // As the kernel was told to start it; /proc need not be there.
  char path[PATH_MAX];
  const char* told = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (told == nullptr || ::realpath(told, path) == nullptr) {
    std::fprintf(stderr, "%s: cannot find out where it lies\n", argv[0]);
    return 127;
  }
  const std::string self = path;
  const size_t slash = self.rfind('/');
  const std::string bin = self.substr(0, slash), root = bin.substr(0, bin.rfind('/')), program = root + "/libexec" + self.substr(slash);

  std::string libraries = root + "/lib";
  if (const char* more = std::getenv("LATHE_DRIVER_PATH"); more != nullptr && *more != 0) libraries.append(":").append(more);
  for (const char* place :
       {"/usr/lib/aarch64-linux-gnu/tegra", "/usr/lib/aarch64-linux-gnu/nvidia", "/usr/local/cuda/lib64", "/usr/local/Ascend/driver/lib64",
        "/usr/local/lib", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/vendor/lib64"})
    libraries.append(":").append(place);
  // The agent would look beside /proc/self/exe, which is the loader.
  ::setenv("LATHE_WORKER", (bin + "/lathe-worker").c_str(), 0);

  const std::string loader = root + "/lib/ld-linux-aarch64.so.1";
  std::vector<const char*> arguments = {loader.c_str(), "--library-path", libraries.c_str(), "--argv0", self.c_str(), program.c_str()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  arguments.push_back(nullptr);
  ::execv(loader.c_str(), const_cast<char* const*>(arguments.data()));
  std::perror(loader.c_str());
  return 127;
}
