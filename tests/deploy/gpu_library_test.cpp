// Kernel libraries for GPU targets: generated, built with a plain CMake, and run; OpenCL where there is a device, CUDA on a driver of our
// own making.
#include "deploy/gpu_library.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "codegen/candidate_source.h"
#include "core/file.h"

namespace lathe {
namespace {

// With a template that packs, has a workspace and passes, and ones of the product.
const TemplateLibrary& Packing() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/tests/measure/templates");
  return library.value();
}
const TemplateLibrary& Product() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  return library.value();
}

Target Gpu(const std::string& backend) {
  return {backend,
          "test",
          "test",
          {{"max_work_group", 64},
           {"max_work_group_z", 64},
           {"max_groups_yz", 65535},
           {"local_bytes", 16384},
           {"local_bytes_asked", 16384},
           {"max_buffer_bytes", 268435456},
           {"images", 0},
           {"max_image_width", 0},
           {"max_image_height", 0},
           {"registers_per_group", 32768},
           {"registers_per_item", 255},
           {"compute_units", 2},
           {"subgroup", 1},
           {"vector_bytes", 16},
           {"fp16", 0},
           {"dp4a", 0},
           {"tensor_cores", 0},
           {"async_copy", 0},
           {"compute_capability", 53}},
          {}};
}

Workload Normalised(const TemplateLibrary& library, const std::string& text) {
  Result<Workload> workload = ParseWorkload(text);
  return *(*library.FindOperator(workload->operator_name))->Normalise(*workload);
}

// Of workloads that nobody tuned.
LibraryPlan Untuned(const TemplateLibrary& library, const Target& target, const std::vector<std::string>& workloads) {
  std::vector<WantedWorkload> wanted;
  for (const std::string& text : workloads) wanted.push_back({Normalised(library, text)});
  Result<LibraryPlan> plan = PlanLibrary(library, target, wanted, {});
  EXPECT_TRUE(plan) << (plan ? "" : plan.error().message);
  return *plan;
}

LibraryPlan PackingPlan(const std::string& backend) {
  LibraryPlan plan{Gpu(backend), {{Normalised(Packing(), "fault:n=1000"), 1, Match::kExact, "tuned", {}, {}}}};
  const KernelTemplate& tmpl = **Packing().FindTemplate("fault/packed_gpu");
  plan.kernels[0].candidate = Candidate{plan.kernels[0].workload,
                                        tmpl.name(),
                                        tmpl.hash(),
                                        {{"BEHAVIOUR", std::string("ok")}, {"PASSES", int64_t{3}}, {"GROUP", int64_t{16}}}};
  return plan;
}

ProgramOf SourceOf(const TemplateLibrary& library, const Target& target) {
  return [&library, target](const Candidate& candidate) -> Result<GpuProgram> {
    Result<std::string> source = CandidateSource(library, candidate, target);
    if (!source) return source.error();
    return GpuProgram{*source};
  };
}

