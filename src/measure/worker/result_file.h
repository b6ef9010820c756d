// The results file as the worker writes it: the header again at every stage, samples and outputs when they are there.
#pragma once

#include <cstdarg>
#include <cstddef>

#include "measure/worker_protocol.h"

namespace lathe::worker {

class ResultFile {
 public:
  ResultFile();
  ResultHeader& header() { return header_; }

  void Reach(Stage stage);
  void Write(const void* from, size_t bytes, uint64_t offset);
  void WriteHeader() { Write(&header_, sizeof header_, 0); }

  // Writes the outcome with a message in printf's manner and ends the process: nothing of the candidate (destructors, atexit) runs again.
  [[noreturn]] void End(Outcome outcome, const char* format, ...) __attribute__((format(printf, 3, 4)));

 private:
  ResultHeader header_;
};

}  // namespace lathe::worker
