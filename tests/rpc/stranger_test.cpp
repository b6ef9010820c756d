// Who does not know how, and who means harm: the agent stays up, says no, and runs nothing.
#include <arpa/inet.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "agent_fixture.h"
#include "core/hash.h"
#include "rpc/client/board_report.h"
#include "rpc/lathe.grpc.pb.h"
#include "rpc/wire.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Within(grpc::ClientContext& context, seconds most = seconds(5)) { context.set_deadline(std::chrono::system_clock::now() + most); }

// Open on loopback: whoever gets there may speak, but not any nonsense.
class Open : public ::testing::Test {
 protected:
  explicit Open(const Agent::Setup& setup = {})
      : agent_(setup), stub_(v1::Board::NewStub(grpc::CreateChannel(agent_.endpoint(), grpc::InsecureChannelCredentials()))) {}
  std::string Lease() {
    grpc::ClientContext context;
    Within(context);
    v1::HoldRequest request;
    request.mutable_protocol()->set_oldest(1);
    request.mutable_protocol()->set_newest(1);
    request.set_lease_id(lease_);
    v1::HoldReply reply;
    EXPECT_TRUE(stub_->Hold(&context, request, &reply).ok());
    return lease_ = reply.lease_id();
  }
  v1::ToBoard OpenMessage() {
    v1::ToBoard message;
    wire::Write(SessionSpec(), *message.mutable_open());
    message.mutable_open()->set_lease_id(Lease());
    return message;
  }
  // Sends all of it, then says what the board said.
  grpc::Status Converse(const std::vector<v1::ToBoard>& messages) {
    grpc::ClientContext context;
    Within(context, seconds(20));
    auto stream = stub_->Measure(&context);
    for (const v1::ToBoard& message : messages) {
      if (!stream->Write(message)) break;
      if (message.has_open()) {
        v1::FromBoard answer;
        if (!stream->Read(&answer)) break;
      }
    }
    stream->WritesDone();
    v1::FromBoard answer;
    results_.clear();
    while (stream->Read(&answer))
      if (answer.has_result()) results_.push_back(answer.result());
    return stream->Finish();
  }
  void ExpectUp() {
    LinkOptions options;
    options.endpoint = agent_.endpoint();
    const auto report = AskBoards({options});
    EXPECT_TRUE(report[0]) << report[0].error().message;
  }
  Agent agent_;
  std::unique_ptr<v1::Board::Stub> stub_;
  std::string lease_;
  std::vector<v1::MeasureResult> results_;  // of the last conversation
};

