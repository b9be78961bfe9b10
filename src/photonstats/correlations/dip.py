"""Maximum-likelihood fit of an antibunching dip, with or without a shoulder, to pair counts integrated over bins.

The curve is `S [1 - (1 - g) K(x; t_a) - beta (1 - K(x; t_s))]` with the smeared cusp K: S is the height of the
shoulder, g the value at zero lag relative to it, and `S (1 - beta)` the level at long lags.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.correlations.pair_response import PairResponse, cusp
from photonstats.likelihood import covariance_of, profile_interval

__all__ = ["SHELVING", "SIMPLE", "Dip", "DipProblem", "Profile", "cusp"]

Floats = NDArray[np.float64]
Scale = Literal["shoulder", "plateau", "amplitude", "level"]
LEVEL, ZERO, BETA, TIME, SHELF, CENTRE, DARK = range(7)
SIMPLE = (LEVEL, ZERO, TIME)
SHELVING = (LEVEL, ZERO, BETA, TIME, SHELF)
_TINY = 1e-12
_APART = math.log(2.0)  # the shoulder falls off at least twice as slowly as the dip
_CLOSE = 2e-4  # of a profile, whose ends are sought to 0.015
_PROFILE_STEPS = 25


@dataclass(frozen=True, eq=False)
class DipProblem:
    """Counts and what is known of them; bins that are left out have `use` False.

    Parameters of the model: S, g, beta, ln t_a, ln t_s, centre, and the background in units of its error (a Gaussian
    prior of mean 0 and variance 1). On the scale "plateau" the second is the value relative to long lags, on
    "amplitude" the third is a / (1 + a) of the three-level formula, on "level" the first is the level at long lags.
    """

    edges: Floats
    pairs: Floats
    expected: Floats
    dark: Floats
    dark_slope: Floats
    use: NDArray[np.bool_]
    response: PairResponse
    reach: float = 0.0
    _entropy: float = field(init=False, default=0.0)
    low: Floats = field(init=False, default_factory=lambda: np.zeros(7))
    high: Floats = field(init=False, default_factory=lambda: np.zeros(7))

    def __post_init__(self) -> None:
        n = self.pairs[self.use]
        object.__setattr__(self, "_entropy", float(2.0 * np.sum(special.xlogy(n, n) - n)))
        short, long = math.log(max(self.width, self.response.sigma) / 20.0), math.log(self.span * 5.0)
        low = [1e-9, 0.0, 0.0, short, short, -self.reach, -4.0]
        high = [np.inf, np.inf, 0.999, long, math.log(self.span * 50.0), self.reach, 4.0]
        object.__setattr__(self, "low", np.array(low))
        object.__setattr__(self, "high", np.array(high))

    @property
    def width(self) -> float:
        """Median width of a bin, s."""
        return float(np.median(np.diff(self.edges)))

    @property
    def span(self) -> float:
        """Longest lag, s."""
        return float(max(abs(self.edges[0]), abs(self.edges[-1])))

    def curve(self, p: Floats, scale: Scale = "shoulder") -> tuple[Floats, Floats]:
        """Return the fitted g2 of each bin and its derivatives to the first six parameters, shape (6, n)."""
        zero, beta, chain = _from_scale(p, scale)
        dip, dip_time, dip_centre = self.response.cusp(self.edges, math.exp(p[TIME]), p[CENTRE])
        slopes = np.zeros((6, dip.size))
        shape = 1.0 - (1.0 - zero) * dip
        slopes[TIME] = -(1.0 - zero) * dip_time
        slopes[CENTRE] = -(1.0 - zero) * dip_centre
        if p[BETA] != 0.0 or scale == "amplitude":
            shelf, shelf_time, shelf_centre = self.response.cusp(self.edges, math.exp(p[SHELF]), p[CENTRE])
            shape -= beta * (1.0 - shelf)
            slopes[SHELF] = beta * shelf_time
            slopes[CENTRE] += beta * shelf_centre
            slopes[BETA] = shelf - 1.0
        slopes[ZERO] = dip
        slopes[[ZERO, BETA]] = chain.T @ slopes[[ZERO, BETA]]
        height = p[LEVEL] / (1.0 - beta) if scale == "level" else p[LEVEL]
        slopes *= height
        if scale == "level":
            slopes[BETA] += height * shape / (1.0 - beta)
        slopes[LEVEL] = shape * (height / p[LEVEL])
        return height * shape, slopes

    def model(self, p: Floats, scale: Scale = "shoulder") -> tuple[Floats, Floats]:
        """Return the expected counts of the bins in use and their derivatives, shape (7, n)."""
        curve, slopes = self.curve(p, scale)
        use, moved = self.use, p[DARK] * self.dark_slope
        light = (self.expected - moved)[use]
        m = np.maximum(light * curve[use] + (self.dark + moved)[use], _TINY)
        return m, np.vstack([slopes[:, use] * light, (self.dark_slope * (1.0 - curve))[use]])

    def deviance(self, p: Floats, m: Floats) -> float:
        """Return the Poisson deviance of expected counts, and the prior of the background."""
        n = self.pairs[self.use]
        return float(2.0 * np.sum(m - special.xlogy(n, m))) + self._entropy + float(p[DARK]) ** 2

    def information(self, slopes: Floats, m: Floats) -> Floats:
        """Return the Fisher information of all seven parameters, that of the prior included."""
        out = np.asarray((slopes / m) @ slopes.T, dtype=np.float64)
        out[DARK, DARK] += 1.0
        return out

    def minimise(
        self, start: Floats, free: tuple[int, ...], scale: Scale = "shoulder", close: float = 1e-6, steps: int = 60
    ) -> tuple[float, Floats]:
        """Minimise the deviance over the `free` parameters by damped scoring inside of the bounds.

        It ends where two steps in a row gain less than `close`, or after so many steps.
        """
        index = np.array(free)
        p = self._inside(start, index)
        m, slopes = self.model(p, scale)
        best, damping = self.deviance(p, m), 1e-3
        n = self.pairs[self.use]
        small = 0
        for _ in range(steps):
            gradient = slopes @ (n / m - 1.0)
            gradient[DARK] -= p[DARK]
            information = self.information(slopes, m)
            moving = index[~_held(p[index], gradient[index], self.low[index], self.high[index])]
            if not moving.size:
                break
            gain = 0.0
            while damping < 1e10:
                trial = self._inside(_stepped(p, gradient, information, moving, damping), index)
                m_trial, slopes_trial = self.model(trial, scale)
                value = self.deviance(trial, m_trial)
                if value <= best:
                    gain = best - value
                    p, m, slopes, best = trial, m_trial, slopes_trial, value
                    damping = max(damping * 0.1, 1e-9)
                    break
                damping *= 8.0
            small = small + 1 if gain < close else 0
            if small == 2 or damping >= 1e10:
                break
        return best, p

    def _inside(self, p: Floats, free: NDArray[np.int64]) -> Floats:
        out = p.copy()
        out[free] = np.clip(p[free], self.low[free], self.high[free])
        if SHELF in free and out[SHELF] < out[TIME] + _APART:
            out[SHELF] = out[TIME] + _APART
        elif TIME in free and out[BETA] != 0.0 and SHELF not in free and out[TIME] > out[SHELF] - _APART:
            out[TIME] = out[SHELF] - _APART
        return out


def _from_scale(p: Floats, scale: Scale) -> tuple[float, float, Floats]:
    """Return g and beta, and their derivatives to the second and third parameter."""
    zero, beta = float(p[ZERO]), float(p[BETA])
    if scale == "plateau":
        return zero * (1.0 - beta), beta, np.array([[1.0 - beta, -zero], [0.0, 1.0]])
    if scale == "amplitude":
        depth = max(1.0 - zero, 0.0)  # the three-level formula has no shoulder without a dip
        return zero, beta * depth, np.array([[1.0, 0.0], [-beta if depth > 0.0 else 0.0, depth]])
    return zero, beta, np.eye(2)


def to_scale(p: Floats, scale: Scale) -> Floats:
    """Return the parameters of scale "shoulder" on another scale."""
    out = p.copy()
    if scale == "plateau":
        out[ZERO] = p[ZERO] / (1.0 - p[BETA])
    elif scale == "level":
        out[LEVEL] = p[LEVEL] * (1.0 - p[BETA])
    elif scale == "amplitude":
        out[BETA] = min(p[BETA] / max(1.0 - p[ZERO], 1e-7), 1.0 - 1e-7)
    return out


def _held(p: Floats, gradient: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    """Tell which parameters sit on a bound that the gradient of the likelihood pushes against."""
    return np.asarray(((p <= low) & (gradient <= 0)) | ((p >= high) & (gradient >= 0)))


def _stepped(p: Floats, gradient: Floats, information: Floats, moving: NDArray[np.int64], damping: float) -> Floats:
    part = information[np.ix_(moving, moving)]
    scale = np.sqrt(np.maximum(np.diag(part), 1e-30))
    damped = part / np.outer(scale, scale) + damping * np.eye(moving.size)
    try:
        step = np.linalg.solve(damped, gradient[moving] / scale) / scale
    except np.linalg.LinAlgError:
        step = gradient[moving] / scale**2 / (1.0 + damping)
    out = p.copy()
    for k, i in enumerate(moving):  # a time constant changes by at most a factor of e at once
        out[i] += float(np.clip(step[k], -1.0, 1.0)) if i in (TIME, SHELF) else step[k]
    return out


@dataclass(frozen=True, eq=False)
class Dip:
    """The best fit of one model: parameters on the scale "shoulder", which of them are free, deviance and prior."""

    problem: DipProblem
    free: tuple[int, ...]
    p: Floats
    value: float

    @classmethod
    def find(cls, problem: DipProblem, kind: tuple[int, ...]) -> Dip:
        """Find the best parameters from a grid of starts; `kind` is SIMPLE or SHELVING."""
        free = (*kind, *((CENTRE,) if problem.reach > 0 else ()), *((DARK,) if problem.dark_slope.any() else ()))
        places = (0.0, -problem.width / 2, problem.width / 2) if problem.reach > 0 else (0.0,)
        starts = sorted(
            (start for place in places for start in _starts(problem, place, shelving=SHELF in kind)),
            key=lambda start: start[0],
        )
        chosen = _different([p for _, p in starts], 3)
        value, p = min((problem.minimise(p, free) for p in chosen), key=lambda found: found[0])
        return cls(problem, free, p, value)

    @property
    def covariance(self) -> Floats:
        """Return the covariance of all parameters; zero for those that are held or at a bound."""
        q = self.problem
        m, slopes = q.model(self.p)
        index = np.array(self.free)
        inside = index[(self.p[index] > q.low[index]) & (self.p[index] < q.high[index])]
        out = np.zeros((7, 7))
        # a value at its bound of 0 still has the error of one that is not bounded
        at_zero = index[(index == ZERO) & (self.p[index] <= q.low[index])]
        inside = np.union1d(inside, at_zero)
        information = q.information(slopes, m)[np.ix_(inside, inside)]
        out[np.ix_(inside, inside)] = covariance_of(information)
        return out

    def error_of(self, slope: Mapping[int, float], covariance: Floats) -> float:
        """Return the error of a quantity with these derivatives; inf where the data say nothing about a parameter."""
        index = np.array([i for i, s in slope.items() if s != 0.0], dtype=np.int64)
        part = covariance[np.ix_(index, index)]
        if not np.all(np.isfinite(np.diag(part))):
            return math.inf
        s = np.array([slope[i] for i in index.tolist()])
        return math.sqrt(max(float(s @ part @ s), 0.0))

    def without_dip(self) -> float:
        """Return the deviance of the best curve without a dip: flat, or a shoulder alone."""
        p = self.p.copy()
        p[ZERO] = 1.0
        q = self.problem
        free = tuple(i for i in self.free if i not in (ZERO, TIME))
        if SHELF not in self.free:
            return q.minimise(p, (LEVEL,))[0]
        starts = [p]
        for log_time in np.linspace(math.log(2 * q.width), math.log(2 * q.span), 8):
            start = p.copy()
            start[[BETA, SHELF, TIME]] = 0.5, log_time, q.low[TIME]
            starts.append(start)
        return min(q.minimise(start, free)[0] for start in starts)


def _starts(problem: DipProblem, centre: float, *, shelving: bool) -> list[tuple[float, Floats]]:
    """Solve for the linear parameters on a grid of time constants; return (quadratic misfit, parameters)."""
    use = problem.use
    times = np.geomspace(problem.width, max(problem.span / 2, 2 * problem.width), 16)
    if shelving:
        times = np.append(times, problem.span * np.array([1.0, 2.5]))
    level = float(problem.pairs[use].sum() - problem.dark[use].sum()) / max(float(problem.expected[use].sum()), _TINY)
    weight = 1.0 / np.maximum(problem.expected * max(level, 1e-3) + problem.dark, 1e-9)[use]
    basis = [problem.expected[use]]
    basis += [problem.expected[use] * problem.response.cusp(problem.edges, t, centre)[0][use] for t in times]
    whole = np.array(basis)
    data = (problem.pairs - problem.dark)[use]
    gram, right, norm = (whole * weight) @ whole.T, whole @ (weight * data), float(data @ (weight * data))
    found = []
    for i, time in enumerate(times):
        for j in range(i + 1, times.size) if shelving else (-1,):
            if shelving and times[j] < 2.5 * time:
                continue
            index = [0, i + 1] + ([j + 1] if shelving else [])
            c = np.linalg.lstsq(gram[np.ix_(index, index)], right[index], rcond=1e-12)[0]
            b = max(float(c[2]), 0.0) if shelving else 0.0
            shoulder = max(float(c[0]) + b, 1e-3)
            p = np.zeros(7)
            p[[LEVEL, ZERO, TIME, CENTRE]] = shoulder, max(1.0 + float(c[1]) / shoulder, 0.02), math.log(time), centre
            p[[BETA, SHELF]] = (max(b / shoulder, 0.01), math.log(times[j])) if shelving else (0.0, math.log(time) + 3)
            p[BETA] = min(p[BETA], 0.95)
            found.append((norm - float(c @ right[index]), p))
    return found


def _different(starts: list[Floats], n: int) -> list[Floats]:
    """Return the first `n` starts that differ in a time constant by a factor of two or more."""
    chosen: list[Floats] = []
    for p in starts:
        if all(np.max(np.abs((p - other)[[TIME, SHELF]])) > _APART for other in chosen):
            chosen.append(p)
        if len(chosen) == n:
            break
    return chosen


class Profile:
    """Deviance minimised over all parameters but one, from where it was last solved nearby."""

    def __init__(self, dip: Dip, parameter: int, scale: Scale = "shoulder") -> None:
        self.dip, self.parameter, self.scale = dip, parameter, scale
        self.best = to_scale(dip.p, scale)
        self.free = tuple(i for i in dip.free if i != parameter)
        self.solved = [(float(self.best[parameter]), self.best)]
        self.lowest, self.lowest_at = dip.value, self.best
        self._branches = self._lines() if parameter == ZERO and SHELF not in dip.free else None

    def _lines(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return time constants and the products that give the best level for each of them at any g."""
        q = self.dip.problem
        times = np.geomspace(max(q.width, q.response.sigma) / 4.0, q.span * 4.5, 20)
        weight = (q.use / np.maximum(self.dip.problem.curve(self.dip.p)[0] * q.expected + q.dark, 1e-9)).astype(float)
        flat = q.expected
        dips = np.array([flat * q.response.cusp(q.edges, float(t), float(self.best[CENTRE]))[0] for t in times])
        data = q.pairs - q.dark
        squares = np.array([float(flat @ (weight * flat)), float(data @ (weight * flat))])
        return times, squares, dips @ (weight * flat), np.array([(dips**2) @ weight, dips @ (weight * data)])

    def _other_branch(self, value: float, near: Floats) -> list[Floats]:
        """Return the best start whose time constant is another one: a dip wider than the window on a high level."""
        assert self._branches is not None
        times, (square, flat_data), flat_dip, (dip_square, dip_data) = self._branches
        depth = 1.0 - value
        norm = square - 2.0 * depth * flat_dip + depth**2 * dip_square
        level = (flat_data - depth * dip_data) / np.maximum(norm, _TINY)
        gain = np.where(np.abs(np.log(times) - near[TIME]) > _APART, level**2 * norm, -np.inf)
        k = int(np.argmax(gain))
        if not math.isfinite(gain[k]) or level[k] <= 0.0:
            return []
        p = near.copy()
        p[[LEVEL, TIME]] = level[k], math.log(times[k])
        return [p]

    def __call__(self, value: float) -> float:
        """Return the smallest deviance with the parameter held at `value`."""
        near = min(self.solved, key=lambda known: abs(known[0] - value))[1]
        starts = [near] if near is self.best else [near, self.best]
        if SHELF in self.free or BETA in self.free:
            starts = [self._along_ridge(known, value) for known in starts]
        if self._branches is not None:
            starts += self._other_branch(value, near)
        found, at = math.inf, near
        for known in starts:
            start = known.copy()
            start[self.parameter] = value
            deviance, p = self.dip.problem.minimise(start, self.free, self.scale, _CLOSE, _PROFILE_STEPS)
            if deviance < found:
                found, at = deviance, p
        self.solved.append((value, at))
        if found < self.lowest:
            self.lowest, self.lowest_at = found, at
        return found

    def _along_ridge(self, known: Floats, value: float) -> Floats:
        """Start from a known point with the other parameters moved such that the curve within the window stays.

        A shoulder that outlives the window shows its height and its slope beta / t_s, nothing else.
        """
        p = known.copy()
        beta = before = float(p[BETA])
        if self.scale == "plateau" and self.parameter == ZERO and value > 0.0:
            beta = 1.0 - p[ZERO] * (1.0 - before) / value
        elif self.scale == "level" and self.parameter == LEVEL:
            beta = 1.0 - value * (1.0 - before) / p[LEVEL]
        elif self.parameter == BETA:
            beta = value
        elif self.parameter == SHELF:
            beta = before * math.exp(value - p[SHELF])
        high = float(self.dip.problem.high[BETA])
        if before > 1e-6 and 1e-6 < beta <= high:
            p[BETA] = beta
            p[SHELF] += math.log(beta / before)
        return p

    def interval(self, error: float) -> Floats:
        """Return the 95 % interval; an end that the data do not limit is that of the range of the parameter."""
        q, i = self.dip.problem, self.parameter
        if i == ZERO:
            return self._interval_of_zero(error)
        limits = float(q.low[i]), float(q.high[i])
        step = error if math.isfinite(error) and error > 0 else 0.1 * max(abs(float(self.best[i])), 0.1)
        if i in (TIME, SHELF):
            step = min(step, 1.0)
        return np.array(profile_interval(self, float(self.best[i]), step, limits))

    def _interval_of_zero(self, error: float) -> Floats:
        """Return the interval of g2(0), sought in g / (1 + g), which stays finite where a level is not limited."""
        best = float(self.best[ZERO])
        step = error if math.isfinite(error) and error > 0 else 0.1
        limit = 1.0 - 1e-4
        if self.scale == "plateau" and SHELF in self.dip.free:
            near = float(self.dip.p[ZERO])
            # no level lies below (1 - the largest beta) of the shoulder
            limit = min(limit, max(near, 0.1) * 300.0 / (1.0 + max(near, 0.1) * 300.0))
        at = best / (1.0 + best)
        low, high = profile_interval(
            lambda u: self(u / (1.0 - u)), min(at, limit), min(step / (1.0 + best) ** 2, 0.2), (0.0, limit)
        )
        return np.array([low / (1.0 - low), math.inf if high >= limit else high / (1.0 - high)])
