#include "search/space_record.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "fakes.h"
#include "search/recorded_space.h"

namespace lathe {
namespace {

class SpaceRecord : public testing::Test {
 protected:
  SpaceRecord() : dir_(*TempDir::Create("space-record-test")), space_(MakeNarrow({})) {
    header_.id = "fake";
    header_.workload = test::FakeWorkload();
    header_.template_name = "kernel";
    header_.target.name = "board";
  }

  static Space MakeNarrow(const std::vector<std::string>& fixes) {
    SpaceDefinition definition;
    definition.id = "fake";
    definition.parameters = {test::Numbers("A", {1, 2, 4}), {"KIND", {Value(std::string("wide")), Value(std::string("deep"))}, ""}};
    definition.constraints = {{"A*size <= limit.most || KIND == deep", "fits"}};
    definition.numbers = {{"size", 2}, {"limit.most", 4}, {"unused", 7}};
    return *Space::Create(*Narrowed(definition, fixes));
  }

  std::vector<Measurement> MeasureAll() const {
    std::vector<Measurement> all;
    space_.ForEach([&](const Point& point) {
      Measurement measurement;
      measurement.candidate.config = space_.ConfigAt(point);
      measurement.build_seconds = 0.5;
      if (all.size() == 1) {
        measurement.status = MeasureStatus::kBuildError;
      } else if (all.size() == 2) {
        measurement.status = MeasureStatus::kWrongResult;
      } else {
        measurement.seconds = {0.002 * static_cast<double>(all.size() + 1), 0.003 * static_cast<double>(all.size() + 1)};
      }
      all.push_back(measurement);
      return true;
    });
    return all;
  }

  TempDir dir_;
  Space space_;
  SpaceRecordHeader header_;
};

TEST_F(SpaceRecord, ReadsBackAsARecordedSpaceWithFailuresAndSamples) {
  const std::filesystem::path stem = dir_.path() / "fake";
  const std::vector<Measurement> all = MeasureAll();
  ASSERT_EQ(all.size(), 5u);
  const auto summary = WriteSpaceRecord(stem, header_, space_, all);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->rows, 5u);
  EXPECT_EQ(summary->worked, 3u);
  auto record = RecordedSpace::Load(stem);
  ASSERT_TRUE(record) << record.error().message;
  ASSERT_TRUE(record->LoadSamples());
  EXPECT_EQ(record->size(), 5u);
  EXPECT_DOUBLE_EQ(record->optimum_seconds(), 0.002);
  size_t index = 0;
  space_.ForEach([&](const Point& point) {
    const RecordedResult* result = record->Find(*record->space().PointOf(space_.ConfigAt(point)));
    EXPECT_NE(result, nullptr);
    if (result == nullptr) return false;
    if (index == 1) {
      EXPECT_EQ(result->status, MeasureStatus::kBuildError);
    }
    if (index == 2) {
      EXPECT_EQ(result->status, MeasureStatus::kLaunchError);
    }
    if (index == 4) {
      EXPECT_EQ(result->samples.size(), 2u);
    }
    EXPECT_DOUBLE_EQ(result->build_seconds, 0.5);
    ++index;
    return true;
  });
  const std::string json = *ReadFile(stem.string() + ".json");
  EXPECT_NE(json.find("limit.most"), std::string::npos);
  EXPECT_EQ(json.find("unused"), std::string::npos) << "only what constraints ask for";
}

TEST_F(SpaceRecord, GivesTheSameBytesForTheSameMeasurements) {
  ASSERT_TRUE(WriteSpaceRecord(dir_.path() / "one", header_, space_, MeasureAll()));
  ASSERT_TRUE(WriteSpaceRecord(dir_.path() / "two", header_, space_, MeasureAll()));
  for (const char* ending : {".json", ".csv.gz", ".samples.csv.gz"})
    EXPECT_EQ(*ReadFile((dir_.path() / "one").string() + ending), *ReadFile((dir_.path() / "two").string() + ending)) << ending;
}

TEST_F(SpaceRecord, RefusesAnIncompleteRecordAndSaysHowMuchIsMissing) {
  std::vector<Measurement> some = MeasureAll();
  some.resize(3);
  const auto summary = WriteSpaceRecord(dir_.path() / "part", header_, space_, some);
  ASSERT_FALSE(summary);
  EXPECT_NE(summary.error().message.find("2 of 5"), std::string::npos) << summary.error().message;
}

TEST_F(SpaceRecord, NarrowsParametersToTheValuesGiven) {
  const Space narrow = MakeNarrow({"A=4,1", "KIND=deep"});
  EXPECT_EQ(narrow.CountValid(), 2u);
  EXPECT_EQ(ToString(narrow.parameters()[0].values[0]), "4") << "in the order given";
  SpaceDefinition definition = space_.definition();
  for (const char* wrong : {"A", "B=1", "A=3", "A="}) EXPECT_FALSE(Narrowed(definition, {wrong})) << wrong;
}

}  // namespace
}  // namespace lathe
