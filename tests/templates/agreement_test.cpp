// Every CPU template, at random valid configs, on every awkward shape of its operator, against the reference.
//
// LATHE_AGREEMENT_CONFIGS says how many configs a template and shape (default 2: a build each, and a full run takes long);
// LATHE_AGREEMENT_SEED another draw; LATHE_AGREEMENT_ONLY a part of "operator/template".
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "codegen/candidate_source.h"
#include "tests/templates/loaded_kernel.h"

namespace lathe {
namespace {

const TemplateLibrary& Library() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
  if (!library) ADD_FAILURE() << library.error().message;
  return library.value();
}

std::string EnvironmentOr(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

// This machine's vectors, by the compiler's own word; two threads, so that a task split is exercised.
Target HostTarget() {
  Target target{"cpu", "test", "test", {}, {}};
  double vector_bytes = 16, registers = 16;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) vector_bytes = 32;
  if (__builtin_cpu_supports("avx512f")) vector_bytes = 64, registers = 32;
#else
  registers = 32;
#endif
  target.limits = {{"vector_bytes", vector_bytes}, {"vector_registers", registers}, {"threads", 2}, {"l1_bytes", 32768},
                   {"l2_bytes", 1 << 20},          {"l3_bytes", 16 << 20}};
  return target;
}

struct Shape {
  const Operator* op;
  Workload workload;
};

std::vector<Shape> TestShapes() {
  std::vector<Shape> shapes;
  for (const Operator* op : Library().operators()) {
    if (!op->manifest().contains("test_workloads")) continue;
    for (const auto& entry : op->manifest()["test_workloads"]) {
      Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(entry));
      if (!attributes) ADD_FAILURE() << op->name() << ": " << attributes.error().message;
      Result<Workload> workload = op->Normalise({op->name(), *attributes});
      if (!workload) {
        ADD_FAILURE() << workload.error().message;
        continue;
      }
      shapes.push_back({op, *workload});
    }
  }
  return shapes;
}

// One config held against the reference; empty when it agrees.
std::string Check(const Shape& shape, const KernelTemplate& tmpl, const Config& config, const std::vector<testing::Tensor>& inputs,
                  const std::vector<testing::Tensor>& expected, const Target& target) {
  const Candidate candidate{shape.workload, tmpl.name(), tmpl.hash(), config};
  Result<std::string> source = CandidateSource(Library(), candidate, target);
  if (!source) return source.error().message;
  Result<testing::LoadedKernel> kernel = testing::LoadedKernel::Build(*source, tmpl.Flags("cpu"));
  if (!kernel) return kernel.error().message;
  Result<std::vector<TensorShape>> packed_shapes = tmpl.PackedTensors(*shape.op, candidate, target);
  if (!packed_shapes) return packed_shapes.error().message;
  Result<size_t> workspace = tmpl.WorkspaceBytes(*shape.op, candidate, target);
  if (!workspace) return workspace.error().message;
  const std::vector<TensorShape> shapes = *tmpl.Tensors(*shape.op, shape.workload);

  std::vector<testing::Tensor> tensors = inputs;
  if (tmpl.packs()) {
    std::vector<testing::Tensor> packed(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i)
      if (tmpl.manifest()["packed"].contains(shapes[i].name)) packed[i].assign((*packed_shapes)[i].bytes(), 0xCD);
    kernel->Prepare(inputs, packed);
    for (size_t i = 0; i < tensors.size(); ++i)
      if (!packed[i].empty()) tensors[i] = packed[i];
  }
  if (kernel->Run(tensors, testing::DynamicValues(*shape.op, shape.workload), *workspace, static_cast<int>(target.limits.at("threads"))) !=
      0)
    return "the kernel refused";
  for (size_t i = 0; i < tensors.size(); ++i)
    if (shapes[i].role == TensorRole::kOut)
      if (std::string difference = testing::Disagreement(shapes[i], expected[i], tensors[i]); !difference.empty()) return difference;
  return {};
}