// The exit status; what was printed goes to `output`.
int Shell(const std::string& command, const std::filesystem::path& output) {
  const int status = std::system(("(" + command + ") > '" + output.string() + "' 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(GpuLibrary, ComesOutTheSameBytesTwice) {
  for (const char* backend : {"opencl", "cuda"}) {
    const LibraryPlan plan = PackingPlan(backend);
    const auto once = GenerateGpuLibrary(Packing(), plan, SourceOf(Packing(), plan.target));
    const auto again = GenerateGpuLibrary(Packing(), plan, SourceOf(Packing(), plan.target));
    ASSERT_TRUE(once) << once.error().message;
    EXPECT_EQ(*once, *again);
    const std::regex placeholder("@[A-Z_]+@");
    for (const auto& [name, text] : *once) EXPECT_FALSE(std::regex_search(text, placeholder)) << name;
  }
}

TEST(GpuLibrary, TakesTheFirstConfigWhereNothingWasTunedAndSaysSo) {
  const LibraryPlan plan = Untuned(Product(), Gpu("opencl"), {"resize:c=3,h=17,w=23,oh=9,ow=31"});
  EXPECT_EQ(plan.kernels[0].match, Match::kUntuned);
  const auto files = GenerateGpuLibrary(Product(), plan, SourceOf(Product(), plan.target));
  ASSERT_TRUE(files) << files.error().message;
  for (const char* name : {"report.json", "README.md", "src/gpu_table.cpp"}) {
    EXPECT_THAT(files->at(name), testing::HasSubstr("the first valid config of 'resize_gpu' stands in")) << name;
    EXPECT_THAT(files->at(name), testing::HasSubstr("untuned")) << name;
  }
  EXPECT_THAT(files->at("src/gpu_table.cpp"), testing::HasSubstr("const size_t lathe_gpu_count = 1;"));
}

TEST(GpuLibrary, LeavesOutWhatATargetOfAnOlderLogCannotTellAboutAndBuildsTheRest) {
  Target older = Gpu("opencl");
  older.limits.erase("max_groups_yz");
  const LibraryPlan plan = Untuned(Product(), older, {"nms:n=200,max_out=50", "roi_align:r=5,c=3,h=9,w=11"});
  EXPECT_EQ(plan.kernels[0].match, Match::kNone);
  const auto files = GenerateGpuLibrary(Product(), plan, SourceOf(Product(), plan.target));
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_THAT(files->at("report.json"), testing::HasSubstr("template 'nms_gpu'"));
  EXPECT_THAT(files->at("report.json"), testing::HasSubstr(": left out"));
  EXPECT_THAT(files->at("report.json"), testing::HasSubstr("'target.max_groups_yz'"));
  EXPECT_THAT(files->at("src/gpu_table.cpp"), testing::HasSubstr("const size_t lathe_gpu_count = 1;"));
}

TEST(GpuLibrary, TakesTheNextTemplateWhereOneAsksForALimitThatTheTargetLacks) {
  Result<TempDir> dir = TempDir::Create("gpu-library");
  ASSERT_TRUE(dir);
  std::filesystem::create_directories(dir->path() / "scale");
  const auto write = [&](const std::string& name, const std::string& text) { ASSERT_TRUE(WriteFile(dir->path() / "scale" / name, text)); };
  write("operator.json", R"({"operator": "scale", "attributes": {"w": {"type": "int", "min": 1}},
                             "tensors": {"x": {"role": "in", "dtype": "f32", "shape": ["w"]},
                                         "y": {"role": "out", "dtype": "f32", "shape": ["w"]}}})");
  write("reference.cpp", "");
  for (const auto& [name, limit] : {std::pair("first_gpu", "target.newer"), {"second_gpu", "1"}}) {
    write(std::string(name) + ".cl", "");
    write(std::string(name) + ".json", fmt::format(R"({{"template": "{0}", "backend": "gpu", "source": "{0}.cl",
                                                       "parameters": {{"STEP": {{"values": [1]}}}},
                                                       "constraints": [{{"require": "STEP <= {1}", "why": ""}}],
                                                       "launch": [{{"kernel": "k", "global": ["w"], "local": ["1"]}}]}})",
                                                   name, limit));
  }
  const Result<TemplateLibrary> library = TemplateLibrary::Load(dir->path());
  ASSERT_TRUE(library) << library.error().message;
  Target target = Gpu("opencl");
  const Workload workload = Normalised(*library, "scale:w=5");
  EXPECT_EQ((*FirstCandidate(*library, workload, target))->template_name, "second_gpu");
  target.limits["newer"] = 2;
  EXPECT_EQ((*FirstCandidate(*library, workload, target))->template_name, "first_gpu");
}

TEST(GpuLibrary, BuildsWithoutLatheAndAgreesWithItsReferenceOnOpenCl) {
  Result<TempDir> dir = TempDir::Create("gpu-library");
  ASSERT_TRUE(dir);
  for (const bool packing : {true, false}) {
    const TemplateLibrary& library = packing ? Packing() : Product();
    const LibraryPlan plan =
        packing ? PackingPlan("opencl")
                : Untuned(Product(), Gpu("opencl"), {"resize:c=3,h=17,w=23,oh=9,ow=31", "resize:c=4,h=16,w=20,oh=8,ow=10,dtype=f32"});
    const auto files = GenerateGpuLibrary(library, plan, SourceOf(library, plan.target));
    ASSERT_TRUE(files) << files.error().message;
    const std::filesystem::path out = dir->path() / (packing ? "packing" : "product"), log = dir->path() / "log";
    ASSERT_TRUE(WriteLibrary(*files, out));
    ASSERT_EQ(Shell(fmt::format("cmake -S {0} -B {0}/build && cmake --build {0}/build -j2", out.string()), log), 0) << *ReadFile(log);
    // Twice: the second time the programs come from the cache.
    for (int run = 0; run < 2; ++run) {
      const int status = Shell(fmt::format("cd {} && build/gpu_test", out.string()), log);
      if (status == 77) GTEST_SKIP() << *ReadFile(log);
      EXPECT_EQ(status, 0) << *ReadFile(log);
    }
    bool cached = false;
    for (const auto& entry : std::filesystem::directory_iterator(out)) cached |= entry.path().extension() == ".bin";
    EXPECT_TRUE(cached);
  }
}

