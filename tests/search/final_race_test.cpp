#include "search/final_race.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>

#include "core/measurement.h"

namespace lathe {
namespace {

// Samples as a shared machine gives them: a floor, and time added now and then; each measurement a little apart from the others.
class Machine {
 public:
  explicit Machine(uint64_t seed) : random_(seed) {}
  std::vector<double> Measure(double seconds, size_t count = 15) {
    std::normal_distribution<double> apart(0, 0.002), noise(0, 0.01);
    std::exponential_distribution<double> burst(20);
    const double level = seconds * (1 + apart(random_));
    std::vector<double> samples;
    for (size_t i = 0; i < count; ++i) samples.push_back(level * (1 + std::abs(noise(random_)) + (i % 4 == 0 ? burst(random_) : 0)));
    return samples;
  }

 private:
  std::mt19937_64 random_;
};

struct Outcome {
  FinalRace::Verdict verdict;
  double confidence = 0;
  std::vector<size_t> measured;  // by candidate
};

Outcome Race(const std::vector<double>& seconds, uint64_t seed, RaceOptions options = {}) {
  Machine machine(seed);
  FinalRace race(seconds.size(), options);
  Outcome outcome;
  outcome.measured.assign(seconds.size(), 0);
  for (std::vector<size_t> round = race.NextRound(); !round.empty(); round = race.NextRound()) {
    for (const size_t candidate : round) {
      race.Add(candidate, machine.Measure(seconds[candidate]));
      ++outcome.measured[candidate];
    }
  }
  outcome.verdict = race.Result();
  outcome.confidence = race.Confidence(outcome.verdict.fastest);
  return outcome;
}

TEST(FinalRace, NamesACandidateWithinOnePercentOfTheBestAsOftenAsItClaims) {
  size_t right = 0, claimed = 0;
  constexpr size_t kRaces = 200;
  for (uint64_t seed = 1; seed <= kRaces; ++seed) {
    const std::vector<double> seconds = {1.03, 1.0, 1.012, 1.05, 1.02, 1.2};
    const Outcome outcome = Race(seconds, seed);
    ASSERT_TRUE(outcome.verdict.any);
    right += seconds[outcome.verdict.fastest] <= 1.01 ? 1 : 0;
    claimed += outcome.confidence >= 0.95 ? 1 : 0;
  }
  EXPECT_GE(right, kRaces * 95 / 100);
  EXPECT_GE(claimed, kRaces / 2) << "the races ended undecided";
}

TEST(FinalRace, SpendsNothingMoreOnTheClearlySlower) {
  const Outcome outcome = Race({1.0, 1.001, 1.002, 1.3, 1.4}, 5, {.within = 0.0005, .most_rounds = 6});
  EXPECT_EQ(outcome.measured[3], 2u);
  EXPECT_EQ(outcome.measured[4], 2u);
  EXPECT_GT(outcome.measured[0], 2u);
}

TEST(FinalRace, EndsAfterTwoRoundsWhenTheLeadIsPlain) {
  const Outcome outcome = Race({2.0, 1.0, 3.0}, 2);
  EXPECT_EQ(outcome.measured, (std::vector<size_t>{2, 2, 2}));
  EXPECT_EQ(outcome.verdict.fastest, 1u);
  EXPECT_EQ(outcome.verdict.tied, std::vector<size_t>{1});
  EXPECT_GT(outcome.confidence, 0.99);
}

TEST(FinalRace, IsNotShakenByMinutesThatSlowAllAlike) {
  const std::vector<double> seconds = {1.0, 1.05, 1.06};
  FinalRace race(seconds.size(), {});
  Machine machine(3);
  double busy = 1;
  size_t rounds = 0;
  for (std::vector<size_t> round = race.NextRound(); !round.empty(); round = race.NextRound(), busy += 0.2, ++rounds) {
    for (const size_t candidate : round) race.Add(candidate, machine.Measure(busy * seconds[candidate]));
  }
  EXPECT_EQ(race.Result().fastest, 0u);
  EXPECT_LE(rounds, 3u);
  EXPECT_GT(race.Confidence(0), 0.95);
}

TEST(FinalRace, GivesEachOfManyEqualsItsShareOfTheChance) {
  FinalRace race(8, {.within = 1e-6});
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise(1, 0.05);
  for (int round = 0; round < 3; ++round) {
    for (size_t candidate = 0; candidate < 8; ++candidate) race.Add(candidate, {noise(random), noise(random), noise(random)});
  }
  double sum = 0;
  for (size_t candidate = 0; candidate < 8; ++candidate) sum += race.Confidence(candidate);
  EXPECT_NEAR(sum, 1, 0.01);
}

TEST(FinalRace, ReportsATieAsATie) {
  size_t tied = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) tied += Race({1.0, 1.0, 1.5}, seed).verdict.tied.size() == 2 ? 1 : 0;
  EXPECT_GE(tied, 15u);
}

TEST(FinalRace, LeavesOutWhoFailsWhenMeasuredAgain) {
  FinalRace race(2, {});
  EXPECT_EQ(race.NextRound().size(), 2u);
  race.Fail(0);
  race.Add(1, {1.0, 1.1});
  EXPECT_TRUE(race.NextRound().empty());
  EXPECT_EQ(race.Result().fastest, 1u);
  EXPECT_EQ(race.Confidence(1), 1);
  race.Fail(1);
  EXPECT_FALSE(race.Result().any);
}

TEST(RaceEntries, LetsInWhoMayBeTheBestAndNobodyElse) {
  Machine machine(1);
  std::vector<std::vector<double>> samples;
  for (const double seconds : {1.5, 1.0, 1.01, 2.0, 1.005}) samples.push_back(machine.Measure(seconds, 5));
  samples.emplace_back();  // failed
  const std::vector<size_t> entries = RaceEntries(samples, 0.03, 8);
  EXPECT_EQ(std::set<size_t>(entries.begin(), entries.end()), (std::set<size_t>{1, 2, 4}));
  EXPECT_EQ(RaceEntries(samples, 0.03, 2).size(), 2u);
}

TEST(BootstrapError, IsThatOfAMeanForAMean) {
  std::mt19937_64 random(4);
  std::normal_distribution<double> noise(1, 0.05);
  std::vector<double> samples(100);
  for (double& sample : samples) sample = noise(random);
  const auto mean = [](const std::vector<double>& of) {
    return std::accumulate(of.begin(), of.end(), 0.0) / static_cast<double>(of.size());
  };
  EXPECT_NEAR(BootstrapError(samples, mean), 0.005, 0.002);
  EXPECT_EQ(BootstrapError({1.0}, mean), 0);
}

}  // namespace
}  // namespace lathe
