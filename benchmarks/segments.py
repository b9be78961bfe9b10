"""Rows of segments: a lifetime for each of many stretches, against tttrlib's Fit23."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from photonstats.decays.segments import fit_segments
from timing import Row, alternate, installed

PERIOD, UNIT, SIGMA, PULSE = 100e-9, 64e-12, 300e-12, 10e-9
MERGE = 6  # ticks per bin of Fit23, which takes time for every bin: 261 of them
SECONDS = 1e-2


def rows(_: Path, __: int, runs: int) -> list[Row]:
    found = []
    for k, n in ((1000, 500), (100_000, 50)):
        stream, edges = segments(k, n)
        irf = ps.decay(segments(100, 1000, lifetime=0.0)[0])
        common: dict[str, Any] = {"photons": len(stream), "runs": runs}

        def ours(**more: Any) -> Any:
            return fit_segments(stream, edges, irf, **{"shift": 0.0, **more})  # noqa: B023

        label = f"{k} segments x {n} photons"
        peer, goal = (fit23(stream, edges, irf), 20.0) if k == 1000 and installed("tttrlib") else (None, None)
        found += [
            alternate(label, ours, peer, name="tttrlib Fit23", goal=goal, **common),
            alternate(f"{label}, shift fitted", lambda: ours(shift=None), **common),
            alternate(f"{label}, background", lambda rate=0.1 * n / SECONDS: ours(background=rate), **common),
            alternate(f"{label}, two lifetimes", lambda: ours(lifetimes=(2e-9, 20e-9)), **common),
        ]
    return found


def segments(k: int, n: int, lifetime: float = 20e-9) -> tuple[ps.PhotonStream, np.ndarray]:
    """Return k segments of 10 ms with n photons each, and their edges."""
    rng = np.random.default_rng(1)
    pulses = np.sort(rng.integers(0, round(SECONDS / PERIOD), (k, n)), axis=1)
    pulses += np.arange(k)[:, None] * round(SECONDS / PERIOD)
    delays = (PULSE + rng.normal(0.0, SIGMA, k * n) + rng.exponential(1.0, k * n) * lifetime) % PERIOD
    stream = ps.PhotonStream(
        pulses.ravel(), np.zeros(k * n, np.uint8), (delays / UNIT).astype(np.uint16),
        timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=k * SECONDS,
    )  # fmt: skip
    return stream, np.arange(k + 1) * SECONDS


def fit23(stream: ps.PhotonStream, edges: np.ndarray, irf: ps.Decay) -> Any:
    """Return the call that histograms and fits all segments; Fit23 wants both polarisations, here the halves."""
    import tttrlib

    n = -(-irf.counts.size // MERGE)
    shape = np.add.reduceat(irf.counts, np.arange(0, irf.counts.size, MERGE)).astype(np.float64)
    fit = tttrlib.Fit23(
        dt=UNIT * MERGE * 1e9, irf=np.tile(shape, 2), background=np.zeros(2 * n), period=PERIOD * 1e9,
        g_factor=1.0, l1=0.0, l2=0.0, p2s_twoIstar_flag=False,
    )  # fmt: skip
    start, fixed = np.array([15.0, 0.0, 0.0, 1e9]), np.array([0, 1, 1, 1], np.int16)
    assert stream.nanotimes is not None
    bins = stream.nanotimes // MERGE
    cuts = np.searchsorted(stream.timestamps, np.rint(edges / PERIOD))

    def call() -> list[float]:
        found = []
        for a, b in pairwise(cuts):
            half = (a + b) // 2
            counts = np.concatenate([np.bincount(bins[a:half], minlength=n), np.bincount(bins[half:b], minlength=n)])
            found.append(float(fit(data=counts.astype(np.float64), initial_values=start, fixed=fixed)["x"][0]))
        return found

    return call
