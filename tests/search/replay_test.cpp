#include "search/replay.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/file.h"
#include "search/gzip_file.h"
#include "search/recorded_measurer.h"

namespace lathe {
namespace {

// Ten by ten; a bowl around (7, 3); what has b == 10 fails to compile, (1, 1) fails to run.
class RecordedBowl : public testing::Test {
 protected:
  RecordedBowl() : dir_(*TempDir::Create("replay-test")), stem_(dir_.path() / "bowl") {
    EXPECT_TRUE(WriteFile(stem_.string() + ".json", R"({"id": "bowl", "parameters": ["a", "b"],
      "values": {"a": [1,2,3,4,5,6,7,8,9,10], "b": [1,2,3,4,5,6,7,8,9,10]}, "fixed_parameters": {"limit": 15}, "constraints": ["a + b <= limit"]})"));
    rows_ = "a,b,time_ms,std_ms,error,compile_ms,bench_ms\n";
    std::string samples = "a,b,ms_0,ms_1\n";
    for (int a = 1; a <= 10; ++a) {
      for (int b = 1; b <= 10; ++b) {
        if (a + b > 15) continue;
        const std::string point = std::to_string(a) + ',' + std::to_string(b) + ',';
        const std::string ms = std::to_string(2 + (a - 7) * (a - 7) + (b - 3) * (b - 3));
        const bool runs = !(a == 1 && b == 1), works = b != 10 && runs;
        rows_ += point + (works ? ms : "") + ",0.1," + (works ? "" : runs ? "compile" : "runtime") + ",100,50\n";
        if (works) samples += point + ms + "," + ms + ".5\n";
      }
    }
    EXPECT_TRUE(WriteGzipFile(stem_.string() + ".csv.gz", rows_));
    EXPECT_TRUE(WriteGzipFile(stem_.string() + ".samples.csv.gz", samples));
  }

