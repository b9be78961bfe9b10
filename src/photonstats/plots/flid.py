"""Lifetime against intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.plots.style import DATA, FIT, QUIET, rate_scale, style, time_scale
from photonstats.result import quantity
from photonstats.switching.flid_grid import contour_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.switching.lifetime_intensity import Flid

SHARES = (0.5, 0.9)
FAINTEST = 0.3  # least part of the colours, so that one bin can be seen on white
MOST_LABELS = 4  # levels whose shares of time do not cover each other


def plot_flid(flid: Flid, ax: Axes | None = None, *, levels: Any = None) -> Axes:
    """Draw time in each cell with contours of half and nine tenths of the density; marginals in a figure of its own."""
    rates, rate_unit = rate_scale(flid.intensity_edges)
    times, time_unit = time_scale(flid.lifetime_edges)
    sides: tuple[Axes, Axes] | None = None
    if ax is None:
        ax, sides = _with_sides()
    x, y = flid.lifetime_edges * times, flid.intensity_edges / rates
    low, high = min(0.0, float(y[0])), float(y[-1])
    ax.set(xlabel=f"lifetime ({time_unit})", ylabel=f"intensity ({rate_unit})", xlim=(x[0], x[-1]), ylim=(low, high))
    if not flid.histogram.any():
        ax.text(0.5, 0.5, "no bin has a lifetime", transform=ax.transAxes, ha="center", color=QUIET)
        return ax
    _draw_cells(ax, x, y, flid.histogram)
    _draw_contours(ax, flid, rates, times)
    if sides is not None:
        _draw_sides(sides, flid, x, y)
    if levels is not None:
        _draw_levels(ax, levels, sum(flid.background.values()), rates, times)
    if np.isfinite(flid.rank_correlation):
        above = ax if sides is None else sides[0]
        above.set_title(f"rank correlation {quantity(flid.rank_correlation, flid.rank_correlation_err)}", loc="left")
    return ax


def _with_sides() -> tuple[Axes, tuple[Axes, Axes]]:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(4.8, 4.4), layout="constrained")
    with style():
        grid = figure.subplots(2, 2, width_ratios=(4.0, 1.0), height_ratios=(1.0, 4.0), sharex="col", sharey="row")
    grid[0, 1].set_axis_off()
    return grid[1, 0], (grid[0, 0], grid[1, 1])


def _draw_cells(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], time: NDArray[np.float64]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, PowerNorm

    colours = ListedColormap(colormaps["Blues"](np.linspace(FAINTEST, 1.0, 256)))
    shown = np.ma.masked_equal(time, 0.0)
    # The root brings out states that take little time beside one that takes most.
    mesh = ax.pcolormesh(x, y, shown, cmap=colours, norm=PowerNorm(0.5, 0.0, float(time.max())), rasterized=True)
    bar = ax.figure.colorbar(mesh, ax=ax, location="bottom", shrink=0.7, aspect=30, pad=0.02)
    bar.set_label("time per cell (s)")
    bar.ax.locator_params(nbins=5)


def _draw_contours(ax: Axes, flid: Flid, rates: float, times: float) -> None:
    intensity, lifetime, density = flid.density()
    heights = contour_levels(density, SHARES)
    if np.all(np.diff(heights) > 0):
        ax.contour(lifetime * times, intensity / rates, density, levels=heights, colors=FIT, linewidths=(0.7, 1.2))


def _draw_sides(sides: tuple[Axes, Axes], flid: Flid, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    top, right = sides
    top.stairs(flid.lifetime_marginal, x, fill=True, color=DATA, alpha=0.5, lw=0)
    right.stairs(flid.intensity_marginal, y, orientation="horizontal", fill=True, color=DATA, alpha=0.5, lw=0)
    top.set(ylabel="time (s)", ylim=(0, None))
    right.set(xlabel="time (s)", xlim=(0, None))
    top.tick_params(labelbottom=False)
    right.tick_params(labelleft=False)


def _draw_levels(ax: Axes, levels: Any, background: float, rates: float, times: float) -> None:
    """Draw an ellipse for each level: its half axes are those of its intervals, beside few their share of time."""
    from matplotlib.patches import Ellipse

    centre = (np.asarray(levels.rates) - background) / rates
    across = np.asarray(levels.rates_ci, dtype=np.float64) - background
    lifetimes = np.asarray(levels.lifetimes, dtype=np.float64) * times
    ends = np.asarray(levels.lifetimes_ci, dtype=np.float64) * times
    for k, (a, b) in enumerate(zip(centre, lifetimes, strict=True)):
        if not np.isfinite([a, b, *across[k], *ends[k]]).all():
            continue
        width, height = np.ptp(ends[k]), np.ptp(across[k]) / rates
        middle = (float(ends[k].mean()), float(across[k].mean()) / rates)
        ax.add_patch(Ellipse(middle, width, height, fill=False, color="#222222", lw=1.2))
        ax.plot(b, a, "+", color="#222222", ms=6)
        if centre.size <= MOST_LABELS:
            share = f"{float(levels.occupancy[k]):.0%}"
            ax.annotate(share, (b, a), (4, 6), textcoords="offset points", fontsize=8, color="#222222")
