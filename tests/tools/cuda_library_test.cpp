// From a model to answers on CUDA, by the product's own path: `lathe build`, an NVRTC that makes PTX only, the generated library and its
// test, on a driver that interprets PTX (tests/ptx). Skipped where no NVRTC knows the architecture.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "measure/cuda_compiler.h"

namespace lathe {
namespace {

constexpr const char* kArchitecture = "sm_87";
// Layers with a bias, a residual and groups, one of halves, and what a detector does around its network.
constexpr const char* kModel = R"([
  {"operator": "conv2d", "workload": {"h": 12, "w": 11, "c": 8, "k": 8, "r": 3, "s": 3, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1,
                                      "layout": "nchw", "bias": true, "activation": "relu"}},
  {"operator": "conv2d", "workload": {"h": 6, "w": 5, "c": 16, "k": 8, "r": 1, "s": 1, "layout": "nhwc", "dtype": "f16", "bias": true, "residual": true}},
  {"operator": "conv2d", "workload": {"h": 9, "w": 9, "c": 8, "k": 8, "r": 3, "s": 3, "groups": 8, "layout": "nchw", "activation": "silu"}},
  {"operator": "nms", "workload": {"n": 200, "max_out": 20}},
  {"operator": "resize", "workload": {"h": 17, "w": 23, "c": 3, "oh": 9, "ow": 31}}])";

// The exit status; what was printed goes to `output`.
int Shell(const std::string& command, const std::filesystem::path& output) {
  const int status = std::system(("(" + command + ") > '" + output.string() + "' 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(CudaLibrary, AnswersAsItsReferencesDoWhereItsPtxIsInterpreted) {
  const std::vector<CudaCompiler> compilers = ListCudaCompilers(LATHE_BIN_DIR "/lathe-worker");
  const auto nvrtc = std::find_if(compilers.begin(), compilers.end(),
                                  [](const CudaCompiler& compiler) { return !compiler.is_nvcc && compiler.Knows(kArchitecture); });
  if (nvrtc == compilers.end()) GTEST_SKIP() << "no NVRTC here knows " << kArchitecture << "; LATHE_NVRTC names one";
  Result<TempDir> dir = TempDir::Create("cuda-library");
  ASSERT_TRUE(dir);
  const std::filesystem::path log = dir->path() / "log", findings = dir->path() / "findings";
  const std::string out = (dir->path() / "kernels").string();
  ASSERT_TRUE(WriteFile(dir->path() / "model.json", kModel));
  ASSERT_EQ(
      Shell(fmt::format(
                "cd {} && XDG_CACHE_HOME=$PWD/cache LATHE_NVRTC={} LATHE_PTX_NVRTC={} {}/lathe build model.json --log none.db --target "
                "cuda/{} --out kernels",
                dir->path().string(), LATHE_PTX_COMPILER, nvrtc->path.string(), LATHE_BIN_DIR, kArchitecture),
            log),
      0)
      << *ReadFile(log);
  const nlohmann::json report = nlohmann::json::parse(*ReadFile(out + "/report.json"));
  EXPECT_EQ(report["programs"], "ptx");
  for (const nlohmann::json& kernel : report["kernels"]) EXPECT_EQ(kernel["match"], "untuned") << kernel;
  EXPECT_THAT(*ReadFile(out + "/README.md"), testing::HasSubstr("PTX for sm_87, made by " + nvrtc->Name()));
  ASSERT_EQ(Shell(fmt::format("cmake -S {0} -B {0}/build && cmake --build {0}/build -j2", out), log), 0) << *ReadFile(log);

  const auto run = [&](const char* device) {
    return Shell(fmt::format("cd {} && LATHE_CUDA_DRIVER={} LATHE_PTX_DEVICE={} LATHE_PTX_LOG={} build/gpu_test", out, LATHE_PTX_DRIVER,
                             device, findings.string()),
                 log);
  };
  EXPECT_EQ(run(kArchitecture), 0) << *ReadFile(log);
  EXPECT_THAT(*ReadFile(log), testing::HasSubstr("5 kernels, 0 wrong"));
  EXPECT_FALSE(std::filesystem::exists(findings) && std::filesystem::file_size(findings) > 0) << *ReadFile(findings);
  EXPECT_EQ(run("sm_72"), 1);
  EXPECT_THAT(*ReadFile(log), testing::HasSubstr("it was built for sm_87, and this device is sm_72"));
}

}  // namespace
}  // namespace lathe
