// Borrow: what the journal knows of a template under other circumstances, as a prior for one task.
#pragma once

#include "core/result.h"
#include "search/journal.h"
#include "search/objective.h"
#include "search/transfer_prior.h"
#include "search/tune_task.h"

namespace lathe {

// How alike two tasks of one template are before anything was measured, 0 to 1: 1 for the same workload on the same device (under another
// compiler, say); less for each attribute that differs, by the log of its ratio where it is a number; less for another device.
double Nearness(const Workload& a, const Target& target_a, const Workload& b, const Target& target_b);

// The nearest few histories, the best and a sample of the rest of each. Empty when there are none.
// An objective that a history does not know is borrowed from its times: an order that is only half right fades by itself.
Result<TransferPrior> Borrow(const TuneTask& task, const TaskTemplate& kernel, const Target& target, Journal& journal,
                             const Objective& objective = {});

}  // namespace lathe
