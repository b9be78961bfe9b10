"""Pile-up of single-hit detection: after the first photon of a laser pulse the later ones are lost."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@nb.njit(cache=True, nogil=True)
def pile_up(model: Floats, jacobian: Floats, n_pulses: float) -> None:
    """m_k -> E exp(-sum_{j<k} l_j) (1 - exp(-l_k)), l_k = m_k/E, in place, and dm_k with it; O(n p).

    model[n], jacobian[p, n]; bin 0 is the first after the sync pulse. Coates, J. Phys. E 1, 878 (1968).
    """
    n = model.size
    earlier, left, hit = np.empty(n), np.empty(n), np.empty(n)
    seen = 0.0
    for k in range(n):
        earlier[k] = math.exp(-seen)
        left[k] = math.exp(-model[k] / n_pulses)
        hit[k] = -math.expm1(-model[k] / n_pulses)
        seen += model[k] / n_pulses
    for a in range(jacobian.shape[0]):
        row = jacobian[a]
        lost = 0.0
        for k in range(n):
            change = row[k]
            row[k] = earlier[k] * (left[k] * change - hit[k] * lost)
            lost += change
    for k in range(n):
        model[k] = max(n_pulses * earlier[k] * hit[k], 1e-12)
