"""Levels of one nanocrystal against power: the line of a single emitter, activated ones, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from photonstats.likelihood import Z95
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream
from photonstats.switching.changepoints import change_points
from photonstats.switching.level_clustering import Levels, levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float]

SAME_POWER = 0.02  # relative difference below which two powers are one
ABOVE = 1.5  # a level is of more than one emitter where its lower limit exceeds this many
UNKNOWN: Interval = (math.nan, math.nan)


@dataclass(frozen=True, eq=False, repr=False)
class PowerSeries(Result):
    """Levels of one nanocrystal at several powers, against the line of a single emitter.

    Parameters
    ----------
    powers : ndarray of float, shape (k,)
        Power of each recording, in the order of time.
    downward : ndarray of bool, shape (k,)
        Recordings after the one of highest power.
    recording : ndarray of int, shape (n,)
        Recording that each level belongs to.
    rates, rates_ci : ndarray of float, shape (n,), (n, 2)
        Count rate of each level, Hz.
    occupancy : ndarray of float, shape (n,)
        Share of the time of its recording.
    slope, slope_err : float
        Rate of a single emitter over power, Hz per unit of power; nan where it is not known.
    emitters, emitters_ci : ndarray of float, shape (n,), (n, 2)
        Rate above the background over that of a single emitter.
    n_emitters : ndarray of int, shape (n,)
        Nearest whole number.
    activated : ndarray of bool, shape (n,)
        Levels whose interval lies above 1.5 emitters.
    exponent, exponent_ci : float, (float, float)
        Power law of the single-emitter level with power: 1 is a line; nan below three powers.
    total_exponent, total_exponent_ci : float, (float, float)
        The same of the mean rate; above 1 where emitters are activated.
    reversible : bool or None
        Whether the way down repeats the way up: None without two powers in common, or where one of them has no level
        of a single emitter in both.
    reversible_p : float
        Probability of a larger difference between the single-emitter levels of both sweeps.
    background : float
        Hz.
    note : str
        What weakens the answer; mostly empty.
    """

    powers: Floats
    downward: NDArray[np.bool_]
    recording: Ints
    rates: Floats
    rates_ci: Floats
    occupancy: Floats
    slope: float
    slope_err: float
    emitters: Floats
    emitters_ci: Floats
    n_emitters: Ints
    activated: NDArray[np.bool_]
    exponent: float
    exponent_ci: Interval
    total_exponent: float
    total_exponent_ci: Interval
    reversible: bool | None
    reversible_p: float
    background: float
    note: str = ""

    def summary(self) -> str:
        """Return the line of a single emitter, the activated levels and the verdict on the way back."""
        word = {True: "yes", False: "no", None: "undetermined"}[self.reversible]
        low, high = self.exponent_ci
        most = int(self.n_emitters.max(initial=0))
        lines = [
            f"PowerSeries: {self.powers.size} recordings, single emitter {quantity(self.slope, self.slope_err)} Hz/W",
            f"  exponent of its level {self.exponent:.3g} ({low:.3g} to {high:.3g})",
            f"  {int(self.activated.sum())} of {self.rates.size} levels above one emitter, at most {most} emitters",
            f"  reversible: {word} (p {self.reversible_p:.3g})",
        ]
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the levels against power and the line of a single emitter."""
        from photonstats.plots.spectrum import plot_power_series

        return plot_power_series(self, ax)


def power_series(
    recordings: Sequence[Levels | PhotonStream],
    powers: ArrayLike,
    *,
    background: float = 0.0,
    relative_err: float = 0.02,
) -> PowerSeries:
    """Follow the levels of one nanocrystal through a sweep of the excitation power.

    Parameters
    ----------
    recordings : sequence of Levels or PhotonStream, length k
        In the order of time; of streams the levels are found with `change_points` and `levels`.
    powers : array_like of float, shape (k,)
        Power of each, W or any unit that is proportional to it, > 0; up first, then down.
    background : float
        Rate of counts that do not come from the dot, Hz.
    relative_err : float
        Standard error of the power and the focus from one recording to the next, relative.

    Returns
    -------
    PowerSeries

    Raises
    ------
    ValueError
        If there are fewer than two recordings, or numbers do not fit.

    Notes
    -----
    The brightest level at the lowest power is taken for a single emitter; check that with `estimate_emitters`. At
    each power the level within half an emitter of ``slope * power`` counts to the line, which is fitted to those. The
    line is straight only far below saturation, ``<N> << 1``: near it a single level falls below the line, and whole
    numbers of emitters are no longer told apart; fit `fit_saturation` to the single level then.
    The way back is compared at powers that occur on both ways, by the difference of the logarithms of the
    single-emitter levels (chi-square), and by the number of emitters at the lowest common power.

    References
    ----------
    Zhang et al., Emergence of multiple fluorophores in individual cesium lead bromide nanocrystals, Fig. 4.

    Examples
    --------
    >>> from photonstats import simulate
    >>> dim, bright = (simulate.poisson(rate, 2.0, seed=1)[0] for rate in (1e3, 2e3))
    >>> power_series([dim, bright, dim], [1.0, 2.0, 1.0]).reversible
    True
    """
    power = np.asarray(powers, dtype=np.float64)
    found = [_levels(each) for each in recordings]
    if power.ndim != 1 or power.size != len(found) or power.size < 2:
        raise ValueError(f"a series takes two recordings or more, each with its power: {len(found)} and {power.shape}")
    if np.any(~(power > 0)) or not np.all(np.isfinite(power)):
        raise ValueError(f"powers must be above zero, they are {power.tolist()}")
    if not 0.0 <= relative_err < 1.0 or not background >= 0.0:
        raise ValueError(f"relative_err must be 0 to 1 and background >= 0 Hz: {relative_err}, {background}")
    recording = np.repeat(np.arange(len(found)), [each.n for each in found])
    rates, interval = np.concatenate([e.rates for e in found]), np.concatenate([e.rates_ci for e in found])
    light = rates - background
    error = np.hypot((interval[:, 1] - interval[:, 0]) / (2.0 * Z95), relative_err * np.maximum(light, 0.0))
    slope, slope_err, single = _line(light / power[recording], error / power[recording], recording, power)
    emitters = light / (slope * power[recording])
    spread = np.hypot(error / (slope * power[recording]), emitters * slope_err / slope)
    emitters_ci = emitters[:, None] + Z95 * np.array([-1.0, 1.0]) * spread[:, None]
    number = np.maximum(np.rint(np.where(np.isfinite(emitters), emitters, 0.0)), 0.0).astype(np.int64)
    activated = emitters_ci[:, 0] > ABOVE
    downward = np.arange(power.size) > int(np.argmax(power))
    exponent = _exponent(power[recording][single], light[single], error[single])
    seconds = [float(e.segments.durations.sum()) for e in found]
    mean = np.array([float(e.segments.counts.sum()) / t for e, t in zip(found, seconds, strict=True)]) - background
    total = _exponent(power, mean, np.maximum(relative_err, 1e-3) * np.abs(mean))
    p_value, same = _way_back(power, downward, recording, light, error, single, number)
    missing = [f"{power[k]:g}" for k in range(power.size) if not np.any(single & (recording == k))]
    note = f"no level of a single emitter at power {', '.join(missing)}" if missing else ""
    if not math.isfinite(slope):
        note = "the lowest power shows no light above the background: the line of a single emitter is not known"
    return PowerSeries(
        power, downward, recording, rates, interval, np.concatenate([e.occupancy for e in found]), slope, slope_err,
        emitters, emitters_ci, number, activated, *exponent, *total, same, p_value, background, note,
    )  # fmt: skip


