"""The pictures of a benchmark run: ratios to the peers with their spread and goals, and how cost grows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from light import OUT
from timing import Row

OURS, GOAL, QUIET = "#0072b2", "#d55e00", "0.6"
# seven lines that colour-blind readers tell apart, by marker as well: Okabe and Ito's colours
LINES = tuple(
    zip(["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"], "os^vDPX", strict=True)
)


def draw_ratios(rows: Sequence[Row]) -> None:
    """Write ratios.png: how many times the peer's time is ours; median, lowest and highest of the pairs of calls."""
    shown = [row for row in rows if row.ratio]
    if not shown:
        return
    figure, ax = plt.subplots(figsize=(8.0, 0.9 + 0.27 * len(shown)), layout="constrained")
    for y, row in enumerate(reversed(shown)):
        ax.plot([row.ratio_low, row.ratio_high], [y, y], color=OURS, lw=4, alpha=0.35, solid_capstyle="butt")
        ax.plot(row.ratio, y, "o", color=OURS, ms=5)
        if row.goal:
            ax.plot(row.goal, y, "|", color=GOAL, ms=11, mew=1.8)
    ax.axvline(1.0, color=QUIET, lw=0.8)
    ax.set_yticks(range(len(shown)), [f"{row.work}  /  {row.peer}" for row in reversed(shown)], fontsize=8)
    ax.set(
        xscale="log",
        xlabel="the peer's time over ours (bar: lowest to highest; line: goal)",
        ylim=(-0.7, len(shown) - 0.3),
    )
    ax.grid(axis="x", color="0.9", lw=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    figure.savefig(OUT / "ratios.png", dpi=160)
    plt.close(figure)


def draw_growth(rows: Sequence[dict[str, float | str]]) -> None:
    """Write growth.png: seconds and further memory against photons."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    for name, (color, marker) in zip(dict.fromkeys(str(row["work"]) for row in rows), LINES, strict=False):
        of = [row for row in rows if row["work"] == name]
        photons = [float(row["photons"]) for row in of]
        for ax, key, least in ((axes[0], "seconds", 1e-4), (axes[1], "megabytes", 1.0)):
            values = [max(float(row[key]), least) for row in of]
            ax.plot(photons, values, color=color, marker=marker, ms=4, lw=1.2, label=name)
    for ax in axes:
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[0].set(xscale="log", yscale="log", xlabel="photons", ylabel="seconds")
    axes[1].set(xscale="log", yscale="log", xlabel="photons", ylabel="memory above the pieces (MB)")
    decades = math.ceil(math.log10(max(float(row["photons"]) for row in rows)))
    axes[0].set_xlim(right=2.0 * 10**decades)
    axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(OUT / "growth.png", dpi=160)
    plt.close(figure)
