"""A continuum of intensities as a diffusion on a grid, with jumps to anywhere, seen through binned counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from photonstats.kernels.continuum import continuum_scores
from photonstats.switching.continuum_levels import Counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP = 0.5  # grid step in standard deviations of shot noise
FEWEST_POINTS, MOST_POINTS = 24, 192
LAWS = ("lognormal", "bounded")
NOTHING = 1e-7  # of the largest emission of a count, below which the grid is not looked at
TOP = 12.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Intensities and what they emit.

    Parameters
    ----------
    root : ndarray of float64, shape (G,)
        Twice the root of the intensity in counts per bin: shot noise is one wide there.
    emission : ndarray of float64, shape (U, G)
        Probability of each count that occurs.
    spans : ndarray of int64, shape (U, 2)
        Grid points outside of which the emission of a count is nothing.
    """

    root: Floats
    emission: Floats
    spans: Ints

    @property
    def means(self) -> Floats:
        """Counts per bin of each point."""
        return self.root**2 / 4.0

    @property
    def step(self) -> float:
        """Distance of the points in standard deviations of shot noise."""
        return float(self.root[1] - self.root[0])


def make_grid(data: Counts) -> Grid:
    """Return a grid that spans the counts without the outermost shot noise."""
    low, high = 2.0 * math.sqrt(data.values[0]), 2.0 * math.sqrt(data.values[-1])
    middle = 2.0 * math.sqrt(float(data.values[data.index].mean()))
    low, high = min(low + 1.0, middle - 2.5), max(high - 1.0, middle + 2.5)
    low = max(low, 0.15)
    n = int(np.clip(math.ceil((high - low) / STEP) + 1, FEWEST_POINTS, MOST_POINTS))
    root = np.linspace(low, high, n)
    means = root**2 / 4.0
    values = data.values[:, None]
    emission = np.exp(special.xlogy(values, means) - means - special.gammaln(values + 1.0))
    seen = emission > NOTHING * emission.max(axis=1, keepdims=True)
    spans = np.stack([seen.argmax(axis=1), n - seen[:, ::-1].argmax(axis=1)], axis=1).astype(np.int64)
    return Grid(root, emission, spans)


@dataclass(frozen=True, eq=False)
class Walk:
    """A fitted continuum.

    Parameters
    ----------
    law : str
        "lognormal" (an Ornstein-Uhlenbeck process in the logarithm) or "bounded" (a diffusion between two ends).
    parameters : ndarray of float64
        Of the law of intensities, then the logarithm of the diffusion time in bins and the logit of the jumps per bin.
    log_likelihood : float
        Of the bins that were fitted.
    time, time_err : float
        Correlation time in bins, and the standard error of its logarithm.
    deviation, deviation_err : float
        Standard deviation of the intensity over its mean, and the standard error of its logarithm.
    jumps : float
        Jumps to anywhere per bin.
    """

    law: str
    parameters: Floats
    log_likelihood: float
    time: float
    time_err: float
    deviation: float
    deviation_err: float
    jumps: float

    def scores(self, data: Counts, edges: Ints, grid: Grid) -> Floats:
        """Return the log-likelihood of each block of bins, started from the stationary law."""
        share, ways, rates = _diffusion(self.law, self.parameters[:-2], grid)
        return _scores(data.index, edges, data.floor, grid, share, ways, rates, self.parameters[-2:])


def fit_walk(data: Counts, edges: Ints, grid: Grid, time: float) -> Walk:
    """Fit both laws of a continuum to blocks of bins and return the likelier one.

    Parameters
    ----------
    data : Counts
        The whole trace.
    edges : ndarray of int64, shape (2 m,)
        Begin and end of each block to fit.
    grid : Grid
        Intensities.
    time : float
        First guess of the correlation time, bins.

    Notes
    -----
    The law of intensities is fitted to the counts alone, then the times, then all together. A bounded law is a beta
    distribution without poles, so that a continuum cannot pass for two levels.
    """
    blocks = edges.reshape(-1, 2)
    index = np.concatenate([data.index[begin:end] for begin, end in blocks])
    joined = np.concatenate([[0], np.cumsum(blocks[:, 1] - blocks[:, 0])]).astype(np.int64)
    weights = np.bincount(index, minlength=data.values.size).astype(np.float64)
    best: tuple[float, str, Floats] | None = None
    for law in LAWS:
        shape = _fit_shape(law, data, weights, grid)
        parts = _diffusion(law, shape, grid)

        def cost(x: Floats, parts: tuple[Floats, Floats, Floats] = parts) -> float:
            return -float(_scores(index, joined, data.floor, grid, *parts, x).sum())

        for guess in ((math.log(time), -7.0), (math.log(5.0 * time), -math.log(max(time, 1.1)))):
            found = _simplex(cost, np.array(guess), 0.7, 32)
            if best is None or found[0] < best[0]:
                best = found[0], law, np.concatenate([shape, found[1]])
    assert best is not None
    law = best[1]

    def whole(x: Floats) -> float:
        return -float(_scores(index, joined, data.floor, grid, *_diffusion(law, x[:-2], grid), x[-2:]).sum())

    value, x = _simplex(whole, best[2], 0.15, 110)
    return _walk_of(law, x, value, whole, grid, index.size)


