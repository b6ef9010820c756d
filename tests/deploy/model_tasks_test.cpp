// What the four graphs in models/ consist of, by the real operators' manifests.
#include "deploy/model_tasks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "onnx_text.h"

namespace lathe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const TemplateLibrary& Library() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  if (!library) throw std::runtime_error(library.error().message);
  return *library;
}

ModelTasks Read(const std::string& model, const ShapeOverrides& overrides = {}) {
  Result<ModelTasks> tasks = ReadModelTasks(std::string(LATHE_SOURCE_DIR "/models/") + model, Library(), overrides);
  if (!tasks) throw std::runtime_error(tasks.error().message);
  return *std::move(tasks);
}

struct Count {
  int64_t nodes = 0, distinct = 0;
  friend bool operator==(const Count&, const Count&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Count& count) {
    return out << count.nodes << " nodes, " << count.distinct << " distinct";
  }
};

std::map<std::string, Count> CountByOperator(const ModelTasks& tasks) {
  std::map<std::string, Count> counts;
  for (const Task& task : tasks.tasks) {
    counts[task.workload.operator_name].nodes += task.count;
    ++counts[task.workload.operator_name].distinct;
    EXPECT_EQ(task.count, static_cast<int64_t>(task.nodes.size()));
    EXPECT_EQ(task.key, task.workload.Key());
  }
  return counts;
}

int64_t Int(const Task& task, const std::string& name) { return std::get<int64_t>(*Find(task.workload.attributes, name)); }

// "c h w -> k rxs/stride groups activation", and + where a residual is added before it
std::string Layer(const Task& task) {
  return fmt::format("{}@{}x{}-{} {}x{}/{} g{} {}{}", Int(task, "c"), Int(task, "h"), Int(task, "w"), Int(task, "k"), Int(task, "r"),
                     Int(task, "s"), Int(task, "stride_h"), Int(task, "groups"),
                     std::get<std::string>(*Find(task.workload.attributes, "activation")), Int(task, "residual") != 0 ? "+" : "");
}

std::map<std::string, int64_t> Convolutions(const ModelTasks& tasks) {
  std::map<std::string, int64_t> layers;
  for (const Task& task : tasks.tasks)
    if (task.workload.operator_name == "conv2d") layers[Layer(task)] += task.count;
  return layers;
}

// Two convolutions are one task when every attribute agrees: shape, stride, padding, dilation, groups, bias, and the residual and the
// activation that are fused. Of the four 64-256 at 56x56 three end a block, and one is the first block's shortcut.
TEST(ModelTasks, FindsThe24ConvolutionsOfResNet50) {
  const ModelTasks tasks = Read("resnet50_224.onnx");
  EXPECT_THAT(tasks.unknown, IsEmpty());
  EXPECT_THAT(CountByOperator(tasks), ElementsAre(std::pair<const std::string, Count>("conv2d", {53, 24})));
  EXPECT_EQ(tasks.fused, 65);  // 49 rectifiers and the 16 additions of the shortcuts
  EXPECT_FALSE(tasks.ignored.contains("Relu") || tasks.ignored.contains("Add"));
  const std::map<std::string, int64_t> expected = {
      {"3@224x224-64 7x7/2 g1 relu", 1},    {"64@56x56-64 1x1/1 g1 relu", 1},    {"64@56x56-64 3x3/1 g1 relu", 3},
      {"64@56x56-256 1x1/1 g1 relu+", 3},   {"64@56x56-256 1x1/1 g1 none", 1},   {"256@56x56-64 1x1/1 g1 relu", 2},
      {"256@56x56-128 1x1/1 g1 relu", 1},   {"128@56x56-128 3x3/2 g1 relu", 1},  {"128@28x28-512 1x1/1 g1 relu+", 4},
      {"256@56x56-512 1x1/2 g1 none", 1},   {"512@28x28-128 1x1/1 g1 relu", 3},  {"128@28x28-128 3x3/1 g1 relu", 3},
      {"512@28x28-256 1x1/1 g1 relu", 1},   {"256@28x28-256 3x3/2 g1 relu", 1},  {"256@14x14-1024 1x1/1 g1 relu+", 6},
      {"512@28x28-1024 1x1/2 g1 none", 1},  {"1024@14x14-256 1x1/1 g1 relu", 5}, {"256@14x14-256 3x3/1 g1 relu", 5},
      {"1024@14x14-512 1x1/1 g1 relu", 1},  {"512@14x14-512 3x3/2 g1 relu", 1},  {"512@7x7-2048 1x1/1 g1 relu+", 3},
      {"1024@14x14-2048 1x1/2 g1 none", 1}, {"2048@7x7-512 1x1/1 g1 relu", 2},   {"512@7x7-512 3x3/1 g1 relu", 2},
  };
  EXPECT_EQ(Convolutions(tasks), expected);
}

