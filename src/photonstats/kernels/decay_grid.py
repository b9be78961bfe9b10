"""Pairs of lifetimes on a grid: the best photon numbers of each by weighted least squares."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.decay_fit import Curves, modelled

Floats = NDArray[np.float64]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def grid_of_pairs(
    curves: Curves, d: int, logs: Floats, shift: float, sigma: float, dark: float, unplaced: float, basin: int,
    amount: Floats,
) -> tuple[int, int, float, float]:  # fmt: skip
    """Best pair i < j of lifetimes exp(logs[g]) for curve d, chi-square there, and the least outside of its basin.

    dark: known background, counts per bin, or nan: fitted; amount[g, g, 2 (+ 1 with background)] gets the photon
    numbers of all pairs. Chi-square leaves out what all pairs share; its variance is that of the smoothed counts and
    of the change of the curve within `unplaced` bins. The basin reaches `basin` steps from the pair. O(n g^2).
    """
    g, n = logs.size, int(curves.bins[d + 1] - curves.bins[d])
    lines = amount.shape[2] - 2
    q = np.zeros(2 * g + 4)
    for i in range(g):
        q[i], q[g + 2 + i] = logs[i], 1.0
    q[g], q[g + 1] = shift, math.log(sigma)
    work, jacobian, model = np.empty((6, n + 1)), np.empty((q.size, n)), np.empty(n)
    modelled(q, curves, d, work, jacobian, model)
    first = curves.bins[d]
    counts, use = curves.counts[first : first + n], curves.use[first : first + n]
    weight, right = work[0, :n], work[1, :n]
    _smoothed(counts, weight)
    for k in range(n):
        variance = weight[k] + 1.0
        if 0 < k < n - 1:
            variance += (0.5 * unplaced * (counts[k + 1] - counts[k - 1])) ** 2
        weight[k] = 1.0 / variance if use[k] else 0.0
        right[k] = counts[k] - (0.0 if lines else dark * curves.width[first + k])
    columns = jacobian[g + 2 : 2 * g + 2 + lines]
    for line in range(lines):  # background in the place of stray light
        for k in range(n):
            columns[g + line, k] = jacobian[2 * g + 3, k]
    gram, product, cost = np.empty((g + lines, g + lines)), np.empty(g + lines), np.empty((g, g))
    _products(columns, weight, right, work[2, :n], gram, product)
    pair_costs(gram, product, lines, cost, amount)
    i, j, least, rival = 0, 1, np.inf, np.inf
    for a in range(g):
        for b in range(a + 1, g):
            if cost[a, b] < least:
                i, j, least = a, b, cost[a, b]
    for a in range(g):
        for b in range(a + 1, g):
            if abs(a - i) > basin or abs(b - j) > basin:
                rival = min(rival, cost[a, b])
    return i, j, least, rival


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _products(columns: Floats, weight: Floats, right: Floats, row: Floats, gram: Floats, product: Floats) -> None:
    """gram_ab = sum_k w c_a c_b, product_a = sum_k w c_a r; columns[m, n], weight, right, scratch row [n]; O(n m^2)."""
    for a in range(columns.shape[0]):
        one, total = columns[a], 0.0
        for k in range(weight.size):
            row[k] = one[k] * weight[k]
            total += row[k] * right[k]
        product[a] = total
        for b in range(a + 1):
            other, total = columns[b], 0.0
            for k in range(weight.size):
                total += row[k] * other[k]
            gram[a, b] = gram[b, a] = total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _smoothed(counts: Floats, out: Floats) -> None:
    """Mean over a 32nd of the bins: weights that followed each count would pull the fit downward; O(n)."""
    n = counts.size
    reach = max(1, n // 64)
    total = 0.0
    for k in range(min(reach, n)):
        total += counts[k]
    for k in range(n):
        if k + reach < n:
            total += counts[k + reach]
        if k - reach - 1 >= 0:
            total -= counts[k - reach - 1]
        out[k] = total / (2.0 * reach + 1.0)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def pair_costs(gram: Floats, right: Floats, lines: int, cost: Floats, amount: Floats) -> None:  # noqa: PLR0912
    """Least x.G.x - 2 r.x, x >= 0, for each pair i < j of the first columns with all of the last; O(g^2 (2+l)^3).

    gram[g+l, g+l] and right[g+l]: weighted products of the columns with each other and with the counts; l = `lines`
    columns, such as background, stand in each model. cost[g, g] is written above its diagonal, amount[g, g, 2+l] are
    x. A number that comes out negative is set to zero, the most negative first, and the others solved again.
    """
    g, m = gram.shape[0] - lines, 2 + lines
    a, x = np.empty((m, m + 1)), np.empty(m)
    which, off = np.empty(m, np.int64), np.empty(m, np.bool_)
    for i in range(g - 1):
        for j in range(i + 1, g):
            which[0], which[1] = i, j
            for k in range(lines):
                which[2 + k] = g + k
            for k in range(m):
                off[k] = False
            worst = 0
            while worst >= 0:
                for k in range(m):
                    for h in range(m):
                        hidden = off[k] or off[h]
                        a[k, h] = 0.0 if hidden else gram[which[k], which[h]]
                    a[k, k] = 1.0 if off[k] else a[k, k] * (1.0 + 1e-12)
                    a[k, m] = 0.0 if off[k] else right[which[k]]
                for k in range(m):  # the matrix is positive: no row need be changed for another
                    for h in range(k + 1, m):
                        ratio = a[h, k] / a[k, k]
                        for e in range(k, m + 1):
                            a[h, e] -= ratio * a[k, e]
                for k in range(m - 1, -1, -1):
                    total = a[k, m]
                    for h in range(k + 1, m):
                        total -= a[k, h] * x[h]
                    x[k] = total / a[k, k]
                worst, least = -1, 0.0
                for k in range(m):
                    if not off[k] and x[k] < least:
                        worst, least = k, x[k]
                if worst >= 0:
                    off[worst] = True
            total = 0.0
            for k in range(m):
                amount[i, j, k] = x[k]
                total -= x[k] * right[which[k]]
            cost[i, j] = total
