// Generates a library out of made-up winners, builds it with a plain CMake, runs its own test, and links a program to the installed copy.
#include "deploy/kernel_library.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>

#include "core/file.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

const TemplateLibrary& Library() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  if (!library) ADD_FAILURE() << library.error().message;
  return library.value();
}

Target ThisTarget() {
  return {
      "cpu",
      "test",
      "test",
      {{"vector_bytes", 16}, {"vector_registers", 16}, {"threads", 1}, {"l1_bytes", 32768}, {"l2_bytes", 1 << 20}, {"l3_bytes", 1 << 24}},
      {{"flags", "-std=c++20 -O2"}}};
}

Workload Normalised(const std::string& text) {
  Result<Workload> workload = ParseWorkload(text);
  Result<const Operator*> op = Library().FindOperator(workload->operator_name);
  return *(*op)->Normalise(*workload);
}

// The first valid config of the first template that applies, as if it had won.
Winner FirstConfig(const Workload& workload) {
  const Operator& op = **Library().FindOperator(workload.operator_name);
  for (const KernelTemplate* tmpl : Library().TemplatesOf(op.name())) {
    if (!*tmpl->Applies(op, workload, ThisTarget())) continue;
    const Space space = *tmpl->SpaceFor(op, workload, ThisTarget());
    return {{workload, tmpl->name(), tmpl->hash(), space.ConfigAt(*space.First())}, 1e-4, 2e-4, ThisTarget(), "run", 1700000000000};
  }
  ADD_FAILURE() << "no template computes " << workload.Key();
  return {};
}

const char* const kConv = "conv2d:h=9,w=9,c=5,k=7,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1,bias=1,activation=relu";

LibraryPlan Plan() {
  const std::vector<WantedWorkload> wanted = {{Normalised(kConv), 2},
                                              {Normalised("conv2d:h=11,w=9,c=5,k=7,r=3,s=3,bias=1,activation=relu"), 1},
                                              {Normalised("resize:h=20,w=16,c=3,oh=9,ow=9"), 1},
                                              {Normalised("nms:n=200,max_out=50"), 1}};
  Result<LibraryPlan> plan =
      PlanLibrary(Library(), ThisTarget(), wanted, {FirstConfig(wanted[0].workload), FirstConfig(wanted[3].workload)});
  EXPECT_TRUE(plan) << (plan ? "" : plan.error().message);
  return *plan;
}

void Shell(const std::string& command) {
  Result<TempDir> dir = TempDir::Create("library-log");
  ASSERT_TRUE(dir);
  const std::string log = (dir->path() / "log").string();
  ASSERT_EQ(std::system(fmt::format("({}) > {} 2>&1", command, log).c_str()), 0) << command << '\n' << *ReadFile(log);
}

TEST(LibraryPlan, SaysExactNearestOrUntunedAndWhy) {
  const LibraryPlan plan = Plan();
  ASSERT_EQ(plan.kernels.size(), 4u);
  EXPECT_EQ(plan.kernels[0].match, Match::kExact);
  EXPECT_EQ(plan.kernels[1].match, Match::kNearest);
  EXPECT_NE(plan.kernels[1].reason.find(Normalised(kConv).Key()), std::string::npos);
  EXPECT_EQ(plan.kernels[2].match, Match::kUntuned);
  EXPECT_EQ(plan.kernels[2].candidate->config, FirstConfig(plan.kernels[2].workload).candidate.config);
  EXPECT_EQ(plan.kernels[2].reason, "no workload of 'resize' was tuned on this target; the first valid config of 'resize_cpu' stands in");
  EXPECT_EQ(plan.kernels[3].match, Match::kExact);
}

TEST(LibraryPlan, ANamedChoiceIsNeverBorrowedAcross) {
  const Workload nchw = Normalised(std::string(kConv) + ",layout=nchw");
  Result<LibraryPlan> plan = PlanLibrary(Library(), ThisTarget(), {{nchw, 1}}, {FirstConfig(Normalised(kConv))});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->kernels[0].match, Match::kUntuned);
  EXPECT_NE(plan->kernels[0].reason.find("layout=nhwc instead of nchw"), std::string::npos) << plan->kernels[0].reason;
}

