// What the GPU templates' manifests say of limits and launches holds, without a device.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "measure/candidate_text.h"
#include "measure/cuda_target.h"
#include "space/template_library.h"

namespace lathe {
namespace {

TEST(BufferLimit, KeepsTheMatricesOfSuppressionWithinABuffer) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  Result<Target> target = CudaTargetWithoutDevice("sm_53");
  ASSERT_TRUE(target);
  const Operator* op = *library->FindOperator("nms");
  const KernelTemplate* tmpl = *library->FindTemplate("nms/nms_gpu");
  const Workload workload = *op->Normalise(*ParseWorkload("nms:n=8400,max_out=300,classes=80"));
  const auto largest = [&] {
    const Result<Space> space = tmpl->SpaceFor(*op, workload, *target);
    int64_t chunk = 0;
    if (space)
      space->ForEach([&](const Point& point) {
        chunk = std::max(chunk, std::get<int64_t>(*Find(space->ConfigAt(point), "CHUNK")));
        return true;
      });
    return chunk;
  };
  EXPECT_EQ(largest(), 4096);  // 80 classes of 2 MiB each
  target->limits["max_buffer_bytes"] = 128 << 20;
  EXPECT_EQ(largest(), 2048);
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
