"""Counting pairs at log-spaced lags as the photons come: exactly, or between bins of time that grow with the lag."""

from __future__ import annotations

import math
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from photonstats.correlations.peak_counter import by_twos
from photonstats.kernels.loglags import binned_pairs, near_pairs, pairs_below

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LIMIT = 2**60  # which times and lags stay below, so that their sums
NEVER = 2**61  # stay below this
MAX_BLOCKS = 64
SHORTEST_COARSE = 1000.0  # ticks
COARSE_FROM = 2.0  # mean intervals between the photons of the rarer detector
FINEST, COARSEST = 8, 16  # lags in bins of time
BLOCK = 2**12  # bins of time at once, which the fastest cache holds
FEW_PARTNERS = 2.0
AHEAD = 3  # slices of photons that may wait to be counted
_THREADED = 2**16


@dataclass(frozen=True, eq=False)
class Lags:
    """Edges of log-spaced bins in ticks (halfway between two) and, as integers, in 2^-bits of a tick."""

    ticks: Floats
    edges: Ints
    bits: int

    @classmethod
    def make(cls, lag_min: float, lag_max: float, per_decade: int, bits: int) -> Lags:
        """Return the edges from `lag_min` to `lag_max` ticks; those that fall on the same tick are one."""
        n = math.floor(math.log10(lag_max / lag_min) * per_decade + 1e-9)
        nominal: Floats = lag_min * 10.0 ** (np.arange(n + 1) / per_decade)
        if nominal[-1] < lag_max * (1.0 - 1e-9):
            nominal = np.append(nominal, lag_max)
        whole = np.unique(np.maximum(np.rint(nominal), 1.0)).astype(np.int64)
        if whole.size < 2:
            raise ValueError(
                f"lag_min and lag_max lie within one tick of the times ({lag_min:.3g} to {lag_max:.3g} ticks)"
            )
        # a lag of whole ticks never falls on an edge; without finer bits "below the tick" says the same
        return cls(np.asarray(whole - 0.5, np.float64), (whole << bits) - ((1 << bits) >> 1), bits)

    def fixed(self, ticks: float) -> int:
        """Return a time in ticks as an integer of the finer unit."""
        return round(ticks * (1 << self.bits))


class Counted:
    """Sums per block of time: a row for each, twice as long whenever there would be more than 64."""

    def __init__(self, n: int) -> None:
        self.length = 1
        self.pairs = np.zeros((MAX_BLOCKS, n), np.int64)
        self.photons = np.zeros((MAX_BLOCKS, 2), np.int64)

    def grow(self, latest: int) -> None:
        """Make room for a time."""
        while max(latest, 0) // self.length >= MAX_BLOCKS:
            self.length *= 2
            if self.photons.any() or self.pairs.any():
                self.pairs, self.photons = (by_twos(x) for x in (self.pairs, self.photons))

    def cuts(self, times: Ints) -> list[tuple[int, int, int]]:
        """Return (block, first, last) of times in order."""
        if not times.size:
            return []
        self.grow(int(times[-1]))
        first, last = max(int(times[0]), 0) // self.length, max(int(times[-1]), 0) // self.length
        inner = np.searchsorted(times, np.arange(first + 1, last + 1) * self.length)
        bounds = [0, *inner.tolist(), times.size]
        return [(first + k, i, j) for k, (i, j) in enumerate(pairwise(bounds)) if j > i]

    def see(self, row: int, times: Ints) -> None:
        """Count photons."""
        for block, i, j in self.cuts(times):
            self.photons[block, row] += j - i


