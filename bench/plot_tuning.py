#!/usr/bin/env python3
"""Draws what `lathe tune --json` reports: for each task the share of this machine's FMA limit, untuned and tuned.

    lathe limits --log tuning.db && lathe tune model.onnx --log tuning.db --json > run.json
    bench/plot_tuning.py run.json > run.svg
"""
import json
import sys

ROW, LEFT, WIDTH, TOP = 17, 210, 520, 58


def label(workload):
    layer = f"{workload['c']}→{workload['k']} {workload['r']}×{workload['s']}"
    stride = f" /{workload['stride_h']}" if workload["stride_h"] > 1 else ""
    return f"{layer}{stride} @{workload['h']}"


def flops(w):
    height = (w["h"] + w["pad_top"] + w["pad_bottom"] - w["r"]) // w["stride_h"] + 1
    width = (w["w"] + w["pad_left"] + w["pad_right"] - w["s"]) // w["stride_w"] + 1
    return 2 * w["n"] * height * width * w["k"] * w["r"] * w["s"] * w["c"] // w["groups"]


def main():
    run = json.load(open(sys.argv[1]))
    peak = run["limits"]["flops_per_second"]
    tasks = [t for t in run["tasks"] if t["key"].startswith("conv2d") and t["best"] and t["untuned"]]
    share = lambda task, which: flops(task["workload"]) / task[which]["objective"] / peak
    full = max([1.05] + [share(t, which) for t in tasks for which in ("untuned", "best")])  # Winograd goes beyond the limit
    scale = WIDTH / full
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{TOP + ROW * len(tasks) + 34}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="14" font-weight="bold">{sys.argv[2] if len(sys.argv) > 2 else "Tuned convolutions"}</text>',
           f'<text x="10" y="38" fill="#555">{run["target"]["name"]}, {run["target"]["limits"]["threads"]:.0f} thread; share of the measured FMA '
           f'limit of {peak / 1e9:.0f} GFLOP/s: light untuned, dark tuned</text>']
    for i, task in enumerate(tasks):
        y = TOP + i * ROW
        shares = [share(task, which) for which in ("untuned", "best")]
        out.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{label(task["workload"])}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 1}" width="{scale * shares[1]:.1f}" height="{ROW - 4}" fill="#1f6f8b"/>')
        out.append(f'<rect x="{LEFT}" y="{y + 4}" width="{scale * shares[0]:.1f}" height="{ROW - 10}" fill="#a8d5e2"/>')
        out.append(f'<text x="{LEFT + scale * shares[1] + 5:.1f}" y="{y + 11}">{100 * shares[1]:.0f}%</text>')
    bottom = TOP + ROW * len(tasks)
    for percent in range(0, int(100 * full) + 1, 50 if full < 2 else 100):
        x = LEFT + scale * percent / 100
        out.append(f'<line x1="{x}" y1="{TOP - 4}" x2="{x}" y2="{bottom}" stroke="#888" stroke-dasharray="2 3"/>')
        out.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle" fill="#555">{percent}%</text>')
    print("\n".join(out + ["</svg>"]))


if __name__ == "__main__":
    main()
