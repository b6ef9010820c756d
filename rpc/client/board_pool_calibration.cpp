// BoardPool: samples count when their board was as fast after them as before.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "rpc/client/board_pool.h"

namespace lathe {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kMostRetakes = 3;

}  // namespace

// On a thread of its own: with a toolchain it is built here, and boards must go on hearing of us while a compiler takes its time. Nothing
// else is rendered meanwhile, for no board is sent anything before it has been calibrated.
void BoardPool::MakeCalibration() {
  calibration_made_ = std::async(std::launch::async, [this, target = target_]() -> Result<MeasureRequest> {
    Result<Candidate> candidate = options_.calibration(target);
    if (!candidate) return candidate.error();
    std::shared_ptr<const CandidateText> rendered;
    if (options_.render) {
      Result<std::shared_ptr<const CandidateText>> text = options_.render(*candidate, target);
      if (!text) return text.error();
      rendered = std::move(*text);
    }
    return MeasureRequest{0, *std::move(candidate), 0, false, std::move(rendered)};
  });
}

bool BoardPool::CalibrationIsMade() {
  if (calibration_request_) return true;
  if (failed_ || calibration_made_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  Result<MeasureRequest> made = calibration_made_.get();
  if (made)
    calibration_request_ = std::move(*made);
  else
    failed_ = made.error().In("make the kernel that calibrates boards (or do without: --no-calibration)");
  delivered_.notify_all();
  return static_cast<bool>(made);
}

void BoardPool::SendCalibration(size_t board) {
  Member& member = members_[board];
  if (member.calibrating != 0 || member.state != State::kUp || !CalibrationIsMade()) return;
  calibration_request_->ticket = member.calibrating = next_calibration_++;
  member.beaten = SteadyClock::now();
  member.link->Submit(*calibration_request_);
}

void BoardPool::HandleCalibration(size_t board, const Measurement& measurement) {
  Member& member = members_[board];
  if (measurement.ticket != member.calibrating) return;
  member.calibrating = 0;
  const bool good = measurement.status == MeasureStatus::kOk && measurement.conditions.count("throttled") == 0;
  const double before = member.calibration.baseline();
  switch (member.calibration.Add(good ? Seconds(measurement) : std::numeric_limits<double>::infinity())) {
    case Calibration::Verdict::kAgain:
      return SendCalibration(board);
    case Calibration::Verdict::kSteady:
      ReleaseHeld(board);
      break;
    case Calibration::Verdict::kDrifted:
      Notice(good ? fmt::format("board {} has become {:.0f}% slower; {} samples are taken again", NameOf(member),
                                100 * (member.calibration.ratio() - 1), member.held.size())
                  : fmt::format("board {} cannot run the calibration kernel: {}: {}", NameOf(member), ToString(measurement.status),
                                measurement.message));
      Retake(board);
      member.rests_until = SteadyClock::now() + options_.rest;
      break;
    case Calibration::Verdict::kSettled:
      Notice(fmt::format("board {} stays {:.0f}% slower than it was; it goes on from there", NameOf(member),
                         100 * (member.calibration.baseline() / before - 1)));
      Retake(board);
      break;
  }
  Reorder(board);
}

void BoardPool::Hold(size_t board, Measurement measurement) {
  Member& member = members_[board];
  const Time now = SteadyClock::now();
  if (member.held.empty()) member.first_held = now;
  member.held.push_back(std::move(measurement));
  MindCalibration(board, now);
}

void BoardPool::ReleaseHeld(size_t board) {
  Member& member = members_[board];
  for (Measurement& measurement : std::exchange(member.held, {})) {
    const uint64_t ticket = measurement.ticket;
    if (measurement.conditions.count("throttled") != 0) {  // the kernel says so itself
      member.held.push_back(std::move(measurement));
      continue;
    }
    measurement.conditions["calibration"] = fmt::format("{:.3f}", member.calibration.ratio());
    Answer(ticket, std::move(measurement), NameOf(member));
  }
  Retake(board);
}

void BoardPool::Retake(size_t board) {
  Member& member = members_[board];
  for (Measurement& measurement : std::exchange(member.held, {})) {
    const uint64_t ticket = measurement.ticket;
    const auto found = flights_.find(ticket);
    if (found == flights_.end()) continue;
    ++member.tainted;
    if (++found->second.retakes > kMostRetakes) {
      measurement.status = MeasureStatus::kBoardLost;
      measurement.seconds.clear();
      measurement.message = fmt::format("board {} did not stay at one speed long enough, {} times", NameOf(member), kMostRetakes + 1);
      Answer(ticket, std::move(measurement), NameOf(member));
    } else {
      Requeue(ticket, found->second);
    }
  }
}

void BoardPool::MindCalibration(size_t board, Time now) {
  Member& member = members_[board];
  if (!Calibrates() || member.state != State::kUp || member.calibrating != 0 || now < member.rests_until) return;
  const bool rested = member.rests_until != Time();
  if (rested) member.rests_until = Time();
  const bool idle = member.jobs.empty();
  const bool due = !member.held.empty() &&
                   (idle || member.held.size() >= options_.calibrate_after || now - member.first_held >= options_.calibrate_within);
  if (rested || due || !member.calibration.known()) SendCalibration(board);
}

}  // namespace lathe
