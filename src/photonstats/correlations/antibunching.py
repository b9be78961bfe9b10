"""Antibunching of continuous light: the fit of a dip, or of a dip with a shoulder, to the pair counts of `g2`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from photonstats.correlations.dip import (
    BETA,
    CENTRE,
    LEVEL,
    SHELF,
    SHELVING,
    SIMPLE,
    TIME,
    ZERO,
    Dip,
    DipProblem,
    Floats,
    Profile,
    to_scale,
)
from photonstats.correlations.dip_data import Centre, Exclude, Irf, set_up
from photonstats.likelihood import Z95, bic, covering_error, deviance_p_value
from photonstats.result import Result, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.correlation import G2

Model: TypeAlias = Literal["antibunching", "shelving", "auto"]
KINDS = {"antibunching": SIMPLE, "shelving": SHELVING}
# twice the log likelihood that two more parameters and a free time constant gain in one of some hundred flat curves
GAIN = 14.0
SEARCHED = 150e-9
LONG = 0.5  # of the longest lag: a shoulder that lives longer does not show its end
POOR = 1e-3


def _unknown() -> Floats:
    return np.full(2, np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class G2Fit(Result):
    """A dip fitted to the pair counts of continuous light, with or without a shoulder.

    Parameters
    ----------
    g2_zero, g2_zero_err, g2_zero_ci : float, float, ndarray of shape (2,)
        `1 - amplitude`: the value at zero lag against the level at long lags; 95 % interval from the profile
        likelihood. The error is that of the Hessian, or half the interval over 1.96 where that is larger (few pairs).
    lifetime, lifetime_err : float
        Time constant t_a, s: `1 / (k_excitation + k_decay)` of one emitter.
    amplitude, amplitude_err : float
        Depth of the dip relative to the level at long lags; negative: bunching.
    level, level_err : float
        Level at long lags against independent light.
    irf_sigma : float
        Standard deviation of the response of the detector pair, s.
    deviance : float
        Poisson deviance of the fit.
    dof : int
        Bins less parameters.
    p_value : float
        Probability of a larger deviance at the fitted counts; bins of few pairs do not spoil it.
    converged : bool
        Whether the fit can be used.
    reason : str
        Why not, or what is doubtful; empty if nothing.
    lag, model : ndarray of float64, shape (n,)
        Bin centres, s, and the fitted g2 (background taken off), averaged over each bin.
    lifetime_ci : ndarray of float64, shape (2,)
        95 % interval, s.
    g2_zero_shoulder, g2_zero_shoulder_err, g2_zero_shoulder_ci : float, float, ndarray of shape (2,)
        The value at zero lag against the level right after the dip; the same as `g2_zero` without a shoulder.
    centre, centre_err : float
        Lag of the centre, s, on the axis of `lag`; the error is nan where it was held.
    model_name : str
        "antibunching" or "shelving".
    shelving_amplitude, shelving_amplitude_err, shelving_amplitude_ci : float, float, ndarray of shape (2,)
        a of the three-level formula; nan without shelving.
    shelving_time, shelving_time_err, shelving_time_ci : float, float, ndarray of shape (2,)
        t_s, s; nan without shelving.
    bic : float
        Bayesian information criterion of this model.
    candidates : dict of str to float
        The same for each model that was fitted.
    antibunched : bool
        Whether the fit can be used and the 95 % interval of g2_zero lies below 1.

    Notes
    -----
    `g2 = level [1 - A ((1 + a) exp(-|x|/t_a) - a exp(-|x|/t_s))]`, a = 0 without shelving, A = 1 for a single emitter
    without background. Emitters that go dark independently of each other, by shelving or blinking, have A = 1/M against
    long lags: `g2_zero` counts all of them. `g2_zero_shoulder` is `(1 - A) / (1 + A a)`: it counts those that are on at
    the same time, and is what is left when the shoulder outlives the window, where level and a are degenerate.
    """

    g2_zero: float
    g2_zero_err: float
    g2_zero_ci: Floats
    lifetime: float
    lifetime_err: float
    amplitude: float
    amplitude_err: float
    level: float
    level_err: float
    irf_sigma: float
    deviance: float
    dof: int
    p_value: float
    converged: bool
    reason: str
    lag: Floats
    model: Floats
    lifetime_ci: Floats = field(default_factory=_unknown)
    g2_zero_shoulder: float = math.nan
    g2_zero_shoulder_err: float = math.nan
    g2_zero_shoulder_ci: Floats = field(default_factory=_unknown)
    centre: float = 0.0
    centre_err: float = math.nan
    model_name: str = "antibunching"
    shelving_amplitude: float = math.nan
    shelving_amplitude_err: float = math.nan
    shelving_amplitude_ci: Floats = field(default_factory=_unknown)
    shelving_time: float = math.nan
    shelving_time_err: float = math.nan
    shelving_time_ci: Floats = field(default_factory=_unknown)
    bic: float = math.nan
    candidates: dict[str, float] = field(default_factory=dict)
    antibunched: bool = False

    def summary(self) -> str:
        """Return a text of a few lines with g2(0), the time constants and the goodness of fit."""
        low, high = self.g2_zero_ci
        text = (
            f"g2 fit: g2(0) = {self.g2_zero:.4g} ± {self.g2_zero_err:.2g} (95 %: {low:.3g} to {high:.3g})\n"
            f"  time constant {self.lifetime * 1e9:.4g} ± {self.lifetime_err * 1e9:.2g} ns, "
            f"plateau {self.level:.4g} ± {self.level_err:.2g}\n"
        )
        if self.model_name == "shelving":
            a_low, a_high = self.shelving_amplitude_ci
            t_low, t_high = self.shelving_time_ci * 1e9
            near_low, near_high = self.g2_zero_shoulder_ci
            text += (
                f"  shelving a = {self.shelving_amplitude:.4g} (95 %: {a_low:.3g} to {a_high:.3g}), "
                f"t_s = {self.shelving_time * 1e9:.4g} ns (95 %: {t_low:.4g} to {t_high:.4g})\n"
                f"  against the shoulder g2(0) = {self.g2_zero_shoulder:.4g} "
                f"(95 %: {near_low:.3g} to {near_high:.3g})\n"
            )
        if math.isfinite(self.centre_err):
            text += f"  centre {quantity(self.centre, self.centre_err, 'ns', 1e9)} from the delay\n"
        if len(self.candidates) > 1:
            text += "  BIC " + ", ".join(f"{name} {value:.6g}" for name, value in self.candidates.items()) + "\n"
        text += f"  deviance {self.deviance:.6g} at {self.dof} degrees of freedom, p = {self.p_value:.2g}"
        return text if not self.reason else f"{text}\n  {'note' if self.converged else 'not usable'}: {self.reason}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the fitted curve into `ax` and return it."""
        from photonstats import plots

        return plots.plot_g2_fit(self, ax)