def _walk_of(law: str, x: Floats, value: float, cost: Callable[[Floats], float], grid: Grid, n_bins: int) -> Walk:
    """Name the numbers of a fit, with errors from the curvature of its likelihood."""
    time, deviation, jumps = _numbers(law, x, grid)
    p = x.size
    steps = np.full(p, 0.08)
    curvature = np.empty((p, p))
    single = np.empty((p, 2))
    shift = np.diag(steps)
    for i in range(p):
        single[i] = cost(x + shift[i]), cost(x - shift[i])
        curvature[i, i] = (single[i].sum() - 2.0 * value) / steps[i] ** 2
    for i in range(p):
        for j in range(i):
            mixed = (cost(x + shift[i] + shift[j]) - single[i, 0] - single[j, 0] + value) / (steps[i] * steps[j])
            curvature[i, j] = curvature[j, i] = mixed
    slopes = np.empty((2, p))
    for i in range(p):
        up, down = _numbers(law, x + shift[i], grid), _numbers(law, x - shift[i], grid)
        slopes[:, i] = [math.log(up[k] / down[k]) / (2.0 * steps[i]) for k in range(2)]
    errors = _errors(curvature, slopes)
    # at the edge of a law the curvature says nothing: an independent value each correlation time is the least error
    share = _stationary(law, x[:-2], grid)
    off = grid.means - float(share @ grid.means)
    peaked = max(float(share @ off**4) / float(share @ off**2) ** 2 - 1.0, 0.2)
    least = math.sqrt(peaked / 4.0 * time / n_bins)
    return Walk(law, x, -value, time, errors[0], deviation, max(errors[1], least), jumps)


def smoothing_of_bins(roughness: float) -> float:
    """Return true over fitted time of a walk whose bins hold its mean and not its value.

    Parameters
    ----------
    roughness : float
        Fitted variance of a step over that of the shot noise of a bin.

    Returns
    -------
    float
        1 for a walk that shot noise hides from bin to bin, 2/3 where there is none.

    Notes
    -----
    Steps between means of bins have the spectrum ``q (2 + cos w) / 3 + r (2 - 2 cos w)``; the fit takes it for
    ``q' + r (2 - 2 cos w)``, and its likelihood (Whittle) is largest where ``int (S - S') / S'^2 dw = 0``, linear in q.
    """
    wave = (np.arange(400) + 0.5) * np.pi / 400.0
    weight = 1.0 / (max(roughness, 1e-9) + 2.0 - 2.0 * np.cos(wave)) ** 2
    return float(np.sum(weight * (2.0 + np.cos(wave)) / 3.0) / np.sum(weight))


def _errors(curvature: Floats, slopes: Floats) -> tuple[float, float]:
    """Return errors of functions with the given slopes; directions in which the likelihood is flat are held."""
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2.0)
    good = values > 0.5
    along = slopes @ vectors[:, good]
    found = np.sqrt(np.sum(along**2 / values[good], axis=1)) if good.any() else np.full(2, math.inf)
    return float(found[0]), float(found[1])


def _numbers(law: str, x: Floats, grid: Grid) -> tuple[float, float, float]:
    """Return correlation time (bins), relative deviation and jumps per bin."""
    share = _stationary(law, x[:-2], grid)
    mean = float(share @ grid.means)
    deviation = math.sqrt(max(float(share @ (grid.means - mean) ** 2), 1e-30)) / mean
    jumps = float(special.expit(x[-1]))
    time = 1.0 / (math.exp(-min(float(x[-2]), 40.0)) - math.log1p(-min(jumps, 1.0 - 1e-12)))
    return time, deviation, jumps


