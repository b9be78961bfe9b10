"""Counting pairs at log-spaced lags as the photons come: exactly, or between bins of time that grow with the lag."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.loglags import binned_products, fill_bins, halved, near_pairs, pairs_below
from photonstats.peak_counter import by_twos

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Counts = NDArray[np.float32]

NEVER = 2**61
MAX_BLOCKS = 64
SHORTEST_COARSE = 1000.0  # ticks
COARSE_FROM = 4.0  # mean intervals between the photons of the rarer detector
FINEST, COARSEST = 8, 16  # lags in bins of time
FEW_PARTNERS = 2.0
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

    def cuts_of_bins(self, at: int, n: int, width: int) -> list[tuple[int, int, int]]:
        """Return (block, first, last) of n bins of time from number `at` on."""
        self.grow((at + n - 1) * width)
        first, last = at * width // self.length, (at + n - 1) * width // self.length
        inner = [-(-k * self.length // width) - at for k in range(first + 1, last + 1)]
        return [(first + k, i, j) for k, (i, j) in enumerate(pairwise([0, *inner, n])) if j > i]

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

    def __init__(self, lags: Lags, side: int, shift: int, *, rate: float = 0.0, with_zero: bool = False) -> None:
        self.edges = lags.edges
        if with_zero and side > 0:
            self.edges = np.concatenate([[1 - lags.edges[0]], lags.edges])
        self.side, self.shift, self.bits = side, shift, lags.bits
        # up to lags of a few partners pairs are looked up one by one, beyond counted below each edge
        few = lags.fixed(FEW_PARTNERS / rate) if rate > 0 else 0
        self._begin = self.edges.size - lags.edges.size
        self._near = max(int(np.searchsorted(self.edges, few, side="right")) - 1, self._begin)
        self._cells = _cells(self.edges[self._begin : self._near + 1])
        self.counted = Counted(self.edges.size - 1)
        self._early, self._late = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def feed(self, a: Ints, b: Ints, until: int) -> None:
        """Take the next photons, in order; no later ones will come before `until`."""
        self.counted.see(0, a)
        self.counted.see(1, b)
        late_b = b - self.shift
        early, late = (a, late_b) if self.side > 0 else (late_b, a)
        self._early, self._late = _appended(self._early, early), _appended(self._late, late)
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
        first, late = np.append(self._early[:n], NEVER), np.append(self._late, 2 * NEVER)
        for block, i, j in self.counted.cuts(self._early[:n]):
            self._count(first, late, i, j, self.counted.pairs[block])
        self._early = self._early[n:]
        floor = (self._early[0] if self._early.size else until) + min(int(self.edges[0]), 0)
        self._late = self._late[np.searchsorted(self._late, floor) :]

    def _count(self, early: Ints, late: Ints, first: int, last: int, pairs: Ints) -> None:
        """Add the pairs of some earlier photons, in two threads where there are many."""
        n = 2 if last - first >= _THREADED and (os.cpu_count() or 1) > 1 else 1
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


def _appended(times: Ints, more: Ints) -> Ints:
    """Return both in order; only where light of neighbouring pulses overlaps is there anything to sort."""
    both = np.concatenate([times, more])
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
            Lags(lags.ticks[:n_exact], lags.edges[:n_exact], lags.bits), side, shift, rate=rate, with_zero=with_zero
        )
        self.side, self.shift, self.bits = side, shift, lags.bits
        self.n_exact_bins = self._exact.edges.size - 1
        start = int(lags.edges[n_exact - 1])
        # a power of two, so that the bin of a time is a shift; lags begin in the first octave that has eight bins
        self._shift = max((start // FINEST).bit_length() - 1, 0)
        self.width = 1 << self._shift
        self.levels: list[_Level] = []
        self.lag: list[Ints] = []  # lags of each coarse bin, finer units
        at, width = start, self.width
        wanted = lags.edges[n_exact:]
        owner: list[list[tuple[int, int]]] = [[] for _ in wanted]
        while wanted.size and at < wanted[-1]:
            numbers = np.arange(max(FINEST, -(-at // width)), COARSEST)
            where = np.searchsorted(wanted, numbers * width, side="right")
            used = where < wanted.size
            self.levels.append(_Level(width, numbers[used], where[used]))
            for k, w in zip(where[used], numbers[used], strict=True):
                owner[k].append((width, int(w)))
            at, width = COARSEST * width, 2 * width
        kept = [k for k, mine in enumerate(owner) if mine]
        column = {k: i for i, k in enumerate(kept)}
        for level in self.levels:
            level.columns = np.array([column[int(k)] for k in level.columns], np.int64)
        self.lag = [np.array([w * k for w, k in owner[i]]) for i in kept]
        self.widths = [np.array([w for w, _ in owner[i]]) for i in kept]
        self.edges = np.append(self._exact.edges, wanted[kept]) if kept else self._exact.edges
        self.counted = Counted(self._exact.edges.size - 1 + len(kept))
        self._first = self._exact.edges.size - 1
        self._pending = [np.zeros(0, np.int64), np.zeros(0, np.int64)]
        self._begun = 0

    def feed(self, a: Ints, b: Ints, until: int) -> None:
        """Take the next photons, in order; no later ones will come before `until`."""
        # half of the delay to either detector, so that exchanging them leaves photons in their bins
        moved_a, moved_b = a + self.shift // 2, b - (self.shift - self.shift // 2)
        early, late = (moved_a, moved_b) if self.side > 0 else (moved_b, moved_a)
        self._pending = [np.concatenate([x, y]) for x, y in zip(self._pending, (early, late), strict=True)]
        with ThreadPoolExecutor(1) as beside:  # the levels need nothing of the exact counts
            exact = beside.submit(self._exact.feed, a, b, until)
            self._bin(until - abs(self.shift))
            exact.result()

    def finish(self) -> Counted:
        """Count what is left, and return all."""
        last = max((int(x.max(initial=0)) for x in self._pending), default=0)
        self._bin(last + self.width, whole=True)
        exact = self._exact.finish()
        self.counted.grow(exact.length * MAX_BLOCKS - 1)
        exact.grow(self.counted.length * MAX_BLOCKS - 1)
        self.counted.photons = exact.photons
        self.counted.pairs[:, : self._first] = exact.pairs
        return self.counted

    def _bin(self, until: int, *, whole: bool = False) -> None:
        """Turn the photons before `until` into counts per bin, and let the levels have them."""
        # whole bins of the widest level at a time, so that each level halves what the one before has
        step = 1 << len(self.levels)
        end = max(until // self.width // step * step, self._begun) + step * whole
        if not self.levels or (end - self._begun < 2**14 and not whole):
            return
        counts = []
        for row, times in enumerate(self._pending):
            n = int(np.searchsorted(times, end << self._shift))
            bins = np.zeros(end - self._begun, np.float32)
            fill_bins(times[:n], self._shift, self._begun, bins)
            counts.append(bins)
            self._pending[row] = times[n:]
        self._begun = end
        self.counted.grow(end * self.width)
        early, late = counts
        for level in self.levels:
            early, late = level.feed(early, late, self.counted, self._first, whole=whole)


class _Level:
    """Counts in bins of one width, and their products at some lags."""

    def __init__(self, width: int, lags: Ints, columns: Ints) -> None:
        self.width, self.lags, self.columns = width, lags.astype(np.int64), columns.astype(np.int64)
        self._early, self._late = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self._at = 0

    def feed(self, early: Counts, late: Counts, counted: Counted, first: int, *, whole: bool) -> tuple[Counts, Counts]:
        """Take the next bins, an even number, add the products, and return the bins of twice the width."""
        more = np.zeros(COARSEST if whole else 0, np.float32)
        self._early, self._late = np.concatenate([self._early, early]), np.concatenate([self._late, late, more])
        ready = self._late.size - COARSEST
        if self.lags.size and ready > 0:
            largest = float(self._early.max()) * float(self._late.max())
            run = max(int(2**24 / max(largest, 1.0)), 1)
            for block, i, j in counted.cuts_of_bins(self._at, ready, self.width):
                products = np.zeros(self.lags.size, np.int64)
                binned_products(self._early, self._late, i, j, self.lags, min(run, 2048), products)
                np.add.at(counted.pairs[block], first + self.columns, products)
        if ready > 0:
            self._early, self._late, self._at = self._early[ready:], self._late[ready:], self._at + ready
        halves = np.empty(early.size // 2, np.float32), np.empty(late.size // 2, np.float32)
        halved(early, halves[0])
        halved(late, halves[1])
        return halves