def fit_antibunching(
    g2: G2,
    model: Model = "antibunching",
    irf: Irf = None,
    *,
    irf_sigma: float = 0.0,
    centre: Centre = "auto",
    exclude: Exclude = None,
) -> G2Fit:
    """Fit a dip to the pair counts of continuous light; see `G2.fit`."""
    if model != "auto" and model not in KINDS:
        raise ValueError(f'model={model!r}: give "antibunching", "shelving" or "auto"')
    problem = set_up(g2, irf, irf_sigma, centre, exclude)
    dips = {name: Dip.find(problem, kind) for name, kind in KINDS.items() if model in (name, "auto")}
    photons = int(problem.pairs[problem.use].sum())
    values = {name: bic(dip.value, len(dip.free), photons) for name, dip in dips.items()}
    chosen = min(values, key=lambda name: values[name])
    searched = SEARCHED if problem.reach > 0 and math.isfinite(g2.delay_err) else 0.0
    return _Reading(g2, dips[chosen], min(searched, g2.window)).result(chosen, values)


def profile_of_g2_zero(
    g2: G2,
    values: ArrayLike,
    model: Model = "antibunching",
    irf: Irf = None,
    *,
    irf_sigma: float = 0.0,
    centre: Centre = "auto",
    exclude: Exclude = None,
    relative_to: Literal["plateau", "shoulder"] = "plateau",
) -> Floats:
    """Return by how much the deviance rises above its minimum where g2(0) is held, all else fitted.

    Parameters
    ----------
    g2 : G2
        Pair counts of continuous light.
    values : array_like of float, shape (n,)
        Values of g2(0) of the light, >= 0.
    model, irf, irf_sigma, centre, exclude
        As in `G2.fit`.
    relative_to : {"plateau", "shoulder"}
        Whether g2(0) is that against long lags, or against the level right after the dip.

    Returns
    -------
    ndarray of float64, shape (n,)
        Rise of twice the negative log likelihood, >= 0: `exp(-rise / 2)` is the profile likelihood. The error of the
        background is in it.

    Raises
    ------
    ValueError
        As `G2.fit`, and for values that are negative or not finite.
    """
    asked = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if not np.all(np.isfinite(asked) & (asked >= 0)):
        raise ValueError("values of g2(0) must be finite and >= 0")
    if model != "auto" and model not in KINDS:
        raise ValueError(f'model={model!r}: give "antibunching", "shelving" or "auto"')
    problem = set_up(g2, irf, irf_sigma, centre, exclude)
    photons = int(problem.pairs[problem.use].sum())
    dips = [Dip.find(problem, kind) for name, kind in KINDS.items() if model in (name, "auto")]
    profile = Profile(min(dips, key=lambda dip: bic(dip.value, len(dip.free), photons)), ZERO, relative_to)
    rise = np.zeros(asked.size)
    # outward from the best value, so that each start lies near its answer
    for i in np.argsort(np.abs(asked - profile.best[ZERO])):
        rise[i] = profile(float(asked[i]))
    return np.asarray(np.maximum(rise - min(profile.lowest, float(rise.min(initial=np.inf))), 0.0), dtype=np.float64)


