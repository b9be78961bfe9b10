"""Rows of correlation: from file to curve, by peak, over log-spaced lags, and on one core and two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import photonstats as ps
from light import absolute, t2_file
from timing import Row, alternate, installed

BIN = 256e-12
WINDOWS = {"T3": 2e-6, "T2": 1e-6}
LOG_PHOTONS = 4_000_000
LOG_LAGS = (1e-9, 1.0)


def rows(path: Path, photons: int, runs: int) -> list[Row]:
    return [
        *from_file(path, photons, runs),
        *by_peak(path, runs),
        *over_log_lags(path, runs),
        *on_two_cores(path, runs),
    ]


def from_file(path: Path, photons: int, runs: int) -> list[Row]:
    """g2 in bins of 256 ps from file to curve, against trattoria, which works on the file too."""
    found = []
    for kind, file in (("T3", path), ("T2", t2_file(path))):
        window = WINDOWS[kind]
        peer = _trattoria(file, window) if installed("trattoria") else None
        for what, delay in (("delay found", "auto"), ("delay given", 0.0)):

            def ours(file: Path = file, window: float = window, delay: float | str = delay) -> ps.G2:
                return ps.g2(ps.read(file), window, BIN, detectors=(0, 1), delay=delay)

            found.append(
                alternate(
                    f"{kind} file to g2, ±{window * 1e6:g} µs, {what}",
                    ours,
                    peer,
                    name="trattoria, delay 0",
                    photons=photons,
                    goal=1.5,
                    runs=runs,
                )
            )
        if peer is not None:
            print(f"    pairs: {int(ours().pairs.sum())} here, {int(peer().g2.sum())} in trattoria (one bin fewer)")
    return found


def _trattoria(file: Path, window: float) -> Callable[[], Any]:
    import trattoria

    # its channel 0 is the laser: the first detector is 1
    wanted = trattoria.G2Parameters(
        channel_1=1, channel_2=2, correlation_window=window, resolution=BIN, record_ranges=None
    )
    return lambda: trattoria.PTUFile(str(file)).g2(wanted)


def by_peak(path: Path, runs: int) -> list[Row]:
    """g2 by laser peak from arrays, against pycorrelate on times that are made for it beforehand."""
    stream = ps.read(path)
    peer = None
    if installed("pycorrelate"):
        import pycorrelate

        a, b = _times(stream)
        edges = (np.arange(-10, 12) - 0.5) * round(stream.laser_period / stream.tcspc_unit)
        peer = partial(pycorrelate.pcorrelate, a, b, edges, normalize=False)
    return [
        alternate(
            what,
            partial(ps.g2_pulsed, stream, 10, detectors=(0, 1), delay=delay),
            peer,
            name="pycorrelate, arrays given",
            photons=len(stream),
            goal=6.0,
            runs=runs,
        )
        for what, delay in (("pulsed g2, ±10 pulses, delay given", 0.0), ("pulsed g2, ±10 pulses, delay found", "auto"))
    ]


def over_log_lags(path: Path, runs: int) -> list[Row]:
    """90 bins from 1 ns to 1 s, exact and multi-tau, both against pycorrelate, which is exact."""
    stream = ps.read(path)[:LOG_PHOTONS]
    few = max(2, runs // 2)
    peer = None
    if installed("pycorrelate"):
        import pycorrelate

        a, b = _times(stream)
        edges = np.geomspace(*LOG_LAGS, 91) / stream.tcspc_unit
        peer = partial(pycorrelate.pcorrelate, a, b, edges, normalize=False)
    return [
        alternate(
            f"log lags, 1 ns to 1 s, {method}",
            partial(ps.g2_log, stream, *LOG_LAGS, per_decade=10, detectors=(0, 1), method=method, delay=0.0),
            peer,
            name="pycorrelate, exact",
            photons=len(stream),
            goal=goal,
            runs=few,
        )
        for method, goal in (("exact", 3.0), ("multitau", 20.0))
    ]


def _times(stream: ps.PhotonStream) -> list[np.ndarray]:
    times = absolute(stream)
    return [times[stream.detectors == d] for d in (0, 1)]


def on_two_cores(path: Path, runs: int) -> list[Row]:
    """The same call with and without a second thread, from arrays to result."""
    t3, t2 = ps.read(path), ps.read(t2_file(path))
    calls = {
        "g2 of T3, ±2 µs, two threads": partial(ps.g2, t3, WINDOWS["T3"], BIN, detectors=(0, 1), delay=0.0),
        "g2 of T2, ±1 µs, two threads": partial(ps.g2, t2, WINDOWS["T2"], BIN, detectors=(0, 1), delay=0.0),
        "pulsed g2, ±10 pulses, two threads": partial(ps.g2_pulsed, t3, 10, detectors=(0, 1)),
    }
    rows = [
        alternate(
            what, call, partial(_alone, call), name="photonstats, one thread", photons=len(t3), goal=1.7, runs=runs
        )
        for what, call in calls.items()
    ]
    parts = [np.linspace(0.1, 1.0, 20_000) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        bare = alternate(
            "logarithms that share nothing, two threads",
            lambda: list(pool.map(_logarithms, parts)),
            lambda: [_logarithms(part) for part in parts],
            name="numpy, one thread",
            runs=runs,
        )
    return [*rows, bare]


def _logarithms(values: np.ndarray) -> None:
    """What two cores of this machine can do at best: work without memory, file or lock."""
    for _ in range(600):
        np.log(values)


def _alone(call: Callable[[], Any]) -> Any:
    with patch("os.cpu_count", return_value=1):
        return call()
