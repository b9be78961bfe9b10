"""Photon correlations: curves, peaks, fits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.likelihood import ONE_SIGMA, poisson_interval
from photonstats.plots.style import DATA, FIT, QUIET, axes, time_scale
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.antibunching import G2Fit
    from photonstats.correlations.correlation import G2, PulsedG2


def plot_g2(g2: G2, ax: Axes | None = None) -> Axes:
    """Draw g2 against the lag with its standard errors, and a line at one."""
    ax = axes(ax)
    logarithmic = math.isnan(g2.bin_width)
    scale, unit = (1.0, "s") if logarithmic else time_scale(g2.lag)
    lag = g2.lag * scale
    ax.fill_between(
        lag, g2.g2 - g2.g2_err, g2.g2 + g2.g2_err, color=DATA, alpha=0.25, lw=0, step="mid", rasterized=True
    )
    ax.plot(lag, g2.g2, color=DATA, lw=0.7, drawstyle="steps-mid")
    ax.axhline(1.0, color=QUIET, lw=0.8, ls=":")
    if logarithmic and g2.lag[0] > 0:
        ax.set_xscale("log")
    elif logarithmic:
        ax.set_xscale("symlog", linthresh=float(np.min(np.abs(g2.lag[np.abs(g2.lag) > 0]), initial=1.0)))
    ax.set(xlabel=f"lag ({unit})", ylabel="$g^{(2)}(\\tau)$", ylim=(0, None))
    ax.margins(x=0)
    return ax


def plot_g2_fit(fit: G2Fit, ax: Axes | None = None, *, g2: G2 | None = None) -> Axes:
    """Draw the fitted antibunching dip, over the measured g2 if that is given too."""
    ax = axes(ax) if g2 is None else plot_g2(g2, ax)
    scale, unit = time_scale(fit.lag)
    label = f"$g^{{(2)}}(0)$ = {quantity(fit.g2_zero, fit.g2_zero_err)}"
    ax.plot(fit.lag * scale, fit.model, color=FIT, label=label)
    ax.set(xlabel=f"lag ({unit})", ylabel="$g^{(2)}(\\tau)$", ylim=(0, None))
    ax.set_title(label, color=FIT)  # above the axes: a legend within may lie on a wide dip or on the side of it
    return ax


def plot_pulsed_g2(pulsed: PulsedG2, ax: Axes | None = None) -> Axes:
    """Draw the pairs of each pulse lag with errors; near and far side peaks and the half are lines."""
    far = float((pulsed.expected_far + pulsed.pairs_background).mean())
    how = "without background" if np.any(pulsed.pairs_background > 0) else "as measured"
    g2_zero = pulsed.g2_zero, pulsed.g2_zero_err
    return plot_peaks(pulsed.pulse_lag, pulsed.pairs, ax, g2_zero=g2_zero, far=far, how=how)


def plot_peaks(
    pulse_lag: NDArray[np.int64],
    pairs: NDArray[np.int64],
    ax: Axes | None = None,
    *,
    g2_zero: tuple[float, float],
    far: float = math.nan,
    how: str = "as measured",
) -> Axes:
    """Draw pairs per peak as areas with errors, the centre marked, the mean side peak, its half and `far` as lines."""
    ax = axes(ax)
    centre = pulse_lag == 0
    interval = poisson_interval(pairs, ONE_SIGMA)
    errors = np.stack([pairs - interval[:, 0], interval[:, 1] - pairs])
    ax.bar(pulse_lag, pairs, width=0.7, color=np.where(centre, FIT, DATA), alpha=0.8)
    ax.errorbar(pulse_lag, pairs, errors, fmt="none", ecolor="#333333", elinewidth=0.8)
    side = float(pairs[~centre].mean()) if np.any(~centre) else math.nan
    right = float(pulse_lag.max()) + 0.7
    for level, name, style in _levels(side, far):
        ax.axhline(level, color=QUIET, lw=0.9, ls=style)
        ax.annotate(name, (right, level), color="#555555", fontsize=7.5, va="center", annotation_clip=False)
    ax.set_title(f"$g^{{(2)}}(0)$ = {quantity(*g2_zero)} {how}", color=FIT)
    ax.set(xlabel="lag (laser pulses)", ylabel="pairs", xlim=(float(pulse_lag.min()) - 0.7, right))
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    return ax


def _levels(near: float, far: float) -> list[tuple[float, str, str]]:
    """Return the lines of a figure of peaks; one line where near and far side peaks are the same."""
    if not math.isfinite(far) or abs(near - far) < 0.12 * max(near, far):
        return [(near, " side", "--"), (near / 2, " half", ":")]
    return [(near, " near", "--"), (near / 2, " half", ":"), (far, " far", "-.")]


def plot_pairs(g2: G2, ax: Axes | None = None, *, centre: float | None = None) -> Axes:
    """Draw pairs against the lag as recorded; the stretch of width `centre` (s) around zero is shaded."""
    ax = axes(ax)
    scale, unit = time_scale(g2.lag)
    ax.plot(g2.lag * scale, g2.pairs, color=DATA, lw=0.8, drawstyle="steps-mid")
    if centre is not None:
        ax.axvspan(-centre / 2 * scale, centre / 2 * scale, color=FIT, alpha=0.15, lw=0)
    ax.set(xlabel=f"lag ({unit})", ylabel=f"pairs per {g2.bin_width * 1e9:.3g} ns", ylim=(0, None))
    ax.margins(x=0)
    ax.locator_params(axis="x", nbins=7)
    return ax