constexpr const char* kFindingProgram = R"(
#include <cstring>
#include "lathe_gpu_kernels.h"
int main() {
  if (lathe_gpu_find("resize:oh=9") < 0 || lathe_gpu_find("resize:oh=9") != lathe_gpu_find("resize:w=23,h=17")) return 1;
  if (lathe_gpu_find("resize:h=17,oh=8") >= 0 || lathe_gpu_find("size:oh=9") >= 0 || lathe_gpu_find("resize:oh=99") >= 0) return 2;
  if (lathe_gpu_find("resize:h=17,oh=99") >= 0 || std::strstr(lathe_gpu_last_error(), "does not have oh=99: resize:") == nullptr) return 4;
  if (lathe_gpu_find("resize:n=1") >= 0 || std::strstr(lathe_gpu_last_error(), "may be") == nullptr) return 3;
  return 0;
}
)";
constexpr const char* kFindingProject = R"(
cmake_minimum_required(VERSION 3.10)
project(finding CXX)
find_package(lathe_gpu_kernels REQUIRED)
add_executable(finding finding.cpp)
target_link_libraries(finding lathe_gpu_kernels::lathe_gpu_kernels)
)";

TEST(GpuLibrary, IsFoundWhereItWasInstalledAndFindsAKernelByWhatMakesItUnlikeTheOthers) {
  Result<TempDir> dir = TempDir::Create("gpu-library");
  ASSERT_TRUE(dir);
  const LibraryPlan plan = Untuned(Product(), Gpu("opencl"), {"resize:c=3,h=17,w=23,oh=9,ow=31", "resize:c=4,h=16,w=20,oh=8,ow=10"});
  const auto files = GenerateGpuLibrary(Product(), plan, SourceOf(Product(), plan.target));
  ASSERT_TRUE(files) << files.error().message;
  const std::string place = dir->path().string();
  ASSERT_TRUE(WriteLibrary(*files, dir->path() / "kernels"));
  std::filesystem::create_directory(dir->path() / "finding");
  ASSERT_TRUE(WriteFile(dir->path() / "finding/finding.cpp", kFindingProgram));
  ASSERT_TRUE(WriteFile(dir->path() / "finding/CMakeLists.txt", kFindingProject));
  const std::filesystem::path log = dir->path() / "log";
  ASSERT_EQ(Shell(fmt::format(
                      "cd {} && cmake -S kernels -B build && cmake --build build --target lathe_gpu_kernels && "
                      "cmake --install build --prefix installed && cmake -S finding -B finding/build -DCMAKE_PREFIX_PATH=$PWD/installed && "
                      "cmake --build finding/build",
                      place),
                  log),
            0)
      << *ReadFile(log);
  EXPECT_EQ(Shell(place + "/finding/build/finding", log), 0) << *ReadFile(log);

  // A project in C is told what it lacks.
  std::filesystem::create_directory(dir->path() / "plain");
  ASSERT_TRUE(WriteFile(dir->path() / "plain/CMakeLists.txt",
                        "cmake_minimum_required(VERSION 3.10)\nproject(plain C)\nfind_package(lathe_gpu_kernels REQUIRED)\n"));
  EXPECT_NE(Shell(fmt::format("cd {} && cmake -S plain -B plain/build -DCMAKE_PREFIX_PATH=$PWD/installed", place), log), 0);
  EXPECT_THAT(*ReadFile(log), testing::HasSubstr("project(plain C CXX)"));
}

