"""From the maximum of the likelihood to a result: errors, intervals, averages, curves and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.curve import Decay
from photonstats.decays.decay_model import Problem, doubt_of_pulse_time
from photonstats.decays.decay_result import DecayFit
from photonstats.decays.decay_solver import (
    LONGEST,
    SHORTEST,
    Solution,
    covariance,
    parameter_interval,
    tied_interval,
)
from photonstats.decays.decay_start import narrow
from photonstats.kernels import decay_fit as kernels
from photonstats.likelihood import Z95, covering_error, deviance_p_value, poisson_deviance

Floats = NDArray[np.float64]

ROUGH = 0.08  # relative error of a lifetime above which the likelihood is no parabola
FEW_BINS = 10.0  # lifetime over which what lies within a bin of the response matters
HOPELESS = 1e-6  # p-value of a fit that does not describe the data
WIDEST = 10.0  # logarithm of the factor beyond which an interval is none
NEAR = 5.0  # standard errors from a bound within which it is none either


@dataclass(frozen=True)
class Estimates:
    """Parameters of one curve in SI units and their covariance: lifetimes, photons, stray, background, shift, sigma."""

    names: tuple[str, ...]
    values: Floats
    covariance: Floats
    c: int

    @property
    def tau(self) -> Floats:
        """Lifetimes, s."""
        return self.values[: self.c]

    @property
    def photons(self) -> Floats:
        """Photons of each component."""
        return self.values[self.c : 2 * self.c]

    def error(self, function: Callable[[Floats], float]) -> float:
        """Return the standard error of a function of the values, by its central differences."""
        slope = np.zeros(self.values.size)
        for i in np.flatnonzero(np.diag(self.covariance) != 0):
            h = 1e-6 * max(abs(self.values[i]), 1e-30)
            up, down = self.values.copy(), self.values.copy()
            up[i] += h
            down[i] -= h
            slope[i] = (function(up) - function(down)) / (2 * h)
        return float(errors_of(slope[None], self.covariance)[0])

    @cached_property
    def err(self) -> Floats:
        """Standard errors of the values."""
        return np.asarray(np.sqrt(self.covariance.diagonal()), np.float64)

    @cached_property
    def averages(self) -> tuple[float, float]:
        """Amplitude- and intensity-weighted average of exponentials, s."""
        return amplitude_average(self.values, self.c), intensity_average(self.values, self.c)

    @property
    def errors(self) -> tuple[Floats, float, float, float]:
        """Standard errors of fractions, amplitude- and intensity-weighted average, and scatter of exponentials."""
        c = self.c
        tau, photons, stray = self.tau.tolist(), self.photons.tolist(), float(self.values[2 * c])
        total = sum(photons)
        if not total > 0:
            return np.full(c, np.nan), math.nan, math.nan, math.nan
        share = [n / total for n in photons]
        amplitude, intensity = self.averages
        of = [amplitude / t for t in tau]
        # derivatives to lifetimes, photons and stray photons
        none, light = [0.0] * c, (total + stray) ** 2
        slopes = [[*none, *(((i == k) - share[i]) / total for k in range(c)), 0.0] for i in range(c)]
        slopes += [
            [*(s * r * r for s, r in zip(share, of, strict=True)), *(amplitude * (1 - r) / total for r in of), 0.0],
            [*share, *((t - intensity) / total for t in tau), 0.0],
            [*none, *[-stray / light] * c, total / light],
        ]  # fmt: skip
        found = errors_of(np.array(slopes), self.covariance[: 2 * c + 1, : 2 * c + 1])
        return found[:c], float(found[c]), float(found[c + 1]), float(found[c + 2])


def errors_of(slopes: Floats, cov: Floats) -> Floats:
    """Return the errors of functions with derivatives [f, p]; infinite where they lean on an unknown parameter."""
    if math.inf not in cov.diagonal().tolist():
        variance = ((slopes @ cov) * slopes).sum(axis=1)
    else:
        unknown = np.isinf(cov.diagonal())
        finite = np.where(unknown[:, None] | unknown[None, :], 0.0, cov)
        variance = ((slopes @ finite) * slopes).sum(axis=1)
        variance[np.any(slopes[:, unknown] != 0.0, axis=1)] = np.inf
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)), np.float64)


def estimates(solution: Solution, d: int, order: NDArray[np.intp], cov: Floats) -> Estimates:
    """Return the parameters of a curve in seconds, lifetimes in `order`; cov: of all parameters of the search."""
    c, place, unit = solution.n_components, solution.layout.place[d], solution.system.unit
    lines = order.tolist()
    rows = place[[*lines, *(c + 2 + i for i in lines), 2 * c + 2, 2 * c + 3, c, c + 1]]
    *q, shift, log_sigma = solution.theta[rows].tolist()
    tau, sigma = [math.exp(x) * unit for x in q[:c]], math.exp(log_sigma) * unit
    values = np.array([*tau, *q[c:], shift * unit, sigma])
    scale = np.array([*tau, *[1.0] * (c + 2), unit, sigma])
    mine = cov[rows[:, None], rows]
    if math.inf not in mine.diagonal().tolist():
        mine = mine * (scale[:, None] * scale)
    else:
        with np.errstate(invalid="ignore"):
            mine = np.where(mine == 0, 0.0, mine * np.outer(scale, scale))
    problem = solution.system.problems[d]
    if problem.kind.startswith("none"):
        mine[c : 2 * c, c : 2 * c] += doubt_of_pulse_time(problem, values[:c] / unit, values[c : 2 * c])
    return Estimates(_names(c), values, mine, c)


@lru_cache(maxsize=8)
def _names(c: int) -> tuple[str, ...]:
    each = [f"lifetime_{i + 1}" for i in range(c)] + [f"photons_{i + 1}" for i in range(c)]
    return (*each, "scatter_photons", "background", "shift", "irf_sigma")


def fraction_of(values: Floats, c: int, i: int) -> float:
    """Return the share of component i in the photons of the emitter."""
    return _ratio(values[c + i], sum(values[c : 2 * c]))


def _ratio(part: float, whole: float) -> float:
    """Return part over whole; nan where no photons are."""
    return float(part) / float(whole) if whole > 0 else math.nan


def amplitude_average(values: Floats, c: int) -> float:
    """Return sum A_i tau_i / sum A_i: photons over amplitudes."""
    photons, tau = values[c : 2 * c].tolist(), values[:c].tolist()
    return _ratio(sum(photons), sum(n / t for n, t in zip(photons, tau, strict=True)))


def intensity_average(values: Floats, c: int) -> float:
    """Return sum A_i tau_i^2 / sum A_i tau_i: the mean delay of a photon."""
    photons, tau = values[c : 2 * c].tolist(), values[:c].tolist()
    return _ratio(sum(n * t for n, t in zip(photons, tau, strict=True)), sum(photons))


def scatter_of(values: Floats, c: int) -> float:
    """Return the share of stray light in the photons that follow the pulse."""
    return _ratio(values[2 * c], sum(values[c : 2 * c + 1]))


def log_interval(value: float, error: float) -> tuple[float, float]:
    """Return value times exp(-+1.96 relative errors)."""
    if not (value > 0 and math.isfinite(error)):
        return 0.0, math.inf
    spread = Z95 * error / value
    if spread > WIDEST:
        return 0.0, math.inf
    return value * math.exp(-spread), value * math.exp(spread)


def share_interval(value: float, error: float) -> tuple[float, float]:
    """Return the interval of a share of 0 to 1 that is normal in its logit."""
    if not (0 < value < 1) or not math.isfinite(error):
        return (value, value) if error == 0 else (0.0, 1.0)
    spread = Z95 * error / (value * (1 - value))
    centre = float(special.logit(value))
    return float(special.expit(centre - spread)), float(special.expit(centre + spread))


def _widened(interval: tuple[float, float], best: float, ratio: float) -> tuple[float, float]:
    """Scale the distances to the ends of the interval of a positive quantity, which counting alone gives."""
    if not (ratio > 1 and math.isfinite(ratio) and best > 0):
        return interval
    down = ratio * math.log(best / interval[0]) if interval[0] > 0 else math.inf
    up = ratio * math.log(interval[1] / best)
    return best * math.exp(-down) if down < WIDEST else 0.0, best * math.exp(up) if up < WIDEST else math.inf


class Intervals:
    """Intervals of one curve, from the errors or from the profile of the likelihood where those do not do."""

    def __init__(self, solution: Solution, d: int, order: NDArray[np.intp], found: Estimates, how: str) -> None:
        self.solution, self.d, self.order, self.found = solution, d, order, found
        photons, self.err = found.photons.tolist(), found.err
        self.fractions = np.array([_ratio(n, sum(photons)) for n in photons])
        self.fractions_err, *self.average_errors, self.scatter_err = found.errors
        self.profiled = how == "profile" or (how == "auto" and self._rough())

    def _rough(self) -> bool:
        """Say whether a lifetime or a share is so uncertain, or so near a bound, that its error does not tell."""
        c, tau = self.found.c, self.found.tau
        if np.any(~(self.err[:c] < ROUGH * tau)):
            return True
        edge = np.minimum(self.fractions, 1 - self.fractions)
        if c > 1 and np.any(~(edge > NEAR * self.fractions_err)):
            return True
        low, high = (self.solution.low[self.order], self.solution.high[self.order])
        unit = self.solution.system.unit
        margin = NEAR * self.err[:c] / tau
        at = np.log(tau / unit)
        return bool(np.any((at - low < margin) | (high - at < margin)))

    def lifetimes(self) -> Floats:
        """Return intervals of the lifetimes, s; 0 or inf where the data set no limit."""
        unit, free = self.solution.system.unit, self.solution.free.tolist()
        places = self.solution.layout.place[self.d, self.order].tolist()
        ends = []
        for index, tau, err in zip(places, self.found.tau.tolist(), self.err.tolist(), strict=False):
            if index not in free:
                ends.append((tau, tau))
            elif not self.profiled:
                ends.append(log_interval(tau, err))
            else:
                relative = err / tau
                error = min(max(relative, 1e-6), 1.0) if math.isfinite(relative) else 1.0
                low, high = parameter_interval(self.solution, index, error)
                top = math.log(LONGEST * max(p.span for p in self.solution.system.problems))
                ends.append((
                    0.0 if low <= math.log(SHORTEST) else math.exp(low) * unit,
                    math.inf if high >= top - 1e-9 else math.exp(high) * unit,
                ))  # fmt: skip
        return np.array(ends)

    def shares(self) -> Floats:
        """Return intervals of the fractions."""
        c = self.found.c
        each = zip(self.fractions.tolist(), self.fractions_err.tolist(), strict=True)
        ends = np.array([share_interval(share, error) for share, error in each])
        if not self.profiled or c == 1 or not self._any_free(slice(c + 2, 2 * c + 2)):
            return ends
        for i in range(c - 1 if c == 2 else c):
            start = float(np.clip(self.fractions_err[i], 1e-6, 0.3)) if np.isfinite(self.fractions_err[i]) else 0.3
            ends[i] = self._tied(kernels.FRACTION, i, float(self.fractions[i]), start, (0.0, 1.0))
            ratio = self._doubt(partial(fraction_of, c=c, i=i), float(self.fractions_err[i]))
            if ratio > 1:  # a tail fit does not know the pulse
                odds = np.array([_odds(x) for x in (*ends[i], self.fractions[i])])
                wide = _widened((odds[0], odds[1]), odds[2], ratio)
                ends[i] = [_share(x) for x in wide]
        if c == 2:
            ends[1] = 1.0 - ends[0, ::-1]
        return ends

    def average(self, function: Callable[[Floats, int], float], kind: int) -> tuple[float, float, tuple[float, float]]:
        """Return a mean lifetime, its error and its interval, s."""
        c, unit = self.found.c, self.solution.system.unit
        which = 0 if kind == kernels.AMPLITUDE_AVERAGE else 1
        value, error = self.found.averages[which], self.average_errors[which]
        interval = log_interval(value, error)
        if self.profiled and c > 1 and math.isfinite(value):
            start = float(np.clip(error / value, 1e-5, 0.5)) * value / unit if math.isfinite(error) else value / unit
            top = LONGEST * max(p.span for p in self.solution.system.problems)
            low, high = self._tied(kind, 0, value / unit, start, (SHORTEST, top))
            inner = (0.0 if low <= SHORTEST else low * unit, math.inf if high >= top else high * unit)
            interval = _widened(inner, value, self._doubt(lambda v: function(v, c), error))
        return value, error, interval

    def _tied(
        self, kind: int, which: int, best: float, error: float, limits: tuple[float, float]
    ) -> tuple[float, float]:
        at = int(self.order[which])
        return tied_interval(self.solution, self.d, kind, at, best, error, limits)

    def _any_free(self, rows: slice) -> bool:
        return bool(np.any(self.solution.is_free(self.d)[rows]))

    def _doubt(self, function: Callable[[Floats], float], error: float) -> float:
        """Return the ratio of the error to that of counting alone, which the profile knows."""
        problem = self.solution.system.problems[self.d]
        if not problem.kind.startswith("none"):
            return 1.0
        c = self.found.c
        cov = self.found.covariance.copy()
        unit = self.solution.system.unit
        cov[c : 2 * c, c : 2 * c] -= doubt_of_pulse_time(problem, self.found.tau / unit, self.found.photons)
        alone = Estimates(self.found.names, self.found.values, cov, c).error(function)
        return error / alone if alone > 0 else 1.0


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf


def _share(odds: float) -> float:
    return odds / (1 + odds) if math.isfinite(odds) else 1.0


def result_of(decay: Decay, solution: Solution, errors: str, table: dict[int, float], d: int = 0) -> DecayFit:
    """Return the result of one of the decays that were fitted."""
    problem, c = solution.system.problems[d], solution.n_components
    named = any(name.startswith(("lifetime", "photons")) for name in solution.system.limits)
    order = np.arange(c) if named else solution.local(d)[:c].argsort()
    fitted, jacobian = solution.evaluate(d)
    found = estimates(solution, d, order, covariance(solution, (fitted, jacobian)))
    values, err = found.values, found.err.tolist()
    ends = Intervals(solution, d, order, found, errors)
    lifetimes_ci = ends.lifetimes()
    lifetimes_err = np.array([_error(e, i) for e, i in zip(err[:c], lifetimes_ci.tolist(), strict=True)])
    amplitude, amplitude_err, amplitude_ci = ends.average(amplitude_average, kernels.AMPLITUDE_AVERAGE)
    intensity, intensity_err, intensity_ci = ends.average(intensity_average, kernels.INTENSITY_AVERAGE)
    if c == 1:
        amplitude_err = intensity_err = float(lifetimes_err[0])
        amplitude_ci = intensity_ci = (float(lifetimes_ci[0, 0]), float(lifetimes_ci[0, 1]))
    free = solution.is_free(d)
    curves = curves_of(decay, fitted, jacobian, solution, d, order, free)
    converged, reason = _verdict(solution, found, free[:c], ends.fractions, lifetimes_ci, curves["p_value"])
    # lifetimes that may be any leave their shares open: a profile stays on the hill where it begins
    shares = ends.shares() if converged or c == 1 else np.tile([0.0, 1.0], (c, 1))
    tail, gaussian, alone = problem.kind.startswith("none"), problem.gaussian, len(solution.system.problems) == 1
    amplitudes = ends.fractions / found.tau
    return DecayFit(
        decay=decay, lifetimes=found.tau.copy(), lifetimes_err=lifetimes_err, lifetimes_ci=lifetimes_ci,
        fractions=ends.fractions, fractions_err=ends.fractions_err, fractions_ci=shares,
        amplitudes=amplitudes / amplitudes.sum(),
        background=float(values[2 * c + 1]), background_err=err[2 * c + 1],
        shift=float(values[2 * c + 2]), shift_err=math.nan if tail else err[2 * c + 2],
        irf_sigma=float(values[2 * c + 3]) if gaussian else math.nan,
        irf_sigma_err=err[2 * c + 3] if gaussian else math.nan,
        scatter=scatter_of(values, c), scatter_err=ends.scatter_err,
        amplitude_average=amplitude, amplitude_average_err=amplitude_err, amplitude_average_ci=amplitude_ci,
        intensity_average=intensity, intensity_average_err=intensity_err, intensity_average_ci=intensity_ci,
        deviance=solution.deviance if alone else _deviance(problem, fitted),
        dof=problem.n_used - int(np.count_nonzero(free)), bic=table[c], **curves,
        fit_range=problem.fit_range, irf_kind=problem.kind, converged=converged, reason=reason,
        n_photons=problem.n_photons, parameter_names=found.names, parameter_values=values,
        covariance=found.covariance, table=table, intervals_from="profile" if ends.profiled else "hessian",
        _solution=solution if alone else (solution, d),
    )  # fmt: skip


def _deviance(problem: Problem, fitted: Floats) -> float:
    return poisson_deviance(problem.fitted(problem.counts), problem.fitted(fitted))


def _error(error: float, interval: Sequence[float]) -> float:
    """Return the standard error that goes with an interval: at a bound the curvature says nothing."""
    half = (interval[1] - interval[0]) / (2.0 * Z95)
    if interval[0] == 0 and math.isfinite(half) and error > 3.0 * half:
        return half
    return covering_error(error, interval)


def curves_of(
    decay: Decay,
    fitted: Floats,
    jacobian: Floats,
    solution: Solution,
    d: int,
    order: NDArray[np.intp],
    free: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return model, residuals and components over all bins, nan where the fit says nothing, and the p-value."""
    problem, c, n = solution.system.problems[d], solution.n_components, decay.counts.size
    used = problem.fitted(problem.counts), problem.fitted(fitted), problem.fitted(jacobian[free])
    residuals = (problem.counts - fitted) / np.sqrt(fitted)
    components = (solution.local(d)[c + 2 : 2 * c + 2, None] * jacobian[c + 2 : 2 * c + 2])[order]
    if problem.n_used < n:
        # A tail fit describes the tail alone; a full one every bin of the period.
        shown = problem.use if problem.kind.startswith("none") else np.ones(fitted.size, bool)
        fitted, components = _placed(fitted, shown, n), _placed(components, shown, n)
        residuals = _placed(residuals, problem.use, n)
    return {"model": fitted, "residuals": residuals, "components": components, "p_value": deviance_p_value(*used)}