TEST(Templates, AgreeWithTheirReferenceAtRandomConfigsOnAwkwardShapes) {
  const int configs = std::atoi(EnvironmentOr("LATHE_AGREEMENT_CONFIGS", "2").c_str());
  const uint64_t seed = std::strtoull(EnvironmentOr("LATHE_AGREEMENT_SEED", "1").c_str(), nullptr, 10);
  const std::string only = EnvironmentOr("LATHE_AGREEMENT_ONLY", "");
  const Target target = HostTarget();
  const std::vector<Shape> shapes = TestShapes();
  ASSERT_FALSE(shapes.empty());

  std::atomic<size_t> next = 0;
  std::atomic<int> checked = 0;
  std::mutex reporting;
  std::map<std::string, int> shapes_of_template;
  const auto work = [&] {
    for (size_t i = next++; i < shapes.size(); i = next++) {
      const Shape& shape = shapes[i];
      std::optional<testing::LoadedKernel> reference;
      std::vector<testing::Tensor> inputs, expected;
      const auto fail = [&](const KernelTemplate& tmpl, const std::string& config, const std::string& reason) {
        const std::lock_guard<std::mutex> lock(reporting);
        ADD_FAILURE() << shape.op->name() << '/' << tmpl.name() << ' ' << config << "\n  on " << shape.workload.Key() << "\n  " << reason;
      };
      bool covered = false;
      for (const KernelTemplate* tmpl : Library().TemplatesOf(shape.op->name())) {
        Result<bool> applies = tmpl->Applies(*shape.op, shape.workload, target);
        if (!applies) {
          fail(*tmpl, "", applies.error().message);
          continue;
        }
        if (!*applies) {
          // Halves are computed on GPUs alone; nothing runs there in this test.
          const Target gpu{"opencl", "test", "test", {{"max_groups_yz", 65535}, {"max_work_group", 1024}, {"local_bytes", 32768}}, {}};
          const Result<bool> elsewhere = tmpl->Applies(*shape.op, shape.workload, gpu);
          covered = covered || (elsewhere && *elsewhere);
          continue;
        }
        covered = true;
        if ((shape.op->name() + '/' + tmpl->name()).find(only) == std::string::npos) continue;
        if (!reference) {
          Result<std::string> source = ReferenceSource(Library(), shape.workload);
          Result<testing::LoadedKernel> built =
              source ? testing::LoadedKernel::Build(*source) : Result<testing::LoadedKernel>(source.error());
          if (!built) {
            fail(*tmpl, "reference", built.error().message);
            break;
          }
          reference = *built;
          const std::vector<int64_t> dynamic = testing::DynamicValues(*shape.op, shape.workload);
          inputs = testing::MakeTensors(*shape.op, *shape.op->Tensors(shape.workload), *reference, dynamic, seed);
          expected = inputs;
          (void)reference->Run(expected, dynamic);
        }
        Result<Space> space = tmpl->SpaceFor(*shape.op, shape.workload, target);
        if (!space) {
          fail(*tmpl, "", space.error().message);
          continue;
        }
        std::mt19937_64 random(seed * 1000003 + i);
        for (int n = 0; n < configs; ++n) {
          // The first config is what users get untuned: it is always among them.
          const std::optional<Point> point = n == 0 ? space->First() : space->Sample(random);
          if (!point) {
            fail(*tmpl, "", "its space is empty");
            break;
          }
          const Config config = space->ConfigAt(*point);
          const std::string difference = Check(shape, *tmpl, config, inputs, expected, target);
          if (!difference.empty()) fail(*tmpl, ToString(config), difference);
          ++checked;
        }
        const std::lock_guard<std::mutex> lock(reporting);
        ++shapes_of_template[shape.op->name() + '/' + tmpl->name()];
      }
      if (!covered) {
        const std::lock_guard<std::mutex> lock(reporting);
        ADD_FAILURE() << "no template computes " << shape.workload.Key();
      }
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  for (const auto& [name, count] : shapes_of_template) fmt::print("{}: {} shapes\n", name, count);
  fmt::print("{} candidates agree or are reported above\n", checked.load());
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace lathe
