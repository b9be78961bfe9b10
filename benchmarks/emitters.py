"""Rows of the number of emitters: a series of gates against one g2, and the estimate itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import photonstats as ps
from timing import Row, alternate

DOT_SECONDS = 60.0


def rows(path: Path, photons: int, runs: int) -> list[Row]:
    stream = ps.read(path)
    gates = np.linspace(0.0, 19e-9, 20)
    dot = stream.between(0.0, min(DOT_SECONDS, stream.duration))
    return [
        alternate(
            "20 time gates in one pass",
            partial(ps.gate_series, stream, gates, detectors=(0, 1)),
            partial(ps.g2_pulsed, stream, 10, detectors=(0, 1)),
            name="photonstats, one g2_pulsed",
            photons=photons,
            goal=1 / 3,
            runs=runs,
        ),
        alternate(
            f"number of emitters, {dot.duration:g} s",
            partial(ps.estimate_emitters, dot, background={0: 300.0, 1: 300.0}, detectors=(0, 1)),
            runs=max(1, runs // 3),
        ),
    ]
