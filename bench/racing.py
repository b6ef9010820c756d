"""Timing of contestants in turn, so that noise meets all of them alike."""
import math
import time

import numpy as np


def race(contestants, rounds, seconds, clock=time.perf_counter):
    """{name: (seconds by the 20 % quantile, number of samples)} of {name: function}: each round calls every one in turn for `seconds`."""
    batches, samples = {}, {name: [] for name in contestants}
    for name, run in contestants.items():
        run()
        begin = time.perf_counter()
        run()
        batches[name] = 1 + int(2e-4 / max(time.perf_counter() - begin, 1e-7))  # short calls are timed several at a time
    for _ in range(rounds):
        for name, run in contestants.items():
            batch = batches[name]
            run()
            end = time.perf_counter() + seconds
            while True:
                begin = clock()
                for _ in range(batch):
                    run()
                samples[name].append((clock() - begin) / batch)
                if time.perf_counter() > end:
                    break
    return {name: (low(values), len(values)) for name, values in samples.items()}


def low(values):
    """The 20 % quantile: noise only adds time."""
    return float(np.quantile(values, 0.2)) if len(values) else math.inf


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan
