// The cuda backend on a driver, a management library and a compiler of our own making (fake_cuda_driver.cpp, fake_nvrtc.cpp).
#pragma once

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "fault_fixture.h"
#include "measure/cuda_backend.h"

namespace lathe {

inline std::string Data(const char* name) { return std::string(LATHE_SOURCE_DIR) + "/tests/measure/data/" + name; }

class FakeCuda : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("LATHE_CUDA_DRIVER", LATHE_FAKE_CUDA_DRIVER, 1);
    ::setenv("LATHE_NVRTC", LATHE_FAKE_NVRTC, 1);
    ::setenv("LATHE_FAKE_CUBIN", Data("packed_gpu_sm_53.cubin").c_str(), 1);
    Result<TempDir> dir = TempDir::Create("fake-cuda");
    ASSERT_TRUE(dir);
    dir_.emplace(std::move(*dir));
    ::setenv("LATHE_FAKE_CUDA_LOG", (dir_->path() / "log").c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"LATHE_CUDA_DRIVER", "LATHE_NVML", "LATHE_NVRTC", "LATHE_FAKE_CUBIN", "LATHE_FAKE_CUDA_LOG",
                             "LATHE_FAKE_CUDA_FAIL", "LATHE_FAKE_CUDA_SLEEP", "LATHE_FAKE_NVRTC_ERROR", "LATHE_FAKE_NVRTC_SLEEP"})
      ::unsetenv(name);
  }

  WorkshopOptions Options() const {
    WorkshopOptions options = TestOptions();
    options.cache_dir = dir_->path() / "artifacts";
    return options;
  }

  Measurement Measure(int64_t group, const WorkshopOptions& options, const Workshop::BackendFactory& factory = MakeCudaBackend(0)) const {
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options, factory);
    if (!shop) {
      ADD_FAILURE() << shop.error().message;
      return {};
    }
    Candidate candidate = FaultCandidate("ok");
    candidate.template_name = "packed_gpu";
    candidate.template_hash = (*FaultTemplates().FindTemplate("fault/packed_gpu"))->hash();
    candidate.config = {{"BEHAVIOUR", std::string("ok")}, {"PASSES", int64_t{3}}, {"GROUP", group}};
    MeasureRequest request;
    request.candidate = std::move(candidate);
    return (*shop)->Measure(request);
  }

  std::string Log() const {
    const Result<std::string> log = ReadFile(dir_->path() / "log");
    return log ? *log : "";
  }
  // Waits for it: processes write it.
  bool LogComesToHave(const char* text) const {
    for (int i = 0; i < 1000 && Log().find(text) == std::string::npos; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return Log().find(text) != std::string::npos;
  }

  std::optional<TempDir> dir_;
};

}  // namespace lathe
