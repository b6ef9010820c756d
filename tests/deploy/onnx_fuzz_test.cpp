// Damaged models are answered with an error or with nodes reported unknown, never with a crash, a hang or a printed word.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"
#include "deploy/model_tasks.h"
#include "onnx_mutate.h"

namespace lathe {
namespace {

TEST(DamagedModels, AreAnsweredNotCrashed) {
  // More for a longer look: LATHE_FUZZ_ROUNDS=100000 LATHE_FUZZ_SEED=7.
  const char *rounds_text = std::getenv("LATHE_FUZZ_ROUNDS"), *seed_text = std::getenv("LATHE_FUZZ_SEED");
  const int rounds = rounds_text ? std::atoi(rounds_text) : 200;
  Random random(seed_text ? static_cast<uint64_t>(std::atoll(seed_text)) : 1);

  Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  ASSERT_TRUE(library) << library.error().message;
  std::vector<std::string> models;
  for (const auto& entry : std::filesystem::directory_iterator(LATHE_SOURCE_DIR "/models")) {
    if (entry.path().extension() != ".onnx") continue;
    Result<std::string> bytes = ReadFile(entry.path());
    ASSERT_TRUE(bytes) << bytes.error().message;
    models.push_back(*std::move(bytes));
  }
  ASSERT_EQ(models.size(), 4u);
  Result<TempDir> dir = TempDir::Create("fuzz");
  ASSERT_TRUE(dir) << dir.error().message;

  testing::internal::CaptureStderr();
  int read = 0, refused = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto path = dir->path() / "model.onnx";
    const std::string& model = models[static_cast<size_t>(round) % models.size()];
    ASSERT_TRUE(WriteFile(path, round % 3 ? DamageFields(model, random) : DamageBytes(model, random)));
    Result<ModelTasks> tasks = ReadModelTasks(path, *library);
    ++(tasks ? read : refused);
    if (!tasks) {
      EXPECT_FALSE(tasks.error().message.empty());
    } else {
      for (const UnknownNode& node : tasks->unknown) EXPECT_FALSE(node.reason.empty()) << node.name;
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  // Both ways must have been taken, or the test looks at nothing.
  EXPECT_GT(read, rounds / 10);
  EXPECT_GT(refused, rounds / 10);
  RecordProperty("read", read);
}

}  // namespace
}  // namespace lathe
