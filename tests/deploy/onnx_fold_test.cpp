// Sizes that a graph computes are computed while its shapes are inferred.
#include <gmock/gmock.h>

#include "onnx_text.h"

namespace lathe {
namespace {

using testing::HasSubstr;

TEST(Folding, GivesAResizeTheSizesThatShapeSliceAndConcatMake) {
  auto graph = EvaluateText(R"(g (float[1,3,1080,1920] X) => (float[] Y) {
    S = Shape (X)
    Zero = Constant <value = int64[1] {0}> ()
    Two = Constant <value = int64[1] {2}> ()
    Head = Slice (S, Zero, Two)
    Size = Constant <value = int64[2] {640, 640}> ()
    All = Concat <axis = 0> (Head, Size)
    Y = Resize <mode = "linear"> (X, , , All)
    Z = Relu (Y)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ValueOf(*graph, "All"), "[1, 3, 640, 640]");
  EXPECT_EQ(ShapeOf(*graph, "Z"), "1x3x640x640");
}

// scale = 800/min(h, w), sizes floored: the way torchvision's detectors resize.
TEST(Folding, ComputesAScaleInFloatAsTheRuntimeDoes) {
  auto graph = EvaluateText(R"(g (float[1,3,1080,1920] X) => (float[] Y) {
    S = Shape (X)
    Two = Constant <value = int64[1] {2}> ()
    Four = Constant <value = int64[1] {4}> ()
    HW = Slice (S, Two, Four)
    Short = ReduceMin <keepdims = 0> (HW)
    ShortF = Cast <to = 1> (Short)
    Want = Constant <value = float {800.0}> ()
    Scale = Div (Want, ShortF)
    HWF = Cast <to = 1> (HW)
    Sizes = Mul (HWF, Scale)
    Floored = Floor (Sizes)
    HW2 = Cast <to = 7> (Floored)
    Zero = Constant <value = int64[1] {0}> ()
    Head = Slice (S, Zero, Two)
    All = Concat <axis = 0> (Head, HW2)
    Y = Resize <mode = "linear"> (X, , , All)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Y"), "1x3x800x1422");
}

TEST(Folding, KeepsKnownSizesBesideAnOpenOne) {
  auto graph = EvaluateText(R"(g (float[batch,3,32,48] X) => (float[] Y) {
    S = Shape (X)
    Zero = Constant <value = int64 {0}> ()
    Two = Constant <value = int64 {2}> ()
    Three = Constant <value = int64 {3}> ()
    N = Gather (S, Zero)
    H = Gather (S, Two)
    W = Gather (S, Three)
    HW = Mul (H, W)
    Axis = Constant <value = int64[1] {0}> ()
    N1 = Unsqueeze (N, Axis)
    HW1 = Unsqueeze (HW, Axis)
    C = Constant <value = int64[1] {3}> ()
    To = Concat <axis = 0> (N1, C, HW1)
    Flat = Reshape (X, To)
    Back = Transpose <perm = [0, 2, 1]> (Flat)
    Minus = Constant <value = int64[2] {-1, 1536}> ()
    Y = Reshape (Flat, Minus)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ValueOf(*graph, "To"), "[?, 3, 1536]");
  EXPECT_EQ(ShapeOf(*graph, "Back"), "?x1536x3");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "?x1536");
  EXPECT_THAT(WhyUnknown(*graph, "Back"), HasSubstr("dimension 'batch' of 'X' is open; give it with --shape batch="));
}

TEST(Folding, TakesANamedDimensionFromTheUser) {
  const std::string text = "g (float[batch,3,32,48] X) => (float[] Y) { Y = GlobalAveragePool (X) }";
  auto graph = EvaluateText(text, {{"batch", {4}}});
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Y"), "4x3x1x1");
  auto whole = EvaluateText(text, {{"X", {2, 3, 64, 64}}});
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(ShapeOf(*whole, "Y"), "2x3x1x1");
}

TEST(Folding, RefusesAShapeForNothingInTheGraph) {
  const std::string text = "g (float[1,3,32,48] X) => (float[] Y) { Y = Relu (X) }";
  auto graph = EvaluateText(text, {{"frame", {1, 3, 1, 1}}});
  ASSERT_FALSE(graph);
  EXPECT_THAT(graph.error().message, HasSubstr("'frame'"));
  EXPECT_THAT(graph.error().message, HasSubstr("'X'"));
  auto rank = EvaluateText(text, {{"X", {3, 32, 48}}});
  ASSERT_FALSE(rank);
  EXPECT_THAT(rank.error().message, HasSubstr("3 dimensions where the graph declares 4"));
}

TEST(Folding, ForgetsWhatTheExporterDeclaredOnceAnInputHasAnotherSize) {
  const std::string text = "g (float[1,3,32,48] X) => (float[1,3,32,48] Y) { M = Mystery (X) Y = Relu (M) }";
  auto trusting = EvaluateText(text);
  ASSERT_TRUE(trusting) << trusting.error().message;
  EXPECT_EQ(ShapeOf(*trusting, "Y"), "1x3x32x48");
  auto changed = EvaluateText(text, {{"X", {1, 3, 64, 96}}});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(ShapeOf(*changed, "Y"), "none");
  EXPECT_THAT(WhyUnknown(*changed, "Y"), HasSubstr("'M' (Mystery)"));
}

TEST(Folding, BoundsWhatSurvivesASuppression) {
  auto graph = EvaluateText(R"(g (float[1,1000,4] B, float[1,5,1000] S, float[1000,4] R) => (int64[] Y) {
    Most = Constant <value = int64[1] {100}> ()
    Kept = NonMaxSuppression (B, S, Most)
    Two = Constant <value = int64[1] {2}> ()
    Index = Gather <axis = 1> (Kept, Two)
    Axis = Constant <value = int64[1] {1}> ()
    Flat = Squeeze (Index, Axis)
    Y = Gather (R, Flat)
    All = Constant <value = int64[1] {0}> ()
    Fifty = Constant <value = int64[1] {50}> ()
    Top = Slice (Y, All, Fifty)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Kept"), "<=500x3");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "<=500x4");
  EXPECT_EQ(ShapeOf(*graph, "Top"), "<=50x4");
  EXPECT_THAT(WhyUnknown(*graph, "Y"), HasSubstr("the number of boxes that survive of 'Kept'"));
}

TEST(Folding, BoundsTopKByTheSmallerOfKAndAnOpenLength) {
  auto graph = EvaluateText(R"(g (float[n] X) => (float[] Y) {
    Length = Shape (X)
    Limit = Constant <value = int64[1] {300}> ()
    K = Min (Length, Limit)
    Y, I = TopK (X, K)
    Mask = Greater (Y, Y)
    At = NonZero (Mask)
    Two = Concat <axis = 1> (At, At)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Y"), "<=300");
  EXPECT_EQ(ShapeOf(*graph, "At"), "1x<=300");
  EXPECT_EQ(ShapeOf(*graph, "Two"), "1x<=600");
}

// What torchvision's box head does: threshold, pick, cut to the image.
TEST(Folding, CarriesABoundThroughComparisonsAndBroadcasts) {
  auto graph = EvaluateText(R"(g (float[200,4] B, float[200] S, int64[1] Somewhere) => (float[] Y) {
    Low = Constant <value = float {0.05}> ()
    Keep = GreaterOrEqual (S, Low)
    At = NonZero (Keep)
    Axis = Constant <value = int64[1] {0}> ()
    Index = Squeeze (At, Axis)
    Picked = Gather (B, Index)
    Shift = Constant <value = float[1,4] {1, 2, 3, 4}> ()
    Moved = Add (Picked, Shift)
    Again = Mul (Moved, Picked)
    Y = Unsqueeze (Again, Axis)
    Part = Slice (B, Somewhere, Somewhere, Axis)
    Free = Reshape (B, Four)
    Four = Cast <to = 7> (Any)
    Any = Slice (S, Axis, Three)
    Three = Constant <value = int64[1] {3}> ()
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Moved"), "<=200x4");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "1x<=200x4");
  EXPECT_EQ(ShapeOf(*graph, "Part"), "<=200x4");
  EXPECT_EQ(ShapeOf(*graph, "Free"), "?x?x?");
}

TEST(Folding, TakesTheBranchThatAConstantConditionChooses) {
  const std::string text = R"(g (float[1,3,8,8] X) => (float[] Y) {
    S = Shape (X)
    One = Constant <value = int64 {1}> ()
    C = Gather (S, One)
    Three = Constant <value = int64 {3}> ()
    Color = Equal (C, Three)
    Y = If (Color) <
      then_branch = a () => (float[] A) { A = GlobalAveragePool (X) },
      else_branch = b () => (float[] B) { B = Relu (X) }
    >
    Z = Relu (Y)
  })";
  auto graph = EvaluateText(text);
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Z"), "1x3x1x1");
  EXPECT_EQ(ShapeOf(*graph, "B"), "no such value");
  auto grey = EvaluateText(text, {{"X", {1, 1, 8, 8}}});
  ASSERT_TRUE(grey) << grey.error().message;
  EXPECT_EQ(ShapeOf(*grey, "Z"), "1x1x8x8");
}

TEST(Folding, WalksBothBranchesOfAnOpenCondition) {
  auto graph = EvaluateText(R"(g (float[1,3,8,8] X, bool Big) => (float[] Y) {
    Y = If (Big) <
      then_branch = a () => (float[] A) { A = GlobalAveragePool (X) },
      else_branch = b () => (float[] B) { B = Relu (X) }
    >
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "A"), "1x3x1x1");
  EXPECT_EQ(ShapeOf(*graph, "B"), "1x3x8x8");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "1x3x?x?");
}

TEST(Folding, SeesTheNodesInALoopsBody) {
  auto graph = EvaluateText(R"(g (float[1,3,8,8] X, int64 M, bool Go) => (float[] Y) {
    Y = Loop (M, Go, X) <body = b (int64 i, bool c, float[1,3,8,8] v) => (bool c2, float[] w) {
      c2 = Identity (c)
      inside = GlobalAveragePool (X)
      w = Relu (v)
    }>
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "inside"), "1x3x1x1");
  EXPECT_EQ(ShapeOf(*graph, "w"), "1x3x8x8");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "none");
}

