// What a template author's slips are answered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "space/template_library.h"

namespace lathe {
namespace {

using ::testing::HasSubstr;

class Manifest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("manifest");
    ASSERT_TRUE(dir);
    dir_ = std::make_unique<TempDir>(std::move(*dir));
    std::filesystem::create_directories(dir_->path() / "scale");
    Write("operator.json", R"({"operator": "scale", "attributes": {"w": {"type": "int", "min": 1}}, "derived": {"half": "w // 2"},
                               "tensors": {"x": {"role": "in", "dtype": "f32", "shape": ["w"]},
                                           "y": {"role": "out", "dtype": "f32", "shape": ["w"]}}})");
    Write("reference.cpp", "");
    Write("plain_cpu.cpp", "");
  }

  void Write(const char* name, const std::string& text) { ASSERT_TRUE(WriteFile(dir_->path() / "scale" / name, text)); }
  // The message of a template with these parameters; empty when it is taken.
  std::string Refusal(const std::string& parameters) {
    Write("plain_cpu.json", R"({"template": "plain_cpu", "backend": "cpu", "source": "plain_cpu.cpp", "parameters": )" + parameters + "}");
    Result<TemplateLibrary> library = TemplateLibrary::Load(dir_->path());
    return library ? "" : library.error().message;
  }

  std::unique_ptr<TempDir> dir_;
};

TEST_F(Manifest, TakesAParameterOfItsOwnName) { EXPECT_EQ(Refusal(R"({"STEP": {"values": [1]}})"), ""); }

TEST_F(Manifest, RefusesAParameterThatWouldHideAnAttribute) {
  EXPECT_THAT(Refusal(R"({"W": {"values": [1]}})"), HasSubstr("'W' names an attribute"));
  EXPECT_THAT(Refusal(R"({"HALF": {"values": [1]}})"), HasSubstr("'HALF' names an attribute or derived value"));
}

TEST_F(Manifest, RefusesAKeyThatStandsTwice) {
  EXPECT_THAT(Refusal(R"({"STEP": {"values": [1]}, "STEP": {"values": [2]}})"), HasSubstr("key 'STEP' stands twice"));
  EXPECT_EQ(Refusal(R"({"STEP": {"values": [1]}, "WAY": {"values": [2]}})"), "") << "in two objects a key may stand";
}

TEST_F(Manifest, TakesAnEpilogueOfItsAttributesThatLeavesOldMeasurementsValid) {
  const auto with = [&](const char* epilogue) {
    Write("operator.json", std::string(R"({"operator": "scale", "attributes": {"w": {"type": "int", "min": 1}}, )") + epilogue +
                               R"("tensors": {"y": {"role": "out", "dtype": "f32", "shape": ["w"]}}})");
    return Operator::Load(dir_->path() / "scale");
  };
  const Result<Operator> plain = with(""), finished = with(R"("epilogue": ["w"], )"), wrong = with(R"("epilogue": ["bias"], )");
  ASSERT_TRUE(plain && finished);
  EXPECT_EQ(finished->epilogue(), std::vector<std::string>{"w"});
  EXPECT_EQ(finished->hash(), plain->hash());
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("'bias' is no attribute"));
}

TEST_F(Manifest, PutsWhatASourceIncludesIntoIt) {
  Write("part.h", "int part;\n");
  Write("plain_cpu.cpp", "#include \"part.h\"\nint whole;\n");
  ASSERT_EQ(Refusal("{}"), "");
  const auto loaded = [&] {
    Result<TemplateLibrary> library = TemplateLibrary::Load(dir_->path());
    EXPECT_TRUE(library);
    const KernelTemplate& tmpl = **library->FindTemplate("scale/plain_cpu");
    return std::pair(tmpl.source(), tmpl.hash());
  };
  const auto [source, hash] = loaded();
  EXPECT_THAT(source, HasSubstr("#line 1 \"part.h\"\nint part;\n\n#line 2 \"plain_cpu.cpp\"\nint whole;\n"));
  Write("part.h", "int other;\n");
  EXPECT_NE(loaded().second, hash) << "it counts for the version";
  Write("plain_cpu.cpp", "#include \"absent.h\"\n");
  EXPECT_THAT(Refusal("{}"), HasSubstr("include 'absent.h' in line 1 of 'plain_cpu.cpp'"));
}

// A log, or a board's agent, may be older than what templates ask for.
TEST_F(Manifest, NamesTheLimitThatATargetLacks) {
  Write("plain_cpu.json", R"({"template": "plain_cpu", "backend": "cpu", "source": "plain_cpu.cpp", "applies": "target.threads == 1",
                              "parameters": {"STEP": {"values": [1, 2, 4]}},
                              "constraints": [{"require": "STEP < 4", "why": ""}, {"require": "STEP <= target.lanes", "why": ""}]})");
  Result<TemplateLibrary> library = TemplateLibrary::Load(dir_->path());
  ASSERT_TRUE(library) << library.error().message;
  const Operator& op = **library->FindOperator("scale");
  const KernelTemplate& tmpl = **library->FindTemplate("scale/plain_cpu");
  const Workload workload = *op.Normalise({"scale", {{"w", int64_t{7}}}});
  Target target{"cpu", "old", "board", {{"threads", 1}, {"lanes", 1}}, {}};
  EXPECT_TRUE(*tmpl.Applies(op, workload, target));
  EXPECT_EQ(tmpl.SpaceFor(op, workload, target)->CountValid(), 1u);
  target.limits.erase("lanes");
  const Error space = tmpl.SpaceFor(op, workload, target).error();
  EXPECT_EQ(space.code, ErrorCode::kIncompatible);
  EXPECT_THAT(space.message, HasSubstr("it asks for 'target.lanes', which is not among the limits of target 'cpu/old/board/threads=1'"));
  target.limits.erase("threads");
  const Error applies = tmpl.Applies(op, workload, target).error();
  EXPECT_EQ(applies.code, ErrorCode::kIncompatible);
  EXPECT_THAT(applies.message, HasSubstr("'target.threads'"));
}

}  // namespace
}  // namespace lathe
