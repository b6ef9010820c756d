#include "rpc/agent/local_board.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "measure/clock_lock.h"
#include "measure/cpu_set.h"
#include "measure/cpu_target.h"
#include "measure/cuda_target.h"
#include "measure/local_measurer.h"
#include "measure/opencl_target.h"
#include "measure/target_choice.h"

namespace lathe {
namespace {

std::chrono::milliseconds AtMost(double seconds, std::chrono::milliseconds most) {
  // Never 0: that would mean no limit at all.
  return std::clamp(std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)), std::chrono::milliseconds(1), most);
}

}  // namespace

std::vector<OfferedTarget> OfferedTargets(const WorkshopOptions& options) {
  const int threads = static_cast<int>(AvailableCpus().size());
  std::vector<OfferedTarget> targets;
  OfferedTarget cpu{"cpu", {}, threads, ""};
  // A workshop finds out whether there is a compiler, and which.
  if (Result<std::unique_ptr<Workshop>> shop = Workshop::Create(nullptr, options); shop) {
    cpu.target = (*shop)->target();
  } else {
    cpu.target = DetectCpuTarget(1, options.toolchain, "");
    cpu.problem = shop.error().message + "; candidates that come built (lathe tune --toolchain) need no compiler";
  }
  targets.push_back(std::move(cpu));
  if (Result<std::vector<Target>> devices = ListOpenClTargets(options.worker_program, 1); devices)
    for (size_t i = 0; i < devices->size(); ++i) targets.push_back({"opencl:" + std::to_string(i), (*devices)[i], threads, ""});
  if (Result<std::vector<Target>> devices = ListCudaTargets(options.worker_program); devices)
    for (size_t i = 0; i < devices->size(); ++i) targets.push_back({"cuda:" + std::to_string(i), (*devices)[i], threads, ""});
  return targets;
}

Board::MakeMeasurer MeasuringHere(LocalBoardOptions options) {
  return [options = std::move(options)](const SessionSpec& spec) -> Result<std::unique_ptr<Measurer>> {
    WorkshopOptions shop = options.workshop;
    shop.needs_compiler = !spec.prebuilt;
    shop.threads = spec.threads;
    shop.seed = spec.seed;
    shop.cold_cache = spec.cold_cache;
    shop.verify_only = spec.verify_only;
    if (options.log) shop.notice = [log = options.log](const std::string& text) { log("trouble", {{"problem", text}}); };
    if (spec.energy) shop.energy = WorkshopOptions::Energy::kAlways;
    shop.sampling = spec.sampling;
    shop.finalist_sampling = spec.finalist_sampling;
    shop.build.confine = true;
    shop.build.uid = shop.run.uid;
    shop.build.gid = shop.run.gid;
    shop.run.timeout = AtMost(spec.run_seconds, shop.run.timeout);
    shop.build.timeout = AtMost(spec.build_seconds, shop.build.timeout);
    Result<Workshop::BackendFactory> backend = BackendFor(spec.target);
    if (!backend) return backend.error();
    Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(nullptr, std::move(shop), options.builders, *backend);
    if (!measurer) return measurer.error();
    if (const ClockLock* lock = (*measurer)->workshop().backend().clock_lock(); lock != nullptr && options.log)
      options.log("clock_lock", {{"target", spec.target}, {"state", lock->state()}});
    return std::unique_ptr<Measurer>(std::move(*measurer));
  };
}

}  // namespace lathe
