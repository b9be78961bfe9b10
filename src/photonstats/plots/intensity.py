"""Count rate over time, and dwell times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.plots.style import DATA, FIT, MOST_POINTS, axes, rate_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.blinking.dwell import DwellTimes
    from photonstats.traces.intensity import IntensityTrace


def plot_trace(trace: IntensityTrace, ax: Axes | None = None, *, threshold: float | None = None) -> Axes:
    """Draw a count rate against time; of a long trace the range within each stretch is shaded, so no spike is lost."""
    ax = axes(ax, (7.0, 2.6))
    scale, unit = rate_scale(trace.rate)
    time, rate = trace.time, trace.rate / scale
    step = -(-rate.size // MOST_POINTS)
    if step > 1:
        n = rate.size // step * step
        blocks = rate[:n].reshape(-1, step)
        centres = time[:n].reshape(-1, step).mean(axis=1)
        ax.fill_between(centres, blocks.min(axis=1), blocks.max(axis=1), color=DATA, alpha=0.35, lw=0, step="mid")
        ax.plot(centres, blocks.mean(axis=1), color=DATA, lw=0.6, drawstyle="steps-mid")
    else:
        ax.plot(time, rate, color=DATA, lw=0.6, drawstyle="steps-mid")
    if threshold is not None and np.isfinite(threshold):
        ax.axhline(threshold / scale, color=FIT, lw=1.0, ls="--")
    ax.set(xlabel="time (s)", ylabel=f"count rate ({unit})", ylim=(0, None))
    ax.set_xlim(trace.start, trace.start + trace.duration)
    return ax


def plot_trace_histogram(trace: IntensityTrace, ax: Axes | None = None, *, threshold: float | None = None) -> Axes:
    """Draw how often each count rate occurs, lying on its side so that it goes beside the trace."""
    ax = axes(ax, (2.0, 2.6))
    scale, unit = rate_scale(trace.rate)
    width = max(1, -(-int(trace.counts.max(initial=0)) // 80))
    edges = np.arange(0, trace.counts.max(initial=0) + 2 * width, width) - 0.5
    shown, _ = np.histogram(trace.counts, edges)
    ax.stairs(shown, edges / trace.bin_width / scale, orientation="horizontal", color=DATA, fill=True, alpha=0.8)
    if threshold is not None and np.isfinite(threshold):
        ax.axhline(threshold / scale, color=FIT, lw=1.0, ls="--")
    ax.set(xlabel="bins", ylabel=f"count rate ({unit})", ylim=(0, None), xlim=(0, None))
    return ax


def plot_dwell_times(dwells: DwellTimes, ax: Axes | None = None) -> Axes:
    """Draw which share of on and off dwells lasts longer than t (Kaplan-Meier, censored ends in it)."""
    ax = axes(ax)
    for times, censored, label, color in (
        (dwells.on, dwells.on_censored, "on", DATA),
        (dwells.off, dwells.off_censored, "off", FIT),
    ):
        if times.size:
            t, survival = _survival(times, censored)
            ax.step(t, survival, where="post", color=color, label=f"{label} ({times.size})")
    if dwells.on.size + dwells.off.size:
        ax.set(xscale="log", yscale="log")
        ax.legend(loc="lower left")
    ax.set(xlabel="dwell time (s)", ylabel="share of dwells longer")
    return ax


def _survival(
    times: NDArray[np.float64], censored: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(times, kind="stable")
    values, first = np.unique(times[order], return_index=True)
    ended = np.add.reduceat((~censored[order]).astype(np.float64), first)
    at_risk = times.size - first
    survival = np.cumprod(1.0 - ended / at_risk)
    return np.concatenate([[values[0] * 0.9], values]), np.concatenate([[1.0], survival])
