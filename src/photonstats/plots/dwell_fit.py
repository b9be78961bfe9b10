"""Dwell times with their fitted laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.likelihood import poisson_interval
from photonstats.plots.style import DATA, FIT, MARK, QUIET, SECOND, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.blinking.dwell_calibration import CalibratedDwellFit
    from photonstats.blinking.dwell_laws import DwellFit
    from photonstats.blinking.dwell_thresholds import ThresholdScan

COLORS = {"power_law": SECOND, "truncated": FIT, "exponential": QUIET, "stretched": QUIET, "lognormal": QUIET}
BINS_PER_DECADE = 6


def plot_dwell_fit(fit: DwellFit, ax: Axes | None = None, *, kind: str = "survival") -> Axes:
    """Draw the survival or the density of dwells with 95 % intervals, their laws, and a mark for each cut dwell."""
    if kind not in {"survival", "density"}:
        raise ValueError(f'kind must be "survival" or "density", it is {kind!r}')
    ax = axes(ax)
    ax.set(xlabel="dwell time (s)", ylabel="share of dwells longer" if kind == "survival" else "density (1/s)")
    if not fit.times.size:
        return ax
    if kind == "survival":
        _draw_survival(fit, ax)
    else:
        _draw_density(fit, ax)
    ax.set(xscale="log", yscale="log")
    _draw_laws(fit, ax, kind)
    if fit.model == "undetermined":
        ax.set_title("undetermined")
    ax.legend(loc="lower left")
    return ax


def plot_dwell_laws(fits: Mapping[str, DwellFit], figure: Any) -> None:
    """Draw the histograms of on and off dwells with their laws beside each other into a figure."""
    panels = figure.subplots(1, len(fits), sharey=True)
    for ax, (state, fit) in zip(np.atleast_1d(panels), fits.items(), strict=True):
        plot_dwell_fit(fit, ax, kind="density")
        ax.set(xlabel=f"{state} dwell time (s)")
        # above the axes nothing is hidden: steep laws leave no corner free
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=7.0, borderaxespad=0.2, labelspacing=0.2)
        ax.label_outer()


def _draw_survival(fit: DwellFit, ax: Axes) -> None:
    shift = 0.5 * fit.bin_width if math.isfinite(fit.bin_width) else 0.0
    t, alive, error = _kaplan_meier(fit.times, fit.ended)
    seen = alive > 0
    # exp(+-) of Greenwood's error of ln S keeps the interval above 0
    band = np.exp(np.outer([-1.96, 1.96], error / np.maximum(alive, 1e-300))) * alive
    ax.fill_between(t + shift, band[0], np.minimum(band[1], 1.0), where=seen, step="post", color=DATA, alpha=0.2, lw=0)
    ax.step(t[seen] + shift, alive[seen], where="post", color=DATA, label=f"{fit.n_dwells} dwells")
    cut = fit.times[~fit.ended]
    if cut.size:
        at = np.clip(np.searchsorted(t, cut, side="right") - 1, 0, t.size - 1)
        shown = np.maximum(alive[at], alive[seen].min())
        ax.plot(cut + shift, shown, "|", color=MARK, ms=9, mew=1.5, label=f"{cut.size} cut")


def _draw_density(fit: DwellFit, ax: Axes) -> None:
    times = fit.times[fit.ended]
    if not times.size:
        return
    width = fit.bin_width if math.isfinite(fit.bin_width) else 0.0
    low, high = float(times[0]), float(times[-1]) * (1.0 + 1e-9) + width
    edges = np.geomspace(low, high, max(int(BINS_PER_DECADE * math.log10(high / low)), 1) + 1)
    if width:
        edges = (np.unique(np.rint(edges / width)) - 0.5) * width
    number, _ = np.histogram(times, edges)
    filled = number > 0
    scale = 1.0 / (fit.n_dwells * np.diff(edges))
    centre, density = np.sqrt(edges[1:] * edges[:-1])[filled], (number * scale)[filled]
    error = np.abs(poisson_interval(number).T * scale - number * scale)[:, filled]
    label = f"{times.size} dwells"
    ax.errorbar(centre, density, error, fmt="o", color=DATA, ms=3.5, elinewidth=1.0, label=label)
    cut = fit.times[~fit.ended]
    if cut.size:
        ax.plot(cut, np.full(cut.size, density.min()), "|", color=MARK, ms=9, mew=1.5, label=f"{cut.size} cut")


def _draw_laws(fit: DwellFit, ax: Axes, kind: str) -> None:
    drawn = dict.fromkeys((fit.model, "power_law", "truncated"))
    longest = float(fit.times[-1]) * 1.5
    for name in drawn:
        if name not in fit._fits:
            continue
        end = min(longest, fit.t_max)
        t = np.geomspace(fit.t_min, end, 300)
        curve = fit.survival(t, name) if kind == "survival" else fit.density(t, name)
        shown = curve > 0
        chosen = name == fit.model
        label = name.replace("_", " ") + (f", α = {fit.alpha:.3g}" if chosen and math.isfinite(fit.alpha) else "")
        if chosen and name == "truncated" and math.isfinite(fit.cutoff):
            label += f", cutoff {fit.cutoff:.3g} s"
        ax.plot(t[shown], curve[shown], color=COLORS[name], ls="-" if chosen else "--", lw=1.4, label=label)
    if fit.model == "truncated" and math.isfinite(fit.cutoff):
        ax.axvline(fit.cutoff, color=FIT, lw=0.8, ls=":")
        ax.axvspan(fit.cutoff_ci[0], min(fit.cutoff_ci[1], longest * 10.0), color=FIT, alpha=0.12, lw=0)


def _kaplan_meier(
    times: NDArray[np.float64], ended: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return times, share of longer dwells, and its standard error by Greenwood's formula."""
    values, first = np.unique(times, return_index=True)
    gone: NDArray[np.float64] = np.add.reduceat(ended.astype(np.float64), first)
    at_risk = (times.size - first).astype(np.float64)
    alive: NDArray[np.float64] = np.cumprod(1.0 - gone / at_risk).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        summed = np.cumsum(np.where(at_risk > gone, gone / (at_risk * (at_risk - gone)), 0.0))
    return values, alive, alive * np.sqrt(summed)


def plot_calibration(found: CalibratedDwellFit, ax: Axes | None = None) -> Axes:
    """Draw raw and calibrated exponent with 95 % intervals."""
    ax = axes(ax, (3.6, 2.4))
    for y, (label, value, interval, color) in enumerate(
        (
            ("raw", found.raw.alpha, found.raw.alpha_ci, QUIET),
            ("calibrated", found.alpha, found.alpha_ci, DATA),
        )
    ):
        if math.isfinite(value):
            error = [[value - interval[0]], [interval[1] - value]]
            ax.errorbar([value], [y], xerr=error, fmt="o", color=color, ms=4, elinewidth=1.2, label=label)
    ax.set(yticks=[0, 1], yticklabels=["raw", "calibrated"], ylim=(-0.6, 1.6), xlabel="exponent α")
    ax.set_title(f"{found.state} dwells, {found.model.replace('_', ' ')}")
    return ax


def plot_threshold_scan(scan: ThresholdScan, ax: Axes | None = None) -> Axes:
    """Draw the exponent with its 95 % interval against the threshold."""
    ax = axes(ax)
    error = np.abs(scan.alpha_ci.T - scan.alpha)
    ax.errorbar(scan.threshold, scan.alpha, error, fmt="o", color=DATA, ms=3.5, elinewidth=1.0)
    ax.set(xlabel="threshold (Hz)", ylabel=f"exponent α of {scan.state} dwells")
    return ax
