"""Dwells over a recording, with what drifts and where the light went out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, MARK, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.blinking.switching_statistics import BlinkingStatistics


def plot_blinking_statistics(found: BlinkingStatistics, ax: Axes | None = None) -> Axes:
    """Draw each dwell against the time at which it began, cut ones open, with lines of their drift."""
    ax = axes(ax)
    ax.set(xlabel="begin of the dwell (s)", ylabel="dwell time (s)")
    dwells = found.dwells
    if not dwells.n:
        ax.set_title("undetermined")
        return ax
    begins, times, states = dwells.edges[:-1], dwells.durations, dwells.states
    cut = np.zeros(dwells.n, np.bool_)
    cut[[0, -1]] = True
    size = 3.0 if dwells.n < 400 else 1.5
    for state, name, color, drift in (
        (True, "on", DATA, found.aging_on),
        (False, "off", FIT, found.aging_off),
    ):
        which = states == state
        label = f"{name} ({np.count_nonzero(which)})"
        ax.plot(begins[which & ~cut], times[which & ~cut], "o", ms=size, mew=0, alpha=0.7, color=color, label=label)
        ax.plot(begins[which & cut], times[which & cut], "o", ms=5.0, mfc="none", color=color)
        inside = times[which & ~cut]
        if inside.size and math.isfinite(drift.slope):
            # dwells become shorter as the rate of leaving grows
            at = np.array([dwells.edges[0], dwells.edges[-1]])
            middle = np.exp(np.log(inside).mean() - drift.slope * (at - begins[which & ~cut].mean()))
            ax.plot(at, middle, color=color, lw=1.2)
    if math.isfinite(found.bleaching.time):
        bleached = found.bleaching.verdict == "bleached"
        label = "bleached" if bleached else "dark to the end"
        ax.axvline(found.bleaching.time, color=MARK, lw=1.2, ls="-" if bleached else ":", label=label)
    ax.set_yscale("log")
    ax.legend(loc="upper left", ncols=3)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.15)  # room for the legend
    return ax
