// SpaceRecord: a whole space with what came back for each of its configurations, written in the format that RecordedSpace reads.
//
// NAME.json says where it was measured; NAME.csv.gz and NAME.samples.csv.gz are as recorded_space.h describes them, with one difference
// that the .json states: time_ms is the 20 % quantile of the samples, the statistic everything else here goes by. The same measurements
// give the same bytes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "core/target.h"
#include "space/space.h"

namespace lathe {

struct SpaceRecordHeader {
  std::string id;
  std::string operator_label;  // for people: "resize 224x224"
  Workload workload;
  std::string template_name, template_hash;
  Target target;
};

// What is left of a definition when some parameters keep only the values given ("LANES=8,16": one or more of the list). An error names the
// parameter, or the value that it does not have.
Result<SpaceDefinition> Narrowed(SpaceDefinition definition, const std::vector<std::string>& fixes);

struct SpaceRecordSummary {
  size_t rows = 0, worked = 0;
  double optimum_seconds = 0, median_seconds = 0;
};

// `stem`: NAME, without an ending. Measurements of other spaces' points are left out; of a configuration measured twice the last counts.
// Fails when a valid configuration has no measurement (the record would be no whole space), when none worked, or when a file cannot be
// written.
Result<SpaceRecordSummary> WriteSpaceRecord(const std::filesystem::path& stem, const SpaceRecordHeader& header, const Space& space,
                                            const std::vector<Measurement>& measurements);

}  // namespace lathe
