"""Events of a change point search from photons: clocks without ties and dead time, summed scores of nanotimes."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@nb.njit(cache=True, nogil=True)
def count_bins(nanotimes: NDArray[np.uint16], detectors: NDArray[np.uint8], merge: int, counts: Ints) -> None:
    """counts[256, B] += photons of each detector and bin of `merge` TCSPC units; what is beyond counts in the last."""
    last = counts.shape[1] - 1
    for i in range(nanotimes.size):
        counts[detectors[i], min(nanotimes[i] // merge, last)] += 1


@nb.njit(cache=True, nogil=True)
def sum_scores(
    nanotimes: NDArray[np.uint16], detectors: NDArray[np.uint8], merge: int, score: Floats, before: float, out: Floats
) -> None:
    """out[N] = before + the summed score[256, B] of the photons up to and with each."""
    last = score.shape[1] - 1
    total = before
    for i in range(nanotimes.size):
        total += score[detectors[i], min(nanotimes[i] // merge, last)]
        out[i] = total


@nb.njit(cache=True, nogil=True)
def spread_ties(times: Floats, unit: float, out: Floats) -> None:
    """out[N + 2] = times[N + 2] with the photons of one tick evenly spaced over it; the ends stay.

    A tick is as fine as the clock reads: a wait of nothing between two photons would be infinitely unlikely.
    """
    stop = times[-1]
    out[0], out[-1] = times[0], stop
    first = 1
    while first < times.size - 1:
        last = first + 1
        while last < times.size - 1 and times[last] - times[first] < 0.5 * unit:
            last += 1
        for i in range(first, last):
            out[i] = min(times[first] + unit * (i - first + 0.5) / (last - first), stop)
        first = last


@nb.njit(cache=True, nogil=True)
def live_times(
    times: Floats, detectors: NDArray[np.uint8], dead: Floats, share: Floats, stop: float, out: Floats
) -> None:
    """out[N + 2] = the time at times[N + 2] less the dead time of each detector before it, weighted by its share.

    dead[256] s, share[256] of the photons; times[0] and times[-1] are the ends of the window. A detector is blind for
    dead[d] after each photon of its own.
    """
    lost, blind_until = np.zeros(256), np.full(256, -np.inf)
    used = np.flatnonzero(share > 0)
    out[0] = times[0]
    for i in range(1, times.size):
        t = times[i]
        missed = 0.0
        for d in used:
            missed += share[d] * (lost[d] - max(0.0, blind_until[d] - t))
        out[i] = max(t - missed, out[i - 1])
        if i < times.size - 1:
            d = detectors[i - 1]
            end = min(t + dead[d], stop)
            lost[d] += end - max(t, min(blind_until[d], end))
            blind_until[d] = max(end, blind_until[d])
