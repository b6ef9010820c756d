// "onnx" sections of manifests, on made-up operators: names, tables, cases, patterns behind a node, and mistakes.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "deploy/model_tasks.h"
#include "onnx_text.h"

namespace lathe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Mapping : public testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("mapping-test");
    ASSERT_TRUE(dir) << dir.error().message;
    dir_ = std::make_unique<TempDir>(*std::move(dir));
  }

  Result<ModelTasks> Read(const std::string& graph, const std::filesystem::path& templates = LATHE_SOURCE_DIR "/tests/deploy/templates") {
    Result<TemplateLibrary> library = TemplateLibrary::Load(templates);
    if (!library) return library.error();
    WriteModel(dir_->path() / "model.onnx", graph);
    return ReadModelTasks(dir_->path() / "model.onnx", *library);
  }

  // A library of one operator whose "onnx" section is `section`.
  Result<ModelTasks> ReadWithSection(const std::string& section) {
    const std::filesystem::path folder = dir_->path() / "templates" / "one";
    std::filesystem::create_directories(folder);
    const Status manifest = WriteFile(folder / "operator.json", R"({"operator": "one", "summary": "", "attributes": {"h": {"type": "int"}},
      "tensors": {"x": {"role": "in", "dtype": "f32", "shape": ["h"]}, "y": {"role": "out", "dtype": "f32", "shape": ["h"]}},
      "tolerance": {"f32": {"relative": 1}}, "onnx": )" + section + "}");
    const Status reference = WriteFile(folder / "reference.cpp", "void run(const float*, float*, const Context&) {}\n");
    if (!manifest || !reference) return manifest ? reference.error() : manifest.error();
    return Read("g (float[5] X) => (float[] Y) { Y = Relu (X) }", dir_->path() / "templates");
  }

  std::unique_ptr<TempDir> dir_;
};

std::vector<std::string> Keys(const ModelTasks& tasks) {
  std::vector<std::string> keys;
  for (const Task& task : tasks.tasks) keys.push_back(task.key);
  return keys;
}

