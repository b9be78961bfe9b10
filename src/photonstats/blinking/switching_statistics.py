"""Statistics of switching: on-fraction, rates, memory, aging, bleaching, drift of the bright level."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.blinking.bleaching import Bleaching, last_step
from photonstats.blinking.dwell import DwellTimes, dwell_times
from photonstats.blinking.dwell_drift import (
    NAN2,
    Drift,
    Memory,
    drift_of_brightness,
    drift_of_dwells,
    memory_of,
)
from photonstats.likelihood import Z95, poisson_interval
from photonstats.result import Result
from photonstats.traces.intensity import IntensityTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
PAIRS = ("on_on", "off_off", "on_off", "off_on")


@dataclass(frozen=True, eq=False, repr=False)
class BlinkingStatistics(Result):
    """How an emitter switches, and how that changes over the recording.

    Parameters
    ----------
    n_switches : int
        Switches between on and off.
    duration : float
        Length of all dwells, s.
    on_fraction, on_fraction_ci : float and pair of float
        Share of the time that is on, and 95 % interval of its long-time mean.
    rate_on_to_off, rate_on_to_off_ci, rate_off_to_on, rate_off_to_on_ci : float and pair of float
        Switches per second of the time in a state, and 95 % interval, Hz.
    memory : dict of str to Memory
        Rank correlation of a dwell with the next one: "on_on", "off_off" of the same state, "on_off" of an on dwell
        with the off dwell after it, "off_on" of an off dwell with the on dwell after it.
    aging_on, aging_off : Drift
        Relative change of the rate at which on and off dwells end: positive where dwells become shorter.
    brightness : Drift
        Relative change of the rate while on: positive for photobrightening, negative for photodarkening.
    bleaching : Bleaching
        Whether the emitter went dark for good.
    note : str
        Why there is no answer, or what the numbers leave out; mostly empty.
    dwells : DwellTimes
        What was looked at.
    """

    n_switches: int
    duration: float
    on_fraction: float
    on_fraction_ci: tuple[float, float]
    rate_on_to_off: float
    rate_on_to_off_ci: tuple[float, float]
    rate_off_to_on: float
    rate_off_to_on_ci: tuple[float, float]
    memory: dict[str, Memory]
    aging_on: Drift
    aging_off: Drift
    brightness: Drift
    bleaching: Bleaching
    note: str
    dwells: DwellTimes = field(repr=False)

    def summary(self) -> str:
        """Return a line for each statistic, with its interval."""
        if math.isnan(self.on_fraction):
            return f"BlinkingStatistics: undetermined; {self.note}"
        low, high = self.on_fraction_ci
        lines = [
            f"BlinkingStatistics: {self.n_switches} switches in {self.duration:.5g} s",
            f"  on-fraction   {self.on_fraction:.3f} [{low:.3f}, {high:.3f}]",
        ]
        for name in ("on_to_off", "off_to_on"):
            low, high = getattr(self, f"rate_{name}_ci")
            rate = getattr(self, f"rate_{name}")
            lines.append(f"  {name.replace('_to_', ' to '):<13} {rate:.4g} Hz [{low:.4g}, {high:.4g}]")
        lines += [f"  {pair.replace('_', ' then '):<13} {self.memory[pair].summary()}" for pair in PAIRS]
        lines += [
            f"  on ends       {self.aging_on.summary()}",
            f"  off ends      {self.aging_off.summary()}",
            f"  bright level  {self.brightness.summary()}",
            f"  bleaching     {self.bleaching.summary()}",
        ]
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how long each dwell lasted against the time at which it began."""
        from photonstats.plots import switching_statistics as drawing

        return drawing.plot_blinking_statistics(self, ax)


