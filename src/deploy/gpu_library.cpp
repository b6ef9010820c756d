#include "deploy/gpu_library.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "codegen/c_literal.h"
#include "codegen/candidate_source.h"
#include "core/hash.h"
#include "deploy/library_files.h"
#include "deploy/library_operator.h"

namespace lathe {
namespace {

constexpr const char* kOpenClApi =
    "#ifndef CL_TARGET_OPENCL_VERSION\n#define CL_TARGET_OPENCL_VERSION 120\n#endif\n#include <CL/cl.h>\n\n"
    "typedef cl_mem lathe_gpu_memory;\ntypedef cl_command_queue lathe_gpu_queue;\n"
    "typedef struct lathe_gpu_device {\n  cl_context context;\n  cl_device_id device;\n} lathe_gpu_device;\n";
constexpr const char* kCudaApi =
    "typedef unsigned long long lathe_gpu_memory; /* a CUdeviceptr */\ntypedef void* lathe_gpu_queue; /* a CUstream */\n"
    "typedef struct lathe_gpu_device {\n  int unused; /* the current context is used */\n} lathe_gpu_device;\n";

constexpr std::string_view kElfMagic = "\177ELF";  // of a cubin

// For the README.
constexpr const char* kOpenClPrograms =
    "The library holds OpenCL C; the driver compiles it when a handle is made. Give `lathe_gpu_create` a directory to keep the result in: "
    "later starts "
    "take it from there.";
constexpr const char* kOpenClTest = "It runs on the first OpenCL device and is skipped where there is none.";
constexpr const char* kCudaTest =
    "It runs on the first CUDA device and is skipped where there is no driver. The driver is opened at run time, by the test as by the "
    "library: "
    "`libcuda.so.1`,\nor what `LATHE_CUDA_DRIVER` names.";

std::string CudaPrograms(const std::string& architecture, const std::set<std::string>& compilers, bool ptx) {
  const std::string by = compilers.empty() ? "" : fmt::format(", made by {}", fmt::join(compilers, ", "));
  if (ptx)
    return fmt::format(
        "The library holds PTX for {}{}; the driver compiles it when a handle is made, for that architecture and later ones.", architecture,
        by);
  return fmt::format(
      "The library holds cubins for {}{}. They run on that architecture and, but for names that end in a letter, on later ones of the same "
      "major\n"
      "number; elsewhere `lathe_gpu_create` fails and names both.",
      architecture, by);
}

// The first kernel, from its name to its run.
std::string Example(bool opencl, const std::vector<PlannedKernel>& kernels) {
  const std::string queue = opencl ? "queue" : "stream";
  return fmt::format(
      "{}\n// As much of a workload as makes it unlike the others, in any order.\n"
      "const int index = lathe_gpu_find(\"{}\");\n"
      "// Its tensors, in order, and workspace_bytes.\n"
      "const lathe_gpu_kernel_info& info = lathe_gpu_kernels_table(nullptr)[index];\n"
      "lathe_gpu_memory tensors[] = {{…}};  // one {} a tensor; null where info says 0 bytes\n"
      "lathe_gpu_kernel* kernel = nullptr;  // making it packs the constants\n"
      "if (lathe_gpu_create(index, device, {}, tensors, {}, &kernel) != LATHE_GPU_OK) puts(lathe_gpu_last_error());\n"
      "lathe_gpu_run(kernel, {}, tensors, workspace);  // as often as needed; only enqueues\n"
      "lathe_gpu_destroy(kernel);",
      opencl ? "lathe_gpu_device device = {context, id};"
             : "lathe_gpu_device device = {};  // the current context is used; cudaFree(nullptr) makes one",
      kernels.empty() ? "…" : kernels.front().workload.Key(), opencl ? "cl_mem" : "CUdeviceptr", queue, opencl ? "\"cache\"" : "nullptr",
      queue);
}

std::string Bytes(const std::string& content) {
  std::string text;
  for (size_t i = 0; i < content.size(); ++i)
    text += fmt::format("{}{}", static_cast<int>(static_cast<unsigned char>(content[i])), i % 32 == 31 ? ",\n" : ",");
  return text;
}

// One kernel's share of the generated table.
class TableEntry {
 public:
  TableEntry(const TemplateLibrary& library, const Target& target, const PlannedKernel& kernel, size_t index)
      : library_(library), target_(target), kernel_(kernel), candidate_(*kernel.candidate), index_(index) {}

