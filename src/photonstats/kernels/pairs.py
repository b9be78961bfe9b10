"""Photon pairs of two detectors by lag: one walk over the merged stream, each photon looks back at its partners.

Both kernels go through the photons in blocks that stay in cache. For s = 1, 2, ... they pick the photons of a block
whose s-th predecessor is within reach and on the other detector, and work on those alone. No branch depends on a
random arrival, so the processor never guesses wrong, and what does not pick is done on many photons at once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BLOCK = 8192  # at most 2**16, as places in a block are uint16
DENSE = 4  # where fewer than one photon in so many has a partner left, a list of those is shorter than the block


@njit(cache=True, nogil=True)
def count_two(detectors, a, b, counts):  # type: ignore[no-untyped-def]
    """Add to counts int64[2] how many of detectors uint8[n] are a and b; n < 2**32. Cost: one byte a photon."""
    on_a, on_b = np.uint32(0), np.uint32(0)
    for d in detectors:
        on_a += np.uint32(d == a)
        on_b += np.uint32(d == b)
    counts[0] += on_a
    counts[1] += on_b


@njit(cache=True, nogil=True)
def partners(times, detectors, a, b, begin, end, s, reach, n, passes, near, picks):  # type: ignore[no-untyped-def]
    """Pick the photons i of begin <= i < end with ``times[i] - times[i - s] <= reach``, one on a and one on b.

    picks[:m] gets i - begin; returns (kept, m), kept counting the photons within reach on whatever detectors. n is the
    kept of s - 1, for s = 1 the size of the block. Once kept is small near[:kept] holds these photons, and is what the
    next s looks at. passes uint8[BLOCK], near and picks uint16[BLOCK] are scratch space. a and b are uint8 and differ.
    Cost: photons of the block while n is large, n after that.
    """
    size, skip = end - begin, max(s - begin, 0)
    if skip >= size:
        return 0, 0
    late, early = times[begin + skip : end], times[begin + skip - s : end - s]
    here, there = detectors[begin + skip : end], detectors[begin + skip - s : end - s]
    kept, m = 0, 0
    # d ^ e == a ^ b and d in (a, b) is one on each; loops of one task each run on vectors
    if DENSE * n > size:
        for k in range(late.size):
            passes[k] = late[k] - early[k] <= reach
        for k in range(late.size):
            kept += passes[k]
        if DENSE * kept <= size:
            c = 0
            for k in range(late.size):
                near[c] = k + skip
                c += passes[k]
        for k in range(late.size):
            passes[k] &= (here[k] ^ there[k] == a ^ b) & ((here[k] == a) | (here[k] == b))
        for k in range(late.size):
            picks[m] = k + skip
            m += passes[k]
        return kept, m
    for q in range(n):
        i = near[q]
        if i < skip:
            continue
        at = np.uint64(i - skip)  # unsigned: spares the test for negative indices
        within = late[at] - early[at] <= reach
        picks[m] = i
        m += within & (here[at] ^ there[at] == a ^ b) & ((here[at] == a) | (here[at] == b))
        near[kept] = i
        kept += within
    return kept, m


@njit(cache=True, nogil=True)
def pulsed_pairs(times, nanotimes, detectors, a, b, first, last, reach, steps, lowest, pairs, counts):  # type: ignore[no-untyped-def]
    """Count pairs by peak ``m = dp + sum(dn >= steps) - steps.size / 2``, exact in integers.

    dp is the pulse number of the photon on `b` minus that on `a`, dn the same of the nanotimes; `steps` int64[2 r]
    holds the rising dn at which a pair goes over to the next peak. Photons `first` to `last` look back over all earlier
    ones that are at most `reach` pulses away; a and b differ. pairs int64[n + 1] is added to at m - lowest, its last
    entry takes what lies outside; counts int64[2] gets the photons on a and b. Cost: photons + pairs of either kind
    within reach.
    """
    n_peaks = pairs.size - 1
    low = lowest + steps.size // 2
    a, b = np.uint8(a), np.uint8(b)
    passes = np.empty(BLOCK, np.uint8)
    near, picks = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint16)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        count_two(detectors[begin:end], a, b, counts)
        n, s = end - begin, np.int64(1)
        while n > 0:
            n, m = partners(times, detectors, a, b, begin, end, s, reach, n, passes, near, picks)
            for q in range(m):
                i = begin + picks[q]
                j = i - s
                side = 1 if detectors[i] == b else -1
                dn = side * (np.int64(nanotimes[i]) - np.int64(nanotimes[j]))
                at = side * (times[i] - times[j]) - low
                for r in range(steps.size):
                    at += dn >= steps[r]
                pairs[at if (at >= 0) & (at < n_peaks) else n_peaks] += 1
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
    a, b = np.uint8(a), np.uint8(b)
    passes = np.empty(BLOCK, np.uint8)
    near, picks = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint16)
    lags, bins = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.int32)
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        count_two(detectors[begin:end], a, b, counts)
        n, s = end - begin, np.int64(1)
        while n > 0:
            n, m = partners(times, detectors, a, b, begin, end, s, reach, n, passes, near, picks)
            for q in range(m):
                i = begin + picks[q]
                j = i - s
                dn = np.int64(nanotimes[i]) - np.int64(nanotimes[j]) if fine else 0
                x = np.float64(times[i] - times[j]) * period + dn
                lags[q] = (x if detectors[i] == b else -x) - delay
            for q in range(m):
                step = abs(lags[q]) / width
                up = np.int32(min(step, np.float64(half)))
                inside = half + up if lags[q] >= 0 else half - 1 - up
                bins[q] = inside if step < half else 2 * half
            for q in range(m):
                pairs[bins[q]] += 1
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


@njit(cache=True, nogil=True)
def lattice_widths(period, delay, width, widths):  # type: ignore[no-untyped-def]
    """Add to each bin of `lag_pairs` the lags ``dp * period + dn - delay`` in it, each with weight 1 - |dn| / period.

    All whole dp, and all whole |dn| < period; widths float64[2 h], bins of `width`. Cost: four times the lags within
    reach.
    """
    half = widths.size // 2
    pulses = math.ceil((half * width + abs(delay)) / period) + 1
    most = math.ceil(period) - 1
    for dp in range(-pulses, pulses + 1):
        for dn in range(-most, most + 1):
            x = dp * period + dn - delay
            step = abs(x) / width
            if step < half:
                widths[half + int(step) if x >= 0 else half - 1 - int(step)] += 1.0 - abs(dn) / period
