"""The fall of g2(0) with the time gate: plateau of the number of emitters, yield and lifetime of the biexciton."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.errors import AnalysisWarning
from photonstats.likelihood import Z95, chi_square_p_value, deviance_moments
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.gates import GateSeries

Floats = NDArray[np.float64]

LIMIT = 3.841458820694124  # 95 % quantile of chi-square with one degree of freedom
SLOWEST = 0.5  # of the exciton's rate: slower falls than this cannot be told from a plateau
ROUNDS = 3
FEWEST_FOR_P = 10.0  # expected pairs below which the deviance says nothing
SEPARATES = 8.0  # rise of the deviance at kappa <= 0 from which on a fall is believed: its rate was searched for
LEAST_FALL = 0.05  # share of the centre that must fall: multiexcitons at finite excitation let a few % fall fast
NO_POINT = 0.1  # plateau intervals wider than this have no best value where no gate separates


@dataclass(frozen=True, eq=False, repr=False)
class GateFit(Result):
    """`g2(0; t) = P + (1 - P) beta exp(-kappa t)` fitted to the pairs of a gate series.

    Parameters
    ----------
    plateau, plateau_err, plateau_ci : float, float, ndarray of shape (2,)
        P, g2(0) of light without biexcitons: 1 - 1/M for M equal emitters that are on at the same time. Where
        k_BX <= 2 k_X cannot be excluded the interval begins at 0, and the value is NaN if it is wider than 0.1.
    n_emitters, n_emitters_ci : float, ndarray of shape (2,)
        1 / (1 - P).
    yield_ratio, yield_ratio_err, yield_ratio_ci : float, float, ndarray of shape (2,)
        beta, quantum yield of the biexciton over that of the exciton, for weak excitation.
    rate, rate_err, rate_ci : float, float, ndarray of shape (2,)
        kappa = k_BX - 2 k_X, Hz; NaN, from -2 k_X to inf, where no fall shows.
    exciton_lifetime, exciton_lifetime_err : float
        1/k_X, s, as given (no error) or of the photons after the later gates; NaN where those do not give it.
    biexciton_lifetime, biexciton_lifetime_err, biexciton_lifetime_ci : float, float, ndarray of shape (2,)
        1 / (kappa + 2 k_X), s.
    deviance, p_value : float
        Poisson deviance of the pairs between neighbouring gates, and the probability of a larger one.
    dof : int
        Gates less parameters.
    converged : bool
        Whether the fit can be used.
    reason : str
        Why not, or what is doubtful; empty if nothing.
    gate, model : ndarray of float64, shape (n,)
        Gates, s, and the fitted g2(0).
    """

    plateau: float
    plateau_err: float
    plateau_ci: Floats
    n_emitters: float
    n_emitters_ci: Floats
    yield_ratio: float
    yield_ratio_err: float
    yield_ratio_ci: Floats
    rate: float
    rate_err: float
    rate_ci: Floats
    exciton_lifetime: float
    exciton_lifetime_err: float
    biexciton_lifetime: float
    biexciton_lifetime_err: float
    biexciton_lifetime_ci: Floats
    deviance: float
    dof: int
    p_value: float
    converged: bool
    reason: str
    gate: Floats
    model: Floats

    def summary(self) -> str:
        """Return a text of a few lines with plateau, yield ratio, rate and goodness of fit."""
        low, high = self.plateau_ci
        text = (
            f"Gate fit: plateau {self.plateau:.4g} ± {self.plateau_err:.2g} (95 %: {low:.3g} to {high:.3g}), "
            f"1/(1 - plateau) = {self.n_emitters:.4g}\n"
            f"  biexciton yield over exciton's {self.yield_ratio:.4g} ± {self.yield_ratio_err:.2g}, "
            f"k_BX - 2 k_X = {self.rate * 1e-9:.4g} ± {self.rate_err * 1e-9:.2g} per ns, "
            f"biexciton lifetime {self.biexciton_lifetime * 1e9:.4g} ± {self.biexciton_lifetime_err * 1e9:.2g} ns\n"
            f"  deviance {self.deviance:.4g} at {self.dof} degrees of freedom, p = {self.p_value:.2g}"
        )
        return text if not self.reason else f"{text}\n  {'note' if self.converged else 'not usable'}: {self.reason}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the fitted fall and the plateau with its interval into `ax` and return it."""
        from photonstats import plots

        return plots.plot_gate_fit(self, ax)


