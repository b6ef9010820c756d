"""Kernel Tuner's strategies on a recorded space, through the objects of its own simulation mode, with their default settings.

A trial is a distinct configuration that was evaluated; going back to a known one is free, and a run is ended when it did so for long.
"""
import math
import random
import time

import numpy
from kernel_tuner import util
from kernel_tuner.interface import Options, strategy_map
from kernel_tuner.runners.simulation import SimulationRunner
from kernel_tuner.searchspace import Searchspace

STRATEGIES = sorted(strategy_map)


class RecordingRunner(SimulationRunner):
    """Answers out of the record and keeps the times of distinct configurations in the order they were first asked for."""

    def __init__(self, space, most_calls, most_seconds):
        super().__init__(None, Options([("kernel_name", "recorded")]), Options([("quiet", True)]), 1, None)
        self.space, self.trace, self.calls = space, [], 0
        self.most_calls, self.deadline = most_calls, time.perf_counter() + most_seconds

    def run(self, parameter_space, tuning_options):
        if self.calls > self.most_calls or time.perf_counter() > self.deadline:
            raise util.StopCriterionReached("nothing new for long")
        results = []
        for element in parameter_space:
            if tuning_options.budget.is_done():
                results.append(None)
                continue
            self.calls += 1
            config = tuple(element)
            place = self.space.index.get(config)
            result = dict(zip(self.space.parameters, config))
            results.append(result)
            if place is None:
                result["__error__"] = util.InvalidConfig()
                continue
            seconds = self.space.times[place]
            if math.isinf(seconds):
                result["__error__"] = util.CompilationFailedConfig()
            else:
                result["time"] = seconds
            result.update(compile_time=0, verification_time=0, benchmark_time=0, strategy_time=0, framework_time=0)
            if config not in self.visited_results:
                self.visited_results.add(config)
                self.trace.append(seconds)
                tuning_options.budget.add_evaluations(1)
        return results


def trace(space, strategy, seed, budget, most_seconds=60):
    """Times of the distinct configurations in order, `budget` at most."""
    random.seed(seed)
    numpy.random.seed(seed)
    values = dict(zip(space.parameters, (list(v) for v in space.values)))
    searchspace = Searchspace(values, space.python_constraints(), 10**9)
    if searchspace.size != len(space.configs):
        raise RuntimeError(f"{space.id}: Kernel Tuner counts {searchspace.size} configurations, the record has {len(space.configs)}")
    runner = RecordingRunner(space, 25 * budget, most_seconds)
    options = Options([("tune_params", searchspace.tune_params), ("restrictions", searchspace._modified_restrictions),
                       ("restrictions_unmodified", searchspace.original_restrictions),
                       ("strategy_options", Options([("max_fevals", budget)])), ("objective", ["time"]),
                       ("objective_higher_is_better", [False]), ("metrics", None), ("cache", {}), ("cachefile", None), ("verbose", False),
                       ("simulation_mode", True), ("max_fevals", budget), ("strategy", strategy), ("seed", seed),
                       ("budget", util.TuningBudget(None, min(budget, searchspace.size)))])
    try:
        strategy_map[strategy].tune(searchspace, runner, options)
    except util.StopCriterionReached:
        pass
    return runner.trace
