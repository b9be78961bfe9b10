"""Dwell times: how long the emitter stays above and below a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.likelihood import Z95
from photonstats.result import Result
from photonstats.switching.level_clustering import Levels, share_error
from photonstats.switching.markov_chain import HiddenMarkov
from photonstats.traces.intensity import IntensityTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_BINS = 20
BETTER_BIC = 10.0
CLEAR_OF_NOISE = 2.0
SHORT_DWELL = 5.0
BINS_OF_A_JUMP = 14.0  # measured dots with grey states need up to twelve


@dataclass(frozen=True, eq=False, repr=False)
class DwellTimes(Result):
    """Stretches of a trace above (on) and below (off) a threshold.

    Parameters
    ----------
    on, off : ndarray of float64
        Dwell times in order of time, s.
    on_censored, off_censored : ndarray of bool
        True for the first and the last dwell of the trace, which were cut by its ends.
    threshold : float
        Rate from which a bin counts as on, Hz; nan where the trace has no two levels.
    on_fraction, on_fraction_err : float
        Share of bins that are on, and its standard error with the correlation of the trace in it.
    bin_width : float
        Resolution of the dwell times, s; nan where they come from change points.
    levels : tuple of float or None
        The off and on rates whose middle is the threshold, Hz, where it was found from the data; of more than two
        levels the lowest and the highest.
    note : str
        Why there is no threshold, or what makes the dwells doubtful; mostly empty.
    band : tuple of float or None
        Off goes on at the upper rate, on goes off below the lower one, Hz; None where one threshold does both.
    start : float
        Begin of the first dwell, s.
    starts_on : bool or None
        Whether the first dwell is on: on and off alternate from there. None where it is not known.
    edges_ci : ndarray of float64, shape (d - 1, 2), optional
        Intervals of the times of the switches, s, where they come from change points.
    """

    on: NDArray[np.float64]
    off: NDArray[np.float64]
    on_censored: NDArray[np.bool_]
    off_censored: NDArray[np.bool_]
    threshold: float
    on_fraction: float
    on_fraction_err: float
    bin_width: float
    levels: tuple[float, float] | None = None
    note: str = ""
    band: tuple[float, float] | None = None
    start: float = 0.0
    starts_on: bool | None = None
    edges_ci: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Number of dwells, on and off."""
        return int(self.on.size + self.off.size)

    @property
    def states(self) -> NDArray[np.bool_]:
        """State of each dwell in order of time, True for on, bool[n]; a ValueError where it is not known."""
        first = self.starts_on
        if first is None and self.n:
            if abs(self.on.size - self.off.size) > 1 or self.on.size == self.off.size:
                raise ValueError("the order of these dwells is not known: give starts_on, or take them of dwell_times")
            first = self.on.size > self.off.size
        states: NDArray[np.bool_] = np.arange(self.n) % 2 == (0 if first else 1)
        return states

    @property
    def durations(self) -> NDArray[np.float64]:
        """All dwells in order of time, s, float64[n]."""
        times, states = np.empty(self.n), self.states
        times[states], times[~states] = self.on, self.off
        return times

    @property
    def edges(self) -> NDArray[np.float64]:
        """Begin of each dwell and the end of the last, s, float64[n + 1]."""
        edges: NDArray[np.float64] = self.start + np.concatenate([[0.0], np.cumsum(self.durations)])
        return edges

    def summary(self) -> str:
        """Return one line: threshold, number of dwells, on-fraction; or why there are none."""
        if math.isnan(self.threshold):
            return f"DwellTimes: undetermined; {self.note}"
        return (
            f"DwellTimes: {self.on.size} on, {self.off.size} off, {self._cut()} Hz, "
            f"on-fraction {self.on_fraction:.3f} ± {self.on_fraction_err:.3f}" + (f"; {self.note}" if self.note else "")
        )

    def _cut(self) -> str:
        if self.band is not None:
            return f"on from {self.band[1]:.5g} Hz, off below {self.band[0]:.5g}"
        return f"threshold {self.threshold:.5g}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the survival of on and off dwells on logarithmic axes."""
        from photonstats import plots

        return plots.plot_dwell_times(self, ax)