TEST(ModelTasks, FindsTheDepthwiseConvolutionsOfMobileNetV2) {
  const ModelTasks tasks = Read("mobilenet_v2_224.onnx");
  EXPECT_THAT(tasks.unknown, IsEmpty());
  EXPECT_THAT(CountByOperator(tasks), ElementsAre(std::pair<const std::string, Count>("conv2d", {52, 30})));
  EXPECT_EQ(tasks.fused, 45);  // 35 activations, 10 additions
  std::map<std::string, int64_t> depthwise;
  for (const auto& [layer, count] : Convolutions(tasks))
    if (layer.find(" g1 ") == std::string::npos) depthwise[layer] = count;
  const std::map<std::string, int64_t> expected = {
      {"32@112x112-32 3x3/1 g32 relu6", 1},  {"96@112x112-96 3x3/2 g96 relu6", 1},  {"144@56x56-144 3x3/1 g144 relu6", 1},
      {"144@56x56-144 3x3/2 g144 relu6", 1}, {"192@28x28-192 3x3/1 g192 relu6", 2}, {"192@28x28-192 3x3/2 g192 relu6", 1},
      {"384@14x14-384 3x3/1 g384 relu6", 4}, {"576@14x14-576 3x3/1 g576 relu6", 2}, {"576@14x14-576 3x3/2 g576 relu6", 1},
      {"960@7x7-960 3x3/1 g960 relu6", 3},
  };
  EXPECT_EQ(depthwise, expected);
}

TEST(ModelTasks, FindsEveryNodeOfTheOneStageDetector) {
  const ModelTasks tasks = Read("yolo_small_1080p.onnx");
  EXPECT_THAT(tasks.unknown, IsEmpty());
  EXPECT_THAT(CountByOperator(tasks),
              ElementsAre(std::pair<const std::string, Count>("conv2d", {58, 33}), std::pair<const std::string, Count>("nms", {1, 1}),
                          std::pair<const std::string, Count>("resize", {3, 3})));
  EXPECT_EQ(tasks.fused, 110);  // a Sigmoid and a Mul behind each of 55
  const auto layers = Convolutions(tasks);
  EXPECT_EQ(layers.at("3@640x640-32 6x6/2 g1 silu"), 1);
  EXPECT_EQ(layers.at("256@80x80-255 1x1/1 g1 none"), 1);
  EXPECT_EQ(layers.at("128@40x40-128 3x3/1 g1 silu"), 4);
  const Task& nms = tasks.tasks.back();
  EXPECT_EQ(nms.workload.operator_name, "nms");
  EXPECT_EQ(Int(nms, "n"), 8400);
  EXPECT_EQ(ToString(*Find(nms.workload.attributes, "iou_threshold")), "0.45");
}

