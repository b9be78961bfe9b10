"""Pairs of photons by when the first of them came after its pulse, and by how much later after its own the second."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def pair_decays(times, nanotimes, detectors, a, b, first, last, reach, late, turns, lowest, width, earlier, gap, pairs):  # type: ignore[no-untyped-def]
    """Histogram ``min(u_a, u_b)`` and ``|u_a - u_b|`` of pairs for each pulse lag, in bins of `width` ticks.

    late float64[2, 65536]: ticks after the rise for each nanotime of a and b; turns int64[2, 65536]: pulses to add to
    its pulse number. earlier, gap int64[m, n]: row dp - lowest, what lies beyond is dropped; pairs int64[m] counts all
    of them. Photons before the rise are left out. Cost: photons + pairs of either kind within reach.
    """
    m, n = earlier.shape
    for i in range(first, last):
        on_i = 0 if detectors[i] == a else (1 if detectors[i] == b else -1)
        if on_i < 0:
            continue
        u = late[on_i, nanotimes[i]]
        j = i - 1
        while j >= 0 and times[i] - times[j] <= reach:
            if detectors[j] == (b if on_i == 0 else a):
                on_j = 1 - on_i
                v = late[on_j, nanotimes[j]]
                dp = times[i] + turns[on_i, nanotimes[i]] - times[j] - turns[on_j, nanotimes[j]]
                row = (dp if on_i == 1 else -dp) - lowest
                if u >= 0 and v >= 0 and row >= 0 and row < m:
                    pairs[row] += 1
                    k = int(min(u, v) / width)
                    if k < n:
                        earlier[row, k] += 1
                    k = int(abs(u - v) / width)
                    if k < n:
                        gap[row, k] += 1
            j -= 1