TEST_F(Open, PlainGarbageOnThePortIsShrugged) {
  std::mt19937 random(1);
  for (int i = 0; i < 50; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(agent_.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    std::string garbage(1 + random() % 4096, 0);
    for (char& byte : garbage) byte = static_cast<char>(random());
    if (i % 3 == 1) garbage = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    if (i % 3 == 2) garbage = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + garbage;
    (void)!::send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
  ExpectUp();
}

TEST_F(Open, OversizedMessagesAreRefused) {
  v1::ToBoard job;
  job.mutable_job()->set_source(std::string(8 << 20, 'x'));
  EXPECT_EQ(Converse({OpenMessage(), job}).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  v1::ToBoard large;
  large.mutable_reference()->set_source(std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(Converse({OpenMessage(), large}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ExpectUp();
}

TEST_F(Open, TruncatedMessagesAreRefused) {
  grpc::GenericStub generic(grpc::CreateChannel(agent_.endpoint(), grpc::InsecureChannelCredentials()));
  const std::string whole = OpenMessage().SerializeAsString();
  for (const size_t bytes : {whole.size() / 2, whole.size() - 1, size_t{3}}) {
    grpc::ClientContext context;
    Within(context);
    grpc::CompletionQueue queue;
    const grpc::Slice slice(whole.data(), bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer reply;
    auto call = generic.PrepareUnaryCall(&context, "/lathe.v1.Board/Hold", request, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_FALSE(status.ok());
  }
  ExpectUp();
}

TEST_F(Open, ConversationsThatBeginWronglyAreRefusedWithAReason) {
  v1::ToBoard job, nothing;
  job.mutable_job()->set_id(1);
  EXPECT_THAT(Converse({job}).error_message(), testing::HasSubstr("first message must be Open"));
  EXPECT_FALSE(Converse({nothing}).ok());
  v1::ToBoard stolen = OpenMessage();
  stolen.mutable_open()->set_lease_id("0123456789abcdef");
  EXPECT_EQ(Converse({stolen}).error_code(), grpc::StatusCode::ABORTED);
  v1::ToBoard absurd = OpenMessage();
  absurd.mutable_open()->mutable_sampling()->set_max_samples(4'000'000'000U);
  EXPECT_EQ(Converse({absurd}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ExpectUp();
}

TEST_F(Open, JobsWhoseTensorsAreNotTheirReferencesOrTooLargeAreRefused) {
  v1::ToBoard reference, job;
  v1::Reference& text = *reference.mutable_reference();
  text.set_key("r");
  v1::Tensor& tensor = *text.add_tensors();
  tensor.set_name("out");
  tensor.set_role(2);
  tensor.set_dtype("f32");
  tensor.add_shape(16);
  job.mutable_job()->set_workload("fault:n=1");
  job.mutable_job()->set_reference("r");
  *job.mutable_job()->add_tensors() = tensor;
  // The candidate is answered and the stream goes on: it would meet the same board again otherwise, or the next one.
  const auto refused = [&](const char* why) {
    const grpc::Status status = Converse({OpenMessage(), reference, job});
    EXPECT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(results_.size(), 1U) << why;
    EXPECT_THAT(results_.front().message(), testing::HasSubstr(why));
  };
  job.mutable_job()->mutable_tensors(0)->set_shape(0, 17);
  refused("not those of its reference");
  job.mutable_job()->mutable_tensors(0)->set_shape(0, int64_t{1} << 60);
  refused("larger than this board takes");
  job.mutable_job()->mutable_tensors(0)->set_shape(0, -1);
  refused("larger than this board takes");
  job.mutable_job()->mutable_tensors(0)->set_shape(0, 16);
  job.mutable_job()->mutable_tensors(0)->set_packed_bytes(uint64_t{1} << 62);
  refused("packed constants are larger");
  job.mutable_job()->mutable_tensors(0)->set_packed_bytes(0);
  job.mutable_job()->add_flags("-fplugin=/tmp/evil.so");
  refused("-fplugin");
  job.mutable_job()->clear_flags();
  job.mutable_job()->set_reference("another");
  const grpc::Status confused = Converse({OpenMessage(), reference, job});
  EXPECT_EQ(confused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(confused.error_message(), testing::HasSubstr("was not sent"));
  EXPECT_EQ(agent_.runs, 0);
  ExpectUp();
}

TEST_F(Open, AMillionTinyMessagesOnlyCostTheirSender) {
  grpc::ClientContext context;
  Within(context, seconds(90));
  auto stream = stub_->Measure(&context);
  ASSERT_TRUE(stream->Write(OpenMessage()));
  v1::ToBoard beat;
  beat.mutable_heartbeat();
  const auto begin = std::chrono::steady_clock::now();
  int sent = 0;
  for (; sent < 1'000'000; ++sent)
    if (!stream->Write(beat, grpc::WriteOptions().set_buffer_hint())) break;
  EXPECT_EQ(sent, 1'000'000);
  ExpectUp();
  stream->WritesDone();
  v1::FromBoard answer;
  while (stream->Read(&answer)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  RecordProperty("seconds", static_cast<int>(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()));
}

TEST_F(Open, UploadsThatLieAreRefused) {
  const std::string lease = Lease();
  const auto upload = [&](const std::string& hash, uint64_t bytes, const std::string& data, const std::string& with) {
    grpc::ClientContext context;
    Within(context);
    v1::UploadReply reply;
    auto stream = stub_->Upload(&context, &reply);
    v1::UploadChunk chunk;
    chunk.set_lease_id(with);
    chunk.set_sha256(hash);
    chunk.set_bytes(bytes);
    chunk.set_data(data);
    stream->Write(chunk);
    stream->WritesDone();
    return stream->Finish().error_code();
  };
  EXPECT_EQ(upload(Sha256("good"), 4, "good", lease), grpc::StatusCode::OK);
  EXPECT_EQ(upload(Sha256("good"), 4, "evil", lease), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(upload("../../../etc/passwd", 4, "good", lease), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(upload(Sha256("good"), uint64_t{1} << 50, "good", lease), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(upload(Sha256("good"), 4, "good", "another lease"), grpc::StatusCode::ABORTED);
  ExpectUp();
}

class Slow : public Open {
 protected:
  static Agent::Setup Hasty() {
    Agent::Setup setup;
    setup.serve.upload_silence = seconds(2);
    return setup;
  }
  Slow() : Open(Hasty()) {}

  struct Upload {
    grpc::ClientContext context;
    v1::UploadReply reply;
    std::unique_ptr<grpc::ClientWriter<v1::UploadChunk>> stream;
  };
  // The first chunk of one that has four bytes.
  std::unique_ptr<Upload> Begin(const std::string& lease, const std::string& data) {
    auto upload = std::make_unique<Upload>();
    Within(upload->context, seconds(20));
    upload->stream = stub_->Upload(&upload->context, &upload->reply);
    v1::UploadChunk chunk;
    chunk.set_lease_id(lease);
    chunk.set_sha256(Sha256("good"));
    chunk.set_bytes(4);
    chunk.set_data(data);
    upload->stream->Write(chunk);
    return upload;
  }
};

TEST_F(Slow, UploadsThatAreHeldOpenKeepNobodyElseFromUploading) {
  const std::string lease = Lease();
  std::vector<std::unique_ptr<Upload>> held;
  for (int i = 0; i < 8; ++i) held.push_back(Begin(lease, "go"));
  const auto another = [&] {
    const auto upload = Begin(lease, "good");
    upload->stream->WritesDone();
    return upload->stream->Finish().error_code();
  };
  const auto end = std::chrono::steady_clock::now() + seconds(15);
  grpc::StatusCode code = another();
  // Streams arrive in any order: one of the eight may have come after the other and been refused in its place.
  for (int i = 0; i < 20 && code == grpc::StatusCode::OK; ++i) {
    held.push_back(Begin(lease, "go"));
    code = another();
  }
  EXPECT_EQ(code, grpc::StatusCode::RESOURCE_EXHAUSTED) << "eight are under way";
  while (code != grpc::StatusCode::OK && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(100));
    code = another();
  }
  EXPECT_EQ(code, grpc::StatusCode::OK);
  for (const auto& upload : held) EXPECT_FALSE(upload->stream->Finish().ok());
  ExpectUp();
}

// Bounded: $LATHE_FUZZ_SECONDS, or two. Messages that parse, with every field somewhere between sensible and absurd.
TEST_F(Open, RandomMessagesNeitherCrashItNorMakeItRunAnything) {
  const char* given = std::getenv("LATHE_FUZZ_SECONDS");
  const auto end = std::chrono::steady_clock::now() + seconds(given != nullptr ? std::atoi(given) : 2);
  std::mt19937_64 random(20'240'229);
  const v1::ToBoard open = OpenMessage();
  v1::ToBoard job, reference;
  reference.mutable_reference()->set_key("r");
  v1::Tensor& tensor = *reference.mutable_reference()->add_tensors();
  tensor.set_name("out");
  tensor.set_dtype("f32");
  tensor.add_shape(16);
  job.mutable_job()->set_workload("scripted:n=1");
  job.mutable_job()->set_config("DELAY=1,STATUS=ok");
  job.mutable_job()->set_reference("r");
  *job.mutable_job()->add_tensors() = tensor;
  job.mutable_job()->set_source("int x;");
  job.mutable_job()->add_flags("-O2");
  uint64_t conversations = 0;
  while (std::chrono::steady_clock::now() < end) {
    std::vector<v1::ToBoard> messages = {open};
    for (int i = 0; i < 8; ++i) {
      std::string text = (random() % 2 == 0 ? job : reference).SerializeAsString();
      for (uint64_t flips = random() % 4; flips > 0; --flips) text[random() % text.size()] = static_cast<char>(random());
      if (random() % 8 == 0) text.resize(random() % text.size());
      v1::ToBoard message;
      if (message.ParseFromString(text) && !message.has_open()) messages.push_back(std::move(message));
    }
    (void)Converse(messages);
    ++conversations;
  }
  EXPECT_GT(conversations, 10U);
  RecordProperty("conversations", static_cast<int>(conversations));
  ExpectUp();
}

}  // namespace
}  // namespace lathe