// The same sums with another activation or without a bias, before another layer, and before the first valid config.
TEST(LibraryPlan, LendsAConfigToTheSameLayerWithAnotherEpilogue) {
  Winner same = FirstConfig(Normalised(kConv)), other = FirstConfig(Normalised("conv2d:h=7,w=7,c=5,k=7,r=3,s=3"));
  const KernelTemplate& tmpl = **Library().FindTemplate("conv2d/" + same.candidate.template_name);
  const Space space = *tmpl.SpaceFor(**Library().FindOperator("conv2d"), same.candidate.workload, ThisTarget());
  same.candidate.config = space.ConfigAt(space.Neighbours(*space.First()).front());
  const std::string plain = "conv2d:h=9,w=9,c=5,k=7,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1";
  for (const char* epilogue : {"", ",bias=1", ",activation=silu", ",bias=1,residual=1,activation=relu"}) {
    const Workload workload = Normalised(plain + epilogue);
    const Result<LibraryPlan> plan = PlanLibrary(Library(), ThisTarget(), {{workload}}, {other, same});
    ASSERT_TRUE(plan) << plan.error().message;
    const PlannedKernel& kernel = plan->kernels[0];
    EXPECT_EQ(kernel.match, Match::kNearest) << epilogue << kernel.reason;
    ASSERT_TRUE(kernel.candidate);
    EXPECT_EQ(kernel.candidate->workload, workload);
    EXPECT_EQ(kernel.candidate->config, same.candidate.config) << epilogue << kernel.reason;
  }
}

TEST(LibraryPlan, TakesNothingThatIsKnownToFail) {
  const Workload workload = Normalised("resize:h=20,w=16,c=3,oh=9,ow=9");
  const Winner lender = FirstConfig(Normalised("resize:h=20,w=16,c=3,oh=10,ow=9"));
  Candidate lent = lender.candidate;
  lent.workload = workload;
  const Winner first = FirstConfig(workload);
  Result<LibraryPlan> plan = PlanLibrary(Library(), ThisTarget(), {{workload, 1, {lent.Key(), first.candidate.Key()}}}, {lender});
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->kernels[0].match, Match::kFallback);
  EXPECT_FALSE(plan->kernels[0].candidate);
  EXPECT_NE(plan->kernels[0].reason.find("the portable fallback stands in"), std::string::npos) << plan->kernels[0].reason;
}

TEST(KernelLibrary, ComesOutTheSameBytesTwice) {
  Result<LibraryFiles> once = GenerateLibrary(Library(), Plan()), again = GenerateLibrary(Library(), Plan());
  ASSERT_TRUE(once) << once.error().message;
  EXPECT_EQ(*once, *again);
  const std::regex placeholder("@[A-Z_]+@");
  for (const auto& [name, text] : *once) EXPECT_FALSE(std::regex_search(text, placeholder)) << name;
}

TEST(KernelLibrary, RefusesADirectoryThatHoldsSomethingElse) {
  Result<TempDir> dir = TempDir::Create("library");
  ASSERT_TRUE(WriteFile(dir->path() / "precious.txt", "mine"));
  const Status written = WriteLibrary({{"a", "b"}}, dir->path());
  ASSERT_FALSE(written);
  EXPECT_EQ(*ReadFile(dir->path() / "precious.txt"), "mine");
}

TEST(KernelLibrary, ReplacesAnEarlierLibraryWhole) {
  Result<TempDir> dir = TempDir::Create("library");
  ASSERT_TRUE(WriteLibrary({{"src/old.cpp", "old"}, {"same", "same"}}, dir->path()));
  ASSERT_TRUE(WriteLibrary({{"src/new.cpp", "new"}, {"same", "same"}}, dir->path()));
  EXPECT_FALSE(fs::exists(dir->path() / "src/old.cpp"));
  EXPECT_EQ(*ReadFile(dir->path() / "src/new.cpp"), "new");
}