class _Reading:
    """The numbers of a result, taken from the best fit of one model."""

    def __init__(self, g2: G2, dip: Dip, searched: float) -> None:
        self.g2, self.searched = g2, searched
        self.dip, self.zero, self.time = self._profiled(dip)
        self.shelved = SHELF in dip.free

    def _profiled(self, dip: Dip) -> tuple[Dip, Floats, Floats]:
        """Return intervals of g2(0) and the time constant; a better fit met on the way takes the place of the first."""
        for _ in range(3):
            covariance = dip.covariance
            zero = Profile(dip, ZERO, "plateau")
            zero_ci = zero.interval(_zero_error(dip, covariance))
            time = Profile(dip, TIME)
            time_ci = time.interval(math.sqrt(covariance[TIME, TIME]))
            found = min((zero, time), key=lambda profile: profile.lowest)
            if found.lowest > dip.value - 1e-3:
                break
            start = found.lowest_at.copy()
            if found is zero:
                start[ZERO] *= 1.0 - start[BETA]
            value, p = dip.problem.minimise(start, dip.free)
            dip = Dip(dip.problem, dip.free, p, value)
        return dip, zero_ci, _from_log(time_ci, dip, TIME)

    def result(self, name: str, values: dict[str, float]) -> G2Fit:
        """Return the result of the model of this name; `values` are the BIC of all that were fitted."""
        dip, g2 = self.dip, self.g2
        p, q, covariance = dip.p, dip.problem, dip.covariance
        m, slopes = q.model(p)
        curve, _ = q.curve(p)
        zero = float(to_scale(p, "plateau")[ZERO])
        spread = self._spread_of_response(zero)
        zero_ci = _widened(self.zero, zero, spread[0], least=0.0)
        zero_err = covering_error(math.hypot(_zero_error(dip, covariance), spread[0]), zero_ci)
        limited = math.isfinite(zero_ci[1])
        zero_err = zero_err if limited else math.inf
        time = math.exp(p[TIME])
        time_ci = _widened(self.time, time, spread[1], least=0.0)
        time_err = math.hypot(time * _log_error(covariance, TIME), spread[1])
        deviance = dip.value - float(p[-1]) ** 2
        reason, converged = self._verdict(zero, zero_ci, deviance_p_value(q.pairs[q.use], m, slopes[list(dip.free)]))
        values[name] = bic(dip.value, len(dip.free), int(q.pairs[q.use].sum()))
        with np.errstate(invalid="ignore"):
            shown = np.where(g2.expected > 0, curve, np.nan)
        offset = float(g2.lag_edges[0] - q.edges[0])
        return G2Fit(
            g2_zero=zero, g2_zero_err=zero_err, g2_zero_ci=zero_ci, lifetime=time,
            lifetime_err=covering_error(time_err, time_ci), lifetime_ci=time_ci, amplitude=1.0 - zero,
            amplitude_err=zero_err, level=float(p[LEVEL] * (1.0 - p[BETA])),
            level_err=self._level_error(covariance, limited=limited), irf_sigma=q.response.sigma,
            deviance=deviance, dof=int(q.use.sum()) - len([i for i in dip.free if i <= CENTRE]),
            p_value=deviance_p_value(q.pairs[q.use], m, slopes[list(dip.free)]), converged=converged, reason=reason,
            lag=g2.lag, model=shown, centre=float(p[CENTRE]) + offset, centre_err=self._centre_error(covariance),
            model_name=name, bic=values[name], candidates=values, antibunched=converged and bool(zero_ci[1] < 1.0),
            **self._shoulder(zero, zero_err, zero_ci, spread[0], covariance),
        )  # fmt: skip

    def _shoulder(
        self, zero: float, zero_err: float, zero_ci: Floats, spread: float, covariance: Floats
    ) -> dict[str, Any]:
        """Return the fields that only a shoulder has, and g2(0) against it."""
        if not self.shelved:
            return {"g2_zero_shoulder": zero, "g2_zero_shoulder_err": zero_err, "g2_zero_shoulder_ci": zero_ci}
        dip, p = self.dip, self.dip.p
        near_err = math.sqrt(covariance[ZERO, ZERO])
        near_ci = _widened(Profile(dip, ZERO).interval(near_err), float(p[ZERO]), spread, least=0.0)
        time = math.exp(p[SHELF])
        log_err = _log_error(covariance, SHELF)
        time_ci = _from_log(Profile(dip, SHELF).interval(log_err), dip, SHELF)
        depth = 1.0 - p[ZERO]
        share = p[BETA] / depth if depth > 1e-6 else 1.0
        # beyond this the curve has no depth A below the level at long lags, for which the three-level formula asks
        if share < dip.problem.high[BETA]:
            share_err = dip.error_of({ZERO: p[BETA] / depth**2, BETA: 1.0 / depth}, covariance)
            ends = Profile(dip, BETA, "amplitude").interval(share_err)
            a, a_err = share / (1.0 - share), share_err / (1.0 - share) ** 2
            a_ci = np.where(ends < dip.problem.high[BETA] * (1.0 - 1e-9), ends / (1.0 - ends), np.inf)
        else:
            a, a_err, a_ci = math.nan, math.nan, _unknown()
        return {
            "g2_zero_shoulder": float(p[ZERO]),
            "g2_zero_shoulder_err": covering_error(math.hypot(near_err, spread), near_ci),
            "g2_zero_shoulder_ci": near_ci,
            "shelving_amplitude": a, "shelving_amplitude_err": covering_error(a_err, a_ci),
            "shelving_amplitude_ci": a_ci, "shelving_time": time,
            "shelving_time_err": covering_error(time * log_err, time_ci), "shelving_time_ci": time_ci,
        }  # fmt: skip

    def _level_error(self, covariance: Floats, *, limited: bool) -> float:
        p = self.dip.p
        error = self.dip.error_of({LEVEL: 1.0 - p[BETA], BETA: -p[LEVEL]}, covariance)
        if not self.shelved:
            return error
        if not limited:
            return math.inf
        # the end of a shoulder is curved against its height: the parabola promises too much
        return covering_error(error, Profile(self.dip, LEVEL, "level").interval(error))

    def _centre_error(self, covariance: Floats) -> float:
        if CENTRE not in self.dip.free:
            return math.nan
        # a cusp of few pairs has no parabola at its centre
        error = math.sqrt(covariance[CENTRE, CENTRE])
        return covering_error(error, Profile(self.dip, CENTRE).interval(error))

    def _spread_of_response(self, zero: float) -> tuple[float, float]:
        """Return what the error of the width of a measured response adds to those of g2(0) and the time constant."""
        q = self.dip.problem
        if q.response.sigma_err <= 0.0:
            return 0.0, 0.0
        share = min(q.response.sigma_err / q.response.sigma, 0.3)
        found = []
        for sign in (1.0, -1.0):
            other = DipProblem(
                edges=q.edges, pairs=q.pairs, expected=q.expected, dark=q.dark, dark_slope=q.dark_slope, use=q.use,
                response=q.response.stretched(1.0 + sign * share), reach=q.reach,
            )  # fmt: skip
            p = other.minimise(self.dip.p, self.dip.free)[1]
            found.append((float(to_scale(p, "plateau")[ZERO]) - zero, math.exp(p[TIME]) - math.exp(self.dip.p[TIME])))
        # at the bound 0 only one of the two directions moves
        largest = np.abs(np.array(found)).max(axis=0)
        return float(largest[0]), float(largest[1])

    def _verdict(self, zero: float, zero_ci: Floats, p_value: float) -> tuple[str, bool]:
        """Return what is wrong or doubtful, and whether the fit can be used."""
        dip = self.dip
        p, q = dip.p, dip.problem
        gain = dip.without_dip() - dip.value
        # a delay that was searched for is where chance made the deepest dip: one chance for each time constant
        trials = 1.0 + 2.0 * self.searched / max(math.exp(p[TIME]), q.width)
        if gain < GAIN + 2.0 * math.log(trials):
            what = "no dip stands out beside the shoulder" if self.shelved else "neither dip nor excess stands out"
            return f"{what} (twice the log likelihood gain {gain:.2g})", False
        if p[TIME] < q.low[TIME] + 1e-3 or p[TIME] > q.high[TIME] - 1e-3:
            return "the time constant ran to the limit of what bins and window can show", False
        notes = []
        if self.shelved and math.exp(p[SHELF]) > LONG * q.span:
            notes.append(
                "the shoulder does not end within the window: level and shelving amplitude cannot be told apart, read "
                "g2_zero_shoulder"
            )
        if zero > 1.0:
            notes.append("an excess of pairs (bunching), no antibunching")
        elif zero_ci[1] >= 1.0:
            notes.append("g2(0) may as well be 1: read the interval")
        if p[ZERO] < 1e-9:
            notes.append("g2(0) is at its limit 0: read the interval")
        if CENTRE in dip.free and abs(p[CENTRE]) > q.reach * (1.0 - 1e-6):
            notes.append("the centre ran to the limit of its range: check the delay")
        if p_value < POOR:
            hint = "" if self.shelved else ', model="auto" tries a shoulder'
            notes.append(f"the curve does not fit (p = {p_value:.1g}){hint}")
        return "; ".join(notes), True


