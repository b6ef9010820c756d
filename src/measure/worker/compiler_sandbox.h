// The sandbox of a compiler that is fed by a client of a board. A source may include any file, and diagnostics come back: so the compiler
// runs as the workers' user where it may change to it, sees no network where it may leave it, and by Landlock (Linux 5.13 and up) reads
// nothing but the system's own folders and writes nothing but its working directory.
#pragma once

#include <cstdint>

namespace lathe::worker {

// How a build names it on the launcher's command line: "-" for none, else "UID:GID:DIR:DIR…", the directories being what may be read
// besides the system's. Returns false, having said why, when a user cannot be changed to.
bool ConfineCompiler(const char* sandbox);

// What of it this machine and this user can have: "other_user,network_namespace,landlock", or "none".
const char* CompilerSandbox(uint32_t uid);

}  // namespace lathe::worker
