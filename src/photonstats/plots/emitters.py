"""How many emitters: g2(0) against the time gate, probabilities, photon-number-resolved decays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photonstats.plots.style import DATA, FIT, QUIET, SECOND, axes, merged_means
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.cascade import Biexciton
    from photonstats.correlations.emitters import EmitterEstimate
    from photonstats.correlations.gate_fit import GateFit
    from photonstats.correlations.gates import GateSeries

PLATEAUS = ((0.0, "1 emitter"), (1 / 2, "2"), (2 / 3, "3"), (3 / 4, "4"))


def plot_gate_series(series: GateSeries, ax: Axes | None = None, *, fit: GateFit | None = None) -> Axes:
    """Draw g2(0) against the gate with 95 % intervals, the plateaus of equal emitters, and the fit if there is one."""
    ax = axes(ax)
    gate = series.gate * 1e9
    width = series.g2_zero_ci[:, 1] - series.g2_zero_ci[:, 0]
    known = np.isfinite(series.g2_zero) & (width < max(1.5, 2.0 * float(np.nanmin(width, initial=np.inf))))
    right = float(gate[known].max(initial=1.0))
    bars = np.abs(series.g2_zero_ci[known].T - series.g2_zero[known])
    top = max(0.8, 1.15 * float(np.median(series.g2_zero_ci[known, 1])) if known.any() else 0.0)
    for level, name in PLATEAUS:
        ax.axhline(level, color=QUIET, lw=0.8, ls=":")
        ax.annotate(
            f" {name}", (1.0, level), xycoords=("axes fraction", "data"), color="#555555", fontsize=7.5, va="center"
        )
    ax.errorbar(gate[known], series.g2_zero[known], bars, fmt="o", ms=3.0, color=DATA, elinewidth=0.8)
    if fit is not None and np.all(np.isfinite(fit.plateau_ci)):
        plot_gate_fit(fit, ax)
    ax.set(xlabel="gate after the pulse (ns)", ylabel="$g^{(2)}(0)$ of later photons", ylim=(-0.04 * top, top))
    ax.set_xlim(-0.03 * right, 1.03 * right)
    return ax


def plot_gate_fit(fit: GateFit, ax: Axes | None = None) -> Axes:
    """Draw the fitted fall of g2(0) with the gate, and its plateau with the 95 % interval as a band."""
    ax = axes(ax)
    low, high = np.clip(fit.plateau_ci, 0.0, 10.0)
    ax.axhspan(float(low), float(high), color=FIT, alpha=0.15, lw=0)
    ax.plot(fit.gate * 1e9, fit.model, color=FIT)
    known = np.isfinite(fit.plateau)
    found = quantity(fit.plateau, fit.plateau_err) if known else f"within {low:.2g} to {high:.2g}"
    ax.set_title(f"plateau {found}", color=FIT)
    ax.set(xlabel="gate after the pulse (ns)", ylabel="$g^{(2)}(0)$ of later photons")
    return ax


def plot_emitters(estimate: EmitterEstimate, ax: Axes | None = None) -> Axes:
    """Draw the probability of each number of emitters; the best one is marked."""
    ax = axes(ax, (3.4, 2.6))
    numbers = np.array(sorted(estimate.probability))
    chance = np.array([estimate.probability[int(m)] for m in numbers])
    ax.bar(numbers, chance, width=0.75, color=np.where(numbers == estimate.best, FIT, DATA), alpha=0.85)
    for m, p in zip(numbers, chance, strict=True):
        if p >= 0.005:
            text = ">0.999" if p > 0.999 else f"{p:.2g}"
            ax.annotate(
                text, (m, p), xytext=(0, 2), textcoords="offset points", ha="left" if m == 1 else "center", fontsize=7.5
            )
    ax.set(xlabel="emitters", ylabel="probability", ylim=(0, 1.1), xlim=(0.4, float(numbers[-1]) + 0.6))
    ax.set_xticks(numbers[:: 1 + numbers.size // 8])
    ax.set_title(f"$M_\\mathrm{{eff}}$ = {quantity(estimate.effective, estimate.effective_err)}")
    return ax


def plot_biexciton(found: Biexciton, ax: Axes | None = None) -> Axes:
    """Draw the pairs of a pulse by the first photon and by the time to the second, with their fits."""
    ax = axes(ax)
    time = found.time * 1e9
    shown = max(3.0 * found.exciton_lifetime * 1e9 if found.converged else 0.0, 20.0 * float(time[0]))
    parts = (
        (found.first, found.first_model, DATA, "first photon", found.biexciton_lifetime, found.biexciton_lifetime_err),
        (found.second, found.second_model, SECOND, "to the second", found.exciton_lifetime, found.exciton_lifetime_err),
    )
    merged = max(1, int(np.searchsorted(time, shown)) // 120)
    for counts, model, color, name, lifetime, error in parts:
        ax.plot(merged_means(time, merged), merged_means(counts, merged), "o", ms=2.5, color=color, alpha=0.7)
        label = f"{name}: {quantity(lifetime, error, 'ns', 1e9)}"
        ax.plot(time, model, color=color, lw=1.4, label=label)
    ax.set(xlabel="time (ns)", ylabel=f"pairs per {2e12 * found.time[0]:.4g} ps", xlim=(0, shown))
    ax.set_yscale("log")
    ax.set_ylim(max(0.5 / merged, 0.02), None)
    ax.legend(loc="upper right")
    return ax
