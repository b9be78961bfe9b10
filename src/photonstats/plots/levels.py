"""Levels of a blinking emitter: against time, beside the histogram of rates, and the switches between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.plots.style import DATA, FIT, MOST_POINTS, QUIET, SECOND, axes, rate_scale, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.switching.level_clustering import Levels
    from photonstats.switching.markov_chain import HiddenMarkov
    from photonstats.traces.intensity import IntensityTrace

Floats = NDArray[np.float64]

MOST_INTERVALS = 40  # change points whose intervals can still be told apart


def _pair(ax: Axes | None) -> tuple[Axes, Axes]:
    """Return axes for a trace and, right of it with the same ordinate, for its histogram."""
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(7.0, 2.6), layout="constrained")
        with style():
            ax, beside = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
    else:
        beside = ax.inset_axes((1.02, 0.0, 0.22, 1.0), sharey=ax)
    beside.tick_params(labelleft=False)
    beside.locator_params(axis="x", nbins=2, prune="lower")
    return ax, beside


def plot_levels(levels: Levels, ax: Axes | None = None, *, trace: IntensityTrace | None = None) -> Axes:
    """Draw segments or a trace with the level of each dwell, intervals of the change points, and the share of time."""
    ax, beside = _pair(ax)
    segments = levels.segments
    ends = np.append(levels.rates, segments.rates) if trace is None else np.append(levels.rates, trace.rate)
    scale, unit = rate_scale(ends)
    which, edges = levels.dwells()
    if segments.times_ci is not None and segments.times_ci.shape[0] >= len(segments) - 1:
        inner = segments.times_ci if segments.times_ci.shape[0] == len(segments) - 1 else segments.times_ci[1:-1]
        if inner.shape[0] <= MOST_INTERVALS:
            for low, high in inner:
                ax.axvspan(low, high, color=FIT, alpha=0.25, lw=0)
    if trace is None:
        low, high = segments.rates_ci.T / scale
        ax.stairs(high, segments.edges, baseline=low, fill=True, color=QUIET, alpha=0.35, lw=0)
        ax.stairs(segments.rates / scale, segments.edges, baseline=None, color=QUIET, lw=0.6)
        bottom, top = _range(segments.rates / scale)
        rates, weights = segments.rates / scale, segments.durations
    else:
        _draw_trace(ax, trace, scale)
        bottom, top = 0.0, 1.05 * float(trace.rate.max(initial=1e-9)) / scale
        rates, weights = trace.rate / scale, np.full(trace.rate.size, trace.bin_width)
    ax.stairs(levels.rates[which] / scale, edges, baseline=None, color=FIT, lw=1.4, zorder=3)
    shares, places = np.histogram(np.clip(rates, bottom, top), np.linspace(bottom, top, 81), weights=weights)
    beside.stairs(shares / weights.sum(), places, orientation="horizontal", fill=True, color=DATA, alpha=0.8)
    for rate, (low, high) in zip(levels.rates / scale, levels.rates_ci / scale, strict=True):
        beside.axhspan(low, high, color=FIT, alpha=0.2, lw=0, zorder=0.5)
        beside.plot(1.0, rate, marker="<", ms=4.0, color=FIT, transform=beside.get_yaxis_transform(), clip_on=False)
    beside.set(xlabel="share of time", xlim=(0, None))
    ax.set(xlabel="time (s)", ylabel=f"count rate ({unit})", ylim=(bottom, top))
    ax.set_xlim(segments.edges[0], segments.edges[-1])
    count = f"{levels.n} level" + ("s" if levels.n > 1 else "")
    ax.set_title(f"{count}, probability {levels.probability[levels.n]:.2g}", loc="left")
    return ax


def _range(rates: Floats) -> tuple[float, float]:
    return 0.0, 1.12 * max(float(rates.max()), 1e-9)


def _draw_trace(ax: Axes, trace: IntensityTrace, scale: float) -> None:
    step = -(-trace.rate.size // MOST_POINTS)
    n = trace.rate.size // step * step
    blocks, times = trace.rate[:n].reshape(-1, step) / scale, trace.time[:n].reshape(-1, step).mean(axis=1)
    if step > 1:
        ax.fill_between(times, blocks.min(axis=1), blocks.max(axis=1), color=QUIET, alpha=0.35, lw=0, step="mid")
    ax.plot(times, blocks.mean(axis=1), color=QUIET, lw=0.5, drawstyle="steps-mid")


def plot_transitions(levels: Levels, ax: Axes | None = None) -> Axes:
    """Draw a circle for each level at its rate, as large as its share of time, and arrows as wide as their switches."""
    ax = axes(ax, (4.8, 3.2))
    scale, unit = rate_scale(levels.rates)
    rates = levels.rates / scale
    span = max(float(np.ptp(rates)), 0.2 * float(rates.max(initial=0.0)), 1e-12)
    most = max(int(levels.transitions.max(initial=0)), 1)
    reach = 0.0
    for i, j in zip(*np.nonzero(levels.transitions), strict=True):
        # Upward switches bend above the line of levels, downward ones below; the further apart, the higher.
        bend = 0.9 * abs(rates[j] - rates[i]) / span
        height = bend / 2.0 + 0.1
        side = 1.0 if j > i else -1.0
        reach = max(reach, height)
        number = int(levels.transitions[i, j])
        _arrow(
            ax,
            rates[i],
            rates[j],
            side * height,
            0.5 + 3.5 * number / most,
            1.0 - min(0.045 * span / abs(rates[j] - rates[i]), 0.13),
        )
        ax.annotate(
            str(number), ((rates[i] + rates[j]) / 2, side * height), ha="center", va="center", fontsize=7.5,
            color="#333333",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    size = [(2.0 * _radius(share)) ** 2 for share in levels.occupancy]
    ax.scatter(rates, np.zeros(rates.size), s=size, color=DATA, zorder=3, lw=0)
    for j, rate in enumerate(rates):
        ax.annotate(str(j), (rate, 0.0), ha="center", va="center", color="white", fontsize=8.0, zorder=4)
    limit = max(reach + 0.2, 0.4)
    ax.set(xlabel=f"count rate ({unit})", ylim=(-limit, limit), yticks=[])
    ax.set_xlim(rates.min() - 0.2 * span, rates.max() + 0.2 * span)
    ax.spines["left"].set_visible(False)
    ax.set_title("switches between levels; circles: share of time", loc="left")
    return ax


def _radius(share: float) -> float:
    """Return the radius of the circle of a level in points."""
    return 5.0 + 10.0 * math.sqrt(share)


def _arrow(ax: Axes, start: float, end: float, height: float, width: float, until: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    # A quadratic curve peaks at half the height of its middle point; it stops where the circle of the level begins.
    points = np.array([[start, 0.0], [(start + end) / 2, 2.0 * height], [end, 0.0]])
    middle = points[0] + until * (points[1] - points[0])
    tip = middle + until * (points[1] + until * (points[2] - points[1]) - middle)
    path = Path(np.stack([points[0], middle, tip]), [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    shaft = FancyArrowPatch(
        path=path, arrowstyle="-|>", mutation_scale=7.0 + 1.5 * width, lw=width, color=SECOND if height > 0 else FIT,
        alpha=0.75, shrinkA=0, shrinkB=0,
    )  # fmt: skip
    ax.add_patch(shaft)


def plot_hidden_markov(found: HiddenMarkov, ax: Axes | None = None) -> Axes:
    """Draw the trace and its likeliest path, beside the share of bins at each rate and what the levels make of it."""
    ax, beside = _pair(ax)
    trace = found.trace
    scale, unit = rate_scale(trace.rate)
    _draw_trace(ax, trace, scale)
    starts = np.flatnonzero(np.diff(found.path, prepend=-1))
    edges = trace.start + np.append(starts, found.path.size) * trace.bin_width
    ax.stairs(found.rates[found.path[starts]] / scale, edges, baseline=None, color=FIT, lw=1.2, zorder=3)
    top = int(trace.counts.max(initial=1))
    width = max(1, -(-top // 60))
    borders = np.arange(0, top + 2 * width, width) - 0.5
    shares = np.histogram(trace.counts, borders)[0] / trace.counts.size
    beside.stairs(shares, borders / trace.bin_width / scale, orientation="horizontal", fill=True, color=DATA, alpha=0.8)
    below = np.where(borders[:, None] > 0, special.pdtr(np.floor(borders)[:, None], found.rates * trace.bin_width), 0.0)
    model = np.diff(below, axis=0) @ found.occupancy
    beside.stairs(model, borders / trace.bin_width / scale, orientation="horizontal", color=FIT, lw=1.0)
    beside.set(xlabel="share of bins", xlim=(0, None))
    ax.set(xlabel="time (s)", ylabel=f"count rate ({unit})", ylim=(0, 1.05 * max(top, 1) / trace.bin_width / scale))
    ax.set_xlim(trace.start, trace.start + trace.duration)
    ax.set_title(f"hidden Markov chain, {found.n} level" + ("s" if found.n > 1 else ""), loc="left")
    return ax
