#include "rpc/client/board_report.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <future>
#include <nlohmann/json.hpp>

#include "rpc/client/channel.h"
#include "rpc/lathe.grpc.pb.h"

namespace lathe {
namespace {

BoardReport Read(const v1::BoardDescription& reply, const std::string& endpoint) {
  BoardReport report;
  report.endpoint = endpoint;
  report.name = reply.name();
  report.boot_id = reply.boot_id();
  report.agent_version = reply.agent_version();
  report.protocol = {reply.protocol().oldest(), reply.protocol().newest()};
  for (const v1::TargetDescription& offered : reply.targets()) {
    BoardReport::OfferedTarget target;
    target.choice = offered.choice();
    target.problem = offered.problem();
    target.max_threads = static_cast<int>(offered.max_threads());
    const nlohmann::json json = nlohmann::json::parse(offered.target_json(), nullptr, false);
    if (Result<Target> read = TargetFromJson(json); read)
      target.target = std::move(*read);
    else
      target.problem = read.error().message;
    report.targets.push_back(std::move(target));
  }
  report.held = reply.has_holding();
  report.holder = reply.holding().holder();
  report.held_seconds = reply.holding().held_seconds();
  report.silent_seconds = reply.holding().silent_seconds();
  report.lease_expired = reply.holding().expired();
  report.draining = reply.draining();
  report.queued = reply.queued();
  report.running = reply.running();
  report.unacknowledged = reply.unacknowledged();
  report.finished = reply.finished();
  report.last_error = reply.last_error();
  report.uptime_seconds = reply.uptime_seconds();
  report.conditions.insert(reply.conditions().begin(), reply.conditions().end());
  for (const v1::PowerRail& rail : reply.rails()) report.rails.push_back(rail.source() + '/' + rail.name());
  return report;
}

Result<BoardReport> Ask(const LinkOptions& board) {
  Result<std::shared_ptr<grpc::Channel>> channel = MakeChannel(board);
  if (!channel) return channel.error();
  grpc::ClientContext context;
  SetDeadline(context, board.call_seconds);
  v1::BoardDescription reply;
  const grpc::Status status = v1::Board::NewStub(*channel)->Describe(&context, {}, &reply);
  if (!status.ok()) return FromGrpc(status, board.endpoint);
  return Read(reply, board.endpoint);
}

}  // namespace

std::vector<Result<BoardReport>> AskBoards(const std::vector<LinkOptions>& boards) {
  std::vector<std::future<Result<BoardReport>>> asked;
  for (const LinkOptions& board : boards) asked.push_back(std::async(std::launch::async, [&board] { return Ask(board); }));
  std::vector<Result<BoardReport>> answers;
  for (auto& answer : asked) answers.push_back(answer.get());
  return answers;
}

Status ReleaseBoard(const LinkOptions& board) {
  Result<std::shared_ptr<grpc::Channel>> channel = MakeChannel(board);
  if (!channel) return channel.error();
  grpc::ClientContext context;
  SetDeadline(context, board.call_seconds);
  v1::ReleaseRequest request;
  request.set_whoever(true);
  v1::ReleaseReply reply;
  const grpc::Status status = v1::Board::NewStub(*channel)->Release(&context, request, &reply);
  return status.ok() ? Status() : FromGrpc(status, board.endpoint);
}

Status DrainBoard(const LinkOptions& board) {
  Result<std::shared_ptr<grpc::Channel>> channel = MakeChannel(board);
  if (!channel) return channel.error();
  grpc::ClientContext context;
  SetDeadline(context, board.call_seconds);
  v1::DrainReply reply;
  const grpc::Status status = v1::Board::NewStub(*channel)->Drain(&context, {}, &reply);
  return status.ok() ? Status() : FromGrpc(status, board.endpoint);
}

}  // namespace lathe
