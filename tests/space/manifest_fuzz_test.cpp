// Damaged manifests are answered with an error that names them, or with a space; never with a crash, a hang or a printed word.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

#include "core/file.h"
#include "space/template_library.h"
#include "tests/fuzz/damage.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

Target MadeUpTarget(const std::string& backend) {
  return {backend,
          "made-up",
          "made-up",
          {{"vector_bytes", 32},
           {"vector_registers", 16},
           {"threads", 2},
           {"l1_bytes", 32768},
           {"l2_bytes", 1 << 20},
           {"l3_bytes", 1 << 24},
           {"max_work_group", 256},
           {"local_bytes", 32768},
           {"max_work_group_z", 64},
           {"max_groups_yz", 65535},
           {"registers_per_group", 32768},
           {"registers_per_item", 255},
           {"subgroup", 32},
           {"dp4a", 1},
           {"tensor_cores", 1},
           {"async_copy", 1},
           {"compute_capability", 87},
           {"local_bytes_asked", 49152},
           {"max_buffer_bytes", 268435456},
           {"images", 1},
           {"max_image_width", 16384},
           {"max_image_height", 16384},
           {"compute_units", 2},
           {"fp16", 0}},
          {}};
}

// Everything that is asked of manifests between reading them and building a candidate.
size_t Use(const TemplateLibrary& library) {
  size_t points = 0;
  for (const Operator* op : library.operators()) {
    if (!op->manifest().contains("test_workloads")) continue;
    for (const auto& entry : op->manifest()["test_workloads"]) {
      Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(entry));
      if (!attributes) continue;
      Result<Workload> workload = op->Normalise({op->name(), *attributes});
      if (!workload) continue;
      (void)op->Tensors(*workload);
      (void)op->Flops(*workload);
      (void)op->Bytes(*workload);
      (void)op->Label(*workload);
      for (const KernelTemplate* tmpl : library.TemplatesOf(op->name())) {
        const Target target = MadeUpTarget(tmpl->RunsOn("opencl") ? "opencl" : tmpl->backend());
        Result<bool> applies = tmpl->Applies(*op, *workload, target);
        if (!applies || !*applies) continue;
        Result<Space> space = tmpl->SpaceFor(*op, *workload, target);
        if (!space) continue;
        std::mt19937_64 random(1);
        const std::optional<Point> point = space->Sample(random);
        if (!point) continue;
        ++points;
        const Candidate candidate{*workload, tmpl->name(), tmpl->hash(), space->ConfigAt(*point)};
        (void)tmpl->PackedTensors(*op, candidate, target);
        (void)tmpl->WorkspaceBytes(*op, candidate, target);
        (void)tmpl->Launches(*op, candidate, target);
      }
      break;  // one shape a manifest is enough
    }
  }
  return points;
}

TEST(DamagedManifests, AreAnsweredNotCrashed) {
  // More for a longer look: LATHE_FUZZ_ROUNDS=100000 LATHE_FUZZ_SEED=7.
  const char *rounds_text = std::getenv("LATHE_FUZZ_ROUNDS"), *seed_text = std::getenv("LATHE_FUZZ_SEED");
  const int rounds = rounds_text ? std::atoi(rounds_text) : 300;
  Damage damage(seed_text ? static_cast<uint64_t>(std::atoll(seed_text)) : 1);

  const fs::path templates = fs::path(LATHE_SOURCE_DIR) / "templates";
  std::vector<fs::path> manifests;
  for (const auto& entry : fs::recursive_directory_iterator(templates))
    if (entry.path().extension() == ".json" && entry.path().parent_path().parent_path() == templates) manifests.push_back(entry.path());
  std::sort(manifests.begin(), manifests.end());
  ASSERT_GT(manifests.size(), 10u);

  testing::internal::CaptureStderr();
  int read = 0, refused = 0;
  size_t points = 0;
  for (int round = 0; round < rounds; ++round) {
    const fs::path manifest = manifests[static_cast<size_t>(round) % manifests.size()];
    Result<TempDir> dir = TempDir::Create("manifests");
    ASSERT_TRUE(dir) << dir.error().message;
    const fs::path folder = dir->path() / manifest.parent_path().filename();
    fs::copy(templates / "prelude", dir->path() / "prelude");
    fs::copy(manifest.parent_path(), folder);  // without "data": not recursive
    Result<std::string> text = ReadFile(manifest);
    ASSERT_TRUE(text);
    const std::string damaged = round % 4 == 0 ? damage.OfBytes(*text) : damage.OfValues(*text);
    ASSERT_TRUE(WriteFile(folder / manifest.filename(), damaged));

    const auto begin = std::chrono::steady_clock::now();
    try {
      Result<TemplateLibrary> library = TemplateLibrary::Load(dir->path());
      ++(library ? read : refused);
      if (library)
        points += Use(*library);
      else
        EXPECT_NE(library.error().message.find(manifest.parent_path().filename().string()), std::string::npos) << library.error().message;
    } catch (const std::exception& escaped) {
      ADD_FAILURE() << "round " << round << " of " << manifest << ": " << escaped.what() << "\n" << damaged;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_LT(seconds, 20) << "round " << round << " of " << manifest << ":\n" << damaged;
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  // Every way must have been taken, or the test looks at nothing.
  EXPECT_GT(read, rounds / 20);
  EXPECT_GT(refused, rounds / 10);
  EXPECT_GT(points, 0u);
}

}  // namespace
}  // namespace lathe
