"""Counting statistics: exact intervals, Poisson deviance, goodness of fit. The one place of error bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from photonstats.kernels.goodness import deviance_sums, quadratic_forms

ONE_SIGMA = 0.6826894921370859
BLOCK = 256  # counts whose limits are worked out together
Z95 = 1.959963984540054  # half a 95 % interval of a normal variable, in standard deviations


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
    if n.size and n.max() < 4 * n.size and np.all(n == np.floor(n)):
        return _tabled(n.astype(np.int64), level)
    # many bins hold few different counts, and each quantile takes a microsecond
    each, back = np.unique(n, return_inverse=True)
    return _limits(each, level)[back].reshape(*n.shape, 2)


def _limits(n: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    tail = (1.0 - level) / 2.0
    low = np.where(n > 0, special.gammaincinv(np.maximum(n, 1.0), tail), 0.0)
    return np.stack([low, special.gammaincinv(n + 1.0, 1.0 - tail)], axis=-1)


def _tabled(n: NDArray[np.int64], level: float) -> NDArray[np.float64]:
    """Look the limits up: curves of thousands of bins, made again and again, ask for the same small counts."""
    blocks = range(int(n.max()) // BLOCK + 1)
    limits: NDArray[np.float64] = np.concatenate([_block_of_limits(k, level) for k in blocks])[n]
    return limits


@lru_cache(maxsize=256)
def _block_of_limits(block: int, level: float) -> NDArray[np.float64]:
    return _limits(np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.float64), level)


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


def chi_square_p_value(statistic: float, dof: float) -> float:
    """Return the probability of a chi-square variable with `dof` degrees of freedom to exceed `statistic`."""
    return float(special.gammaincc(dof / 2.0, max(statistic, 0.0) / 2.0)) if dof > 0 else float("nan")


def deviance_moments(mean: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of the Poisson deviance of one bin, and its covariance with the count.

    Parameters
    ----------
    mean : array_like of float, shape (...)
        Expected counts, > 0.

    Returns
    -------
    expected, variance, covariance : ndarray of float, shape (...)

    Notes
    -----
    The deviance of a bin is chi-square with one degree of freedom only where many counts are expected; at 0.1 its
    mean is 0.47, at 1 it is 1.15. The moments are sums over the Poisson distribution, tabulated once and interpolated
    in the logarithm of the mean; above 1000 counts they are 1 + 1/(6m), 2 + 2/(3m) and -1/(6m).

    References
    ----------
    McCullagh, Int. Stat. Rev. 53, 61 (1985).

    Examples
    --------
    >>> [round(float(x), 3) for x in deviance_moments(1.0)]
    [1.147, 1.365, 0.095]
    """
    m = np.maximum(np.asarray(mean, dtype=np.float64), 1e-12)
    grid, log_grid, table = _deviance_table()
    at = np.log(np.clip(m, grid[0], grid[-1]))
    expected, variance, covariance = (np.interp(at, log_grid, row) for row in table)
    many = m > grid[-1]
    rare = m < grid[0]
    # Of so few counts none or one is seen: a deviance of 2m, or of 2(m - 1 - ln m).
    one = 2.0 * (m - 1.0 - np.log(m))
    expected = np.where(many, 1.0 + 1.0 / (6.0 * m), np.where(rare, 2.0 * m + m * one, expected))
    variance = np.where(many, 2.0 + 2.0 / (3.0 * m), np.where(rare, m * one**2, variance))
    covariance = np.where(many, -1.0 / (6.0 * m), np.where(rare, m * one, covariance))
    return expected, variance, covariance


@lru_cache(maxsize=1)
def _deviance_table() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    grid = np.concatenate([np.geomspace(1e-8, 0.02, 120), np.geomspace(0.0205, 1000.0, 480)])
    table = np.empty((3, grid.size))
    for i, m in enumerate(grid):
        n = np.arange(int(m + 12.0 * np.sqrt(m) + 25.0), dtype=np.float64)
        weight = np.exp(special.xlogy(n, m) - m - special.gammaln(n + 1.0))
        deviance = 2.0 * (m - n + special.xlogy(n, n / m))
        mean = weight @ deviance
        table[:, i] = mean, weight @ (deviance - mean) ** 2, weight @ ((deviance - mean) * (n - m))
    return grid, np.log(grid), table


def deviance_p_value(counts: ArrayLike, model: ArrayLike, jacobian: ArrayLike) -> float:
    """Return the probability that counts drawn from the fitted model fit worse than these do.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        Observed counts.
    model : array_like of float, shape (n,)
        Expected counts of the fit.
    jacobian : array_like of float, shape (p, n)
        Derivative of the model to each fitted parameter.

    Returns
    -------
    float
        nan where no degree of freedom is left.

    Notes
    -----
    Neighbouring bins are merged until each expects about one count: the deviance of emptier ones tells little but
    their number. Expectation and variance of the deviance are summed from those of the bins, then reduced by what the
    fit takes away: p from the expectation, and the part of the variance that follows the fitted parameters. A scaled
    chi-square of the same two moments gives the probability. It holds from some tens of counts in all, where the plain
    chi-square law of the deviance does not.
    """
    n = np.ascontiguousarray(counts, dtype=np.float64)
    m = np.maximum(np.ascontiguousarray(model, dtype=np.float64), 1e-12)
    if not n.size:
        return float("nan")
    rows = np.ascontiguousarray(np.asarray(jacobian, dtype=np.float64).reshape(-1, n.size))
    _, log_grid, table = _deviance_table()
    sums, products = np.empty(4), np.empty((rows.shape[0], rows.shape[0] + 1))
    groups = deviance_sums(n, m, rows, log_grid, table, sums, products)
    deviance, expected, variance, taken = sums.tolist()
    p = rows.shape[0]
    if not taken >= 0:
        p = int(np.count_nonzero(rows.any(axis=1)))
        taken = _variance_taken(products)
    if n.size <= p or groups <= p:
        return float("nan")
    total = (variance - taken) * (groups - p) / groups
    mean = expected - p
    if mean <= 0 or total <= 0:
        return float("nan")
    return float(special.gammaincc(mean**2 / total, max(deviance, 0.0) * mean / total))


