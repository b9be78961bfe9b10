"""Photon triples of three detectors by their two lags, and the pairs among them."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_triples(macro, fine, detectors, keys, first, last, reach, period, width, triples, pairs):  # type: ignore[no-untyped-def]
    """Count ``triples[k + K, l + K]``, k = floor(x_ab / width + 1/2), l = floor(x_ac / width + 1/2), |k|, |l| <= K.

    x_ab is the time on detector 1 minus that on detector 0, ``(macro_b - macro_a) * period + (fine_b - fine_a)``; x_ac
    the same of detector 2. macro int64[n] and fine float64[n] are times after the delays, detectors uint8[n] 0, 1 or 2,
    keys float64[n] about the same times. Photons `first` to `last` look back over all earlier ones whose key is at most
    `reach` below theirs; earlier is by position, so that neither order nor ties matter. triples int64[2K + 1, 2K + 1];
    pairs int64[3, 2J + 1] gets the lags of (0, 1), (0, 2), (1, 2) up to J. Cost: photons, plus half the square of the
    photons within reach of each.
    """
    half = triples.shape[0] // 2
    most = pairs.shape[1] // 2
    for i in range(first, last):
        d_i = detectors[i]
        j = i - 1
        while j >= 0 and keys[i] - keys[j] <= reach:
            d_j = detectors[j]
            if d_j != d_i:
                late = i if d_i > d_j else j
                soon = i + j - late
                x = (macro[late] - macro[soon]) * period + (fine[late] - fine[soon])
                step = int((x / width + 0.5) // 1.0)
                if -most <= step <= most:
                    pairs[d_i + d_j - 1, step + most] += 1
                other = 3 - d_i - d_j
                k = j - 1
                while k >= 0 and keys[i] - keys[k] <= reach:
                    if detectors[k] == other:
                        a = i if d_i == 0 else (j if d_j == 0 else k)
                        b = i if d_i == 1 else (j if d_j == 1 else k)
                        c = i + j + k - a - b
                        x_b = (macro[b] - macro[a]) * period + (fine[b] - fine[a])
                        x_c = (macro[c] - macro[a]) * period + (fine[c] - fine[a])
                        at_b = int((x_b / width + 0.5) // 1.0) + half
                        at_c = int((x_c / width + 0.5) // 1.0) + half
                        if 0 <= at_b <= 2 * half and 0 <= at_c <= 2 * half:
                            triples[at_b, at_c] += 1
                    k -= 1
            j -= 1
