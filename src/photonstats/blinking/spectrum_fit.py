"""Which law a power spectrum follows: white, Lorentzian, power law or both, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.spectrum_model import FLATTEST, NAMES, STEEPEST, Found, search, widened
from photonstats.blinking.spectrum_ordinates import Blocks, Ordinates
from photonstats.likelihood import bic
from photonstats.result import Result, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Model = Literal["auto", "white", "lorentzian", "power_law", "both"]

LAWS = ("white", "power_law", "lorentzian", "both")
UNKNOWN: Interval = (math.nan, math.nan)
FEWEST = 10  # groups of frequencies
CHI2_95 = 3.841459
SPAN = 2.2010  # half an interval in errors that come from the scatter of twelve parts: Student's t
DEEP = 3.0  # a flat part is seen where the corner lies this many times above the lowest frequency


@dataclass(frozen=True, eq=False, repr=False)
class PsdFit(Result):
    """Law of a power spectrum; what a law does not have is nan.

    Parameters
    ----------
    model : str
        "white" (steady light), "lorentzian", "power_law" or "both".
    beta, beta_err, beta_ci : float, float, (float, float)
        Exponent of the Lorentzian or of the power law; of "both" that of its power law.
    time, time_err, time_ci : float, float, (float, float)
        Time of the Lorentzian, ``1 / (2 pi f0)``, s; of two levels ``1 / (k12 + k21)``.
    amplitude, amplitude_err : float
        Density of the Lorentzian at zero frequency, or of a power law at 1 Hz, 1/Hz.
    power, power_err : float
        Density at 1 Hz of the power law in "both", 1/Hz.
    floor, floor_err : float
        Shot noise, 1/Hz; the error is 0 where it was given.
    bic : dict of str to float
        Bayesian information criterion of each law that was fitted, less the smallest; deviances over `dispersion`.
    delta_bic : float
        BIC of the next best law less that of the chosen one; nan where one law alone was fitted.
    saturates : bool or None
        Whether the spectrum grows flat towards low frequencies: True if the corner lies inside of the range and a
        power law fits significantly worse; False if the corner, should there be one, lies below the range; None where
        the data cannot say.
    frequency_range : (float, float)
        Frequencies that were fitted, Hz.
    dispersion : float
        Variance of the spectrum between parts of the recording over that of Gaussian noise, at least 1.
    n_ordinates : float
        Independent ordinates in them.
    note : str
        What weakens the answer; mostly empty.
    """

    model: str
    beta: float
    beta_err: float
    beta_ci: Interval
    time: float
    time_err: float
    time_ci: Interval
    amplitude: float
    amplitude_err: float
    power: float
    power_err: float
    floor: float
    floor_err: float
    bic: dict[str, float]
    delta_bic: float
    saturates: bool | None
    frequency_range: Interval
    dispersion: float
    n_ordinates: float
    note: str = ""
    found: Found = field(repr=False, kw_only=True)
    curve: tuple[Floats, Floats, Floats] = field(repr=False, kw_only=True)
    bin_width: Floats = field(repr=False, kw_only=True)

    def density(self, frequency: Floats, bin_width: float = 0.0) -> Floats:
        """Return the fitted density, floor included, as bins of `bin_width` seconds see it, 1/Hz."""
        f = np.asarray(frequency, dtype=np.float64)
        return self.found.model(Ordinates(f, f, np.ones_like(f), np.full(f.shape, bin_width)))

    def summary(self) -> str:
        """Return the law with its parameters, the rivals and the verdict on low frequencies."""
        low, high = self.frequency_range
        lines = [f"PsdFit: {self.model.replace('_', ' ')}, {low:.4g} to {high:.4g} Hz"]
        if math.isfinite(self.beta):
            lines.append(
                f"  beta {quantity(self.beta, self.beta_err)} ({self.beta_ci[0]:.3g} to {self.beta_ci[1]:.3g})"
            )
        if math.isfinite(self.time):
            lines.append(
                f"  time {quantity(self.time, self.time_err, 's')} ({self.time_ci[0]:.3g} to {self.time_ci[1]:.3g} s)"
            )
        lines.append(f"  floor {quantity(self.floor, self.floor_err, '1/Hz')}")
        lines.append("  BIC above the best: " + ", ".join(f"{k} {v:.1f}" for k, v in self.bic.items()))
        word = {True: "yes", False: "no", None: "undetermined"}[self.saturates]
        lines.append(f"  flat at low frequency: {word}")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the spectrum with the fitted law and its floor."""
        from photonstats.plots.spectrum import plot_psd_fit

        return plot_psd_fit(self, ax)