  Status Write(const GpuProgram& program, std::string& tables, std::string& data, std::string& infos) {
    Result<CandidateParts> parts = FindParts(library_, candidate_);
    if (!parts) return parts.error();
    Result<std::vector<TensorShape>> packed = parts->tmpl->PackedTensors(*parts->op, candidate_, target_);
    if (!packed) return packed.error();
    Result<std::vector<TensorShape>> tensors = parts->tmpl->Tensors(*parts->op, candidate_.workload);
    if (!tensors) return tensors.error();
    Result<size_t> workspace = parts->tmpl->WorkspaceBytes(*parts->op, candidate_, target_);
    if (!workspace) return workspace.error();
    Result<std::vector<Launch>> prepare = parts->tmpl->PrepareLaunches(*parts->op, candidate_, target_);
    if (!prepare) return prepare.error();
    Result<std::vector<Launch>> run = parts->tmpl->Launches(*parts->op, candidate_, target_);
    if (!run) return run.error();

    // A terminating zero, should the driver want text.
    tables += fmt::format("alignas(64) const unsigned char program_{}[] = {{{}0}};\n", index_, Bytes(program.content));
    std::string rows, packed_bytes, absent_unless;
    for (size_t i = 0; i < tensors->size(); ++i) {
      const TensorShape& tensor = (*tensors)[i];
      const bool is_packed = parts->tmpl->packs() && tensor.present && parts->tmpl->manifest()["packed"].contains(tensor.name);
      packed_bytes += fmt::format("{}, ", is_packed ? (*packed)[i].bytes() : 0);
      absent_unless += tensor.present ? "nullptr, " : CLiteral(WhenText(*parts->op, parts->op->manifest()["tensors"][tensor.name])) + ", ";
      rows += fmt::format("{{{}, '{}', {}, {}}}, ", CLiteral(tensor.name),
                          tensor.role == TensorRole::kIn         ? 'i'
                          : tensor.role == TensorRole::kConstant ? 'c'
                                                                 : 'o',
                          CLiteral(ToString(tensor.dtype)), tensor.present ? tensor.bytes() : 0);
    }
    tables += fmt::format(
        "const lathe_gpu_tensor tensors_{0}[] = {{{1}}};\nconst size_t packed_{0}[] = {{{2}}};\n"
        "const char* const absent_unless_{0}[] = {{{3}}};\n",
        index_, rows, packed_bytes, absent_unless);
    std::vector<int64_t> dynamic;
    for (const Attribute& attribute : parts->op->attributes())
      if (attribute.dynamic) dynamic.push_back(std::get<int64_t>(*Find(candidate_.workload.attributes, attribute.name)));
    tables +=
        fmt::format("const int dynamic_{}[] = {{{}0}};\n", index_, dynamic.empty() ? "" : fmt::format("{}, ", fmt::join(dynamic, ", ")));
    const std::string prepares = WriteLaunches("prepare", *prepare, tables), runs = WriteLaunches("run", *run, tables);

    std::vector<std::string> flags = target_.backend == "opencl" ? std::vector<std::string>{"-cl-std=CL1.2"} : std::vector<std::string>();
    for (std::string& flag : parts->tmpl->Flags(target_.backend)) flags.push_back(std::move(flag));
    data += fmt::format(
        "    {{program_{0}, sizeof program_{0} - 1, {1}, {2}, packed_{0}, absent_unless_{0}, {3}, dynamic_{0}, {4}, {5}, {6}, {7}}},\n",
        index_, CLiteral(ShortHash(program.content + fmt::format("{}", fmt::join(flags, " ")))),
        CLiteral(fmt::format("{}", fmt::join(flags, " "))), dynamic.size(), prepare->size(), run->size(), prepares, runs);
    infos += fmt::format("    {{{}, {}, {}, {}, {}, {},\n     {}, {}, {}, {}, tensors_{}}},\n", CLiteral(parts->op->name()),
                         CLiteral(candidate_.workload.Key()), CLiteral(ToString(kernel_.match)), CLiteral(kernel_.reason),
                         CLiteral(candidate_.template_name), CLiteral(ToString(candidate_.config)),
                         kernel_.origin ? kernel_.origin->seconds : 0.0, kernel_.origin ? kernel_.origin->untuned_seconds : 0.0, *workspace,
                         tensors->size(), index_);
    return {};
  }