TEST(Folding, ReadsOperatorsThatChangedAfterLibonnxWasReleased) {
  auto graph = EvaluateText(R"(g (float[1,3,20,40] X) => (float[] Y) {
    Axes = Constant <value = int64[2] {2, 3}> ()
    Mean = ReduceMean <keepdims = 0> (X, Axes)
    Sizes = Constant <value = int64[2] {10, 10}> ()
    Y = Resize <axes = [2, 3], keep_aspect_ratio_policy = "not_larger"> (X, , , Sizes)
    A, B = Split <axis = 3, num_outputs = 2> (X)
    G = Gelu (A)
  })",
                            {}, 20);
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ShapeOf(*graph, "Mean"), "1x3");
  EXPECT_EQ(ShapeOf(*graph, "Y"), "1x3x5x10");
  EXPECT_EQ(ShapeOf(*graph, "G"), "1x3x20x20");
}

TEST(Folding, DoesNotDivideByZeroOrWrapAround) {
  auto graph = EvaluateText(R"(g (float[1] X) => (float[] Y) {
    Big = Constant <value = int64[2] {9223372036854775807, 4}> ()
    Zero = Constant <value = int64[2] {0, 2}> ()
    Quotient = Div (Big, Zero)
    Rest = Mod (Big, Zero)
    Sum = Add (Big, Big)
    Y = Relu (X)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ValueOf(*graph, "Quotient"), "[?, 2]");
  EXPECT_EQ(ValueOf(*graph, "Rest"), "[?, 0]");
  EXPECT_EQ(ValueOf(*graph, "Sum"), "[?, 8]");
}