@dataclass(frozen=True, eq=False)
class _Counts:
    """Centre pairs between neighbouring gates (the last: after the last gate), and what is expected of them.

    side: mean near side peak after each gate, background taken off; dark: background pairs between gates.
    """

    gate: Floats
    pairs: Floats
    side: Floats
    dark: Floats

    def shapes(self, kappa: Floats) -> tuple[Floats, Floats]:
        """Return for each kappa the pairs between gates of plateau and of biexcitons at strength one, float64[k, n]."""
        fall = np.exp(-kappa[:, None] * self.gate)
        return _between(self.side)[None, :], _between(self.side * fall)

    def deviance(self, mean: Floats) -> Floats:
        """Return the Poisson deviance over the last axis."""
        m = np.maximum(mean, 1e-9)
        found: Floats = 2.0 * np.sum(
            m - self.pairs + special.xlogy(self.pairs, np.maximum(self.pairs, 1.0) / m), axis=-1
        )
        return found

    def best_amplitude(self, plateau: Floats, kappa: Floats) -> tuple[Floats, Floats]:
        """Return deviance and best A = (1 - P) beta >= 0 on the grid, float64[p, k]."""
        flat, falling = self.shapes(kappa)
        base = plateau[:, None, None] * flat + self.dark
        a = np.full(
            base.shape[:2], max(float((self.pairs - self.dark).sum()), 1.0) / max(float(self.side[0]), 1e-9) / 2
        )
        for _ in range(40):
            m = np.maximum(base + a[..., None] * falling, 1e-9)
            slope = np.sum(falling * (self.pairs / m - 1.0), axis=-1)
            bend = np.sum(falling**2 * self.pairs / m**2, axis=-1)
            step = slope / np.maximum(bend, 1e-12)
            a = np.clip(a + np.clip(step, -0.5 * a - 1e-3, 1.0 + a), 0.0, 50.0)
        return self.deviance(base + a[..., None] * falling), a


def _between(after: Floats) -> Floats:
    """Return differences of neighbouring gates over the last axis; the last stays."""
    found: Floats = after - np.concatenate([after[..., 1:], np.zeros((*after.shape[:-1], 1))], axis=-1)
    return found


def fit_gates(series: GateSeries, exciton_lifetime: float | None = None) -> GateFit:
    """Fit plateau, biexciton yield and rate to the pairs of a gate series; see `GateFit`."""
    counts, usable = _counts(series)
    if usable < 4 or counts.pairs.sum() + counts.side[0] < 10:
        raise ValueError(
            f"{usable} gates with side peaks and {counts.side[0]:.3g} pairs in a side peak are too few for a fit: give "
            "four gates or more, and more photons"
        )
    lifetime, lifetime_err = _exciton(series) if exciton_lifetime is None else (float(exciton_lifetime), 0.0)
    if not (math.isnan(lifetime) or (math.isfinite(lifetime) and lifetime > 0)):
        raise ValueError(f"exciton_lifetime={exciton_lifetime}: must be a time in seconds > 0")
    k_x = 1.0 / lifetime if lifetime > 0 else 0.0
    reach = float(series.gate[usable - 1] - series.gate[0]) or 1e-9
    slowest = SLOWEST * k_x if k_x > 0 else SLOWEST / reach
    fastest = 10.0 / max(float(np.min(np.diff(series.gate[:usable]))), 1e-12)
    grid = _Profile(counts, slowest, max(fastest, 4.0 * slowest))
    return grid.result(series, lifetime, lifetime_err)