def _levels(recording: Levels | PhotonStream) -> Levels:
    if isinstance(recording, Levels):
        return recording
    if not isinstance(recording, PhotonStream):
        raise TypeError(f"a recording is a Levels result or a PhotonStream, not a {type(recording).__name__}")
    return levels(change_points(recording))


def _line(slopes: Floats, errors: Floats, recording: Ints, power: Floats) -> tuple[float, float, NDArray[np.bool_]]:
    """Return the rate of one emitter over power, its error, and which levels lie on that line."""
    lowest = power[recording] <= power.min() * (1.0 + SAME_POWER)
    first = float(slopes[lowest].max())
    if not first > 0:
        return math.nan, math.nan, np.zeros(slopes.size, np.bool_)
    slope, single = first, lowest & (slopes == first)
    for _ in range(20):
        near = np.abs(slopes / slope - 1.0) < 0.5
        # a recording has one level of one emitter: the nearest to the line
        best = [
            rows[np.argmin(np.abs(slopes[rows] - slope))]
            for k in range(power.size)
            if (rows := np.flatnonzero(near & (recording == k))).size
        ]
        chosen = np.zeros(slopes.size, np.bool_)
        chosen[best] = True
        weight = 1.0 / np.maximum(errors[chosen], 1e-12 * first) ** 2
        new = float(np.average(slopes[chosen], weights=weight))
        done, slope, single = bool(np.all(chosen == single)), new, chosen
        if done:
            break
    scatter = float(np.sum(weight * (slopes[single] - slope) ** 2)) / max(int(single.sum()) - 1, 1)
    return slope, math.sqrt(max(scatter, 1.0) / float(weight.sum())), single


def _exponent(power: Floats, light: Floats, error: Floats) -> tuple[float, Interval]:
    """Return the exponent of a power law and its interval, by the scatter about it or the errors, whichever is more."""
    lit = light > 0
    x, y = np.log(power[lit]), np.log(light[lit])
    if np.unique(np.round(x / SAME_POWER)).size < 3:
        return math.nan, UNKNOWN
    weight = (light[lit] / error[lit]) ** 2
    x = x - np.average(x, weights=weight)
    information = float(np.sum(weight * x**2))
    slope = float(np.sum(weight * x * y)) / information
    residual = y - np.average(y, weights=weight) - slope * x
    scatter = float(np.sum(weight * residual**2)) / (x.size - 2)
    known, seen = Z95 / math.sqrt(information), float(stats.t.ppf(0.975, x.size - 2)) * math.sqrt(scatter / information)
    half = max(known, seen)
    return slope, (slope - half, slope + half)


def _way_back(
    power: Floats,
    downward: NDArray[np.bool_],
    recording: Ints,
    light: Floats,
    error: Floats,
    single: NDArray[np.bool_],
    number: Ints,
) -> tuple[float, bool | None]:
    """Return the p-value of equal single-emitter levels on both ways, and whether the way down repeats the way up."""
    differences, pairs = [], []
    for down in np.flatnonzero(downward):
        for up in np.flatnonzero(~downward):
            if abs(math.log(power[down] / power[up])) > SAME_POWER:
                continue
            pairs.append((float(power[up]), int(up), int(down)))
            ends = [np.flatnonzero(single & (recording == k)) for k in (up, down)]
            if all(rows.size for rows in ends):
                a, b = int(ends[0][0]), int(ends[1][0])
                variance = (error[a] / light[a]) ** 2 + (error[b] / light[b]) ** 2
                differences.append(math.log(light[b] / light[a]) ** 2 / variance)
    if not differences:
        return math.nan, None
    p_value = float(stats.chi2.sf(sum(differences), len(differences)))
    _, first, last = min(pairs)
    returned = number[recording == first].max() == number[recording == last].max()
    return p_value, bool(p_value >= 0.01 and returned)