def _stationary(law: str, shape: Floats, grid: Grid) -> Floats:
    """Return the long-run share of each grid point.

    lognormal: mean and logarithm of the width of ln(counts); bounded: lower end and logarithm of the width in root
    space, and logarithms of both exponents of the beta law less one.
    """
    means, root = grid.means, grid.root
    if law == "lognormal":
        z = (np.log(means) - shape[0]) / math.exp(min(shape[1], 3.0))
        log_share = -0.5 * z**2 - np.log(root)  # d ln m = 2 dr / r
    else:
        low = float(special.expit(shape[0])) * (root[-1] - root[0]) + root[0]
        high = low + float(special.expit(shape[1])) * (root[-1] + grid.step - low)
        ends = low**2 / 4.0, max(high, low + grid.step) ** 2 / 4.0
        at = (means - ends[0]) / (ends[1] - ends[0])
        inside = np.clip(at, 1e-4, 1.0 - 1e-4)
        log_share = np.exp(min(shape[2], 4.0)) * np.log(inside) + np.exp(min(shape[3], 4.0)) * np.log1p(-inside)
        # outside of the ends the share falls within half a step, so that they can be fitted between grid points
        beyond = np.abs(at - np.clip(at, 0.0, 1.0)) * (ends[1] - ends[0]) / (root * grid.step / 4.0)
        log_share += np.log(root) - 0.5 * beyond**2
    share = np.exp(np.maximum(log_share - log_share.max(), -23.0))
    found: Floats = share / share.sum()
    return found


def _diffusion(law: str, shape: Floats, grid: Grid) -> tuple[Floats, Floats, Floats]:
    """Return the stationary law, and ways and decay rates of a diffusion to it whose slowest rate is one.

    The diffusion is even in ln(counts) for the lognormal law and in the counts for the bounded one; neighbours are
    left at rates in detailed balance, ``q(g, g+1) = d sqrt(p(g+1) / p(g))``.
    """
    share = _stationary(law, shape, grid)
    middle = (grid.root[1:] + grid.root[:-1]) / 2.0
    speed = middle**2 if law == "lognormal" else 1.0 / middle**2
    speed = speed / speed.mean()
    half = np.sqrt(share)
    out = np.zeros(share.size)
    out[:-1] += speed * half[1:] / half[:-1]
    out[1:] += speed * half[:-1] / half[1:]
    rates, ways = linalg.eigh_tridiagonal(-out, speed)
    rates = -rates[::-1]
    gap = max(float(rates[1]), 1e-12)
    return share, np.ascontiguousarray(ways[:, ::-1]), np.maximum(rates, 0.0) / gap


def _scores(
    index: Ints, edges: Ints, floor: float, grid: Grid, share: Floats, ways: Floats, rates: Floats, times: Floats
) -> Floats:
    """Return the log-likelihood of each block for the logarithm of the time in bins and the logit of the jumps."""
    kept = rates * math.exp(-float(np.clip(times[0], -3.0, TOP)))
    half = np.sqrt(share)
    matrix = np.maximum((ways * np.exp(-kept)) @ ways.T * (half[None, :] / half[:, None]), 0.0)
    matrix /= matrix.sum(axis=1, keepdims=True)
    jump = float(special.expit(np.clip(times[1], -14.0, 10.0)))
    found = np.empty(edges.size - 1)
    continuum_scores(index, edges, grid.emission, grid.spans, matrix, jump, share, floor, found)
    return found


def _fit_shape(law: str, data: Counts, weights: Floats, grid: Grid) -> Floats:
    """Fit the law of intensities to the counts without regard to their order."""
    total = weights.sum()
    mean = max(float(weights @ data.values) / total, 1e-3)  # a half may be dark
    excess = max(float(weights @ (data.values - mean) ** 2) / total - mean, 0.02 * mean)
    if law == "lognormal":
        guess = np.array([math.log(max(mean, 1e-3)), math.log(math.sqrt(excess) / mean)])
    else:
        guess = np.array([-2.0, 2.0, -1.0, -1.0])

    def cost(shape: Floats) -> float:
        chance = grid.emission @ _stationary(law, shape, grid)
        return -float(weights @ np.log(np.maximum(chance, data.floor)))

    return _simplex(cost, guess, 0.5, 250)[1]


def _simplex(cost: Callable[[Floats], float], guess: Floats, size: float, most: int) -> tuple[float, Floats]:
    """Minimise by Nelder and Mead from a simplex of the given size."""
    start = np.vstack([guess, guess + size * np.eye(guess.size)])
    options = {"initial_simplex": start, "maxfev": most, "xatol": 0.02, "fatol": 0.05}
    found = optimize.minimize(cost, guess, method="Nelder-Mead", options=options)  # type: ignore[call-overload]
    return float(found.fun), np.asarray(found.x, dtype=np.float64)
