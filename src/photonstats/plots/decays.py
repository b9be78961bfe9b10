"""Decays and their fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, QUIET, axes, merged_means
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.curve import Decay
    from photonstats.lifetime import DecayFit


def plot_decay(decay: Decay, ax: Axes | None = None, *, label: str | None = None, color: str = DATA) -> Axes:
    """Draw the counts of a decay on a logarithmic axis."""
    ax = axes(ax)
    _decay_counts(ax, decay, label, color)
    return ax


def plot_decay_fit(fit: DecayFit, ax: Axes | None = None) -> Axes:
    """Draw a decay, the fitted model over the fitted range, and the background level."""
    ax = axes(ax)
    decay, scale = fit.decay, 1e9
    _decay_counts(ax, decay, "data", DATA)
    ax.plot(
        decay.time * scale, np.where(np.isfinite(fit.residuals), fit.model, np.nan), color=FIT, label=_lifetimes(fit)
    )
    if fit.background > 0:
        ax.axhline(fit.background, color=QUIET, lw=0.9, ls=":", label="background")
    ax.legend(loc="upper right")
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
    ax.set(xlabel="time after the pulse (ns)", ylabel="residual (σ)", ylim=(-limit, limit))
    return ax


def _decay_counts(ax: Axes, decay: Decay, label: str | None, color: str) -> None:
    # The last bin may be cut by the laser period; shown as it is, it would look dim.
    whole = decay.counts.size if decay.period is None else int(decay.period / decay.bin_width + 1e-6)
    merged = max(1, whole // 1200)
    counts, time = merged_means(decay.counts[:whole], merged), merged_means(decay.time[:whole], merged)
    shown = np.where(counts > 0, counts, np.nan)
    ax.plot(time * 1e9, shown, ".", ms=2.0, color=color, label=label, rasterized=True)
    if np.any(counts > 0):
        ax.set_yscale("log")
    ax.set(xlabel="time after the pulse (ns)", ylabel=f"counts per {decay.bin_width * 1e12:.4g} ps")
    ax.margins(x=0)


def _lifetimes(fit: DecayFit) -> str:
    found = zip(fit.lifetimes, fit.lifetimes_err, strict=True)
    return "fit: " + ", ".join(quantity(float(t), float(e), "ns", 1e9) for t, e in found)
