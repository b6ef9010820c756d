// Every template that runs on CUDA, compiled to PTX by the NVRTC of this machine and interpreted: verified like on a device, and nothing
// found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/file.h"
#include "measure/cuda_backend.h"
#include "measure/cuda_compiler.h"
#include "space/template_library.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

constexpr double kMostFlops = 3e6;  // some hundred million lanes' instructions a second are interpreted

class PtxTemplates : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (const char* nvrtc = std::getenv("LATHE_NVRTC"); nvrtc != nullptr) nvrtc_before_ = nvrtc;
    const std::string worker = std::string(LATHE_BIN_DIR) + "/lathe-worker";
    const Result<CudaCompiler> compiler = ChooseCudaCompiler(ListCudaCompilers(worker), GetParam());
    if (!compiler || compiler->is_nvcc)
      GTEST_SKIP() << (compiler ? "no NVRTC here knows " + std::string(GetParam()) : compiler.error().message);
    Result<TempDir> dir = TempDir::Create("ptx");
    ASSERT_TRUE(dir);
    dir_.emplace(std::move(*dir));
    ::setenv("LATHE_PTX_NVRTC", compiler->path.c_str(), 1);
    ::setenv("LATHE_NVRTC", LATHE_PTX_NVRTC_LIBRARY, 1);
    ::setenv("LATHE_CUDA_DRIVER", LATHE_PTX_DRIVER_LIBRARY, 1);
    ::setenv("LATHE_PTX_DEVICE", GetParam(), 1);
    ::setenv("LATHE_PTX_LOG", log().c_str(), 1);
  }
  void TearDown() override {
    for (const char* name :
         {"LATHE_PTX_NVRTC", "LATHE_NVRTC", "LATHE_CUDA_DRIVER", "LATHE_PTX_DEVICE", "LATHE_PTX_LOG", "LATHE_PTX_GLOBAL_INIT"})
      ::unsetenv(name);
    if (!nvrtc_before_.empty()) ::setenv("LATHE_NVRTC", nvrtc_before_.c_str(), 1);
  }

  fs::path log() const { return dir_->path() / "log"; }

  std::unique_ptr<Workshop> Shop(const TemplateLibrary& library) const {
    WorkshopOptions options;
    options.worker_program = std::string(LATHE_BIN_DIR) + "/lathe-worker";
    options.cache_dir = dir_->path() / "artifacts";
    options.scratch_root = dir_->path();
    options.verify_only = true;
    options.run.timeout = options.build.timeout = std::chrono::seconds(300);
    options.toolchain.flags = {"-std=c++20", "-O1", "-fPIC", "-shared", "-D_GLIBCXX_INCLUDE_NEXT_C_HEADERS"};
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&library, options, MakeCudaBackend(0));
    if (!shop) ADD_FAILURE() << shop.error().message;
    return shop ? std::move(*shop) : nullptr;
  }

  // What the driver saw, and how the candidate ended; empty for a clean kernel.
  std::string Findings(Workshop& shop, const Candidate& candidate) const {
    std::error_code ignored;
    fs::remove(log(), ignored);
    // winograd_gpu multiplies rows of its workspace that nobody fills, and uses none of the products.
    ::setenv("LATHE_PTX_GLOBAL_INIT", candidate.template_name == "winograd_gpu" ? "0" : "1", 1);
    MeasureRequest request;
    request.candidate = candidate;
    const Measurement measurement = shop.Measure(request);
    const Result<std::string> seen = ReadFile(log());
    std::string findings = seen ? seen->substr(0, 3000) : "";
    if (measurement.status != MeasureStatus::kOk) findings += std::string(ToString(measurement.status)) + ": " + measurement.message;
    return findings;
  }

  std::optional<TempDir> dir_;
  std::string nvrtc_before_;
};

size_t FromEnvironment(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<size_t>(std::atoi(text));
}

