#include "measure/reference_cache.h"

#include <cstring>
#include <fstream>
#include <thread>

#include "fault_fixture.h"
#include "measure/reference_data.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

Workload FaultWorkload(int64_t n) { return FaultCandidate("ok", 0, n).workload; }

std::vector<float> Values(const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> Input(const ReferenceData& data, size_t tensor) {
  std::vector<float> values(static_cast<size_t>(data.tensors[tensor].elements()));
  EXPECT_TRUE(data.inputs.Read(values.data(), values.size() * sizeof(float), data.layout.offsets[tensor]));
  return values;
}

TEST(ReferenceCache, ComputesWhatTheReferenceSays) {
  const auto shop = MakeShop();
  const auto got = shop->references().Get(FaultWorkload(17));
  ASSERT_TRUE(got) << got.error().message;
  const ReferenceData& data = **got;
  EXPECT_EQ(data.dynamic, std::vector<int64_t>{2});
  const std::vector<float> input = Input(data, 0), weight = Input(data, 1), output = Values(data.expected[3]);
  ASSERT_EQ(output.size(), 34U);
  for (size_t i = 0; i < output.size(); ++i) EXPECT_FLOAT_EQ(output[i], 2 * input[i] + weight[i % 17]);
  EXPECT_GT(data.largest[3], 0);
  EXPECT_EQ(data.layout.offsets[2], kNoOffset) << "the bias is absent";
}

TEST(ReferenceCache, ComputesAWorkloadOnceForManyThreads) {
  const auto shop = MakeShop();
  std::vector<const ReferenceData*> got(6);
  std::vector<std::thread> threads;
  for (auto& place : got) threads.emplace_back([&] { place = shop->references().Get(FaultWorkload(100))->get(); });
  for (std::thread& thread : threads) thread.join();
  for (const ReferenceData* data : got) EXPECT_EQ(data, got[0]);
}

TEST(ReferenceCache, ForgetsTheLeastRecentlyUsedWhenFull) {
  WorkshopOptions options = TestOptions();
  options.reference_bytes = 30000;  // two of the workloads below
  const auto shop = MakeShop(options);
  const ReferenceData* first = shop->references().Get(FaultWorkload(100))->get();
  EXPECT_EQ(shop->references().Get(FaultWorkload(100))->get(), first);
  const auto held = *shop->references().Get(FaultWorkload(100));
  ASSERT_TRUE(shop->references().Get(FaultWorkload(1000)));
  ASSERT_TRUE(shop->references().Get(FaultWorkload(1001)));
  EXPECT_NE(shop->references().Get(FaultWorkload(100))->get(), first) << "computed anew; who held the old one still has it";
  EXPECT_EQ(held->dynamic, std::vector<int64_t>{2});
}

class BrokenReference : public testing::Test {
 protected:
  BrokenReference() : dir_(std::move(*TempDir::Create("reference-test"))) {
    fs::create_directories(dir_.path() / "broken");
    fs::copy(std::string(LATHE_SOURCE_DIR) + "/templates/prelude", dir_.path() / "prelude");
  }
  // An operator y = f(x) whose reference is `source`.
  Result<std::shared_ptr<const ReferenceData>> Get(const std::string& source, bool makes_inputs = false) {
    std::ofstream(dir_.path() / "broken/operator.json")
        << R"({"operator": "broken", "summary": "a test", "attributes": {"n": {"type": "int", "default": 4}},
               "tensors": {"x": {"role": "in", "dtype": "f32", "shape": ["n"]}, "y": {"role": "out", "dtype": "f32", "shape": ["n"]}},
               "tolerance": {"f32": {"relative": 1e-5}}, "make_inputs": )"
        << (makes_inputs ? "true" : "false") << "}";
    std::ofstream(dir_.path() / "broken/reference.cpp") << source;
    library_ = std::make_unique<Result<TemplateLibrary>>(TemplateLibrary::Load(dir_.path()));
    EXPECT_TRUE(*library_) << library_->error().message;
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&**library_, TestOptions());
    EXPECT_TRUE(shop) << shop.error().message;
    const Operator* op = *(*library_)->FindOperator("broken");
    return (*shop)->references().Get(*op->Normalise({"broken", {}}));
  }
  TempDir dir_;
  std::unique_ptr<Result<TemplateLibrary>> library_;
};

TEST_F(BrokenReference, ThatDoesNotCompileIsAnErrorWithTheReason) {
  const auto got = Get("void run(const float* x, float* y, const Context&) { y[0] = nonsense; }");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, testing::AllOf(testing::HasSubstr("reference of broken"), testing::HasSubstr("nonsense")));
}

TEST_F(BrokenReference, ThatCrashesIsAnErrorWithTheReason) {
  const auto got = Get("void run(const float* x, float* y, const Context&) { *(volatile int*)8 = 1; y[0] = x[0]; }");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, testing::HasSubstr("SIGSEGV"));
}

TEST_F(BrokenReference, ThatMakesItsInputsIsFedWithThem) {
  const auto got =
      Get("void run(const float* x, float* y, const Context&) { for (int i = 0; i < N; ++i) y[i] = x[i] + 1; }\n"
          "void make_inputs(float* x, uint64_t seed) { for (int i = 0; i < N; ++i) x[i] = 10 * i + (float)seed; }",
          true);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(Input(**got, 0), (std::vector<float>{1, 11, 21, 31}));
  EXPECT_EQ(Values((*got)->expected[1]), (std::vector<float>{2, 12, 22, 32}));
}

TEST(FillTensor, FollowsTheFillingAndTheSeed) {
  TensorShape tensor;
  tensor.dtype = DType::kU8;
  tensor.shape = {4000};
  tensor.filling = {3, 6, true};
  const std::vector<std::byte> bytes = FillTensor(tensor, 1);
  std::map<int, int> counts;
  for (const std::byte byte : bytes) ++counts[static_cast<int>(byte)];
  ASSERT_EQ(counts.size(), 4U);
  EXPECT_EQ(counts.begin()->first, 3);
  EXPECT_EQ(counts.rbegin()->first, 6);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 150) << value;
  EXPECT_EQ(FillTensor(tensor, 1), bytes);
  EXPECT_NE(FillTensor(tensor, 2), bytes);

  tensor.dtype = DType::kF32;
  tensor.filling = {-2, 5, false};
  for (const float value : Values(FillTensor(tensor, 1))) {
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 5);
  }
  tensor.filling = {0, 0, false};
  for (const float value : Values(FillTensor(tensor, 1))) ASSERT_EQ(value, 0);
}

}  // namespace
}  // namespace lathe
