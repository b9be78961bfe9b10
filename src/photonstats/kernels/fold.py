"""Photons to the laser pulses before them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def survey_syncs(
    syncs: NDArray[np.int64], period: float, tolerance: float, drift: float, found: NDArray[np.int64]
) -> float:  # fmt: skip
    """Count periods, ``k = round(interval / period)`` each, and return the largest irregular ``|interval/period - k|``.

    An interval is irregular if k is 0 or the residual exceeds ``tolerance + drift k`` or 0.4 (k is then ambiguous).
    `found`: sum of k, number of irregular intervals, the worst of them (index), largest regular interval / k,
    rounded up. O(s).
    """
    total = irregular = 0
    found[3] = 0
    worst = 0.0
    for j in range(syncs.size - 1):
        interval = syncs[j + 1] - syncs[j]
        ratio = interval / period
        k = int(np.rint(ratio))
        residual = abs(ratio - k)
        if k < 1 or residual > min(tolerance + drift * k, 0.4):
            irregular += 1
            if residual >= worst or irregular == 1:
                worst = residual
                found[2] = j
        else:
            found[3] = max(found[3], -(-interval // k))
        total += k
    found[0], found[1] = total, irregular
    return worst


@njit(cache=True, nogil=True)
def fold_times(
    times: NDArray[np.int64],
    syncs: NDArray[np.int64],
    period: float,
    divider: int,
    first: int,
    factor: int,
    pulses: NDArray[np.int64],
    delays: NDArray[np.uint16],
) -> None:
    """Give each time its laser pulse and delay: ``pulse_m = t_j + rint(m (t_j+1 - t_j)/K)``, 0 <= m < K.

    Between two sync pulses lie ``K = divider round((t_j+1 - t_j)/period)`` laser periods (`period`: of the sync);
    after the last one pulses go on at period/divider. `times` are sorted and none lies before ``syncs[0]``, which is
    pulse number `first`. `delays` are in units of `factor` ticks; without elements they are not kept. O(n + s).
    """
    j, number = 0, first
    n_periods, step = _interval(syncs, 0, period, divider)
    for i in range(times.size):
        t = times[i]
        while j + 1 < syncs.size and syncs[j + 1] <= t:
            j += 1
            number += n_periods
            n_periods, step = _interval(syncs, j, period, divider)
        since = t - syncs[j]
        m = np.int64(since / step)
        begin = np.int64(np.rint(m * step))
        if begin > since:  # rounding to whole ticks
            m -= 1
            begin = np.int64(np.rint(m * step))
        else:
            after = np.int64(np.rint((m + 1) * step))
            if after <= since:
                m += 1
                begin = after
        pulses[i] = number + m
        if delays.size:
            delays[i] = (since - begin) // factor


@njit(cache=True, nogil=True)
def _interval(syncs: NDArray[np.int64], j: int, period: float, divider: int) -> tuple[int, float]:
    """Return the laser periods between sync j and the next, and the length of one in ticks."""
    if j + 1 >= syncs.size:
        return 0, period / divider
    interval = syncs[j + 1] - syncs[j]
    n_periods = divider * int(max(np.rint(interval / period), 1.0))
    return n_periods, interval / n_periods
