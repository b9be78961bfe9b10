"""Pairs of two lists of times by lag, for lags so long that a photon has more partners than there are bins."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pairs_below(a, b, first, last, edges, below):  # type: ignore[no-untyped-def]
    """Add to below[e] the pairs with ``b_j - a_i < edges[e]`` for i from `first` to `last`; differences are the bins.

    int64 times in order, each list closed by a time that is never reached (a: so that a + edge does not overflow).
    One pointer into b an edge, which only moves forward as a goes on. Four edges are walked together, each step of
    each moving one of its two pointers: no branch depends on a photon, and no step waits for that of another edge.
    Cost: edges x (photons of a + photons of b that they pass). Laurence, Fore, Huser, Opt. Lett. 31, 829 (2006).
    """
    n_edges = edges.size
    stop = b.size - 1
    for g in range(0, n_edges, 4):
        k1, k2, k3 = min(g + 1, n_edges - 1), min(g + 2, n_edges - 1), min(g + 3, n_edges - 1)
        e0, e1, e2, e3 = edges[g], edges[k1], edges[k2], edges[k3]
        # steps that no edge has finished: as many as there are photons of a, and those of b that all of them pass
        passed = stop
        for e in (e0, e1, e2, e3):
            passed = min(passed, np.searchsorted(b[:stop], a[last - 1] + e) - np.searchsorted(b[:stop], a[first] + e))
        # unsigned, as an index that cannot be negative needs no check
        one = np.uint64(1)
        i0 = i1 = i2 = i3 = np.uint64(first)
        p0 = np.uint64(np.searchsorted(b[:stop], a[first] + e0))
        p1 = np.uint64(np.searchsorted(b[:stop], a[first] + e1))
        p2 = np.uint64(np.searchsorted(b[:stop], a[first] + e2))
        p3 = np.uint64(np.searchsorted(b[:stop], a[first] + e3))
        s0 = s1 = s2 = s3 = np.uint64(0)
        for _ in range(last - first + passed):
            on0 = np.uint64(b[p0] < a[i0] + e0)
            on1 = np.uint64(b[p1] < a[i1] + e1)
            on2 = np.uint64(b[p2] < a[i2] + e2)
            on3 = np.uint64(b[p3] < a[i3] + e3)
            p0 += on0
            p1 += on1
            p2 += on2
            p3 += on3
            s0 += p0 & (on0 - one)
            s1 += p1 & (on1 - one)
            s2 += p2 & (on2 - one)
            s3 += p3 & (on3 - one)
            i0 += one - on0
            i1 += one - on1
            i2 += one - on2
            i3 += one - on3
        below[g] += _rest(a, b, np.int64(i0), last, np.int64(p0), e0, np.int64(s0))
        if k1 > g:
            below[k1] += _rest(a, b, np.int64(i1), last, np.int64(p1), e1, np.int64(s1))
        if k2 > k1:
            below[k2] += _rest(a, b, np.int64(i2), last, np.int64(p2), e2, np.int64(s2))
        if k3 > k2:
            below[k3] += _rest(a, b, np.int64(i3), last, np.int64(p3), e3, np.int64(s3))


@njit(cache=True, nogil=True)
def _rest(a, b, i, last, p, edge, total):  # type: ignore[no-untyped-def]
    """Walk on with one edge to the end."""
    while i < last:
        limit = a[i] + edge
        while b[p] < limit:
            p += 1
        total += p
        i += 1
    return total


@njit(cache=True, nogil=True)
def near_pairs(early, late, first, last, edges, cells, pairs):  # type: ignore[no-untyped-def]
    """Add to pairs[k] those with ``edges[k] <= late_j - early_i < edges[k + 1]`` for i from `first` to `last`.

    For lags within which a photon has few partners. The bin comes from the leading bits of the lag: cells int64[m]
    holds for each 64th of an octave the bin of its begin, in a cell is one edge at most; edges > 0. Both lists are
    closed by a time that is never reached. Cost: photons + pairs.
    """
    shortest, longest = edges[0], edges[edges.size - 1]
    p = np.searchsorted(late, early[first] + shortest)
    for i in range(first, last):
        at = early[i]
        while late[p] < at + shortest:
            p += 1
        j = p
        while late[j] < at + longest:
            x = late[j] - at
            k = cells[np.float64(x).view(np.int64) >> 46]
            k += x >= edges[k + 1]
            pairs[k] += 1
            j += 1


@njit(cache=True, nogil=True)
def split_times(timestamps, nanotimes, detectors, a, b, first, last, origin, scale, bits, on_a, on_b):  # type: ignore[no-untyped-def]
    """Write ``(t - origin) * scale + (nanotime << bits)`` of the photons on a and on b to two lists, int64.

    nanotimes of size 0: none. Returns the length of both lists, and whether both are in order.
    """
    n_a = n_b = 0
    before_a = before_b = np.int64(-(2**62))
    falls = False
    fine = nanotimes.size > 0
    for i in range(first, last):
        x = (timestamps[i] - origin) * scale
        if fine:
            x += np.int64(nanotimes[i]) << bits
        # written to both lists, kept in one: which detector comes next cannot be guessed
        is_a, is_b = detectors[i] == a, detectors[i] == b
        on_a[n_a] = x
        on_b[n_b] = x
        n_a += is_a
        n_b += is_b
        falls |= (is_a & (x < before_a)) | (is_b & (x < before_b))
        before_a = x if is_a else before_a
        before_b = x if is_b else before_b
    return n_a, n_b, not falls


@njit(cache=True, nogil=True)
def fill_bins(times, shift, begin, counts):  # type: ignore[no-untyped-def]
    """Add times to int32 counts of bins ``times >> shift``, the first of them `begin`; earlier ones go to the first."""
    for i in range(times.size):
        counts[max((times[i] >> shift) - begin, 0)] += 1


@njit(cache=True, nogil=True)
def halved(counts, out):  # type: ignore[no-untyped-def]
    """Write the sums of neighbouring counts."""
    even, odd = counts[::2], counts[1::2]
    for i in range(out.size):
        out[i] = even[i] + odd[i]


@njit(cache=True, nogil=True, fastmath=True)
def binned_products(a, b, first, last, lags, run, products):  # type: ignore[no-untyped-def]
    """Add ``sum_t a[t] b[t + lag]`` for t from `first` to `last` to products[k] for each lag; float32 whole counts.

    Sums of `run` products stay below 2^24, so that they are exact in any order; a run of both lists stays in the
    fastest cache for all lags. Cost: bins x lags, eight or more a cycle.
    """
    for begin in range(first, last, run):
        end = min(begin + run, last)
        for k in range(lags.size):
            x, y = a[begin:end], b[begin + lags[k] : end + lags[k]]
            part = np.float32(0.0)
            for t in range(x.size):
                part += x[t] * y[t]
            products[k] += np.int64(part)
