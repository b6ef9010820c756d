// What the cross compiler makes of the convolution templates' own first configs for AArch64: the loop that does the work keeps its sums in
// registers. Needs the cross compiler of the profile "aarch64"; skipped without.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "codegen/candidate_source.h"
#include "core/file.h"
#include "measure/subprocess.h"
#include "measure/toolchain_profile.h"
#include "space/template_library.h"
#include "tests/templates/hot_loop.h"

namespace lathe {
namespace {
using testing::FindHotLoop;
using testing::HotLoop;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(HotLoop, IsTheInnermostOneWithMostMultiplyAdds) {
  const HotLoop loop = FindHotLoop(
      ".L1:\n\tstr\tq0, [sp, 16]\n.L2:\n\tldr\tq1, [x0], 16\n\tfmla\tv0.4s, v1.4s, v2.s[0]\n\tfmla\tv3.4s, v1.4s, v2.s[1]\n\tbne\t.L2\n"
      "\tcbnz\tx1, .L1\n.L3:\n\tfmla\tv0.4s, v1.4s, v2.4s\n\tb.gt\t.L3\n");
  EXPECT_EQ(loop.multiply_adds, 2);
  EXPECT_THAT(loop.instructions, SizeIs(4));
  EXPECT_THAT(loop.spills, IsEmpty());
}

TEST(HotLoop, FindsSpillsInIt) {
  const HotLoop loop = FindHotLoop(
      ".L2:\n\tldr\tq1, [sp, 64]\n\tfmla\tv0.4s, v1.4s, v2.4s\n\tstp\tq0, q1, [sp]\n\tldr\tx1, [sp, 8]\n\tsubs\tx2, x2, 1\n\tbne\t.L2\n");
  EXPECT_THAT(loop.spills, SizeIs(2));
}

class Assembly : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<Toolchain> toolchain = ReadToolchainProfile("aarch64");
    ASSERT_TRUE(toolchain) << toolchain.error().message;
    toolchain_ = std::move(*toolchain);
    SubprocessOptions version;
    version.argv = {toolchain_.compiler, "--version"};
    const Result<SubprocessResult> there = RunSubprocess(version);
    if (!there || there->code != 0) GTEST_SKIP() << toolchain_.compiler << " is not here (Debian: apt install g++-aarch64-linux-gnu)";
    Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
    ASSERT_TRUE(library) << library.error().message;
    library_ = std::make_unique<TemplateLibrary>(std::move(*library));
    target_ = {
        "cpu",
        "aarch64-neon",
        "test",
        {{"vector_bytes", 16}, {"vector_registers", 32}, {"threads", 1}, {"l1_bytes", 65536}, {"l2_bytes", 2 << 20}, {"l3_bytes", 4 << 20}},
        {}};
  }

  Result<std::string> Compile(const Candidate& candidate, const std::vector<std::string>& flags) const {
    Result<std::string> source = CandidateSource(*library_, candidate, target_);
    if (!source) return source.error();
    Result<TempDir> dir = TempDir::Create("assembly");
    if (!dir) return dir.error();
    if (Status written = WriteFile(dir->path() / "candidate.cpp", *source); !written) return written.error();
    SubprocessOptions compile;
    compile.argv = {toolchain_.compiler};
    for (const std::string& flag : toolchain_.flags)
      if (flag != "-shared") compile.argv.push_back(flag);
    compile.argv.insert(compile.argv.end(), flags.begin(), flags.end());
    for (const char* argument : {"-S", "candidate.cpp", "-o", "candidate.s"}) compile.argv.emplace_back(argument);
    compile.directory = dir->path();
    Result<SubprocessResult> result = RunSubprocess(compile);
    if (!result) return result.error();
    if (result->code != 0) return Error{ErrorCode::kInvalidInput, result->output};
    return ReadFile(dir->path() / "candidate.s");
  }

  // Winograd's transforms are longer than the loop of its products, but run once a tile.
  static std::string FunctionsNamed(const std::string& name, const std::string& assembly) {
    std::string found;
    bool inside = false;
    std::istringstream lines(assembly);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("_Z") && line.ends_with(":")) inside = line.find(std::to_string(name.size()) + name) != std::string::npos;
      if (line.starts_with("\t.size")) inside = false;
      if (inside) found += line + "\n";
    }
    return found;
  }

  // Of a template's first config on a workload; nothing when it does not apply.
  std::optional<HotLoop> LoopOf(const KernelTemplate& tmpl, const Workload& workload, std::string& what) const {
    const Operator& op = **library_->FindOperator(workload.operator_name);
    Result<bool> applies = tmpl.Applies(op, workload, target_);
    EXPECT_TRUE(applies) << applies.error().message;
    if (!applies || !*applies) return std::nullopt;
    Result<Space> space = tmpl.SpaceFor(op, workload, target_);
    EXPECT_TRUE(space) << space.error().message;
    const std::optional<Point> first = space ? space->First() : std::nullopt;
    if (!first) return std::nullopt;
    const Candidate candidate{workload, tmpl.name(), tmpl.hash(), space->ConfigAt(*first)};
    what = candidate.Key();
    Result<std::string> assembly = Compile(candidate, tmpl.Flags(target_.backend));
    EXPECT_TRUE(assembly) << what << ": " << assembly.error().message;
    if (!assembly) return std::nullopt;
    const std::string products = FunctionsNamed("Product", *assembly);
    return FindHotLoop(products.empty() ? *assembly : products);
  }

  Toolchain toolchain_;
  std::unique_ptr<TemplateLibrary> library_;
  Target target_;
};

