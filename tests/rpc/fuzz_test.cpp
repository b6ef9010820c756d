// Damaged messages for every handler of an agent, and for what reads a board's answers on the host, with address and undefined-behaviour
// sanitizers in all of rpc/. Bounded: $LATHE_FUZZ_SECONDS for each test.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "agent_fixture.h"
#include "core/hash.h"
#include "rpc/client/board_report.h"
#include "rpc/lathe.grpc.pb.h"
#include "rpc/wire.h"

namespace lathe {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

Clock::time_point Until() {
  const char* given = std::getenv("LATHE_FUZZ_SECONDS");
  return Clock::now() + seconds(given != nullptr ? std::atoi(given) : FUZZ_SECONDS);
}

class Damage {
 public:
  std::string operator()(std::string text) {
    for (uint64_t flips = random_() % 5; flips > 0 && !text.empty(); --flips) text[random_() % text.size()] = static_cast<char>(random_());
    if (!text.empty() && random_() % 6 == 0) text.resize(random_() % text.size());
    if (random_() % 6 == 0) text.insert(random_() % (text.size() + 1), std::string(1 + random_() % 9, static_cast<char>(random_())));
    if (random_() % 50 == 0) text += text;  // fields given twice
    return text;
  }
  uint64_t Any(uint64_t below) { return random_() % below; }

 private:
  std::mt19937_64 random_{20'240'301};
};

v1::Tensor SomeTensor() {
  v1::Tensor tensor;
  tensor.set_name("out");
  tensor.set_role(2);
  tensor.set_dtype("f32");
  tensor.add_shape(4);
  tensor.add_shape(4);
  tensor.set_relative(1e-5);
  tensor.set_high(1);
  return tensor;
}

v1::ToBoard SomeOpen(const std::string& lease) {
  v1::ToBoard message;
  wire::Write(SessionSpec(), *message.mutable_open());
  message.mutable_open()->set_lease_id(lease);
  message.mutable_open()->add_outstanding(7);
  return message;
}

v1::ToBoard SomeReference() {
  v1::ToBoard message;
  message.mutable_reference()->set_key("r");
  *message.mutable_reference()->add_tensors() = SomeTensor();
  message.mutable_reference()->add_dynamic(3);
  message.mutable_reference()->set_source("int x;");
  return message;
}

v1::ToBoard SomeJob(const std::string& artifact = "") {
  v1::ToBoard message;
  v1::Job& job = *message.mutable_job();
  job.set_id(7);
  job.set_workload("scripted:n=1");
  job.set_template_name("kernel");
  job.set_config("DELAY=1,STATUS=ok");
  job.set_reference("r");
  *job.add_tensors() = SomeTensor();
  if (artifact.empty())
    job.set_source("int x;");
  else
    job.set_artifact_sha256(artifact);
  job.add_flags("-O2");
  return message;
}

v1::MeasureResult SomeResult() {
  Measurement measurement;
  measurement.ticket = 7;
  measurement.seconds = {1e-3, 2e-3};
  measurement.joules = 0.5;
  measurement.build_facts["code_bytes"] = 100;
  measurement.conditions["watts"] = "9.000";
  v1::MeasureResult message;
  wire::Write(measurement, message);
  return message;
}

// Messages as bytes, to a method by its name; what comes back is read and forgotten.
void Send(grpc::GenericStub& stub, const std::string& method, const std::vector<std::string>& messages) {
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(5));
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  bool up = next();
  for (size_t i = 0; i < messages.size() && up; ++i) {
    const grpc::Slice slice(messages[i]);
    const grpc::ByteBuffer buffer(&slice, 1);
    if (i + 1 == messages.size())
      call->WriteLast(buffer, grpc::WriteOptions(), nullptr);
    else
      call->Write(buffer, nullptr);
    up = next();
  }
  grpc::ByteBuffer answer;
  while (up) {
    call->Read(&answer, nullptr);
    up = next();
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
}

TEST(Fuzz, EveryHandlerOutlivesDamagedMessages) {
  Agent agent;
  grpc::GenericStub stub(grpc::CreateChannel(agent.endpoint(), grpc::InsecureChannelCredentials()));
  const auto real = v1::Board::NewStub(grpc::CreateChannel(agent.endpoint(), grpc::InsecureChannelCredentials()));
  Damage damage;
  std::string lease;
  uint64_t calls = 0;
  for (const auto end = Until(); Clock::now() < end; ++calls) {
    v1::HoldRequest hold;
    hold.mutable_protocol()->set_oldest(1);
    hold.mutable_protocol()->set_newest(3);
    hold.set_holder("fuzz");
    hold.set_lease_id(lease);
    if (calls % 16 == 0) {  // a damaged Release may have ended it
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + seconds(5));
      v1::HoldReply reply;
      if (real->Hold(&context, hold, &reply).ok()) lease = reply.lease_id();
    }
    v1::ReleaseRequest release;
    release.set_lease_id(lease);
    v1::MissingRequest missing;
    missing.set_lease_id(lease);
    missing.add_sha256(Sha256("good"));
    v1::UploadChunk chunk;
    chunk.set_lease_id(lease);
    chunk.set_sha256(Sha256("good"));
    chunk.set_bytes(4);
    chunk.set_data("good");
    const std::string board = "/lathe.v1.Board/";
    switch (damage.Any(8)) {
      case 0:
        Send(stub, board + "Describe", {damage("\x0a\x02hi")});
        break;
      case 1:
        Send(stub, board + "Hold", {damage(hold.SerializeAsString())});
        break;
      case 2:
        Send(stub, board + "Release", {damage(release.SerializeAsString())});
        break;
      case 3:
        Send(stub, board + "Missing", {damage(missing.SerializeAsString())});
        break;
      case 4:
        Send(stub, board + "Upload", {damage(chunk.SerializeAsString()), damage(chunk.SerializeAsString())});
        break;
      case 5:
        Send(stub, board + "Measure", {damage(SomeOpen(lease).SerializeAsString())});
        break;
      default: {
        const std::vector<v1::ToBoard> kinds = {SomeReference(), SomeJob(), SomeJob(Sha256("good"))};
        std::vector<std::string> messages = {SomeOpen(lease).SerializeAsString()};
        for (int i = 0; i < 6; ++i) messages.push_back(damage(kinds[damage.Any(kinds.size())].SerializeAsString()));
        Send(stub, board + "Measure", messages);
      }
    }
  }
  EXPECT_GT(calls, 10U);
  RecordProperty("calls", static_cast<int>(calls));
  LinkOptions options;
  options.endpoint = agent.endpoint();
  const auto report = AskBoards({options});
  EXPECT_TRUE(report[0]) << report[0].error().message;
}