constexpr const char* kCudaProgram = R"(
#include <cstdio>
#include <cstring>
#include <vector>
#include "lathe_gpu_kernels.h"
int main() {
  const int index = lathe_gpu_find("fault:batch=2,n=1000");
  if (index < 0) return 1;
  const lathe_gpu_kernel_info& info = lathe_gpu_kernels_table(nullptr)[index];
  std::vector<float> input(2000, 3.0f), weight(1000, 0.5f), output(2000), workspace(info.workspace_bytes / 4);
  const auto address = [](std::vector<float>& v) { return reinterpret_cast<unsigned long long>(v.data()); };
  const lathe_gpu_memory tensors[] = {address(input), address(weight), 0, address(output)};
  lathe_gpu_kernel* kernel = nullptr;
  if (lathe_gpu_run(kernel, nullptr, tensors, 0) == LATHE_GPU_OK) return 2;
  const lathe_gpu_memory without[] = {address(input), 0, 0, address(output)};
  if (lathe_gpu_create(static_cast<size_t>(index), {}, nullptr, without, nullptr, &kernel) != LATHE_GPU_INVALID_ARGUMENT || kernel != nullptr) return 9;
  if (std::strstr(lathe_gpu_last_error(), "tensor 'weight' must not be null for fault:batch=2,n=1000") == nullptr) return 10;
  if (lathe_gpu_create(static_cast<size_t>(index), {}, nullptr, tensors, nullptr, &kernel) != LATHE_GPU_OK) {
    std::puts(lathe_gpu_last_error());
    return 3;
  }
  if (lathe_gpu_run(kernel, nullptr, tensors, 0) == LATHE_GPU_OK) return 4;  // the workspace is missing
  if (lathe_gpu_run(kernel, nullptr, tensors, address(workspace)) != LATHE_GPU_OK) return 5;
  for (const unsigned long long within : {address(input), address(input) + 4000}) {
    const lathe_gpu_memory in_place[] = {address(input), address(weight), 0, within};
    if (lathe_gpu_run(kernel, nullptr, in_place, address(workspace)) != LATHE_GPU_INVALID_ARGUMENT) return 7;
    if (std::strstr(lathe_gpu_last_error(), "share memory") == nullptr) return 8;
  }
  const lathe_gpu_memory missing[] = {0, address(weight), 0, address(output)};
  if (lathe_gpu_run(kernel, nullptr, missing, address(workspace)) != LATHE_GPU_INVALID_ARGUMENT) return 11;
  if (std::strstr(lathe_gpu_last_error(), "tensor 'input' must not be null for fault:") == nullptr) return 12;
  const lathe_gpu_memory ignored[] = {address(input), address(weight), address(weight), address(output)};
  if (lathe_gpu_run(kernel, nullptr, ignored, address(workspace)) != LATHE_GPU_INVALID_ARGUMENT) return 13;
  if (std::strstr(lathe_gpu_last_error(), "tensor 'bias' was given, but it counts only with n == 0") == nullptr) return 14;
  lathe_gpu_destroy(kernel);
  for (const float each : output)
    if (each != 6.5f) return 6;
  return 0;
}
)";

// The kernels of packed_gpu through the driver, as a cubin or as the text that stands for its PTX (the driver of our own has them as
// functions).
LibraryFiles CudaFiles(bool ptx) {
  LibraryPlan plan = PackingPlan("cuda");
  plan.target.architecture = "sm_87";
  const Result<std::string> cubin = ReadFile(LATHE_SOURCE_DIR "/tests/measure/data/packed_gpu_sm_53.cubin");
  EXPECT_TRUE(cubin);
  const GpuProgram program = ptx ? GpuProgram{"// PTX\n.version 6.4\n", "NVRTC 10.2"} : GpuProgram{*cubin, "NVRTC 12.9"};
  const auto files = GenerateGpuLibrary(Packing(), plan, [&](const Candidate&) { return program; });
  EXPECT_TRUE(files) << (files ? "" : files.error().message);
  return *files;
}

TEST(GpuLibrary, TellsInItsReadmeWhatItHoldsAndWhoMadeIt) {
  LibraryFiles files = CudaFiles(false);
  EXPECT_THAT(files["README.md"], testing::HasSubstr("cubins for sm_87, made by NVRTC 12.9"));
  EXPECT_THAT(files["README.md"], testing::HasSubstr("LATHE_CUDA_DRIVER"));
  EXPECT_THAT(files["README.md"], testing::HasSubstr("lathe_gpu_find(\"fault:batch=2,n=1000\")"));
  EXPECT_THAT(files["report.json"], testing::HasSubstr("\"programs\": \"cubin\""));
  files = CudaFiles(true);
  EXPECT_THAT(files["README.md"], testing::HasSubstr("PTX for sm_87, made by NVRTC 10.2"));
  EXPECT_THAT(files["report.json"], testing::HasSubstr("\"programs\": \"ptx\""));
}

