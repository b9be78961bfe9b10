"""Jumps of the intensity against shot noise, and the held-out score between levels and a continuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, QUIET, SECOND, axes, time_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.switching.continuum import Flickering
    from photonstats.switching.intensity_jumps import JumpStatistics


def plot_jumps(found: JumpStatistics, ax: Axes | None = None, *, lag: int = 0) -> Axes:
    """Draw how often jumps of each size occur at one lag, and how often shot noise alone makes them."""
    ax = axes(ax)
    observed, expected = found.jumps[lag], found.expected_jumps[lag]
    scale, unit = time_scale(found.lag[lag : lag + 1])
    ax.stairs(observed, found.jump_edges, color=DATA, lw=1.2, label=f"lag {found.lag[lag] * scale:.3g} {unit}")
    ax.stairs(expected, found.jump_edges, color=FIT, lw=1.2, label="shot noise alone")
    for side in (-1.0, 1.0):
        ax.axvline(side * found.k_sigma, color=QUIET, lw=0.8, ls=":")
    ax.set(yscale="log", ylim=(0.5, 2.0 * max(observed.max(initial=1.0), expected.max(initial=1.0))))
    ax.set(xlabel="jump (standard deviations of shot noise)", ylabel="pairs of bins")
    ax.legend(loc="upper right")
    return ax


def plot_jump_curve(found: JumpStatistics, ax: Axes | None = None) -> Axes:
    """Draw the jump variance over that of shot noise against the lag, with 95 % intervals."""
    ax = axes(ax)
    scale, unit = time_scale(found.lag)
    error = np.abs(found.excess_ci.T - found.excess)
    ax.errorbar(found.lag * scale, found.excess, error, fmt="o-", color=DATA, ms=3, lw=1.0, elinewidth=1.0)
    ax.axhline(1.0, color=QUIET, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel=f"lag ({unit})", ylabel="jump variance / shot noise")
    return ax


def plot_flickering(found: Flickering, ax: Axes | None = None) -> Axes:
    """Draw the held-out score of each block; the band is the mean with its 95 % interval."""
    ax = axes(ax, (5.6, 3.0))
    ax.axhline(0.0, color=QUIET, lw=0.8)
    ax.set(xlabel="time (s)", ylabel="score (nats per bin)", title=f"{found.verdict}")
    if not found.block_scores.size:
        return ax
    bins = np.diff(found.block_edges) / found.bin_width
    score = found.block_scores / bins
    middle = (found.block_edges[1:] + found.block_edges[:-1]) / 2.0
    colors = [SECOND if s > 0 else DATA for s in score]
    ax.bar(middle, score, np.diff(found.block_edges) * 0.9, color=colors, alpha=0.8)
    ax.axhspan(*found.score_ci, color=FIT, alpha=0.2, lw=0)
    ax.axhline(found.score, color=FIT, lw=1.2)
    ax.set_xlim(found.block_edges[0], found.block_edges[-1])
    reach = 1.25 * max(float(np.abs(score).max()), float(np.abs(found.score_ci).max()), 1e-9)
    ax.set_ylim(-reach, reach)
    ax.text(0.01, 0.98, "continuum better", transform=ax.transAxes, va="top", color=SECOND, fontsize=8)
    ax.text(0.01, 0.02, "few levels better", transform=ax.transAxes, va="bottom", color=DATA, fontsize=8)
    return ax