// Both directions, without a network: a hundred thousand a second.
TEST(Fuzz, WhatReadsMessagesOutlivesDamagedOnes) {
  Damage damage;
  const Result<ReferenceText> reference = wire::Read(SomeReference().reference(), wire::Limits());
  ASSERT_TRUE(reference) << reference.error().message;
  const auto shared = std::make_shared<const ReferenceText>(*reference);
  ASSERT_TRUE(wire::Read(SomeJob().job(), shared, wire::Limits()));
  ASSERT_TRUE(wire::Read(SomeResult()));
  const std::string open = SomeOpen("lease").SerializeAsString(), job = SomeJob().SerializeAsString(),
                    sent = SomeReference().SerializeAsString(), result = SomeResult().SerializeAsString();
  uint64_t parsed = 0, accepted = 0;
  for (const auto end = Until(); Clock::now() < end;) {
    v1::ToBoard to_board;
    for (const std::string* text : {&open, &job, &sent}) {
      if (!to_board.ParseFromString(damage(*text))) continue;
      ++parsed;
      accepted += wire::Read(to_board.open(), wire::Limits()) ? 1U : 0U;
      accepted += wire::Read(to_board.job(), shared, wire::Limits()) ? 1U : 0U;
      accepted += wire::Read(to_board.reference(), wire::Limits()) ? 1U : 0U;
    }
    v1::MeasureResult message;
    if (!message.ParseFromString(damage(result))) continue;
    ++parsed;
    if (const Result<Measurement> measurement = wire::Read(message); measurement) {
      ++accepted;
      for (const double each : measurement->seconds) EXPECT_GT(each, 0);
      EXPECT_TRUE(measurement->status == MeasureStatus::kOk || measurement->seconds.empty());
    }
  }
  EXPECT_GT(parsed, 100U);
  EXPECT_GT(accepted, 10U);
  RecordProperty("messages", static_cast<int>(parsed));
}

}  // namespace
}  // namespace lathe
