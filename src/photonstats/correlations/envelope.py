"""Side peaks that fall off with the lag: the height that blinking of a few pulses gives them at lag zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVEL = 0.05
FEWEST_PEAKS = 4
FEWEST_PAIRS = 100


@dataclass(frozen=True, eq=False)
class Envelope:
    """Height of the peaks as blinking gives it.

    Parameters
    ----------
    ratio, ratio_err : float
        Height at lag zero over the mean side peak, both without background, and its standard error.
    curve : ndarray of float64, shape (K+1,)
        Pairs, background included, that a peak at 0, 1, ..., K periods would have.
    p_value : float
        Probability that steady light makes side peaks that fall off as much.
    """

    ratio: float
    ratio_err: float
    curve: Floats
    p_value: float


def find_envelope(pairs: Ints, dark: Floats) -> Envelope | None:
    """Fit `A + B exp(-|k| / c)` to the side peaks, if they fall off with |k| beyond chance, else return None.

    Parameters
    ----------
    pairs : ndarray of int64, shape (2K+1,)
        Pairs in each peak.
    dark : ndarray of float64, shape (2K+1,)
        Background pairs in each.

    Notes
    -----
    Peaks at k and -k are added. The test is the largest of the scores of four shapes, one-sided: overlap of long decays
    and dead time lower the first side peaks, and are no blinking. The fit (Poisson likelihood, A, B >= 0) is averaged
    over c from one period to eight times the peaks, log-uniform, by its likelihood. Blinking faster than about a period
    is not seen, and of dispersed rates only the mean slope at small lags is.
    """
    n = pairs.size // 2
    both = (pairs[n + 1 :] + pairs[:n][::-1]).astype(np.float64)
    spoiled = dark[n + 1 :] + dark[:n][::-1]
    net = float((both - spoiled).mean())
    if n < FEWEST_PEAKS or both.sum() < FEWEST_PAIRS or net <= 0:
        return None
    lag = np.arange(1, n + 1, dtype=np.float64)
    p_value = _p_of_fall(both, lag)
    if p_value > LEVEL:
        return None
    times = np.geomspace(1.0, 8.0 * n, 40)
    found = np.array([_fit(both, spoiled, np.exp(-lag / c)) for c in times])
    weight = np.exp(found[:, 0] - found[:, 0].max())
    weight /= weight.sum()
    height = found[:, 1] + found[:, 2]
    at_zero = float(weight @ height)
    variance = float(weight @ (found[:, 3] + (height - at_zero) ** 2))
    every = np.arange(n + 1, dtype=np.float64)
    shapes = found[:, 1, None] + found[:, 2, None] * np.exp(-every / times[:, None])
    curve = (weight @ shapes + np.append(2.0 * dark[n], spoiled)) / 2.0
    return Envelope(at_zero / net, math.sqrt(variance) / net, curve, p_value)


def _p_of_fall(both: Floats, lag: Floats) -> float:
    widths = np.geomspace(1.0, lag.size, 4)
    shapes = np.exp(-lag / widths[:, None])
    shapes -= shapes.mean(axis=1, keepdims=True)
    z = shapes @ both / np.sqrt(both.mean() * np.sum(shapes**2, axis=1))
    return min(1.0, widths.size * float(special.ndtr(-z.max())))


def _fit(both: Floats, dark: Floats, shape: Floats) -> tuple[float, float, float, float]:
    """Return log likelihood, A, B and the variance of A + B."""
    design = np.stack([np.ones_like(shape), shape], axis=1)
    mean = np.full(both.size, max(both.mean(), 1.0))
    for _ in range(6):
        weighted = design / mean[:, None]
        inverse = np.linalg.inv(design.T @ weighted)
        a, b = inverse @ (weighted.T @ (both - dark))
        if b < 0:
            a, b = float((both - dark).mean()), 0.0
        elif a < 0:
            a, b = 0.0, float(np.sum((both - dark) * shape / mean) / np.sum(shape**2 / mean))
        mean = np.maximum(dark + a + b * shape, 1e-3 * both.mean())
    likelihood = float(np.sum(both * np.log(mean) - mean))
    return likelihood, a, b, float(inverse.sum())
