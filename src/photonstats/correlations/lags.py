"""Pairs by lag on a grid that is finer than the bins asked for, so that the delay can be chosen after counting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from photonstats.correlations.delay import FAMILY_LEVEL, centre_peak, check_delay, find_dip, peak_that_differs
from photonstats.correlations.edges import Edges, expected_pairs
from photonstats.correlations.pairing import Floats, Gate, Head, Ints, Segment, Walk, in_threads, split
from photonstats.kernels.pairs import edge_pairs, lag_pairs, lattice_widths
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches

MOST_LATTICE_POINTS = 2e7


@dataclass(frozen=True)
class Grid:
    """Fine bins of `fine` ticks around `base`, `ratio` of them to a bin, `search` more on each side; all in ticks."""

    base: float
    width: float
    n_side: int
    ratio: int
    search: int
    auto: bool = False

    @property
    def fine(self) -> float:
        """Width of a fine bin, ticks."""
        return self.width / self.ratio

    @property
    def half(self) -> int:
        """Fine bins on each side of `base`."""
        return self.n_side * self.ratio + self.ratio // 2 + self.search

    @classmethod
    def make(
        cls,
        window: float,
        width: float,
        cable: float,
        delay: float | str,
        unit: float,
        offset: tuple[float, float] | None,
    ) -> Grid:
        """Lay the grid: around a given delay, or with room to move it by the length of a `cable`."""
        n_side = math.floor(window / width + 1e-9)
        if not isinstance(delay, str):
            check_delay(delay)
            return cls(float(delay) / unit, width, n_side, 2, 0)
        if delay != "auto":
            raise ValueError(f'delay={delay!r}: give seconds (positive: b later than a) or "auto"')
        ratio = 8
        while ratio > 2 and (n_side * ratio > 2**16 or width / ratio < 1.0):
            ratio //= 2
        search = math.floor(min(cable, window) / (width / ratio))
        if search < 4:
            ratio, search = 2, 0
        return cls(offset[0] if offset else 0.0, width, n_side, ratio, search, auto=True)

    def decide(
        self, counter: Counter, period: float | None, offset: tuple[float, float] | None, unit: float
    ) -> tuple[int, float, str]:
        """Find the shift of the delay in fine bins, its error in ticks, and a note."""
        if self.search == 0:
            error = offset[1] if offset else self.width / math.sqrt(12.0)
            return 0, error, "bins wider than any cable delay: not searched"
        if period is not None and offset is not None:
            return self._decide_pulse(counter, period, offset)
        edges, width = self.all_bins(period)
        expected = expected_pairs(counter.edges, edges + self.base, width)[0]
        moved, error, p = find_dip(counter.pairs[:-1], expected, self.search)
        if p < FAMILY_LEVEL:
            return moved, error * self.fine, f"centre of the dip or excess (p = {p:.1g})"
        searched = self.search * self.fine * unit
        return 0, math.nan, f"no dip or excess within {searched * 1e9:.4g} ns (p = {p:.2g}): delay taken as 0"

    def _decide_pulse(self, counter: Counter, period: float, offset: tuple[float, float]) -> tuple[int, float, str]:
        n = math.floor(self.half * self.fine / period - 0.5)
        search = min(math.floor(self.search * self.fine / period), n - 1)
        note = "offset modulo the period from the two decays"
        if search < 1:
            return 0, offset[1], f"{note}; the window holds too few pulses to tell which period"
        # borders between peaks fall within fine bins: share them, or the peaks would differ by their widths
        bounds = (np.arange(-n, n + 2) - 0.5) * period / self.fine + self.half
        total = np.concatenate([[0], np.cumsum(counter.pairs[:-1])])
        peaks = np.rint(np.diff(np.interp(bounds, np.arange(total.size), total))).astype(np.int64)
        found, p, _ = centre_peak(peaks, -n, search)
        if p >= FAMILY_LEVEL:
            return 0, offset[1], f"{note}; no peak differs from its neighbours (p = {p:.2g}), so the smallest was taken"
        moved = round(found * period / self.fine)
        error = math.hypot(offset[1], abs(moved * self.fine - found * period))
        return moved, error, f"{note}; {peak_that_differs(found, p)}"

    def all_bins(self, period: float | None) -> tuple[Floats, Floats]:
        """Return edges and true widths of all fine bins (ticks from `base`); `period` is that of T3, else None."""
        nominal = np.arange(-self.half, self.half + 1, dtype=np.float64) * self.fine
        if period is not None:
            return nominal, self._lattice_widths(period)
        edges = self._snapped(nominal)
        return edges, np.diff(edges)

    def coarse(self, fine_pairs: Ints, moved: int, period: float | None) -> tuple[Floats, Floats, Ints]:
        """Return edges (ticks from the delay), true widths and pairs of the bins asked for, `moved` fine bins later."""
        first = self.search + moved
        size = (2 * self.n_side + 1) * self.ratio
        pairs = fine_pairs[first : first + size].reshape(-1, self.ratio).sum(axis=1)
        at = np.arange(first, first + size + 1, self.ratio)
        if period is None:
            edges = self._snapped((at - self.half).astype(np.float64) * self.fine)
            return edges - moved * self.fine, np.diff(edges), pairs
        width = self._lattice_widths(period)[first : first + size].reshape(-1, self.ratio).sum(axis=1)
        return (at - self.half - moved).astype(np.float64) * self.fine, width, pairs

    def _lattice_widths(self, period: float) -> Floats:
        """Return how many ticks each fine bin really holds for times of the form pulse * period + nanotime.

        A lag of dp pulses and dn ticks is met with the weight 1 - |dn| / period by steady light. Bins of a few ticks
        would otherwise show the grid: a bin of four ticks about zero holds three of them.
        """
        far = self.half * self.fine + abs(self.base)
        if 4.0 * far > MOST_LATTICE_POINTS or self.fine > 1e4:
            return np.full(2 * self.half, self.fine)
        widths = np.zeros(2 * self.half)
        lattice_widths(period, self.base, self.fine, widths)
        return widths

    def _snapped(self, nominal: Floats) -> Floats:
        """Move edges to midway between the last tick that is counted inside and the next, by the kernel's own rule."""
        step = np.rint(np.abs(nominal) / self.fine)
        sign = np.where(nominal < 0, -1.0, 1.0)
        start = np.ceil(sign * self.base + step * self.fine)
        tick = start + 1.0
        for candidate in (start, start - 1.0):
            x = candidate - sign * self.base
            outside = (np.floor(np.abs(x) / self.fine) >= step) & ((x > 0) | ((x == 0) & (sign > 0) & (step == 0)))
            tick = np.where(outside, candidate, tick)
        return sign * (tick - 0.5) - self.base


