// What the network path adds to a candidate: the same kernel of about 1 ms through a local measurer and through an agent on loopback, in
// turns.
//
//   remote-overhead [ROUNDS]     default: 20 of each
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "measure/local_measurer.h"
#include "rpc/agent/agent_server.h"
#include "rpc/agent/local_board.h"
#include "rpc/client/remote_measurer.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

// One candidate at a time, from handing it over to its answer.
double RoundTrip(Measurer& measurer, const Candidate& candidate, uint64_t ticket, double& kernel_seconds, double& device_seconds) {
  const auto begin = Clock::now();
  if (!measurer.Submit({ticket, candidate, 0, false})) return -1;
  while (Clock::now() - begin < std::chrono::seconds(120)) {
    Result<std::vector<Measurement>> answers = measurer.Wait(std::chrono::milliseconds(1000));
    if (!answers || answers->empty()) continue;
    if (answers->front().status != MeasureStatus::kOk) fmt::print(stderr, "{}\n", answers->front().message);
    kernel_seconds = Seconds(answers->front());
    device_seconds = answers->front().run_seconds;
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return -1;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

int Run(int rounds) {
  Result<TemplateLibrary> library = TemplateLibrary::Load(TemplateLibrary::DefaultDir());
  Result<TempDir> dir = TempDir::Create("remote-overhead");
  if (!library || !dir) return 1;
  WorkshopOptions options;
  options.cache_dir = dir->path() / "artifacts";
  Result<std::unique_ptr<LocalMeasurer>> local = LocalMeasurer::Create(&*library, options);
  Result<std::unique_ptr<UploadStore>> store = UploadStore::Open(dir->path() / "uploads", {});
  LocalBoardOptions here;
  here.workshop = options;
  Board::Options name;
  name.name = "loopback";
  Board board(name, MeasuringHere(here));
  Result<std::unique_ptr<AgentServer>> server = AgentServer::Start(&board, store->get(), {});
  if (!local || !server) return 1;
  RemoteOptions remote;
  remote.boards = fmt::format("127.0.0.1:{}", (*server)->port());
  Result<std::unique_ptr<BoardPool>> pool = OpenBoards(*library, remote);
  if (!pool) return 1;

  const Operator* op = *library->FindOperator("resize");
  const KernelTemplate* tmpl = *library->FindTemplate("resize/resize_cpu");
  Result<Workload> workload = op->Normalise(*ParseWorkload("resize:h=1080,w=1920,c=3,oh=384,ow=384"));
  if (!workload) return 1;
  Result<Space> space = tmpl->SpaceFor(*op, *workload, (*local)->target());
  if (!space) return 1;
  const Candidate candidate{*workload, tmpl->name(), tmpl->hash(), space->ConfigAt(*space->First())};

  std::vector<double> seconds[2], kernel[2], added[2];
  Measurer* measurers[2] = {local->get(), pool->get()};
  for (int round = -1; round < rounds; ++round)  // the first builds and computes the reference
    for (int way = 0; way < 2; ++way) {
      double kernel_seconds = 0, device_seconds = 0;
      const double took =
          RoundTrip(*measurers[way], candidate, static_cast<uint64_t>(2 * (round + 2) + way), kernel_seconds, device_seconds);
      if (took < 0) return 1;
      if (round < 0) continue;
      seconds[way].push_back(took);
      kernel[way].push_back(kernel_seconds);
      added[way].push_back(took - device_seconds);
    }
  const char* names[2] = {"local", "remote"};
  fmt::print("way     kernel ms  candidate ms  besides the worker ms   (medians of {})\n", rounds);
  for (int way = 0; way < 2; ++way)
    fmt::print("{:<7} {:>9.3f}  {:>12.2f}  {:>21.2f}\n", names[way], 1e3 * Median(kernel[way]), 1e3 * Median(seconds[way]),
               1e3 * Median(added[way]));
  return 0;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) { return lathe::Run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 20); }
