"""Maximum-likelihood fit of an antibunching dip to pair counts, integrated over the bins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from photonstats.likelihood import Z95, deviance_moments, poisson_deviance

Floats = NDArray[np.float64]
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class DipFit:
    """What `fit_dip` finds; the fields are those of `G2Fit`."""

    g2_zero: float
    g2_zero_err: float
    g2_zero_ci: Floats
    lifetime: float
    lifetime_err: float
    amplitude: float
    amplitude_err: float
    level: float
    level_err: float
    deviance: float
    dof: int
    p_value: float
    converged: bool
    reason: str
    model: Floats


def cusp(edges: Floats, time: float, sigma: float) -> Floats:
    """Return the mean of exp(-|x| / time), smeared by a Gaussian of `sigma`, over each bin.

    Notes
    -----
    Difference of the distribution function of a Laplace variable plus a normal one,
    `Phi(x/s) - e^(s^2/2t^2) [e^(-x/t) Phi(x/s - s/t) - e^(x/t) Phi(-x/s - s/t)] / 2`.
    """
    x = np.asarray(edges, dtype=np.float64)
    if sigma <= 0.0:
        # antiderivative of exp(-|x|/t), zero at x = 0: no cancellation in the tails of a dip far from its centre
        area = np.sign(x) * -np.expm1(-np.abs(x) / time) * time
        return np.asarray(np.diff(area) / np.diff(x), dtype=np.float64)
    s, u = sigma / time, x / sigma
    right = np.exp(s**2 / 2 - x / time + special.log_ndtr(u - s))
    left = np.exp(s**2 / 2 + x / time + special.log_ndtr(-u - s))
    return np.asarray(2.0 * time * np.diff(special.ndtr(u) - (right - left) / 2.0) / np.diff(x), dtype=np.float64)


class _Problem:
    """Counts and model; parameters are (level, amplitude, log time)."""

    def __init__(self, edges: Floats, pairs: Floats, expected: Floats, dark: Floats, sigma: float) -> None:
        self.edges, self.n, self.e, self.dark, self.sigma = edges, pairs, expected, dark, sigma

    def model(self, p: Floats) -> Floats:
        shape = cusp(self.edges, math.exp(p[2]), self.sigma)
        pairs: Floats = np.maximum(self.e * p[0] * (1.0 - p[1] * shape) + self.dark, _TINY)
        return pairs

    def deviance(self, p: Floats) -> float:
        return poisson_deviance(self.n, self.model(p))

    def residuals(self, p: Floats) -> Floats:
        m = self.model(p)
        d: Floats = 2.0 * (m - self.n + special.xlogy(self.n, self.n) - special.xlogy(self.n, m))
        return np.copysign(np.sqrt(np.maximum(d, 0.0)), m - self.n)

    def gradient(self, p: Floats) -> Floats:
        """Return d model / d parameters, shape (n, 3)."""
        time = math.exp(p[2])
        shape = cusp(self.edges, time, self.sigma)
        step = 1e-4
        up, down = (cusp(self.edges, time * math.exp(h), self.sigma) for h in (step, -step))
        slope = (up - down) / (2 * step)
        return np.stack([self.e * (1.0 - p[1] * shape), -self.e * p[0] * shape, -self.e * p[0] * p[1] * slope], axis=1)

    def jacobian(self, p: Floats) -> Floats:
        m, r = self.model(p), self.residuals(p)
        # d sqrt(d) / d m = (1 - n/m) / r, with the limit 1 / sqrt(m) where n = m
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(np.abs(r) > 1e-6, (1.0 - self.n / m) / r, 1.0 / np.sqrt(m))
        return np.asarray(factor[:, None] * self.gradient(p), dtype=np.float64)

    def covariance(self, p: Floats) -> Floats:
        g = self.gradient(p)
        return np.asarray(np.linalg.pinv(g.T @ (g / self.model(p)[:, None]), hermitian=True), dtype=np.float64)


def fit_dip(edges: Floats, pairs: NDArray[np.int64], expected: Floats, dark: Floats, sigma: float) -> DipFit:
    """Fit `expected * level * (1 - A <exp(-|x|/t)>) + dark` to `pairs`; bins without overlap are left out."""
    good = expected > 0
    width = float(np.median(np.diff(edges)))
    span = float(max(abs(edges[0]), abs(edges[-1])))
    problem = _Problem(edges, pairs.astype(np.float64), np.where(good, expected, 0.0), dark, sigma)
    low, high = math.log(width / 20.0), math.log(span * 5.0)
    bounds = np.array([[1e-6, -np.inf, low], [np.inf, 1.0, high]])
    best = _search(problem, width, span, bounds)
    p, cov = best, problem.covariance(best)
    err = np.sqrt(np.maximum(np.diag(cov), 0.0))
    deviance = problem.deviance(p)
    dof = int(good.sum()) - 3
    time = math.exp(p[2])
    reason, converged = _verdict(problem, p, err, bounds, deviance)
    profile = _profile(problem, p, err, bounds, deviance)
    if np.all(np.isfinite(profile)):
        # at few counts the curvature at the maximum promises too much; the interval knows better
        err[1] = max(float(err[1]), float(profile[1] - profile[0]) / (2.0 * Z95))
    with np.errstate(divide="ignore", invalid="ignore"):
        model = np.where(good, (problem.model(p) - dark) / expected, np.nan)
    return DipFit(
        g2_zero=1.0 - p[1], g2_zero_err=float(err[1]), g2_zero_ci=profile, lifetime=time,
        lifetime_err=float(time * err[2]), amplitude=float(p[1]), amplitude_err=float(err[1]), level=float(p[0]),
        level_err=float(err[0]), deviance=deviance, dof=dof, p_value=_p_value(deviance, problem.model(p)[good], 3),
        converged=converged, reason=reason, model=model,
    )  # fmt: skip


def _search(problem: _Problem, width: float, span: float, bounds: Floats) -> Floats:
    """Linear starts on a grid of time constants, the two best of them refined."""
    starts = []
    for log_time in np.linspace(math.log(width), math.log(max(span / 2, 2 * width)), 16):
        shape = cusp(problem.edges, math.exp(log_time), problem.sigma)
        basis = np.stack([problem.e, -problem.e * shape], axis=1)
        weight = 1.0 / np.maximum(problem.e + problem.dark, 1e-9)
        found = np.linalg.lstsq(
            basis * np.sqrt(weight)[:, None], (problem.n - problem.dark) * np.sqrt(weight), rcond=None
        )[0]
        level = max(float(found[0]), 1e-3)
        p = np.array([level, min(float(found[1]) / level, 0.98), log_time])
        starts.append((problem.deviance(p), tuple(p)))
    starts.sort()
    fits = [_refine(problem, np.array(start), bounds) for _, start in starts[:2]]
    return min(fits, key=problem.deviance)


def _refine(problem: _Problem, start: Floats, bounds: Floats, fixed: float | None = None) -> Floats:
    """Minimise the deviance from a start; with `fixed`, the amplitude is held there."""
    free = [0, 1, 2] if fixed is None else [0, 2]
    whole = start.copy()
    if fixed is not None:
        whole[1] = fixed

    def put(x: Floats) -> Floats:
        p = whole.copy()
        p[free] = x
        return p

    inside = np.clip(whole, bounds[0] + 1e-9, bounds[1] - 1e-9)

    def residuals(x: Floats) -> Floats:
        return problem.residuals(put(x))

    def jacobian(x: Floats) -> Floats:
        part: Floats = problem.jacobian(put(x))[:, free]
        return part

    found = optimize.least_squares(
        residuals, inside[free], jac=jacobian,
        bounds=(bounds[0][free], bounds[1][free]), x_scale="jac", xtol=1e-10, ftol=1e-10, gtol=1e-10, max_nfev=200,
    )  # fmt: skip
    return put(found.x)


def _verdict(problem: _Problem, p: Floats, err: Floats, bounds: Floats, deviance: float) -> tuple[str, bool]:
    flat = float(problem.n.sum() - problem.dark.sum()) / max(float(problem.e.sum()), _TINY)
    gain = problem.deviance(np.array([max(flat, 1e-6), 0.0, p[2]])) - deviance
    if not np.all(np.isfinite(err)):
        return "the errors are not finite: the counts do not determine the parameters", False
    # two more parameters and a free time constant: chance alone gives a gain of 14 once in some hundred flat curves
    if gain < 14.0:
        return f"neither dip nor excess stands out (twice the log likelihood gain {gain:.2g})", False
    if p[2] < bounds[0][2] + 1e-3 or p[2] > bounds[1][2] - 1e-3:
        return "the time constant ran to the limit of what bins and window can show", False
    if p[1] > 1.0 - 1e-6:
        return "g2(0) is at its limit 0: read the interval", True
    return "", True


def _profile(problem: _Problem, p: Floats, err: Floats, bounds: Floats, deviance: float) -> Floats:
    """Return the 95 % interval of 1 - A where the profile deviance rises by 3.84, cut at zero."""
    limit = deviance + float(stats.chi2.ppf(0.95, 1))

    def rise(amplitude: float, starts: tuple[Floats, ...]) -> tuple[float, Floats]:
        fits = [_refine(problem, start, bounds, amplitude) for start in starts]
        best = min(fits, key=problem.deviance)
        return problem.deviance(best) - limit, best

    ends = []
    for sign in (1.0, -1.0):
        step = max(float(err[1]) if math.isfinite(err[1]) else 0.1, 1e-3)
        inner, near, edge = float(p[1]), p, 1.0 if sign > 0 else -math.inf
        for _ in range(12):
            outer = min(inner + sign * step, 1.0)
            above, far = rise(outer, (near,))
            if above >= 0:
                edge = _crossing(rise, (near, far), inner, outer)
                break
            if outer == 1.0:
                break
            inner, near, step = outer, far, step * 1.6
        ends.append(1.0 - edge)
    return np.array([max(ends[0], 0.0), ends[1]])


def _crossing(
    rise: Callable[[float, tuple[Floats, ...]], tuple[float, Floats]],
    starts: tuple[Floats, ...],
    inner: float,
    outer: float,
) -> float:
    """Bisect between a point below the limit and one above it, to a thousandth of their distance."""
    for _ in range(10):
        middle = (inner + outer) / 2.0
        if rise(middle, starts)[0] < 0:
            inner = middle
        else:
            outer = middle
    return (inner + outer) / 2.0


def _p_value(deviance: float, model: Floats, n_parameters: int) -> float:
    """Return the probability of a larger deviance: chi-square scaled to the true mean and variance at these counts."""
    if model.size <= n_parameters:
        return math.nan
    expected, spread, _ = deviance_moments(model)
    mean, variance = float(expected.sum()), float(spread.sum())
    left = 1.0 - n_parameters / model.size
    scale = variance / (2.0 * mean)
    return float(stats.chi2.sf(deviance / scale, left * mean / scale))
