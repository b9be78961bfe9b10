"""Photon pairs of two detectors by lag: one walk over the merged stream, each photon looks back at its partners.

Both kernels go through the photons in blocks. Per block they keep the list of photons whose s-th predecessor is still
within reach, for s = 1, 2, ...; the list shrinks with s. No branch depends on a random arrival, so the processor
never guesses wrong: this is worth a factor of two over the nested loop.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 4096


@njit(cache=True, nogil=True)
def pulsed_pairs(times, nanotimes, detectors, a, b, first, last, reach, steps, lowest, pairs, counts):  # type: ignore[no-untyped-def]
    """Count pairs by peak ``m = dp + sum(dn >= steps) - steps.size / 2``, exact in integers.

    dp is the pulse number of the photon on `b` minus that on `a`, dn the same of the nanotimes; `steps` int64[2 r]
    holds the rising dn at which a pair goes over to the next peak. Photons `first` to `last` look back over all earlier
    ones that are at most `reach` pulses away. pairs int64[n + 1] is added to at m - lowest, its last entry takes what
    lies outside; counts int64[2] gets the photons on a and b. Cost: photons + pairs of either kind within reach.
    """
    n_peaks = pairs.size - 1
    half = steps.size // 2
    near = np.empty(BLOCK, np.int64)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        n = 0
        on_a = 0
        on_b = 0
        for i in range(begin, end):
            on_a += detectors[i] == a
            on_b += detectors[i] == b
            near[n] = i
            n += i > 0 and times[i] - times[max(i - 1, 0)] <= reach
        counts[0] += on_a
        counts[1] += on_b
        s = 1
        while n > 0:
            kept = 0
            for q in range(n):
                i = near[q]
                j = i - s
                side = np.int64(detectors[i] == b) - np.int64(detectors[i] == a)
                other = np.int64(detectors[j] == b) - np.int64(detectors[j] == a)
                dn = side * (np.int64(nanotimes[i]) - np.int64(nanotimes[j]))
                at = side * (times[i] - times[j]) - lowest - half
                for r in range(steps.size):
                    at += dn >= steps[r]
                at = at if (side * other < 0) & (at >= 0) & (at < n_peaks) else n_peaks
                pairs[at] += 1
                near[kept] = i
                kept += j > 0 and times[i] - times[max(j - 1, 0)] <= reach
            n = kept
            s += 1


@njit(cache=True, nogil=True)
def lag_pairs(times, nanotimes, detectors, a, b, first, last, reach, period, delay, width, pairs, counts):  # type: ignore[no-untyped-def]
    """Count pairs by lag ``x = dt * period + dn - delay`` in bins ``floor(|x| / width)``, those of x < 0 mirrored.

    dt is the macro time on `b` minus that on `a`, an exact integer; dn the same of the nanotimes (`nanotimes` of size
    0: none). pairs int64[2 h + 1]: bins of x < 0, of x >= 0, and one for what lies outside. Other arguments
    and cost as in `pulsed_pairs`.
    """
    half = pairs.size // 2
    fine = nanotimes.size > 0
    near = np.empty(BLOCK, np.int64)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        n = 0
        on_a = 0
        on_b = 0
        for i in range(begin, end):
            on_a += detectors[i] == a
            on_b += detectors[i] == b
            near[n] = i
            n += i > 0 and times[i] - times[max(i - 1, 0)] <= reach
        counts[0] += on_a
        counts[1] += on_b
        s = 1
        while n > 0:
            kept = 0
            for q in range(n):
                i = near[q]
                j = i - s
                side = np.int64(detectors[i] == b) - np.int64(detectors[i] == a)
                other = np.int64(detectors[j] == b) - np.int64(detectors[j] == a)
                dn = np.int64(nanotimes[i]) - np.int64(nanotimes[j]) if fine else 0
                x = side * (np.float64(times[i] - times[j]) * period + dn) - delay
                step = abs(x) / width
                step = step if (side * other < 0) & (step < half) else np.float64(half)
                bin_up = np.int64(step)
                at = half + bin_up if x >= 0 else half - 1 - bin_up
                pairs[at if bin_up < half else 2 * half] += 1
                near[kept] = i
                kept += j > 0 and times[i] - times[max(j - 1, 0)] <= reach
            n = kept
            s += 1


@njit(cache=True, nogil=True)
def edge_pairs(times_a, nanos_a, times_b, nanos_b, period, delay, edges, below):  # type: ignore[no-untyped-def]
    """Add to below[e] the pairs of lag ``x = dt * period + dn - delay < edges[e]``; its differences are the bins.

    For wide bins, where a photon has more partners than there are bins: one pointer into b for each rising edge, which
    only moves forward as a goes on. Both lists in order of arrival; int64 macro times and nanotimes. Cost: n_a times
    edges, plus n_b times edges. Laurence, Fore, Huser, Opt. Lett. 31, 829 (2006).
    """
    n_b = times_b.size
    pointers = np.zeros(edges.size, np.int64)
    for i in range(times_a.size):
        for e in range(edges.size):
            p = pointers[e]
            while (
                p < n_b and np.float64(times_b[p] - times_a[i]) * period + (nanos_b[p] - nanos_a[i]) - delay < edges[e]
            ):
                p += 1
            pointers[e] = p
            below[e] += p
