"""Rates and lifetimes of segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, QUIET, axes, rate_scale, time_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.decays.segments import Segments

MOST_BARS = 3000


def plot_segments(segments: Segments, ax: Axes | None = None) -> Axes:
    """Draw the rate of each segment against time with its interval, coloured by lifetime where that is known."""
    ax = axes(ax, (7.0, 2.6))
    scale, unit = rate_scale(segments.rates)
    rates, (low, high) = segments.rates / scale, segments.rates_ci.T / scale
    begin, end = segments.edges[:-1], segments.edges[1:]
    ax.stairs(high, segments.edges, baseline=low, fill=True, color=QUIET, alpha=0.25, lw=0)
    if segments.lifetimes is None:
        ax.hlines(rates, begin, end, color=DATA, lw=1.2)
    else:
        known = np.isfinite(segments.lifetimes)
        ax.hlines(rates[~known], begin[~known], end[~known], color=QUIET, lw=1.2)
        factor, name = time_scale(segments.lifetimes[known])
        lines = ax.hlines(rates[known], begin[known], end[known], lw=2.6)
        if known.any():
            lines.set_array(segments.lifetimes[known] * factor)
            lines.set_cmap("viridis")
            ax.figure.colorbar(lines, ax=ax, label=f"lifetime ({name})")
    ax.set(xlabel="time (s)", ylabel=f"count rate ({unit})", ylim=(0, None))
    ax.set_xlim(segments.edges[0], segments.edges[-1])
    return ax


def plot_lifetimes(segments: Segments, ax: Axes | None = None) -> Axes:
    """Draw the lifetime of each segment against its rate; open ends of intervals run out of the figure."""
    if segments.lifetimes is None or segments.lifetimes_ci is None:
        raise ValueError("these segments have no lifetimes yet; get them from fit_segments")
    ax = axes(ax)
    # Where there are too many for bars, the longest segments say most.
    order = np.argsort(segments.counts, kind="stable")[::-1][:MOST_BARS]
    order = order[np.isfinite(segments.lifetimes[order])]
    scale, unit = rate_scale(segments.rates)
    rates, lifetimes = segments.rates[order] / scale, segments.lifetimes[order]
    factor, name = time_scale(lifetimes)
    top = 3.0 * lifetimes.max(initial=0.0) * factor
    low, high = np.minimum(segments.lifetimes_ci[order].T * factor, top)
    shown = lifetimes * factor
    ax.errorbar(rates, shown, yerr=[shown - low, high - shown], fmt="o", ms=2.5, lw=0.6, color=DATA, alpha=0.7)
    ax.set(xlabel=f"count rate ({unit})", ylabel=f"lifetime ({name})", xlim=(0, None))
    ax.set_ylim(0, 1.15 * shown.max(initial=1e-3))
    return ax
