"""Levels of segments: merging by likelihood, and mixtures by expectation and maximisation.

A segment is a row of pairs (a, b), each with the likelihood x^a exp(-b x): photons and seconds for a rate, effective
photons and their summed delay for the inverse of a lifetime.
"""

from __future__ import annotations

import heapq

import numba as nb
import numpy as np
from numpy.typing import NDArray

TINY = 1e-300


@nb.njit(cache=True, nogil=True)
def peak(a: float, b: float) -> float:
    """Return a ln(a/b), the maximum of a ln x - b x without its constant; 0 where a = 0."""
    return a * np.log(a / b) if a > 0.0 and b > 0.0 else 0.0


@nb.njit(cache=True, nogil=True)
def merge_neighbours(a: NDArray[np.float64], b: NDArray[np.float64], removed: NDArray[np.int64]) -> None:
    """removed[i] = step at which the boundary after group i falls when the cheapest neighbours merge; O(k log k).

    a[k], b[k] sorted by a/b, removed[k - 1] from 0 to k - 2. The cost is the likelihood lost: for one number per group
    the best partner is always a neighbour. Ward, J. Am. Stat. Assoc. 58, 236 (1963).
    """
    k = a.size
    sum_a, sum_b = a.copy(), b.copy()
    after, before = np.arange(1, k + 1), np.arange(-1, k - 1)
    version = np.zeros(k, np.int64)
    heap = [
        (peak(a[i], b[i]) + peak(a[i + 1], b[i + 1]) - peak(a[i] + a[i + 1], b[i] + b[i + 1]), i, 0, 0)
        for i in range(k - 1)
    ]
    heapq.heapify(heap)
    last = np.arange(k)
    step = 0
    while step < k - 1:
        _, i, own, other = heapq.heappop(heap)
        j = after[i]
        if own != version[i] or j >= k or other != version[j]:
            continue
        removed[last[i]] = step
        step += 1
        sum_a[i] += sum_a[j]
        sum_b[i] += sum_b[j]
        last[i] = last[j]
        version[i] += 1
        version[j] = -1
        after[i] = after[j]
        if after[i] < k:
            before[after[i]] = i
        for left in (before[i], i):
            right = after[left] if left >= 0 else k
            if right < k:
                apart = peak(sum_a[left], sum_b[left]) + peak(sum_a[right], sum_b[right])
                cost = apart - peak(sum_a[left] + sum_a[right], sum_b[left] + sum_b[right])
                heapq.heappush(heap, (cost, left, version[left], version[right]))


@nb.njit(cache=True, nogil=True)
def _cost(a: NDArray[np.float64], b: NDArray[np.float64], i: int, j: int) -> float:
    lost = 0.0
    for c in range(a.shape[1]):
        lost += peak(a[i, c], b[i, c]) + peak(a[j, c], b[j, c]) - peak(a[i, c] + a[j, c], b[i, c] + b[j, c])
    return lost


@nb.njit(cache=True, nogil=True)
def _nearest(a: NDArray[np.float64], b: NDArray[np.float64], alive: NDArray[np.bool_], i: int) -> tuple[int, float]:
    best, least = -1, np.inf
    for j in range(alive.size):
        if alive[j] and j != i:
            cost = _cost(a, b, i, j)
            if cost < least:
                best, least = j, cost
    return best, least