class Exact:
    """All pairs of one sign of the lag; `side` 1: b after a, -1: a after b.

    Attributes
    ----------
    edges : ndarray of int64
        Of the bins; with the zero bin one more, below zero, in front.
    """

    def __init__(
        self, lags: Lags, side: int, shift: int, *, rate: float = 0.0, with_zero: bool = False, threads: int = 2
    ) -> None:
        self.edges, self._threads = lags.edges, min(threads, os.cpu_count() or 1)
        if with_zero and side > 0:
            self.edges = np.concatenate([[1 - lags.edges[0]], lags.edges])
        self.side, self.shift, self.bits = side, shift, lags.bits
        # up to lags of a few partners pairs are looked up one by one, beyond counted below each edge
        few = lags.fixed(FEW_PARTNERS / rate) if rate > 0 else 0
        self._begin = self.edges.size - lags.edges.size
        self._near = max(int(np.searchsorted(self.edges, few, side="right")) - 1, self._begin)
        self._cells = _cells(self.edges[self._begin : self._near + 1])
        self.counted = Counted(self.edges.size - 1)
        self._early, self._late = np.zeros(0, np.int64), np.array([2 * NEVER])  # closed by what is never reached

    def feed(self, a: Ints, b: Ints, until: int) -> None:
        """Take the next photons, in order; no later ones will come before `until`."""
        self.counted.see(0, a)
        self.counted.see(1, b)
        late_b = b - self.shift if self.shift else b
        early, late = (a, late_b) if self.side > 0 else (late_b, a)
        self._early, self._late = _appended(self._early, early), _appended(self._late[:-1], late, 2 * NEVER)
        self._take(until - abs(self.shift) - int(self.edges[-1]))

    def finish(self) -> Counted:
        """Count what is left, and return all."""
        self._take(NEVER)
        return self.counted

    def _take(self, until: int) -> None:
        """Count the pairs of the earlier photons before `until`, whose later ones have all come."""
        n = int(np.searchsorted(self._early, until))
        if n == 0 or (n < 2**16 and until != NEVER):
            return
        for block, i, j in self.counted.cuts(self._early[:n]):
            self._count(self._early, self._late, i, j, self.counted.pairs[block])
        self._early = self._early[n:]
        floor = (self._early[0] if self._early.size else until) + min(int(self.edges[0]), 0)
        self._late = self._late[np.searchsorted(self._late, floor) :]

    def _count(self, early: Ints, late: Ints, first: int, last: int, pairs: Ints) -> None:
        """Add the pairs of some earlier photons, in two threads where there are many."""
        n = self._threads if last - first >= _THREADED else 1
        cuts = np.linspace(first, last, n + 1).astype(int).tolist()

        def count(part: tuple[int, int]) -> Ints:
            found = np.zeros(self.edges.size - 1, np.int64)
            below = np.zeros(self.edges.size, np.int64)
            if self._near > self._begin:
                near = self.edges[self._begin : self._near + 1]
                near_pairs(early, late, *part, near, self._cells, found[self._begin : self._near])
            for one in (slice(0, self._begin + 1), slice(self._near, None)):
                if self.edges[one].size > 1:
                    pairs_below(early, late, *part, self.edges[one], below[one])
                    found[one.start : one.start + self.edges[one].size - 1] += np.diff(below[one])
            return found

        if n == 1:
            pairs += count((first, last))
            return
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(count, pairwise(cuts)):
                pairs += found


def _appended(times: Ints, more: Ints, *closing: int) -> Ints:
    """Return both in order; only where light of neighbouring pulses overlaps is there anything to sort."""
    both = np.concatenate([times, more, np.array(closing, np.int64)])
    if times.size and more.size and more[0] < times[-1]:
        both.sort(kind="stable")
    return both


def _cells(edges: Ints) -> Ints:
    """Return for each 64th of an octave (the leading bits of a float) the bin in which it begins."""
    if edges.size < 2:
        return np.zeros(1, np.int64)
    top = int(np.float64(edges[-1]).view(np.int64)) >> 46
    starts = (np.arange(top + 1, dtype=np.int64) << 46).view(np.float64)
    return np.clip(np.searchsorted(edges, starts, side="right") - 1, 0, edges.size - 2).astype(np.int64)


