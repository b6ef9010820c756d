#include "codegen/candidate_source.h"

#include <gtest/gtest.h>

#include "codegen/fallback_source.h"
#include "core/file.h"
#include "tests/templates/loaded_kernel.h"

namespace lathe {
namespace {

// An operator with everything codegen must carry: choices, a derived value, an optional tensor, a dynamic attribute, packing, a real
// number.
constexpr const char* kOperator = R"text({
  "operator": "scale",
  "attributes": {
    "n": {"type": "int", "dynamic": true, "tuned_at": [4]},
    "w": {"type": "int", "min": 1}, "factor": {"type": "float", "default": 0.5},
    "bias": {"type": "bool", "default": false}, "order": {"choices": ["forward", "backward"], "default": "forward"}},
  "derived": {"half": "w/2", "rest": "w // 2"},
  "valid": [{"require": "w <= 64", "why": "rows are short"}],
  "tensors": {
    "x": {"role": "in", "dtype": "f32", "shape": ["n", "w"]},
    "gain": {"role": "constant", "dtype": "f32", "shape": ["w"]},
    "shift": {"role": "constant", "dtype": "f32", "shape": ["w"], "when": "bias"},
    "y": {"role": "out", "dtype": "f32", "shape": ["n", "w"]}},
  "tolerance": {"f32": {"relative": 1e-6}}})text";

constexpr const char* kReference =
    R"text(void run(const float* x, const float* gain, const float* shift, float* y, int64_t n, const Context& context) {
  context.Parallel(static_cast<int>(n), [&](int row) {
    for (int i = 0; i < W; ++i) {
      const int at = ORDER == ORDER_FORWARD ? i : W - 1 - i;
      y[row * W + i] = (float)(x[row * W + at] * gain[i] * FACTOR + HALF + REST + (shift ? shift[i] : 0));
    }
  });
})text";

constexpr const char* kTemplate = R"text({
  "template": "packed_cpu", "backend": "cpu", "source": "packed_cpu.cpp",
  "parameters": {"STEP": {"values": [1, 2, 4]}, "WAY": {"values": ["up", "down"]}},
  "packed": {"gain": {"shape": ["align(w, STEP)"]}}, "workspace": "w*4"})text";

constexpr const char* kKernel = R"text(void prepare(const float* gain, const float* shift, float* gain_packed) {
  for (int i = 0; i < CeilDiv(W, STEP) * STEP; ++i) gain_packed[i] = i < W ? gain[i] * (float)FACTOR : 0;
}
int run(const float* x, const float* gain, const float* shift, float* y, int64_t n, const Context& context) {
  float* row = static_cast<float*>(context.workspace());
  for (int64_t r = 0; r < n; ++r) {
    for (int i = 0; i < W; ++i) row[i] = x[r * W + (ORDER == ORDER_FORWARD ? i : W - 1 - i)];
    for (int k = 0; k < W; ++k) {
      const int i = WAY == WAY_UP ? k : W - 1 - k;
      y[r * W + i] = row[i] * gain[i] + (float)HALF + REST + (shift ? shift[i] : 0);
    }
  }
  return n > 1000 ? 7 : 0;
})text";

class CandidateSource : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("codegen");
    ASSERT_TRUE(dir);
    dir_ = std::make_unique<TempDir>(std::move(*dir));
    std::filesystem::create_directories(dir_->path() / "scale");
    std::filesystem::create_directory_symlink(LATHE_SOURCE_DIR "/templates/prelude", dir_->path() / "prelude");
    Write("operator.json", kOperator);
    Write("reference.cpp", kReference);
    Write("packed_cpu.json", kTemplate);
    Write("packed_cpu.cpp", kKernel);
  }

  void Write(const char* name, const std::string& text) { ASSERT_TRUE(WriteFile(dir_->path() / "scale" / name, text)); }
  TemplateLibrary Library() {
    Result<TemplateLibrary> library = TemplateLibrary::Load(dir_->path());
    EXPECT_TRUE(library) << (library ? "" : library.error().message);
    return *std::move(library);
  }

  std::unique_ptr<TempDir> dir_;
  const Target target_{"cpu", "test", "test", {{"threads", 1}}, {}};
};

std::vector<float> Floats(const testing::Tensor& tensor) {
  std::vector<float> values(tensor.size() / 4);
  std::memcpy(values.data(), tensor.data(), tensor.size());
  return values;
}

