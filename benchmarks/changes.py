"""Rows of switching: change points photon by photon, levels and hidden Markov chains, against ruptures on bins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from timing import Row, alternate, installed

PERIOD, UNIT, PULSE = 200e-9, 100e-12, 10e-9
PEER_BIN, BIN = 1e-3, 10e-3  # of the peer, which knows no photons, and of traces


def rows(_: Path, photons_of_file: int, runs: int) -> list[Row]:
    few = switching_light(39, 1.0, photons_of_file < 10**6)
    found = [
        alternate("change points, 38 true", lambda: ps.change_points(few), ruptures_call(few),
                  name="ruptures, 1 ms bins",                  photons=len(few), runs=runs),
        alternate("change points and lifetimes", lambda: ps.change_points(few, use_lifetime=True), None,
                  photons=len(few), runs=runs),
        alternate("change points, PELT", lambda: ps.change_points(few, method="penalised"), None, photons=len(few),
                  runs=runs),
    ]  # fmt: skip
    if photons_of_file > 10**6:
        many = switching_light(10_000, 0.02, False)
        found.append(
            alternate("change points, 10 000 true", lambda: ps.change_points(many), None, photons=len(many), runs=3)
        )
        segments = ps.change_points(many)
        found.append(alternate(f"levels of {len(segments)} segments", lambda: ps.levels(segments, 5), None,
                               photons=len(many), runs=3))  # fmt: skip
    trace = ps.intensity_trace(few, BIN)
    found.append(
        alternate(f"hidden Markov, {trace.counts.size} bins", lambda: ps.hidden_markov(trace), None, photons=len(few),
                  runs=min(runs, 3))
    )  # fmt: skip
    found.append(
        alternate(f"levels or continuum, {trace.counts.size} bins", lambda: ps.flickering(trace), None,
                  photons=len(few), runs=min(runs, 3))
    )  # fmt: skip
    return found


def switching_light(n: int, seconds: float, small: bool) -> ps.PhotonStream:
    """Return light that switches between 10 and 40 kcps, and 15 and 25 ns, n - 1 times."""
    rng = np.random.default_rng(4)
    lengths = rng.exponential(seconds, n) * (0.1 if small else 1.0) + 0.3 * seconds * (n < 100)
    rates = np.where(np.arange(n) % 2, 10e3, 40e3)
    counts = rng.poisson(lengths * rates)
    which = np.repeat(np.arange(n), counts)
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    times = np.sort(starts[which] + rng.random(which.size) * lengths[which])
    lifetimes = np.where(which % 2, 15e-9, 25e-9)
    delays = (PULSE + rng.exponential(1.0, which.size) * lifetimes) % PERIOD
    return ps.PhotonStream(
        (times / PERIOD).astype(np.int64), np.zeros(which.size, np.uint8), (delays / UNIT).astype(np.uint16),
        timestamps_unit=PERIOD, tcspc_unit=UNIT, duration=float(starts[-1]),
    )  # fmt: skip


def ruptures_call(stream: ps.PhotonStream) -> Any:
    """Return the call that segments the square root of the counts of 1 ms bins by PELT, or None."""
    if not installed("ruptures"):
        return None
    import ruptures

    counts = ps.intensity_trace(stream, PEER_BIN).counts
    signal = 2.0 * np.sqrt(counts + 0.375)[:, None]  # of variance 1
    return lambda: ruptures.KernelCPD(kernel="linear", min_size=2).fit(signal).predict(pen=3.0 * np.log(counts.size))
