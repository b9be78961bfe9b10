"""Lifetime against intensity: sums of nanotimes per bin against numpy, and the whole of a FLID."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import photonstats as ps
from photonstats.switching.nanotime_sums import bin_sums
from segments import SIGMA, segments
from timing import Row, alternate

WIDTH = 10e-3


def rows(path: Path, photons: int, runs: int) -> list[Row]:
    stream = ps.read(path)
    edges = stream.start + np.arange(int(stream.duration / WIDTH) + 1) * WIDTH
    common: dict[str, Any] = {"photons": photons, "runs": runs}
    found = [
        alternate("FLID sums, bins of 10 ms", lambda: bin_sums(stream, edges), lambda: reduced(stream, edges),
                  name="numpy add.reduceat", goal=1.0, **common),
        alternate("FLID sums, one detector", lambda: bin_sums(stream, edges, detectors=0),
                  lambda: counted(stream, edges), name="numpy bincount", goal=10.0, **common),
    ]  # fmt: skip
    for k, n in ((6000, 200), (100_000, 50)):
        dot, _ = segments(k, n)
        irf = ps.GaussianIRF(sigma=SIGMA)
        label = f"FLID, {k} bins x {n} photons"
        found.append(alternate(label, lambda: ps.flid(dot, irf=irf), photons=len(dot), runs=runs))  # noqa: B023
    return found


def reduced(stream: ps.PhotonStream, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and sums by adding between the edges."""
    bounds = np.searchsorted(stream.timestamps, np.ceil(edges / stream.timestamps_unit - 1e-6).astype(np.int64))
    assert stream.nanotimes is not None
    inside = stream.nanotimes[: bounds[-1]]
    return np.diff(bounds), np.add.reduceat(inside, np.minimum(bounds[:-1], inside.size - 1), dtype=np.int64)


def counted(stream: ps.PhotonStream, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and sums of one detector by the number of the bin of each photon."""
    mine = stream.detectors == 0
    assert stream.nanotimes is not None
    n = edges.size - 1
    at = ((stream.timestamps[mine] * stream.timestamps_unit - edges[0]) / WIDTH).astype(np.int64)
    return np.bincount(at, minlength=n)[:n], np.bincount(at, stream.nanotimes[mine], minlength=n)[:n]
