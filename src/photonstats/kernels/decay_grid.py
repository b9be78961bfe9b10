"""Pairs of lifetimes on a grid: the best photon numbers of each by weighted least squares."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
