#!/usr/bin/env python3
"""Search strategies side by side on this machine's own templates, every trial compiled and measured: how many until within 5 % of the best.

    bench/search/live.py --out OUT --seeds 5 --trials 60
    bench/search/live.py --out OUT --evaluate           # tables of what is there, also while another one is measuring

Each run is a `lathe tune` with a log of its own, nothing borrowed. Runs take turns, seed by seed, so that what else the machine does hits all
strategies alike; stopped, the same command goes on. Compiled candidates are shared between runs, by content: a trial is a trial all the same.

A config's time is the 20 % quantile of its samples in all runs together; the best is the lowest of those among all configs of all runs. So
a run is not judged by its own luck with a measurement.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

STRATEGIES = ["model", "random", "genetic", "annealing"]
WORKLOADS = {  # of the graphs in models/, as `lathe tasks` names them; RoI align with fewer boxes
    "3x3 convolution, ResNet-50": "conv2d h=14,w=14,c=256,k=256,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1,layout=nchw,bias=1,activation=relu",
    "1x1 convolution, MobileNet v2": "conv2d h=14,w=14,c=64,k=384,r=1,s=1,layout=nchw,bias=1,activation=relu6",
    "depthwise, MobileNet v2": "conv2d h=56,w=56,c=144,k=144,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1,groups=144,layout=nchw,bias=1,activation=relu6",
    "resize, small YOLO": "resize n=1,c=3,h=1080,w=1920,oh=640,ow=640,layout=nchw,dtype=f32",
    "NMS, Faster R-CNN": "nms n=1000,max_out=1000",
    "RoI align, 100 boxes of Faster R-CNN's 1,000": "roi_align n=1,r=100,c=256,h=25,w=42,sampling_ratio=2,spatial_scale=0.03125,aligned=0",
}
WITHIN = 1.05


def log_of(out, place, strategy, seed):
    return out / f"{place}_{strategy}_{seed}.db"


def measure(lathe, out, trials, seeds):
    environment = dict(os.environ, XDG_CACHE_HOME=str(out / "cache"))
    for seed in range(1, seeds + 1):
        for place, workload in enumerate(WORKLOADS.values()):
            for strategy in STRATEGIES:
                log = log_of(out, place, strategy, seed)
                done = log.with_suffix(".json")
                if done.exists():
                    continue
                command = [lathe, "tune", "--workload", workload, "--trials", str(trials), "--strategy", strategy, "--seed", str(seed),
                           "--warm", "off", "--log", str(log), "--json"]
                run = subprocess.run(command, capture_output=True, text=True, env=environment)
                if run.returncode not in (0, 5):
                    sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
                done.write_text(run.stdout)


def measured(lathe, log):
    """The run's configs in the order of their first measurement, and every config's samples; a failed one has none."""
    export = log.with_suffix(".jsonl")
    subprocess.run([lathe, "log", "export", "--log", str(log), str(export)], check=True, capture_output=True)
    samples = {}
    for line in export.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "measurement":
            measurement = record["measurement"]
            config = json.dumps([measurement["template"], measurement["config"]], sort_keys=True)
            samples.setdefault(config, []).extend(measurement["samples"])
    return samples


def finite(value):
    return None if math.isinf(value) else value


def low_quantile(samples):
    return sorted(samples)[int(0.2 * (len(samples) - 1))] if samples else math.inf


def evaluate(lathe, out, trials):
    results = []
    for place, name in enumerate(WORKLOADS):
        runs = {}
        for strategy in STRATEGIES:
            finished = sorted(out.glob(f"{place}_{strategy}_*.json"))
            runs[strategy] = [measured(lathe, done.with_suffix(".db")) for done in finished]
        pooled = {}
        for run in (run for of_strategy in runs.values() for run in of_strategy):
            for config, samples in run.items():
                pooled.setdefault(config, []).extend(samples)
        if not pooled:
            continue
        times = {config: low_quantile(samples) for config, samples in pooled.items()}
        best = min(times.values())
        row = {"workload": name, "best_seconds": best, "best": json.loads(min(times, key=times.get)), "configs": len(times), "strategies": {}}
        for strategy, of_strategy in runs.items():
            if not of_strategy:
                continue
            reached, at = [], {str(n): [] for n in (trials // 4, trials // 2, trials)}
            for run in of_strategy:
                order = [times[config] for config in run]
                reached.append(next((i + 1 for i, time in enumerate(order) if time <= WITHIN * best), math.inf))
                for n in at:
                    at[n].append(best / min(order[:int(n)]))
            row["strategies"][strategy] = {"seeds": len(of_strategy), "trials_to": [finite(r) for r in reached],
                                           "median": finite(statistics.median(reached)), "at": {n: statistics.fmean(v) for n, v in at.items()}}
        results.append(row)
    return results


def table(results, trials):
    def number(value):
        return f">{trials}" if math.isinf(value) else f"{value:g}"

    lines = ["| workload | best | " + " | ".join(STRATEGIES) + " |", "| --- |" + " --- |" * (1 + len(STRATEGIES))]
    for row in results:
        cells = []
        for strategy in STRATEGIES:
            found = row["strategies"].get(strategy)
            cells.append("" if not found else f"{number(found['median'] or math.inf)} ({', '.join(number(r or math.inf) for r in found['trials_to'])})")
        lines.append(f"| {row['workload']} | {1e6 * row['best_seconds']:.1f} µs | " + " | ".join(cells) + " |")
    for n in (str(trials // 4), str(trials // 2), str(trials)):
        cells = []
        for strategy in STRATEGIES:
            values = [row["strategies"][strategy]["at"][n] for row in results if strategy in row["strategies"]]
            cells.append(f"{statistics.fmean(values):.3f}" if values else "")
        lines.append(f"| fraction of the best after {n}, mean | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", default="build/release/bin/lathe", help="the program")
    parser.add_argument("--out", type=Path, required=True, help="folder of logs, compiled candidates and results.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60, help="of each run")
    parser.add_argument("--evaluate", action="store_true", help="measure nothing")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    if not flags.evaluate:
        measure(flags.lathe, flags.out, flags.trials, flags.seeds)
    results = evaluate(flags.lathe, flags.out, flags.trials)
    text = json.dumps(results, indent=1)
    (flags.out / "results.json").write_text(text)
    print(table(results, flags.trials))


if __name__ == "__main__":
    main()
