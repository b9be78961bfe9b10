"""Stretches of time: a recording cut into windows of which each is analysed alone, such as the bright parts of a dot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.stream import PhotonStream, first_ticks


def check_stretches(stretches: ArrayLike) -> NDArray[np.float64]:
    """Return stretches as float64[k, 2] of (start, stop) in seconds on the axis of the timestamps.

    Raises
    ------
    ValueError
        If they are not rising pairs that keep clear of each other.
    """
    given = np.asarray(stretches, dtype=np.float64)
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
