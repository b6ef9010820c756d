#!/usr/bin/env python3
"""Draws what bench/conv.py --json wrote: for each layer the share of the machine's limit that ours and each peer reach.

    bench/plot_conv.py conv.json "ResNet-50, one thread" > conv.svg
"""
import json
import sys

ROW, LEFT, WIDTH, TOP = 17, 210, 520, 58
COLOURS = {"onednn": "#c0392b", "onnxruntime": "#e67e22", "openvino": "#8e44ad", "ncnn": "#27ae60", "mnn": "#2c3e50"}


def main():
    run = json.load(open(sys.argv[1]))
    layers, peers = run["layers"], [p for p in COLOURS if any(p in layer["peers"] for layer in run["layers"])]
    share = lambda layer, seconds: layer["share_of_peak"] * layer["seconds"] / seconds
    full = max([1.05] + [share(l, s) for l in layers for s in [l["seconds"], *l["peers"].values()]])
    scale = WIDTH / full
    legend = "".join(f'<tspan fill="{COLOURS[p]}" dx="10">{p}</tspan>' for p in peers)
    bottom = TOP + ROW * len(layers)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{bottom + 34}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="14" font-weight="bold">{sys.argv[2] if len(sys.argv) > 2 else "Convolutions"}</text>',
           f'<text x="10" y="38" fill="#555">share of the measured limit, {run["threads"]} thread(s): bars ours, marks{legend}</text>']
    for i, layer in enumerate(layers):
        y = TOP + i * ROW
        ours = scale * share(layer, layer["seconds"])
        out.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{layer["layer"]}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 2}" width="{ours:.1f}" height="{ROW - 5}" fill="#a8d5e2"/>')
        for peer in peers:
            if peer in layer["peers"]:
                x = LEFT + scale * share(layer, layer["peers"][peer])
                out.append(f'<line x1="{x:.1f}" y1="{y + 2}" x2="{x:.1f}" y2="{y + ROW - 3}" stroke="{COLOURS[peer]}" stroke-width="2"/>')
        out.append(f'<text x="{LEFT + WIDTH + 8}" y="{y + 11}">{100 * layer["share_of_peak"]:.0f}%</text>')
    for percent in range(0, int(100 * full) + 1, 50 if full < 2 else 100):
        x = LEFT + scale * percent / 100
        out.append(f'<line x1="{x}" y1="{TOP - 4}" x2="{x}" y2="{bottom}" stroke="#888" stroke-dasharray="2 3"/>')
        out.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle" fill="#555">{percent}%</text>')
    print("\n".join(out + ["</svg>"]))


if __name__ == "__main__":
    main()
