#include "deploy/kernel_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file.h"
#include "deploy/library_files.h"
#include "deploy/library_operator.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

// Lists what was written, so that a later run may replace it and nothing else.
constexpr const char* kMarker = ".lathe_kernels";

std::string KernelFlags(const Target& target) {
  const auto flags = target.fingerprint.find("flags");
  std::string text = flags != target.fingerprint.end() ? flags->second : "-O3 -march=native";
  std::replace(text.begin(), text.end(), ' ', ';');
  return text;
}

}  // namespace

Result<LibraryFiles> GenerateLibrary(const TemplateLibrary& library, const LibraryPlan& plan) {
  if (plan.target.backend != "cpu")
    return Error{ErrorCode::kInternal, fmt::format("generate kernel library: backend '{}' has one of its own", plan.target.backend)};
  std::vector<std::string> names;  // in order of first appearance
  for (const PlannedKernel& kernel : plan.kernels)
    if (std::find(names.begin(), names.end(), kernel.workload.operator_name) == names.end()) names.push_back(kernel.workload.operator_name);

  LibraryFiles files;
  std::vector<std::pair<std::string, std::string>> kernel_sources;
  std::vector<std::string> plain_sources;
  std::string declarations, classes, info, tests, calls, includes;
  for (const std::string& name : names) {
    Result<const Operator*> op = library.FindOperator(name);
    if (!op) return op.error();
    std::vector<PlannedKernel> kernels;
    std::copy_if(plan.kernels.begin(), plan.kernels.end(), std::back_inserter(kernels),
                 [&](const PlannedKernel& kernel) { return kernel.workload.operator_name == name; });
    const LibraryOperator writer(library, **op, plan.target, std::move(kernels));
    if (Status added = writer.AddSources(files, kernel_sources, plain_sources); !added)
      return added.error().In(fmt::format("generate kernel library, operator '{}'", name));
    Result<std::string> test = writer.TestFunctions();
    if (!test) return test.error().In(fmt::format("generate kernel library, operator '{}'", name));
    declarations += writer.PublicDeclarations();
    classes += writer.CppClass();
    info += writer.InfoRows();
    tests += *test;
    calls += fmt::format("  {}();\n", writer.TestName());
    includes += fmt::format("#include \"{}_facts.h\"\n", name);
  }

  std::string plain_list, kernel_list, properties;
  for (const std::string& source : plain_sources) plain_list += fmt::format("  {}\n", source);
  for (const auto& [source, flags] : kernel_sources) {
    kernel_list += fmt::format("  {}\n", source);
    if (!flags.empty()) properties += fmt::format("set_property(SOURCE {} APPEND PROPERTY COMPILE_OPTIONS \"{}\")\n", source, flags);
  }
  const std::string target = plan.target.Key();
  files["CMakeLists.txt"] = FilledLibraryFile("CMakeLists.txt.in", {{"@KERNEL_FLAGS@", KernelFlags(plan.target)},
                                                                    {"@PLAIN_SOURCES@", plain_list},
                                                                    {"@KERNEL_SOURCES@", kernel_list},
                                                                    {"@KERNEL_PROPERTIES@", properties}});
  files["README.md"] = FilledLibraryFile("README.md", {{"@TARGET@", target}, {"@TABLE@", MarkdownTable(plan)}});
  files["cmake/lathe_kernels-config.cmake"] = FilledLibraryFile("lathe_kernels-config.cmake", {});
  files["include/lathe_abi.h"] = library.Prelude("abi.h");
  files["include/lathe_kernels.h"] = FilledLibraryFile("lathe_kernels.h", {{"@TARGET@", target}, {"@OPERATORS@", declarations}});
  files["include/lathe_kernels.hpp"] = FilledLibraryFile("lathe_kernels.hpp", {{"@OPERATORS@", classes}});
  files["src/library.h"] = FilledLibraryFile("library.h", {});
  files["src/library.cpp"] = FilledLibraryFile("library.cpp", {{"@INFO_ROWS@", info}});
  files["src/cpu_features.cpp"] = FilledLibraryFile("cpu_features.cpp", {});
  files["test/kernels_test.cpp"] =
      FilledLibraryFile("kernels_test.cpp", {{"@INCLUDES@", includes}, {"@TEST_FUNCTIONS@", tests}, {"@TEST_CALLS@", calls}});
  // Messages of compilers and models need not be UTF-8.
  files["report.json"] = ToJson(plan).dump(2, ' ', false, nlohmann::detail::error_handler_t::replace) + "\n";
  return files;
}

Status WriteLibrary(const LibraryFiles& files, const fs::path& out) {
  const auto fail = [&](const std::string& reason) {
    return Error{ErrorCode::kUnavailable, fmt::format("write kernel library to '{}': {}", out.string(), reason)};
  };
  std::error_code failure;
  const bool marked = fs::exists(out / kMarker, failure);
  if (fs::exists(out, failure) && !marked && !fs::is_empty(out, failure))
    return fail("the directory holds something else; give an empty or a new one");
  std::set<std::string> stale;
  if (marked) {
    Result<std::string> list = ReadFile(out / kMarker);
    if (!list) return list.error();
    for (size_t begin = 0; begin < list->size();) {
      const size_t end = std::min(list->find('\n', begin), list->size());
      stale.insert(list->substr(begin, end - begin));
      begin = end + 1;
    }
  }
  const auto list_of = [](const std::set<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += name + '\n';
    return list;
  };
  std::set<std::string> names;
  for (const auto& [name, content] : files) names.insert(name);
  std::set<std::string> present = names;
  present.insert(stale.begin(), stale.end());
  // The list first, and of both libraries: after a crash everything that may be there is known.
  fs::create_directories(out, failure);
  if (failure) return fail(failure.message());
  if (Status written = WriteFile(out / kMarker, list_of(present)); !written) return written;
  for (const auto& [name, content] : files) {
    stale.erase(name);
    fs::create_directories((out / name).parent_path(), failure);
    if (failure) return fail(failure.message());
    // Unchanged files keep their time, so that a rebuild compiles only what is new.
    if (Result<std::string> before = ReadFile(out / name); before && *before == content) continue;
    if (Status written = WriteFile(out / name, content); !written) return written;
  }
  for (const std::string& name : stale)
    if (!name.empty() && name.find("..") == std::string::npos && fs::path(name).is_relative()) fs::remove(out / name, failure);
  return WriteFile(out / kMarker, list_of(names));
}

}  // namespace lathe