def _counts(series: GateSeries) -> tuple[_Counts, int]:
    k = series.pulse_lag.size // 2
    sides = (series.pairs.sum(axis=1) - series.pairs[:, k]) / (2 * k)
    dark_side = (series.pairs_background.sum(axis=1) - series.pairs_background[:, k]) / (2 * k)
    side = sides - dark_side
    usable = int(np.argmax(side <= 0)) if np.any(side <= 0) else side.size
    part = slice(0, usable)
    dark = np.maximum(_between(series.pairs_background[part, k]), 0.0)
    return _Counts(series.gate[part], _between(series.pairs[part, k].astype(np.float64)), side[part], dark), usable


def _exciton(series: GateSeries) -> tuple[float, float]:
    """Return the exciton's lifetime and its error from the photons after a middle gate and after the last one."""
    n = series.gate.size
    first = n // 2
    counts = series.rates.sum(axis=1) * series.duration
    dark = np.array([series.background[d] for d in series.detectors]) @ series.open_fraction.T * series.duration
    early, late = counts[first] - dark[first], counts[-1] - dark[-1]
    if first == n - 1 or late <= 30 or early - late < 30:
        return math.nan, math.nan
    fall = math.log(early / late)
    # the later photons are among the earlier ones: the difference is what scatters on its own
    noise = math.sqrt((counts[first] - counts[-1]) / early**2 + counts[-1] * (1.0 / late - 1.0 / early) ** 2)
    span = float(series.gate[-1] - series.gate[first])
    if fall < 4.0 * noise:
        return math.nan, math.nan
    return span / fall, span / fall**2 * noise


