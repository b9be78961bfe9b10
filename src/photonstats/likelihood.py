"""Counting statistics: exact intervals, Poisson deviance, goodness of fit. The one place of error bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

ONE_SIGMA = 0.6826894921370859


def poisson_interval(counts: ArrayLike, level: float = 0.95) -> NDArray[np.float64]:
    """Return the exact central interval of a Poisson mean.

    Parameters
    ----------
    counts : array_like of int, shape (...)
        Observed counts, >= 0.
    level : float
        Confidence level, 0 to 1.

    Returns
    -------
    ndarray of float, shape (..., 2)
        Lower and upper limit; the lower limit at zero counts is 0.

    Notes
    -----
    Covers at least `level` for every mean, so it is wider than needed at few counts.

    References
    ----------
    Garwood, Biometrika 28, 437 (1936).

    Examples
    --------
    >>> poisson_interval(0).round(2).tolist()
    [0.0, 3.69]
    """
    n = np.asarray(counts, dtype=np.float64)
    if np.any(n < 0):
        raise ValueError(f"counts must not be negative, the smallest is {n.min()}")
    tail = (1.0 - level) / 2.0
    low = np.where(n > 0, special.gammaincinv(np.maximum(n, 1.0), tail), 0.0)
    high = special.gammaincinv(n + 1.0, 1.0 - tail)
    return np.stack([low, high], axis=-1)


def poisson_error(counts: ArrayLike) -> NDArray[np.float64]:
    """Return one standard error of a Poisson mean: half the width of its exact 68 % interval.

    It tends to sqrt(n) at many counts and stays finite (0.92) at none.
    """
    interval = poisson_interval(counts, ONE_SIGMA)
    half: NDArray[np.float64] = (interval[..., 1] - interval[..., 0]) / 2.0
    return half


def poisson_deviance(counts: ArrayLike, model: ArrayLike) -> float:
    """Return 2 sum(m - n + n ln(n/m)), twice the log-likelihood ratio of the saturated model to this one."""
    n = np.asarray(counts, dtype=np.float64)
    m = np.asarray(model, dtype=np.float64)
    return float(2.0 * np.sum(m - n + special.xlogy(n, n) - special.xlogy(n, m)))


def chi_square_p_value(statistic: float, dof: int) -> float:
    """Return the probability of a chi-square variable with `dof` degrees of freedom to exceed `statistic`."""
    return float(stats.chi2.sf(statistic, dof)) if dof > 0 else float("nan")
