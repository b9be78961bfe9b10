"""Simulate dots of known blinking type, fit the odds of levels that `classify_blinking` uses, and count its verdicts.

    python studies/blinking_evidence.py [n] [seed]        400 dots, seed 101: about ten minutes

Dots come from `tests/blinking_dots.py`: 10 to 60 kcps, contrast 2 to 15, background 1 to 15 %, lifetimes 4 to 40 ns at
1 to 10 MHz, dwells of three laws from 2 to 50 ms on, two to four levels, walks and jumps. Half of them lie in the
narrower ranges of ordinary dots. Printed are the coefficients of a logistic regression (continuum against few levels,
for equal numbers of both, with a ridge of 0.3), the verdicts, and how often those of a probability were right.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import optimize

import photonstats as ps

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import blinking_dots

KINDS = ("A", "B", "flickering", "steady", "bleached")
SHARES = (0.30, 0.27, 0.30, 0.08, 0.05)
RIDGE = 0.3
BOUNDS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)


def signs(levels: ps.Levels) -> list[float]:
    """Return what the regression rests on, as in `level_evidence`."""
    segments = levels.segments
    expected = levels.rates[levels.assignment] * segments.durations
    scatter = float(np.mean((segments.counts - expected) ** 2 / np.maximum(expected, 1.0)))
    return [1.0, min(levels.n, 10) - 5.0, np.log(max(scatter, 0.5)), np.log(len(segments) / 100.0)]


def regression(rows: np.ndarray, many: np.ndarray) -> np.ndarray:
    def cost(b: np.ndarray) -> float:
        z = rows @ b
        return float(np.logaddexp(0.0, z).sum() - z[many].sum() + RIDGE * (b[1:] ** 2).sum())

    found = optimize.minimize(cost, np.zeros(rows.shape[1])).x
    found[0] += np.log((~many).sum() / many.sum())  # both equally likely before
    return found


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 101)
    rows, many, verdicts, called = [], [], Counter(), []
    for _ in range(n):
        kind, wide = str(rng.choice(KINDS, p=SHARES)), bool(rng.random() < 0.5)
        photons, _ = blinking_dots.dot(blinking_dots.draw(rng, kind, wide=wide))
        segments = ps.change_points(photons)
        levels = ps.levels(segments)
        found = ps.classify_blinking(photons, segments=segments, levels=levels)
        truth = "steady" if kind == "bleached" else kind
        verdicts[truth, found.verdict] += 1
        best = max(found.probability, key=found.probability.__getitem__)
        called.append((found.probability[best], best == truth))
        if kind in KINDS[:3] and levels.n > 1:
            rows.append(signs(levels))
            many.append(kind == "flickering")
    print("LEVEL_ODDS", regression(np.array(rows), np.array(many)).round(2))
    for (truth, verdict), count in sorted(verdicts.items()):
        print(f"{truth:>12} called {verdict:<12} {count}")
    p, right = (np.array(column) for column in zip(*called, strict=True))
    for low, high in pairwise(BOUNDS):
        inside = (p >= low) & (p < high)
        if inside.any():
            print(f"probability {low:.2f} to {high:.2f} (mean {p[inside].mean():.3f}): {right[inside].mean():.3f} of "
                  f"{inside.sum()} right")  # fmt: skip


if __name__ == "__main__":
    main()
