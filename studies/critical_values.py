"""Simulate how large the ratio of `change_points` gets where nothing changes, and write the table that it uses.

    python studies/critical_values.py            about half an hour; writes src/photonstats/data/critical_values.csv

Events of steady light follow each other after exponential waits; with lifetimes each has a nanotime from one
exponential decay. For each number of events n the largest scaled ratio of many traces is kept. Far out ln P falls
linearly with the ratio; the fall is fitted between P = 0.05 and the hundred largest, so that levels of 1e-6 need no
1e8 traces. Values and falls of neighbouring n scatter by the simulation, so above 20 events they are smoothed by a
cubic in ln ln n. Columns: channels (1 rate, 2 rate and decay), n, the ratio at P = 0.5, 0.2, 0.1, 0.05, and the fall.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numba as nb
import numpy as np

from photonstats.decays.tilted_decay import mean_cost
from photonstats.kernels.changes import best_change, moments_of_one_side

OUT = Path(__file__).parents[1] / "src" / "photonstats" / "data" / "critical_values.csv"
SIZES = [2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50, 90, 200, 500, 1500, 5000, 20000, 100000, 400000, 2000000]
BUDGET = 3e7  # events for each size, ten times as many where blocks can be skipped
LEVELS = (0.5, 0.2, 0.1, 0.05)
SMOOTHED_FROM = 20
BINS, LIFETIME = 256, 0.15  # of the decay, in periods


@nb.njit(cache=True)
def largest(n, traces, rng, channels, cumulative, cost, table, out):
    times, scores = np.zeros(n + 1), np.zeros(n + 1 if channels == 2 else 0)
    for i in range(traces):
        for k in range(1, n + 1):
            times[k] = times[k - 1] + rng.exponential()
            if channels == 2:
                scores[k] = scores[k - 1] + (np.searchsorted(cumulative, rng.random()) + 0.5) / cumulative.size
        out[i] = best_change(times, scores, cost, 0, n, table)[1]


def smooth(sizes: np.ndarray, values: np.ndarray, degree: int, weights: np.ndarray) -> np.ndarray:
    far = sizes >= SMOOTHED_FROM
    x = np.log(np.log(sizes[far]))
    result = values.copy()
    result[far] = np.polynomial.Polynomial.fit(x, values[far], degree, w=weights[far])(x)
    return result


def study(channels: int, scale: float, seed: int) -> list[str]:
    table = np.zeros((2, 257))
    moments_of_one_side(table)
    decay = np.exp(-np.arange(BINS) / BINS / LIFETIME)
    decay /= decay.sum()
    cost = mean_cost((np.arange(BINS) + 0.5) / BINS, decay)
    rows = []
    for n in SIZES:
        events = scale * BUDGET * (10 if n > 3000 else 1) / channels
        traces = int(np.clip(events / n, 1000, 2_000_000))
        found = np.empty(traces)
        largest(n, traces, np.random.default_rng([seed, channels, n]), channels, np.cumsum(decay), cost, table, found)
        found.sort()
        share = 1.0 - (np.arange(traces) + 0.5) / traces
        tail = (share < 0.05) & (share * traces > min(100, 0.005 * traces))
        # neighbours of sorted values lean on each other: equal weight for equal steps of the logarithm
        steps = np.linspace(np.log(share[tail]).min(), np.log(share[tail]).max(), 40)
        fall = -np.polyfit(np.interp(-steps, -np.log(share[tail]), found[tail]), steps, 1)[0]
        rows.append([n, *(np.quantile(found, 1 - level) for level in LEVELS), fall, traces])
        print(channels, *(f"{v:.4f}" for v in rows[-1]), flush=True)
    columns = np.array(rows).T
    weights = np.sqrt(columns[-1])
    for i, degree in ((1, 3), (2, 3), (3, 3), (4, 3), (5, 1)):
        columns[i] = smooth(columns[0], columns[i], degree, weights)
    return [f"{channels},{int(c[0])}," + ",".join(f"{v:.4f}" for v in c[1:6]) for c in columns.T]


def main() -> None:
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    lines = ["channels,n," + ",".join(f"p{level:g}" for level in LEVELS) + ",fall"]
    for channels in (1, 2):
        lines += study(channels, scale, seed=2)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
