#include "search/noisy_measurer.h"

#include <algorithm>
#include <numeric>

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

std::vector<double> NoisyMeasurer::Draw(const std::vector<float>& recorded, const MeasureRequest& request) {
  std::vector<size_t> order(recorded.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const size_t wanted = std::min(recorded.size(), request.finalist ? options_.finalist_samples : options_.samples);
  std::vector<double> samples;
  for (size_t i = 0; i < wanted; ++i) {
    std::swap(order[i], order[std::uniform_int_distribution<size_t>(i, order.size() - 1)(random_)]);
    samples.push_back(recorded[order[i]]);
    const bool cut = !request.finalist && request.best_seconds > 0 && samples.size() == options_.cut_after &&
                     *std::min_element(samples.begin(), samples.end()) > options_.cut_ratio * request.best_seconds;
    if (cut) break;
  }
  samples_taken_ += samples.size();
  return samples;
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
    measurement.seconds = Draw(result->samples, request);
    measurement.cut_early = !request.finalist && measurement.seconds.size() < std::min(options_.samples, result->samples.size());
  }
  answers.push_back(std::move(measurement));
  return answers;
}

}  // namespace lathe