def _placed(values: Floats, shown: NDArray[np.bool_], n: int) -> Floats:
    """Return values [..., k] in the first of n bins, nan in those not shown."""
    out = np.full((*values.shape[:-1], n), np.nan)
    out[..., : shown.size][..., shown] = values[..., shown]
    return out


def trouble_with(tau: Floats, span: float, fractions: Floats, intervals: Floats, spare: int, photons: int) -> str:
    """Return why the data do not determine each component, or nothing.

    tau: fitted lifetimes, bins; intervals of all lifetimes, bins; spare: degrees of freedom.
    """
    c = fractions.size
    if spare < 0:
        return "there are fewer bins than parameters"
    if photons < 2 * c + 1:
        return f"{photons} photons are fewer than the parameters of {c} lifetime(s)"
    rising = sorted(tau.tolist())
    if any(t <= SHORTEST * 1.01 for t in rising):
        return "a lifetime fell below a fiftieth of a bin: the light is as short as the IRF or a single bin"
    if any(t >= LONGEST * span * 0.99 for t in rising):
        return "a lifetime grew beyond a hundred periods: within the data it is the same as background"
    if not all(share > 0 for share in fractions.tolist()):
        return f"the data do not hold {c} lifetime(s): a component has no photons"
    if any(longer - shorter < 1e-4 * longer for shorter, longer in pairwise(rising)):
        return f"the data do not hold {c} lifetimes: two of them are the same"
    if any(low == 0 and high > span for low, high in intervals.tolist()):
        return "the data set no limit to a lifetime: no decay stands out of the background"
    return ""