class Coarse:
    """Pairs of short lags exactly, of long ones from counts in bins of time that double with each octave of the lag."""

    def __init__(self, lags: Lags, side: int, shift: int, *, rate: float, with_zero: bool = False) -> None:
        limit = max(SHORTEST_COARSE, COARSE_FROM / rate if rate > 0 else math.inf)
        n_exact = int(np.searchsorted(lags.ticks, limit, side="right"))
        n_exact = min(max(n_exact, 2), lags.ticks.size)
        self._exact = Exact(
            Lags(lags.ticks[:n_exact], lags.edges[:n_exact], lags.bits), side, shift, rate=rate, with_zero=with_zero,
            threads=1,
        )  # fmt: skip
        self.side, self.shift, self.bits = side, shift, lags.bits
        self.n_exact_bins = self._exact.edges.size - 1
        start = int(lags.edges[n_exact - 1])
        # a power of two, so that the bin of a time is a shift; lags begin in the first octave that has eight bins
        self._shift = max((start // FINEST).bit_length() - 1, 0)
        at, width = start, 1 << self._shift
        wanted, numbers = lags.edges[n_exact:], np.arange(FINEST, COARSEST)
        where: list[Ints] = []  # number of the coarse bin each level's lags fall into
        owner: list[list[tuple[int, int]]] = [[] for _ in wanted]
        while wanted.size and at < wanted[-1]:
            into = np.searchsorted(wanted, numbers * width, side="right")
            where.append(np.where(numbers * width < at, wanted.size, into))
            for k, number in zip(where[-1], numbers, strict=True):
                if k < wanted.size:
                    owner[k].append((width, width * int(number)))
            at, width = COARSEST * width, 2 * width
        kept = [k for k, mine in enumerate(owner) if mine]
        column = np.full(wanted.size + 1, -1)
        column[kept] = self.n_exact_bins + np.arange(len(kept))
        self._columns = np.array([column[into] for into in where], np.int64)
        self.lag = [np.array([at for _, at in owner[k]]) for k in kept]  # of each coarse bin, finer units
        self.widths = [np.array([width for width, _ in owner[k]]) for k in kept]
        self.edges = np.append(self._exact.edges, wanted[kept]) if kept else self._exact.edges
        self.counted = Counted(self.n_exact_bins + len(kept))
        self._bins = np.zeros((2, len(where), COARSEST + BLOCK), np.float32)
        self._pending = [np.zeros(0, np.int64), np.zeros(0, np.int64)]
        self._begun = 0
        # bins need nothing of the exact counts, and the caller can prepare the next photons meanwhile
        self._counting, self._binning = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._running: deque[Future[None]] = deque()

    def feed(self, a: Ints, b: Ints, until: int) -> None:
        """Take the next photons, in order; no later ones will come before `until`."""
        self._wait(2 * AHEAD)
        early, late = (a, b) if self.side > 0 else (b, a)
        self._running.append(self._counting.submit(self._exact.feed, a, b, until))
        self._running.append(self._binning.submit(self._bin, early, late, until - abs(self.shift)))

    def finish(self) -> Counted:
        """Count what is left, and return all."""
        self._wait(0)
        self._counting.shutdown()
        self._binning.shutdown()
        none = np.zeros(0, np.int64)
        last = max((int(x.max(initial=0)) for x in self._pending), default=0) + abs(self.shift)
        self._bin(none, none, last, whole=True)
        exact = self._exact.finish()
        self.counted.grow(exact.length * MAX_BLOCKS - 1)
        exact.grow(self.counted.length * MAX_BLOCKS - 1)
        self.counted.photons = exact.photons
        self.counted.pairs[:, : self.n_exact_bins] = exact.pairs
        return self.counted

    def _wait(self, most: int) -> None:
        """Wait until at most so many tasks are left."""
        while len(self._running) > most:
            self._running.popleft().result()

    def _bin(self, early: Ints, late: Ints, until: int, *, whole: bool = False) -> None:
        """Let the levels have the photons before `until`."""
        if not self._columns.size:
            return
        pending = [_appended(x, y) for x, y in zip(self._pending, (early, late), strict=True)]
        end = max((until >> self._shift) // BLOCK, self._begun) + whole
        if end > self._begun:
            self.counted.grow((end * BLOCK - 1) << self._shift)
            # half of the delay to either detector, so that exchanging them leaves photons in their bins
            moved = self.shift // 2, self.shift // 2 - self.shift
            taken = binned_pairs(
                pending[0], pending[1], moved if self.side > 0 else moved[::-1], self._shift, self._begun, end, whole,
                self.counted.length, self._columns, self._bins, self.counted.pairs,
            )  # fmt: skip
            pending = [times[n:] for times, n in zip(pending, taken, strict=True)]
            self._begun = end
        self._pending = pending
