"""Sums over bins that the probability of a deviance needs, in one pass."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def quadratic_forms(joined: Floats, forms: Floats) -> bool:
    """C^T.I^-1.C by Cholesky, joined[p, p+c] = (I, C), forms[c, c]; False where I is nearly singular; O(p (p+c)^2).

    With a diagonal of 1, the least eigenvalue of I is above its determinant over e.
    """
    p, width = joined.shape
    factor, determinant = np.empty((p, width)), 1.0
    for a in range(width - p):
        for b in range(width - p):
            forms[a, b] = 0.0
    for a in range(p):
        for b in range(a, width):
            total = joined[a, b]
            for k in range(a):
                total -= factor[k, a] * factor[k, b]
            if a < b:
                factor[a, b] = total / factor[a, a]
                continue
            determinant *= total / joined[a, a]
            if not determinant > 1e-8:
                return False
            factor[a, a] = math.sqrt(total)
        for b in range(p, width):
            for k in range(p, width):
                forms[b - p, k - p] += factor[a, b] * factor[a, k]
    return True


@nb.njit(cache=True, nogil=True, error_model="numpy")
def deviance_sums(  # noqa: PLR0912, PLR0915 (merging, moments and products of a group in one pass)
    counts: Floats, model: Floats, rows: Floats, log_grid: Floats, table: Floats, sums: Floats, products: Floats
) -> int:
    """Merge bins to groups of equal expectation, and add up over the groups; returns how many there are; O(n p^2).

    counts[n], model[n] > 0, rows[p, n]: derivatives to the parameters; log_grid[g], table[3, g]: mean of one bin, and
    expectation, variance and covariance with the count of its deviance. sums[4]: deviance, expectation, variance, and
    c.I^-1.c, or -1 where I is nearly singular, of products[p, p+1]: I = sum J_a J_b / m, and in the last column c = sum
    J_a covariance / m.
    """
    n, p = counts.size, rows.shape[0]
    whole = 0.0
    for k in range(n):
        whole += model[k]
    each = max(min(whole, float(n)), 1.0) * (1.0 - 1e-12) / whole
    slope = np.empty(p)
    for a in range(4):
        sums[a] = 0.0
    for a in range(p):
        for b in range(p + 1):
            products[a, b] = 0.0
    groups, k, run = 0, 0, 0.0
    last = log_grid.size - 1
    while k < n:
        m, seen, of = 0.0, 0.0, -1.0
        for a in range(p):
            slope[a] = 0.0
        while k < n:
            at = math.floor((run + model[k]) * each)
            if of >= 0.0 and at != of:
                break
            of = at
            run += model[k]
            m += model[k]
            seen += counts[k]
            for a in range(p):
                slope[a] += rows[a, k]
            k += 1
        groups += 1
        x = math.log(m)
        if x > log_grid[last]:
            expected, variance, covariance = 1.0 + 1.0 / (6.0 * m), 2.0 + 2.0 / (3.0 * m), -1.0 / (6.0 * m)
        elif x < log_grid[0]:
            one = 2.0 * (m - 1.0 - x)
            expected, variance, covariance = 2.0 * m + m * one, m * one * one, m * one
        else:
            low, high = 0, last
            while high - low > 1:
                middle = (low + high) // 2
                if log_grid[middle] <= x:
                    low = middle
                else:
                    high = middle
            part = (x - log_grid[low]) / (log_grid[low + 1] - log_grid[low])
            expected = table[0, low] + part * (table[0, low + 1] - table[0, low])
            variance = table[1, low] + part * (table[1, low + 1] - table[1, low])
            covariance = table[2, low] + part * (table[2, low + 1] - table[2, low])
        sums[0] += 2.0 * (m - seen + (seen * math.log(seen / m) if seen > 0.0 else 0.0))
        sums[1] += expected
        sums[2] += variance
        for a in range(p):
            light = slope[a] / m
            products[a, p] += light * covariance
            for b in range(a + 1):
                products[a, b] += light * slope[b]
    for a in range(p):
        for b in range(a):
            products[b, a] = products[a, b]
    taken = np.empty((1, 1))
    sums[3] = taken[0, 0] if quadratic_forms(products, taken) else -1.0
    return groups
