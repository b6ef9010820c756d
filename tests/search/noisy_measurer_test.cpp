#include "search/noisy_measurer.h"

#include <gtest/gtest.h>

#include <set>

#include "core/file.h"
#include "search/gzip_file.h"

namespace lathe {
namespace {

// Two configs of ten launches each: a == 1 takes 9, 6, 1.01, 1.02, ... ms; a == 2 takes 5 ms always.
class TenLaunches : public testing::Test {
 protected:
  TenLaunches() : dir_(*TempDir::Create("noisy-test")) {
    const std::string stem = dir_.path() / "ten";
    EXPECT_TRUE(WriteFile(stem + ".json", R"({"id": "ten", "parameters": ["a"], "values": {"a": [1, 2]}, "constraints": []})"));
    EXPECT_TRUE(WriteGzipFile(stem + ".csv.gz", "a,time_ms,std_ms,error,compile_ms,bench_ms\n1,2.5,1,,1,1\n2,5,0,,1,1\n"));
    EXPECT_TRUE(WriteGzipFile(
        stem + ".samples.csv.gz",
        "a,ms_0,ms_1,ms_2,ms_3,ms_4,ms_5,ms_6,ms_7,ms_8,ms_9\n1,9,6,1.01,1.02,1.03,1.04,1.05,1.06,1.07,1.08\n2,5,5,5,5,5,5,5,5,5,5\n"));
    auto space = RecordedSpace::Load(stem);
    EXPECT_TRUE(space) << space.error().message;
    space_ = std::make_unique<RecordedSpace>(*std::move(space));
    EXPECT_TRUE(space_->LoadSamples());
  }

  std::vector<double> Answer(NoisyMeasurer& measurer, int64_t a, double best_seconds = 0, bool finalist = false) {
    MeasureRequest request;
    request.candidate.config = {{"a", Value(a)}};
    request.best_seconds = best_seconds;
    request.finalist = finalist;
    EXPECT_TRUE(measurer.Submit(request));
    const auto answers = measurer.Wait(std::chrono::milliseconds(0));
    EXPECT_TRUE(answers);
    return answers->front().seconds;
  }

  TempDir dir_;
  std::unique_ptr<RecordedSpace> space_;
};

TEST_F(TenLaunches, BeginWithTheFirstOnesInEveryAnswer) {
  std::set<double> third;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    NoisyMeasurer measurer(*space_, 1, {.seed = seed, .in_order = 2, .warm_up = false, .samples = 4});
    const std::vector<double> samples = Answer(measurer, 1);
    ASSERT_EQ(samples.size(), 4u);
    EXPECT_FLOAT_EQ(static_cast<float>(samples[0]), 9e-3F);
    EXPECT_FLOAT_EQ(static_cast<float>(samples[1]), 6e-3F);
    EXPECT_NE(samples[2], samples[3]) << "none twice";
    third.insert(samples[2]);
  }
  EXPECT_EQ(third.size(), 8u) << "those after the first two come in any order";
}

TEST_F(TenLaunches, AreNotReportedUntilTheyAreWarm) {
  NoisyMeasurer measurer(*space_, 1, {.in_order = 10, .samples = 2});
  const std::vector<double> samples = Answer(measurer, 1);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_FLOAT_EQ(static_cast<float>(samples[0]), 1.03e-3F) << "9, 6 and 1.01 get faster, 1.02 no more";
  EXPECT_EQ(measurer.launches(), 6u) << "the warm-up costs launches, too";
}

TEST_F(TenLaunches, AreCutShortWhenClearlySlowerThanTheBestUnlessForTheFinals) {
  NoisyMeasurer measurer(*space_, 1, {.samples = 4, .finalist_samples = 20});
  EXPECT_EQ(Answer(measurer, 2, 1e-3).size(), 2u);
  EXPECT_EQ(Answer(measurer, 2, 3e-3).size(), 4u);
  EXPECT_EQ(Answer(measurer, 2, 1e-3, true).size(), 8u) << "a record has no more than its launches, two of them the warm-up's";
}

}  // namespace
}  // namespace lathe