def _verdict(
    solution: Solution,
    found: Estimates,
    free: NDArray[np.bool_],
    fractions: Floats,
    intervals: Floats,
    p_value: float,
) -> tuple[bool, str]:
    if solution.status == kernels.EXHAUSTED:
        return False, "the search ran out of steps; fewer components or another fit_range may help"
    if solution.status == kernels.STALLED and p_value < HOPELESS:
        # where the model fits the search may stall for rounding alone; where it does not, for steps of the likelihood
        return False, (
            "the search stalled where the model does not fit: a response of about a bin makes the likelihood rough "
            "in its shift; give the shift, or wider bins"
        )
    span = max(p.span for p in solution.system.problems)
    spare = sum(p.n_used for p in solution.system.problems) - solution.free.size
    unit, photons = solution.system.unit, solution.system.n_photons
    trouble = trouble_with((found.tau / unit)[free], span, fractions, intervals / unit, spare, photons)
    if trouble:
        return False, trouble
    held = [name for name in solution.system.limits if _at_limit(solution, name)]
    if held:
        return True, f"maximum of the likelihood within the limits asked for; {', '.join(held)} lies at one"
    known = "maximum of the likelihood found"
    if float(found.tau.min()) < FEW_BINS * unit and any(
        p.kind == "measured" and narrow(p) for p in solution.system.problems
    ):
        return True, (
            f"{known}; the response lies within about a bin, where its shape is not known, and the shortest lifetime "
            "is few bins long: it may be off by more than its error. Give the response in finer bins, or GaussianIRF()"
        )
    return True, known


def _at_limit(solution: Solution, name: str) -> bool:
    if name not in solution.layout.names:
        return False
    i = solution.layout.names.index(name)
    return i in solution.free and bool(solution.theta[i] in (solution.low[i], solution.high[i]))
