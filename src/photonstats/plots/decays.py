"""Decays and their fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, MARK, QUIET, SECOND, axes, merged_means, style
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.curve import Decay
    from photonstats.decays.corrections import CoatesDecay, Nonlinearity
    from photonstats.decays.decay_bootstrap import DecayBootstrap
    from photonstats.decays.decay_global import GlobalDecayFit
    from photonstats.decays.decay_result import DecayFit
    from photonstats.decays.resolved import Rates, YieldRatio

CYCLE = (DATA, FIT, SECOND, MARK, QUIET)


def plot_decay(decay: Decay, ax: Axes | None = None, *, label: str | None = None, color: str = DATA) -> Axes:
    """Draw the counts of a decay on a logarithmic axis."""
    ax = axes(ax)
    _decay_counts(ax, decay, label, color)
    return ax


def plot_decay_fit(fit: DecayFit, ax: Axes | None = None) -> Axes:
    """Draw a decay with the fitted model, its components, the response, and below it the residuals.

    Into axes of the caller's the residuals are not drawn; see `plot_residuals`.
    """
    if ax is None:
        ax, below = _stacked()
        plot_residuals(fit, below)
        _draw_fit(fit, ax)
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
        return ax
    _draw_fit(fit, ax)
    return ax


def _stacked() -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(4.8, 4.2), layout="constrained")
    with style():
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    return top, below


def _draw_fit(fit: DecayFit, ax: Axes) -> None:
    decay, scale = fit.decay, 1e9
    inside = np.isfinite(fit.residuals) & (np.arange(decay.counts.size) < _whole_bins(decay))
    _decay_counts(ax, decay, "data", DATA)
    response = fit.response
    if response is not None and inside.any():
        top = float(np.nanmax(fit.model))
        shown = np.where(response > 1e-5 * response.max(), response / response.max() * top, np.nan)
        ax.plot(decay.time * scale, shown, color=QUIET, lw=0.9, label="response")
    if len(fit.components) > 1:
        for part in fit.components:
            ax.plot(decay.time * scale, np.where(inside & (part > 0), part, np.nan), color=SECOND, lw=0.8, ls="--")
    ax.plot(decay.time * scale, np.where(inside, fit.model, np.nan), color=FIT, label=_lifetimes(fit))
    if fit.background > 0:
        ax.axhline(fit.background, color=QUIET, lw=0.9, ls=":", label="background")
    counts = decay.counts[decay.counts > 0]
    if counts.size:
        ax.set_ylim(0.5 * max(float(counts.min()), 1e-4 * float(counts.max())), 2.0 * float(counts.max()))
    ax.legend(loc="upper right")


def plot_global_fit(fit: GlobalDecayFit, ax: Axes | None = None) -> Axes:
    """Draw decays that share lifetimes, each to its own peak and a decade below the one before."""
    ax = axes(ax, (4.8, 4.0))
    for k, each in enumerate(fit.fits):
        height = 10.0**-k / max(float(np.nanmax(each.model)), 1.0)
        merged = max(1, each.decay.counts.size // 600)
        time = merged_means(each.decay.time, merged) * 1e9
        counts, model = merged_means(each.decay.counts, merged), merged_means(each.model, merged)
        color = CYCLE[k % len(CYCLE)]
        shares = ", ".join(f"{f:.0%}" for f in each.fractions)
        ax.plot(time, np.where(counts > 0, counts * height, np.nan), ".", ms=2.0, color=color, rasterized=True)
        ax.plot(time, model * height, color="#222222", lw=0.9)
        ax.plot([], [], ".", color=color, label=f"{fit.names[k]}: {shares}")
    ax.set(yscale="log", xlabel="time after the sync (ns)", ylabel="counts (each to its peak, moved down)")
    shared = zip(fit.lifetimes, fit.lifetimes_err, strict=True)
    ax.legend(loc="upper right", title=", ".join(quantity(float(t), float(e), "ns", 1e9) for t, e in shared))
    ax.margins(x=0)
    return ax


def plot_bootstrap(found: DecayBootstrap, ax: Axes | None = None) -> Axes:
    """Draw a histogram of each lifetime over the drawn sets, with the fitted value."""
    ax = axes(ax)
    for k, tau in enumerate(found.best.lifetimes):
        color = CYCLE[k % len(CYCLE)]
        ax.hist(found.lifetimes[:, k] * 1e9, bins=30, color=color, alpha=0.6, label=f"{tau * 1e9:.4g} ns")
        ax.axvline(tau * 1e9, color=color)
    ax.set(xlabel="lifetime (ns)", ylabel="drawn sets")
    ax.legend()
    return ax


def plot_coates(found: CoatesDecay, ax: Axes | None = None) -> Axes:
    """Draw counts corrected for pile-up with their errors."""
    ax = axes(ax)
    merged = max(1, found.counts.size // 600)
    time, counts = merged_means(found.time, merged) * 1e9, merged_means(found.counts, merged)
    error = np.sqrt(merged_means(found.counts_err**2, merged) / merged)
    low = np.minimum(error, 0.999 * counts)
    ax.errorbar(time, np.where(counts > 0, counts, np.nan), [low, error], fmt=".", ms=2.0, lw=0.6, color=DATA)
    ax.set(yscale="log", xlabel="time after the sync (ns)", ylabel="photons per bin without pile-up")
    ax.margins(x=0)
    return ax


def plot_nonlinearity(found: Nonlinearity, ax: Axes | None = None) -> Axes:
    """Draw the relative widths of the bins."""
    ax = axes(ax)
    time = (np.arange(found.gain.size) + 0.5) * found.bin_width * 1e9
    ax.plot(time, found.gain, color=DATA, lw=0.7)
    ax.axhline(1.0, color=QUIET, lw=0.8)
    ax.set(xlabel="time after the sync (ns)", ylabel="relative bin width")
    ax.margins(x=0)
    return ax


def plot_yield_ratio(found: YieldRatio, ax: Axes | None = None) -> Axes:
    """Draw the ratio of quantum yields from lifetimes and from count rates."""
    ax = axes(ax, (3.6, 2.8))
    for k, (value, ends) in enumerate(
        ((found.from_lifetimes, found.from_lifetimes_ci), (found.from_rates, found.from_rates_ci))
    ):
        if np.isfinite(value):
            ax.errorbar(k, value, [[value - ends[0]], [ends[1] - value]], fmt="o", color=(DATA, FIT)[k], capsize=3)
    ax.set(xticks=(0, 1), xlim=(-0.6, 1.6), ylabel="ratio of quantum yields", ylim=(0, None))
    ax.set_xticklabels(["lifetimes", "count rates"])
    return ax


def plot_rates(found: Rates, ax: Axes | None = None) -> Axes:
    """Draw total, radiative and nonradiative rate."""
    ax = axes(ax, (3.6, 2.8))
    names = ("total", "radiative", "nonradiative")
    for k, name in enumerate(names):
        value, error = getattr(found, name) * 1e-6, getattr(found, f"{name}_err") * 1e-6
        if np.isfinite(value):
            ax.errorbar(k, value, error, fmt="o", color=CYCLE[k], capsize=3)
    ax.set(xticks=range(3), xlim=(-0.6, 2.6), ylabel="rate (1/µs)", ylim=(0, None))
    ax.set_xticklabels(names)
    return ax


def plot_residuals(fit: DecayFit, ax: Axes | None = None) -> Axes:
    """Draw the residuals of a decay fit in units of their expected deviation."""
    ax = axes(ax, (4.8, 1.2))
    inside = np.isfinite(fit.residuals)
    merged = max(1, int(inside.sum()) // 400)
    counts, model, time = (merged_means(a[inside], merged) for a in (fit.decay.counts, fit.model, fit.decay.time))
    residuals = (counts - model) / np.sqrt(model / merged)  # of means of `merged` counts
    ax.plot(time * 1e9, residuals, ".", ms=2.5, color=DATA, rasterized=True)
    ax.axhline(0, color="#444444", lw=0.8)
    limit = max(4.0, float(np.nanmax(np.abs(residuals), initial=0.0)) * 1.1)
    ax.set(xlabel="time after the sync (ns)", ylabel="residual (σ)", ylim=(-limit, limit))
    return ax


def _decay_counts(ax: Axes, decay: Decay, label: str | None, color: str) -> None:
    whole = min(_whole_bins(decay), _last_with_light(decay))
    merged = max(1, whole // 1200)
    counts, time = merged_means(decay.counts[:whole], merged), merged_means(decay.time[:whole], merged)
    shown = np.where(counts > 0, counts, np.nan)
    ax.plot(time * 1e9, shown, ".", ms=2.0, color=color, label=label, rasterized=True)
    if np.any(counts > 0):
        ax.set_yscale("log")
    ax.set(xlabel="time after the sync (ns)", ylabel=f"counts per {decay.bin_width * 1e12:.4g} ps")
    ax.margins(x=0)


def _whole_bins(decay: Decay) -> int:
    """Return the number of bins before one that the laser period cuts, which would look dim."""
    return decay.counts.size if decay.period is None else int(decay.period / decay.bin_width + 1e-6)


def _last_with_light(decay: Decay) -> int:
    """Return where to end the axis of a curve that goes on for long in the dark, as histogram files do."""
    if decay.period is not None:
        return decay.counts.size
    lit = np.flatnonzero(decay.counts > max(5.0 * float(np.median(decay.counts)), 1e-4 * float(decay.counts.max())))
    return min(decay.counts.size, 2 * int(lit[-1]) + 20) if lit.size else decay.counts.size


def _lifetimes(fit: DecayFit) -> str:
    found = zip(fit.lifetimes, fit.lifetimes_err, strict=True)
    return "fit: " + ", ".join(quantity(float(t), float(e), "ns", 1e9) for t, e in found)
