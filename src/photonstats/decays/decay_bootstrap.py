"""Parametric bootstrap of a decay fit: the same search on counts drawn from the fitted model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.decays.decay_estimates import amplitude_average, estimates, intensity_average
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_solver import Solution, evaluate, refined
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class DecayBootstrap(Result):
    """Fits of counts that were drawn from a fitted model.

    Parameters
    ----------
    lifetimes, fractions : ndarray of float, shape (n, c)
        Of each drawn set, lifetimes in s and rising.
    amplitude_average, intensity_average : ndarray of float, shape (n,)
        Of each drawn set, s.
    lifetimes_ci, fractions_ci : ndarray of float, shape (c, 2)
        95 % intervals, by reflecting the quantiles at the fitted value in the logarithm (lifetimes) or the logit.
    lifetimes_bias : ndarray of float, shape (c,)
        Mean of the drawn sets less the fitted value, s.
    best : DecayFit
        The fit that was drawn from.
    """

    lifetimes: Floats
    fractions: Floats
    amplitude_average: Floats
    intensity_average: Floats
    lifetimes_ci: Floats
    fractions_ci: Floats
    lifetimes_bias: Floats
    best: DecayFit

    def summary(self) -> str:
        """Return a line for each lifetime."""
        lines = [f"DecayBootstrap: {len(self.lifetimes)} sets drawn from the fit"]
        for tau, (low, high), bias in zip(self.best.lifetimes, self.lifetimes_ci, self.lifetimes_bias, strict=True):
            lines.append(
                f"  lifetime {tau * 1e9:.4g} ns (95 %: {low * 1e9:.4g} to {high * 1e9:.4g}), bias {bias * 1e9:+.2g} ns"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw a histogram of the lifetimes of the drawn sets."""
        from photonstats import plots

        return plots.plot_bootstrap(self, ax)


def bootstrap(fit: DecayFit, n: int, *, seed: int | None, progress: bool) -> DecayBootstrap:
    """Draw n sets of counts from the fitted model and search each from the fitted parameters; `DecayFit.bootstrap`."""
    if n < 20:
        raise ValueError(f"n={n}: an interval needs at least 20 drawn sets, better 200")
    solution = fit._solution
    if not isinstance(solution, Solution):
        raise ValueError(  # noqa: TRY004 (the wrong kind of fit, not of argument)
            "bootstrap draws from fits of exponentials by the compiled search of one decay"
        )
    rng = np.random.default_rng(seed)
    problem, c = solution.system.problems[0], solution.n_components
    expected = evaluate(problem, solution.local(0))[0]
    rows = np.empty((n, 2 * c + 4))
    for i in _bar(n, progress):
        drawn = np.where(problem.use, rng.poisson(expected), 0).astype(np.float64)
        again = replace(problem, counts=drawn)
        found = refined(solution, replace(solution.system, problems=(again,)))
        order = np.argsort(found.local(0)[:c])
        size = found.theta.size
        rows[i] = estimates(found, 0, order, np.zeros((size, size))).values
    taus, photons = rows[:, :c], rows[:, c : 2 * c]
    shares = photons / np.maximum(photons.sum(axis=1, keepdims=True), 1e-300)
    return DecayBootstrap(
        lifetimes=taus, fractions=shares,
        amplitude_average=np.array([amplitude_average(row, c) for row in rows]),
        intensity_average=np.array([intensity_average(row, c) for row in rows]),
        lifetimes_ci=np.exp(_reflected(np.log(taus), np.log(fit.lifetimes))),
        fractions_ci=_from_logit(_reflected(_logit(shares), _logit(fit.fractions))),
        lifetimes_bias=taus.mean(axis=0) - fit.lifetimes, best=fit,
    )  # fmt: skip


def _bar(n: int, progress: bool) -> Iterable[int]:
    if not progress:
        return range(n)
    from tqdm.auto import tqdm

    bar: Iterable[int] = tqdm(range(n), desc="bootstrap", unit="fit")  # type: ignore[call-arg, assignment]
    return bar


def _reflected(samples: Floats, best: Floats) -> Floats:
    """Return 95 % intervals 2 best - quantile: as far as drawn sets lie above the fit, the truth may lie below it."""
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    return np.stack([2 * best - high, 2 * best - low], axis=1)


def _logit(shares: Floats) -> Floats:
    inside = np.clip(shares, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def _from_logit(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-values)), np.float64)