TEST_F(Mapping, ReadsShapesAndAttributesByTheNamesOfTheRule) {
  auto tasks = Read(R"(g (float[1,3,20,30] X) => (float[] Y) { Y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (X) })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre("window:after=nothing,factor=1.0,h=20,kind=largest,r=3,stride=2,w=30"));
  EXPECT_THAT(tasks->tasks[0].nodes, ElementsAre("Y"));
}

TEST_F(Mapping, TakesTheFirstCaseThatHolds) {
  auto tasks = Read(R"(g (float[1,3,20,30] X) => (float[] Y) {
    A = MaxPool <kernel_shape = [3, 3], auto_pad = "VALID", storage_order = 1> (X)
    B = MaxPool <kernel_shape = [3, 3], storage_order = 1> (X)
    Y = Add (A, B)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre(HasSubstr("factor=0.5"), HasSubstr("factor=4.0")));
}

TEST_F(Mapping, KnowsOperatorsOfOtherDomains) {
  auto tasks = Read(
      R"(g (float[7,9] X) => (float[] Y) { Y = acme.Window <size = 3, mode = "avg"> (X) Z = acme.Window <size = 3, mode = "median"> (X) })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre(AllOf(HasSubstr("kind=mean"), HasSubstr("h=7"), HasSubstr("w=9"))));
  ASSERT_EQ(tasks->unknown.size(), 1u);
  EXPECT_EQ(tasks->unknown[0].name, "Z");
  EXPECT_EQ(tasks->unknown[0].op_type, "Window");
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("mode 'median' is not supported"));
}

TEST_F(Mapping, ReportsANodeThatTheOperatorRefusesWithTheReason) {
  auto tasks = Read(R"(g (float[1,3,20,30] X, float[1,3,20] S, float[] M) => (float[] Y) {
    A = MaxPool <kernel_shape = [3, 5]> (X)
    B = MaxPool <kernel_shape = [3]> (S)
    C = MaxPool <kernel_shape = [3, 3]> (M)
    D = MaxPool <strides = [1, 1]> (X)
    Y = Relu (X)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_TRUE(tasks->tasks.empty());
  ASSERT_EQ(tasks->unknown.size(), 4u);
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("the window is square"));
  EXPECT_THAT(tasks->unknown[1].reason, HasSubstr("only images"));
  EXPECT_THAT(tasks->unknown[3].reason, HasSubstr("no attribute 'kernel_shape'"));
}

TEST_F(Mapping, MergesEqualWorkloadsInOrderOfAppearance) {
  auto tasks = Read(R"(g (float[1,3,20,30] X) => (float[] Y) {
    A = MaxPool <kernel_shape = [5, 5]> (X)
    B = MaxPool <kernel_shape = [3, 3]> (X)
    C = MaxPool <kernel_shape = [5, 5]> (X)
    Y = Concat <axis = 1> (A, B, C)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 2u);
  EXPECT_EQ(tasks->tasks[0].count, 2);
  EXPECT_THAT(tasks->tasks[0].nodes, ElementsAre("A", "C"));
  EXPECT_EQ(tasks->tasks[1].count, 1);
  EXPECT_THAT(tasks->ignored, ElementsAre(std::pair<const std::string, int64_t>("Concat", 1)));
}

TEST_F(Mapping, FusesWhatFollowsWhenNobodyElseReadsIt) {
  auto tasks = Read(R"(g (float[1,3,20,30] X) => (float[] R, float[] H, float[] G) {
    Half = Constant <value = float {0.45}> ()
    A = MaxPool <kernel_shape = [3, 3]> (X)
    R = Relu (A)
    B = MaxPool <kernel_shape = [3, 3]> (X)
    H = Mul (Half, B)
    C = MaxPool <kernel_shape = [3, 3]> (X)
    S = Sigmoid (C)
    G = Mul (S, C)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre(HasSubstr("after=relu"), HasSubstr("after=halve,factor=0.45,"), HasSubstr("after=gate")));
  EXPECT_THAT(tasks->tasks[1].notes, ElementsAre("halved"));
  EXPECT_EQ(tasks->fused, 4);
  EXPECT_TRUE(tasks->ignored.empty());
  EXPECT_EQ(tasks->folded, 1);
}

TEST_F(Mapping, DoesNotFuseWhatSomebodyElseReads) {
  auto tasks = Read(R"(g (float[1,3,20,30] X) => (float[] R, float[] B, float[] G, float[] S) {
    A = MaxPool <kernel_shape = [3, 3]> (X)
    R = Relu (A)
    Q = Add (A, R)
    B = MaxPool <kernel_shape = [3, 3]> (X)
    T = Relu (B)
    C = MaxPool <kernel_shape = [3, 3]> (X)
    S = Sigmoid (C)
    G = Mul (S, C)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre(HasSubstr("after=nothing")));
  EXPECT_EQ(tasks->tasks[0].count, 3);
  EXPECT_EQ(tasks->fused, 0);
}

TEST_F(Mapping, LetsARepresentativeSizeStandForOneKnownOnlyAtRunTime) {
  auto tasks = Read(R"(g (float[n,8] X, float[m,c] U, float[6,4] V) => (float[] Y) {
    A = Softmax (X)
    B = Softmax (U)
    Mask = Greater (V, V)
    Cond = Cast <to = 9> (V)
    At = NonZero (Mask)
    Axis = Constant <value = int64[1] {0}> ()
    Row = Transpose (At)
    Rows = Cast <to = 1> (Row)
    Y = Softmax (Rows)
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre("rows:c=8,n=100", "rows:c=2,n=24"));
  ASSERT_EQ(tasks->tasks[0].notes.size(), 1u);
  EXPECT_THAT(tasks->tasks[0].notes[0], HasSubstr("n=100 stands for a size known only at run time"));
  EXPECT_THAT(tasks->tasks[1].notes[0], HasSubstr("n=24 is an upper bound of the number of elements that are not zero of 'At'"));
  ASSERT_EQ(tasks->unknown.size(), 1u);
  EXPECT_EQ(tasks->unknown[0].name, "B");
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("dimension 'c' of 'U' is open; give it with --shape c="));
}

