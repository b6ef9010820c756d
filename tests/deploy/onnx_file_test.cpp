// Files that are no models, or broken ones: an error that says so.
#include "deploy/onnx_file.h"

#include <gmock/gmock.h>

#include "onnx_text.h"

namespace lathe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class OnnxFile : public testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("onnx-file-test");
    ASSERT_TRUE(dir) << dir.error().message;
    dir_ = std::make_unique<TempDir>(*std::move(dir));
    path_ = dir_->path() / "model.onnx";
  }

  Result<graph::EvaluatedGraph> Read() {
    Result<graph::Model> model = graph::ReadOnnx(path_);
    if (!model) return model.error();
    return graph::Evaluate(*std::move(model), {});
  }

  void ExpectError(const std::string& content, const std::string& complaint) {
    ASSERT_TRUE(WriteFile(path_, content));
    auto model = Read();
    ASSERT_FALSE(model) << complaint;
    EXPECT_THAT(model.error().message, AllOf(HasSubstr("model.onnx"), HasSubstr(complaint)));
  }

  std::unique_ptr<TempDir> dir_;
  std::filesystem::path path_;
};

TEST_F(OnnxFile, SaysWhatIsWrongWithTheFile) {
  auto missing = Read();
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("No such file"));
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  std::filesystem::create_symlink(path_, path_);  // there, and nobody can open it
  auto endless = Read();
  ASSERT_FALSE(endless);
  EXPECT_THAT(endless.error().message, HasSubstr("symbolic links"));
  EXPECT_EQ(endless.error().code, ErrorCode::kUnavailable);
  std::filesystem::remove(path_);
  ExpectError("", "holds no graph");
  ExpectError("hello, this is not a model at all", "not an ONNX model");
  const auto whole = ReadFile(LATHE_SOURCE_DIR "/models/resnet50_224.onnx");
  ASSERT_TRUE(whole);
  ExpectError(whole->substr(0, whole->size() / 2), "not a whole one");
  ExpectError(whole->substr(0, whole->size() - 1), "not a whole one");
  path_ = dir_->path();
  auto folder = Read();
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("not a regular file"));
}

TEST_F(OnnxFile, RefusesOperatorSetsItDoesNotKnow) {
  for (const int64_t opset : {1, 6, 99}) {
    WriteModel(path_, "g (float[1] X) => (float[] Y) { Y = Relu (X) }", opset);
    auto model = Read();
    ASSERT_FALSE(model) << opset;
    EXPECT_THAT(model.error().message, AllOf(HasSubstr("operator set " + std::to_string(opset)), HasSubstr("7 to")));
  }
}

TEST_F(OnnxFile, RefusesGraphsThatCannotBeComputed) {
  for (const auto& [graph, complaint] :
       {std::pair{"g (float[1] X) => (float[] Y) { A = Add (X, B) B = Relu (A) Y = Relu (B) }", "cycle"},
        std::pair{"g (float[1] X) => (float[] Y) { Y = Relu (X) Y = Relu (X) }", "made twice"},
        std::pair{"g (float[1] X) => (float[] Y) { Y = Relu (Q) }", "reads 'Q', which nothing makes"},
        std::pair{"g (float[1] X) => (float[] Z) { Y = Relu (X) }", "output 'Z'"},
        std::pair{"g (float[1] X) => (float[] Y) { Y = acme.f (X) } <domain: \"acme\", opset_import: [\"\" "
                  ": 16, \"acme\" : 1]> f (a) => (b) { b = acme.f (a) }",
                  "deeper than"}}) {
    WriteModel(path_, graph);
    auto model = Read();
    ASSERT_FALSE(model) << graph;
    EXPECT_THAT(model.error().message, HasSubstr(complaint));
  }
}

TEST_F(OnnxFile, ReadsNodesThatStandInTheWrongOrder) {
  WriteModel(path_, "g (float[1,2,3] X) => (float[] Y) { Y = Relu (A) A = Transpose <perm = [2, 1, 0]> (X) }");
  auto model = Read();
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(ShapeOf(*model, "Y"), "3x2x1");
}

TEST_F(OnnxFile, NamesTheMissingFileOfASizeKeptOutside) {
  const std::string graph = "g (float[1,3,8,8] X) => (float[] Y) { R = Reshape (X, S) Y = Relu (R) }";
  WriteModel(path_, graph);
  AddExternalTensor(path_, "S", {{"location", "sizes.bin"}, {"offset", "8"}}, 2);
  auto model = Read();
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(ShapeOf(*model, "Y").find('8'), std::string::npos);
  EXPECT_THAT(WhyUnknown(*model, "Y"), AllOf(HasSubstr("'S'"), HasSubstr("sizes.bin")));

  std::string sizes(24, '\0');
  sizes[8] = 3;
  sizes[16] = 64;
  ASSERT_TRUE(WriteFile(dir_->path() / "sizes.bin", sizes));
  model = Read();
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(ShapeOf(*model, "Y"), "3x64");
}

TEST_F(OnnxFile, DoesNotFollowAModelOutOfItsFolder) {
  WriteModel(path_, "g (float[1,3,8,8] X) => (float[] Y) { Y = Reshape (X, S) }");
  AddExternalTensor(path_, "S", {{"location", "../../etc/passwd"}}, 2);
  auto model = Read();
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_THAT(WhyUnknown(*model, "Y"), HasSubstr("outside the model's folder"));
}

TEST_F(OnnxFile, LeavesABrokenNodeUnknownAndReadsTheRest) {
  WriteModel(path_, R"(g (float[1,3,8,8] X, float[4,3,3,3] W) => (float[] Y) {
    A = Conv <strides = [0, 0]> (X, W)
    B = Conv <group = "two"> (X, W)
    C = DepthToSpace <blocksize = 0> (X)
    D = Conv (X)
    E = Flatten <axis = 77> (X)
    F = Frobnicate (X)
    Y = Conv (X, W)
  })");
  auto model = Read();
  ASSERT_TRUE(model) << model.error().message;
  for (const char* broken : {"A", "B", "C", "D", "E", "F"}) {
    EXPECT_EQ(ShapeOf(*model, broken), "none") << broken;
    EXPECT_THAT(WhyUnknown(*model, broken), HasSubstr(std::string("'") + broken + "'"));
  }
  EXPECT_EQ(ShapeOf(*model, "Y"), "1x4x6x6");
}

}  // namespace
}  // namespace lathe
