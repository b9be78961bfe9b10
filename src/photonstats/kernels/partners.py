"""Photons whose partner at a lag lies inside the window, and the pairs of independent light that follow."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_partners(size, length, n_late, n_early, late, late_at, early, early_at, sums):  # type: ignore[no-untyped-def]
    """Add over stretches s: ``N M / (T - |tau|), N, M, T - |tau|`` with N = n_late - #{late < |tau|}, M likewise.

    size float64[n], rising |tau|; length float64[k], the T of each stretch; n_late, n_early int64[k], photons of the
    two detectors in it. late[late_at[s]:late_at[s+1]], rising: how long before the end of stretch s the photons of one
    detector came, as far as a lag can reach; early likewise after its begin, of the other. sums float64[4, n] is added
    to. Cost: k times n, plus photons.
    """
    for s in range(length.size):
        p, q = late_at[s], early_at[s]
        for i in range(size.size):
            left = length[s] - size[i]
            if left <= 0:
                break
            while p < late_at[s + 1] and late[p] < size[i]:
                p += 1
            while q < early_at[s + 1] and early[q] < size[i]:
                q += 1
            n = float(n_late[s] - (p - late_at[s]))
            m = float(n_early[s] - (q - early_at[s]))
            sums[0, i] += n * m / left
            sums[1, i] += n
            sums[2, i] += m
            sums[3, i] += left
