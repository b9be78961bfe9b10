"""Jumps of the intensity at a lag against those of shot noise, and how often the light switches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from photonstats.likelihood import Z95, poisson_interval
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.intensity import IntensityTrace, intensity_trace, refuse_other_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BIN_WIDTH = 10e-3
MOST_BLOCKS, FEWEST_BLOCKS = 60, 8
LAGS_OF_A_BLOCK, TIMES_OF_A_BLOCK = 5, 5.0
DRAWS = 2000
HISTOGRAM_BINS = 61


@dataclass(frozen=True, eq=False, repr=False)
class JumpStatistics(Result):
    """Jumps of the counts between bins a lag apart.

    Parameters
    ----------
    lag : ndarray of float64, shape (k,)
        Lags, s.
    bin_width : float
        Width of a bin, s.
    k_sigma : float
        Jumps beyond this many standard deviations of shot noise are switches.
    jump_variance : ndarray of float64, shape (k,)
        Mean square of the jumps, counts squared.
    shot_variance : ndarray of float64, shape (k,)
        What shot noise alone gives, counts squared.
    excess : ndarray of float64, shape (k,)
        Their ratio: 1 for steady light.
    excess_ci : ndarray of float64, shape (k, 2)
        Its 95 % interval by block bootstrap; nan below eight blocks.
    n_switches : ndarray of int64, shape (k,)
        Jumps beyond `k_sigma`; neighbours of the same sign are one.
    expected_switches : ndarray of float64, shape (k,)
        Their number from shot noise alone.
    switching_frequency : ndarray of float64, shape (k,)
        Switches less those of shot noise, Hz.
    switching_frequency_ci : ndarray of float64, shape (k, 2)
        Its 95 % interval, Hz.
    jump_edges : ndarray of float64, shape (m+1,)
        Edges of the histogram, in standard deviations of shot noise.
    jumps, expected_jumps : ndarray of float64, shape (k, m)
        Jumps in each bin of the histogram, and those that shot noise alone gives; the outermost bins hold what lies
        beyond them.
    n_blocks : ndarray of int64, shape (k,)
        Blocks of the intervals.
    """

    lag: Floats
    bin_width: float
    k_sigma: float
    jump_variance: Floats
    shot_variance: Floats
    excess: Floats
    excess_ci: Floats
    n_switches: Ints
    expected_switches: Floats
    switching_frequency: Floats
    switching_frequency_ci: Floats
    jump_edges: Floats
    jumps: Floats
    expected_jumps: Floats
    n_blocks: Ints

    def summary(self) -> str:
        """Return a line for each lag: ratio to shot noise and switching frequency with intervals."""
        lines = [f"JumpStatistics: bins of {self.bin_width * 1e3:.4g} ms, switches beyond {self.k_sigma:g} sigma"]
        for i, lag in enumerate(self.lag):
            (low, high), (slow, fast) = self.excess_ci[i], self.switching_frequency_ci[i]
            lines.append(
                f"  lag {lag * 1e3:8.4g} ms: jump variance {self.excess[i]:.3f} [{low:.3f}, {high:.3f}] of shot noise, "
                f"{self.switching_frequency[i]:.3g} [{slow:.3g}, {fast:.3g}] switches per second"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None, *, lag: int = 0) -> Axes:
        """Draw the jumps at the lag of this index against those of shot noise, on a logarithmic axis."""
        from photonstats import plots

        return plots.plot_jumps(self, ax, lag=lag)

    def plot_curve(self, ax: Axes | None = None) -> Axes:
        """Draw the jump variance over that of shot noise against the lag."""
        from photonstats import plots

        return plots.plot_jump_curve(self, ax)


def jump_statistics(
    photons: IntensityTrace | PhotonStream | Iterable[PhotonStream],
    lag: float | ArrayLike | None = None,
    *,
    bin_width: float | None = None,
    detectors: int | Sequence[int] | None = None,
    k_sigma: float = 3.0,
) -> JumpStatistics:
    """Compare jumps of the counts with those of shot noise and count the switches beyond it.

    Parameters
    ----------
    photons : IntensityTrace, PhotonStream or iterable of PhotonStream
        Counts per bin, a stream, or the pieces of `scan`.
    lag : float or array_like of float, shape (k,), optional
        Lags, s, rounded to whole bins; None for 1, 2, 4 ... bins up to a twentieth of the trace.
    bin_width : float, optional
        Width of a bin for photons, s; None for 10 ms.
    detectors : int or sequence of int, optional
        Detectors to count; None for all of them.
    k_sigma : float
        Jumps beyond this many standard deviations of shot noise are switches, > 0.

    Returns
    -------
    JumpStatistics

    Raises
    ------
    ValueError
        If a lag is shorter than half a bin or leaves fewer than two pairs, if `k_sigma` is not positive, or if
        `bin_width` or `detectors` come with a trace.

    Notes
    -----
    Of two bins of equal intensity with N counts together, the later one holds a binomial number B of them with p = 1/2,
    whatever the intensity: the jump is ``2 B - N``, its variance N. The ratio is ``sum d^2 / sum N``; it tends to
    ``1 + var(I) (1 - rho(lag)) w / mean(I)`` for light of rate I and correlation rho in bins of width w. The number of
    jumps beyond ``k_sigma sqrt(N)`` from shot noise is the binomial tail, summed over the pairs; pairs without photons
    cannot jump. Switches in neighbouring bins of the same sign are one event, hence a switch counts once at every lag.

    The expectation fails below Poisson noise: dead time makes the ratio fall under 1 by twice the rate times the dead
    time, afterpulses raise it. Blocks of the bootstrap are five lags and five correlation times long where at least
    eight fit; their percentiles are widened by Student's t. The interval of the switching frequency is the exact one of
    a Poisson number, widened by the scatter over blocks, and fails for few long-lived bursts.

    References
    ----------
    Pattnaik, Singh, Chowdhury, "Spatially correlated flickering of all-inorganic perovskite microcrystals" (2025), for
    the switching frequency; Skellam, J. R. Stat. Soc. 109, 296 (1946), for the difference of two counts.

    Examples
    --------
    >>> trace = IntensityTrace(np.repeat([20, 200, 20, 200], 50), 10e-3)
    >>> jump_statistics(trace, lag=10e-3).n_switches.tolist()
    [3]
    """
    if not (math.isfinite(k_sigma) and k_sigma > 0):
        raise ValueError(f"k_sigma must be a positive number of standard deviations, it is {k_sigma}")
    trace = _binned(photons, bin_width, detectors)
    lags = _lag_bins(lag, trace)
    time = _correlation_bins(trace.counts)
    found = [_at_lag(trace.counts, int(step), k_sigma, time) for step in lags]
    largest = max((float(np.abs(z).max(initial=0.0)) for _, z, _ in found), default=0.0)
    edges = np.linspace(-1.0, 1.0, HISTOGRAM_BINS + 1) * max(6.0, min(largest, 60.0))
    shown = [_histogram(z, totals, edges) for _, z, totals in found]
    rows = [row for row, _, _ in found]
    spans = (trace.counts.size - lags) * trace.bin_width
    switches = np.array([row.switches for row in rows])
    expected = np.array([row.expected for row in rows])
    return JumpStatistics(
        lags.astype(np.float64) * trace.bin_width,
        trace.bin_width,
        float(k_sigma),
        np.array([row.jump_variance for row in rows]),
        np.array([row.shot_variance for row in rows]),
        np.array([row.ratio for row in rows]),
        np.array([row.ratio_ci for row in rows]),
        switches,
        expected,
        (switches - expected) / spans,
        (np.array([row.switches_ci for row in rows]) - expected[:, None]) / spans[:, None],
        edges,
        np.array([observed for observed, _ in shown]),
        np.array([by_noise for _, by_noise in shown]),
        np.array([row.n_blocks for row in rows]),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    """The numbers at one lag, in counts and bins."""

    jump_variance: float
    shot_variance: float
    ratio: float
    ratio_ci: Floats
    switches: int
    expected: float
    switches_ci: Floats
    n_blocks: int


def _at_lag(counts: Ints, lag: int, k_sigma: float, time: float) -> tuple[_Row, Floats, Ints]:
    """Return the numbers at a lag, the jumps in standard deviations, and the sums of counts of the pairs."""
    jumps, totals = counts[lag:] - counts[:-lag], counts[lag:] + counts[:-lag]
    n = jumps.size
    squares, shot = float(jumps @ jumps), float(totals.sum())
    sides = np.where(np.abs(jumps) > k_sigma * np.sqrt(totals), np.sign(jumps), 0)
    events = (sides != 0) & (sides != np.concatenate([[0], sides[:-1]]))
    tail = _tails(totals, k_sigma)
    # at a lag above one bin the jump before shares no photons: an event needs that it was not on the same side
    before = np.concatenate([[0.0], tail[:-1]]) / 2.0 if lag > 1 else np.zeros(n)
    expected = float(np.sum(tail * (1.0 - before)))
    length = max(LAGS_OF_A_BLOCK * lag, math.ceil(TIMES_OF_A_BLOCK * time), math.ceil(n / MOST_BLOCKS))
    length = max(min(length, n // (2 * FEWEST_BLOCKS)), 2 * lag, 1)
    n_blocks = n // length
    ratio = squares / shot if shot > 0 else math.nan
    if n_blocks < FEWEST_BLOCKS or shot == 0:
        ratio_ci, scatter = np.full(2, np.nan), math.nan
    else:
        begins = (np.arange(n_blocks) * n) // n_blocks
        parts = [np.add.reduceat(x.astype(np.float64), begins) for x in (jumps.astype(np.float64) ** 2, totals, events)]
        ratio_ci = _ratio_interval(parts[0], parts[1])
        scatter = max(float(parts[2].var(ddof=1)) / max(float(parts[2].mean()), 1e-12), 1.0) if parts[2].any() else 1.0
    switches = int(events.sum())
    switches_ci = poisson_interval(switches / scatter) * scatter if math.isfinite(scatter) else np.full(2, np.nan)
    row = _Row(squares / n, shot / n, ratio, ratio_ci, switches, expected, switches_ci, n_blocks)
    return row, jumps / np.sqrt(np.maximum(totals, 1)), totals


def _ratio_interval(above: Floats, below: Floats) -> Floats:
    """Return the 95 % bootstrap interval of a ratio of sums over blocks, in its logarithm."""
    n = above.size
    drawn = np.random.default_rng(0).integers(0, n, (DRAWS, n))
    logs = np.log(np.maximum(above[drawn].sum(axis=1), 1e-300) / np.maximum(below[drawn].sum(axis=1), 1e-300))
    middle = math.log(max(float(above.sum()), 1e-300) / float(below.sum()))
    wider = float(special.stdtrit(n - 1, 0.975)) / Z95 * math.sqrt(n / (n - 1.0))
    limits: Floats = np.exp(middle + wider * (np.quantile(logs, [0.025, 0.975]) - middle))
    return limits


def _tails(totals: Ints, k_sigma: float) -> Floats:
    """Return for each pair the chance that shot noise alone makes it jump beyond k sigma: 2 p(2 B - N > k sqrt(N))."""
    each, back = np.unique(totals, return_inverse=True)
    n = each.astype(np.float64)
    most = np.floor((n + k_sigma * np.sqrt(n)) / 2.0)
    tails: Floats = 2.0 * np.asarray(stats.binom.sf(most, each, 0.5), dtype=np.float64)
    return tails[back]


def _histogram(z: Floats, totals: Ints, edges: Floats) -> tuple[Floats, Floats]:
    """Return jumps per bin of z = d / sqrt(N) and those of shot noise; all beyond the ends go into the last bins."""
    used = totals > 0
    observed, _ = np.histogram(np.clip(z[used], edges[0], np.nextafter(edges[-1], 0.0)), edges)
    each, weight = np.unique(totals[used], return_counts=True)
    n = each.astype(np.float64)[:, None]
    # the largest number of counts in the later bin that still lies below an edge
    below = np.ceil((n + edges[None, 1:-1] * np.sqrt(n)) / 2.0 - 1e-9) - 1.0
    chance = np.where(below >= 0, stats.binom.cdf(below, n, 0.5), 0.0)
    cumulated = weight @ chance if each.size else np.zeros(edges.size - 2)
    expected: Floats = np.diff(np.concatenate([[0.0], cumulated, [float(weight.sum())]]))
    return observed.astype(np.float64), expected


def _correlation_bins(counts: Ints) -> float:
    """Return the time in bins after which the covariance falls to 1/e of that of neighbouring bins."""
    n = counts.size
    if n < 16:
        return 1.0
    deviation = counts - counts.mean()
    covariance = np.fft.irfft(np.abs(np.fft.rfft(deviation, 2 * n)) ** 2)[: n // 4] / n
    if covariance[1] < 4.0 * covariance[0] / math.sqrt(n):
        return 1.0
    below = np.flatnonzero(covariance[1:] < covariance[1] / math.e)
    return float(below[0] + 1) if below.size else n / 4.0


def _lag_bins(lag: float | ArrayLike | None, trace: IntensityTrace) -> Ints:
    """Return the lags in whole bins."""
    n = trace.counts.size
    if n < 3:
        raise ValueError(f"the trace has {n} bins: jumps need at least 3")
    if lag is None:
        top = max(n // 20, 1)
        return 2 ** np.arange(int(math.log2(top)) + 1, dtype=np.int64)
    given = np.atleast_1d(np.asarray(lag, dtype=np.float64))
    if given.ndim != 1 or not given.size:
        raise ValueError(f"lag must be a time in seconds or a list of them, its shape is {given.shape}")
    bins = np.round(given / trace.bin_width)
    wrong = ~np.isfinite(bins) | (bins < 1) | (bins > n - 2)
    if wrong.any():
        raise ValueError(
            f"lag {given[wrong][0]:g} s: lags must be between a bin, {trace.bin_width:g} s, and the trace less two "
            f"bins, {(n - 2) * trace.bin_width:g} s"
        )
    return bins.astype(np.int64)


def _binned(
    photons: IntensityTrace | PhotonStream | Iterable[PhotonStream],
    bin_width: float | None,
    detectors: int | Sequence[int] | None,
) -> IntensityTrace:
    if isinstance(photons, IntensityTrace):
        refuse_other_bins(photons, bin_width, detectors)
        return photons
    return intensity_trace(photons, BIN_WIDTH if bin_width is None else bin_width, detectors)
