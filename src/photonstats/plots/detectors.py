"""One detector with itself, and three detectors with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.likelihood import ONE_SIGMA, poisson_interval
from photonstats.plots.style import DATA, FIT, QUIET, axes, time_scale
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.afterpulses import Afterpulsing
    from photonstats.correlations.third_order import G3


def plot_afterpulsing(found: Afterpulsing, ax: Axes | None = None) -> Axes:
    """Draw how soon a detection is followed by the next one, and what the light alone makes of it."""
    ax = axes(ax)
    scale, unit = time_scale(found.lag)
    interval = poisson_interval(found.pairs, ONE_SIGMA)
    lag = found.lag * scale
    ax.fill_between(lag, interval[:, 0], interval[:, 1], color=DATA, alpha=0.3, lw=0, step="mid")
    ax.plot(lag, found.pairs, color=DATA, lw=0.9, drawstyle="steps-mid", label="next detection")
    if np.any(np.isfinite(found.expected)):
        ax.plot(lag, found.expected, color=FIT, lw=1.2, label="light alone")
    if found.dead_time > 0:
        dead = quantity(found.dead_time, None, "ns", 1e9)
        ax.axvline(found.dead_time * scale, color=QUIET, lw=0.9, ls=":", label=f"dead time {dead}")
    ax.set_title(f"afterpulses {quantity(found.probability, found.probability_err, '%', 100)}", loc="left")
    width = float(found.lag_edges[1] - found.lag_edges[0]) * 1e9
    ax.set(xlabel=f"lag to the next detection ({unit})", ylabel=f"pairs per {width:.3g} ns", ylim=(0, None))
    ax.margins(x=0)
    ax.legend(loc="upper right")
    return ax


def plot_g3(found: G3, ax: Axes | None = None) -> Axes:
    """Draw g3 against both lags as a map; pair coincidences are its three lines, all three photons its centre."""
    ax = axes(ax, (4.4, 3.6))
    if found.pulsed:
        edges, unit = np.append(found.lag_index - 0.5, found.lag_index[-1] + 0.5), "laser pulses"
    else:
        scale, name = time_scale(found.lag)
        width = found.bin_width * scale
        edges, unit = np.append(found.lag * scale - width / 2, found.lag[-1] * scale + width / 2), name
    a, b, c = found.detectors
    top = float(np.nanmax(found.g3, initial=0.0))
    map_ = ax.pcolormesh(edges, edges, found.g3, cmap="viridis", vmin=0.0, vmax=max(top, 1.0), rasterized=True)
    bar = ax.get_figure().colorbar(map_, ax=ax)  # type: ignore[union-attr]
    bar.set_label("$g^{(3)}$")
    ax.set(xlabel=f"lag of {c} after {a} ({unit})", ylabel=f"lag of {b} after {a} ({unit})")
    ax.set_aspect("equal")
    ax.set_title(f"$g^{{(3)}}(0)$ = {quantity(found.g3_zero, found.g3_zero_err)}", loc="left")
    return ax