def fit_spectrum(
    every: Ordinates,
    blocks: Blocks | None,
    model: Model,
    *,
    floor: float | Literal["fit", "shot"],
    shot_noise: float,
    frequency_range: Interval | None,
    bootstrap: int,
    seed: int | np.random.Generator | None,
    curve: tuple[Floats, Floats, Floats],
) -> PsdFit:
    """Fit the laws to ordinates; see `Psd.fit`."""
    if model != "auto" and model not in LAWS:
        raise ValueError(f'model must be "auto" or one of {", ".join(LAWS)}; it is {model!r}')
    if bootstrap < 0:
        raise ValueError(f"bootstrap must be a number of draws >= 0, it is {bootstrap}")
    low, high = frequency_range or (0.0, math.inf)
    data = every.within(low, high)
    if data.frequency.size < FEWEST:
        raise ValueError(
            f"a fit takes {FEWEST} groups of frequencies, and {low:g} to {high:g} Hz hold {data.frequency.size}: "
            f"widen frequency_range, or record longer"
        )
    known = _known_floor(floor, shot_noise)
    fits = {law: search(law, data, known, expected=shot_noise) for law in (LAWS if model == "auto" else (model,))}
    n = float(data.weight.sum())
    parts = None if blocks is None else blocks.within(low, high)
    wide = {law: widened(each, parts) for law, each in fits.items()}
    # light that is more scattered than Gaussian noise fakes differences between laws: the calmest law sets the measure
    dispersion = min(factor for law, (_, factor) in wide.items() if law != "white" or len(wide) == 1)
    scores = {law: bic(each.deviance / dispersion, each.n_parameters, round(n)) for law, each in fits.items()}
    chosen = min(scores, key=lambda law: scores[law])
    best = wide[chosen][0]
    least = scores[chosen]
    ranked = sorted(scores.values())
    result = _result(
        best, data, {law: score - least for law, score in scores.items()},
        ranked[1] - ranked[0] if len(ranked) > 1 else math.nan, dispersion, curve,
    )  # fmt: skip
    if model != "white" and chosen != "white":
        result = replace(result, saturates=_saturates(fits, chosen, data, known, shot_noise, dispersion))
    return _bootstrapped(result, data, known, shot_noise, bootstrap, seed) if bootstrap else result


def _known_floor(floor: float | Literal["fit", "shot"], shot_noise: float) -> float | None:
    if floor == "fit":
        return None
    if floor == "shot":
        if math.isnan(shot_noise):
            raise ValueError('floor="shot" needs counts of photons; this trace has no known shot noise: use "fit"')
        return shot_noise
    if not isinstance(floor, float | int) or not (math.isfinite(floor) and floor > 0):
        raise ValueError(f'floor must be "fit", "shot" or a density > 0 in 1/Hz, it is {floor!r}')
    return float(floor)


def _result(
    found: Found,
    data: Ordinates,
    table: dict[str, float],
    delta: float,
    dispersion: float,
    curve: tuple[Floats, Floats, Floats],
) -> PsdFit:
    names = NAMES[found.law]
    beta, beta_err, beta_ci = math.nan, math.nan, UNKNOWN
    if "beta" in names and not _at_limit(found):
        beta, beta_err = found.value("beta"), found.error("beta")
        beta_ci = (max(beta - SPAN * beta_err, 0.0), beta + SPAN * beta_err)
    time, time_err, time_ci = math.nan, math.nan, UNKNOWN
    if "log_corner" in names:
        time, relative = 1.0 / (2.0 * math.pi * math.exp(found.value("log_corner"))), found.error("log_corner")
        time_err = time * relative
        times = time * np.exp(SPAN * relative * np.array([-1.0, 1.0])) if relative < 100.0 else (0.0, math.inf)
        time_ci = (float(times[0]), float(times[1]))
    amplitude, amplitude_err = _amplitude(found, "log_amplitude", found.law == "power_law")
    power, power_err = _amplitude(found, "log_power", True)
    floor_err = found.floor * math.sqrt(max(float(found.covariance[-1, -1]), 0.0)) if found.free_floor else 0.0
    return PsdFit(
        found.law, beta, beta_err, beta_ci, time, time_err, time_ci, amplitude, amplitude_err, power, power_err,
        found.floor, floor_err, table, delta, None, (float(data.frequency[0]), float(data.frequency[-1])), dispersion,
        float(data.weight.sum()), _note(found, data), found=found, curve=curve, bin_width=data.bin_width,
    )  # fmt: skip


