// What a worker does with OpenCL besides measuring: both print to standard output or error and return the process's exit status, 0 for
// success. Without OpenCL at build time they say so.
#pragma once

namespace lathe::worker {

// One block of "key value" lines for each device, an empty line after each; see opencl_target.cpp for the keys.
int PrintOpenClDevices();

// arguments: DEVICE SOURCE OUTPUT FACTS FLAGS. Compiles the file SOURCE for the device of that number. OUTPUT becomes what OpenClRunner
// loads: "binary\n" or, where the driver hands out none, "source FLAGS\n", then the content. FACTS gets lines "name number".
int BuildOpenClProgram(char** arguments);

}  // namespace lathe::worker