 private:
  // The name of the array, or a null for an empty one.
  std::string WriteLaunches(const char* list, const std::vector<Launch>& launches, std::string& tables) const {
    if (launches.empty()) return "nullptr";
    std::string rows;
    for (size_t i = 0; i < launches.size(); ++i) {
      const Launch& launch = launches[i];
      const std::string name = fmt::format("{}_arguments_{}_{}", list, index_, i);
      if (!launch.arguments.empty()) tables += fmt::format("const int {}[] = {{{}}};\n", name, fmt::join(launch.arguments, ", "));
      rows += fmt::format("  {{{}, {}, {{{}}}, {{{}}}, {}, {}, {}}},\n", CLiteral(launch.kernel), launch.global.size(),
                          fmt::join(launch.global, ", "), fmt::join(launch.local, ", "), launch.dynamic_local_bytes,
                          launch.arguments.size(), launch.arguments.empty() ? "nullptr" : name);
    }
    tables += fmt::format("const LatheLaunch {}_{}[] = {{\n{}}};\n", list, index_, rows);
    return fmt::format("{}_{}", list, index_);
  }

  const TemplateLibrary& library_;
  const Target& target_;
  const PlannedKernel& kernel_;
  const Candidate& candidate_;
  size_t index_;
};

// The reference of each kernel's workload, compiled into the test.
Status AddTest(const TemplateLibrary& library, const std::string& backend, const std::vector<PlannedKernel>& kernels, LibraryFiles& files,
               std::string& cmake) {
  std::string externs, tables, cases, sources;
  for (size_t i = 0; i < kernels.size(); ++i) {
    const Candidate& candidate = *kernels[i].candidate;
    Result<CandidateParts> parts = FindParts(library, candidate);
    if (!parts) return parts.error();
    const std::string prefix = fmt::format("reference_{}_", i), name = fmt::format("test/reference_{}.cpp", i);
    Result<std::string> reference = ReferenceSource(library, candidate.workload, {prefix});
    if (!reference) return reference.error();
    files[name] = *reference;
    sources += ' ' + name;
    externs += fmt::format("extern \"C\" int {}lathe_run(const lathe_call* call);\n", prefix);
    if (parts->op->makes_inputs())
      externs += fmt::format("extern \"C\" void {}lathe_make_inputs(const lathe_call* call, uint64_t seed);\n", prefix);
    Result<std::vector<TensorShape>> tensors = parts->tmpl->Tensors(*parts->op, candidate.workload);
    if (!tensors) return tensors.error();
    tables += fmt::format("static const TestTensor tensors_{}[] = {{", i);
    for (const TensorShape& tensor : *tensors)
      tables += fmt::format("{{{}, {}, {:d}, {:d}, {}, {}}}, ", tensor.filling.low, tensor.filling.high, tensor.filling.integers,
                            tensor.tolerance.exact, tensor.tolerance.relative, tensor.tolerance.absolute);
    tables += fmt::format("}};\nstatic const int64_t dynamic_{}[] = {{", i);
    for (const Attribute& attribute : parts->op->attributes())
      if (attribute.dynamic) tables += fmt::format("{}, ", std::get<int64_t>(*Find(candidate.workload.attributes, attribute.name)));
    tables += "0};\n";
    cases += fmt::format("    {{{}lathe_run, {}, dynamic_{}, tensors_{}}},\n", prefix,
                         parts->op->makes_inputs() ? prefix + "lathe_make_inputs" : "nullptr", i, i);
  }
  const std::string device = fmt::format("gpu_test_{}.cpp", backend);
  files["test/" + device] = FilledLibraryFile(device, {});
  files["test/gpu_test_device.h"] = FilledLibraryFile("gpu_test_device.h", {});
  files["test/gpu_test.cpp"] = FilledLibraryFile("gpu_test.cpp", {{"@EXTERNS@", externs}, {"@TABLES@", tables}, {"@CASES@", cases}});
  files["test/lathe_abi.h"] = library.Prelude("abi.h");
  cmake = fmt::format(
      "  set(CMAKE_CXX_STANDARD 20)\n  add_executable(gpu_test test/gpu_test.cpp test/{}{})\n"
      "  target_link_libraries(gpu_test lathe_gpu_kernels)\n  add_test(NAME kernels_agree_with_their_reference COMMAND gpu_test)\n"
      "  set_tests_properties(kernels_agree_with_their_reference PROPERTIES SKIP_RETURN_CODE 77)\n",
      device, sources);
  return {};
}

}  // namespace

Result<LibraryFiles> GenerateGpuLibrary(const TemplateLibrary& library, const LibraryPlan& plan, const ProgramOf& program_of) {
  std::vector<PlannedKernel> kernels;
  std::copy_if(plan.kernels.begin(), plan.kernels.end(), std::back_inserter(kernels),
               [](const PlannedKernel& kernel) { return kernel.candidate.has_value(); });
  LibraryFiles files;
  std::string tables, data, infos, test;
  std::set<std::string> compilers;
  bool ptx = false;
  for (size_t i = 0; i < kernels.size(); ++i) {
    const std::string doing = fmt::format("generate kernel library, '{}'", kernels[i].workload.Key());
    Result<GpuProgram> program = program_of(*kernels[i].candidate);
    if (!program) return program.error().In(doing);
    if (Status written = TableEntry(library, plan.target, kernels[i], i).Write(*program, tables, data, infos); !written)
      return written.error().In(doing);
    if (!program->compiler.empty()) compilers.insert(program->compiler);
    ptx = ptx || program->content.compare(0, kElfMagic.size(), kElfMagic) != 0;
  }
  const bool opencl = plan.target.backend == "opencl";
  files["include/lathe_gpu_kernels.h"] =
      FilledLibraryFile("gpu_kernels.h", {{"@TARGET@", plan.target.Key()}, {"@API@", opencl ? kOpenClApi : kCudaApi}});
  files["src/gpu_data.h"] = FilledLibraryFile("gpu_data.h", {});
  files["src/gpu_library.cpp"] = FilledLibraryFile("gpu_library.cpp", {});
  files[opencl ? "src/gpu_opencl.cpp" : "src/gpu_cuda.cpp"] = FilledLibraryFile(opencl ? "gpu_opencl.cpp" : "gpu_cuda.cpp", {});
  files["src/gpu_table.cpp"] = fmt::format(
      "// Generated by Lathe.\n#include \"gpu_data.h\"\n\nnamespace {{\n{}}}  // namespace\n\nconst LatheKernelData lathe_gpu_data[] = "
      "{{\n{}"
      "    {{}}}};\nconst lathe_gpu_kernel_info lathe_gpu_infos[] = {{\n{}    {{}}}};\nconst size_t lathe_gpu_count = {};\n"
      "const char* const lathe_gpu_architecture = {};\n",
      tables, data, infos, kernels.size(), CLiteral(plan.target.architecture));
  if (Status added = AddTest(library, plan.target.backend, kernels, files, test); !added) return added.error();
  files["README.md"] =
      FilledLibraryFile("gpu_README.md", {{"@TARGET@", plan.target.Key()},
                                          {"@NEEDS@", opencl ? ", with OpenCL's headers and loader" : ", and without CUDA"},
                                          {"@PROGRAMS@", opencl ? kOpenClPrograms : CudaPrograms(plan.target.architecture, compilers, ptx)},
                                          {"@TEST@", opencl ? kOpenClTest : kCudaTest},
                                          {"@EXAMPLE@", Example(opencl, kernels)},
                                          {"@TABLE@", MarkdownTable(plan)}});
  files["CMakeLists.txt"] =
      FilledLibraryFile("gpu_CMakeLists.txt.in",
                        {{"@BACKEND@", plan.target.backend},
                         {"@LINK@", opencl ? "find_package(OpenCL REQUIRED)\ntarget_link_libraries(lathe_gpu_kernels PUBLIC OpenCL::OpenCL)"
                                           : "target_link_libraries(lathe_gpu_kernels PUBLIC ${CMAKE_DL_LIBS})"},
                         {"@TEST@", test}});
  files["cmake/lathe_gpu_kernels-config.cmake"] =
      FilledLibraryFile("lathe_gpu_kernels-config.cmake.in", {{"@DEPENDENCY@", opencl ? "find_dependency(OpenCL)\n" : ""}});
  nlohmann::json report = ToJson(plan);
  report["programs"] = opencl ? "source" : ptx ? "ptx" : "cubin";
  report["compilers"] = compilers;
  files["report.json"] = report.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
  return files;
}

}  // namespace lathe
