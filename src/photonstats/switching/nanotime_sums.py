"""Photons and the sum of their nanotimes in bins: the bare mean arrival, as fast as memory gives the nanotimes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.kernels.flid import sum_nanotimes, sum_nanotimes_of
from photonstats.stream import PhotonStream, check_detectors, first_ticks


def bin_sums(
    photons: PhotonStream, edges: ArrayLike, *, detectors: int | Sequence[int] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return photons and the sum of their nanotimes in each bin, one after the other: the bare mean arrival.

    Parameters
    ----------
    photons : PhotonStream
        With nanotimes.
    edges : array_like of float, shape (k + 1,)
        Rising, s.
    detectors : int or sequence of int, optional
        Which to count; None for all.

    Returns
    -------
    counts, sums : ndarray of int64, shape (k,)
        Sums in ticks of `tcspc_unit`.

    Notes
    -----
    ``sums / counts`` less the time of the pulse is the lifetime of a bin only without background and where the decay
    ends within the period; `flid` fits lifetimes instead. This is for a first look at long recordings.

    Examples
    --------
    >>> photons = PhotonStream([0, 1, 3], [0, 0, 1], [5, 7, 9], timestamps_unit=1.0, tcspc_unit=1e-9, duration=4.0)
    >>> [a.tolist() for a in bin_sums(photons, [0.0, 2.0, 4.0])]
    [[2, 1], [12, 9]]
    """
    if photons.nanotimes is None:
        raise ValueError("the photons have no nanotimes to sum; ps.fold(photons) gives them to T2 with laser pulses")
    ticks = first_ticks(edges, photons.timestamps_unit)
    bounds = np.searchsorted(photons.timestamps, ticks)
    sums = np.zeros(ticks.size - 1, np.int64)
    if detectors is None:
        sum_nanotimes(photons.nanotimes, bounds, sums)
        return np.diff(bounds), sums
    counts = np.zeros(ticks.size - 1, np.int64)
    for detector in set(check_detectors(detectors)):
        sum_nanotimes_of(photons.nanotimes, photons.detectors, np.uint8(detector), bounds, counts, sums)
    return counts, sums
