"""Photon pairs under several time gates at once: pulses instead of lags, and the earlier photon decides."""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 4096


@njit(cache=True, nogil=True)
def gated_pairs(times, nanotimes, detectors, a, b, first, last, reach, opens, turns, lowest, pairs, counts):  # type: ignore[no-untyped-def]
    """Count pairs by ``(min(gate of a, gate of b), dp)``, dp the pulse of the photon on b less that on a.

    opens int64[2, 65536]: how many gates a nanotime passes (0: none); turns int64[2, 65536]: pulses to add to its pulse
    number, -1 where it belongs to the pulse before. pairs int64[n_gates + 1, n_peaks + 1] is added to at (gates that
    both pass, dp - lowest), its last column takes what lies outside; counts int64[n_gates + 1, 2] gets the photons by
    gates passed. Sums from the last row up are the pairs of each gate. Cost as in `pulsed_pairs`.
    """
    n_peaks = pairs.shape[1] - 1
    near = np.empty(BLOCK, np.int64)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        n = 0
        for i in range(begin, end):
            if detectors[i] == a:
                counts[opens[0, nanotimes[i]], 0] += 1
            elif detectors[i] == b:
                counts[opens[1, nanotimes[i]], 1] += 1
            near[n] = i
            n += i > 0 and times[i] - times[max(i - 1, 0)] <= reach
        s = 1
        while n > 0:
            kept = 0
            for q in range(n):
                i = near[q]
                j = i - s
                side = np.int64(detectors[i] == b) - np.int64(detectors[i] == a)
                other = np.int64(detectors[j] == b) - np.int64(detectors[j] == a)
                row_i = np.int64(side > 0)
                row_j = np.int64(other > 0)
                pulse_i = times[i] + turns[row_i, nanotimes[i]]
                pulse_j = times[j] + turns[row_j, nanotimes[j]]
                at = side * (pulse_i - pulse_j) - lowest
                at = at if (side * other < 0) & (at >= 0) & (at < n_peaks) else n_peaks
                passed = min(opens[row_i, nanotimes[i]], opens[row_j, nanotimes[j]])
                pairs[passed, at] += 1
                near[kept] = i
                kept += j > 0 and times[i] - times[max(j - 1, 0)] <= reach
            n = kept
            s += 1