class _Profile:
    """Deviance on a grid of plateau and rate, the amplitude at its best; finer around the minimum in each round."""

    def __init__(self, counts: _Counts, slowest: float, fastest: float) -> None:
        self.counts, self.slowest, self.fastest = counts, slowest, fastest
        self.kappa = np.geomspace(slowest, fastest, 61)
        self.plateau = np.concatenate([[0.0], np.geomspace(1e-4, 0.05, 18), np.linspace(0.06, 1.5, 73)])
        for _ in range(ROUNDS):
            self.deviance, self.amplitude = counts.best_amplitude(self.plateau, self.kappa)
            self.best = np.unravel_index(int(np.argmin(self.deviance)), self.deviance.shape)
            self._refine()
        self.deviance, self.amplitude = counts.best_amplitude(self.plateau, self.kappa)
        self.best = np.unravel_index(int(np.argmin(self.deviance)), self.deviance.shape)
        # a biexciton that lives at least half as long as the exciton: g2(0) stays or rises with the gate
        self.slow = np.linspace(-1.999, 0.0, 31) * slowest / SLOWEST
        self.slow_plateau = np.linspace(0.0, 1.5, 151)
        self.slow_deviance, self.slow_amplitude = counts.best_amplitude(self.slow_plateau, self.slow)

    @property
    def separates(self) -> bool:
        """Whether the data show a fall and exclude kappa <= 0, where biexcitons look like more emitters."""
        falling = float(self.amplitude[self.best])
        enough = falling >= LEAST_FALL * (falling + float(self.plateau[self.best[0]]))
        return enough and float(self.slow_deviance.min() - self.deviance.min()) > SEPARATES

    def _refine(self) -> None:
        """Lay the grid over the part where the deviance is within 12 of its minimum."""
        inside = self.deviance <= self.deviance.min() + 12.0
        for name, axis, n in (("plateau", 1, 61), ("kappa", 0, 61)):
            old = getattr(self, name)
            rows = np.flatnonzero(inside.any(axis=axis))
            low, high = old[max(rows[0] - 1, 0)], old[min(rows[-1] + 1, old.size - 1)]
            best = old[self.best[0] if name == "plateau" else self.best[1]]
            new = np.linspace(low, high, n) if name == "plateau" else np.geomspace(low, high, n)
            setattr(self, name, np.unique(np.append(new, best)))

    def interval(self, values: Floats, rise: Floats) -> Floats:
        """Return where the rise of the profile over a rising grid passes 3.84, its ends where it does not."""
        i = int(np.argmin(rise))
        ends = []
        for order in (slice(i, None, -1), slice(i, None)):
            x, y = values[order], rise[order]
            above = np.flatnonzero(y > LIMIT)
            if above.size == 0:
                ends.append(float(x[-1]))
            else:
                j = int(above[0])
                share = (LIMIT - y[j - 1]) / (y[j] - y[j - 1])
                ends.append(float(x[j - 1] + share * (x[j] - x[j - 1])))
        return np.array(ends)

    def result(self, series: GateSeries, lifetime: float, lifetime_err: float) -> GateFit:
        """Return the fit with its intervals."""
        rise = self.deviance - self.deviance.min()
        p, kappa = float(self.plateau[self.best[0]]), float(self.kappa[self.best[1]])
        a, least = float(self.amplitude[self.best]), float(self.deviance.min())
        plateau_ci = self.interval(self.plateau, rise.min(axis=1))
        kappa_ci = self.interval(self.kappa, rise.min(axis=0))
        beta = a / (1.0 - p) if p < 1.0 else math.nan
        beta_ci = self._yields(beta)
        if not self.separates:
            if self.slow_deviance.min() < least:
                i, j = np.unravel_index(int(np.argmin(self.slow_deviance)), self.slow_deviance.shape)
                p, kappa, a = float(self.slow_plateau[i]), float(self.slow[j]), float(self.slow_amplitude[i, j])
            least = min(least, float(self.slow_deviance.min()))
            plateau_ci, beta_ci, kappa_ci = self._not_separated(plateau_ci, beta_ci, least)
        shapes = self.counts.shapes(np.array([kappa]))
        mean = p * shapes[0][0] + a * shapes[1][0] + self.counts.dark
        model = p + a * np.exp(-kappa * self.counts.gate)
        lifetime_x = lifetime if lifetime > 0 else math.nan
        p_value = _p_value(least, mean, 3)
        reason = self._reason(plateau_ci)
        if not self.separates:
            kappa = beta = math.nan
            p = math.nan if plateau_ci[1] > NO_POINT else p
        of_pair, of_pair_err, of_pair_ci = _pair_lifetime(kappa, kappa_ci, lifetime_x, lifetime_err)
        dof = self.counts.pairs.size - 3
        gate = series.gate[: self.counts.gate.size]
        with np.errstate(divide="ignore"):
            emitters = np.where(plateau_ci < 1, 1.0 / (1.0 - plateau_ci), np.inf)
        return GateFit(
            plateau=p, plateau_err=_half(plateau_ci), plateau_ci=plateau_ci,
            n_emitters=math.inf if p >= 1 else 1.0 / (1.0 - p), n_emitters_ci=emitters,
            yield_ratio=beta, yield_ratio_err=_half(beta_ci), yield_ratio_ci=beta_ci,
            rate=kappa, rate_err=_half(kappa_ci), rate_ci=kappa_ci,
            exciton_lifetime=lifetime_x, exciton_lifetime_err=lifetime_err,
            biexciton_lifetime=of_pair, biexciton_lifetime_err=of_pair_err, biexciton_lifetime_ci=of_pair_ci,
            deviance=least, dof=dof, p_value=p_value,
            converged=True, reason=reason, gate=gate, model=model,
        )  # fmt: skip

    def _yields(self, beta: float) -> Floats:
        """Return the interval of beta: its profile over plateau and rate."""
        if not math.isfinite(beta):
            return np.array([0.0, np.inf])
        flat, falling = self.counts.shapes(self.kappa)
        share = (1.0 - np.minimum(self.plateau, 1.0))[:, None, None]
        base = self.plateau[:, None, None] * flat + self.counts.dark

        def rises(values: Floats) -> Floats:
            found = [float(self.counts.deviance(base + b * share * falling).min()) for b in values]
            return np.array(found) - float(self.deviance.min())

        top = max(2.0 * beta, 1e-3)
        while top < 1e3 and rises(np.array([top]))[0] < LIMIT:
            top *= 2.0
        coarse = np.linspace(0.0, top, 41)
        rise = rises(coarse)
        near = coarse[rise <= 3.0 * LIMIT] if np.any(rise <= 3.0 * LIMIT) else np.array([beta])
        step = coarse[1]
        fine = np.unique(np.append(np.linspace(max(near[0] - step, 0.0), near[-1] + step, 41), beta))
        return self.interval(fine, rises(fine))

    def _not_separated(self, plateau_ci: Floats, beta_ci: Floats, least: float) -> tuple[Floats, Floats, Floats]:
        """Return intervals of plateau, beta and kappa that hold what slow biexcitons could make of the same pairs."""
        # a fast fall of a few % may fit better than any slow one; it must not shut out all of those
        possible = self.slow_deviance - max(least, float(self.slow_deviance.min())) <= SEPARATES
        share = np.maximum(1.0 - self.slow_plateau, 0.01)[:, None]
        most = float((self.slow_amplitude / share)[possible].max(initial=0.0))
        plateaus = self.slow_plateau[possible.any(axis=1)]
        top = max(float(plateau_ci[1]), float(plateaus.max(initial=0.0)))
        # without any pairs the grid of plateaus is coarser than the upper limit of the finer one
        top = float(plateau_ci[1]) if self.counts.pairs.sum() == 0 else top
        spread = 1.0 + 2.0 / math.sqrt(float(self.counts.pairs.sum()) + 1.0)
        most_beta = max(float(beta_ci[1]), most * spread)
        return np.array([0.0, top]), np.array([0.0, most_beta]), np.array([float(self.slow[0]), np.inf])

    def _reason(self, plateau_ci: Floats) -> str:
        if self.separates:
            return ""
        if plateau_ci[1] <= NO_POINT:
            return "no fall of g2(0) with the gate shows: yield and lifetime of the biexciton are not known"
        text = (
            "the pairs do not exclude k_BX <= 2 k_X, where g2(0) does not fall with the gate: several emitters and a "
            f"biexciton that lives half as long as the exciton or longer look alike; the plateau lies below "
            f"{plateau_ci[1]:.2g}"
        )
        warnings.warn(text, AnalysisWarning, stacklevel=5)
        return text


