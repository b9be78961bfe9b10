"""All drawing. Each function draws one result into an axes and returns it; no function shows or saves a figure."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photonstats.likelihood import ONE_SIGMA, poisson_interval
from photonstats.result import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.antibunching import G2Fit
    from photonstats.correlation import G2, PulsedG2
    from photonstats.curve import Decay
    from photonstats.dwell import DwellTimes
    from photonstats.intensity import IntensityTrace
    from photonstats.lifetime import DecayFit

# Okabe and Ito's palette: told apart with any colour vision, and in grey by their lightness.
DATA, FIT, MARK, SECOND, QUIET = "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#8A8A8A"
MOST_POINTS = 4000

STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#222222",
    "xtick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
}


def plot_trace(trace: IntensityTrace, ax: Axes | None = None, *, threshold: float | None = None) -> Axes:
    """Draw a count rate against time; of a long trace the range within each stretch is shaded, so no spike is lost."""
    ax = _axes(ax, (7.0, 2.6))
    scale, unit = _rate_scale(trace.rate)
    time, rate = trace.time, trace.rate / scale
    step = -(-rate.size // MOST_POINTS)
    if step > 1:
        n = rate.size // step * step
        blocks = rate[:n].reshape(-1, step)
        centres = time[:n].reshape(-1, step).mean(axis=1)
        ax.fill_between(centres, blocks.min(axis=1), blocks.max(axis=1), color=DATA, alpha=0.35, lw=0, step="mid")
        ax.plot(centres, blocks.mean(axis=1), color=DATA, lw=0.6, drawstyle="steps-mid")
    else:
        ax.plot(time, rate, color=DATA, lw=0.6, drawstyle="steps-mid")
    if threshold is not None and np.isfinite(threshold):
        ax.axhline(threshold / scale, color=FIT, lw=1.0, ls="--")
    ax.set(xlabel="time (s)", ylabel=f"count rate ({unit})", ylim=(0, None))
    ax.set_xlim(trace.start, trace.start + trace.duration)
    return ax


def plot_trace_histogram(trace: IntensityTrace, ax: Axes | None = None, *, threshold: float | None = None) -> Axes:
    """Draw how often each count rate occurs, lying on its side so that it goes beside the trace."""
    ax = _axes(ax, (2.0, 2.6))
    scale, unit = _rate_scale(trace.rate)
    width = max(1, -(-int(trace.counts.max(initial=0)) // 80))
    edges = np.arange(0, trace.counts.max(initial=0) + 2 * width, width) - 0.5
    shown, _ = np.histogram(trace.counts, edges)
    ax.stairs(shown, edges / trace.bin_width / scale, orientation="horizontal", color=DATA, fill=True, alpha=0.8)
    if threshold is not None and np.isfinite(threshold):
        ax.axhline(threshold / scale, color=FIT, lw=1.0, ls="--")
    ax.set(xlabel="bins", ylabel=f"count rate ({unit})", ylim=(0, None), xlim=(0, None))
    return ax


def plot_decay(decay: Decay, ax: Axes | None = None, *, label: str | None = None, color: str = DATA) -> Axes:
    """Draw the counts of a decay on a logarithmic axis."""
    ax = _axes(ax)
    _decay_counts(ax, decay, label, color)
    return ax


def plot_decay_fit(fit: DecayFit, ax: Axes | None = None) -> Axes:
    """Draw a decay, the fitted model over the fitted range, and the background level."""
    ax = _axes(ax)
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
    ax = _axes(ax, (4.8, 1.2))
    inside = np.isfinite(fit.residuals)
    merged = max(1, int(inside.sum()) // 400)
    counts, model, time = (_merged(a[inside], merged) for a in (fit.decay.counts, fit.model, fit.decay.time))
    residuals = (counts - model) / np.sqrt(model / merged)  # of means of `merged` counts
    ax.plot(time * 1e9, residuals, ".", ms=2.5, color=DATA, rasterized=True)
    ax.axhline(0, color="#444444", lw=0.8)
    limit = max(4.0, float(np.nanmax(np.abs(residuals), initial=0.0)) * 1.1)
    ax.set(xlabel="time after the pulse (ns)", ylabel="residual (σ)", ylim=(-limit, limit))
    return ax


def plot_g2(g2: G2, ax: Axes | None = None) -> Axes:
    """Draw g2 against the lag with its standard errors, and a line at one."""
    ax = _axes(ax)
    scale, unit = _time_scale(g2.lag)
    ax.fill_between(
        g2.lag * scale, g2.g2 - g2.g2_err, g2.g2 + g2.g2_err, color=DATA, alpha=0.25, lw=0, step="mid", rasterized=True
    )
    ax.plot(g2.lag * scale, g2.g2, color=DATA, lw=0.7, drawstyle="steps-mid")
    ax.axhline(1.0, color=QUIET, lw=0.8, ls=":")
    ax.set(xlabel=f"lag ({unit})", ylabel="$g^{(2)}(\\tau)$", ylim=(0, None))
    ax.margins(x=0)
    return ax


def plot_g2_fit(fit: G2Fit, ax: Axes | None = None, *, g2: G2 | None = None) -> Axes:
    """Draw the fitted antibunching dip, over the measured g2 if that is given too."""
    ax = _axes(ax) if g2 is None else plot_g2(g2, ax)
    scale, unit = _time_scale(fit.lag)
    label = f"$g^{{(2)}}(0)$ = {quantity(fit.g2_zero, fit.g2_zero_err)}"
    ax.plot(fit.lag * scale, fit.model, color=FIT, label=label)
    ax.set(xlabel=f"lag ({unit})", ylabel="$g^{(2)}(\\tau)$", ylim=(0, None))
    ax.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none")
    return ax


def plot_pulsed_g2(pulsed: PulsedG2, ax: Axes | None = None) -> Axes:
    """Draw the pairs of each pulse lag with errors; the centre is marked, the mean side peak and its half are lines."""
    ax = _axes(ax)
    centre = pulsed.pulse_lag == 0
    interval = poisson_interval(pulsed.pairs, ONE_SIGMA)
    errors = np.stack([pulsed.pairs - interval[:, 0], interval[:, 1] - pulsed.pairs])
    ax.bar(pulsed.pulse_lag, pulsed.pairs, width=0.7, color=np.where(centre, FIT, DATA), alpha=0.8)
    ax.errorbar(pulsed.pulse_lag, pulsed.pairs, errors, fmt="none", ecolor="#333333", elinewidth=0.8)
    side = float(pulsed.pairs[~centre].mean())
    right = float(pulsed.pulse_lag[-1]) + 0.7
    for level, name, style in ((side, " mean side", "--"), (side / 2, " half", ":")):
        ax.axhline(level, color=QUIET, lw=0.9, ls=style)
        ax.annotate(name, (right, level), color="#555555", fontsize=7.5, va="center", annotation_clip=False)
    ax.set_title(f"$g^{{(2)}}(0)$ = {quantity(pulsed.g2_zero, pulsed.g2_zero_err)} as measured", color=FIT)
    ax.set(xlabel="lag (laser pulses)", ylabel="pairs", xlim=(-right, right))
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    return ax


def plot_pairs(g2: G2, ax: Axes | None = None, *, centre: float | None = None) -> Axes:
    """Draw pairs against the lag as recorded; the stretch of width `centre` (s) around zero is shaded."""
    ax = _axes(ax)
    scale, unit = _time_scale(g2.lag)
    ax.plot(g2.lag * scale, g2.pairs, color=DATA, lw=0.8, drawstyle="steps-mid")
    if centre is not None:
        ax.axvspan(-centre / 2 * scale, centre / 2 * scale, color=FIT, alpha=0.15, lw=0)
    ax.set(xlabel=f"lag ({unit})", ylabel=f"pairs per {g2.bin_width * 1e9:.3g} ns", ylim=(0, None))
    ax.margins(x=0)
    ax.locator_params(axis="x", nbins=7)
    return ax


def plot_dwell_times(dwells: DwellTimes, ax: Axes | None = None) -> Axes:
    """Draw which share of on and off dwells lasts longer than t (Kaplan-Meier, censored ends in it)."""
    ax = _axes(ax)
    for times, censored, label, color in (
        (dwells.on, dwells.on_censored, "on", DATA),
        (dwells.off, dwells.off_censored, "off", FIT),
    ):
        if times.size:
            t, survival = _survival(times, censored)
            ax.step(t, survival, where="post", color=color, label=f"{label} ({times.size})")
    if dwells.on.size + dwells.off.size:
        ax.set(xscale="log", yscale="log")
        ax.legend(loc="lower left")
    ax.set(xlabel="dwell time (s)", ylabel="share of dwells longer")
    return ax


def _axes(ax: Axes | None, size: tuple[float, float] = (4.8, 3.2)) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    # The figure comes first: where a notebook's backend wakes up inside rc_context, it shows one figure and no more.
    figure = plt.figure(figsize=size, layout="constrained")
    with style():
        return figure.subplots()


def style() -> AbstractContextManager[None]:
    """Return the context in which figures of this package are made and drawn."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def _decay_counts(ax: Axes, decay: Decay, label: str | None, color: str) -> None:
    # The last bin may be cut by the laser period; shown as it is, it would look dim.
    whole = decay.counts.size if decay.period is None else int(decay.period / decay.bin_width + 1e-6)
    merged = max(1, whole // 1200)
    counts, time = _merged(decay.counts[:whole], merged), _merged(decay.time[:whole], merged)
    shown = np.where(counts > 0, counts, np.nan)
    ax.plot(time * 1e9, shown, ".", ms=2.0, color=color, label=label, rasterized=True)
    if np.any(counts > 0):
        ax.set_yscale("log")
    ax.set(xlabel="time after the pulse (ns)", ylabel=f"counts per {decay.bin_width * 1e12:.4g} ps")
    ax.margins(x=0)


def _lifetimes(fit: DecayFit) -> str:
    found = zip(fit.lifetimes, fit.lifetimes_err, strict=True)
    return "fit: " + ", ".join(quantity(float(t), float(e), "ns", 1e9) for t, e in found)


def _survival(
    times: NDArray[np.float64], censored: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(times, kind="stable")
    values, first = np.unique(times[order], return_index=True)
    ended = np.add.reduceat((~censored[order]).astype(np.float64), first)
    at_risk = times.size - first
    survival = np.cumprod(1.0 - ended / at_risk)
    return np.concatenate([[values[0] * 0.9], values]), np.concatenate([[1.0], survival])


def _merged(values: NDArray[Any], n: int) -> NDArray[np.float64]:
    """Return the means of runs of n values; a shorter run at the end is left out."""
    means: NDArray[np.float64] = values[: values.size // n * n].reshape(-1, n).mean(axis=1)
    return means


def _rate_scale(rate: NDArray[np.float64]) -> tuple[float, str]:
    return (1e3, "kcps") if rate.max(initial=0.0) >= 2000 else (1.0, "cps")


def _time_scale(time: NDArray[np.float64]) -> tuple[float, str]:
    longest = float(np.abs(time).max(initial=0.0))
    for scale, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if longest * scale < 1500:
            return scale, unit
    return 1.0, "s"
