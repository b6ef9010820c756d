// What the GPU templates' manifests say of limits and launches holds, without a device.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "measure/candidate_text.h"
#include "measure/cuda_target.h"
#include "space/template_library.h"

namespace lathe {
namespace {

// Of every template that we ship.
TEST(BufferLimit, HoldsTheWorkspaceOfEveryValidConfig) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  Result<Target> target = CudaTargetWithoutDevice("sm_87");
  ASSERT_TRUE(target);
  const double unlimited = target->limits.at("max_buffer_bytes");
  std::mt19937_64 random(3);
  std::map<std::string, int> held;  // by template: valid configs seen with a buffer of half the size
  for (const Operator* op : library->operators())
    for (const KernelTemplate* tmpl : library->TemplatesOf(op->name()))
      for (const auto& entry : op->manifest()["test_workloads"]) {
        const Workload workload = *op->Normalise({op->name(), *NamedValuesFromJson(nlohmann::json(entry))});
        target->limits["max_buffer_bytes"] = unlimited;
        if (!*tmpl->Applies(*op, workload, *target)) continue;
        const auto workspaces = [&] {
          const Result<Space> space = tmpl->SpaceFor(*op, workload, *target);
          std::vector<size_t> bytes;
          for (int i = 0; space && i < 50; ++i)
            if (const std::optional<Point> point = space->Sample(random))
              bytes.push_back(*tmpl->WorkspaceBytes(*op, {workload, tmpl->name(), tmpl->hash(), space->ConfigAt(*point)}, *target));
          return bytes;
        };
        const std::vector<size_t> before = workspaces();
        const size_t half = *std::max_element(before.begin(), before.end()) / 2;
        if (half == 0) continue;
        target->limits["max_buffer_bytes"] = static_cast<double>(half);
        for (const size_t bytes : workspaces()) {
          EXPECT_LE(bytes, half) << tmpl->name() << " on " << workload.Key();
          held[tmpl->name()] += 1;
        }
      }
  for (const char* name : {"implicit_gemm_gpu", "winograd_gpu", "mma_gpu", "dot_gpu", "nms_gpu"}) EXPECT_GT(held[name], 0) << name;
}

// Of every template that we ship: what a launch-only parameter changes is the launch, and nothing that is compiled.
TEST(LaunchOnlyParameters, ChangeLaunchesAndLeaveTheTextAlone) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  const Result<Target> target = CudaTargetWithoutDevice("sm_87");
  ASSERT_TRUE(target);
  std::mt19937_64 random(3);
  std::map<std::string, int> other_launches;  // by template: neighbours in a launch-only parameter that are launched otherwise
  for (const Operator* op : library->operators())
    for (const KernelTemplate* tmpl : library->TemplatesOf(op->name()))
      for (const auto& entry : op->manifest()["test_workloads"]) {
        const Workload workload = *op->Normalise({op->name(), *NamedValuesFromJson(nlohmann::json(entry))});
        if (!*tmpl->Applies(*op, workload, *target)) continue;
        const Result<Space> space = tmpl->SpaceFor(*op, workload, *target);
        ASSERT_TRUE(space) << space.error().message;
        const Point point = *space->Sample(random);
        const auto render = [&](const Point& at) {
          return *RenderCandidate(*library, {workload, tmpl->name(), tmpl->hash(), space->ConfigAt(at)}, *target);
        };
        const CandidateText text = render(point);
        for (const Point& neighbour : space->Neighbours(point)) {
          const auto changed = static_cast<size_t>(std::mismatch(point.begin(), point.end(), neighbour.begin()).first - point.begin());
          if (!tmpl->IsLaunchOnly(space->parameters()[changed].name)) continue;
          const CandidateText other = render(neighbour);
          EXPECT_EQ(other.source, text.source) << tmpl->name() << ' ' << space->parameters()[changed].name;
          EXPECT_EQ(other.flags, text.flags);
          other_launches[tmpl->name()] += other.spec.runner_options != text.spec.runner_options ? 1 : 0;
        }
      }
  for (const char* name : {"machine_fma_gpu", "machine_copy_gpu", "winograd_gpu", "resize_gpu"}) EXPECT_GT(other_launches[name], 0) << name;
}

}  // namespace
}  // namespace lathe
