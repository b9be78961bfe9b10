"""Power spectra and excitation: density against frequency, brightness against power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, MARK, QUIET, SECOND, axes, rate_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.blinking.spectrum import Psd
    from photonstats.blinking.spectrum_fit import PsdFit
    from photonstats.excitation import SaturationFit
    from photonstats.power_sweep import PowerSeries


def plot_psd(found: Psd, ax: Axes | None = None) -> Axes:
    """Draw the density with its intervals, and the shot noise of Poisson counting."""
    ax = axes(ax)
    low, high = found.power_ci.T
    ax.fill_between(found.frequency, low, high, color=DATA, alpha=0.25, lw=0)
    ax.plot(found.frequency, found.power, color=DATA, lw=1.0, marker=".", ms=3.0, label="light")
    if math.isfinite(found.shot_noise):
        ax.axhline(found.shot_noise, color=QUIET, lw=1.0, ls="--", label="shot noise")
        ax.legend()
    ax.set(xscale="log", yscale="log", xlabel="frequency (Hz)", ylabel="power density (1/Hz)")
    return ax


def plot_psd_fit(found: PsdFit, ax: Axes | None = None) -> Axes:
    """Draw the spectrum, the fitted law, its floor, and the corner of a Lorentzian with its interval."""
    ax = axes(ax)
    frequency, power, interval = found.curve
    ax.fill_between(frequency, interval[:, 0], interval[:, 1], color=DATA, alpha=0.25, lw=0)
    ax.plot(frequency, power, color=DATA, lw=0, marker=".", ms=4.0)
    fine = np.geomspace(*found.frequency_range, 400)
    ax.plot(fine, found.density(fine), color=FIT, lw=1.4)
    ax.axhline(found.floor, color=QUIET, lw=1.0, ls="--")
    if math.isfinite(found.time):
        ends = [1.0 / (2.0 * math.pi * t) for t in found.time_ci]
        ax.axvspan(min(ends), max(ends), color=MARK, alpha=0.2, lw=0)
    title = found.model.replace("_", " ")
    if math.isfinite(found.beta):
        title += f", exponent {found.beta:.3g} ({found.beta_ci[0]:.3g} to {found.beta_ci[1]:.3g})"
    ax.set(xscale="log", yscale="log", xlabel="frequency (Hz)", ylabel="power density (1/Hz)")
    ax.set_title(title, loc="left")
    return ax


def plot_saturation(found: SaturationFit, ax: Axes | None = None) -> Axes:
    """Draw intensity against excitation with the fitted saturation."""
    ax = axes(ax)
    errors = None if found.intensity_err is None else found.intensity_err
    ax.errorbar(found.excitation, found.intensity, errors, fmt="o", ms=4.0, color=DATA, lw=1.0)
    fine = np.linspace(0.0, 1.05 * float(found.excitation.max()), 300)
    ax.plot(fine, found.curve(fine), color=FIT, lw=1.4)
    ax.set(xlabel="photons per area and pulse (1/m²)", ylabel="intensity", xlim=(0, None), ylim=(0, None))
    return ax


def plot_power_series(found: PowerSeries, ax: Axes | None = None) -> Axes:
    """Draw levels against power, coloured by their emitters, and the line of one; on the way down as triangles."""
    ax = axes(ax)
    scale, unit = rate_scale(found.rates)
    low, high = found.rates_ci.T / scale
    colours = [QUIET, DATA, SECOND, FIT, MARK]
    for i in range(found.rates.size):
        down = bool(found.downward[found.recording[i]])
        n = int(min(found.n_emitters[i], len(colours) - 1))
        ax.plot(
            found.powers[found.recording[i]], found.rates[i] / scale, "v" if down else "o", ms=4.5, color=colours[n]
        )
        ax.plot([found.powers[found.recording[i]]] * 2, [low[i], high[i]], color=colours[n], lw=1.0)
    line = np.array([0.0, 1.05 * float(found.powers.max())])
    if math.isfinite(found.slope):
        ax.plot(line, (found.background + found.slope * line) / scale, color=DATA, lw=1.2)
    ax.set(xlabel="excitation power (W)", ylabel=f"count rate ({unit})", xlim=(0, None), ylim=(0, None))
    return ax