def _amplitude(found: Found, name: str, at_one_hertz: bool) -> tuple[float, float]:
    """Return an amplitude and its error; a power law is carried from the pivot to 1 Hz."""
    if name not in NAMES[found.law]:
        return math.nan, math.nan
    i = NAMES[found.law].index(name)
    direction = np.zeros(found.theta.size)
    direction[i] = 1.0
    value = found.theta[i]
    if at_one_hertz:
        slope = math.log(found.pivot)
        direction[NAMES[found.law].index("beta")] = slope
        value = value + slope * found.value("beta")
    variance = float(direction @ found.covariance @ direction)
    amplitude = math.exp(min(value, 300.0))
    return amplitude, amplitude * math.sqrt(max(variance, 0.0))


def _note(found: Found, data: Ordinates) -> str:
    if _at_limit(found):
        return f"the exponent runs to a limit of the search, {FLATTEST:g} or {STEEPEST:g}: it is not known"
    if found.law == "white":
        return "the light is steady within its noise: there is no law to find"
    if found.free_floor and found.floor < 0.2 * float(np.average(data.power[-5:], weights=data.weight[-5:])):
        return "the noise floor lies below the range: bins too wide; the exponent and the time lean on the floor"
    if found.law in {"lorentzian", "both"}:
        corner, error = math.exp(found.value("log_corner")), found.error("log_corner")
        if corner < 2.0 * data.frequency[0] or corner > 0.5 * data.frequency[-1] or error > 0.7:
            return "the corner of the Lorentzian lies at an end of the range: its time is a guess"
    return ""


def _at_limit(found: Found) -> bool:
    if "beta" not in NAMES[found.law]:
        return False
    beta = found.value("beta")
    return not FLATTEST * 1.01 < beta < STEEPEST * 0.99


def _saturates(
    fits: dict[str, Found], chosen: str, data: Ordinates, floor: float | None, shot: float, dispersion: float
) -> bool | None:
    """Return whether the spectrum is flat below a corner, by the likelihood of the corner."""
    if chosen == "both":
        rest = fits[chosen]
        return False if rest.value("beta") - SPAN * rest.error("beta") > 0.3 and not _at_limit(rest) else None
    bent = fits.get("lorentzian") or search("lorentzian", data, floor, expected=shot)
    straight = fits.get("power_law") or search("power_law", data, floor, expected=shot)
    lowest = math.log(DEEP * data.frequency[0])
    if (
        chosen == "lorentzian"
        and bent.value("log_corner") > lowest
        and straight.deviance - bent.deviance > CHI2_95 * dispersion
    ):
        return True
    held = search("lorentzian", data, floor, fixed_corner=lowest, expected=shot)
    below = bent.value("log_corner") < lowest or straight.deviance <= bent.deviance
    return False if below and held.deviance - min(straight.deviance, bent.deviance) > CHI2_95 * dispersion else None


def _bootstrapped(
    result: PsdFit, data: Ordinates, floor: float | None, shot: float, n: int, seed: int | np.random.Generator | None
) -> PsdFit:
    """Return the fit with errors and intervals from spectra drawn from the fitted law."""
    found, rng = result.found, np.random.default_rng(seed)
    if found.law == "white":
        return result
    model = found.model(data)
    draws = []
    for _ in range(n):
        power = model * rng.gamma(data.weight) / data.weight
        again = search(
            found.law, replace(data, power=np.maximum(power, 1e-12 * model)), floor, start=found.theta, expected=shot
        )
        draws.append(again.theta)
    spread = np.array(draws) - found.theta

    def limits(name: str) -> tuple[float, float, float]:
        i = NAMES[found.law].index(name)
        low, high = np.quantile(spread[:, i], [0.975, 0.025])  # what the draws err by, taken off
        return float(spread[:, i].std()), float(found.theta[i] - low), float(found.theta[i] - high)

    error, low, high = limits("beta")
    if math.isfinite(result.beta):
        result = replace(result, beta_err=error, beta_ci=(max(low, 0.0), high))
    if "log_corner" in NAMES[found.law]:
        error, low, high = limits("log_corner")
        times = (math.exp(-high) / (2.0 * math.pi), math.exp(-low) / (2.0 * math.pi))
        result = replace(result, time_err=result.time * error, time_ci=times)
    return result
