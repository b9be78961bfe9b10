"""Pairs per laser peak, counted over a recording and in blocks of time; where to look for the centre."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.correlations.delay import FAMILY_LEVEL, NEIGHBOURS, check_delay, decay_offset, peak_that_differs
from photonstats.correlations.edges import Edges
from photonstats.correlations.pairing import Gate, Head, Ints, Segment, Walk, in_threads
from photonstats.correlations.peaks import Blocks
from photonstats.kernels.pairs import pulsed_pairs
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches

MAX_BLOCKS = 64
CABLE = 150e-9


@dataclass(frozen=True)
class Start:
    """What is known of the delay before counting, in ticks, and how far to look for it."""

    lag: float
    error: float
    note: str
    base: int
    search: int
    n_side: int

    @classmethod
    def of(
        cls, head: Head, pair: tuple[int, int], period: float, delay: float | Literal["auto"], n_pulses: int
    ) -> Start:
        """Look at the decays, or take the delay (s) that was given."""
        lag, error, note = _first_delay(head, pair, period, delay)
        unit = head.first.tcspc_unit
        assert unit is not None
        search = 0 if delay != "auto" else int(np.clip(math.ceil(CABLE / (period * unit)), 2, 12))
        n_side = max(n_pulses, NEIGHBOURS) + search if search else n_pulses
        return cls(lag, error, note, math.floor(lag / period + 0.5), search, n_side)


def _first_delay(
    head: Head, pair: tuple[int, int], period: float, delay: float | Literal["auto"]
) -> tuple[float, float, str]:
    """Return the delay in ticks as far as it is known before counting, its error, and a note."""
    unit = head.first.tcspc_unit
    assert unit is not None
    if isinstance(delay, str):
        if delay != "auto":
            raise ValueError(f'delay={delay!r}: give seconds (positive: b later than a) or "auto"')
        offset = decay_offset(head.decay(pair[0]), head.decay(pair[1]), period)
        if offset is None:
            return 0.0, math.nan, "the decays are flat or too few photons to compare them: offset taken as 0"
        return *offset, "offset modulo the period from the two decays"
    check_delay(delay)
    return float(delay) / unit, math.nan, "as given"


def decided_delay(found: int, p_value: float, search: int, note: str, period: float) -> tuple[int, str]:
    """Return the pulse lag of the centre, and a note on how it was found."""
    if p_value < FAMILY_LEVEL:
        return found, f"{note}; {peak_that_differs(found, p_value)}"
    return 0, (
        f"{note}; no peak within {search} periods ({search * period * 1e9:.3g} ns) differs from its neighbours "
        f"(p = {p_value:.2g}), so the smallest delay was taken"
    )


class PeakCounter:
    """Pairs per peak and per block of time of one recording.

    Parameters
    ----------
    head : Head
        Of the recording.
    pair : (int, int)
        Detectors a and b.
    period : float
        Laser period, ticks.
    offset, base : float, int
        Delay of b after a: less than a period, ticks, and the whole periods in it.
    n_side : int
        Peaks to count on each side.
    gate : Gate, optional
        Which nanotimes are kept.
    stretches : Stretches, optional
        Pairs within one of them count only; blocks of time are counted inside of them.
    alone : bool
        Whether the recording has no other detectors of many photons.
    """

    def __init__(
        self,
        head: Head,
        pair: tuple[int, int],
        period: float,
        offset: float,
        base: int,
        n_side: int,
        *,
        gate: Gate | None = None,
        stretches: Stretches | None = None,
        alone: bool = True,
    ) -> None:
        self.pair, self.lowest = pair, base - n_side
        self._n = 2 * n_side + 1
        # dn >= steps[i] moves a pair up by one peak; nanotimes may exceed the period, hence more than one step a side
        most = max(
            math.ceil(period), int(head.nanotimes.max()) if head.nanotimes is not None and head.nanotimes.size else 0
        )
        turns = max(1, math.ceil((most - offset) / period), math.ceil((most + offset) / period))
        edges = [math.ceil(offset + (r - 0.5) * period - 1e-9) for r in range(-turns + 1, turns + 1)]
        self._steps = np.array(edges, np.int64)
        self._reach = abs(base) + n_side + turns
        self.edges = Edges(head.first, pair, period, (self._reach + 1) * period, stretches)
        self._walk = Walk(pair, gate, self.edges, self._reach, alone=alone)
        self._zero = self.edges.stretches.zero
        self._length = 1
        self.row_size, self.photon_size = self._n + 1, 2
        self._rows = np.zeros((0, self.row_size), np.int64)
        self._photons = np.zeros((0, self.photon_size), np.int64)

    @property
    def pairs(self) -> Ints:
        """Pairs per peak from `lowest` on."""
        total: Ints = self._rows[:, :-1].sum(axis=0)
        return total

    @property
    def photons_of_pair(self) -> Ints:
        """Photons on a and b."""
        total: Ints = self._photons.sum(axis=0)
        return total

    def feed(self, piece: PhotonStream) -> None:
        """Count the pairs whose later photon is in the next piece."""
        for segment in self._walk.feed(piece):
            if segment.last == segment.first:
                continue
            self._grow(self._live(int(segment.times[segment.last - 1])))
            cuts = self._cuts(segment)
            for block, pairs, photons in chain(*in_threads(partial(self._each, segment), cuts)):
                self._rows[block] += pairs
                self._photons[block] += photons
            self.edges.totals[:] = self.photons_of_pair

    def _count(self, s: Segment, part: tuple[int, int]) -> tuple[int, Ints, Ints]:
        pairs, photons = np.zeros(self._n + 1, np.int64), np.zeros(2, np.int64)
        a, b = self.pair
        pulsed_pairs(
            s.times, s.nanotimes, s.detectors, a, b, *part, self._reach, self._steps, self.lowest, pairs, photons
        )
        return self._block(int(s.times[part[0]])), pairs, photons

    def _each(self, s: Segment, parts: Iterator[tuple[int, int]]) -> list[tuple[int, Ints, Ints]]:
        return [self._count(s, part) for part in parts]

    def _live(self, time: int) -> int:
        """Return a macro time of the walk as time inside stretches since the begin of the first."""
        return max(int(self._walk.squeeze.live(np.array([time - self._zero]))[0]), 0)

    def _block(self, time: int) -> int:
        return self._live(time) // self._length

    def _grow(self, latest: int) -> None:
        """Double the blocks until they reach the latest pulse: the same blocks for every way of cutting."""
        while max(latest, 0) // self._length >= MAX_BLOCKS:
            self._length *= 2
            if self._rows.size:
                self._rows, self._photons = (by_twos(x) for x in (self._rows, self._photons))
        if not self._rows.size:
            self._rows = np.zeros((MAX_BLOCKS, self.row_size), np.int64)
            self._photons = np.zeros((MAX_BLOCKS, self.photon_size), np.int64)

    def _cuts(self, s: Segment) -> list[tuple[int, int]]:
        first, last = self._block(int(s.times[s.first])), self._block(int(s.times[s.last - 1]))
        limits = np.arange(first + 1, last + 1, dtype=np.int64) * self._length
        limits = self._zero + self._walk.squeeze.squeezed(limits)
        inner = s.first + np.searchsorted(s.times[s.first : s.last], limits)
        bounds = [s.first, *inner.tolist(), s.last]
        return [(i, j) for i, j in pairwise(bounds) if j > i]

    def blocks(self, kept: slice, n_pulses: int, period: float) -> Blocks:
        """Return the sums that the jackknife needs, for the peaks of the final delay."""
        self._grow(math.ceil(self.edges.duration / period - 1e-6) - 1)  # dark time at the end counts too
        peaks = self._rows[:, :-1][:, kept]
        centres = peaks[:, n_pulses]
        sides = peaks.sum(axis=1) - centres
        length = self._length * period
        seconds = np.clip(self.edges.duration - np.arange(sides.size) * length, 0.0, length)
        return Blocks(centres, sides, self._photons, seconds, 2 * n_pulses * period, 2 * n_pulses)


def by_twos(rows: NDArray[Any]) -> NDArray[Any]:
    """Add rows two by two; zeros follow, so that there are as many rows as before."""
    half = rows[0::2] + rows[1::2]
    return np.concatenate([half, np.zeros_like(half)])


def added_blocks(
    parts: Sequence[Blocks], pairs: Sequence[tuple[int, ...]], merged: Mapping[str, Mapping[int, float]]
) -> tuple[Blocks, float]:
    """Return the blocks of two equal detectors that stand for all pairs, and their common background, Hz.

    Half of all photons on each; the width of the peaks and the background are such that the pairs of independent light
    and of background are those of the sums.
    """
    longest = max(float(p.seconds.max(initial=0.0)) for p in parts)
    rows = [_lengthened(p, longest) for p in parts]
    # each photon of n detectors is in n - 1 of the pairs
    photons: Any = np.sum([r.photons.sum(axis=1) for r in rows], axis=0) / (len(merged["rates"]) - 1)
    rates = merged["rates"]
    light = {d: r - merged["background"][d] * merged["open_fraction"][d] for d, r in rates.items()}
    half = sum(rates.values()) / 2.0
    every, signal = (sum(of[a] * of[b] for a, b in pairs) for of in (rates, light))
    first = rows[0]
    blocks = Blocks(
        np.sum([r.centres for r in rows], axis=0), np.sum([r.sides for r in rows], axis=0),
        np.stack([photons / 2.0] * 2, axis=1), first.seconds,
        first.width * every / half**2 if half > 0 else first.width, first.n_sides,
    )  # fmt: skip
    return blocks, half * (1.0 - math.sqrt(signal / every)) if every > 0 else 0.0


def _lengthened(blocks: Blocks, seconds: float) -> Blocks:
    """Return the same sums over longer blocks, a power of two times as long."""
    while 0.0 < float(blocks.seconds.max(initial=0.0)) < 0.75 * seconds:
        blocks = replace(
            blocks, centres=by_twos(blocks.centres), sides=by_twos(blocks.sides), photons=by_twos(blocks.photons),
            seconds=by_twos(blocks.seconds),
        )  # fmt: skip
    return blocks
