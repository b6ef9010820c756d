// BoardLink: one board as the pool sees it: messages out, events in. gRPC implements it; tests have fakes.
//
// Calls never block and may come from any thread. Events come from any thread, never from within a call of the link, each with the number
// of the attempt it belongs to; nothing is heard of an attempt after its kDown.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "core/target.h"
#include "measure/measurer.h"
#include "rpc/session_spec.h"

namespace lathe {

struct LinkEvent {
  enum class Kind {
    kUp,       // target, capacity, unknown, boot_id, board
    kDown,     // error, permanent
    kStarted,  // id
    kResult,   // measurement, its ticket the id
    kBeat,     // conditions
    kDraining,
  };
  Kind kind = Kind::kDown;
  uint64_t attempt = 0;
  Target target;
  size_t capacity = 0;
  std::vector<uint64_t> unknown;
  std::string boot_id, board;
  Error error;
  bool permanent = false;  // trying again is of no use: not allowed, another protocol
  uint64_t id = 0;
  Measurement measurement;
  std::map<std::string, std::string> conditions;
};

class BoardLink {
 public:
  virtual ~BoardLink() = default;
  virtual const std::string& endpoint() const = 0;
  // Holds the board (again) and opens a session. Ends in kUp or kDown. `outstanding`: jobs sent in earlier attempts and not answered.
  virtual void Connect(uint64_t attempt, const SessionSpec& spec, const std::vector<uint64_t>& outstanding,
                       std::function<void(LinkEvent)> events) = 0;
  virtual void Disconnect() = 0;  // gives the attempt up; no event follows
  virtual void Submit(const MeasureRequest& request) = 0;
  virtual void Withdraw(const std::vector<uint64_t>& ids) = 0;
  virtual void Acknowledge(const std::vector<uint64_t>& ids) = 0;
  virtual void CancelAll() = 0;
  virtual void Beat() = 0;
  // Disconnects and frees the board. May block for a second.
  virtual void Release() = 0;
};

}  // namespace lathe