TEST_F(Mapping, CountsNodesInBodiesAndSaysSo) {
  auto tasks = Read(R"(g (float[6,8] X, bool Big) => (float[] Y) {
    Y = If (Big) <
      then_branch = a () => (float[] A) { A = Softmax (X) },
      else_branch = b () => (float[] B) { B = Relu (X) }
    >
  })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->tasks.size(), 1u);
  EXPECT_THAT(tasks->tasks[0].notes, ElementsAre("in the then_branch of If 'Y'"));
}

TEST_F(Mapping, SpellsOutTheModelsOwnFunctions) {
  auto tasks = Read(R"(g (float[6,8] X) => (float[] Y) { A = acme.twice (X) Y = Relu (A) }
    <domain: "acme", opset_import: ["" : 16]>
    twice (v) => (w) { t = Softmax (v) w = Softmax (t) })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre("rows:c=8,n=6"));
  EXPECT_THAT(tasks->tasks[0].nodes, ElementsAre("A/t", "A/w"));
}

TEST_F(Mapping, ToldAsJsonReadsBackTheSame) {
  auto tasks = Read(
      R"(g (float[n,8] X, float[1,3,20,30] I) => (float[] Y) { A = Softmax (X) B = Softmax (X) Y = MaxPool <kernel_shape = [3, 3]> (I) })");
  ASSERT_TRUE(tasks) << tasks.error().message;
  Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/tests/deploy/templates");
  ASSERT_TRUE(library) << library.error().message;
  const auto file = dir_->path() / "workloads.json";
  ASSERT_TRUE(WriteFile(file, ToJson(*tasks).dump(2)));
  Result<ModelTasks> back = ReadTasks(file, *library);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(ToJson(*back)["tasks"], ToJson(*tasks)["tasks"]);

  ASSERT_TRUE(WriteFile(file, R"([{"operator": "rows", "workload": {"c": 3}}, {"operator": "rows", "workload": {"c": 3, "n": 100}}])"));
  back = ReadTasks(file, *library);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_THAT(Keys(*back), ElementsAre("rows:c=3,n=100"));
  EXPECT_EQ(back->tasks[0].count, 2);

  for (const auto& [text, complaint] :
       {std::pair{"[{\"operator\": \"rows\", \"workload\": {\"d\": 3}}]", "'d'"},
        std::pair{"[{\"operator\": \"columns\", \"workload\": {}}]", "columns"}, std::pair{"[{\"operator\": \"rows\"}]", "workload"},
        std::pair{"[{\"operator\": \"rows\", \"workload\": {\"c\": 3}, \"count\": 0}]", "count"}, std::pair{"{\"tasks\": 3}", "tasks"},
        std::pair{"[{", "line 1, column 3: found the end of the text where"}}) {
    ASSERT_TRUE(WriteFile(file, text));
    back = ReadTasks(file, *library);
    ASSERT_FALSE(back) << text;
    EXPECT_THAT(back.error().message, AllOf(HasSubstr("workloads.json"), HasSubstr(complaint)));
  }
}