def blinking_statistics(
    dwells: DwellTimes | IntensityTrace,
    trace: IntensityTrace | None = None,
    *,
    background: float = 0.0,
    seed: int = 0,
) -> BlinkingStatistics:
    """Describe switching: on-fraction, rates, memory, aging, bleaching, and drift of the bright level.

    Parameters
    ----------
    dwells : DwellTimes or IntensityTrace
        Dwells; a trace is cut by `dwell_times` at its own threshold.
    trace : IntensityTrace, optional
        Counts per bin of the same recording, for the drift of the bright level.
    background : float
        Rate of counts unrelated to the light, Hz, taken off the bright level.
    seed : int
        Of permutations and drawn records.

    Returns
    -------
    BlinkingStatistics
        With nan, "undetermined" and notes where the dwells do not say.

    Raises
    ------
    ValueError
        If the background is negative, the order of the dwells is not known, or the trace is one of other times.

    Notes
    -----
    On-fraction: its error sums the autocorrelation; the interval lies on a logit scale. Rates: switches over the time
    in the state, n / T, with the exact Poisson interval of n / c switches, c the squared variation coefficient of the
    dwells where above 1; for power laws of exponent below 3 it grows with the recording, and both intervals are lower
    limits. Memory: Spearman's coefficient of whole dwells, p-value by 999 random orders; a drift, or a dwell that noise
    cuts in two, looks like memory. Aging: Cox's regression of the chance to switch on the time at which a dwell began.
    The tests are one each: of the seven p-values of steady blinking one is below 0.05 in every third recording.

    Bleaching: see `Bleaching`; where the verdict is "bleached" the rates and the aging leave the last dark stretch
    out, the on-fraction does not. The bright level: bins whole inside of on dwells, with offsets from dwell to dwell.
    A level that comes near the threshold is cut by it, and its drift looks smaller than it is.

    References
    ----------
    Cox, J. R. Stat. Soc. B 34, 187 (1972). Efron, J. Am. Stat. Assoc. 72, 557 (1977). Stefani, Hoogenboom, Barkai,
    Phys. Today 62 (2), 34 (2009). Bonett, Wright, Psychometrika 65, 23 (2000).

    Examples
    --------
    >>> trace = IntensityTrace([9, 0, 8, 7, 0, 1, 9, 9, 9, 0] * 9, 0.01)
    >>> blinking_statistics(dwell_times(trace, 500.0)).n_switches
    53
    """
    if not (math.isfinite(background) and background >= 0):
        raise ValueError(f"background must be a rate in hertz >= 0, it is {background}")
    if isinstance(dwells, IntensityTrace):
        trace = dwells if trace is None else trace
        dwells = dwell_times(dwells)
    if not dwells.n:
        return _nothing(dwells)
    if trace is not None:
        _same_recording(dwells, trace)
    rng = np.random.default_rng(seed)
    step = last_step(dwells, rng)
    bleached = step.verdict == "bleached"
    states, durations = dwells.states, dwells.durations
    time_off = float(durations[~states].sum()) - (step.dark_time if bleached else 0.0)
    n_off = int(np.count_nonzero(~states[:-1]))
    on_rate, on_ci = _rate(int(np.count_nonzero(states[:-1])), float(durations[states].sum()), dwells.on)
    off_rate, off_ci = _rate(n_off, time_off, dwells.off[:n_off] if bleached else dwells.off)
    no_trace = Drift(math.nan, NAN2, math.nan, 0, "the drift of the bright level takes a trace")
    return BlinkingStatistics(
        dwells.n - 1,
        float(durations.sum()),
        dwells.on_fraction,
        _share_interval(dwells.on_fraction, dwells.on_fraction_err),
        on_rate, on_ci, off_rate, off_ci,
        memory_of(dwells, rng),
        drift_of_dwells(dwells, True),
        drift_of_dwells(dwells, False, not bleached),
        no_trace if trace is None else drift_of_brightness(dwells, trace, background),
        step,
        "the rate off to on and its aging leave the dark end out" if bleached else "",
        dwells,
    )  # fmt: skip


def _same_recording(dwells: DwellTimes, trace: IntensityTrace) -> None:
    edges, end = dwells.edges, trace.start + trace.duration
    # photons of a last bin that is not whole are in no bin
    if max(abs(trace.start - edges[0]), abs(end - edges[-1])) > 1.01 * trace.bin_width:
        raise ValueError(
            f"the trace lasts from {trace.start:g} to {end:g} s, the dwells from {edges[0]:g} to {edges[-1]:g} s: "
            "give the trace of the same recording"
        )


def _nothing(dwells: DwellTimes) -> BlinkingStatistics:
    why = dwells.note or "there are no dwells"
    nan = math.nan
    drift = Drift(nan, NAN2, nan, 0, why)
    memory = {pair: Memory(nan, NAN2, nan, 0, why) for pair in PAIRS}
    step = Bleaching("undetermined", nan, NAN2, nan, nan, "", why)
    return BlinkingStatistics(
        0, nan, nan, NAN2, nan, NAN2, nan, NAN2, memory, drift, drift, drift, step, why, dwells
    )  # fmt: skip


def _share_interval(share: float, error: float) -> tuple[float, float]:
    if not (math.isfinite(error) and 0 < share < 1):
        return NAN2
    half = Z95 * error / (share * (1.0 - share))
    centre = float(special.logit(share))
    return float(special.expit(centre - half)), float(special.expit(centre + half))


def _rate(n: int, time: float, dwells: Floats) -> tuple[float, tuple[float, float]]:
    """Return switches per time and their interval; scattered dwells count as fewer of an exponential."""
    if not time > 0:
        return math.nan, NAN2
    scatter = float(np.var(dwells, ddof=1) / np.mean(dwells) ** 2) if dwells.size > 2 else 1.0
    few = max(scatter, 1.0)
    low, high = (poisson_interval(n / few) * few / time).tolist()
    return n / time, (low, high)
