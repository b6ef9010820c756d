#include "search/recorded_measurer.h"

namespace lathe {

RecordedMeasurer::RecordedMeasurer(const RecordedSpace& space, size_t in_flight) : space_(space), in_flight_(in_flight) {
  target_.backend = "external";
  target_.architecture = "recorded";
  target_.name = space.id();
}

Status RecordedMeasurer::Submit(MeasureRequest request) {
  queue_.push_back(std::move(request));
  return {};
}

Result<std::vector<Measurement>> RecordedMeasurer::Wait(std::chrono::milliseconds) {
  if (queue_.empty()) return std::vector<Measurement>{};
  MeasureRequest request = std::move(queue_.front());
  queue_.pop_front();
  Measurement measurement;
  measurement.ticket = request.ticket;
  measurement.board = "recorded";
  measurement.candidate = std::move(request.candidate);
  Result<Point> point = space_.space().PointOf(measurement.candidate.config);
  if (!point) return point.error().In("replay " + space_.id());
  const RecordedResult* result = space_.Find(*point);
  if (result == nullptr) {
    measurement.status = MeasureStatus::kInvalidConfig;
    measurement.message = "this configuration was not recorded";
  } else {
    measurement.status = result->status;
    measurement.build_seconds = result->build_seconds;
    measurement.run_seconds = result->run_seconds;
    if (result->status == MeasureStatus::kOk) measurement.seconds = {result->seconds};
  }
  std::vector<Measurement> answers;
  answers.push_back(std::move(measurement));
  return answers;
}

}  // namespace lathe
