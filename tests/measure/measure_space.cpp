// measure-space TEMPLATE WORKLOAD [COUNT] [THREADS]: for people who work on measuring. Measures COUNT configs (default 20; every one when
// 0), first configs first, through the local measurer, and prints each result and where the time went.
//
//   measure-space machine_fma/machine_fma_cpu machine_fma: 0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "measure/local_measurer.h"

namespace lathe {
namespace {

int Fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

void Print(const Measurement& m, double flops, double bytes) {
  const double seconds = Seconds(m);
  std::printf(
      "%-14s %10.2f us %8.2f GFLOP/s %7.2f GB/s  n=%-3zu %s  build %.2f s, device %.1f ms, code %.0f B, stack %.0f B  %s %s\n",
      ToString(m.status), 1e6 * seconds, flops / seconds / 1e9, bytes / seconds / 1e9, m.seconds.size(), m.cut_early ? "cut" : "   ",
      m.build_seconds, 1e3 * m.run_seconds, m.build_facts.count("code_bytes") ? m.build_facts.at("code_bytes") : 0,
      m.build_facts.count("stack_bytes") ? m.build_facts.at("stack_bytes") : 0, ToString(m.candidate.config).c_str(), m.message.c_str());
}

int Main(const std::string& template_name, const std::string& workload_text, size_t count, int threads) {
  Result<TemplateLibrary> library = TemplateLibrary::Load(TemplateLibrary::DefaultDir());
  if (!library) return Fail(library.error());
  Result<const KernelTemplate*> tmpl = library->FindTemplate(template_name);
  if (!tmpl) return Fail(tmpl.error());
  Result<const Operator*> op = library->FindOperator((*tmpl)->operator_name());
  if (!op) return Fail(op.error());
  Result<Workload> parsed = ParseWorkload(workload_text);
  if (!parsed) return Fail(parsed.error());
  Result<Workload> workload = (*op)->Normalise(*parsed);
  if (!workload) return Fail(workload.error());

  WorkshopOptions options;
  options.threads = threads;
  options.reference_timeout = std::chrono::minutes(10);
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&*library, options);
  if (!measurer) return Fail(measurer.error());
  const Target& target = (*measurer)->target();
  std::printf("%s\n", target.Key().c_str());
  Result<Space> space = (*tmpl)->SpaceFor(**op, *workload, target);
  if (!space) return Fail(space.error());

  std::vector<Config> configs;
  space->ForEach([&](const Point& point) {
    configs.push_back(space->ConfigAt(point));
    return count == 0 || configs.size() < count;
  });
  size_t next = 0, finished = 0;
  std::vector<Measurement> all;
  const auto begin = std::chrono::steady_clock::now();
  while (finished < configs.size()) {
    for (; next < configs.size() && next - finished < (*measurer)->capacity(); ++next)
      if (Status sent = (*measurer)->Submit({next, {*workload, (*tmpl)->name(), (*tmpl)->hash(), configs[next]}, 0, false}); !sent)
        return Fail(sent.error());
    Result<std::vector<Measurement>> some = (*measurer)->Wait(std::chrono::milliseconds(1000));
    if (!some) return Fail(some.error());
    finished += some->size();
    for (Measurement& measurement : *some) all.push_back(std::move(measurement));
  }
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::sort(all.begin(), all.end(), [](const Measurement& a, const Measurement& b) { return Seconds(a) > Seconds(b); });
  const double flops = (*op)->Flops(*workload) ? (*op)->Flops(*workload).value() : 0;
  const double bytes = (*op)->Bytes(*workload) ? (*op)->Bytes(*workload).value() : 0;
  for (const Measurement& measurement : all) Print(measurement, flops, bytes);

  const PipelineStats stats = (*measurer)->stats();
  const double n = static_cast<double>(all.size());
  std::printf(
      "%zu candidates in %.2f s (%.1f a second): building %.2f s (compilers %.2f s) with %d builders, device held %.2f s of which sampling "
      "%.2f s, device idle %.2f s, judging %.2f s\n",
      all.size(), wall, n / wall, stats.building, stats.compiling, stats.builders, stats.measuring, stats.sampling, stats.device_idle,
      stats.judging);
  return 0;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: measure-space TEMPLATE WORKLOAD [COUNT] [THREADS]\n");
    return 2;
  }
  return lathe::Main(argv[1], argv[2], argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 20, argc > 4 ? std::atoi(argv[4]) : 1);
}
