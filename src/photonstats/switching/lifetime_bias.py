"""Bias of the lifetime of a bin of few photons, and how it goes with their number: the first order in 1/photons."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIFETIMES = np.geomspace(0.004, 1.0, 28)  # over the period
SHARES = np.array([0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])  # background over signal
POINTS = 1500
FEWEST = 4.0  # photons of signal below which the first order says nothing


def lifetime_bias(lifetimes: Floats, signal: Floats, expected: Floats, period: float) -> tuple[Floats, Floats]:
    """Return the bias of the lifetimes and their covariance with the number of photons, s, float64[n] each.

    Parameters
    ----------
    lifetimes : ndarray of float, shape (n,)
        s.
    signal, expected : ndarray of float, shape (n,)
        Photons without background, and of background, in each bin.
    period : float
        Laser period, s.

    Notes
    -----
    ``b_t = -1/2 sum_ijk K^ti K^jk int m_i m_jk / m du`` with ``m = S f(u; tau) + B/P`` and parameters S and tau, K the
    information; the covariance with the photons is K^tS. The response is taken as sharp. Photons of background look
    long-lived: without background there is no covariance, and no bias where the decay ends within the period.

    References
    ----------
    Cox and Snell, J. R. Stat. Soc. B 30, 248 (1968).
    """
    photons = np.maximum(signal, FEWEST)
    at = np.clip(lifetimes / period, LIFETIMES[0], LIFETIMES[-1])
    share = np.clip(expected / photons, 0.0, SHARES[-1])
    found = _interpolated(np.log(at), np.sqrt(share))
    known = np.clip(lifetimes, 0.0, period)
    return known * np.clip(found[:, 0] / photons, -0.3, 0.3), known * found[:, 1]


@lru_cache(maxsize=1)
def _table() -> Floats:
    """Return bias times photons, and covariance, both over the lifetime, by ln lifetime/period and sqrt background."""
    return np.array([[_of_one(t, share) for share in SHARES] for t in LIFETIMES])


def _interpolated(x: Floats, y: Floats) -> Floats:
    """Return the entries of the table [n, 2] between its nodes, linear in ln lifetime and in the root of the share."""
    table, places = _table(), []
    for at, nodes in ((x, np.log(LIFETIMES)), (y, np.sqrt(SHARES))):
        low = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
        places.append((low, ((at - nodes[low]) / (nodes[low + 1] - nodes[low]))[:, None]))
    (i, u), (j, v) = places
    below = (1.0 - v) * table[i, j] + v * table[i, j + 1]
    above = (1.0 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
    return np.asarray((1.0 - u) * below + u * above, np.float64)


def _of_one(t: float, share: float) -> tuple[float, float]:
    edges = np.linspace(0.0, 1.0, POINTS + 1) ** 3  # narrow where the decay is steep
    step, u = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    h = 1e-3 * t
    low, f, high = (np.exp(-u / x) / (x * -np.expm1(-1.0 / x)) for x in (t - h, t, t + h))
    by_t, twice = (high - low) / (2.0 * h), (high - 2.0 * f + low) / h**2
    m = f + share
    first = np.stack([f, by_t])
    information = (first * step / m) @ first.T
    inverse = np.linalg.inv(information)
    second = np.array([[np.zeros_like(f), by_t], [by_t, twice]])
    mixed = np.einsum("iu,jku,u->ijk", first, second, step / m)
    bias = -0.5 * np.einsum("i,jk,ijk->", inverse[1], inverse, mixed)
    return float(bias / t), float(inverse[1, 0] / t)
