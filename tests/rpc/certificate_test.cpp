// Who may do what at an agent with certificates, and that a stranger is not heard.
#include <thread>

#include "agent_fixture.h"
#include "rpc/client/board_report.h"
#include "rpc/security/certificates.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ClientCertificates ReadClient(const std::filesystem::path& folder) {
  return {*ReadFile(folder / "ca.pem"), *ReadFile(folder / "client.pem"), *ReadFile(folder / "client.key")};
}

// An agent with certificates; "alice" may do everything, "bob" may measure only, nobody else may anything.
class Guarded : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir(std::move(*TempDir::Create("certs")));
    ASSERT_TRUE(MakeAuthority(Own()));
    ASSERT_TRUE(IssueBoard(Own(), "bench", {"127.0.0.1", "localhost"}));
    for (const char* name : {"alice", "bob", "carol"}) ASSERT_TRUE(IssueClient(Own(), name));
    CertificateOptions past;
    past.days = 1;
    past.starts_in_seconds = -3 * 86'400;
    ASSERT_TRUE(IssueClient(Own(), "late", past));
    ASSERT_TRUE(MakeAuthority(Foreign()));
    ASSERT_TRUE(IssueClient(Foreign(), "alice"));
  }
  static void TearDownTestSuite() { delete dir_; }
  static std::filesystem::path Own() { return dir_->path() / "own"; }
  static std::filesystem::path Foreign() { return dir_->path() / "foreign"; }

  static Agent::Setup WithTls() {
    Agent::Setup setup;
    const std::string board = (Own() / "boards/bench").string();
    setup.serve.tls = TlsFiles{board + "/ca.pem", board + "/board.pem", board + "/board.key"};
    setup.serve.clients = {{"alice", {true, true, true, ""}}, {"bob", {false, true, false, ""}}, {"late", {true, true, true, ""}}};
    return setup;
  }
  LinkOptions As(const std::string& name) const { return With(Own() / "clients" / name); }
  LinkOptions With(const std::filesystem::path& folder) const {
    LinkOptions options;
    options.endpoint = agent_.endpoint();
    options.certificates = ReadClient(folder);
    options.call_seconds = 2;
    return options;
  }
  Result<std::unique_ptr<BoardPool>> Measure(const LinkOptions& who) const {
    PoolOptions hasty = QuickPool();
    hasty.wait = milliseconds(2500);
    return Reach({who.endpoint}, hasty, false, who.certificates);
  }
  void ExpectNothingRan() {
    EXPECT_EQ(agent_.runs, 0);
    EXPECT_FALSE(agent_.board().facts().held);
    EXPECT_TRUE(AskBoards({As("alice")})[0]) << "and the agent is up";
  }

  static TempDir* dir_;
  Agent agent_{WithTls()};
};
TempDir* Guarded::dir_ = nullptr;

TEST_F(Guarded, WhoeverIsInTheListMeasures) {
  auto pool = Measure(As("alice"));
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE((*pool)->Submit({1, ScriptedCandidate(1), 0, false}));
  EXPECT_EQ(Gather(**pool, 1).at(1).status, MeasureStatus::kOk);
}

TEST_F(Guarded, ATunerWithoutACertificateIsNotHeard) {
  LinkOptions nobody;
  nobody.endpoint = agent_.endpoint();
  EXPECT_FALSE(Measure(nobody));
  ExpectNothingRan();
}

TEST_F(Guarded, ACertificateOfAnotherAuthorityIsNotHeard) {
  EXPECT_FALSE(Measure(With(Foreign() / "clients/alice")));
  LinkOptions disguised = As("alice");
  disguised.certificates->certificate = *ReadFile(Foreign() / "clients/alice/client.pem");
  disguised.certificates->key = *ReadFile(Foreign() / "clients/alice/client.key");
  EXPECT_FALSE(Measure(disguised));
  ExpectNothingRan();
}

TEST_F(Guarded, AnExpiredCertificateIsNotHeard) {
  EXPECT_FALSE(Measure(As("late")));
  ExpectNothingRan();
}

TEST_F(Guarded, ARightCertificateWithoutRightsIsToldSo) {
  const auto refused = Measure(As("carol"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("'carol' may not measure on this board"));
  EXPECT_FALSE(ReleaseBoard(As("carol")));
  EXPECT_FALSE(DrainBoard(As("bob")));
  EXPECT_TRUE(AskBoards({As("carol")})[0]) << "asking is free";
  ExpectNothingRan();
}

TEST_F(Guarded, WhoMayOnlyMeasureCannotHaveSourceBuilt) {
  const auto text = std::make_shared<CandidateText>();
  auto reference = std::make_shared<ReferenceText>();
  reference->key = "r";
  reference->source = "int x;";
  reference->tensors = text->spec.tensors = {TensorShape{"out", TensorRole::kOut, DType::kF32, {4}, true, {}, {}}};
  text->spec.packed_bytes = {0};
  text->reference = reference;
  text->source = "int x;";
  auto pool = Measure(As("bob"));
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE((*pool)->Submit({1, ScriptedCandidate(1), 0, false, text}));
  const auto answer = (*pool)->Wait(seconds(3));
  EXPECT_FALSE(answer && !answer->empty() && answer->front().status == MeasureStatus::kOk);
  EXPECT_EQ(agent_.runs, 0);
  EXPECT_THAT(agent_.Log(), testing::HasSubstr("'bob' may not build"));
}

TEST_F(Guarded, ABoardOfAnotherAuthorityIsNotTrusted) {
  LinkOptions options = As("alice");
  options.certificates->authority = *ReadFile(Foreign() / "ca.pem");
  EXPECT_FALSE(Measure(options));
  ExpectNothingRan();
}

TEST_F(Guarded, CorruptionOnTheWayCostsAConnectionAndNothingElse) {
  FaultProxy proxy(agent_.port());
  auto pool = Reach({proxy.endpoint()}, QuickPool(), false, As("alice").certificates);
  ASSERT_TRUE(pool) << pool.error().message;
  for (uint64_t i = 1; i <= 20; ++i) ASSERT_TRUE((*pool)->Submit({i, ScriptedCandidate(static_cast<int64_t>(i), 30), 0, false}));
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(150));
    proxy.corrupt_next = true;
  }
  const auto all = Gather(**pool, 20);
  for (const auto& [ticket, measurement] : all) {
    EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
    EXPECT_NEAR(Seconds(measurement), 0.030, 1e-9);
  }
  EXPECT_GT(proxy.connections(), 1);
  EXPECT_EQ(agent_.runs, 20) << "nothing was measured twice";
}

}  // namespace
}  // namespace lathe
