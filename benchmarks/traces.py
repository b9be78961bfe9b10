"""Rows of traces, decays and the simulator: numpy and tttrlib are the peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from timing import Row, alternate, installed


def rows(path: Path, photons: int, runs: int) -> list[Row]:
    stream = ps.read(path)
    seconds = stream.timestamps * stream.timestamps_unit
    n_bins = int(stream.duration / 10e-3)

    def histogram() -> Any:
        return np.histogram(seconds, bins=n_bins, range=(0, n_bins * 10e-3))

    def trace() -> Any:
        return ps.intensity_trace(stream, 10e-3)

    common = {"photons": photons, "runs": runs}
    found = [alternate("trace, 10 ms", trace, histogram, name="numpy.histogram", **common)]
    if installed("tttrlib"):
        import tttrlib

        theirs = tttrlib.TTTR(str(path), "PTU")
        found.append(
            alternate("trace, 10 ms", trace, lambda: theirs.get_intensity_trace(10e-3), name="tttrlib", **common)
        )
    return [
        *found,
        alternate("trace, 10 ms, one detector", lambda: ps.intensity_trace(stream, 10e-3, 0), **common),
        alternate("decay histogram", lambda: ps.decay(stream), **common),
        _simulation(min(photons, 10_000_000), runs),
    ]


def _simulation(photons: int, runs: int) -> Row:
    """Time the simulator: one blinking-free emitter with background."""
    emitter = ps.simulate.Emitter(lifetime=20e-9)
    seconds = photons / 166e3

    def simulate() -> Any:
        return ps.simulate.pulsed([emitter], duration=seconds, rate=166e3, background=300.0, seed=1)

    return alternate("simulate pulsed light", simulate, photons=photons, runs=max(1, runs // 3))