@nb.njit(cache=True, nogil=True)
def merge_pairs(  # noqa: PLR0912 (plain loops compile in a fraction of the time of array expressions)
    a: NDArray[np.float64], b: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    """labels[m - 1, i] = group of i when m groups are left, merging the cheapest pair each time; O(k^2) to O(k^3).

    a[k, c], b[k, c] are overwritten, labels[most, k] with most <= k.
    """
    k = a.shape[0]
    alive, group, name = np.empty(k, np.bool_), np.empty(k, np.int64), np.empty(k, np.int64)
    partner, costs = np.empty(k, np.int64), np.empty(k)
    for i in range(k):
        alive[i], group[i] = True, i
    for i in range(k):
        partner[i], costs[i] = _nearest(a, b, alive, i)
    for left in range(k, 0, -1):
        if left <= labels.shape[0]:
            names = 0
            for i in range(k):
                name[i] = names
                names += alive[i]
            for i in range(k):
                labels[left - 1, i] = name[group[i]]
        if left == 1:
            return
        i, least = 0 * k, np.inf  # no constant, for which `_cost` would be compiled once more
        for g in range(k):
            if alive[g] and costs[g] < least:
                i, least = g, costs[g]
        j = partner[i]
        for c in range(a.shape[1]):
            a[i, c] += a[j, c]
            b[i, c] += b[j, c]
        alive[j] = False
        for g in range(k):
            if group[g] == j:
                group[g] = i
        for g in range(k):
            if alive[g] and (g == i or partner[g] in (i, j)):
                partner[g], costs[g] = _nearest(a, b, alive, g)
            elif alive[g]:
                cost = _cost(a, b, g, i)
                if cost < costs[g]:
                    partner[g], costs[g] = i, cost


@nb.njit(cache=True, nogil=True)
def expect(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    height: NDArray[np.float64],
    known: NDArray[np.float64],
    stray: NDArray[np.float64],
    widths: NDArray[np.float64],
    level: NDArray[np.float64],
    share: NDArray[np.float64],
    weight: NDArray[np.float64],
    pull: NDArray[np.float64],
) -> float:
    """weight[i, j] = P(level j | segment i) by Bayes; return sum_i ln(sum_j share_j f_ij + share_m exp(stray_i)).

    f = (1 - w) v^-n/2 exp(-D/v) + w u^-n/2 exp(-D/u) with D = height_i - sum_c (a ln x_j - b x_j), widths = (v, u, w)
    and n = known_i. pull[i, j] = -d ln f / dD. a[k, c], b[k, c], height[k], known[k], stray[k], level[m, c],
    share[m + 1], weight[k, m + 1], pull[k, m]; O(k m c).
    """
    k, m = a.shape[0], level.shape[0]
    log_level, log_share = np.log(level), np.log(np.maximum(share, TINY))
    near, far, rare = widths[0], widths[1], widths[2]
    total = 0.0
    for i in range(k):
        top = stray[i] + log_share[m]
        weight[i, m] = top
        start_near = np.log(1.0 - rare) - 0.5 * known[i] * np.log(near)
        start_far = np.log(rare) - 0.5 * known[i] * np.log(far)
        for j in range(m):
            lost = height[i]
            for c in range(a.shape[1]):
                lost -= a[i, c] * log_level[j, c] - b[i, c] * level[j, c]
            core, tail = start_near - lost / near, start_far - lost / far
            most = max(core, tail)
            core, tail = np.exp(core - most), np.exp(tail - most)
            pull[i, j] = (core / near + tail / far) / (core + tail)
            weight[i, j] = log_share[j] + most + np.log(core + tail)
            top = max(top, weight[i, j])
        norm = 0.0
        for j in range(m + 1):
            weight[i, j] = np.exp(weight[i, j] - top)
            norm += weight[i, j]
        for j in range(m + 1):
            weight[i, j] /= norm
        total += top + np.log(norm)
    return total


@nb.njit(cache=True, nogil=True)
def climb(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    height: NDArray[np.float64],
    known: NDArray[np.float64],
    stray: NDArray[np.float64],
    widths: NDArray[np.float64],
    level: NDArray[np.float64],
    share: NDArray[np.float64],
    weight: NDArray[np.float64],
    pull: NDArray[np.float64],
    least: NDArray[np.float64],
    most_stray: float,
    gain: float,
    steps: int,
) -> float:
    """Raise the likelihood of `expect` in level and share until a step gains less than `gain`; return it.

    Arguments as in `expect`; least[c] bounds the levels from below, most_stray the last share; O(steps k m c).
    Dempster, Laird, Rubin, J. R. Stat. Soc. B 39, 1 (1977).
    """
    k, m = a.shape[0], level.shape[0]
    before = -np.inf
    now = before
    for turn in range(steps + 1):  # one call: another would be compiled again
        now = expect(a, b, height, known, stray, widths, level, share, weight, pull)
        if now - before < gain or turn == steps:
            break
        before = now
        for j in range(m + 1):
            total = 0.0
            for i in range(k):
                total += weight[i, j]
            share[j] = total / k
        if share[m] > most_stray:
            left = 0.0
            for j in range(m):
                left += share[j]
            for j in range(m):
                share[j] = (1.0 - most_stray) * (share[j] / left if left > 0.0 else 1.0 / m)
            share[m] = most_stray
        for j in range(m):
            for c in range(a.shape[1]):
                top, bottom = 0.0, 0.0
                for i in range(k):
                    top += weight[i, j] * pull[i, j] * a[i, c]
                    bottom += weight[i, j] * pull[i, j] * b[i, c]
                if bottom > 0.0:
                    level[j, c] = max(top / bottom, least[c])
    return now