def _half(interval: Floats) -> float:
    half = float(interval[1] - interval[0]) / (2.0 * Z95)
    return half if math.isfinite(half) else math.nan


def _pair_lifetime(kappa: float, kappa_ci: Floats, lifetime: float, error: float) -> tuple[float, float, Floats]:
    if math.isnan(kappa) or math.isnan(lifetime):
        return math.nan, math.nan, np.array([0.0, np.inf])
    k_x = 1.0 / lifetime
    value = 1.0 / (kappa + 2.0 * k_x)
    ends = np.sort(1.0 / np.maximum(kappa_ci + 2.0 * k_x, 1e-3))
    of_exciton = Z95 * 2.0 * k_x**2 * error * value**2
    ends = np.array([value - math.hypot(value - ends[0], of_exciton), value + math.hypot(ends[1] - value, of_exciton)])
    return value, _half(ends), np.maximum(ends, 0.0)


def _p_value(deviance: float, mean: Floats, n_parameters: int) -> float:
    if mean.size <= n_parameters or mean.sum() < FEWEST_FOR_P:
        return math.nan
    expected, variance, _ = deviance_moments(np.maximum(mean, 1e-9))
    total = float(expected.sum())
    scale = float(variance.sum()) / (2.0 * total)
    left = total * (1.0 - n_parameters / mean.size)
    return chi_square_p_value(deviance / scale, left / scale)