TEST(ModelTasks, FindsAllFourOperatorsInFasterRcnn) {
  const ModelTasks tasks = Read("fasterrcnn_r50fpn_1080p.onnx");
  EXPECT_THAT(tasks.unknown, IsEmpty());
  EXPECT_THAT(CountByOperator(tasks),
              ElementsAre(std::pair<const std::string, Count>("conv2d", {76, 46}), std::pair<const std::string, Count>("nms", {1, 1}),
                          std::pair<const std::string, Count>("resize", {4, 4}), std::pair<const std::string, Count>("roi_align", {4, 4})));
  const auto layers = Convolutions(tasks);
  for (const char* pyramid : {"200x336", "100x168", "50x84", "25x42", "13x21"})
    EXPECT_EQ(layers.at(fmt::format("256@{}-12 1x1/1 g1 none", pyramid)), 1);
  EXPECT_EQ(layers.at("256@200x336-256 1x1/1 g1 none+"), 1);  // a lateral one of the pyramid: the coarser level is added
  std::set<int64_t> heights;
  for (const Task& task : tasks.tasks)
    if (task.workload.operator_name == "roi_align") heights.insert(Int(task, "h"));
  EXPECT_THAT(heights, ElementsAre(25, 50, 100, 200));
}

TEST(ModelTasks, TakesAnotherFrameSizeFromTheUser) {
  const ModelTasks tasks = Read("yolo_small_1080p.onnx", {{"frame", {1, 3, 720, 1280}}});
  EXPECT_THAT(tasks.unknown, IsEmpty());
  ASSERT_EQ(tasks.tasks[0].workload.operator_name, "resize");
  EXPECT_EQ(Int(tasks.tasks[0], "h"), 720);
  EXPECT_EQ(Int(tasks.tasks[0], "oh"), 640);
}

TEST(ModelTasks, TellsThemAsJson) {
  const nlohmann::json json = ToJson(Read("resnet50_224.onnx"));
  ASSERT_EQ(json["tasks"].size(), 24u);
  const nlohmann::json& first = json["tasks"][0];
  EXPECT_EQ(first["operator"], "conv2d");
  EXPECT_EQ(first["workload"]["stride_h"], 2);
  EXPECT_EQ(first["count"], 1);
  EXPECT_THAT(first["key"].get<std::string>(), HasSubstr("conv2d:activation=relu"));
  EXPECT_EQ(first["nodes"].size(), 1u);
  EXPECT_EQ(json["unknown"].size(), 0u);
}

class WithModel : public testing::Test {
 protected:
  Result<ModelTasks> ReadText(const std::string& graph, int64_t opset = 16) {
    Result<TempDir> dir = TempDir::Create("model-tasks-test");
    if (!dir) return dir.error();
    WriteModel(dir->path() / "model.onnx", graph, opset);
    return ReadTasks(dir->path() / "model.onnx", Library());
  }
};
using Conv = WithModel;

TEST_F(Conv, TurnsAutomaticPaddingIntoNumbers) {
  auto tasks = ReadText(R"(g (float[1,3,224,225] X, float[8,3,3,3] W) => (float[] Y) {
    A = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (X, W)
    B = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (X, W)
    C = Conv <auto_pad = "VALID"> (X, W)
    Y = Conv <pads = [1, 2, 3, 4]> (X, W)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 4u);
  std::vector<std::vector<int64_t>> pads;
  for (const Task& task : tasks->tasks)
    pads.push_back({Int(task, "pad_top"), Int(task, "pad_left"), Int(task, "pad_bottom"), Int(task, "pad_right")});
  EXPECT_THAT(pads, ElementsAre(ElementsAre(0, 1, 1, 1), ElementsAre(1, 1, 0, 1), ElementsAre(0, 0, 0, 0), ElementsAre(1, 2, 3, 4)));
}

TEST_F(Conv, SaysThatABatchNormalisationMustBeFolded) {
  auto tasks = ReadText(R"(g (float[1,3,8,8] X, float[4,3,3,3] W, float[4] s, float[4] b, float[4] m, float[4] v) => (float[] Y) {
    A = Conv (X, W)
    N = BatchNormalization (A, s, b, m, v)
    Y = Relu (N)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 1u);
  EXPECT_EQ(Int(tasks->tasks[0], "bias"), 1);
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("activation=relu"));
  EXPECT_THAT(tasks->tasks[0].notes, ElementsAre(HasSubstr("batch normalisation")));
  EXPECT_EQ(tasks->fused, 2);
}

