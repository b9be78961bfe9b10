"""Time two calls in turn, and keep what came out as a row of the table."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

Call = Callable[[], Any]
LEAST = 0.02  # s


@dataclass
class Row:
    """One line of the table; `ratio` is the peer's time over ours, above 1 where ours is faster."""

    work: str
    peer: str
    photons: int
    ours_s: float
    peer_s: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    goal: float | None

    @property
    def text(self) -> str:
        rate = f" {self.photons / self.ours_s / 1e6:8.3g} M/s" if self.photons else " " * 13
        ours = f"{self.work:<40} {self.ours_s * 1e3:10.1f} ms{rate}"
        if self.peer_s is None:
            return ours
        goal = f"goal {self.goal:.2g}" if self.goal else ""
        return (
            f"{ours}   {self.peer:<26} {self.peer_s * 1e3:9.1f} ms   ratio {self.ratio:7.2f} "
            f"({self.ratio_low:.2f} to {self.ratio_high:.2f})  {goal}"
        )

    @property
    def markdown(self) -> str:
        rate = f"{self.photons / self.ours_s / 1e6:.3g} M photons/s" if self.photons else _seconds(self.ours_s)
        if self.peer_s is None:
            return f"| {self.work} | {rate} | | |"
        return (
            f"| {self.work} | {rate} | {self.peer} | {self.ratio:.2g} ({self.ratio_low:.2g} to {self.ratio_high:.2g}) |"
        )


def _seconds(time: float) -> str:
    return f"{time:.2f} s" if time >= 0.1 else f"{time * 1e3:.3g} ms"


def alternate(
    work: str,
    ours: Call,
    peer: Call | None = None,
    *,
    name: str = "",
    photons: int = 0,
    goal: float | None = None,
    runs: int = 7,
    warm: bool = True,
) -> Row:
    """Time two calls in turn, after one of each that is not counted where `warm`; print the row and return it.

    Calls shorter than `LEAST` are made several times in a row, as one who has many fits would: the time is the mean.
    """
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    calls = {"ours": ours} | ({"peer": peer} if peer else {})
    repeats = dict.fromkeys(calls, 1)
    for who, call in calls.items() if warm else ():
        call()
        repeats[who] = max(1, math.ceil(LEAST / max(_mean_time(call, 1), 1e-6)))
    for _ in range(runs):
        for who, call in calls.items():
            times[who].append(_mean_time(call, repeats[who]))
    ratios = [p / o for o, p in zip(times["ours"], times["peer"], strict=False)]
    median = statistics.median
    row = Row(
        work,
        name,
        photons,
        median(times["ours"]),
        median(times["peer"]) if peer else None,
        median(ratios) if ratios else None,
        min(ratios, default=None),
        max(ratios, default=None),
        goal,
    )
    print(row.text, flush=True)
    return row


def _mean_time(call: Call, n: int) -> float:
    begin = time.perf_counter()
    for _ in range(n):
        result = call()
        del result
    return (time.perf_counter() - begin) / n


def installed(*peers: str) -> bool:
    """Whether all of these programs are there to be compared with."""
    return all(find_spec(peer) is not None for peer in peers)
