"""Lifetimes of groups of segments against their signal with the curves of the blinking types, beside the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photonstats.plots.style import DATA, FIT, MARK, QUIET, SECOND, rate_scale, style, time_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.blinking.blinking_type import BlinkingType

COLORS = {"A": FIT, "B": DATA, "flickering": SECOND, "steady": MARK}


def plot_type(found: BlinkingType, ax: Axes | None = None) -> Axes:
    """Draw lifetime against signal into `ax`; in a figure of its own the log odds of the evidence beside it."""
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(8.4, 3.6), layout="constrained")
        with style():
            ax, side = figure.subplots(1, 2, width_ratios=(1.0, 1.1))
        _draw_odds(found, side)
    _draw_lifetimes(found, ax)
    return ax


def _draw_lifetimes(found: BlinkingType, ax: Axes) -> None:
    rates, rate_unit = rate_scale(found.rates)
    lit = np.isfinite(found.lifetimes) & (found.lifetimes_err < found.lifetimes)
    times, time_unit = time_scale(found.lifetimes[lit])
    likely = f"({found.probability[found.verdict]:.1%})" if found.verdict in found.probability else ""
    ax.set(xlabel=f"signal ({rate_unit})", ylabel=f"lifetime ({time_unit})", title=f"{found.verdict} {likely}".strip())
    if not lit.any():
        ax.text(0.5, 0.5, "no lifetimes", transform=ax.transAxes, ha="center", color=QUIET)
        return
    x, y = found.rates / rates, found.lifetimes * times
    ax.errorbar(
        x[lit], y[lit], 1.96 * found.lifetimes_err[lit] * times, 1.96 * found.rates_err[lit] / rates,
        fmt="o", color="#222222", ms=4, lw=1.0, zorder=3,
    )  # fmt: skip
    at = np.flatnonzero(lit)[-1] if found.reference is None else found.reference
    curve = np.linspace(0.0, 1.0, 101)
    tops = {"B": np.ones(101), "flickering": curve, "A": _mixtures(found, int(at), curve)}
    labels = {"B": "B: unchanged", "flickering": "flickering: in proportion", "A": "A: bright and short-lived mixed"}
    for name, top in tops.items():
        ax.plot(curve * x[at], top * y[at], color=COLORS[name], lw=1.2, label=labels[name])
    ax.set(xlim=(0.0, 1.1 * float(np.nanmax(x))), ylim=(0.0, 1.25 * float(y[lit].max())))
    ax.legend(loc="lower right", fontsize=7)


def _mixtures(found: BlinkingType, at: int, curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lifetimes over the bright one of its mixtures with a short-lived state as dim as the darkest group."""
    lit = np.flatnonzero(np.isfinite(found.lifetimes))
    low = int(lit[0])
    if low == at:
        return np.full(curve.size, np.nan)
    dim = found.rates[low] / found.rates[at]
    tau = min(found.lifetimes[low] / found.lifetimes[at], dim)  # as a charged state would have it at least
    share = (1.0 - dim / np.maximum(curve, 1e-9)) / (1.0 - dim)
    return np.where(curve < dim, np.nan, share + (1.0 - share) * tau)


def _draw_odds(found: BlinkingType, ax: Axes) -> None:
    names = [e.name.replace("_", " ") for e in found.evidence]
    place, height = np.arange(len(names), dtype=np.float64), 0.8 / len(found.probability)
    for i, name in enumerate(found.probability):
        mean = np.array([np.mean(list(e.log_odds.values())) for e in found.evidence])
        odds = np.array([e.log_odds[name] for e in found.evidence])
        ax.barh(place + (i - 1.5) * height, odds - mean, height, color=COLORS[name], label=name)
    ax.axvline(0.0, color=QUIET, lw=0.8)
    ax.set_yticks(place, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlabel="ln odds against the mean of the types", title="evidence")
    ax.legend(loc="best", fontsize=7)
