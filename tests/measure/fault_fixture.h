// Workshops over the templates in tests/measure/templates, in directories of their own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/file.h"
#include "measure/workshop.h"
#include "space/template_library.h"

namespace lathe {

inline const TemplateLibrary& FaultTemplates() {
  static const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/tests/measure/templates");
  if (!library) ADD_FAILURE() << library.error().message;
  return *library;
}

// Artifacts are shared by all tests of a program: most candidates are then compiled once.
inline const std::filesystem::path& SharedDir() {
  static const Result<TempDir> dir = TempDir::Create("measure-test");
  return dir->path();
}

inline WorkshopOptions TestOptions() {
  WorkshopOptions options;
  options.worker_program = std::string(LATHE_BIN_DIR) + "/lathe-worker";
  options.cache_dir = SharedDir() / "artifacts";
  options.scratch_root = SharedDir();
  options.run.timeout = std::chrono::seconds(8);
  // Half the compile time: plain C headers in place of the C++ ones around them.
  options.toolchain.flags = {"-std=c++20", "-O1", "-fPIC", "-shared", "-D_GLIBCXX_INCLUDE_NEXT_C_HEADERS"};
  options.run.memory_headroom_bytes = 256 << 20;
  options.sampling.max_seconds = 0.02;
  options.sampling.min_seconds = 0.002;
  return options;
}

inline std::unique_ptr<Workshop> MakeShop(const WorkshopOptions& options = TestOptions()) {
  Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options);
  if (!shop) ADD_FAILURE() << shop.error().message;
  return shop ? std::move(*shop) : nullptr;
}

inline Candidate FaultCandidate(const std::string& behaviour, int64_t variant = 0, int64_t n = 1000) {
  const Operator* op = *FaultTemplates().FindOperator("fault");
  const KernelTemplate* tmpl = *FaultTemplates().FindTemplate("fault/fault_cpu");
  Result<Workload> workload = op->Normalise({"fault", {{"n", n}}});
  if (!workload) ADD_FAILURE() << workload.error().message;
  return {*workload, "fault_cpu", tmpl->hash(), {{"BEHAVIOUR", behaviour}, {"VARIANT", variant}}};
}

}  // namespace lathe
