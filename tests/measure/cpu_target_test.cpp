#include "measure/cpu_target.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/file.h"
#include "measure/conditions.h"
#include "measure/cpu_set.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

void Write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(CpuTarget, ReadsCachesAndNameOfABoard) {
  const Result<TempDir> root = TempDir::Create("target-test");
  ASSERT_TRUE(root);
  const fs::path caches = root->path() / "sys/devices/system/cpu/cpu0/cache";
  int index = 0;
  for (const auto& [level, type, size] :
       {std::tuple{"1", "Data", "64K"}, {"1", "Instruction", "48K"}, {"2", "Unified", "2048K"}, {"3", "Unified", "4M"}}) {
    const fs::path dir = caches / ("index" + std::to_string(index++));
    Write(dir / "level", level);
    Write(dir / "type", type);
    Write(dir / "size", size);
  }
  Write(root->path() / "proc/device-tree/model", std::string("Board Kit\0", 10));
  const Target target = DetectCpuTarget(3, {}, "compiler 1.2", root->path());
  EXPECT_EQ(target.backend, "cpu");
  EXPECT_EQ(target.name, "Board Kit");
  EXPECT_EQ(target.limits.at("threads"), 3);
  EXPECT_EQ(target.limits.at("l1_bytes"), 65536);
  EXPECT_EQ(target.limits.at("l2_bytes"), 2097152);
  EXPECT_EQ(target.limits.at("l3_bytes"), 4194304);
  EXPECT_EQ(target.fingerprint.at("compiler_version"), "compiler 1.2");
}

TEST(CpuTarget, DescribesThisMachine) {
  const Target target = DetectCpuTarget(1, Toolchain::Default(), "compiler");
  EXPECT_FALSE(target.name.empty());
#if defined(__x86_64__)
  EXPECT_EQ(target.architecture.rfind("x86_64-", 0), 0U);
#elif defined(__aarch64__)
  EXPECT_EQ(target.architecture, "aarch64-neon");
#endif
  EXPECT_GE(target.limits.at("vector_bytes"), 16);
  EXPECT_GE(target.limits.at("vector_registers"), 16);
  EXPECT_GE(target.limits.at("l1_bytes"), 8192);
  EXPECT_EQ(target.FingerprintHash(), DetectCpuTarget(1, Toolchain::Default(), "compiler").FingerprintHash());
  EXPECT_NE(target.FingerprintHash(), DetectCpuTarget(1, Toolchain::Default(), "another").FingerprintHash());
}

TEST(CpuTarget, WithoutSysfsGivesTheLeast) {
  const Target target = DetectCpuTarget(1, {}, "", "/nonexistent");
  EXPECT_GT(target.limits.at("l1_bytes"), 0);
  EXPECT_GE(target.limits.at("l3_bytes"), target.limits.at("l1_bytes"));
}

TEST(CpuPlan, GivesMeasuringTheLastCpusAndOthersTheRest) {
  const CpuPlan plan = PlanCpus({0, 1, 4, 5}, 1);
  EXPECT_EQ(plan.measuring, std::vector<int>{5});
  EXPECT_EQ(plan.others, (std::vector<int>{0, 1, 4}));
  EXPECT_FALSE(plan.exclusive);
}

TEST(CpuPlan, TakesTurnsWhenAKernelTakesThemAll) {
  for (const int threads : {2, 9}) {
    const CpuPlan plan = PlanCpus({0, 1}, threads);
    EXPECT_EQ(plan.measuring, (std::vector<int>{0, 1}));
    EXPECT_EQ(plan.others, (std::vector<int>{0, 1}));
    EXPECT_TRUE(plan.exclusive);
  }
}

TEST(Conditions, AreReadWhereTheMachineHasThemAndLeftOutWhereNot) {
  const Result<TempDir> root = TempDir::Create("conditions-test");
  ASSERT_TRUE(root);
  const fs::path cpu = root->path() / "sys/devices/system/cpu/cpu2", zones = root->path() / "sys/class/thermal";
  Write(root->path() / "proc/loadavg", "1.5 1.2 1.0 2/300 4000\n");
  Write(root->path() / "proc/stat", "cpu  1 2 3 4 5 6 7 900\ncpu0 1 2 3 4 5 6 7 800\ncpu2 1 2 3 4 5 6 7 100\nintr 5\n");
  Write(cpu / "cpufreq/scaling_cur_freq", "1400000\n");
  Write(cpu / "thermal_throttle/core_throttle_count", "3\n");
  Write(zones / "thermal_zone0/temp", "45500\n");
  Write(zones / "thermal_zone1/temp", "61000\n");
  const ConditionReader reader({2}, root->path());
  const Conditions before = reader.Read();
  Write(cpu / "thermal_throttle/core_throttle_count", "4\n");
  Write(root->path() / "proc/stat", "cpu2 1 2 3 4 5 6 7 150\n");
  std::map<std::string, std::string> text;
  Describe(before, reader.Read(), text);
  EXPECT_EQ(text.at("load_before"), "1.5");
  EXPECT_EQ(text.at("mhz_after"), "1400");
  EXPECT_EQ(text.at("temperature_c_before"), "61");
  EXPECT_EQ(text.at("throttled"), "1");
  EXPECT_EQ(text.at("steal_ms"), "500");

  std::map<std::string, std::string> nothing;
  const ConditionReader blind({0}, "/nonexistent");
  Describe(blind.Read(), blind.Read(), nothing);
  EXPECT_TRUE(nothing.empty());
}

}  // namespace
}  // namespace lathe
