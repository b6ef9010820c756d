// One tuner, N simulated boards: real agents speaking real gRPC on loopback ports, in a process of their own, whose devices replay a
// recorded space.
//
//   many-boards SPACE.json [BOARDS…]     one line for each number of boards (default: 1 10 100 1000)
//
// $DEVICE_MS (1000) is how long a candidate holds a device, $SECONDS_EACH (20) how long each number of boards is driven. Wants about 4 open
// files a board.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/file.h"
#include "rpc/agent/agent_server.h"
#include "rpc/agent/board.h"
#include "rpc/agent/upload_store.h"
#include "rpc/client/remote_measurer.h"
#include "rpc/endpoint.h"
#include "search/driver.h"
#include "search/recorded_space.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

double Setting(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atof(text) : otherwise;
}

// One device: takes DEVICE_MS for each candidate, one after the other, and answers out of the recording.
class ReplayedDevice : public Measurer {
 public:
  explicit ReplayedDevice(const RecordedSpace* space)
      : space_(space), each_(std::chrono::microseconds(static_cast<int64_t>(1000 * Setting("DEVICE_MS", 1000)))) {
    target_.backend = "external";
    target_.name = space->id();
  }
  const Target& target() const override { return target_; }
  size_t capacity() const override { return 2; }
  Status Submit(MeasureRequest request) override {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    free_ = std::max(free_, now) + each_;
    queue_.emplace_back(free_, std::move(request));
    return {};
  }
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override {
    Clock::time_point until = Clock::now() + timeout;
    {
      const std::lock_guard lock(mutex_);
      if (!queue_.empty()) until = std::min(until, queue_.front().first);
    }
    std::this_thread::sleep_until(until);
    std::vector<Measurement> done;
    const std::lock_guard lock(mutex_);
    while (!queue_.empty() && queue_.front().first <= Clock::now()) {
      done.push_back(Answer(queue_.front().second));
      queue_.pop_front();
      busy_ += each_;
    }
    return done;
  }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    busy_ = BusyLocked();
    queue_.clear();
  }
  // So far, with what has passed of the candidate on it.
  std::chrono::microseconds Busy() {
    const std::lock_guard lock(mutex_);
    return BusyLocked();
  }

 private:
  std::chrono::microseconds BusyLocked() const {
    auto busy = busy_;
    for (const auto& [end, request] : queue_)
      busy += std::chrono::duration_cast<std::chrono::microseconds>(
          std::clamp<Clock::duration>(Clock::now() - (end - each_), Clock::duration::zero(), each_));
    return busy;
  }
  Measurement Answer(const MeasureRequest& request) const {
    Measurement measurement;
    measurement.ticket = request.ticket;
    Result<Point> point = space_->space().PointOf(request.candidate.config);
    const RecordedResult* recorded = point ? space_->Find(*point) : nullptr;
    measurement.status = recorded == nullptr ? MeasureStatus::kInvalidConfig : recorded->status;
    if (measurement.status == MeasureStatus::kOk) measurement.seconds = {recorded->seconds};
    return measurement;
  }
  const RecordedSpace* space_;
  std::chrono::microseconds each_, busy_{0};
  Target target_;
  std::mutex mutex_;
  Clock::time_point free_{};
  std::deque<std::pair<Clock::time_point, MeasureRequest>> queue_;
};

int Serve(const RecordedSpace& space, int count) {
  Result<TempDir> dir = TempDir::Create("many-boards");
  Result<std::unique_ptr<UploadStore>> store = UploadStore::Open(dir->path() / "uploads", {});
  std::vector<std::unique_ptr<Board>> boards;
  std::vector<std::unique_ptr<AgentServer>> servers;
  std::mutex mutex;
  std::vector<ReplayedDevice*> devices;  // one a board, which lives as long as the board: its one session is never another's
  for (int i = 0; i < count; ++i) {
    Board::Options options;
    options.name = fmt::format("board{}", i);
    boards.push_back(std::make_unique<Board>(options, [&](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> {
      auto device = std::make_unique<ReplayedDevice>(&space);
      const std::lock_guard lock(mutex);
      devices.push_back(device.get());
      return std::unique_ptr<Measurer>(std::move(device));
    }));
    Result<std::unique_ptr<AgentServer>> server = AgentServer::Start(boards.back().get(), store->get(), {});
    if (!server) {
      fmt::print(stderr, "{}\n", server.error().message);
      return 1;
    }
    fmt::print("{}{}", i == 0 ? "" : ",", (*server)->port());
    servers.push_back(std::move(*server));
  }
  fmt::print("\n");
  std::fflush(stdout);
  // Each line asks how long devices have been busy so far.
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c != '\n') continue;
    std::chrono::microseconds busy{0};
    const std::lock_guard lock(mutex);
    for (ReplayedDevice* device : devices) busy += device->Busy();
    fmt::print("{}\n", busy.count());
    std::fflush(stdout);
  }
  std::_Exit(0);
}

struct Servers {
  pid_t pid = 0;
  FILE *in = nullptr, *out = nullptr;
  std::string Ask() const {
    std::string line;
    if (in != nullptr) {
      std::fputc('\n', in);
      std::fflush(in);
    }
    return Read();
  }
  std::string Read() const {
    std::string line;
    for (int c = std::fgetc(out); c != EOF && c != '\n'; c = std::fgetc(out)) line += static_cast<char>(c);
    return line;
  }
};