  TempDir dir_;
  std::filesystem::path stem_;
  std::string rows_;
};

TEST_F(RecordedBowl, ReadsTimesFailuresAndSamples) {
  auto space = RecordedSpace::Load(stem_.string() + ".json");
  ASSERT_TRUE(space) << space.error().message;
  EXPECT_EQ(space->size(), 85u);
  EXPECT_DOUBLE_EQ(space->optimum_seconds(), 2e-3);
  const auto find = [&](int64_t a, int64_t b) { return space->Find(*space->space().PointOf({{"a", Value(a)}, {"b", Value(b)}})); };
  EXPECT_EQ(find(2, 10)->status, MeasureStatus::kBuildError);
  EXPECT_EQ(find(1, 1)->status, MeasureStatus::kLaunchError);
  EXPECT_DOUBLE_EQ(find(7, 4)->seconds, 3e-3);
  EXPECT_DOUBLE_EQ(find(7, 4)->build_seconds, 0.1);
  EXPECT_DOUBLE_EQ(find(7, 4)->run_seconds, 0.05);
  ASSERT_TRUE(space->LoadSamples());
  ASSERT_EQ(find(7, 4)->samples.size(), 2u);
  EXPECT_FLOAT_EQ(find(7, 4)->samples[1], 3.5e-3F);
}

TEST_F(RecordedBowl, NamesFileAndLineOfARowThatCannotBe) {
  EXPECT_TRUE(WriteGzipFile(stem_.string() + ".csv.gz", rows_ + "11,1,5,,,,\n"));
  const auto unknown = RecordedSpace::Load(stem_);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("bowl"), std::string::npos);
  EXPECT_NE(unknown.error().message.find("line 87: '11' is not a value of parameter a"), std::string::npos) << unknown.error().message;
  EXPECT_TRUE(WriteGzipFile(stem_.string() + ".csv.gz", rows_ + "10,10,5,,,,\n"));
  EXPECT_FALSE(RecordedSpace::Load(stem_)) << "breaks a constraint";
  EXPECT_TRUE(WriteGzipFile(stem_.string() + ".csv.gz", rows_ + "1,2,5,,,,\n"));
  EXPECT_FALSE(RecordedSpace::Load(stem_)) << "twice";
  EXPECT_FALSE(RecordedSpace::Load(dir_.path() / "missing"));
}

TEST_F(RecordedBowl, AnswersOneAtATimeInTheOrderSubmitted) {
  const auto space = RecordedSpace::Load(stem_);
  ASSERT_TRUE(space);
  RecordedMeasurer measurer(*space, 3);
  EXPECT_EQ(measurer.capacity(), 3u);
  for (uint64_t ticket = 1; ticket <= 3; ++ticket) {
    MeasureRequest request;
    request.ticket = ticket;
    request.candidate.config = {{"a", Value(static_cast<int64_t>(ticket))}, {"b", Value(int64_t{10})}};
    ASSERT_TRUE(measurer.Submit(request));
  }
  for (uint64_t ticket = 1; ticket <= 3; ++ticket) {
    const auto answers = measurer.Wait(std::chrono::milliseconds(0));
    ASSERT_TRUE(answers);
    ASSERT_EQ(answers->size(), 1u);
    EXPECT_EQ(answers->front().ticket, ticket);
    EXPECT_EQ(answers->front().status, MeasureStatus::kBuildError);
    EXPECT_TRUE(answers->front().seconds.empty());
  }
  EXPECT_TRUE(measurer.Wait(std::chrono::milliseconds(0))->empty());
}

TEST(RandomBaseline, IsTheExpectedBestOfDrawsWithoutReplacement) {
  // Of {1, 2, 4} two at a time: bests 1, 1, 2.
  const std::vector<double> best = RandomBaseline({1, 2, 4}, 3, 3);
  EXPECT_NEAR(best[0], 7.0 / 3, 1e-12);
  EXPECT_NEAR(best[1], 4.0 / 3, 1e-12);
  EXPECT_NEAR(best[2], 1, 1e-12);
}

TEST(RandomBaseline, CountsADrawOfFailuresAloneAsTheSlowest) {
  // One works of two.
  EXPECT_NEAR(RandomBaseline({3}, 2, 1)[0], 3, 1e-12);
  // {1, 5} work of four: one draw gives 1 (1/4), 5 (1/4), a failure counted as 5 (1/2).
  EXPECT_NEAR(RandomBaseline({1, 5}, 4, 1)[0], 4, 1e-12);
}

TEST_F(RecordedBowl, ReplayOfRandomSearchScoresAboutZeroAndTheModelMore) {
  const auto space = RecordedSpace::Load(stem_);
  ASSERT_TRUE(space);
  ReplayOptions options;
  options.budgets = {5, 20, 40};
  options.strategy = "random";
  options.seeds = 200;
  const auto random = Replay(*space, options);
  ASSERT_TRUE(random) << random.error().message;
  EXPECT_NEAR(random->score, 0, 0.12);
  EXPECT_LT(random->p10.at(5), random->at.at(5));
  options.strategy = "model";
  options.seeds = 30;
  const auto model = Replay(*space, options);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_GT(model->score, random->score + 0.1);
  EXPECT_GT(model->at.at(20), random->at.at(20) + 0.1);
  EXPECT_GT(model->at.at(40), 0.98);
  EXPECT_LE(model->trials_to.at(0.9).value(), 40);
}

TEST_F(RecordedBowl, ReplayIsTheSameForTheSameSeeds) {
  const auto space = RecordedSpace::Load(stem_);
  ASSERT_TRUE(space);
  ReplayOptions options;
  options.seeds = 2;
  options.budgets = {30};
  const auto one = Replay(*space, options), two = Replay(*space, options);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->at, two->at);
  EXPECT_EQ(one->auc, two->auc);
}

TEST_F(RecordedBowl, JsonHasBudgetsAsKeysAndNullWhereNotReached) {
  const auto space = RecordedSpace::Load(stem_);
  ASSERT_TRUE(space);
  ReplayOptions options;
  options.strategy = "random";
  options.seeds = 9;
  options.budgets = {1, 2};
  ReplayReport report{"random", 9, {}};
  report.spaces.push_back(*Replay(*space, options));
  const nlohmann::ordered_json json = ToJson(report);
  EXPECT_EQ(json["strategy"], "random");
  EXPECT_EQ(json["seeds"], 9);
  EXPECT_EQ(json["spaces"][0]["id"], "bowl");
  EXPECT_TRUE(json["spaces"][0]["at"]["2"].is_number());
  EXPECT_TRUE(json["spaces"][0]["p10"]["2"].is_number());
  EXPECT_TRUE(json["spaces"][0]["trials_to"].contains("0.9"));
  EXPECT_TRUE(json["spaces"][0]["trials_to"]["0.99"].is_null());
  EXPECT_TRUE(json["spaces"][0]["strategy_s"].is_number());
  EXPECT_TRUE(json["overall"]["score"].is_number());
  EXPECT_TRUE(json["overall"]["trials_to"]["0.99"].is_null());
}

TEST_F(RecordedBowl, ReplayGoesOnToTheEndOfASpaceSmallerThanTheBudget) {
  const auto space = RecordedSpace::Load(stem_);
  ASSERT_TRUE(space);
  ReplayOptions options;
  options.strategy = "genetic";
  options.seeds = 2;
  options.budgets = {400};
  const auto figures = Replay(*space, options);
  ASSERT_TRUE(figures);
  EXPECT_DOUBLE_EQ(figures->at.at(400), 1);
}

}  // namespace
}  // namespace lathe
