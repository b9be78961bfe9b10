"""Sums of nanotimes per bin, and weighted rank correlation of resampled blocks."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@nb.njit(cache=True, nogil=True)
def sum_nanotimes(nanotimes: NDArray[np.uint16], bounds: Ints, sums: Ints) -> None:
    """sums[k] += sum of nanotimes[i] for bounds[k] <= i < bounds[k+1]; O(n).

    nanotimes[n], bounds[m+1], sums[m]. A slice, whose indices start at 0, lets the compiler add many at once.
    """
    for k in range(sums.size):
        part = nanotimes[bounds[k] : bounds[k + 1]]
        total = np.int64(0)
        for i in range(part.size):
            total += np.int64(part[i])
        sums[k] += total


@nb.njit(cache=True, nogil=True)
def sum_nanotimes_of(
    nanotimes: NDArray[np.uint16],
    detectors: NDArray[np.uint8],
    detector: np.uint8,
    bounds: Ints,
    counts: Ints,
    sums: Ints,
) -> None:
    """Do the same for the photons of one detector, and counts[k] += their number; O(n)."""
    for k in range(sums.size):
        part, seen = nanotimes[bounds[k] : bounds[k + 1]], detectors[bounds[k] : bounds[k + 1]]
        total, number = np.int64(0), np.int64(0)
        for i in range(part.size):
            mine = np.int64(seen[i] == detector)
            total += mine * np.int64(part[i])
            number += mine
        sums[k] += total
        counts[k] += number


@nb.njit(cache=True, nogil=True)
def middle_ranks(group: Ints, weights: Floats, ranks: Floats) -> None:
    """ranks[g] = weight of the groups below g and half of its own; O(n + G). group[n], weights[n], ranks[G]."""
    for g in range(ranks.size):
        ranks[g] = 0.0
    for i in range(group.size):
        ranks[group[i]] += weights[i]
    below = 0.0
    for g in range(ranks.size):
        own = ranks[g]
        ranks[g] = below + 0.5 * own
        below += own


@nb.njit(cache=True, nogil=True)
def rank_correlations(
    x: Ints, y: Ints, weights: Floats, block: Ints, copies: NDArray[np.uint32], found: Floats
) -> None:
    """found[r] = Pearson correlation of the weighted middle ranks, weights[i] copies[r, block[i]]; O(R n).

    x[n], y[n]: groups of equal values, numbered from the lowest; weights[n]; block[n]; copies[R, B]; found[R], nan
    where one of both does not vary.
    """
    own = np.empty(x.size)
    most, highest = 0, 0
    for i in range(x.size):
        most, highest = max(most, x[i]), max(highest, y[i])
    first, second = np.empty(most + 1), np.empty(highest + 1)
    for r in range(copies.shape[0]):
        total = 0.0
        for i in range(x.size):
            own[i] = weights[i] * copies[r, block[i]]
            total += own[i]
        middle_ranks(x, own, first)
        middle_ranks(y, own, second)
        xx, yy, xy = 0.0, 0.0, 0.0
        for i in range(x.size):
            # The mean of weighted middle ranks is half of the total weight.
            a, b = first[x[i]] - 0.5 * total, second[y[i]] - 0.5 * total
            xx += own[i] * a * a
            yy += own[i] * b * b
            xy += own[i] * a * b
        found[r] = xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else math.nan
