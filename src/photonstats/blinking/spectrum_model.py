"""Laws of a power spectrum, folded through bins of time, and the search for their likeliest parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.spectrum_ordinates import Blocks, Ordinates

Floats = NDArray[np.float64]
Law = Literal["white", "power_law", "lorentzian", "both"]

ALIASES = 3
LOOSE = 0.1  # relative; dead times and afterpulses move the shot noise by less
STEEPEST, FLATTEST = 6.0, 0.05
NAMES: dict[str, tuple[str, ...]] = {
    "white": (),
    "power_law": ("log_amplitude", "beta"),
    "lorentzian": ("log_amplitude", "log_corner", "beta"),
    "both": ("log_amplitude", "log_corner", "log_power", "beta"),
}


def density(law: str, theta: Floats, frequency: Floats, pivot: float) -> Floats:
    """Return the density of a law without its floor.

    Parameters
    ----------
    law : str
        Name of the law.
    theta : ndarray of float, shape (p,)
        Parameters in the order of `NAMES`; of a power law the amplitude at the pivot.
    frequency : ndarray of float, shape (n,)
        Hz.
    pivot : float
        Frequency at which the power law has its amplitude, Hz.
    """
    if law == "white":
        return np.zeros_like(frequency)
    log_f = np.log(frequency)
    if law == "power_law":
        line: Floats = np.exp(theta[0] - theta[1] * (log_f - math.log(pivot)))
        return line
    beta = theta[2] if law == "lorentzian" else 2.0
    value: Floats = np.exp(theta[0] - np.logaddexp(0.0, beta * (log_f - theta[1])))
    if law == "both":
        value = value + np.exp(theta[2] - theta[3] * (log_f - math.log(pivot)))
    return value


def folded(law: str, theta: Floats, ordinates: Ordinates, pivot: float) -> Floats:
    """Return the density that bins of time see: ``sum over m of sinc^2(f dt + m) S(|f + m/dt|)``.

    Three orders on each side are summed, and the rest as a power law of the local slope.
    """
    f, dt = ordinates.frequency, ordinates.bin_width
    total: Floats = np.sinc(f * dt) ** 2 * density(law, theta, f, pivot)
    if law == "white":
        return total
    rows = np.flatnonzero(f * dt > 0.02)  # below, the aliases weigh less than a thousandth of the law
    if rows.size == 0:
        return total
    f, dt = f[rows], dt[rows]
    sine = np.sin(np.pi * f * dt) ** 2 / np.pi**2
    far = (ALIASES + 0.5) / dt
    orders = np.arange(1, ALIASES + 1)[:, None] / dt
    shifted = np.concatenate([orders - f, orders + f, [far, far * 1.1]])
    values = density(law, theta, shifted.ravel(), pivot).reshape(shifted.shape)
    slope = -np.log(values[-1] / values[-2]) / math.log(1.1)
    rest = 2.0 * values[-2] / ((1.0 + slope) * (ALIASES + 0.5))
    add = sine * (np.sum(values[:-2] / (shifted[:-2] * dt) ** 2, axis=0) + rest)
    total[rows] += add
    return total


@dataclass(frozen=True)
class Found:
    """A law at its likeliest parameters: the log of the floor last, where that is free."""

    law: str
    theta: Floats
    floor: float
    deviance: float
    covariance: Floats
    pivot: float
    free_floor: bool

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return int(self.theta.size)

    def value(self, name: str) -> float:
        """Return a parameter by name."""
        return float(self.theta[NAMES[self.law].index(name)])

    def error(self, name: str) -> float:
        """Return its standard error."""
        i = NAMES[self.law].index(name)
        return math.sqrt(max(float(self.covariance[i, i]), 0.0))

    def model(self, ordinates: Ordinates) -> Floats:
        """Return the density of the fit at ordinates, floor and bins included."""
        return folded(self.law, self.theta, ordinates, self.pivot) + self.floor


def log_slopes(found: Found, ordinates: Ordinates) -> tuple[Floats, Floats]:
    """Return the model at ordinates, float64[n], and the slopes of its logarithm to each parameter, float64[p, n]."""
    model = found.model(ordinates)
    slopes = np.empty((found.theta.size, model.size))
    for i in range(found.theta.size):
        theta = found.theta.copy()
        theta[i] += 1e-4
        floor = math.exp(theta[-1]) if found.free_floor else found.floor
        slopes[i] = (folded(found.law, theta, ordinates, found.pivot) + floor - model) / (1e-4 * model)
    return model, slopes


def widened(found: Found, blocks: Blocks | None) -> tuple[Found, float]:
    """Return the fit with the errors that the scatter between parts of the recording asks for, and the dispersion.

    Notes
    -----
    The score u of a parameter is a sum over frequencies. Gaussian noise makes the powers of different frequencies
    independent and gives u the variance I, the information. The light of a few emitters makes them move together: what
    the variance of u between B parts has above its Gaussian value is added to I, and the covariance is the sandwich
    ``I^-1 J I^-1``. Frequencies below those of a part count as Gaussian. Errors are never made smaller. The dispersion
    is the mean factor of the variances, at least 1: what a difference of deviances is too large by.
    """
    if blocks is None or found.theta.size == 0 or blocks.power.shape[1] == 0:
        return found, 1.0
    model, slopes = log_slopes(found, blocks.bands)
    weighted = slopes * blocks.bands.weight
    scores = (blocks.power / model - 1.0) @ weighted.T
    n = scores.shape[0]
    above = n * (np.atleast_2d(np.cov(scores, rowvar=False)) - weighted @ slopes.T)
    added = found.covariance @ above @ found.covariance
    ratio = np.diag(added) / np.maximum(np.diag(found.covariance), 1e-300)
    factor = np.sqrt(np.maximum(1.0 + ratio, 1.0))
    wider = replace(found, covariance=found.covariance * np.outer(factor, factor))
    return wider, max(1.0 + float(np.median(ratio)), 1.0)


def search(
    law: str,
    ordinates: Ordinates,
    floor: float | None,
    *,
    start: Floats | None = None,
    fixed_corner: float | None = None,
    expected: float = math.nan,
) -> Found:
    """Find the likeliest parameters of a law.

    Parameters
    ----------
    law : str
        Name of the law.
    ordinates : Ordinates
        What to fit.
    floor : float or None
        A known floor, 1/Hz; None: free.
    start : ndarray of float, optional
        Where to begin; by default the best of a grid.
    fixed_corner : float, optional
        Logarithm of a corner frequency to hold.
    expected : float
        Shot noise of Poisson counting, 1/Hz; a free floor is drawn to it with a standard error of `LOOSE`. nan: it is
        not.

    Notes
    -----
    Fisher scoring on ``sum w (ln S + P/S)`` with steps that are halved until the likelihood rises.
    """
    low, high = float(ordinates.frequency[0]), float(ordinates.frequency[-1])
    pivot = math.sqrt(low * high)
    bounds = _bounds(law, ordinates, floor is None, fixed_corner)

    def value(theta: Floats) -> Floats:
        base = math.exp(theta[-1]) if floor is None else floor
        return folded(law, theta, ordinates, pivot) + base

    starts = [start] if start is not None else _starts(law, ordinates, floor, pivot)
    trials = sorted(starts, key=lambda theta: _loss(value(np.clip(theta, *bounds)), ordinates))[:2]
    prior = math.log(expected) if floor is None and expected > 0 else math.nan
    best = min(
        (_scoring(value, np.clip(t, *bounds), bounds, ordinates, prior) for t in trials), key=lambda each: each[1]
    )
    theta, deviance, information = best
    covariance = np.zeros((0, 0))
    if theta.size:
        covariance = np.asarray(np.linalg.pinv(information), dtype=np.float64)
    base = math.exp(theta[-1]) if floor is None else floor
    return Found(law, theta, base, deviance, covariance, pivot, floor is None)


def _loss(model: Floats, ordinates: Ordinates) -> float:
    """Return the deviance: twice the loss of log-likelihood against a model that goes through every ordinate."""
    ratio = ordinates.power / model
    return float(2.0 * np.sum(ordinates.weight * (ratio - 1.0 - np.log(np.maximum(ratio, 1e-300)))))


def _bounds(law: str, ordinates: Ordinates, free: bool, fixed: float | None) -> tuple[Floats, Floats]:
    low, high = math.log(ordinates.frequency[0]), math.log(ordinates.frequency[-1])
    top = float(np.log(ordinates.power.max()))
    corner = (low - 4.0, high + 1.0) if fixed is None else (fixed, fixed)
    box = {
        "log_amplitude": (top - 60.0, top + 30.0),
        "log_power": (top - 60.0, top + 30.0),
        "log_corner": corner,
        "beta": (FLATTEST, STEEPEST),
    }
    limits = [box[name] for name in NAMES[law]] + ([(top - 60.0, top + 1.0)] if free else [])
    array = np.array(limits, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _starts(law: str, ordinates: Ordinates, floor: float | None, pivot: float) -> list[Floats]:
    f, power, weight = ordinates.frequency, ordinates.power, ordinates.weight
    tail = slice(-max(f.size // 10, 3), None)
    base = float(np.average(power[tail], weights=weight[tail])) if floor is None else floor
    end = [math.log(base)] if floor is None else []
    if law == "white":
        return [np.array([math.log(np.average(power, weights=weight))][: len(end)])]
    starts = []
    corners = np.geomspace(f[0], f[-1], 9) if law != "power_law" else np.array([pivot])
    for corner in corners:
        for beta in (0.7, 1.3, 2.0):
            shape = f**-beta * pivot**beta if law == "power_law" else 1.0 / (1.0 + (f / corner) ** beta)
            level = float(np.average((power - base) / shape, weights=weight * (shape / (shape + base)) ** 2))
            log_a = math.log(max(level, 1e-3 * base, 1e-300))
            middle = [log_a] if law == "power_law" else [log_a, math.log(corner)]
            if law == "both":
                middle.append(log_a - beta * math.log(max(pivot / corner, 1.0)) - 2.0)
            starts += [np.array([*middle, beta, *last]) for last in ([end, [end[0] - 2.0]] if end else [[]])]
    return starts


def _scoring(
    value: Callable[[Floats], Floats],
    theta: Floats,
    bounds: tuple[Floats, Floats],
    ordinates: Ordinates,
    prior: float,
) -> tuple[Floats, float, Floats]:
    """Return the parameters of least deviance from a start, that deviance, and the information matrix."""

    def loss_of(model: Floats, theta: Floats) -> float:
        pull = 0.0 if math.isnan(prior) else ((float(theta[-1]) - prior) / LOOSE) ** 2
        return _loss(model, ordinates) + pull

    model = value(theta)
    loss = loss_of(model, theta)
    damping = 1e-3
    gradient, information = _slopes(value, theta, model, bounds, ordinates, prior)
    for _ in range(60):
        free = ~(((theta <= bounds[0]) & (gradient < 0)) | ((theta >= bounds[1]) & (gradient > 0)))
        if not free.any():
            break
        step = np.zeros(theta.size)
        matrix = information[np.ix_(free, free)]
        matrix = matrix + damping * np.diag(np.diag(matrix) + 1e-9)
        step[free] = np.clip(np.linalg.lstsq(matrix, gradient[free], rcond=None)[0], -2.0, 2.0)
        trial = np.clip(theta + step, *bounds)
        new_model = value(trial)
        new_loss = loss_of(new_model, trial)
        if not new_loss < loss:
            if damping > 1e8:
                break
            damping = max(10.0 * damping, 1e-2)
            continue
        gain, theta, model, loss, damping = loss - new_loss, trial, new_model, new_loss, 0.1 * damping
        gradient, information = _slopes(value, theta, model, bounds, ordinates, prior)
        if gain < 1e-5:
            break
    return theta, loss, information


def _slopes(
    value: Callable[[Floats], Floats],
    theta: Floats,
    model: Floats,
    bounds: tuple[Floats, Floats],
    ordinates: Ordinates,
    prior: float,
) -> tuple[Floats, Floats]:
    """Return the gradient of the log-likelihood and the information matrix."""
    slopes = np.empty((theta.size, model.size))
    for i in range(theta.size):
        moved = theta.copy()
        moved[i] += 1e-4
        slopes[i] = (value(moved) - model) / (1e-4 * model)
    weighted = slopes * ordinates.weight
    information = weighted @ slopes.T
    gradient = weighted @ (ordinates.power / model - 1.0)
    if not math.isnan(prior):
        information[-1, -1] += LOOSE**-2
        gradient[-1] -= (theta[-1] - prior) / LOOSE**2
    held = bounds[0] == bounds[1]
    information[held] = information[:, held] = 0.0
    gradient[held] = 0.0
    return gradient, information
