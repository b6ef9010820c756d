// LocalBoard: this machine as a board: which targets it offers, and a LocalMeasurer for a session.
#pragma once

#include <filesystem>
#include <vector>

#include "measure/workshop.h"
#include "rpc/agent/agent_log.h"
#include "rpc/agent/agent_server.h"
#include "rpc/agent/board.h"

namespace lathe {

struct LocalBoardOptions {
  WorkshopOptions workshop;  // worker, directories, limits: the most that any session gets
  int builders = 0;          // see LocalMeasurer
  AgentLog log;              // told whether a session has its clock locked, and where that was not undone; none: nobody is
};

// The cpu, every OpenCL and every CUDA device. A target that cannot be used is listed with the reason.
std::vector<OfferedTarget> OfferedTargets(const WorkshopOptions& options);

Board::MakeMeasurer MeasuringHere(LocalBoardOptions options);

}  // namespace lathe
