// RecordedSpace: a space of which every configuration was measured once, on some device, by somebody: its times and its failures.
//
// The neutral format: NAME.json holds id, parameters, values, fixed parameters and constraints (see SpaceDefinitionFromJson); NAME.csv.gz
// has a row for each valid configuration: the parameters, time_ms (mean; empty where it failed), std_ms, error ("compile", "runtime"),
// compile_ms, bench_ms. NAME.samples.csv.gz, where there is one: the parameters, then the samples ms_0, ms_1, ….
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "search/point_set.h"
#include "space/space.h"

namespace lathe {

struct RecordedResult {
  MeasureStatus status = MeasureStatus::kOk;
  double seconds = 0;  // mean; kOk only
  double build_seconds = 0, run_seconds = 0;
  std::vector<float> samples;  // seconds; empty unless they were loaded
};

class RecordedSpace {
 public:
  // `path`: NAME.json, or without its ending. An error names file, line and reason.
  static Result<RecordedSpace> Load(const std::filesystem::path& path);
  // Adds the raw samples to the results; fails when there is no such file.
  Status LoadSamples();

  const std::string& id() const { return space_->id(); }
  const Space& space() const { return *space_; }
  const SpaceDefinition& definition() const { return definition_; }
  size_t size() const { return results_.size(); }
  // Null for a valid configuration that was not recorded.
  const RecordedResult* Find(const Point& point) const;
  double optimum_seconds() const { return sorted_.front(); }
  // Ascending, of all that worked; never empty.
  const std::vector<double>& sorted_seconds() const { return sorted_; }

 private:
  RecordedSpace() = default;
  Status ReadRows(const std::string& text);

  std::filesystem::path stem_;
  SpaceDefinition definition_;
  std::unique_ptr<Space> space_;
  PointMap<RecordedResult> results_;
  std::vector<double> sorted_;
};

}  // namespace lathe
