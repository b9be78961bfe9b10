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
    holds for each 64th of an octave the bin of its begin, in a cell is one edge at most; edges > 0. `late` is closed
    by a time that is never reached. Cost: photons + pairs, none of them a branch that depends on a photon: the first
    partners of all photons of a run are looked at, then the second ones of those that have a first, and so on.
    """
    shortest, longest = edges[0], edges[edges.size - 1]
    times, partner = np.empty(1025, np.int64), np.empty(1025, np.uint64)
    one = np.uint64(1)
    p = np.uint64(np.searchsorted(late, early[first] + shortest))
    for begin in range(first, last, 1024):
        run = early[begin : min(begin + 1024, last)]
        # two halves at once, as each step waits for the one before
        i, half, left = np.uint64(0), np.uint64(run.size // 2), np.uint64(run.size)
        k, q = half, np.uint64(np.searchsorted(late, run[half] + shortest))
        while i < half and k < left:
            on, also_on = np.uint64(late[p] < run[i] + shortest), np.uint64(late[q] < run[k] + shortest)
            times[i], partner[i], times[k], partner[k] = run[i], p, run[k], q
            p, i, q, k = p + on, i + one - on, q + also_on, k + one - also_on
        _partners(run, late, i, half, p, shortest, times, partner)
        p = _partners(run, late, k, left, q, shortest, times, partner)
        while left > 0:
            kept = np.uint64(0)
            for u in range(left):
                at, j = times[u], partner[u]
                x = late[j] - at
                inside = np.uint64(x < longest)
                x = min(x, longest - 1)
                k = np.uint64(cells[np.uint64(np.float64(x).view(np.int64)) >> np.uint64(46)])
                k += np.uint64(x >= edges[k + one])
                pairs[k] += np.int64(inside)
                times[kept], partner[kept] = at, j + one
                kept += inside
            left = kept


@njit(cache=True, nogil=True)
def _partners(early, late, i, stop, p, shortest, times, partner):  # type: ignore[no-untyped-def]
    """Write the first partners of photons i to `stop`, none before p; return that of the next, or one before."""
    while i < stop:
        on = np.uint64(late[p] < early[i] + shortest)
        times[i], partner[i] = early[i], p
        p += on
        i += np.uint64(1) - on
    return p


@njit(cache=True, nogil=True)
def split_times(timestamps, nanotimes, detectors, a, b, first, last, origin, scale, bits, on_a, on_b):  # type: ignore[no-untyped-def]
    """Write ``(t - origin) * scale + (nanotime << bits)`` of the photons on a and on b to two lists, int64, in order.

    nanotimes of size 0: none. Returns the length of both lists.
    """
    n_a = n_b = np.uint64(0)
    late, turned, times = np.int64(-(2**62)), 0, np.empty(1024, np.int64)
    for begin in range(first, last, 1024):
        end = min(begin + 1024, last)
        pulses, which, x = timestamps[begin:end], detectors[begin:end], times[: end - begin]
        if nanotimes.size > 0:
            fine = nanotimes[begin:end]
            for i in range(x.size):
                x[i] = (pulses[i] - origin) * scale + (np.int64(fine[i]) << bits)
        else:
            for i in range(x.size):
                x[i] = (pulses[i] - origin) * scale
        turned += x[0] < late
        for i in range(1, x.size):
            turned += x[i] < x[i - 1]
        late = x[x.size - 1]
        for i in range(x.size):
            # written to both lists, kept in one: which detector comes next cannot be guessed
            on_a[n_a] = x[i]
            on_b[n_b] = x[i]
            n_a += np.uint64(which[i] == a)
            n_b += np.uint64(which[i] == b)
    if turned > 0:
        _put_in_order(on_a[:n_a])
        _put_in_order(on_b[:n_b])
    return np.int64(n_a), np.int64(n_b)


@njit(cache=True, nogil=True)
def _put_in_order(times):  # type: ignore[no-untyped-def]
    """Sort times that are in order but for the light of neighbouring pulses, where it overlaps."""
    for i in range(1, times.size):
        x, j = times[i], i
        while j > 0 and times[j - 1] > x:
            times[j] = times[j - 1]
            j -= 1
        if j < i:
            times[j] = x


@njit(cache=True, nogil=True)
def binned_pairs(early, late, moved, shift, begin, end, whole, length, columns, bins, pairs):  # type: ignore[no-untyped-def]
    """Add pairs by counts in bins of time, of ``1 << shift`` and for each further level of twice the width.

    Counts the times (+ moved[0], moved[1]) of the blocks `begin` to `end` of m bins; level l does its next m bins when
    the one before has filled them, every 2^l blocks, so that all stay in the cache; `whole`: with the last block all
    do what they have. columns int64[levels, 8]: where in pairs[time // length] the lags of 8 to 15 bins go, negative:
    nowhere. bins float32[2, levels, 16 + m]: kept from call to call, the last 16 of the bins before in front. m and
    `length` are powers of two. Returns how many of both times were taken.
    """
    levels, tail = columns.shape[0], 2 * columns.shape[1]
    m = bins.shape[2] - tail
    n_early = n_late = 0
    for block in range(begin, end):
        n_early = _filled(early, n_early, moved[0], shift, block * m, bins[0, 0, tail:])
        n_late = _filled(late, n_late, moved[1], shift, block * m, bins[1, 0, tail:])
        final = whole and block + 1 == end
        for level in range(levels):
            at, half = (block >> level) * m - tail, (block >> level) & 1
            _add_products(bins[0, level], bins[1, level], at, shift + level, length, columns[level], pairs)
            if level + 1 < levels:
                to = tail + half * (m // 2)
                for row in range(2):
                    _halve(bins[row, level, tail:], bins[row, level + 1, to : to + m // 2])
                if final and half == 0:
                    bins[:, level + 1, tail + m // 2 :] = 0
            for row in range(2):
                for k in range(tail):
                    bins[row, level, k] = bins[row, level, m + k]
            if final:
                bins[:, level, tail:] = 0
                _add_products(bins[0, level], bins[1, level], at + m, shift + level, length, columns[level], pairs)
            elif half == 0:
                break
    return n_early, n_late


@njit(cache=True, nogil=True)
def _filled(times, i, moved, shift, begin, counts):  # type: ignore[no-untyped-def]
    """Count times from i on in bins ``(time + moved) >> shift`` from `begin` on; earlier ones go to the first."""
    counts[:] = 0
    stop = ((begin + counts.size) << shift) - moved
    while i < times.size and times[i] < stop:
        counts[max(((times[i] + moved) >> shift) - begin, 0)] += 1
        i += 1
    return i


@njit(cache=True, nogil=True)
def _halve(counts, out):  # type: ignore[no-untyped-def]
    """Write the sums of neighbouring counts."""
    for i in range(out.size):
        out[i] = counts[2 * i] + counts[2 * i + 1]


@njit(cache=True, nogil=True)
def _add_products(early, late, begin, shift, length, columns, pairs):  # type: ignore[no-untyped-def]
    """Add products of a level's bins, number `begin` first, to the blocks of time of the earlier; late ones for all."""
    run, n, i = max(length >> shift, 1), early.size - 2 * columns.size, max(-begin, 0)  # no bin before the first
    while i < n:
        stop, row = min(i + run - (begin + i) % run, n), ((begin + i) << shift) // length
        if row >= pairs.shape[0]:
            break  # after the last photon
        x, y = early[i:stop], late[i + columns.size : stop + 2 * columns.size]
        small = _products(x, y, np.float32(0.0))
        # below 2^24 sums of whole counts are exact in float32, in any order
        products = small if max(small) < 2.0**24 else _products(x, y, np.float64(0.0))
        for k in range(columns.size):
            if columns[k] >= 0:
                pairs[row, columns[k]] += np.int64(products[k])
        i = stop


@njit(cache=True, nogil=True, fastmath=True)
def _products(x, y, zero):  # type: ignore[no-untyped-def]
    """Return the sums of x[t] y[t + k] for k of 0 to 7, in the type of zero; all at once, so that x is loaded once."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
    for t in range(x.size):
        now = zero + x[t]
        s0 += now * y[t]
        s1 += now * y[t + 1]
        s2 += now * y[t + 2]
        s3 += now * y[t + 3]
        s4 += now * y[t + 4]
        s5 += now * y[t + 5]
        s6 += now * y[t + 6]
        s7 += now * y[t + 7]
    return s0, s1, s2, s3, s4, s5, s6, s7
