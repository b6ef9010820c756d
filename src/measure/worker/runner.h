// Runner: how a worker runs an artifact on one backend. One object a process; a step that fails ends the process through ResultFile::End.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "measure/worker/result_file.h"
#include "measure/worker_protocol.h"

namespace lathe::worker {

class Runner {
 public:
  virtual ~Runner() = default;
  // Memory and threads: before the process is confined, and before any of the candidate's code is there.
  virtual void Allocate() = 0;
  virtual void Load() = 0;  // the artifact, from kArtifactFd
  virtual void MakeInputs() = 0;
  virtual void Prepare() = 0;  // packs constants, where the template does
  virtual void Run() = 0;      // once, complete on return
  // The last run by the device's own clock; 0 where it has none, and then the time around Run() counts.
  virtual double DeviceSeconds() const { return 0; }
  // Of the device, now; nothing where nobody tells.
  virtual GpuConditions Conditions() { return {}; }
  virtual void Poison(unsigned char pattern) = 0;  // overwrites every output
  virtual void Flush() = 0;                        // puts every tensor out of the caches
  // Checks what lies around the tensors, then copies the outputs into a slot of the results.
  virtual void Collect(uint32_t slot) = 0;
};

// Null when this worker has no runner of that name. `job` and `results` outlive it.
std::unique_ptr<Runner> MakeRunner(std::string_view name, const Job& job, ResultFile& results);
std::unique_ptr<Runner> MakeCpuRunner(const Job& job, ResultFile& results);
std::unique_ptr<Runner> MakeCudaRunner(const Job& job, ResultFile& results);
std::unique_ptr<Runner> MakeOpenClRunner(const Job& job, ResultFile& results);  // null when built without OpenCL

}  // namespace lathe::worker