def dwell_times(
    trace: IntensityTrace | Levels | HiddenMarkov, threshold: float | str | tuple[float, float] = "auto"
) -> DwellTimes:
    """Cut a trace, its levels or its hidden Markov path into on and off dwells.

    Parameters
    ----------
    trace : IntensityTrace, Levels or HiddenMarkov
        Counts per bin, levels of segments, or the likeliest path through hidden levels.
    threshold : float, (float, float), "auto" or "hysteresis"
        Rate in Hz; a bin or a level at or above it is on. Two rates: off goes on at the higher one, on goes off below
        the lower one. "auto" takes the middle of two fitted levels, "hysteresis" two rates between them, and none if
        the trace does not show two; of levels "auto" is the geometric mean of the lowest and the highest rate, and
        none if there is one level.

    Returns
    -------
    DwellTimes
        With nan for the threshold, no dwells and a note where no two levels are found.

    Raises
    ------
    ValueError
        If the threshold is not a positive rate or two of them, the lower one first; or if two are given for levels.

    Notes
    -----
    The middle of the levels calls a bin by the state that fills most of it, so that dwells are neither lengthened nor
    shortened on average. "auto" fits a mixture of two Poisson levels; it answers only if that beats a single level by
    10 in BIC, if noise alone would seldom carry either level over the threshold (2 standard deviations), and if the
    counts are rarer around the threshold than at the lesser level. Dwells shorter than a bin are missed, which biases
    the exponents of their law. The error of the on-fraction sums the autocorrelation of the on state to its first
    crossing of its own noise, is widened by Student's t for the number of dwells, and is never above 0.5; for dwells
    with a power law no recording is long enough, and it is a lower limit. Dwells of a few bins and less are missed and
    pull the on-fraction to the state that is longer.

    Noise at a threshold near a level cuts one dwell into many. With two thresholds a bin between them keeps the state
    of the bin before it (at the begin of the trace: that of the nearer threshold), so that dwells end late but seldom
    falsely; the reported `threshold` is the middle. "hysteresis" sets them at a third and two thirds of the way from
    the off to the on level. A hidden Markov path looks at all bins at once and needs no threshold within its noise; its
    levels are on or off as those of `Levels` are, and its dwells are whole bins. It takes exponential dwells for
    granted, so that visits of one bin are often missed.

    Levels between the darkest and the brightest are on if they are nearer to the brightest in log rate; the darkest
    counts as 1 photon in its time where it has none. The rate of a level holds its background. The error of the
    on-fraction is then that of the share of time from the scatter of visits; `bin_width` is nan.

    References
    ----------
    Hoogenboom, den Otter, Offerhaus, J. Chem. Phys. 125, 204713 (2006).

    Examples
    --------
    >>> trace = IntensityTrace([9, 8, 0, 1, 0, 9], 10e-3)
    >>> dwell_times(trace, threshold=500.0).off.tolist()
    [0.03]
    """
    if isinstance(trace, Levels):
        return _of_levels(trace, threshold)
    if isinstance(trace, HiddenMarkov):
        return _of_path(trace, threshold)
    levels = None
    if isinstance(threshold, str):
        if threshold not in {"auto", "hysteresis"}:
            raise ValueError(f'threshold must be a rate in Hz, two, "auto" or "hysteresis", it is {threshold!r}')
        levels, reason = _two_levels(trace)
        if levels is None:
            return _undetermined(trace, reason)
        off, on = levels = _inner_levels(trace, levels)
        half = 0.0 if threshold == "auto" else (on - off) / 6.0
        band = (off + on) / 2.0 - half, (off + on) / 2.0 + half
    else:
        band = _band(threshold)
        if trace.counts.size == 0:
            return _undetermined(trace, "the trace has no bins")
    is_on = trace.rate >= band[0] if band[0] == band[1] else _with_hysteresis(trace.rate, band)
    return _of_bins(trace, is_on, band, levels)


