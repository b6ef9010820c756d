#!/usr/bin/env python3
"""Search strategies side by side over a folder of recorded spaces: Lathe's, Kernel Tuner's, and a tuner in the manner of XGBTuner.

    bench/search/compare.py spaces/ --lathe build/release/bin/lathe --seeds 30
    bench/search/compare.py spaces/ --strategies lathe:model,kernel_tuner:genetic_algorithm,xgb:rank --only gemm,pnpoly --seeds 10

A failure costs a trial. Kernel Tuner proposes one at a time and knows each answer before it proposes the next; the tuner in the manner of
XGBTuner proposes 64 (rank) or 16 (regression) at a time; Lathe's runs have --in-flight of them under way, which is harder than one.
Needs kernel_tuner and xgboost from PyPI for the peers named; those that are not installed are left out and said so.
"""
import argparse
import importlib
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

from recorded_space import RecordedSpace

BUDGETS = [25, 50, 100, 200, 400]
FRACTIONS = ["0.9", "0.95", "0.99"]
DEFAULT = ["lathe:model", "lathe:portfolio", "lathe:local", "lathe:genetic", "lathe:annealing", "lathe:random",
           "kernel_tuner:adaptive_tabu_greywolf", "kernel_tuner:dual_annealing", "kernel_tuner:genetic_algorithm", "kernel_tuner:pso",
           "xgb:rank", "xgb:regression"]


def figures_of(space, traces, budgets):
    """The keys of `lathe replay --json` for one space, from the times measured by each seed."""
    best = []
    for times in traces:
        found, low = [], math.inf
        for time in times + [math.inf] * (budgets[-1] - len(times)):
            low = min(low, time)
            found.append(space.optimum / low)  # 0 while nothing worked
        best.append(found)
    at = {str(b): statistics.fmean(found[b - 1] for found in best) for b in budgets}
    reached = lambda found, wanted: next((i + 1 for i, fraction in enumerate(found) if fraction >= wanted), math.inf)
    medians = {f: statistics.median(reached(found, float(f)) for found in best) for f in FRACTIONS}
    return {"at": at, "trials_to": {f: None if math.isinf(m) else m for f, m in medians.items()}}


def run_lathe(program, paths, strategy, seeds, budgets, in_flight):
    command = [program, "replay", *map(str, paths), "--strategy", strategy, "--seeds", str(seeds), "--json",
               "--budgets", ",".join(map(str, budgets)), "--in-flight", str(in_flight)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return {space["id"]: space for space in json.loads(done.stdout)["spaces"]}


def run_peer(module, paths, strategy, seeds, budgets):
    figures = {}
    for path in paths:
        space = RecordedSpace(path)
        figures[space.id] = figures_of(space, [module.trace(space, strategy, 1000 + seed, budgets[-1]) for seed in range(seeds)], budgets)
    return figures


def row(name, spaces, budgets):
    mean = {b: statistics.fmean(s["at"][str(b)] for s in spaces.values()) for b in budgets}
    low = min(s["at"][str(200 if 200 in budgets else budgets[-1])] for s in spaces.values())
    to = [statistics.median(s["trials_to"][f] or math.inf for s in spaces.values()) for f in FRACTIONS]
    cells = [f"{mean[b]:.3f}" for b in budgets] + [f"{low:.3f}"] + [">" + str(budgets[-1]) if math.isinf(t) else f"{t:.0f}" for t in to]
    return "| " + " | ".join([name] + cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with NAME.json and NAME.csv.gz")
    parser.add_argument("--lathe", default="build/release/bin/lathe", help="the program")
    parser.add_argument("--strategies", default=",".join(DEFAULT), help="SOURCE:NAME, comma-separated; sources: lathe, kernel_tuner, xgb")
    parser.add_argument("--only", default="", help="beginnings of space names, comma-separated")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--in-flight", type=int, default=4, help="of Lathe's runs")
    parser.add_argument("--json", action="store_true", help="every figure of every space instead of the table")
    flags = parser.parse_args()
    budgets = sorted(int(b) for b in flags.budgets.split(","))
    paths = sorted(p for p in flags.folder.glob("*.json") if any(p.name.startswith(o) for o in flags.only.split(",")))
    if not paths:
        sys.exit(f"{flags.folder}: no recorded space of that name")
    results = {}
    if not flags.json:
        print("| strategy | " + " | ".join(map(str, budgets)) + " | lowest space | to 90 | to 95 | to 99 % |")
        print("| --- |" + " --- |" * (len(budgets) + 4))
    for name in flags.strategies.split(","):
        source, _, strategy = name.partition(":")
        if source == "lathe":
            results[name] = run_lathe(flags.lathe, paths, strategy, flags.seeds, budgets, flags.in_flight)
        else:
            try:
                module = importlib.import_module({"kernel_tuner": "kernel_tuner_peer", "xgb": "xgb_peer"}[source])
            except (ImportError, KeyError) as reason:
                print(f"{name}: left out: {reason}", file=sys.stderr)
                continue
            results[name] = run_peer(module, paths, strategy, flags.seeds, budgets)
        if not flags.json:
            print(row(name, results[name], budgets), flush=True)
    if flags.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
