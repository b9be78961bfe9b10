"""Pieces of a recording cut at the edges of time bins, so that no bin is split between two of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from photonstats.stream import PhotonStream, first_ticks

MOST_BINS = 50_000_000


def bin_edges(start: float, end: float, bin_width: float) -> NDArray[np.float64]:
    """Return the edges of the whole bins between two times, s, float64[n + 1]; n may be 0.

    Raises
    ------
    ValueError
        If `bin_width` is no positive time, or makes more bins than memory should hold.
    """
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    n = (end - start) / bin_width * (1 + 1e-12) + 1e-9
    if n > MOST_BINS:
        raise ValueError(f"bin_width {bin_width:g} s makes {n:.3g} bins; the most is {MOST_BINS:.0e}")
    return np.asarray(start + np.arange(math.floor(n) + 1) * bin_width, np.float64)


def whole_bins(parts: Iterator[PhotonStream], bin_width: float) -> Iterator[PhotonStream]:
    """Cut the pieces anew, each to whole bins from the start of the recording; what fills no last bin is left out."""
    start = end = begin = math.nan
    held: PhotonStream | None = None
    for piece in parts:
        if held is None:
            start = begin = piece.start
        end = piece.start + piece.duration
        joined = piece if held is None or len(held) == 0 else _joined(held, piece)
        edge = float(bin_edges(start, end, bin_width)[-1])
        cut = int(np.searchsorted(joined.timestamps, first_ticks(edge, piece.timestamps_unit)))
        held = joined[cut:]
        if edge > begin:
            yield joined[:cut]._with(slice(None), start=begin, duration=edge - begin)
            begin = edge
        else:
            held = joined
    if held is None:
        return
    if math.isnan(start) or begin == start:
        raise ValueError(f"bin_width {bin_width:g} s is longer than the recording, {end - start:g} s")
    if len(held) and begin >= end - 1e-6 * held.timestamps_unit:
        # The last bin ends with the recording: photons that rounding puts just beyond belong to it.
        yield held._with(slice(None), start=begin, duration=0.0)


def _joined(held: PhotonStream, piece: PhotonStream) -> PhotonStream:
    changes: dict[str, NDArray[np.generic]] = {}
    for name in ("timestamps", "detectors", "nanotimes"):
        first, second = getattr(held, name), getattr(piece, name)
        if first is not None and second is not None:
            changes[name] = np.concatenate([first, second])
    return piece._with(slice(None), **changes)
