// proposal_time: what the model strategy's own work costs where a space is vast and much was measured.
//
//     proposal_time [--observations N] [--count N] [--repeats N]
//
// A made-up space of more than 10^8 valid configurations (seven tile sizes, two switches, constraints between them) and a made-up time with
// thresholds and products. Two cases: all observations arrive at once, as when a run is resumed, then one proposal; and a proposal after
// each further batch was answered, as in a running search. Times are of the processor, so that what else runs does not count; there is one
// thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <ctime>

#include "search/strategy.h"
#include "space/space.h"

namespace lathe {
namespace {

struct Settings {
  size_t observations = 1000, count = 64, repeats = 5;
};

Result<Space> VastSpace() {
  SpaceDefinition definition;
  definition.id = "vast";
  const auto add = [&](const std::string& name, const std::vector<int64_t>& values) {
    Parameter parameter{name, {}, ""};
    for (const int64_t value : values) parameter.values.emplace_back(value);
    definition.parameters.push_back(std::move(parameter));
  };
  const std::vector<int64_t> tiles = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
  for (const char* name : {"TX", "TY", "TZ", "BX", "BY", "BZ", "U"}) add(name, tiles);
  add("PACK", {0, 1});
  add("ORDER", {0, 1, 2, 3});
  definition.constraints = {{"TX*TY*TZ <= 16384", ""}, {"BX*BY <= 1024", ""}, {"BZ <= 2*U*BX", ""}};
  return Space::Create(std::move(definition));
}

double SecondsOf(const Space& space, const Point& point) {
  const auto number = [&](size_t p) { return space.Number(p, point[p]); };
  const double tile = std::log2(number(0) * number(1)) - 8, block = std::log2(number(3) * number(4)) - 7;
  return 1e-3 * (1 + 0.1 * tile * tile + 0.05 * block * block + 0.3 * std::abs(std::log2(number(6)) - 2) + 0.4 * (1 - number(7)) +
                 0.1 * number(8) + (number(0) * number(3) > 512 ? 1 : 0));
}

double Milliseconds(std::clock_t from) { return 1e3 * static_cast<double>(std::clock() - from) / CLOCKS_PER_SEC; }

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Run(int argc, char** argv) {
  CLI::App app("What a proposal of the model strategy costs");
  Settings settings;
  app.add_option("--observations", settings.observations, "Known before the first proposal")->capture_default_str();
  app.add_option("--count", settings.count, "Points of a proposal")->capture_default_str();
  app.add_option("--repeats", settings.repeats)->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  Result<Space> space = VastSpace();
  if (!space) {
    fmt::print(stderr, "proposal_time: {}\n", space.error().message);
    return 1;
  }
  std::vector<double> first, later;
  for (size_t repeat = 0; repeat < settings.repeats; ++repeat) {
    StrategyContext context;
    context.space = &*space;
    context.seed = repeat + 1;
    context.budget = 2 * settings.observations;
    Result<std::unique_ptr<Strategy>> strategy = MakeStrategy("model", context);
    if (!strategy) {
      fmt::print(stderr, "proposal_time: {}\n", strategy.error().message);
      return 1;
    }
    std::mt19937_64 random(repeat + 1);
    std::vector<Observation> observations;
    while (observations.size() < settings.observations) {
      const Point point = *space->Sample(random);
      observations.push_back({point, true, SecondsOf(*space, point)});
    }
    (*strategy)->Observe(observations);
    for (int proposal = 0; proposal < 4; ++proposal) {
      const std::clock_t from = std::clock();
      const std::vector<Point> points = (*strategy)->Propose(settings.count);
      (proposal == 0 ? first : later).push_back(Milliseconds(from));
      observations.clear();
      for (const Point& point : points) observations.push_back({point, true, SecondsOf(*space, point)});
      (*strategy)->Observe(observations);
    }
  }
  const std::optional<uint64_t> valid = space->CountValid();
  fmt::print(
      "{} of {:.2g} valid configurations, {} observations: first proposal {:.1f} ms, later ones {:.1f} ms (medians; slowest {:.1f} and "
      "{:.1f})\n",
      settings.count, valid ? static_cast<double>(*valid) : space->raw_size(), settings.observations, Median(first), Median(later),
      *std::max_element(first.begin(), first.end()), *std::max_element(later.begin(), later.end()));
  return 0;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) { return lathe::Run(argc, argv); }