TEST(Folding, MovesElementsAsTheOperatorsDo) {
  auto graph = EvaluateText(R"(g (float[1] X) => (float[] Y) {
    A = Constant <value = int64[2,3] {1, 2, 3, 4, 5, 6}> ()
    T = Transpose (A)
    From = Constant <value = int64[1] {-1}> ()
    To = Constant <value = int64[1] {-9}> ()
    Axis = Constant <value = int64[1] {1}> ()
    Back = Constant <value = int64[1] {-2}> ()
    Reversed = Slice (A, From, To, Axis, Back)
    Times = Constant <value = int64[2] {1, 2}> ()
    Tiled = Tile (A, Times)
    Two = Constant <value = int64[2] {0, -1}> ()
    Picked = Gather <axis = 1> (A, Two)
    Left, Right = Split <axis = 1> (Tiled)
    Row = Constant <value = int64[3] {10, 20, 30}> ()
    Sum = Add (A, Row)
    Total = ReduceSum <keepdims = 0> (Sum)
    Odd = Mod (A, Back)
    Chosen = Where (Small, A, Sum)
    Four = Constant <value = int64 {4}> ()
    Small = Less (A, Four)
    Start = Constant <value = int64 {7}> ()
    End = Constant <value = int64 {0}> ()
    Step = Constant <value = int64 {-3}> ()
    Down = Range (Start, End, Step)
    Y = Relu (X)
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(ValueOf(*graph, "T"), "[1, 4, 2, 5, 3, 6]");
  EXPECT_EQ(ValueOf(*graph, "Reversed"), "[3, 1, 6, 4]");
  EXPECT_EQ(ValueOf(*graph, "Tiled"), "[1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]");
  EXPECT_EQ(ValueOf(*graph, "Picked"), "[1, 3, 4, 6]");
  EXPECT_EQ(ValueOf(*graph, "Right"), "[1, 2, 3, 4, 5, 6]");
  EXPECT_EQ(ValueOf(*graph, "Sum"), "[11, 22, 33, 14, 25, 36]");
  EXPECT_EQ(ValueOf(*graph, "Total"), "[141]");
  EXPECT_EQ(ValueOf(*graph, "Odd"), "[-1, 0, -1, 0, -1, 0]");  // the divisor's sign
  EXPECT_EQ(ValueOf(*graph, "Chosen"), "[1, 2, 3, 14, 25, 36]");
  EXPECT_EQ(ValueOf(*graph, "Down"), "[7, 4, 1]");
}

}  // namespace
}  // namespace lathe
