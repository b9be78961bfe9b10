"""What every pair correlation needs: which two detectors, which gate, the walk over pieces, the edges of the window."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from photonstats.background import Background
from photonstats.correlations.delay import rise_of
from photonstats.correlations.edges import Edges
from photonstats.kernels.decay import count_nanotimes_of
from photonstats.stream import PhotonStream, check_detectors, check_follows, pieces
from photonstats.traces.stretches import Squeeze

__all__ = [
    "Edges",
    "Gate",
    "Head",
    "Segment",
    "Walk",
    "check_background",
    "choose_detectors",
    "choose_pair",
    "in_threads",
    "make_gate",
    "named",
    "open_recording",
    "pair_background",
    "segments",
    "split",
]

HEAD_PHOTONS = 2**19
LIVE_SHARE = 0.02
_THREADED = 2**20

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Head:
    """The first half million photons of a recording, on which detectors, gate and cable delay are decided.

    A generator of pieces can be walked once only; taking the same photons for every way of cutting makes the answer
    independent of the cuts.
    """

    first: PhotonStream
    detectors: NDArray[np.uint8]
    nanotimes: NDArray[np.uint16] | None
    seconds: float

    @cached_property
    def counts(self) -> dict[int, int]:
        """Photons of each detector that has any."""
        # bincount would widen each byte to 64 bit; a comparison of bytes for each of few detectors takes a tenth of it
        numbers = range(int(self.detectors.max(initial=0)) + 1)
        counts = {d: int(np.count_nonzero(self.detectors == d)) for d in numbers}
        return {d: n for d, n in counts.items() if n}

    @property
    def ticks_per_pulse(self) -> float | None:
        """Length of the laser period in nanotime ticks where nanotimes add to a pulse number, else None."""
        if not self.first.pulse_clock or self.nanotimes is None or self.first.tcspc_unit is None:
            return None
        return self.first.timestamps_unit / self.first.tcspc_unit

    def decay(self, detector: int) -> Ints:
        """Return the histogram of the nanotimes of one detector."""
        if self.nanotimes is None:
            return np.zeros(0, np.int64)
        keep = np.zeros(256, np.uint32)
        keep[detector] = 1
        counts = np.zeros((4, int(self.nanotimes.max(initial=0)) + 1), np.uint32)
        count_nanotimes_of(self.nanotimes, self.detectors, keep, counts)  # a quarter of the time of bincount
        total = counts.sum(axis=0, dtype=np.int64)
        return np.trim_zeros(total, "b") if total.any() else total[:1]


def open_recording(photons: PhotonStream | Iterable[PhotonStream]) -> tuple[Head, Iterator[PhotonStream]]:
    """Take the head of a recording and return it with an iterator over all pieces, those of the head among them."""
    source = pieces(photons)
    taken: list[PhotonStream] = []
    n = 0
    while n < HEAD_PHOTONS and (piece := next(source, None)) is not None:
        taken.append(piece)
        n += len(piece)
    if not taken:
        raise ValueError(
            "photons holds no pieces: nothing was recorded, or the iterator was used up by an earlier call"
        )
    nanotimes = None
    if all(piece.nanotimes is not None for piece in taken):
        parts = [p.nanotimes[:HEAD_PHOTONS] for p in taken if p.nanotimes is not None]
        nanotimes = np.concatenate(parts)[:HEAD_PHOTONS]
    seconds = math.fsum(p.duration for p in taken)
    if n > HEAD_PHOTONS:
        last = taken[-1]
        at = last.timestamps[HEAD_PHOTONS - n - 1]
        seconds -= last.duration - max(float(at) * last.timestamps_unit - last.start, 0.0)
    detectors = np.concatenate([p.detectors[:HEAD_PHOTONS] for p in taken])[:HEAD_PHOTONS]
    return Head(taken[0], detectors, nanotimes, seconds), chain(taken, source)


def choose_pair(head: Head, detectors: tuple[int, int] | None) -> tuple[int, int]:
    """Return the pair (a, b): the given one, or the two live detectors."""
    if detectors is not None and len(detectors) != 2:
        raise ValueError(f"detectors={detectors!r}: give two different detectors (a, b)")
    a, b = choose_detectors(head, detectors)
    return a, b


def choose_detectors(head: Head, detectors: Sequence[int] | None) -> tuple[int, ...]:
    """Return two detectors or more: the given ones, or the two live ones.

    Live is a detector with at least 2 % of the photons of the brightest: dark counts of a detector without light make
    0.5 % in real files, while two arms of a beam splitter rarely differ by more than a factor of five.
    """
    counts = head.counts
    seconds = head.seconds if head.seconds > 0 else math.nan
    rates = ", ".join(f"{d}: {n / seconds:.4g} Hz" for d, n in counts.items()) or "none"
    if detectors is not None:
        return _given_detectors(head, detectors, rates)
    if not counts:
        raise ValueError(
            "the recording holds no photons: nothing to correlate (detectors=(a, b) gives an empty result)"
        )
    live = [d for d, n in counts.items() if n >= LIVE_SHARE * max(counts.values())]
    if len(live) == 1:
        raise ValueError(
            f"only detector {live[0]} is live ({rates}): g2 needs two detectors, since the autocorrelation of one "
            f"shows its afterpulsing and dead time (ps.afterpulsing(photons, {live[0]}) measures them). Where a dim "
            "one is meant, give detectors=(a, b)"
        )
    if len(live) > 2:
        raise ValueError(
            f"{len(live)} detectors are live ({rates}): choose two with detectors=(a, b), or give several to g2 or "
            f"g2_pulsed, detectors={tuple(live)}, for the sum over all their pairs"
        )
    return tuple(live)


def named(detectors: Sequence[int]) -> str:
    """Return detectors as words: "0 and 1", or "0, 1 and 3 (all pairs)"."""
    text = f"{', '.join(str(d) for d in detectors[:-1])} and {detectors[-1]}"
    return text if len(detectors) == 2 else f"{text} (all pairs)"


def _given_detectors(head: Head, detectors: Sequence[int], rates: str) -> tuple[int, ...]:
    given = check_detectors(detectors)
    twice = [d for i, d in enumerate(given) if d in given[:i]]
    if twice:
        raise ValueError(
            f"detectors={given}: correlation needs two different detectors (a, b). Detector {twice[0]} with itself "
            f"shows its afterpulsing and dead time, not the light: ps.afterpulsing(photons, {twice[0]}) measures those"
        )
    if len(given) < 2:
        raise ValueError(f"detectors={given}: correlation needs two different detectors (a, b), or more")
    missing = [d for d in given if d not in head.counts]
    if missing and head.counts and head.detectors.size < HEAD_PHOTONS:
        raise ValueError(f"detectors={given}: detector {missing[0]} has no photons; there are {rates}")
    return given


@dataclass(frozen=True, eq=False)
class Gate:
    """Which nanotimes of each of two detectors are kept: table bool[2, 65536], and the open part of the period."""

    table: NDArray[np.bool_]
    open_fraction: tuple[float, float]

    def apply(self, piece: PhotonStream, pair: tuple[int, int]) -> PhotonStream:
        """Return the photons of the pair that the gate keeps."""
        assert piece.nanotimes is not None
        on_a, on_b = piece.detectors == pair[0], piece.detectors == pair[1]
        return piece[(on_a & self.table[0][piece.nanotimes]) | (on_b & self.table[1][piece.nanotimes])]


def make_gate(head: Head, pair: tuple[int, int], gate: float | tuple[float, float] | None) -> Gate | None:
    """Turn the argument `gate` into tables of nanotimes.

    A number keeps what comes at least that long after the rise of the detector's own decay (its half height), 0 all
    photons: cut there, the rise would lose pairs that came together and early. The nanotime is a circle of
    one period, so that the gate must close again before the next rise: it does so where the response begins (five
    times its standard deviation before the half height), as early light of the next pulse would pass for late light.
    """
    if gate is None:
        return None
    unit, period = head.first.tcspc_unit, head.ticks_per_pulse
    if head.nanotimes is None or unit is None:
        raise ValueError("gate needs nanotimes, and this stream has none (T2, or a file without TCSPC); see fold")
    if period is None:
        raise ValueError("gate needs a laser pulse: this stream's timestamps do not count laser pulses")
    ticks = np.arange(65536, dtype=np.float64)
    table = np.zeros((2, 65536), np.bool_)
    if isinstance(gate, tuple | list):
        low, high = gate
        if not 0 <= low < high:
            raise ValueError(f"gate={gate}: a window of nanotimes (from, to) needs 0 <= from < to, in seconds")
        table[:] = (ticks >= low / unit - 1e-6) & (ticks < high / unit - 1e-6)
    else:
        delay = float(gate) / unit
        if not 0 <= delay < period:
            raise ValueError(f"gate={gate} s must lie between 0 and the laser period of {period * unit:.6g} s")
        for row, detector in enumerate(pair):
            rise, guard = rise_of(head.decay(detector), period)
            if delay > 0:
                table[row] = (ticks - rise) % period >= delay
                table[row] &= (ticks - rise) % period < period - guard
            else:
                table[row] = True
    n_ticks = min(round(period), 65536)
    share = table[:, :n_ticks].sum(axis=1) / n_ticks
    kept = sum(int(head.decay(d)[table[row][: head.decay(d).size]].sum()) > 0 for row, d in enumerate(pair))
    if kept < 2 and head.counts and head.detectors.size < HEAD_PHOTONS:
        raise ValueError(
            f"gate={gate} s leaves no photons on detectors {pair}: the laser period is {period * unit:.6g} s, and the "
            "decay may be over by then; open the gate earlier or wider"
        )
    return Gate(table, (float(share[0]), float(share[1])))


@dataclass(frozen=True, eq=False)
class Segment:
    """Arrays of which the photons `first` to `last` are new and the earlier ones only partners."""

    times: Ints
    nanotimes: NDArray[np.uint16]
    detectors: NDArray[np.uint8]
    first: int
    last: int


class Walk:
    """Photons of two detectors, piece by piece, each with every earlier photon that it may pair with.

    Parameters
    ----------
    pair : (int, int)
        Detectors a and b.
    gate : Gate or None
        Which nanotimes are kept.
    edges : Edges
        Gets the pieces, and holds the stretches.
    reach : int
        Longest lag in macro ticks.
    alone : bool
        Whether the photons of other detectors may stay: they cost time where they are many.

    Notes
    -----
    A piece is used in place; only its first photons, which have partners in the piece before, are stitched to those.
    Where there are stretches, the macro times of the segments are squeezed ones (see `Squeeze`).
    """

    def __init__(
        self, pair: tuple[int, int], gate: Gate | None, edges: Edges, reach: int, *, alone: bool = True
    ) -> None:
        self._pair, self._gate, self._edges, self._reach, self._alone = pair, gate, edges, reach, alone
        self.squeeze = Squeeze(edges.stretches, reach + 1)
        self._tail: Segment | None = None

    def feed(self, given: PhotonStream) -> Iterator[Segment]:
        """Take the next piece and yield what is to be counted."""
        piece = given
        if self._gate is not None:
            piece = self._gate.apply(piece, self._pair)
        elif not self._alone:
            piece = piece.select(detectors=self._pair)
        self._edges.add(piece)
        if self._edges.gated:
            piece = self.squeeze.apply(piece)
        if len(piece) == 0:
            return
        here, tail = _segment(piece), self._tail
        n = 0
        if tail is not None:
            check_follows(piece, int(tail.times[-1]))
            n = int(np.searchsorted(here.times, tail.times[-1] + self._reach, side="right"))
            yield _joined(tail, here, n)
        yield Segment(here.times, here.nanotimes, here.detectors, n, here.last)
        begin = int(np.searchsorted(here.times, here.times[-1] - self._reach))
        if begin == 0 and tail is not None:
            here = _joined(tail, here, here.last)
            begin = int(np.searchsorted(here.times, here.times[-1] - self._reach))
        self._tail = Segment(
            here.times[begin:].copy(),
            here.nanotimes[begin:].copy(),
            here.detectors[begin:].copy(),
            0,
            here.times.size - begin,
        )


def segments(
    parts: Iterable[PhotonStream], pair: tuple[int, int], gate: Gate | None, edges: Edges, reach: int
) -> Iterator[Segment]:
    """Walk over all photons once, each with every earlier photon up to `reach` macro ticks before it."""
    walk = Walk(pair, gate, edges, reach)
    for piece in parts:
        yield from walk.feed(piece)


def _segment(piece: PhotonStream) -> Segment:
    used = piece.nanotimes is not None and piece.pulse_clock
    nanotimes = piece.nanotimes if used and piece.nanotimes is not None else np.zeros(0, np.uint16)
    return Segment(piece.timestamps, nanotimes, piece.detectors, 0, len(piece))


def _joined(tail: Segment, here: Segment, n: int) -> Segment:
    return Segment(
        np.concatenate([tail.times, here.times[:n]]),
        np.concatenate([tail.nanotimes, here.nanotimes[:n]]),
        np.concatenate([tail.detectors, here.detectors[:n]]),
        tail.last,
        tail.last + n,
    )


def in_threads(work: Callable[[Iterator[tuple[int, int]]], T], ranges: list[tuple[int, int]]) -> list[T]:
    """Do `work` on ranges of photons, in two threads where there are many; the kernels release the lock.

    Each thread takes the next range when it is done with one: a core that other programs slow down then takes fewer.
    """
    if sum(last - first for first, last in ranges) < _THREADED or (os.cpu_count() or 1) < 2:
        return [work(iter(ranges))]
    left = deque(ranges)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(work, _taken(left))
        return [work(_taken(left)), other.result()]


def _taken(left: deque[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    while True:
        try:
            yield left.popleft()
        except IndexError:
            return


def split(segment: Segment, n: int) -> list[tuple[int, int]]:
    """Cut the new photons of a segment into up to n ranges of equal number."""
    size = segment.last - segment.first
    n = n if size >= _THREADED else 1
    cuts = [segment.first + size * i // n for i in range(n + 1)]
    return [(i, j) for i, j in pairwise(cuts) if j > i]


def pair_background(
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
    pair: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Return the rates of uncorrelated counts on a and b and their errors, Hz; a `Background` brings its own errors."""
    if isinstance(background, Background):
        background_err = background.rate_err if background_err is None else background_err
        background = background.rate
    return _of_pair(background, pair, "background"), _of_pair(background_err, pair, "background_err")


def _of_pair(given: float | Mapping[int, float] | None, pair: tuple[int, int], name: str) -> Floats:
    if given is None:
        return np.zeros(2)
    if isinstance(given, Mapping):
        each: dict[Any, float] = {int(d): float(r) for d, r in given.items()}
        missing = [d for d in pair if d not in each]
        if missing:
            raise ValueError(f"{name}={dict(given)!r} has no rate for detector {missing[0]} of the pair {pair}")
        rates = np.array([each[pair[0]], each[pair[1]]])
    else:
        rates = np.full(2, float(given))
    if not np.all(np.isfinite(rates) & (rates >= 0)):
        raise ValueError(f"{name} must be rates in hertz >= 0, they are {tuple(rates.tolist())}")
    return rates


def check_background(rates: Floats, measured: Floats, pair: tuple[int, int]) -> None:
    """Refuse a background that leaves no signal."""
    for d, b, r in zip(pair, rates, measured, strict=True):
        if b > 0 and b >= r:
            raise ValueError(
                f"background of {b:.6g} Hz on detector {d} is not below the measured {r:.6g} Hz: no signal is left"
            )
