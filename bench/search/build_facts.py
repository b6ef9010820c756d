#!/usr/bin/env python3
"""Would a cost model predict better if it knew every candidate's build facts (code size, stack)? For those it has not built it cannot; so this is
the most that they could bring.

    bench/search/build_facts.py OUT        # OUT: the folder of bench/search/live.py

Needs scikit-learn. For each workload's most measured template: Gaussian processes learn from 20 or 40 of its configs, drawn at random, and order the rest;
with the parameters alone, with the facts alone, with both. Printed: rank correlation with the measured order, and the speed of the config that is predicted
the fastest as a fraction of the fastest; means over draws.
"""
import argparse
import json
import math
import sqlite3
import statistics
import warnings
from pathlib import Path

import numpy
from scipy.stats import spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

DRAWS = 8
LEARNT = (20, 40)
FEWEST = 60  # configs of a template that is worth asking about
QUERY = """SELECT templates.name, configs.parameters, seconds, build_facts FROM measurements
           JOIN templates ON templates.id = template_id JOIN configs ON configs.id = config_id WHERE status = 'ok'"""


def measured(logs):
    """template -> parameters -> (seconds, build facts), the fastest measurement of each."""
    found = {}
    for log in logs:
        with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as connection:
            for template, parameters, seconds, facts in connection.execute(QUERY):
                configs = found.setdefault(template, {})
                if parameters not in configs or seconds < configs[parameters][0]:
                    configs[parameters] = (seconds, json.loads(facts))
    return found


def parameter_columns(configs):
    """Numbers by their logarithm and whether they are zero, names by a column a value."""
    columns = []
    for name in configs[0]:
        values = [config[name] for config in configs]
        if all(isinstance(value, (int, float)) for value in values):
            columns.append([math.log2(value + 1) for value in values])
            columns.append([float(value > 0) for value in values])
        else:
            columns += [[float(value == choice) for value in values] for choice in sorted(set(values))]
    return numpy.array([column for column in columns if len(set(column)) > 1]).T


def fact_columns(facts):
    names = sorted(set().union(*facts))
    return numpy.array([[math.log2(of_one.get(name, 0) + 1) for name in names] for of_one in facts])


def quality(columns, speeds, learnt):
    columns = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-9)
    correlations, fractions = [], []
    for draw in range(DRAWS):
        order = numpy.random.default_rng(draw).permutation(len(speeds))
        known, asked = order[:learnt], order[learnt:]
        kernel = ConstantKernel() * Matern(numpy.full(columns.shape[1], 3.0), (0.3, 100), nu=2.5) + WhiteKernel(0.05)
        process = GaussianProcessRegressor(kernel, normalize_y=True).fit(columns[known], speeds[known])
        predicted = process.predict(columns[asked])
        correlations.append(spearmanr(predicted, speeds[asked])[0])
        fractions.append(math.exp(speeds[asked][predicted.argmax()] - speeds[asked].max()))
    return statistics.fmean(correlations), statistics.fmean(fractions)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    flags = parser.parse_args()
    warnings.filterwarnings("ignore")  # length scales at their bounds: columns that say nothing
    print("| template | configs | learnt from | parameters | facts | both |\n| --- | --- | --- | --- | --- | --- |")
    rows = []
    for place in range(6):
        found = measured(sorted(flags.out.glob(f"{place}_*.db")))
        if not found:
            continue
        template, configs = max(found.items(), key=lambda item: len(item[1]))
        if len(configs) < FEWEST:
            continue
        parameters = parameter_columns([json.loads(config) for config in configs])
        facts = fact_columns([facts for _, facts in configs.values()])
        speeds = numpy.array([-math.log(seconds) for seconds, _ in configs.values()])
        for learnt in LEARNT:
            cells = [quality(columns, speeds, learnt) for columns in (parameters, facts, numpy.hstack([parameters, facts]))]
            rows.append((learnt, cells))
            print(f"| {template} | {len(configs)} | {learnt} | " + " | ".join(f"{c:.2f}, {f:.2f}" for c, f in cells) + " |")
    if not rows:
        raise SystemExit(f"{flags.out}: no log in it has {FEWEST} configs of one template")
    for learnt in LEARNT:
        of_learnt = [cells for count, cells in rows if count == learnt]
        means = [(statistics.fmean(c[i][0] for c in of_learnt), statistics.fmean(c[i][1] for c in of_learnt)) for i in range(3)]
        print(f"| mean | | {learnt} | " + " | ".join(f"{c:.2f}, {f:.2f}" for c, f in means) + " |")


if __name__ == "__main__":
    main()
