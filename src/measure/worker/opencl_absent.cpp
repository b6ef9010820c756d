// In place of the OpenCL files where the headers were missing when this was built.
#include <cstdio>

#include "measure/worker/opencl_tool.h"
#include "measure/worker/runner.h"

namespace lathe::worker {

int PrintOpenClDevices() {
  std::fputs("this lathe-worker was built without OpenCL; install the headers (Debian: opencl-headers) and build it with LATHE_OPENCL=ON\n",
             stderr);
  return 3;
}

int BuildOpenClProgram(char**) { return PrintOpenClDevices(); }

std::unique_ptr<Runner> MakeOpenClRunner(const Job&, ResultFile&) { return nullptr; }

}  // namespace lathe::worker