TEST_F(Mapping, NamesFileAndKeyOfAMistakeInARule) {
  for (const auto& [section, complaint] : {
           std::pair{R"({"op": "Relu"})", "onnx: is a list of rules"},
           std::pair{R"([{"op": "Relu"}])", "onnx[0].attributes: is missing"},
           std::pair{R"([{"attributes": {}}])", "onnx[0].op: is missing"},
           std::pair{R"([{"op": "Relu", "attributes": {"v": 1}}])", "onnx[0].attributes.v: the operator has no such attribute"},
           std::pair{R"([{"op": "Relu", "attributes": {"h": "X.0 +"}}])", "onnx[0].attributes.h: expression 'X.0 +'"},
           std::pair{R"([{"op": "Relu", "attributes": {"h": {"was": 1}}}])", "onnx[0].attributes.h: is an expression"},
           std::pair{R"([{"op": "Relu", "inputs": ["X.1"], "attributes": {}}])", "onnx[0].inputs"},
           std::pair{R"([{"op": "Relu", "input": ["X"], "attributes": {}}])", "onnx[0].input: no such key"},
           std::pair{R"([{"op": "Relu", "defaults": {"axis": true}, "attributes": {}}])", "onnx[0].defaults.axis"},
           std::pair{R"([{"op": "Relu", "require": [{"require": "1"}], "attributes": {}}])", "onnx[0].require[0].why: is missing"},
           std::pair{R"([{"op": "Relu", "outputs": ["Y"], "attributes": {}, "fuse": [{"nodes": [{"op": "Relu"}]}]}])",
                     "onnx[0].fuse[0].nodes[0]"},
       }) {
    auto tasks = ReadWithSection(section);
    ASSERT_FALSE(tasks) << section;
    EXPECT_THAT(tasks.error().message, AllOf(HasSubstr("one/operator.json"), HasSubstr(complaint)));
  }
  auto tasks = ReadWithSection(R"([{"op": "Relu", "inputs": ["X"], "attributes": {"h": "X.0"}}])");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre("one:h=5"));
}

TEST_F(Mapping, AsksOnlyRulesForTheModelsOperatorSet) {
  auto tasks = ReadWithSection(R"([{"op": "Relu", "before": 11, "inputs": ["X"], "attributes": {"h": 1}},
                                   {"op": "Relu", "since": 16, "before": 17, "inputs": ["X"], "attributes": {"h": 2}}])");
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(Keys(*tasks), ElementsAre("one:h=2"));
  tasks = ReadWithSection(R"([{"op": "Relu", "since": 17, "inputs": ["X"], "attributes": {"h": 1}}])");
  ASSERT_TRUE(tasks) << tasks.error().message;
  ASSERT_EQ(tasks->unknown.size(), 1u);
  EXPECT_THAT(tasks->unknown[0].reason, HasSubstr("no operator has a rule for operator set 16"));
}

TEST_F(Mapping, ExplainsANameThatMeansNothing) {
  for (const auto& [expression, complaint] :
       {std::pair{"X.7", "no dimension 7"}, std::pair{"X.shape.is.Q", "no tensor 'Q'"}, std::pair{"X.width", "'X.width' means nothing"},
        std::pair{"axis", "no attribute 'axis'"}, std::pair{"X.value.0", "is not a constant"}, std::pair{"1/0", "1/0"},
        std::pair{"0.5", "no integer"}}) {
    auto tasks = ReadWithSection(std::string(R"([{"op": "Relu", "inputs": ["X"], "attributes": {"h": ")") + expression + "\"}}]");
    ASSERT_TRUE(tasks) << tasks.error().message;
    ASSERT_EQ(tasks->unknown.size(), 1u) << expression;
    EXPECT_THAT(tasks->unknown[0].reason, HasSubstr(complaint));
  }
}

TEST(ShapeOverrides, AreReadFromText) {
  auto shapes = ParseShapeOverrides({"frame=1x3x1080x1920", "batch=4", "a=b=7"});
  ASSERT_TRUE(shapes) << shapes.error().message;
  EXPECT_THAT((*shapes)["frame"], ElementsAre(1, 3, 1080, 1920));
  EXPECT_THAT((*shapes)["batch"], ElementsAre(4));
  EXPECT_THAT((*shapes)["a=b"], ElementsAre(7));
  for (const char* wrong : {"frame", "=3", "frame=", "frame=1x", "frame=1x-3", "frame=0", "frame=1,3", "frame=99999999999999999999"})
    EXPECT_FALSE(ParseShapeOverrides({wrong})) << wrong;
  EXPECT_FALSE(ParseShapeOverrides({"a=1", "a=2"}));
}

}  // namespace
}  // namespace lathe