def _variance_taken(products: NDArray[np.float64]) -> float:
    """Return c.I^-1.c of information I and covariances c in the last column, over the directions that I holds."""
    p = products.shape[0]
    scale = np.sqrt(products.diagonal())
    known = np.flatnonzero((scale > 0) & np.isfinite(scale))  # squares of tiny derivatives vanish
    if not known.size:
        return 0.0
    scale = scale[known]
    values, vectors = np.linalg.eigh(products[np.ix_(known, known)] / (scale[:, None] * scale))
    parts = (products[known, p] / scale) @ vectors
    held = values > 1e-12 * values[-1]
    return float(np.sum(parts[held] ** 2 / values[held]))


def bic(deviance: float, n_parameters: int, n_photons: int) -> float:
    """Return deviance + parameters ln(photons); the saturated model's likelihood is left out, the same for all models.

    References
    ----------
    Schwarz, Ann. Stat. 6, 461 (1978).
    """
    return deviance + n_parameters * math.log(max(n_photons, 1))


def covariance_of(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a Fisher information matrix, inf where the data say nothing about a parameter.

    Parameters
    ----------
    information : ndarray of float, shape (p, p)
        Symmetric, not negative.

    Returns
    -------
    ndarray of float, shape (p, p)
        Covariance; a parameter without information has infinite variance and does not touch the others.
    """
    diagonal = information.diagonal()
    if not all(x > 0 for x in diagonal.tolist()):
        known = diagonal > 0
        covariance = np.diag(np.where(known, 0.0, np.inf))
        covariance[np.ix_(known, known)] = covariance_of(information[np.ix_(known, known)])
        return covariance
    p = diagonal.size
    covariance = np.empty((p, p))
    if quadratic_forms(np.concatenate([information, np.eye(p)], axis=1), covariance):
        return covariance
    scale = np.sqrt(diagonal)
    scales = scale[:, None] * scale
    values, vectors = np.linalg.eigh(information / scales)
    size = np.abs(values)
    kept = size > 1e-13 * size.max()
    return np.asarray((vectors[:, kept] / values[kept]) @ vectors[:, kept].T / scales, np.float64)


def profile_interval(
    profile: Callable[[float], float],
    best: float,
    error: float,
    limits: tuple[float, float],
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval in which the profile deviance rises by less than the chi-square quantile.

    Parameters
    ----------
    profile : callable
        Deviance minimised over all other parameters, as a function of the one; called outward from `best`.
    best : float
        Where it is smallest.
    error : float
        Rough standard error, for the first step.
    limits : tuple of float
        Range of the parameter; an end of the interval that is not met inside of it is the limit.
    level : float
        Confidence level, 0 to 1.

    Returns
    -------
    low, high : float

    Notes
    -----
    Steps in the signed root of the rise, which is nearly linear in the parameter.

    References
    ----------
    Wilks, Ann. Math. Stat. 9, 60 (1938).

    Examples
    --------
    >>> low, high = profile_interval(lambda x: (x - 1.0) ** 2, 1.0, 0.5, (-10.0, 10.0))
    >>> round(low, 2), round(high, 2)
    (-0.96, 2.96)
    """
    target = float(np.sqrt(special.chdtri(1, 1.0 - level)))
    base = profile(best)
    return (
        _profile_end(profile, best, base, -error * target, limits[0], target),
        _profile_end(profile, best, base, error * target, limits[1], target),
    )


def _profile_end(
    profile: Callable[[float], float], best: float, base: float, step: float, limit: float, target: float
) -> float:
    if (limit - best) * step <= 0:
        return limit
    inner, inner_root, outer, outer_root = best, 0.0, best, 0.0
    x = best + step
    for _ in range(30):
        beyond = (x - limit) * step >= 0
        x = limit if beyond else x
        root = float(np.sqrt(max(profile(x) - base, 0.0)))
        if abs(root - target) < 2e-3 * target:
            return x
        if root > target:
            outer, outer_root = x, root
        elif beyond:
            return limit
        else:
            inner, inner_root = x, root
        if outer_root == 0.0:
            slope = (inner_root / (inner - best)) if inner_root > 0 else 0.0
            ahead = (target - inner_root) / slope if slope else 3.0 * step
            x = inner + float(np.sign(step)) * min(abs(ahead) * 1.1, 3.0 * abs(inner - best))
        else:
            share = (target - inner_root) / (outer_root - inner_root)
            x = inner + min(max(share, 0.05), 0.95) * (outer - inner)
    return x


def covering_error(error: float, interval: NDArray[np.float64] | Sequence[float]) -> float:
    """Return the larger of an error and half its 95 % interval over 1.96, which exceeds it at few counts."""
    half = float(interval[1] - interval[0]) / (2.0 * Z95)
    return max(float(error), half) if math.isfinite(half) else float(error)
