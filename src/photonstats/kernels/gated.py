"""Photon pairs under several time gates at once: pulses instead of lags, and the earlier photon decides."""

from __future__ import annotations

import numpy as np
from numba import njit

from photonstats.kernels.pairs import BLOCK, partners


@njit(cache=True, nogil=True)
def gated_pairs(times, nanotimes, detectors, a, b, first, last, reach, opens, turns, lowest, pairs, counts):  # type: ignore[no-untyped-def]
    """Count pairs by ``(min(gate of a, gate of b), dp)``, dp the pulse of the photon on b less that on a.

    opens int16[2, 65536]: how many gates a nanotime passes (0: none); turns int64[2, 65536]: pulses to add to its pulse
    number, -1 where it belongs to the pulse before. pairs int64[n_gates + 1, n_peaks + 1] is added to at (gates that
    both pass, dp - lowest), its last column takes what lies outside; counts int64[n_gates + 1, 2] gets the photons by
    gates passed. Sums from the last row up are the pairs of each gate. Cost as in `pulsed_pairs`.
    """
    n_peaks = pairs.shape[1] - 1
    a, b = np.uint8(a), np.uint8(b)
    passes = np.empty(BLOCK, np.uint8)
    near, picks = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint16)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        for i in range(begin, end):
            on_b = np.int64(detectors[i] == b)
            counts[opens[on_b, nanotimes[i]], on_b] += on_b | np.int64(detectors[i] == a)
        n, s = end - begin, np.int64(1)
        while n > 0:
            n, m = partners(times, detectors, a, b, begin, end, s, reach, n, passes, near, picks)
            for q in range(m):
                i = begin + picks[q]
                j = i - s
                on_i = np.int64(detectors[i] == b)
                on_j = 1 - on_i
                dp = times[i] + turns[on_i, nanotimes[i]] - times[j] - turns[on_j, nanotimes[j]]
                at = (dp if on_i else -dp) - lowest
                passed = min(opens[on_i, nanotimes[i]], opens[on_j, nanotimes[j]])
                pairs[passed, at if (at >= 0) & (at < n_peaks) else n_peaks] += 1
            s += 1
