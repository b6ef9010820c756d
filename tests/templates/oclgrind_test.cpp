// Every GPU template on small shapes in Oclgrind, a simulator that sees each access and each race between work items. Its exit status and
// the results say nothing of what it saw: its log does, which must be empty.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/file.h"
#include "measure/opencl_backend.h"
#include "measure/opencl_target.h"
#include "space/template_library.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

constexpr const char* kDriver = "/usr/lib/oclgrind/liboclgrind-rt-icd.so";
constexpr double kMostFlops = 3e5;  // it simulates some million instructions a second, unoptimised ones

class Oclgrind : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kDriver)) GTEST_SKIP() << "Oclgrind is not installed (Debian: oclgrind)";
    Result<TempDir> dir = TempDir::Create("oclgrind");
    ASSERT_TRUE(dir);
    dir_.emplace(std::move(*dir));
    fs::create_directory(dir_->path() / "vendors");
    ASSERT_TRUE(WriteFile(dir_->path() / "vendors" / "oclgrind.icd", std::string(kDriver) + '\n'));
    ::setenv("OCL_ICD_VENDORS", (dir_->path() / "vendors").c_str(), 1);
    ::setenv("OCLGRIND_LOG", log().c_str(), 1);
    ::setenv("OCLGRIND_DATA_RACES", "1", 1);
    // The optimiser makes instructions that it cannot simulate (saturated subtraction), and drops reads whose values nobody needs.
    ::setenv("OCLGRIND_BUILD_OPTIONS", "-cl-opt-disable", 1);
  }
  void TearDown() override {
    for (const char* name : {"OCL_ICD_VENDORS", "OCLGRIND_LOG", "OCLGRIND_DATA_RACES", "OCLGRIND_BUILD_OPTIONS"}) ::unsetenv(name);
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
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&library, options, MakeOpenClBackend(0));
    if (!shop) ADD_FAILURE() << shop.error().message;
    return shop ? std::move(*shop) : nullptr;
  }

  // What Oclgrind saw; empty for a clean kernel.
  std::string Findings(Workshop& shop, const Candidate& candidate) const {
    std::error_code ignored;
    fs::remove(log(), ignored);
    MeasureRequest request;
    request.candidate = candidate;
    const Measurement measurement = shop.Measure(request);
    const Result<std::string> seen = ReadFile(log());
    std::string findings = seen ? seen->substr(0, 3000) : "";
    if (measurement.status != MeasureStatus::kOk) findings += std::string(ToString(measurement.status)) + ": " + measurement.message;
    return findings;
  }

  std::optional<TempDir> dir_;
};

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// The shapes of an operator that a simulator gets through, the smallest first.
std::vector<Workload> SmallShapes(const Operator& op, size_t most) {
  std::vector<std::pair<double, Workload>> shapes;
  for (const auto& entry : op.manifest()["test_workloads"]) {
    Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(entry));
    Result<Workload> workload = attributes ? op.Normalise({op.name(), *attributes}) : Result<Workload>(attributes.error());
    if (!workload) continue;
    const Result<double> flops = op.Flops(*workload);
    if (flops && *flops <= kMostFlops) shapes.emplace_back(*flops, *workload);
  }
  std::stable_sort(shapes.begin(), shapes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // Spread over the list: the smallest alone are too much alike.
  std::vector<Workload> chosen;
  for (size_t i = 0; i < std::min(most, shapes.size()); ++i)
    chosen.push_back(shapes[i * shapes.size() / std::min(most, shapes.size())].second);
  return chosen;
}

// LATHE_OCLGRIND_SHAPES and LATHE_OCLGRIND_CONFIGS ask for more.
TEST_F(Oclgrind, FindsNothingInAnyTemplate) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  const std::unique_ptr<Workshop> shop = Shop(*library);
  ASSERT_NE(shop, nullptr);
  const int configs = FromEnvironment("LATHE_OCLGRIND_CONFIGS", 1);
  const auto most_shapes = static_cast<size_t>(FromEnvironment("LATHE_OCLGRIND_SHAPES", 2));
  std::mt19937_64 random(5);
  for (const Operator* op : library->operators())
    for (const KernelTemplate* tmpl : library->TemplatesOf(op->name())) {
      if (!tmpl->RunsOn("opencl")) continue;
      std::vector<Workload> shapes = SmallShapes(*op, 1000);
      shapes.erase(std::remove_if(shapes.begin(), shapes.end(),
                                  [&](const Workload& shape) {
                                    const Result<bool> applies = tmpl->Applies(*op, shape, shop->target());
                                    return !applies || !*applies;
                                  }),
                   shapes.end());
      int checked = 0;
      const size_t count = std::min(most_shapes, shapes.size());
      for (size_t i = 0; i < count; ++i) {
        const Workload& shape = shapes[i * shapes.size() / count];
        const Result<Space> space = tmpl->SpaceFor(*op, shape, shop->target());
        ASSERT_TRUE(space) << space.error().message;
        for (int n = 0; n < configs; ++n) {
          const std::optional<Point> point = space->Sample(random);
          if (!point) continue;
          const Candidate candidate{shape, tmpl->name(), tmpl->hash(), space->ConfigAt(*point)};
          EXPECT_EQ(Findings(*shop, candidate), "") << tmpl->name() << ' ' << ToString(candidate.config) << "\non " << shape.Key();
          ++checked;
        }
      }
      EXPECT_GT(checked, 0) << tmpl->name() << " has no small shape among its operator's test_workloads";
    }
}

// The harness itself: what it must see, it sees.
TEST_F(Oclgrind, SeesRacesAndAccessesOutsideOfTensors) {
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
  EXPECT_THAT(findings("packs_too_much"), testing::HasSubstr("Invalid write"));
  EXPECT_THAT(findings("reads_beyond"), testing::HasSubstr("Invalid read"));
  EXPECT_THAT(findings("races"), testing::HasSubstr("data race"));
}

}  // namespace
}  // namespace lathe