// Those of the operator's test shapes that the template is for and that take not too long, the smallest first.
std::vector<Workload> SmallShapes(const Operator& op, const KernelTemplate& tmpl, const Target& target) {
  std::vector<std::pair<double, Workload>> shapes;
  for (const auto& entry : op.manifest()["test_workloads"]) {
    Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(entry));
    Result<Workload> workload = attributes ? op.Normalise({op.name(), *attributes}) : Result<Workload>(attributes.error());
    if (!workload) continue;
    const Result<bool> applies = tmpl.Applies(op, *workload, target);
    const Result<double> flops = op.Flops(*workload);
    if (applies && *applies && flops && *flops <= kMostFlops) shapes.emplace_back(*flops, *workload);
  }
  std::stable_sort(shapes.begin(), shapes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Workload> all;
  for (auto& [flops, workload] : shapes) all.push_back(std::move(workload));
  return all;
}

// The first config and a random one on two shapes; LATHE_PTX_SHAPES and LATHE_PTX_CONFIGS (random ones on each) ask for more.
TEST_P(PtxTemplates, AreRightAndNothingIsFound) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  const std::unique_ptr<Workshop> shop = Shop(*library);
  ASSERT_NE(shop, nullptr);
  const size_t configs = FromEnvironment("LATHE_PTX_CONFIGS", 1), most_shapes = FromEnvironment("LATHE_PTX_SHAPES", 2);
  const bool only_tensor_cores = std::string(GetParam()) == "sm_75";
  std::mt19937_64 random(7);
  for (const Operator* op : library->operators())
    for (const KernelTemplate* tmpl : library->TemplatesOf(op->name())) {
      if (!tmpl->RunsOn("cuda") || (only_tensor_cores && tmpl->name() != "mma_gpu")) continue;
      const std::vector<Workload> shapes = SmallShapes(*op, *tmpl, shop->target());
      const size_t count = std::min(most_shapes, shapes.size());
      for (size_t i = 0; i < count; ++i) {
        // From the smallest to the largest, which large tiles fit.
        const Workload& shape = shapes[count == 1 ? 0 : i * (shapes.size() - 1) / (count - 1)];
        const Result<Space> space = tmpl->SpaceFor(*op, shape, shop->target());
        ASSERT_TRUE(space) << space.error().message;
        for (size_t n = 0; n <= configs; ++n) {
          const std::optional<Point> point = n == 0 ? space->First() : space->Sample(random);
          ASSERT_TRUE(point) << tmpl->name() << " on " << shape.Key();
          const Candidate candidate{shape, tmpl->name(), tmpl->hash(), space->ConfigAt(*point)};
          EXPECT_EQ(Findings(*shop, candidate), "") << tmpl->name() << ' ' << ToString(candidate.config) << "\non " << shape.Key();
        }
      }
      const bool no_tensor_cores = shop->target().limits.at("tensor_cores") == 0;
      EXPECT_TRUE(count > 0 || (no_tensor_cores && tmpl->name() == "mma_gpu"))
          << tmpl->name() << " has no small shape among its operator's test_workloads";
    }
}

// The harness itself: what it must see, it sees.
TEST_P(PtxTemplates, WithPlantedFaultsAreSeen) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/tests/measure/templates");
  ASSERT_TRUE(library) << library.error().message;
  const std::unique_ptr<Workshop> shop = Shop(*library);
  ASSERT_NE(shop, nullptr);
  const Operator* op = *library->FindOperator("fault");
  const Result<Workload> workload = op->Normalise({"fault", {{"n", int64_t{50}}}});
  ASSERT_TRUE(workload);
  const auto findings = [&](const char* behaviour) {
    const KernelTemplate* tmpl = *library->FindTemplate("fault/packed_gpu");
    return Findings(
        *shop,
        {*workload, tmpl->name(), tmpl->hash(), {{"BEHAVIOUR", std::string(behaviour)}, {"PASSES", int64_t{3}}, {"GROUP", int64_t{16}}}});
  };
  EXPECT_EQ(findings("ok"), "");
  EXPECT_THAT(findings("packs_too_much"),
              testing::AllOf(testing::HasSubstr("out of bounds: kernel 'pack'"), testing::HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (700)")));
  EXPECT_THAT(findings("reads_beyond"), testing::HasSubstr("out of bounds"));
  EXPECT_THAT(findings("races"), testing::HasSubstr("race: "));
}

INSTANTIATE_TEST_SUITE_P(On, PtxTemplates, testing::Values("sm_53", "sm_75", "sm_87"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace lathe