def _of_bins(
    trace: IntensityTrace, is_on: NDArray[np.bool_], band: tuple[float, float], levels: tuple[float, float] | None
) -> DwellTimes:
    """Return the dwells of bins that are on or off."""
    fraction, error = _mean_with_correlation(is_on)
    starts = np.flatnonzero(np.diff(is_on, prepend=not is_on[0]))
    lengths = np.diff(starts, append=is_on.size) * trace.bin_width
    state = is_on[starts]
    cut_by_end = np.zeros(starts.size, np.bool_)
    cut_by_end[[0, -1]] = True
    error = min(error * _few_dwells(int(min(state.sum(), (~state).sum()))), 0.5)
    return DwellTimes(
        lengths[state],
        lengths[~state],
        cut_by_end[state],
        cut_by_end[~state],
        (band[0] + band[1]) / 2.0,
        fraction,
        error,
        trace.bin_width,
        levels,
        _doubt(lengths[state], lengths[~state], trace.bin_width),
        band if band[0] < band[1] else None,
        trace.start,
        bool(is_on[0]),
    )


def _with_hysteresis(rate: NDArray[np.float64], band: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell which bins are on if those within the band keep the state of the bin before."""
    decided = (rate >= band[1]) | (rate < band[0])
    first = rate[0] >= (band[0] + band[1]) / 2.0  # where nothing came before
    last: NDArray[np.int64] = np.maximum.accumulate(np.where(decided, np.arange(rate.size), -1))
    is_on: NDArray[np.bool_] = np.where(last < 0, first, rate[last] >= band[1])
    return is_on


def _band(threshold: float | tuple[float, float]) -> tuple[float, float]:
    """Return the lower and the upper threshold, the same where there is one."""
    if np.ndim(threshold) == 0:
        cut = _checked(threshold)  # type: ignore[arg-type]
        return cut, cut
    given = tuple(threshold)  # type: ignore[arg-type]
    if len(given) != 2:
        raise ValueError(f"threshold must be one rate or two in Hz, it holds {len(given)}")
    low, high = (_checked(value) for value in given)
    if not low < high:
        raise ValueError(f"threshold: the rate below which on goes off must come first, it is ({low:g}, {high:g}) Hz")
    return low, high


def _checked(threshold: float) -> float:
    cut = float(threshold)
    if not (math.isfinite(cut) and cut > 0):
        raise ValueError(f"threshold must be a positive rate in Hz, it is {threshold}")
    return cut


def _cut_of_levels(
    rates: NDArray[np.float64], dark_time: float, threshold: object, what: str
) -> tuple[float, tuple[float, float] | None, str]:
    """Return the rate that parts rising levels, the outer levels where it was found from them, or a reason."""
    if isinstance(threshold, str):
        if threshold != "auto":
            raise ValueError(f'threshold of levels must be a rate in Hz or "auto", it is {threshold!r}')
        if rates.size < 2:
            return math.nan, None, f"the {what} one level; give a threshold in Hz to call it on or off"
        ends = float(rates[0]), float(rates[-1])
        cut = math.sqrt(max(ends[0], 1.0 / dark_time if dark_time > 0 else ends[0]) * ends[1])
        return cut, ends, ""
    if np.ndim(threshold) != 0:  # type: ignore[arg-type]
        raise ValueError(f"threshold of levels must be one rate in Hz, it is {threshold}: a level has no noise to ride")
    return _checked(threshold), None, ""  # type: ignore[arg-type]


def _of_path(found: HiddenMarkov, threshold: object) -> DwellTimes:
    """Return the dwells of the likeliest path; neighbouring levels on the same side are one dwell."""
    dark_time = float(np.count_nonzero(found.path == 0)) * found.trace.bin_width
    cut, levels, reason = _cut_of_levels(found.rates, dark_time, threshold, "chain has")
    if math.isnan(cut):
        return _undetermined(found.trace, reason)
    return _of_bins(found.trace, found.rates[found.path] >= cut, (cut, cut), levels)


def _of_levels(levels: Levels, threshold: object) -> DwellTimes:
    """Return the dwells above and below a threshold; neighbouring levels on the same side are one dwell."""
    dark_time = float(levels.segments.durations[levels.assignment == 0].sum())
    cut, found, reason = _cut_of_levels(levels.rates, dark_time, threshold, "segments have")
    if math.isnan(cut):
        none, no = np.zeros(0), np.zeros(0, np.bool_)
        return DwellTimes(none, none, no, no, math.nan, math.nan, math.nan, math.nan, None, reason)
    which, edges = levels.dwells()
    is_on = levels.rates[which] >= cut
    starts = np.flatnonzero(np.diff(is_on, prepend=not is_on[0]))
    times, state = np.diff(edges[np.append(starts, which.size)]), is_on[starts]
    cut_by_end = np.zeros(starts.size, np.bool_)
    cut_by_end[[0, -1]] = True
    fraction = float(times[state].sum() / times.sum())
    error = share_error(times, np.flatnonzero(state), fraction)
    error = min(error * _few_dwells(int(min(state.sum(), (~state).sum()))), 0.5)
    inner = levels.segments.times_ci
    if inner is not None:
        n = len(levels.segments)
        inner = inner[1:n] if inner.shape[0] == n + 1 else inner
        begins = np.flatnonzero(np.isin(levels.segments.edges[1:-1], edges[starts[1:]]))
        inner = inner[begins]
    return DwellTimes(
        times[state], times[~state], cut_by_end[state], cut_by_end[~state], cut, fraction, error, math.nan, found,
        "", None, float(edges[0]), bool(is_on[0]), inner,
    )  # fmt: skip


def _doubt(on: NDArray[np.float64], off: NDArray[np.float64], bin_width: float) -> str:
    """Return what is to be said of dwells that last hardly longer than the bins."""
    shortest = min((float(times.mean()) for times in (on, off) if times.size), default=math.inf)
    if shortest >= SHORT_DWELL * bin_width or min(on.size, off.size) < 3:
        return ""
    return (
        f"dwells last {shortest / bin_width:.2g} bins on average: many are missed, and the on-fraction is pulled to "
        "the state that is longer; narrower bins may help"
    )


def _few_dwells(n: int) -> float:
    """Return by how much few dwells widen an error: the 95 % point of Student's t with n - 1 degrees over 1.96."""
    return float(special.stdtrit(max(n - 1, 1), 0.975)) / Z95


def _undetermined(trace: IntensityTrace, note: str) -> DwellTimes:
    none, no = np.zeros(0), np.zeros(0, np.bool_)
    return DwellTimes(none, none, no, no, math.nan, math.nan, math.nan, trace.bin_width, None, note)


def _two_levels(trace: IntensityTrace) -> tuple[tuple[float, float] | None, str]:
    """Return the off and on rates in Hz, or None and the reason."""
    if trace.counts.size < FEWEST_BINS:
        return None, f"{trace.counts.size} bins are too few to find two levels (at least {FEWEST_BINS})"
    values, weights = np.unique(trace.counts, return_counts=True)
    if values.size < 2:
        return None, "every bin holds the same number of photons"
    low, high, gain = _fit_two_poisson_levels(values.astype(np.float64), weights.astype(np.float64))
    low_rate, high_rate = low / trace.bin_width, high / trace.bin_width
    if gain < BETTER_BIC:
        return None, "one steady level describes the trace as well as two do"
    cut = (low + high) / 2.0
    if high - cut < CLEAR_OF_NOISE * math.sqrt(high):
        return None, (
            f"two levels of {low_rate:.4g} and {high_rate:.4g} Hz cannot be told from noise in bins of "
            f"{trace.bin_width * 1e3:.4g} ms; wider bins or a threshold in Hz may help"
        )
    if not _has_valley(trace.counts, low, high):
        return (
            None,
            "the intensity has no gap between a bright and a dark level; give a threshold in Hz to cut it anyway",
        )
    return (low_rate, high_rate), ""


def _inner_levels(trace: IntensityTrace, levels: tuple[float, float]) -> tuple[float, float]:
    """Return the mean rates of bins between two of the same state: those in which a jump falls are of neither."""
    rate = trace.rate
    for _ in range(3):
        is_on = rate >= (levels[0] + levels[1]) / 2.0
        inside = (is_on[1:-1] == is_on[:-2]) & (is_on[1:-1] == is_on[2:])
        on, off = inside & is_on[1:-1], inside & ~is_on[1:-1]
        if min(np.count_nonzero(on), np.count_nonzero(off)) < FEWEST_BINS:
            break
        levels = float(rate[1:-1][off].mean()), float(rate[1:-1][on].mean())
    return levels


def _fit_two_poisson_levels(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return both means of a Poisson mixture (counts per bin) and how much its BIC beats that of one mean."""
    total = weights.sum()
    below = np.cumsum(weights)[:-1]
    sum_below = np.cumsum(weights * values)[:-1]
    mean = float(weights @ values) / total
    between = (mean * below - sum_below) ** 2 / (below * (total - below))
    split = int(np.argmax(between))
    low = sum_below[split] / below[split]
    high = (mean * total - sum_below[split]) / (total - below[split])
    share = below[split] / total
    log_factorial = special.gammaln(values + 1.0)
    likelihood = -math.inf
    for _ in range(200):
        log_low = special.xlogy(values, low) - low - log_factorial + math.log(share)
        log_high = special.xlogy(values, high) - high - log_factorial + math.log1p(-share)
        log_sum = np.logaddexp(log_low, log_high)
        previous, likelihood = likelihood, float(weights @ log_sum)
        if likelihood - previous < 1e-9 * abs(likelihood):
            break
        is_low = weights * np.exp(log_low - log_sum)
        share = float(np.clip(is_low.sum() / total, 1e-12, 1 - 1e-12))
        low = float(is_low @ values / max(is_low.sum(), 1e-300))
        high = float((weights - is_low) @ values / max((weights - is_low).sum(), 1e-300))
    single = float(weights @ (special.xlogy(values, mean) - mean - log_factorial))
    return low, high, 2.0 * (likelihood - single) - 2.0 * math.log(total)


def _has_valley(counts: NDArray[np.int64], low: float, high: float) -> bool:
    """Tell whether bins around the middle of the levels are fewer than around either level.

    Each window is a quarter of the distance wide, and the densities are compared against their counting noise.
    """
    gap = high - low
    cut = (low + high) / 2.0
    middle = np.count_nonzero(np.abs(counts - cut) <= gap / 8.0)
    sides = [np.count_nonzero(np.abs(counts - level) <= gap / 8.0) for level in (low, high)]
    lesser = min(sides)
    if lesser - middle <= CLEAR_OF_NOISE * math.sqrt(lesser + middle):
        return False
    # A jump leaves one bin or few between the levels (grey states); a slow swing passes them in many, though it is
    # longest at its ends.
    is_on = counts >= cut
    side_of = np.sign(counts - cut) * (np.abs(counts - cut) > 0.375 * gap)
    visited = side_of[side_of != 0]  # crossings back and forth by noise are no jumps
    jumps = np.count_nonzero(visited[1:] != visited[:-1])
    by_noise = sum(
        side * (special.pdtr(cut + gap / 8.0, level) - special.pdtr(cut - gap / 8.0, level))
        for side, level in ((np.count_nonzero(~is_on), low), (np.count_nonzero(is_on), high))
    )
    between = middle - float(by_noise)
    return bool(between <= BINS_OF_A_JUMP * jumps + 3.0 * math.sqrt(middle))


def _mean_with_correlation(states: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean of a correlated series and its standard error from the summed autocorrelation."""
    n = states.size
    mean = float(states.mean())
    if n < 2 or mean in {0.0, 1.0}:
        return mean, math.nan
    deviation = states - mean
    spectrum = np.fft.rfft(deviation, 2 * n)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[:n] / n
    correlation = covariance / covariance[0]
    # Noise of an estimated correlation is about 1/sqrt(n): summing beyond the first drop under it adds only noise.
    below = np.flatnonzero(correlation < 1.0 / math.sqrt(n))
    stop = int(below[0]) if below.size else n
    time = 1.0 + 2.0 * float(correlation[1:stop].sum())
    return mean, math.sqrt(covariance[0] * time / n)
