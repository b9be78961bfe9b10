"""Stretches of time: parts of a recording of which each is analysed alone, such as the bright ones of a dot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.stream import PhotonStream, first_ticks

ENDLESS = 2**62

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def check_stretches(stretches: ArrayLike) -> NDArray[np.float64]:
    """Return stretches as float64[k, 2] of (start, stop) in seconds on the axis of the timestamps.

    Raises
    ------
    ValueError
        If they are not rising pairs that keep clear of each other.
    """
    try:
        given = np.asarray(stretches, dtype=np.float64)
    except ValueError as error:
        raise ValueError("stretches must be one list of pairs (start, stop) in seconds, not lists in a list") from error
    if given.ndim != 2 or given.shape[1] != 2 or not np.all(np.isfinite(given)):
        raise ValueError(f"stretches must be pairs (start, stop) in seconds, their shape is {given.shape}")
    if given.size and (np.any(given[:, 1] <= given[:, 0]) or np.any(given[1:, 0] < given[:-1, 1])):
        raise ValueError("stretches must rise and not overlap: start < stop <= next start")
    return given


def windows(parts: Iterator[PhotonStream], stretches: NDArray[np.float64]) -> Iterator[tuple[int, PhotonStream]]:
    """Cut the pieces of a recording at the stretches; yield (number of the stretch, piece) for what lies inside.

    The pieces of a stretch tile it, up to whole macro ticks and to the recorded window; one without photons is yielded
    too, since its time was measured.
    """
    k = 0
    for piece in parts:
        end = piece.start + piece.duration
        while k < len(stretches):
            start, stop = stretches[k]
            if start < end and stop > piece.start and piece.duration > 0:
                yield k, _whole_ticks(piece, start, stop)
            if stop > end:
                break
            k += 1


def _whole_ticks(piece: PhotonStream, start: float, stop: float) -> PhotonStream:
    # Borders on whole ticks: a window of 2.5 pulses would hold two or three of them.
    unit = piece.timestamps_unit
    begin, end = first_ticks([start, stop], unit) * unit
    return piece.between(max(float(begin), piece.start), min(float(end), piece.start + piece.duration))


def within(stretches: NDArray[np.float64] | None, duration: float) -> str:
    """Return the words by which a summary says that only stretches were used."""
    return "" if stretches is None else f" in {len(stretches)} stretches of together {duration:.4g} s"


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches in whole macro ticks: begin int64[k] and end int64[k], half-open, none of them empty.

    The first begins without limit where the recording begins inside of it, so that it takes every photon from there on;
    `zero` is where it really begins.
    """

    begin: Ints
    end: Ints
    zero: int

    @classmethod
    def whole(cls, origin: int) -> Stretches:
        """Return one stretch without ends."""
        return cls(np.array([-ENDLESS]), np.array([ENDLESS]), origin)

    @classmethod
    def of(cls, stretches: ArrayLike, first: PhotonStream) -> Stretches:
        """Turn seconds into ticks of the recording that begins with the piece `first`."""
        given = check_stretches(stretches)
        if not len(given):
            raise ValueError("stretches is empty: there is no time to correlate; choose other limits")
        unit = first.timestamps_unit
        if np.abs(given).max() / unit >= ENDLESS:
            raise ValueError(f"stretches reach to {np.abs(given).max():g} s, beyond what timestamps can hold")
        ticks = first_ticks(given, unit)
        opens, origin = int(first_ticks(first.start, unit)), origin_of(first)[0]
        ticks = ticks[(ticks[:, 1] > ticks[:, 0]) & (ticks[:, 1] > opens)]
        if not len(ticks):
            raise ValueError(
                f"stretches from {given[0, 0]:.6g} s to {given[-1, 1]:.6g} s lie before the recording, which begins at "
                f"{first.start:.6g} s, or hold no whole tick: give seconds on the axis of the timestamps"
            )
        begin, end = np.ascontiguousarray(ticks[:, 0]), np.ascontiguousarray(ticks[:, 1])
        zero = int(begin[0])
        if begin[0] <= opens:
            zero, begin[0] = origin, -ENDLESS
        return cls(begin, end, zero)

    def inside(self, piece: PhotonStream) -> slice:
        """Return which stretches the window of a piece meets, or nearly so."""
        low = math.floor(piece.start / piece.timestamps_unit) - 1
        high = math.ceil((piece.start + piece.duration) / piece.timestamps_unit) + 1
        return slice(int(np.searchsorted(self.end, low, side="right")), int(np.searchsorted(self.begin, high)))

    def ends(self, piece: PhotonStream) -> Ints:
        """Return the ends as they hold for the photons of one piece.

        A piece that ends with the last stretch lies in it to its last photon, on whatever tick that is.
        """
        unit = piece.timestamps_unit
        if self.end[-1] * unit >= piece.start + piece.duration - 1e-6 * unit:
            return np.append(self.end[:-1], ENDLESS)
        return self.end


class Squeeze:
    """Macro times in which the stretches follow each other after a `gap` of ticks.

    With a gap as long as the longest lag, no pair has its photons in two stretches, and what counts pairs need not
    know of stretches. The first one keeps its times.
    """

    def __init__(self, stretches: Stretches, gap: int) -> None:
        self._stretches, self._gap = stretches, gap
        begin = np.append(stretches.zero, stretches.begin[1:])
        lengths = stretches.end[:-1] - begin[:-1]
        self._live = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._starts = self._live + gap * np.arange(begin.size)
        self._moves = stretches.zero + self._starts - begin

    def apply(self, piece: PhotonStream) -> PhotonStream:
        """Return the photons inside the stretches with squeezed macro times; the window is that of the piece."""
        near = self._stretches.inside(piece)
        bounds = np.stack([self._stretches.begin[near], self._stretches.ends(piece)[near]], axis=1)
        at = np.searchsorted(piece.timestamps, bounds)
        sizes = at[:, 1] - at[:, 0]
        which = spans(at[:, 0], sizes)
        values = {name: getattr(piece, name) for name in PhotonStream.__dataclass_fields__}
        values["timestamps"] = piece.timestamps[which] + np.repeat(self._moves[near], sizes)
        values["detectors"] = piece.detectors[which]
        values["nanotimes"] = None if piece.nanotimes is None else piece.nanotimes[which]
        return PhotonStream._trusted(**values)

    def live(self, squeezed: Ints) -> Ints:
        """Turn squeezed times, counted from the begin of the first stretch, into time inside stretches."""
        number = np.searchsorted(self._starts, squeezed, side="right") - 1
        live: Ints = squeezed - self._gap * np.maximum(number, 0)
        return live

    def squeezed(self, live: Ints) -> Ints:
        """Turn time inside stretches into squeezed time; a border belongs to the stretch that begins there."""
        number = np.searchsorted(self._live, live, side="right") - 1
        squeezed: Ints = live + self._gap * np.maximum(number, 0)
        return squeezed


def origin_of(first: PhotonStream) -> tuple[int, float]:
    """Return the macro tick in which a recording begins, and the part of that tick before its start."""
    at = first.start / first.timestamps_unit
    whole = round(at)
    if abs(at - whole) <= max(1e-6, 1e-15 * abs(at)):
        return whole, 0.0
    return math.floor(at), at - math.floor(at)


def spans(starts: Ints, sizes: Ints) -> Ints:
    """Return the indices starts[i], starts[i] + 1, ... of all spans, one after the other."""
    total = np.cumsum(sizes)
    n = int(total[-1]) if total.size else 0
    indices: Ints = np.arange(n) + np.repeat(starts - (total - sizes), sizes)
    return indices