TEST_F(CandidateSource, ComputesWhatTheReferenceDoes) {
  const TemplateLibrary library = Library();
  const Operator& op = *library.operators().front();
  for (const char* text : {"scale:w=5,n=3", "scale:w=7,n=2,bias=1,order=backward,factor=0.25"}) {
    const Workload workload = *op.Normalise(*ParseWorkload(text));
    const std::vector<TensorShape> shapes = *op.Tensors(workload);
    Result<testing::LoadedKernel> reference = testing::LoadedKernel::Build(*ReferenceSource(library, workload));
    ASSERT_TRUE(reference) << reference.error().message;
    const std::vector<int64_t> dynamic = testing::DynamicValues(op, workload);
    const std::vector<testing::Tensor> inputs = testing::MakeTensors(op, shapes, *reference, dynamic, 1);
    std::vector<testing::Tensor> expected = inputs;
    ASSERT_EQ(reference->Run(expected, dynamic, 0, 2), 0);

    for (const char* config : {"STEP=1,WAY=up", "STEP=4,WAY=down"}) {
      const Candidate candidate{workload, "packed_cpu", "", *ParseNamedValues(config)};
      Result<std::string> source = lathe::CandidateSource(library, candidate, target_);
      ASSERT_TRUE(source) << source.error().message;
      Result<testing::LoadedKernel> kernel = testing::LoadedKernel::Build(*source);
      ASSERT_TRUE(kernel) << kernel.error().message;
      const KernelTemplate& tmpl = **library.FindTemplate("packed_cpu");
      std::vector<testing::Tensor> packed(4);
      packed[1].assign((*tmpl.PackedTensors(op, candidate, target_))[1].bytes(), 0);
      kernel->Prepare(inputs, packed);
      std::vector<testing::Tensor> tensors = inputs;
      tensors[1] = packed[1];
      EXPECT_EQ(kernel->Run(tensors, dynamic, *tmpl.WorkspaceBytes(op, candidate, target_)), 0);
      EXPECT_EQ(testing::Disagreement(shapes[3], expected[3], tensors[3]), "") << text << ' ' << config;
    }
  }
}

TEST_F(CandidateSource, SaysWhatTheKernelRefused) {
  const TemplateLibrary library = Library();
  const Operator& op = *library.operators().front();
  const Workload workload = *op.Normalise(*ParseWorkload("scale:w=1,n=1001"));
  const Candidate candidate{workload, "packed_cpu", "", *ParseNamedValues("STEP=1,WAY=up")};
  Result<testing::LoadedKernel> kernel = testing::LoadedKernel::Build(*lathe::CandidateSource(library, candidate, target_));
  ASSERT_TRUE(kernel) << kernel.error().message;
  std::vector<testing::Tensor> tensors(4, testing::Tensor(4004));
  EXPECT_EQ(kernel->Run(tensors, {1001}, 64), 7);
}

TEST_F(CandidateSource, IsTheSameTextEachTimeAndDiffersByConfig) {
  const TemplateLibrary library = Library();
  const Workload workload = *library.operators().front()->Normalise(*ParseWorkload("scale:w=5"));
  const Candidate one{workload, "packed_cpu", "", *ParseNamedValues("STEP=1,WAY=up")};
  const Candidate other{workload, "packed_cpu", "", *ParseNamedValues("STEP=2,WAY=up")};
  EXPECT_EQ(*lathe::CandidateSource(library, one, target_), *lathe::CandidateSource(library, one, target_));
  EXPECT_NE(*lathe::CandidateSource(library, one, target_), *lathe::CandidateSource(library, other, target_));
}

TEST_F(CandidateSource, AnUnknownTemplateIsNamed) {
  const TemplateLibrary library = Library();
  const Workload workload = *library.operators().front()->Normalise(*ParseWorkload("scale:w=5"));
  Result<std::string> source = lathe::CandidateSource(library, {workload, "nonesuch", "", {}}, target_);
  ASSERT_FALSE(source);
  EXPECT_NE(source.error().message.find("nonesuch"), std::string::npos);
}

TEST_F(CandidateSource, TheFallbackReadsItsAttributesAtRunTimeOnEveryThread) {
  const TemplateLibrary library = Library();
  const Operator& op = *library.operators().front();
  // The header a kernel library would write, and a lathe_run that fixes one workload.
  std::string facts = "#include <stdint.h>\n" + *FactsStruct(op, "t");
  ASSERT_TRUE(WriteFile(dir_->path() / "facts.h", facts));
  Result<std::string> source = FallbackSource(library, op, {}, "t", (dir_->path() / "facts.h").string(), "plain_");
  ASSERT_TRUE(source) << source.error().message;
  const Workload workload = *op.Normalise(*ParseWorkload("scale:w=5,n=6,bias=1,order=backward"));
  const std::string fixed = *source + kExpressionHelpers + *FactsFunctions(op, "t") +
                            "extern \"C\" int lathe_run(const lathe_call* call) {\n"
                            "  t_scale_facts facts = {6, 5, 0.5, 1, 2, 0, 0};\n"
                            "  if (t_scale_bad_attribute(&facts)) return 1;\n  t_scale_derive(&facts);\n"
                            "  if (t_scale_broken_rule(&facts)) return 2;\n  return plain_run(&facts, call);\n}\n";
  Result<testing::LoadedKernel> fallback = testing::LoadedKernel::Build(fixed);
  ASSERT_TRUE(fallback) << fallback.error().message;
  Result<testing::LoadedKernel> reference = testing::LoadedKernel::Build(*ReferenceSource(library, workload));
  ASSERT_TRUE(reference) << reference.error().message;
  const std::vector<TensorShape> shapes = *op.Tensors(workload);
  const std::vector<testing::Tensor> inputs = testing::MakeTensors(op, shapes, *reference, {6}, 3);
  std::vector<testing::Tensor> expected = inputs, actual = inputs;
  ASSERT_EQ(reference->Run(expected, {6}), 0);
  ASSERT_EQ(fallback->Run(actual, {6}, 0, 3), 0);
  EXPECT_EQ(Floats(expected[3]), Floats(actual[3]));
}

}  // namespace
}  // namespace lathe
