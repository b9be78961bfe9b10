"""Photons near both ends of the window, or of each stretch, and the pairs of independent light that follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.counts import count_detector
from photonstats.kernels.partners import add_partners
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches, origin_of, spans

if TYPE_CHECKING:
    from photonstats.correlations.pairing import Head

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Edges:
    """Photons near both ends of each stretch, from which follows how many have their partner inside of it.

    Parameters
    ----------
    first : PhotonStream
        First piece; its start is the origin.
    pair : (int, int)
        Detectors a and b.
    period : float
        Macro tick in ticks of the lag.
    reach : float
        Longest lag that will be asked for, ticks.
    stretches : Stretches, optional
        By default one, the whole window.

    Notes
    -----
    Memory grows with the photons that lie within `reach` of a border, not with the recording.
    """

    def __init__(
        self,
        first: PhotonStream,
        pair: tuple[int, int],
        period: float,
        reach: float,
        stretches: Stretches | None = None,
    ) -> None:
        self.origin, part = origin_of(first)
        self._shift = part * period
        self._pair, self._period = pair, period
        self._margin = math.ceil((reach + 2 * period + 65536) / period)
        self._unit = first.timestamps_unit / period
        self._durations: list[float] = []
        self.stretches = stretches or Stretches.whole(self.origin)
        self.gated = stretches is not None
        self._each = np.zeros((2, self.stretches.begin.size), np.int64)
        # photons as (number of the stretch, time since the start of the window in ticks of the lag), for a and b
        self._early: list[list[tuple[Ints, Floats]]] = [[], []]
        self._late: list[list[tuple[Ints, Floats]]] = [[], []]
        self._open: list[tuple[Ints, Floats]] = [(np.zeros(0, np.int64), np.zeros(0))] * 2
        self.totals = np.zeros(2, np.int64)

    @property
    def recorded(self) -> float:
        """Length of the window so far, s, inside stretches or not."""
        return math.fsum(self._durations)

    @property
    def duration(self) -> float:
        """Length of all stretches inside the window so far, s."""
        return self.recorded if self.ticks == self._ticks else self.ticks * self._unit

    @property
    def ticks(self) -> float:
        """Length of all stretches inside the window so far, ticks."""
        return math.fsum(np.diff(self._borders(), axis=1).ravel().tolist())

    @property
    def _ticks(self) -> float:
        """Length of the window so far, ticks; its end is on a whole macro tick where it is that up to rounding."""
        ticks = self.recorded / self._unit
        end = (ticks + self._shift) / self._period
        whole = abs(end - round(end)) < 1e-6 + 4e-16 * abs(end)
        return round(end) * self._period - self._shift if whole else ticks

    def add(self, piece: PhotonStream) -> None:
        """Take the next piece."""
        self._durations.append(piece.duration)
        near = self.stretches.inside(piece)
        numbers = np.arange(near.start, max(near.stop, near.start))
        begin, end = self.stretches.begin[near], self.stretches.ends(piece)[near]
        if self.gated:
            self._count(piece, begin, end, near)
        closes = self.origin + math.floor((self._ticks + self._shift) / self._period)
        starts = np.maximum(begin, self.origin)
        last = np.minimum(end, closes + 1) - self._margin
        for row, (n, times) in enumerate(self._photons(piece, numbers, begin, np.minimum(starts + self._margin, end))):
            if n.size:
                self._early[row].append((n, times))
        for row, (n, times) in enumerate(self._photons(piece, numbers, np.maximum(last, begin), end)):
            old_n, old_times = self._open[row]
            # what waited for the end of a stretch that goes on is too early by now
            wanted = (np.minimum(self.stretches.end[old_n], closes) - self.origin - self._margin) * self._period
            kept = old_times >= wanted - self._shift
            number, late = np.concatenate([old_n[kept], n]), np.concatenate([old_times[kept], times])
            goes_on = self.stretches.end[number] > closes
            self._open[row] = number[goes_on], late[goes_on]
            if not goes_on.all():
                self._late[row].append((number[~goes_on], late[~goes_on]))

    def _count(self, piece: PhotonStream, begin: Ints, end: Ints, near: slice) -> None:
        at = np.searchsorted(piece.timestamps, np.stack([begin, end], axis=1).ravel())
        for row, detector in enumerate(self._pair):
            counts = np.zeros(max(at.size - 1, 0), np.int64)
            count_detector(piece.detectors, at, np.uint8(detector), counts)
            self._each[row, near] += counts[::2]

    def _photons(self, piece: PhotonStream, numbers: Ints, start: Ints, stop: Ints) -> list[tuple[Ints, Floats]]:
        """Return for a and b the photons on macro ticks from `start` up to `stop` of each stretch."""
        at = np.searchsorted(piece.timestamps, np.stack([start, stop], axis=1))
        sizes = np.maximum(at[:, 1] - at[:, 0], 0)
        which = spans(at[:, 0], sizes)
        times = (piece.timestamps[which] - self.origin) * self._period - self._shift
        if piece.nanotimes is not None and piece.pulse_clock:
            times = times + piece.nanotimes[which]
        number, detectors = np.repeat(numbers, sizes), piece.detectors[which]
        return [(number[detectors == d], times[detectors == d]) for d in self._pair]

    def _borders(self) -> Floats:
        """Return begin and end of the stretches in ticks of the lag from the start of the window, cut to it."""
        ticks = self._ticks
        begin = (self.stretches.begin - self.origin) * self._period - self._shift
        end = (self.stretches.end - self.origin) * self._period - self._shift
        end = np.where(end >= ticks - 1e-6 * self._period, ticks, end)
        begin = np.clip(begin, 0.0, ticks)
        return np.stack([begin, np.maximum(end, begin)], axis=1)

    def _sorted(self, row: int, *, late: bool) -> tuple[Floats, Ints]:
        """Return distances from the end (late) or the begin of its stretch, rising in each, and where each begins."""
        lists = [*self._late[row], self._open[row]] if late else self._early[row]
        number = np.concatenate([np.zeros(0, np.int64), *(n for n, _ in lists)])
        times = np.concatenate([np.zeros(0), *(t for _, t in lists)])
        borders = self._borders()
        away = borders[number, 1] - times if late else times - borders[number, 0]
        order = np.lexsort((away, number))
        at = np.searchsorted(number[order], np.arange(len(borders) + 1))
        return away[order], at.astype(np.int64)

    def sums(self, lag: Floats) -> Floats:
        """Return float64[4, n] at each lag (ticks), summed over the stretches.

        Pairs of independent light per tick, N_a N_b / (T - |lag|); the photons on a and on b whose partner is inside,
        N_a and N_b; and the time T - |lag| in ticks.
        """
        lag = np.asarray(lag, dtype=np.float64)
        each = self._each if self.gated else self.totals[:, None]
        length = np.diff(self._borders(), axis=1).ravel()
        out = np.zeros((4, lag.size))
        for late, early, mask in ((0, 1, lag >= 0), (1, 0, lag < 0)):
            size = np.abs(lag[mask])
            order = np.argsort(size, kind="stable")
            found = np.zeros((4, size.size))
            if size.size:
                add_partners(
                    size[order], length, each[late].copy(), each[early].copy(), *self._sorted(late, late=True),
                    *self._sorted(early, late=False), found,
                )  # fmt: skip
            back = np.empty_like(found)
            back[:, order] = found
            out[:, mask] = back if late == 0 else back[[0, 2, 1, 3]]
        return out

    def partners(self, lag: Floats) -> Floats:
        """Return float64[n, 2]: the photons on a and on b whose partner at each lag (ticks) is inside the window."""
        return np.ascontiguousarray(self.sums(lag)[1:3].T)

    def check_photons(self, head: Head, gate: float | tuple[float, float] | None) -> None:
        """Refuse a pair of which one detector has no photon in the whole recording, or none in the stretches."""
        totals = self.totals
        if not head.counts or totals.min() > 0:
            return
        empty = self._pair[int(np.argmin(totals))]
        if self.gated:
            begin = (self.stretches.begin[-1] - self.origin) * self._period
            where = " after the gate" if gate is not None else ""
            if self.duration == 0:
                raise ValueError(
                    f"stretches lie outside of the recording of {self.recorded:.6g} s (the last begins "
                    f"{begin * self._unit:.6g} s after its start): give seconds on the axis of the timestamps"
                )
            raise ValueError(
                f"stretches hold no photons of detector {empty}{where}, in {self.duration:.6g} s inside the recording: "
                "choose others, or another pair of detectors"
            )
        if gate is not None and empty in head.counts:
            raise ValueError(
                f"gate={gate} s leaves no photons on detector {empty}: open it earlier, or wider, than the decay ends"
            )
        raise ValueError(f"detector {empty} has no photons; there are detectors {sorted(head.counts)}")


def expected_pairs(edges: Edges, lag_edges: Floats, width: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what independent light makes in each bin of lag, averaged over the bin.

    Returns
    -------
    every : ndarray of float64, shape (n,)
        Pairs, each stretch on its own.
    rates : ndarray of float64, shape (n, 2)
        Mean rates of a and b, per tick.
    steady : ndarray of float64, shape (n,)
        Pairs of light of the same mean rates without differences between stretches: `rates` times each other, times the
        time and the width.
    """
    n = 1 if edges.totals.max() * width.mean() < 0.1 * edges.ticks or width.size > 2**22 else 8
    inside = (np.arange(n) + 0.5) / n
    lag = lag_edges[:-1, None] + np.diff(lag_edges)[:, None] * inside
    pairs, on_a, on_b, time = edges.sums(lag.ravel()).reshape(4, *lag.shape).mean(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.stack([on_a, on_b], axis=1) / time[:, None]
        steady = np.where(time > 0, on_a * on_b / time, 0.0)
    return pairs * width, rates, steady * width