def _zero_error(dip: Dip, covariance: Floats) -> float:
    """Return the error of g2(0) against long lags."""
    p = dip.p
    far = 1.0 - p[BETA]
    return dip.error_of({ZERO: 1.0 / far, BETA: p[ZERO] / far**2}, covariance)


def _log_error(covariance: Floats, parameter: int) -> float:
    """Return the error of the logarithm of a time; nan where that sits at the limit of its range."""
    error = math.sqrt(covariance[parameter, parameter])
    return error if error > 0.0 else math.nan


def _from_log(interval: Floats, dip: Dip, parameter: int) -> Floats:
    """Return the interval of a time from that of its logarithm; an end at the limit of the range is 0 or inf."""
    low, high = interval
    q = dip.problem
    return np.array([
        0.0 if low <= q.low[parameter] + 1e-9 else math.exp(low),
        math.inf if high >= q.high[parameter] - 1e-9 else math.exp(high),
    ])  # fmt: skip


def _widened(interval: Floats, value: float, spread: float, least: float) -> Floats:
    """Add an independent error to both sides of an interval."""
    if spread == 0.0:
        return interval
    low = value - math.hypot(value - interval[0], Z95 * spread)
    high = value + math.hypot(interval[1] - value, Z95 * spread)
    return np.array([max(low, least), high])