Servers StartServers(const char* program, const char* space, int count) {
  int in[2], out[2];
  if (::pipe(in) != 0 || ::pipe(out) != 0) std::abort();
  Servers servers;
  servers.pid = ::fork();  // before gRPC is used in this process
  if (servers.pid == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    ::close(in[1]);
    ::close(out[0]);
    ::execl(program, program, space, "--serve", std::to_string(count).c_str(), nullptr);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  servers.in = ::fdopen(in[1], "w");
  servers.out = ::fdopen(out[0], "r");
  return servers;
}

class NoJournal : public Journal {
 public:
  Result<std::vector<Measurement>> History(const Workload&, const std::string&, const std::string&, const Target&) override {
    return std::vector<Measurement>();
  }
  Status BeginRun(const RunInfo&) override { return {}; }
  Status Record(const std::string&, const std::vector<Measurement>&) override { return {}; }
  Status EndRun(const std::string&, const std::string&) override { return {}; }
};

double CpuSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int Drive(const char* program, const char* path, int count) {
  const Servers servers = StartServers(program, path, count);
  std::string boards, ports = servers.Read();
  for (size_t from = 0; from < ports.size();) {
    const size_t comma = std::min(ports.find(',', from), ports.size());
    boards += fmt::format("{}127.0.0.1:{}", boards.empty() ? "" : ",", ports.substr(from, comma - from));
    from = comma + 1;
  }
  Result<RecordedSpace> space = RecordedSpace::Load(path);
  if (!space) return 1;
  std::vector<std::unique_ptr<BoardLink>> links;
  const std::vector<std::string> endpoints = *ParseEndpoints(boards);
  for (const std::string& endpoint : endpoints) {
    LinkOptions link;
    link.endpoint = endpoint;
    link.call_seconds = 60;
    links.push_back(std::move(*MakeGrpcLink(link)));
  }
  PoolOptions options;
  options.silence = std::chrono::seconds(20);
  const double each = Setting("SECONDS_EACH", 20);
  const auto begin = Clock::now();
  Result<std::unique_ptr<BoardPool>> pool = BoardPool::Create(std::move(links), options);
  if (!pool) {
    fmt::print(stderr, "{}\n", pool.error().message);
    return 1;
  }
  const auto up = [&] {
    const auto states = (*pool)->boards();
    return std::count_if(states.begin(), states.end(), [](const BoardState& state) { return state.state == "up"; });
  };
  while (up() < count && Clock::now() - begin < std::chrono::seconds(120)) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double joined = std::chrono::duration<double>(Clock::now() - begin).count();

  std::vector<TuneTask> tasks(1);
  tasks[0].workload = {"recorded", {}};
  tasks[0].label = space->id();
  Result<Space> own = Space::Create(space->definition());
  if (!own) return 1;
  tasks[0].templates.push_back({"recorded", "recorded", std::make_unique<Space>(std::move(*own)), nullptr});
  NoJournal journal;
  TuneOptions tune;
  tune.search.strategy = "random";
  tune.search.trials = 1'000'000;
  tune.max_seconds = each;
  const double cpu = CpuSeconds();
  const double busy = std::atof(servers.Ask().c_str());
  const auto from = Clock::now();
  Result<TuneReport> report = Tune(tasks, **pool, journal, tune);
  const double wall = std::chrono::duration<double>(Clock::now() - from).count();
  const double used = CpuSeconds() - cpu;
  const double worked = 1e-6 * (std::atof(servers.Ask().c_str()) - busy);
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  if (!report) fmt::print(stderr, "{}\n", report.error().message);
  const double measured = report ? static_cast<double>(report->measurements) : 0;
  fmt::print("{:>6} {:>6} {:>9.1f} {:>9.0f} {:>9.1f} {:>8.0f}% {:>10.1f} {:>9.3f} {:>8.0f}\n", count, up(), joined, measured,
             measured / wall, 100 * worked / wall / count, 100 * used / wall, 1e3 * used / std::max(1.0, measured),
             static_cast<double>(usage.ru_maxrss) / 1024);
  std::fflush(stdout);
  ::kill(servers.pid, SIGKILL);
  ::waitpid(servers.pid, nullptr, 0);
  std::_Exit(report ? 0 : 1);
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: many-boards SPACE.json [BOARDS…]\n");
    return 2;
  }
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (argc == 4 && std::string(argv[2]) == "--serve") {
    const lathe::Result<lathe::RecordedSpace> space = lathe::RecordedSpace::Load(argv[1]);
    if (!space) {
      fmt::print(stderr, "{}\n", space.error().message);
      return 1;
    }
    return lathe::Serve(*space, std::atoi(argv[3]));
  }
  std::vector<int> counts;
  for (int i = 2; i < argc; ++i) counts.push_back(std::atoi(argv[i]));
  if (counts.empty()) counts = {1, 10, 100, 1000};
  fmt::print("boards     up  joined s  measured    per s  devices  tuner cpu%  ms each  MB peak\n");
  std::fflush(stdout);
  for (const int count : counts) {
    // A process each, so that memory and CPU are those of this number of boards.
    const pid_t pid = ::fork();
    if (pid == 0) return lathe::Drive("/proc/self/exe", argv[1], count);
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 0) return 1;
  }
  return 0;
}
