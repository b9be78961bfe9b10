"""Forward and backward passes of binned light: a few levels that switch inside of bins, and a continuum on a grid."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@nb.njit(cache=True, nogil=True)
def few_levels_scores(
    index: Ints, edges: Ints, joint: Floats, matrix: Floats, start: Floats, floor: float, scores: Floats
) -> None:
    """scores[b] = ln p(bins edges[b] to edges[b+1]) by a_t[j] = sum_i a_t-1[i] joint[u_t, i, j]; O(n K^2).

    index[n] of the counts among the U that occur, joint[U, K, K], matrix[K, K], start[K]. A bin less likely than
    `floor` counts as the floor and is passed over.
    """
    k = start.size
    now, ahead = np.empty(k), np.empty(k)
    for b in range(edges.size - 1):
        for j in range(k):
            now[j] = start[j]
        total = 0.0
        for t in range(edges[b], edges[b + 1]):
            scale = step(now, joint[index[t]], ahead)
            total += math.log(max(scale, floor))
            if scale < floor:
                scale = step(now, matrix, ahead)
            for j in range(k):
                now[j] = ahead[j] / scale
        scores[b] = total


@nb.njit(cache=True, nogil=True)
def step(now: Floats, joint: Floats, ahead: Floats) -> float:
    """ahead[j] = sum_i now[i] joint[i, j]; returns its sum; O(K^2)."""
    k = now.size
    total = 0.0
    for j in range(k):
        ahead[j] = 0.0
    for i in range(k):
        for j in range(k):
            ahead[j] += now[i] * joint[i, j]
            total += now[i] * joint[i, j]
    return total


@nb.njit(cache=True, nogil=True)
def few_levels_pass(  # noqa: PLR0912 (plain loops compile in a fraction of the time of array expressions)
    index: Ints,
    edges: Ints,
    joint: Floats,
    matrix: Floats,
    start: Floats,
    floor: float,
    moves: Floats,
    stays: Floats,
) -> float:
    """moves[i, j] += p(i -> j | all bins of the block), stays[i, u] += p(i -> i in bins of count u); O(n K^2).

    Arguments as in `few_levels_scores`; moves[K, K], stays[K, U]. Returns the log-likelihood (Baum et al., Ann. Math.
    Stat. 41, 164 (1970), with the counts on the steps and not on the states).
    """
    k = start.size
    longest = 0
    for b in range(edges.size - 1):
        longest = max(longest, edges[b + 1] - edges[b])
    before = np.empty((longest + 1, k))
    scales = np.empty(longest)
    after, back = np.empty(k), np.empty(k)
    total = 0.0
    for b in range(edges.size - 1):
        first, n = edges[b], edges[b + 1] - edges[b]
        for i in range(k):
            before[0, i], after[i] = start[i], 1.0
        for t in range(n):
            scale = step(before[t], joint[index[first + t]], before[t + 1])
            scales[t] = scale
            if scale < floor:
                scales[t] = -1.0
                scale = step(before[t], matrix, before[t + 1])
                total += math.log(floor)
            else:
                total += math.log(scale)
            for i in range(k):
                before[t + 1, i] /= scale
        for t in range(n - 1, -1, -1):
            u = index[first + t]
            skipped = scales[t] < 0
            weights = matrix if skipped else joint[u]
            norm = 0.0
            for i in range(k):
                back[i] = 0.0
                for j in range(k):
                    back[i] += weights[i, j] * after[j]
                norm += before[t, i] * back[i]
            for i in range(k):
                share = before[t, i] / norm
                for j in range(k):
                    moves[i, j] += share * weights[i, j] * after[j]
                if not skipped:
                    stays[i, u] += share * weights[i, i] * after[i]
            for i in range(k):
                after[i] = back[i] / norm
    return total


@nb.njit(cache=True, nogil=True)
def continuum_scores(
    index: Ints,
    edges: Ints,
    emission: Floats,
    spans: Ints,
    matrix: Floats,
    jump: float,
    start: Floats,
    floor: float,
    scores: Floats,
) -> None:
    """scores[b] = ln p(bins) by a_t[j] = ((1 - jump) sum_i a_t-1[i] matrix[i, j] + jump start[j]) e[u_t, j]; O(n w^2).

    index[n], edges[B+1], emission[U, G], spans[U, 2]: the w grid points outside of which the emission of a count is
    nothing; matrix[G, G], start[G] its stationary law, scores[B]. A bin less likely than `floor` is passed over.
    """
    size = start.size
    now, ahead = np.empty(size), np.empty(size)
    none = 0 * size  # no constant, for which `spread` would be compiled once more
    for b in range(edges.size - 1):
        for j in range(size):
            now[j] = start[j]
        low, high = none, size
        total = 0.0
        for t in range(edges[b], edges[b + 1]):
            u = index[t]
            first, last = spans[u, 0], spans[u, 1]
            spread(now, low, high, matrix, jump, start, first, last, ahead)
            scale = 0.0
            for j in range(first, last):
                ahead[j] *= emission[u, j]
                scale += ahead[j]
            if scale < floor:
                first, last = none, size
                spread(now, low, high, matrix, jump, start, first, last, ahead)
                scale = 0.0
                for j in range(size):
                    scale += ahead[j]
                total += math.log(floor)
            else:
                total += math.log(scale)
            low, high = first, last
            for j in range(first, last):
                now[j] = ahead[j] / scale
        scores[b] = total


@nb.njit(cache=True, nogil=True, fastmath=True)
def spread(
    now: Floats, low: int, high: int, matrix: Floats, jump: float, start: Floats, first: int, last: int, ahead: Floats
) -> None:
    """ahead[j] = (1 - jump) sum_i now[i] matrix[i, j] + jump start[j] for first <= j < last; O(w^2)."""
    for j in range(first, last):
        ahead[j] = jump * start[j]
    for i in range(low, high):
        weight = (1.0 - jump) * now[i]
        if weight > 1e-9:
            for j in range(first, last):
                ahead[j] += weight * matrix[i, j]