TEST(KernelLibrary, BuildsWithoutLathePassesItsOwnTestAndIsFoundByFindPackage) {
  Result<TempDir> dir = TempDir::Create("library");
  ASSERT_TRUE(dir);
  Result<LibraryFiles> files = GenerateLibrary(Library(), Plan());
  ASSERT_TRUE(files) << files.error().message;
  const std::string out = (dir->path() / "kernels").string(), app = (dir->path() / "app").string(),
                    prefix = (dir->path() / "prefix").string();
  ASSERT_TRUE(WriteLibrary(*files, out));
  Shell(fmt::format(
      "cmake -S {0} -B {0}/build && cmake --build {0}/build -j2 && {0}/build/kernels_test && cmake --install {0}/build --prefix {1}", out,
      prefix));

  fs::create_directories(app);
  ASSERT_TRUE(
      WriteFile(app + "/CMakeLists.txt",
                "cmake_minimum_required(VERSION 3.10)\nproject(app CXX)\nset(CMAKE_CXX_STANDARD 17)\nfind_package(lathe_kernels REQUIRED)\n"
                "add_executable(app app.cpp)\ntarget_link_libraries(app lathe_kernels::lathe_kernels)\n"));
  ASSERT_TRUE(WriteFile(app + "/app.cpp", R"(
#include <assert.h>
#include <string.h>
#include <lathe_kernels.hpp>
#undef NDEBUG
#include <assert.h>
int main() {
  lathe_conv2d_workload w = lathe_conv2d_defaults();
  w.h = w.w = 9, w.c = 5, w.k = 7, w.r = w.s = 3, w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = 1, w.bias = 1;
  w.activation = LATHE_CONV2D_ACTIVATION_RELU;
  float* in = (float*)lathe_alloc(4 * 2 * 9 * 9 * 5); float* out = (float*)lathe_alloc(4 * 2 * 9 * 9 * 7);
  float weight[7 * 9 * 5] = {}, bias[7] = {1, 2, 3, 4, 5, 6, -7};
  memset(in, 0, 4 * 2 * 9 * 9 * 5);
  lathe::Conv2d conv(w, weight, bias);
  assert(conv.match() == LATHE_MATCH_EXACT);
  conv.Run(in, nullptr, out);
  assert(out[0] == 1 && out[6] == 0);
  w.n = 2;  // only launch-time attributes differ: the same kernel, and it says so
  lathe::Conv2d twice(w, weight, bias);
  assert(twice.match() == LATHE_MATCH_NEAREST && strstr(twice.reason(), "n=1 instead of 2") != nullptr);
  w.h = 8;
  lathe::Conv2d other(w, weight, bias);
  assert(other.match() == LATHE_MATCH_FALLBACK);
  lathe_resize_workload r = lathe_resize_defaults();
  r.h = 20, r.w = 16, r.c = 3, r.oh = r.ow = 9;
  assert(lathe::Resize(r).match() == LATHE_MATCH_UNTUNED && strstr(lathe::Resize(r).reason(), "first valid config") != nullptr);
  r.n = 3;  // a kernel that is untuned for one image is not tuned for something near three
  assert(lathe::Resize(r).match() == LATHE_MATCH_UNTUNED && strstr(lathe::Resize(r).reason(), "n=1 instead of 3") != nullptr);
  assert(strstr(other.reason(), "n=1 instead of 2") != nullptr && strstr(other.reason(), "h=9 instead of 8") != nullptr);
  w.layout = LATHE_CONV2D_LAYOUT_NCHW;
  assert(strstr(lathe::Conv2d(w, weight, bias).reason(), "layout=nhwc instead of nchw") != nullptr);
  w.layout = LATHE_CONV2D_LAYOUT_NHWC;
  other.Run(in, nullptr, out);
  assert(out[1] == 2);
  w.residual = 1;
  float* more = (float*)lathe_alloc(4 * 2 * 8 * 9 * 7);
  for (int i = 0; i < 2 * 8 * 9 * 7; ++i) more[i] = i % 7 == 6 ? 10 : -i % 7;
  lathe::Conv2d added(w, weight, bias);
  added.Run(in, more, out);
  assert(out[0] == 1 && out[1] == 1 && out[6] == 3);
  try { added.Run(in, nullptr, out); assert(false); } catch (const lathe::KernelError& e) { assert(e.status() == LATHE_INVALID_ARGUMENT); }
  // Nothing is computed in place, wholly or in part; neighbours are no harm.
  float* both = (float*)lathe_alloc(2 * 4032);
  memcpy(both, more, 4032);
  for (float* output : {both, both + 992}) {
    try { added.Run(in, both, output); assert(false); } catch (const lathe::KernelError& e) {
      assert(e.status() == LATHE_INVALID_ARGUMENT && strstr(e.what(), "'residual' and 'output' share memory") != nullptr);
    }
  }
  added.Run(in, both, both + 1008);
  assert(memcmp(both + 1008, out, 4032) == 0);
  lathe_free(both);
  w.residual = 0;
  lathe_conv2d* none = nullptr;
  assert(lathe_conv2d_create(&w, weight, bias, LATHE_STRICT, &none) == LATHE_NOT_TUNED && none == nullptr && strstr(lathe_last_error(), "h=9 instead of 8") != nullptr);
  w.r = 99;
  assert(lathe_conv2d_create(&w, weight, bias, 0, &none) == LATHE_INVALID_ARGUMENT);
  w.r = 3;
  // What is missing, and what would be ignored, is named together with the workload and the attribute.
  const auto refused = [&](const float* given_weight, const float* given_bias, const char* says, const char* also) {
    assert(lathe_conv2d_create(&w, given_weight, given_bias, 0, &none) == LATHE_INVALID_ARGUMENT && none == nullptr);
    assert(strstr(lathe_last_error(), says) != nullptr && strstr(lathe_last_error(), also) != nullptr);
  };
  refused(nullptr, bias, "tensor 'weight' must not be null for conv2d:n=2,h=8", "activation=relu");
  refused(weight, nullptr, "tensor 'bias' must not be null for conv2d:n=2,h=8", "bias=1");
  w.bias = 0;
  refused(weight, bias, "tensor 'bias' was given, but it counts only with bias=1", "conv2d:n=2,h=8");
  w.bias = 1;
  try { conv.Run(in, more, out); assert(false); } catch (const lathe::KernelError& e) {
    assert(e.status() == LATHE_INVALID_ARGUMENT && strstr(e.what(), "tensor 'residual' was given, but it counts only with residual=1") != nullptr);
  }
  try { conv.Run(nullptr, nullptr, out); assert(false); } catch (const lathe::KernelError& e) {
    assert(strstr(e.what(), "tensor 'input' must not be null for conv2d:n=1,h=9") != nullptr);
  }
  lathe_free(more);
  assert(lathe_conv2d_create(nullptr, weight, bias, 0, &none) == LATHE_INVALID_ARGUMENT);
  try { conv.Run(in + 1, nullptr, out); assert(false); } catch (const lathe::KernelError& e) { assert(e.status() == LATHE_INVALID_ARGUMENT); }
  // Scratch memory grows with the boxes: tuned for 200, called with 3000, held against the fallback.
  lathe_nms_workload n = lathe_nms_defaults();
  n.n = 3000, n.max_out = 50;
  float* boxes = (float*)lathe_alloc(3000 * 16); float* scores = (float*)lathe_alloc(3000 * 4);
  int* keep[2]; int* kept[2];
  for (int i = 0; i < 3000; ++i) {
    boxes[4 * i] = i % 61, boxes[4 * i + 1] = i % 47, boxes[4 * i + 2] = i % 61 + 5 + i % 7, boxes[4 * i + 3] = i % 47 + 5 + i % 11;
    scores[i] = (float)((i * 7919) % 3001) / 3001;
  }
  for (int which = 0; which < 2; ++which) {
    keep[which] = (int*)lathe_alloc(50 * 4), kept[which] = (int*)lathe_alloc(4);
    lathe::Nms nms(n, which == 0 ? 0 : LATHE_FORCE_FALLBACK);
    assert(nms.match() == (which == 0 ? LATHE_MATCH_NEAREST : LATHE_MATCH_FALLBACK));
    nms.Run(boxes, scores, nullptr, keep[which], kept[which]);
  }
  assert(kept[0][0] == kept[1][0] && memcmp(keep[0], keep[1], 200) == 0);
  size_t count = 0;
  const lathe_kernel_info* table = lathe_kernels_table(&count);
  assert(count == 4 && table[0].seconds == 1e-4 && table[0].untuned_seconds == 2e-4);
  lathe_free(in), lathe_free(out);
}
)"));
  Shell(fmt::format("cmake -S {0} -B {0}/build -DCMAKE_PREFIX_PATH={1} && cmake --build {0}/build && {0}/build/app", app, prefix));

  // A program in C needs the language of the library enabled, and is told so.
  const std::string plain = (dir->path() / "plain").string();
  fs::create_directories(plain);
  ASSERT_TRUE(
      WriteFile(plain + "/plain.c",
                "#include <lathe_kernels.h>\nint main(void) {\n  lathe_free(lathe_alloc(64));\n  size_t count = 0;\n"
                "  lathe_kernels_table(&count);\n  lathe_threads_destroy(lathe_threads_create(2));\n  return count == 4 ? 0 : 1;\n}\n"));
  for (const char* languages : {"C", "C CXX"}) {
    ASSERT_TRUE(WriteFile(plain + "/CMakeLists.txt",
                          fmt::format("cmake_minimum_required(VERSION 3.10)\nproject(plain {})\nfind_package(lathe_kernels REQUIRED)\n"
                                      "add_executable(plain plain.c)\ntarget_link_libraries(plain lathe_kernels::lathe_kernels)\n",
                                      languages)));
    const std::string configure = fmt::format("cmake -S {0} -B {0}/build -DCMAKE_PREFIX_PATH={1}", plain, prefix);
    if (std::string(languages) == "C")
      Shell(fmt::format("! {} > {}/log 2>&1 && grep -q 'project(plain C CXX)' {}/log", configure, plain, plain));
    else
      Shell(fmt::format("{0} && cmake --build {1}/build && {1}/build/plain", configure, plain));
  }
}

}  // namespace
}  // namespace lathe