TEST(GpuLibrary, TestsItselfOnCudaWhereThereIsADriver) {
  Result<TempDir> dir = TempDir::Create("gpu-library");
  ASSERT_TRUE(dir);
  const std::filesystem::path log = dir->path() / "log";
  for (const bool ptx : {false, true}) {
    const std::string out = (dir->path() / (ptx ? "ptx" : "cubin")).string();
    ASSERT_TRUE(WriteLibrary(CudaFiles(ptx), out));
    ASSERT_EQ(Shell(fmt::format("cmake -S {0} -B {0}/build && cmake --build {0}/build -j2", out), log), 0) << *ReadFile(log);
    const auto run = [&](const std::string& environment, const char* program) {
      return Shell(fmt::format("cd {} && {} {}", out, environment, program), log);
    };
    EXPECT_EQ(run("LATHE_CUDA_DRIVER=none.so", "build/gpu_test"), 77);
    EXPECT_THAT(*ReadFile(log), testing::HasSubstr("skipped: no CUDA driver: none.so"));
    EXPECT_EQ(run("LATHE_CUDA_DRIVER=none.so", "ctest --test-dir build"), 0);
    EXPECT_THAT(*ReadFile(log), testing::HasSubstr("***Skipped"));
    const std::string fake = "LATHE_CUDA_DRIVER=" LATHE_FAKE_CUDA_DRIVER " ";
    EXPECT_EQ(run(fake + "LATHE_FAKE_CUDA_FAIL=cuDeviceGetCount=100", "build/gpu_test"), 77) << *ReadFile(log);
    EXPECT_EQ(run(fake, "build/gpu_test"), 0) << *ReadFile(log);
    EXPECT_THAT(*ReadFile(log), testing::HasSubstr("on Fake Nano\nok     fault:batch=2,n=1000  packed_gpu exact"));
    EXPECT_EQ(run(fake + "LATHE_FAKE_CUDA_N=999", "build/gpu_test"), 1);
    EXPECT_THAT(*ReadFile(log), testing::HasSubstr("the reference has"));
    EXPECT_EQ(run(fake + "LATHE_FAKE_CUDA_FAIL=cuStreamSynchronize=700", "build/gpu_test"), 1);
    EXPECT_EQ(run(fake + "LATHE_FAKE_CUDA_FAIL=cuModuleLoadData=209", "build/gpu_test"), 1);
    EXPECT_THAT(*ReadFile(log), testing::HasSubstr("CUDA_ERROR_NO_BINARY_FOR_GPU (209); it was built for sm_87, and this device is sm_53"));
  }
}

TEST(GpuLibrary, LaunchesCubinsThroughTheDriver) {
  Result<TempDir> dir = TempDir::Create("gpu-library");
  ASSERT_TRUE(dir);
  const std::filesystem::path out = dir->path() / "kernels", log = dir->path() / "log";
  ASSERT_TRUE(WriteLibrary(CudaFiles(false), out));
  ASSERT_TRUE(WriteFile(dir->path() / "main.cpp", kCudaProgram));
  ASSERT_EQ(
      Shell(
          fmt::format(
              "cmake -S {0} -B {0}/build && cmake --build {0}/build -j2 && g++ -I{0}/include {1}/main.cpp {0}/build/liblathe_gpu_kernels.a "
              "-ldl -o {1}/main",
              out.string(), dir->path().string()),
          log),
      0)
      << *ReadFile(log);
  EXPECT_EQ(Shell(fmt::format("LATHE_CUDA_DRIVER=none.so {}/main", dir->path().string()), log), 3);
  EXPECT_THAT(*ReadFile(log), testing::HasSubstr("there is no CUDA driver"));
  EXPECT_EQ(Shell(fmt::format("LATHE_CUDA_DRIVER={} {}/main", LATHE_FAKE_CUDA_DRIVER, dir->path().string()), log), 0) << *ReadFile(log);
}

}  // namespace
}  // namespace lathe