TEST_F(Assembly, DefaultsOfConvolutionTemplatesRestNoSumsOnTheStack) {
  std::vector<Workload> workloads;
  for (const char* layout : {"nhwc", "nchw"})
    for (const auto& [name, attributes] :
         std::map<std::string, NamedValues>{{"3x3",
                                             {{"h", 56},
                                              {"w", 56},
                                              {"c", 64},
                                              {"k", 64},
                                              {"r", 3},
                                              {"s", 3},
                                              {"pad_top", 1},
                                              {"pad_left", 1},
                                              {"pad_bottom", 1},
                                              {"pad_right", 1}}},
                                            {"1x1", {{"h", 28}, {"w", 28}, {"c", 128}, {"k", 256}, {"r", 1}, {"s", 1}}},
                                            {"stem",
                                             {{"h", 224},
                                              {"w", 224},
                                              {"c", 3},
                                              {"k", 64},
                                              {"r", 7},
                                              {"s", 7},
                                              {"stride_h", 2},
                                              {"stride_w", 2},
                                              {"pad_top", 3},
                                              {"pad_left", 3},
                                              {"pad_bottom", 3},
                                              {"pad_right", 3}}},
                                            {"depthwise",
                                             {{"h", 56},
                                              {"w", 56},
                                              {"c", 96},
                                              {"k", 96},
                                              {"r", 3},
                                              {"s", 3},
                                              {"groups", 96},
                                              {"pad_top", 1},
                                              {"pad_left", 1},
                                              {"pad_bottom", 1},
                                              {"pad_right", 1}}}}) {
      NamedValues all = attributes;
      all.emplace_back("layout", std::string(layout));
      const Operator* op = *library_->FindOperator("conv2d");
      Result<Workload> workload = op->Normalise({"conv2d", all});
      ASSERT_TRUE(workload) << name << ": " << workload.error().message;
      workloads.push_back(*workload);
    }
  int templates = 0;
  for (const KernelTemplate* tmpl : library_->TemplatesOf("conv2d")) {
    if (tmpl->backend() != "cpu") continue;
    int loops = 0;
    for (const Workload& workload : workloads) {
      std::string what;
      const std::optional<HotLoop> loop = LoopOf(*tmpl, workload, what);
      if (!loop) continue;
      ++loops;
      EXPECT_GE(loop->multiply_adds, 3) << what << ": where is its loop?";
      EXPECT_THAT(loop->spills, IsEmpty()) << what << ": " << loop->instructions.size() << " instructions";
      RecordProperty(fmt::format("{}_{}", tmpl->name(), loops), loop->multiply_adds);
    }
    EXPECT_GT(loops, 0) << tmpl->name() << " applies to none of the workloads here: add one";
    ++templates;
  }
  EXPECT_GT(templates, 3);
}

TEST_F(Assembly, TheDefaultOfTheByteConvolutionIsDotProductsInRegisters) {
  Result<Toolchain> toolchain = ReadToolchainProfile("aarch64-dotprod");
  ASSERT_TRUE(toolchain) << toolchain.error().message;
  toolchain_ = std::move(*toolchain);
  const Operator* op = *library_->FindOperator("quantized_conv2d");
  Result<Workload> workload = op->Normalise({"quantized_conv2d", {{"h", 28}, {"w", 28}, {"c", 64}, {"k", 64}, {"r", 3}, {"s", 3}}});
  ASSERT_TRUE(workload) << workload.error().message;
  std::string what;
  const std::optional<HotLoop> loop = LoopOf(**library_->FindTemplate("quantized_conv2d/dot_cpu"), *workload, what);
  ASSERT_TRUE(loop);
  EXPECT_GE(loop->multiply_adds, 16) << what;
  EXPECT_THAT(loop->spills, IsEmpty()) << what;
  EXPECT_TRUE(std::any_of(loop->instructions.begin(), loop->instructions.end(), [](const std::string& line) {
    return line.find("sdot") != std::string::npos;
  })) << what;
}

// The test would find one: more sums than there are registers.
TEST_F(Assembly, ATileTooLargeSpills) {
  target_.limits["vector_registers"] = 64;
  const Operator* op = *library_->FindOperator("conv2d");
  Result<Workload> workload = op->Normalise({"conv2d", {{"h", 56}, {"w", 56}, {"c", 64}, {"k", 64}, {"r", 3}, {"s", 3}}});
  ASSERT_TRUE(workload);
  const KernelTemplate* tmpl = *library_->FindTemplate("conv2d/direct_cpu");
  Result<Space> space = tmpl->SpaceFor(*op, *workload, target_);
  ASSERT_TRUE(space);
  Config config = space->ConfigAt(*space->First());
  for (auto& [name, value] : config)
    for (const auto& [large, by] : {std::pair{"LANES", 4}, {"TILE_K", 4}, {"TILE_X", 14}})
      if (name == large) value = int64_t{by};
  Result<std::string> assembly = Compile({*workload, tmpl->name(), tmpl->hash(), config}, tmpl->Flags(target_.backend));
  ASSERT_TRUE(assembly) << assembly.error().message;
  EXPECT_FALSE(FindHotLoop(*assembly).spills.empty());
}

}  // namespace
}  // namespace lathe
