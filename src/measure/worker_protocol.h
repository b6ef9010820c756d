// What a measuring process and its worker say to each other. Plain data: both sides are built together and run on one machine.
//
// A candidate runs in a fresh `lathe-worker` process, which is started with four files and an empty directory to stand in:
//   fd 3  the Job below, read-only
//   fd 4  the inputs, sealed: tensor i of role in or constant lies at Job::tensors[i].input_offset, which is also its place within the
//   pages
//         that the worker maps, so no candidate can change what the next one reads
//   fd 5  the results: a ResultHeader, then Job::sampling.max_samples doubles at samples_offset, then two copies of every output (after the
//         first run, and after the last one) at slot_offset[0] and [1]. Written with pwrite only, never mapped: a wild store cannot reach
//         it
//   fd 6  the artifact, opened by the parent
// There is no conversation: the worker works through the job, writes what it saw, and ends. Its parent watches the clock, and judges the
// outputs itself, so a candidate that is wrong cannot call itself right. The header is rewritten as each stage is reached; a worker that
// ends without kFinished, or a kFailed... outcome, was taken down by its candidate. Signal handlers add where the fault was.
//
//   $ lathe-worker                        run the job on fd 3
//   $ lathe-worker --launch SECONDS BYTES CPUS SANDBOX -- ARGV…
//                                         run ARGV (a compiler) with limits on CPU time, address space and CPUs ("0,2"; 0 or "" for none),
//                                         in a sandbox (worker/compiler_sandbox.h), and kill all of it when the parent dies
//   $ lathe-worker --opencl-devices       list OpenCL devices, and
//   $ lathe-worker --opencl-build …       compile for one: see worker/opencl_tool.h. Drivers stay out of the tuner's process
//   $ lathe-worker --cuda-devices, --cuda-compilers …, --cuda-compile …
//                                         the same for CUDA: see worker/cuda_tool.h
#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/sampling.h"

namespace lathe::worker {

constexpr uint32_t kMagic = 0x4c415448;  // "LATH"
constexpr uint32_t kVersion = 3;

constexpr int kJobFd = 3, kInputsFd = 4, kResultsFd = 5, kArtifactFd = 6, kFirstFreeFd = 7;

constexpr size_t kMaxTensors = 32, kMaxDynamic = 16, kMaxCpus = 512;
constexpr size_t kAlignment = 64;   // of every tensor
constexpr size_t kGuardBytes = 64;  // at least so many before and after every tensor are watched for writes
constexpr size_t kPage = 4096;      // offsets in the inputs file; pages of 64 KiB are mapped by copying

enum class Role : uint32_t { kIn, kConstant, kOut };

struct JobTensor {
  char name[64];
  Role role;
  uint32_t present;  // 0: passed as null
  uint32_t packed;   // 1: the kernel takes packed_bytes of what prepare() made of it
  uint32_t reserved;
  uint64_t bytes;
  uint64_t packed_bytes;
  uint64_t input_offset;   // in the inputs file
  uint64_t result_offset;  // in a slot; with kMakeInputs also for inputs and constants
};

enum JobFlags : uint32_t {
  kVerifyOnly = 1,  // run twice, take no samples
  kRunOnce = 2,     // run once, first slot only: a reference
  kMakeInputs = 4,  // call lathe_make_inputs first, and copy what it made into the first slot
  kColdCache = 8,   // flush every tensor from the caches before each sample
  kConfine = 16,    // system call filter: no processes, network, files to write, signals to others
};

struct Job {
  uint32_t magic, version;
  char runner[16];  // "cpu", "opencl", "cuda"
  uint32_t flags;
  int32_t parent_pid;
  uint32_t tensor_count, dynamic_count, cpu_count, threads;
  uint64_t seed;  // for kMakeInputs
  uint64_t workspace_bytes;
  uint64_t memory_headroom_bytes;  // address space beyond what the job itself needs; 0: no limit
  uint64_t file_bytes;             // largest file it may write
  uint64_t cpu_seconds;            // backstop should the parent die; 0: no limit
  uint64_t results_bytes;          // size of the results file
  uint32_t uid, gid;               // to change to when started as root; 0: stay
  SamplingOptions sampling;
  double energy_seconds;  // run on for so long after the samples, for whoever watches the power rails; 0: do not
  uint64_t samples_offset, slot_offset[2];
  uint64_t options_offset, options_bytes;  // text of the runner's own, in the job file
  int64_t dynamic[kMaxDynamic];
  int32_t cpus[kMaxCpus];  // thread i is pinned to cpus[i % cpu_count]; none when cpu_count == 0
  JobTensor tensors[kMaxTensors];
};

enum class Stage : uint32_t { kStarting, kConfined, kLoading, kPreparing, kFirstRun, kTiming, kLastRun, kFinished };

enum class Outcome : uint32_t {
  kNone,  // still under way, or taken down
  kDone,
  kNotLaunched,  // artifact cannot be loaded, misses a symbol
  kRefused,      // lathe_run returned `refused`
  kOutOfMemory,
  kException,    // escaped from the candidate
  kGuardBroken,  // bytes beside a tensor were overwritten
  kJobUnusable,  // our own fault: the parent wrote nonsense, a limit could not be set
};

enum SandboxFlags : uint32_t {
  kNoNewPrivileges = 1,
  kSystemCallFilter = 2,
  kNetworkNamespace = 4,
  kOtherUser = 8,
  kPinned = 16,
  kAddressSpaceLimit = 32,
  kPriority = 64
};

// Of a GPU, as its driver's management library tells; 0: not known.
struct GpuConditions {
  uint32_t mhz, memory_mhz, temperature_c, milliwatts;
  uint64_t clock_reasons;  // bits of NVML: why its clock is below the highest
};

struct ResultHeader {
  uint32_t magic;
  Stage stage;
  Outcome outcome;
  int32_t refused;
  uint32_t sandbox;
  uint32_t slots;    // copies of the outputs written so far
  uint32_t samples;  // doubles at samples_offset
  uint32_t repeats;  // runs in one sample
  uint32_t cut_early;
  uint32_t device_clock;  // 1: samples are times by the device's own clock
  // Where a signal struck, when one did.
  int32_t fault_signal;
  int32_t fault_tensor;              // -1: near none
  int32_t fault_is_write_protected;  // 1: a write to an input, a constant, or a packed constant after prepare()
  int64_t fault_offset;              // from the start of the tensor
  uint64_t fault_address;
  double load_seconds, prepare_seconds, first_run_seconds, timed_seconds;
  uint64_t voluntary_switches, involuntary_switches;  // while timing
  GpuConditions gpu_before, gpu_after;                // timing
  double energy_begin, energy_end;                    // CLOCK_MONOTONIC; equal when there was no such stretch
  uint64_t energy_runs;                               // in it
  char message[768];
};

}  // namespace lathe::worker
