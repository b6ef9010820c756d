#include "measure/worker/result_file.h"

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace lathe::worker {

ResultFile::ResultFile() {
  std::memset(&header_, 0, sizeof header_);
  header_.magic = kMagic;
  header_.fault_tensor = -1;
}

void ResultFile::Reach(Stage stage) {
  header_.stage = stage;
  WriteHeader();
}

void ResultFile::Write(const void* from, size_t bytes, uint64_t offset) {
  const char* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(kResultsFd, at, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) ::_exit(3);  // the parent sees a worker that never finished
    at += written;
    bytes -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
}

void ResultFile::End(Outcome outcome, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(header_.message, sizeof header_.message, format, arguments);
  va_end(arguments);
  header_.outcome = outcome;
  if (outcome == Outcome::kDone) header_.stage = Stage::kFinished;
  WriteHeader();
  ::_exit(0);
}

}  // namespace lathe::worker
