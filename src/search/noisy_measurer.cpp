#include "search/noisy_measurer.h"

#include <algorithm>

#include "measure/sampling.h"
#include "measure/warm_up.h"

namespace lathe {

NoisyMeasurer::NoisyMeasurer(const RecordedSpace& space, size_t in_flight, const NoisyOptions& options)
    : space_(space), options_(options), in_flight_(in_flight), random_(options.seed) {
  target_.backend = "external";
  target_.architecture = "recorded";
  target_.name = space.id();
}

Status NoisyMeasurer::Submit(MeasureRequest request) {
  queue_.push_back(std::move(request));
  return {};
}

size_t LaunchesUntilWarm(const std::vector<double>& seconds) {
  if (seconds.size() < 2) return 0;
  WarmUp warm_up(seconds[0], SamplingOptions().warmup_seconds);
  size_t launch = 1;
  for (double elapsed = 0; launch + 1 < seconds.size() && !warm_up.done(); ++launch)
    warm_up.Add(seconds[launch], elapsed += seconds[launch]);
  return launch;
}

void NoisyMeasurer::Launch(const std::vector<float>& recorded, const MeasureRequest& request, Measurement* measurement) {
  std::vector<double> seconds(recorded.begin(), recorded.end());
  std::shuffle(seconds.begin() + static_cast<std::ptrdiff_t>(std::min(options_.in_order, seconds.size())), seconds.end(), random_);
  const size_t wanted = request.finalist ? options_.finalist_samples : options_.samples;
  size_t launch = options_.warm_up ? LaunchesUntilWarm(seconds) : 0;
  std::vector<double>& samples = measurement->seconds;
  while (launch < seconds.size() && samples.size() < wanted && !measurement->cut_early) {
    samples.push_back(seconds[launch++]);
    measurement->cut_early = !request.finalist && request.best_seconds > 0 && samples.size() == options_.cut_after &&
                             *std::min_element(samples.begin(), samples.end()) > options_.cut_ratio * request.best_seconds;
  }
  launches_ += launch;
}

Result<std::vector<Measurement>> NoisyMeasurer::Wait(std::chrono::milliseconds) {
  std::vector<Measurement> answers;
  if (queue_.empty()) return answers;
  const MeasureRequest request = std::move(queue_.front());
  queue_.pop_front();
  Measurement measurement;
  measurement.ticket = request.ticket;
  measurement.board = "recorded";
  measurement.candidate = request.candidate;
  Result<Point> point = space_.space().PointOf(measurement.candidate.config);
  if (!point) return point.error().In("replay " + space_.id());
  const RecordedResult* result = space_.Find(*point);
  if (result == nullptr) {
    measurement.status = MeasureStatus::kInvalidConfig;
    measurement.message = "this configuration was not recorded";
  } else if (result->status != MeasureStatus::kOk || result->samples.empty()) {
    measurement.status = result->status == MeasureStatus::kOk ? MeasureStatus::kLaunchError : result->status;
  } else {
    Launch(result->samples, request, &measurement);
  }
  answers.push_back(std::move(measurement));
  return answers;
}

}  // namespace lathe
