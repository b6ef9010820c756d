#include "tools/lathe/fallback_check.h"

#include "codegen/fallback_source.h"
#include "core/file.h"
#include "measure/cpu_builder.h"
#include "measure/worker_run.h"

namespace lathe {

Result<FallbackCheck> CheckFallback(const TemplateLibrary& library, const Operator& op) {
  Result<Scratch> scratch = Scratch::Create();
  if (!scratch) return scratch.error();
  Result<ArtifactCache> cache = ArtifactCache::Open(scratch->path() / "artifacts", 0);
  if (!cache) return cache.error();
  CpuBuilder::Options options;
  options.toolchain = Toolchain::Default();
  options.worker_program = WorkerOptions::DefaultProgram();
  Result<std::unique_ptr<CpuBuilder>> builder = CpuBuilder::Create(std::move(options), &*scratch, &*cache);
  if (!builder) return builder.error();

  const std::filesystem::path header = scratch->path() / "facts.h";
  Result<std::string> facts = FactsStruct(op, "lathe");
  if (!facts) return facts.error();
  if (Status written = WriteFile(header, "#include <stdint.h>\n" + *facts); !written) return written.error();
  FallbackCheck check;
  for (const DTypeChoice& dtypes : DTypeChoices(op)) {
    Result<std::string> source = FallbackSource(library, op, dtypes, "lathe", header.string(), "fallback_");
    if (!source) return source.error();
    BuildOutcome built = (*builder)->Build(*source, {});
    ++check.compiled;
    if (built.status == MeasureStatus::kOk) continue;
    Measurement failure;
    failure.candidate = {{op.name(), dtypes}, "reference as fallback", op.hash(), {}};
    failure.status = built.status;
    failure.message = std::move(built.message);
    check.failures.push_back(std::move(failure));
  }
  return check;
}

}  // namespace lathe