class Counter:
    """Pairs by lag on the fine grid of one recording.

    Parameters
    ----------
    head : Head
        Of the recording.
    pair : (int, int)
        Detectors a and b.
    period : float or None
        Laser period in ticks of the lag, where nanotimes add to pulses.
    grid : Grid
        Fine bins.
    stretches : Stretches, optional
        Pairs within one of them count only.
    gate : Gate, optional
        Which nanotimes are kept.
    alone : bool
        Whether the recording has no other detectors of many photons.
    """

    def __init__(
        self,
        head: Head,
        pair: tuple[int, int],
        period: float | None,
        grid: Grid,
        *,
        stretches: Stretches | None = None,
        gate: Gate | None = None,
        alone: bool = True,
    ) -> None:
        self.pair, self._grid = pair, grid
        self._period = 1.0 if period is None else period
        far = grid.half * grid.fine + abs(grid.base)
        beyond = 0 if period is None or head.nanotimes is None else max(period, float(head.nanotimes.max(initial=0)))
        self._reach = math.floor((far + beyond) / self._period + 1e-9)
        self.edges = Edges(head.first, pair, self._period, far + 1, stretches)
        self.pairs = np.zeros(2 * grid.half + 1, np.int64)
        self._walk = Walk(pair, gate, self.edges, self._reach, alone=alone)

    def feed(self, piece: PhotonStream) -> None:
        """Count the pairs whose later photon is in the next piece."""
        for segment in self._walk.feed(piece):
            if self._is_dense(segment):
                self._count_dense(segment)
                continue
            for pairs, photons in in_threads(partial(self._count, segment), split(segment, 32)):
                self.pairs += pairs
                self.edges.totals += photons

    def run(self, parts: Iterable[PhotonStream]) -> None:
        """Count all pieces."""
        for piece in parts:
            self.feed(piece)

    def _is_dense(self, s: Segment) -> bool:
        """Whether a photon has many more partners than there are bins."""
        if s.last - s.first < 2:
            return False
        span = max(int(s.times[s.last - 1] - s.times[0]), 1)
        return s.last * min(self._reach / span, 0.5) > 2.0 * self.pairs.size

    def _count(self, s: Segment, parts: Iterator[tuple[int, int]]) -> tuple[Ints, Ints]:
        pairs, photons = np.zeros_like(self.pairs), np.zeros(2, np.int64)
        grid = self._grid
        for part in parts:
            lag_pairs(
                s.times, s.nanotimes, s.detectors, *self.pair, *part, self._reach, self._period, grid.base, grid.fine,
                pairs, photons,
            )  # fmt: skip
        return pairs, photons

    def _count_dense(self, s: Segment) -> None:
        """Count by edges: all pairs up to the last new photon less those among the old ones."""
        nominal = np.arange(-self._grid.half, self._grid.half + 1) * self._grid.fine
        # a lag on an edge belongs to the bin farther from zero
        edges = np.where(nominal < 0, np.nextafter(nominal, np.inf), nominal)
        for sign, stop in ((1, s.last), (-1, s.first)):
            lists = [_arrivals(s, d, stop, self._period) for d in self.pair]
            below = np.zeros(edges.size, np.int64)
            (times_a, nanos_a), (times_b, nanos_b) = lists
            edge_pairs(times_a, nanos_a, times_b, nanos_b, self._period, self._grid.base, edges, below)
            self.pairs[:-1] += sign * np.diff(below)
            self.edges.totals += sign * np.array([times_a.size, times_b.size])


def _arrivals(s: Segment, detector: int, stop: int, period: float) -> tuple[Ints, Ints]:
    """Return macro times and nanotimes of one detector in the order of arrival."""
    mine = np.flatnonzero(s.detectors[:stop] == detector)
    times = s.times[mine]
    if not s.nanotimes.size:
        return times, np.zeros(times.size, np.int64)
    nanos = s.nanotimes[mine].astype(np.int64)
    order = np.argsort((times - s.times[0]) * period + nanos, kind="stable")
    return times[order], nanos[order]


def independent_pairs(edges: Edges, lag_edges: Floats, width: Floats, _ticks: float = 0.0) -> tuple[Floats, Floats]:
    """Return the pairs of independent light in each bin and the rates of a and b (per tick) that go into them."""
    return expected_pairs(edges, lag_edges, width)[:2]
