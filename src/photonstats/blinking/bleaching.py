"""Bleaching: whether the last dark stretch of a recording is more than a long off dwell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.blinking.dwell import DwellTimes
from photonstats.blinking.dwell_laws import DwellFit, fit_dwell_times
from photonstats.result import Result

Floats = NDArray[np.float64]

NAN2 = (math.nan, math.nan)
BLEACHED = 0.01  # probability of a long off dwell below which a dot is called bleached
RIVAL_BIC = 6.0  # laws that the dwells do not exclude: odds of 20 to 1
LAWS = ("power_law", "truncated", "exponential", "stretched", "lognormal")
RECORDS = 1000
MOST_DARK, MOST_CYCLES = 30.0, 50.0  # of the time before the end, in dark times and in dwells


@dataclass(frozen=True, repr=False)
class Bleaching(Result):
    """The last switch to dark from which the emitter did not return.

    Parameters
    ----------
    verdict : str
        "bleached"; "none" where the recording ends on; "undetermined" where it may be a long off dwell.
    time, time_ci : float and pair of float
        Time of the switch and its 95 % interval, s; nan where the recording ends on.
    dark_time : float
        From the switch to the end of the recording, s.
    probability : float
        Probability that a recording of the same blinking that ends off has been dark for as long at its end.
    law : str
        Law of the off dwells that gives it: of those the dwells allow the one with the largest.
    note : str
        Why there is no answer; mostly empty.
    """

    verdict: str
    time: float
    time_ci: tuple[float, float]
    dark_time: float
    probability: float
    law: str
    note: str = ""

    def summary(self) -> str:
        """Return the verdict with its time and its probability."""
        if self.verdict == "none":
            return "none: the recording ends on"
        chance = "" if math.isnan(self.probability) else f", a long off dwell with p = {self.probability:.2g}"
        text = f"{self.verdict}: dark from {self.time:.7g} s to the end, {self.dark_time:.4g} s{chance}"
        return text + (f"; {self.note}" if self.note else "")


def last_step(dwells: DwellTimes, rng: np.random.Generator) -> Bleaching:
    """Return the last switch to dark, and the chance that it begins an off dwell like the others.

    Notes
    -----
    All laws of `fit_dwell_times` are fitted to the off dwells, the cut last one included; records as long as
    this one are drawn from each law that BIC does not exclude by 6, with the on dwells that were seen, and of those
    that end off the share is counted that has been dark as long. The largest of these shares is the probability.
    That the dark stretch is the one at the end makes it longer than others by itself; the drawn records have that too.
    """
    if dwells.n == 0 or bool(dwells.states[-1]):
        return Bleaching("none", math.nan, NAN2, math.nan, math.nan, "")
    time, end = float(dwells.edges[-2]), float(dwells.edges[-1])
    where = time, _step_interval(dwells), end - time
    if dwells.n == 1:
        return Bleaching("undetermined", math.nan, NAN2, end - time, math.nan, "", "it was never seen on")
    longest = float(np.max(dwells.off[:-1], initial=0.0))
    fit = fit_dwell_times(dwells, state="off", t_min=float(dwells.off.min()), n_bootstrap=0)
    if fit.model == "undetermined":
        return Bleaching("undetermined", *where, math.nan, "", f"there is no law of off dwells: {fit.note}")
    before = _table_before(dwells, fit)
    least = min(row["bic"] for row in before.values())
    chances = {
        law: _share_as_long(dwells, fit, law, end - time, rng) for law in LAWS if before[law]["bic"] - least < RIVAL_BIC
    }
    law = max(chances, key=lambda name: chances[name])
    chance = chances[law]
    if chance < BLEACHED:
        return Bleaching("bleached", *where, chance, law)
    note = f"an off dwell of the same law may be as long (the longest before: {longest:.4g} s)"
    return Bleaching("undetermined", *where, chance, law, note)


def _step_interval(dwells: DwellTimes) -> tuple[float, float]:
    time = float(dwells.edges[-2])
    if dwells.edges_ci is not None and dwells.edges_ci.shape[0]:
        low, high = dwells.edges_ci[-1].tolist()
        return low, high
    if not math.isfinite(dwells.bin_width):
        return NAN2
    # the bin in which the light goes out belongs to the state that fills most of it
    return time - dwells.bin_width, time + dwells.bin_width


def _table_before(dwells: DwellTimes, fit: DwellFit) -> dict[str, dict[str, float]]:
    """Return the table of laws without the last dwell: it must not choose the law that is to judge it."""
    width = dwells.bin_width if math.isfinite(dwells.bin_width) else None
    cut = dwells.off_censored[:-1]
    earlier = fit_dwell_times(dwells.off[:-1], t_min=fit.times[0], censored=cut, bin_width=width, n_bootstrap=0)
    return earlier.table or fit.table


def _share_as_long(dwells: DwellTimes, fit: DwellFit, law: str, dark: float, rng: np.random.Generator) -> float:
    """Return the share of drawn records ending off that have been dark as long at their end."""
    duration = float(dwells.durations.sum())
    # what happened long before the end does not tell on it, and costs time
    cycle = duration / max(dwells.off.size, 1)
    duration = min(duration, max(MOST_DARK * dark, MOST_CYCLES * cycle))
    grid = np.geomspace(fit.t_min, max(duration, 2.0 * fit.t_min) * 1.01, 400)
    ages = _dark_at_end(grid, fit.survival(grid, law), dwells, duration, rng)
    return float((np.count_nonzero(ages >= dark * (1.0 - 1e-9)) + 1) / (ages.size + 1))


def _dark_at_end(grid: Floats, alive: Floats, dwells: DwellTimes, duration: float, rng: np.random.Generator) -> Floats:
    """Return for drawn records that end off how long they have been dark, s."""
    first_on = bool(dwells.states[0])
    clock, begin = np.zeros(RECORDS), np.zeros(RECORDS)
    on_at_end = np.full(RECORDS, first_on)
    going = np.arange(RECORDS)
    on = first_on
    while going.size:
        if on:
            length = dwells.on[rng.integers(0, dwells.on.size, going.size)]
        else:
            length = np.interp(-rng.random(going.size), -alive, grid, right=np.inf)
        begin[going] = clock[going]
        clock[going] += length
        on_at_end[going] = on
        going = going[clock[going] < duration]
        on = not on
    ages: Floats = duration - begin[~on_at_end]
    return ages
