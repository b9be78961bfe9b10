"""Lags from a detection to the next one on the same detector, and to those of a second detector before that."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def next_detections(macro_a, nano_a, macro_b, nano_b, n, period, delay, width, own, other, shortest):  # type: ignore[no-untyped-def]
    """Add interval i, from a[i] to a[i + 1], to own[x / width]; each b inside of it to other[y / width]; i < n.

    x and y are the lags after a[i], ``dt * period + dn`` (b: less `delay`), in ticks of the nanotime. macro int64, nano
    int64, both lists by time; own and other int64[m + 1], the last entry takes what lies beyond; shortest float64[s],
    rising, keeps the shortest intervals. Photons b before a[0] are passed over. Returns the first b not before a[n].
    Cost: photons, plus s for each interval among the shortest.
    """
    m = own.size - 1
    q = 0
    for i in range(n):
        gap = (macro_a[i + 1] - macro_a[i]) * period + (nano_a[i + 1] - nano_a[i])
        own[min(int(max(gap / width, 0.0)), m)] += 1
        s = shortest.size - 1
        if gap < shortest[s]:
            while s > 0 and shortest[s - 1] > gap:
                shortest[s] = shortest[s - 1]
                s -= 1
            shortest[s] = gap
        while q < macro_b.size:
            lag = (macro_b[q] - macro_a[i]) * period + (nano_b[q] - nano_a[i]) - delay
            if lag >= gap:
                break
            if lag >= 0:
                other[min(int(lag / width), m)] += 1
            q += 1
    return q