TEST_F(Conv, TakesAnAddedConstantForItsBias) {
  auto tasks = ReadText(R"(g (float[1,3,8,8] X, float[4,3,3,3] W, float[1,4,1,1] Late) => (float[] Y)
    <float[1,4,1,1] b = {1, 2, 3, 4}, float[1,1,1,4] row = {1, 2, 3, 4}> {
    A = Conv (X, W)
    Y = Add (b, A)
    C = Conv (X, W)
    Z = Add (C, Late)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 2u);
  EXPECT_EQ(Int(tasks->tasks[0], "bias"), 1);
  EXPECT_EQ(Int(tasks->tasks[1], "bias"), 0);
}

// "conv2d:activation=relu,…,residual=1" -> "relu+": what is fused behind a convolution, + for a residual.
std::vector<std::string> Fused(const ModelTasks& tasks) {
  std::vector<std::string> all;
  for (const Task& task : tasks.tasks)
    for (int64_t i = 0; i < task.count; ++i)
      all.push_back(std::get<std::string>(*Find(task.workload.attributes, "activation")) + (Int(task, "residual") != 0 ? "+" : ""));
  return all;
}

TEST_F(Conv, TakesWhatIsAddedToItForItsResidual) {
  auto tasks = ReadText(R"(g (float[n,3,8,8] X, float[4,3,1,1] W, float[n,4,8,8] R) => (float[] Y, float[] Z) {
    A = Conv (X, W)
    B = Add (R, A)
    Y = Relu (B)
    C = Conv (X, W)
    Z = Add (C, R)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Fused(*tasks), ElementsAre("relu+", "none+"));
  EXPECT_THAT(tasks->tasks[0].notes, testing::Contains(HasSubstr("residual")));
  EXPECT_EQ(tasks->fused, 3);
  EXPECT_THAT(tasks->ignored, IsEmpty());
}

TEST_F(Conv, AddsTheResidualBehindBiasAndBatchNormalisation) {
  auto tasks = ReadText(R"(g (float[1,3,8,8] X, float[4,3,1,1] W, float[1,4,8,8] R, float[4] s) => (float[] Y)
    <float[1,4,1,1] b = {1, 2, 3, 4}> {
    A = Conv (X, W)
    B = Add (A, b)
    C = Add (B, R)
    D = Conv (X, W)
    E = BatchNormalization (D, s, s, s, s)
    F = Add (R, E)
    Y = Concat <axis = 1> (C, F)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Fused(*tasks), ElementsAre("none+", "none+"));
  EXPECT_EQ(Int(tasks->tasks[0], "bias"), 1);
  EXPECT_EQ(tasks->fused, 4);
}

TEST_F(Conv, GivesASumOfTwoConvolutionsToTheFirst) {
  auto tasks = ReadText(R"(g (float[1,3,8,8] X, float[4,3,1,1] W) => (float[] Y) {
    A = Conv (X, W)
    B = Conv (X, W)
    S = Add (A, B)
    Y = Relu (S)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Fused(*tasks), ElementsAre("relu+", "none"));
  EXPECT_EQ(tasks->fused, 2);
}

TEST_F(Conv, LeavesASumAloneWhereItIsNoResidual) {
  auto tasks = ReadText(R"(g (float[1,3,8,8] X, float[4,3,1,1] W, float[1,4,8,8] R, float[1,4,1,1] P) => (float[] Y)
    <float[1,4,8,1] grid = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}> {
    Read = Conv (X, W)
    Elsewhere = Sigmoid (Read)
    ReadSum = Add (Read, R)
    Shortcut = Conv (X, W)
    Gate = Sigmoid (Shortcut)
    Silu = Mul (Shortcut, Gate)
    SiluSum = Add (Silu, R)
    Broadcast = Conv (X, W)
    BroadcastSum = Add (Broadcast, P)
    Known = Conv (X, W)
    KnownSum = Add (Known, grid)
    Self = Conv (X, W)
    SelfSum = Add (Self, Self)
    Y = Sum (Elsewhere, ReadSum, SiluSum, BroadcastSum, KnownSum, SelfSum)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Fused(*tasks), ElementsAre("none", "none", "none", "none", "silu"));
  EXPECT_EQ(tasks->fused, 2);
  EXPECT_EQ(tasks->ignored.at("Add"), 5);
}

TEST_F(Conv, RefusesWhatTheOperatorCannotExpress) {
  auto tasks = ReadText(
      R"(g (float[1,3,8] X, float[4,3,3] W, float[1,3,8,8] I, float[4,2,3,3] V, bfloat16[1,3,8,8] H, bfloat16[4,3,3,3] U) => (float[] Y) {
    A = Conv (X, W)
    B = Conv (I, V)
    Y = Conv (H, U)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->unknown.size(), 3u);
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("two dimensions"));
  EXPECT_THAT(tasks->unknown[1].reason, HasSubstr("as many channels"));
  EXPECT_THAT(tasks->unknown[2].reason, HasSubstr("X.dtype 'bf16' is not supported"));
}

using QuantizedConv = WithModel;

TEST_F(QuantizedConv, TakesZeroPointsFromTheGraphAndRefusesAsymmetricWeights) {
  auto tasks = ReadText(
      R"(g (uint8[1,3,8,8] X, int8[4,3,3,3] W) => (uint8[] A, uint8[] B)
    <float xs = {0.5}, uint8 xz = {128}, float ws = {0.25}, int8 wz = {0}, int8 off = {1}, float ys = {2}, uint8 yz = {7}> {
    A = QLinearConv <pads = [1, 1, 1, 1], strides = [2, 2]> (X, xs, xz, W, ws, wz, ys, yz)
    B = QLinearConv (X, xs, xz, W, ws, off, ys, yz)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 1u);
  EXPECT_EQ(tasks->tasks[0].workload.operator_name, "quantized_conv2d");
  EXPECT_EQ(Int(tasks->tasks[0], "input_zero_point"), 128);
  EXPECT_EQ(Int(tasks->tasks[0], "output_zero_point"), 7);
  EXPECT_EQ(Int(tasks->tasks[0], "stride_w"), 2);
  ASSERT_EQ(tasks->unknown.size(), 1u);
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("zero point is one 0"));
}

using Resize = WithModel;

TEST_F(Resize, KeepsAScaleOnlyWhereItIsNotTheQuotientOfTheSizes) {
  auto tasks = ReadText(R"(g (float[1,3,10,10] X) => (float[] Y) <float[4] twice = {1, 1, 2, 2}, float[4] odd = {1, 1, 1.25, 1.5}> {
    A = Resize <mode = "linear", nearest_mode = "floor"> (X, , twice)
    B = Resize <mode = "linear"> (X, , odd)
    Y = Resize <mode = "lanczos"> (X, , twice)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 2u);
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("nearest_mode=round_prefer_floor,oh=20,ow=20,scale_h=0.0,scale_w=0.0"));
  EXPECT_THAT(tasks->tasks[1].key, HasSubstr("oh=12,ow=15,scale_h=1.25,scale_w=0.0"));
  ASSERT_EQ(tasks->unknown.size(), 1u);
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("mode 'lanczos' is not supported"));
}

TEST_F(Resize, ReadsTheOldFormAsAsymmetric) {
  auto tasks = ReadText("g (float[1,3,10,10] X) => (float[] Y) <float[4] twice = {1, 1, 2, 2}> { Y = Resize (X, twice) }", 10);
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 1u) << tasks->unknown[0].reason;
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("coordinate_mode=asymmetric"));
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("mode=nearest"));
}

using Nms = WithModel;

TEST_F(Nms, TakesAnOpenNumberOfBoxesFromTheManifest) {
  auto tasks = ReadText(R"(g (float[1,n,4] B, float[1,80,n] S) => (int64[] Y)
    <int64[1] most = {100}, float[1] iou = {0.6}, float[1] score = {0.25}> { Y = NonMaxSuppression (B, S, most, iou, score) })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 1u) << tasks->unknown[0].reason;
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("classes=80,dtype=f32,iou_threshold=0.6,max_out=100"));
  EXPECT_THAT(tasks->tasks[0].key, HasSubstr("score_threshold=0.25"));
  EXPECT_THAT(tasks->tasks[0].notes, ElementsAre(HasSubstr("stands for a size known only at run time")));
}

}  // namespace
}  // namespace lathe
