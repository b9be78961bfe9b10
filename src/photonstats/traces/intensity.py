"""Intensity over time: photons per bin, with exact Poisson intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.counts import count_detector
from photonstats.likelihood import poisson_interval
from photonstats.result import Result
from photonstats.stream import PhotonStream, check_detectors, first_ticks, pieces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BINS = 200_000_000


@dataclass(frozen=True, eq=False, repr=False)
class IntensityTrace(Result):
    """Photons per time bin.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        Photons in each bin.
    bin_width : float
        Width of a bin, s.
    start : float
        Begin of the first bin, s.
    detectors : tuple of int or None
        The detectors that were counted; None for all.
    """

    counts: NDArray[np.int64]
    bin_width: float
    start: float = 0.0
    detectors: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.counts)
        counts = given.astype(np.int64)
        if given.ndim != 1 or not np.array_equal(counts, given) or (counts.size and counts.min() < 0):
            raise ValueError("counts must be a one-dimensional array of whole numbers >= 0")
        _check_bin_width(self.bin_width)
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @property
    def time(self) -> NDArray[np.float64]:
        """Centres of the bins, s, float64[n]."""
        bins = np.arange(self.counts.size, dtype=np.float64)
        return self.start + (bins + 0.5) * self.bin_width

    @property
    def duration(self) -> float:
        """Time covered by the bins, s."""
        return self.counts.size * self.bin_width

    @property
    def rate(self) -> NDArray[np.float64]:
        """Count rate in each bin, Hz, float64[n]."""
        rate: NDArray[np.float64] = self.counts / self.bin_width
        return rate

    @property
    def rate_ci(self) -> NDArray[np.float64]:
        """Exact 95 % interval (Garwood) of the rate in each bin, Hz, float64[n, 2]."""
        return poisson_interval(self.counts) / self.bin_width

    def stretches(self, low: float = 0.0, high: float = math.inf) -> NDArray[np.float64]:
        """Return the stretches of time in which the rate lies in [low, high) Hz.

        Parameters
        ----------
        low, high : float
            Limits of the rate, Hz, half-open.

        Returns
        -------
        ndarray of float64, shape (k, 2)
            Begin and end of each stretch, s, neighbouring bins joined; the argument `stretches` of `g2` and
            `g2_pulsed`. Empty where no bin qualifies.

        Raises
        ------
        ValueError
            If not low < high.

        Notes
        -----
        Bins chosen by their own counts are brighter than the light by chance: a limit amid the counts of one level
        picks its upward fluctuations, and a bin in which the light switches belongs to neither. Put the limit between
        the levels.

        Examples
        --------
        >>> IntensityTrace([9, 8, 1, 7], 0.01).stretches(low=500.0).tolist()
        [[0.0, 0.02], [0.03, 0.04]]
        """
        if not low < high:
            raise ValueError(f"stretches(low={low}, high={high}): limits of the rate in hertz need low < high")
        rate = self.rate
        inside = np.concatenate([[False], (rate >= low) & (rate < high), [False]])
        turns = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)
        found: NDArray[np.float64] = self.start + turns.astype(np.float64) * self.bin_width
        return found

    @property
    def mean_rate(self) -> float:
        """Mean count rate, Hz."""
        return float(self.counts.mean() / self.bin_width) if self.counts.size else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the mean rate as plain JSON types."""
        return {**super().to_dict(), "mean_rate_hz": self.mean_rate if self.counts.size else None}

    def summary(self) -> str:
        """Return one line: bins, their width, mean and extreme rates."""
        if not self.counts.size:
            return "IntensityTrace: no bins"
        low, high = self.counts.min() / self.bin_width, self.counts.max() / self.bin_width
        return (
            f"IntensityTrace: {self.counts.size} bins of {self.bin_width * 1e3:.4g} ms, mean rate "
            f"{self.mean_rate:.5g} Hz, from {low:.5g} to {high:.5g} Hz"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the rate against time."""
        from photonstats import plots

        return plots.plot_trace(self, ax)


def intensity_trace(
    photons: PhotonStream | Iterable[PhotonStream],
    bin_width: float = 10e-3,
    detectors: int | Sequence[int] | None = None,
) -> IntensityTrace:
    """Count photons in bins of equal width from the start of the recorded window.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream, or the pieces of `scan` (one pass, bounded memory).
    bin_width : float
        Width of a bin, s, > 0.
    detectors : int or sequence of int, optional
        Detectors to count; None for all of them.

    Returns
    -------
    IntensityTrace
        Whole bins only: photons in a last bin that the recording does not fill are left out, since a shorter bin
        would look dim.

    Raises
    ------
    ValueError
        If the bin is wider than the recording or so narrow that the trace would not fit into memory.

    Notes
    -----
    A photon belongs to the bin of its timestamp; in T3 the nanotime, less than a laser period, is not added. Bins begin
    at whole ticks of the timestamps, so the width of a single bin differs from `bin_width` by less than a tick.

    Examples
    --------
    >>> photons = PhotonStream([0, 5, 12, 13], [0, 1, 0, 0], timestamps_unit=1e-3, duration=20e-3)
    >>> intensity_trace(photons, 10e-3).counts.tolist()
    [2, 2]
    """
    _check_bin_width(bin_width)
    which = None if detectors is None else check_detectors(detectors)
    start, end = math.nan, math.nan
    parts: list[NDArray[np.int64]] = []
    offset = 0
    counts = np.zeros(0, np.int64)
    for piece in pieces(photons):
        if math.isnan(start):
            start = piece.start
        end = piece.start + piece.duration
        first = max(_bins(piece.start - start, bin_width) - 1, offset)
        stop = _bins(end - start, bin_width) + 2
        # What lies before `first` can get no more photons: put it aside, so that growing costs nothing.
        parts.append(counts[: first - offset])
        grown = np.zeros(stop - first, np.int64)
        grown[: counts.size - (first - offset)] = counts[first - offset :][: grown.size]
        counts, offset = grown, first
        _add_counts(piece, start, bin_width, offset, which, counts)
    if math.isnan(start):
        raise ValueError("there is no recording: scan gave no pieces")
    n_bins = _bins(end - start, bin_width)
    if n_bins == 0:
        raise ValueError(f"bin_width {bin_width:g} s is longer than the recording, {end - start:g} s")
    return IntensityTrace(np.concatenate([*parts, counts])[:n_bins], bin_width, start, which)


def _bins(time: float, bin_width: float) -> int:
    """Return the number of whole bins in `time`, not one less for a rounding error of the division."""
    bins = time / bin_width * (1 + 1e-12) + 1e-9
    if bins > MOST_BINS:
        raise ValueError(f"bin_width {bin_width:g} s makes {bins:.3g} bins; the most is {MOST_BINS:.0e}")
    return math.floor(bins)


def _add_counts(
    piece: PhotonStream,
    start: float,
    bin_width: float,
    first: int,
    which: tuple[int, ...] | None,
    counts: NDArray[np.int64],
) -> None:
    begins = start + (first + np.arange(counts.size + 1)) * bin_width
    edges = np.searchsorted(piece.timestamps, first_ticks(begins, piece.timestamps_unit))
    if which is None:
        counts += np.diff(edges)
    else:
        for detector in set(which):
            count_detector(piece.detectors, edges, np.uint8(detector), counts)


def _check_bin_width(bin_width: float) -> None:
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")


def refuse_other_bins(trace: IntensityTrace, bin_width: float | None, detectors: object = None) -> None:
    """Refuse bins or detectors that are asked for together with a trace, which has its own.

    Raises
    ------
    ValueError
        If either is given.
    """
    if bin_width is not None or detectors is not None:
        raise ValueError(
            f"a trace has its bins, here of {trace.bin_width:g} s, and its detectors already: leave out bin_width and "
            "detectors, or give photons"
        )
