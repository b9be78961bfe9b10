"""Flickering measured: whether a trace is better described by a few levels or by a continuum of intensities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.likelihood import Z95
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.switching.continuum_levels import Counts, LevelModel, bic, fit_levels, sorted_counts, two_dwells
from photonstats.switching.continuum_walk import Grid, Walk, fit_walk, make_grid, smoothing_of_bins
from photonstats.traces.intensity import IntensityTrace, intensity_trace, refuse_other_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINEST = 1e-3  # s, narrowest bin that is chosen
COUNTS_OF_A_BIN, FEWEST_COUNTS = 30.0, 8.0
MANY_BINS, MOST_BINS = 12_000, 24_000
PERSISTENT, TOO_FAST = 0.8, 0.6  # bins are halved below the first; below the second no continuum is called
FEWEST_BINS, FEWEST_PHOTONS = 300, 1000
FEWEST_BLOCKS, MOST_BLOCKS = 12, 40
MORE_LEVELS = 4  # beyond max_levels, before a continuum is called
CLEAR = 2.5  # variance beyond shot noise that needs no further proof, in units of what noise seldom reaches
COARSEST = 1.5  # grid step in standard deviations of shot noise
FEWEST_TIMES = 10.0  # correlation times in a recording
DRAWS = 4000
UNKNOWN = 2.0  # standard error of a logarithm from which a value is not given
NO_DWELL = 0.1  # share of the excess variance in the next bin below which nothing was seen to last
SHARED_FIT = 1.2  # blocks of a half share a fit: measured, the plain bootstrap covers 90 %


def _unknown() -> Floats:
    return np.full(2, np.nan)


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, eq=False, repr=False)
class Flickering(Result):
    """Verdict between a few levels and a continuum of intensities.

    Parameters
    ----------
    verdict : str
        "levels", "continuum", "steady" or "undetermined".
    reason : str
        Why, in one sentence.
    bin_width : float
        Width of the bins that were used, s.
    score : float
        Held-out log-likelihood of the continuum less that of the few levels, nats per bin: above 0 the continuum
        describes the trace better.
    score_ci : ndarray of float64, shape (2,)
        Its 95 % interval from the scatter over blocks.
    gain : float
        Held-out log-likelihood of the better of both less that of one steady level, nats per bin.
    gain_ci : ndarray of float64, shape (2,)
        Its 95 % interval.
    n_levels : int or None
        Levels of the best model of few levels.
    rates, rates_err : ndarray of float64, shape (n_levels,)
        Their count rates and standard errors, Hz.
    correlation_time : float
        Correlation time of the continuum, s; nan where the trace leaves it open.
    correlation_time_ci : ndarray of float64, shape (2,)
        Its 95 % interval, s.
    deviation : float
        Standard deviation of the continuum over its mean, background in it.
    deviation_ci : ndarray of float64, shape (2,)
        Its 95 % interval.
    deviation_limit : float
        Upper limit (95 %) of the relative deviation, from the variance of the counts alone.
    jump_rate : float
        Jumps to anywhere of the continuum, Hz.
    persistence : float
        Share of the variance beyond shot noise that lasts into the next bin; near 1 the bins resolve the light.
    block_edges : ndarray of float64, shape (b+1,)
        Begin and end of the blocks, s.
    block_scores : ndarray of float64, shape (b,)
        Held-out score of each block, nats.
    """

    verdict: str
    reason: str
    bin_width: float
    score: float = math.nan
    score_ci: Floats = field(default_factory=_unknown)
    gain: float = math.nan
    gain_ci: Floats = field(default_factory=_unknown)
    n_levels: int | None = None
    rates: Floats = field(default_factory=_none)
    rates_err: Floats = field(default_factory=_none)
    correlation_time: float = math.nan
    correlation_time_ci: Floats = field(default_factory=_unknown)
    deviation: float = math.nan
    deviation_ci: Floats = field(default_factory=_unknown)
    deviation_limit: float = math.nan
    jump_rate: float = math.nan
    persistence: float = math.nan
    block_edges: Floats = field(default_factory=_none)
    block_scores: Floats = field(default_factory=_none)

    @property
    def score_per_second(self) -> float:
        """The score in nats per second."""
        return self.score / self.bin_width

    def summary(self) -> str:
        """Return the verdict, its reason, the score and the numbers of both models."""
        lines = [f"Flickering: {self.verdict}; {self.reason}"]
        if math.isfinite(self.score):
            low, high = self.score_ci
            lines.append(
                f"  continuum against levels: {self.score:+.4f} [{low:+.4f}, {high:+.4f}] nats "
                f"per bin of {self.bin_width * 1e3:.3g} ms, {self.block_scores.size} held-out blocks"
            )
        if self.n_levels is not None:
            rates = ", ".join(f"{rate:.5g} ± {err:.2g}" for rate, err in zip(self.rates, self.rates_err, strict=True))
            lines.append(f"  levels: {self.n_levels} at {rates} Hz")
        if math.isfinite(self.correlation_time):
            low, high = self.correlation_time_ci
            lines.append(
                f"  continuum: correlation time {self.correlation_time:.3g} s [{low:.3g}, {high:.3g}], deviation "
                f"{self.deviation:.3g} [{self.deviation_ci[0]:.3g}, {self.deviation_ci[1]:.3g}] of the mean"
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the held-out score of each block, and their sum with its interval."""
        from photonstats import plots

        return plots.plot_flickering(self, ax)


def flickering(
    photons: IntensityTrace | PhotonStream | Iterable[PhotonStream],
    bin_width: float | None = None,
    *,
    detectors: int | Sequence[int] | None = None,
    max_levels: int = 5,
    steady_below: float = 0.05,
) -> Flickering:
    """Tell whether the light has a few levels or a continuum of them, by the likelihood of data not used in the fit.

    Parameters
    ----------
    photons : IntensityTrace, PhotonStream or iterable of PhotonStream
        Counts per bin, a stream, or the pieces of `scan`.
    bin_width : float, optional
        Width of a bin, s, for photons; None chooses it. A trace keeps its bins, merged where they are above 24 000.
    detectors : int or sequence of int, optional
        Detectors to count; None for all of them.
    max_levels : int
        Most levels of the model of few levels, 2 to 6.
    steady_below : float
        The light is "steady" only where a relative deviation above this is excluded; 0 to 1.

    Returns
    -------
    Flickering

    Raises
    ------
    ValueError
        If a setting lies outside of its range, or `bin_width` or `detectors` come with a trace.

    Notes
    -----
    Few levels: a hidden Markov model of 1 to `max_levels` Poisson levels, which switch inside of bins and may have
    short and long dwells; the number is chosen by BIC. Continuum: a diffusion on a grid of intensities with a
    stationary law without poles (lognormal, or beta between two ends), and jumps to anywhere at a constant rate. The
    trace is cut into 12 to 40 blocks, about ten correlation times long where the recording allows it; both models are
    fitted to every second block and score the others, each started from its stationary law, then the other way round.
    The interval is a bootstrap of the differences of blocks, widened by Student's t, by the correlation of
    neighbouring blocks, and by 1.2 for the fit that the blocks of a half share.

    A bin less likely than 0.001 spread over all counts is passed over by both models.

    The bin of photons is as wide as 30 counts need on average, or as 12 000 bins leave it, and is halved down to 8
    counts, 1 ms and 24 000 bins until 80 % of the variance beyond shot noise lasts into the next bin. Where less than
    60 % does, the light switches inside of bins, where a continuum and levels look alike: "continuum" is then not
    called; below 10 % "levels" is not called either.

    The correlation time is set right for bins that hold the mean of a walk and not its value (up to a factor 2/3); it
    fails below about three bins. Its interval and that of the deviation come from the curvature of the likelihood of
    each half, or from the difference of both.

    "steady" needs that neither model beats a steady level and that the variance of counts excludes a deviation above
    `steady_below`. Before "continuum" is called, up to four more levels than `max_levels` are tried; where they predict
    about as well, as with three emitters that blink by themselves, the verdict is "undetermined". A continuum with two
    humps counts as whatever predicts better. Drift
    of the focus and bleaching are continua too; a recording shorter than ten correlation times is "undetermined".

    References
    ----------
    Rabiner, Proc. IEEE 77, 257 (1989); Smyth, Stat. Comput. 10, 63 (2000), for held-out likelihood.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> trace = IntensityTrace(rng.poisson(np.repeat(rng.choice([20, 200], 60), 20)), 10e-3)
    >>> flickering(trace).verdict
    'levels'
    """
    if not 2 <= max_levels <= 6:
        raise ValueError(f"max_levels must be 2 to 6, it is {max_levels}")
    if not 0 < steady_below < 1:
        raise ValueError(f"steady_below must be a relative deviation between 0 and 1, it is {steady_below}")
    trace = _binned(photons, bin_width, detectors)
    thin = _too_thin(trace)
    if thin:
        return Flickering("undetermined", thin, trace.bin_width)
    persistence, time = _persistence(trace.counts)
    limit, excess = _deviation_limit(trace.counts)
    data = sorted_counts(trace.counts)
    grid = make_grid(data)
    if grid.step > COARSEST:
        why = (
            f"{trace.counts.mean():.4g} counts in a bin are too many to tell a continuum from levels: use narrower bins"
        )
        return Flickering("undetermined", why, trace.bin_width)
    n = trace.counts.size
    n_blocks = int(np.clip(n / (10.0 * time), FEWEST_BLOCKS, MOST_BLOCKS)) // 2 * 2
    edges = np.linspace(0, n, n_blocks + 1).astype(np.int64)
    levels, walks, logs = _held_out(data, grid, edges, max_levels, time)
    found = _numbers(trace, edges, levels, walks, logs)
    found = replace(found, deviation_limit=limit, persistence=persistence)
    verdict, reason = _judge(found, trace.duration, excess, steady_below)
    tried = bool(np.isfinite(logs[3]).all())
    if verdict == "continuum" and tried and _block_interval(logs[2] - logs[3])[0] <= 0:
        verdict = "undetermined"
        reason = (
            f"{max_levels + 1} to {max_levels + MORE_LEVELS} levels describe the trace about as well as a continuum"
        )
    return replace(found, verdict=verdict, reason=reason)


def _held_out(
    data: Counts, grid: Grid, edges: Ints, most: int, time: float
) -> tuple[list[LevelModel], list[Walk], Floats]:
    """Return both models fitted to even and to odd blocks, and ln p of each block by the fit to the others, [4, b].

    The rows are one steady level, few levels, the continuum, and more levels than asked for (nan where not needed).
    """
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    halves = [np.ascontiguousarray(pairs[k::2]).ravel() for k in range(2)]
    sizes = [float(np.diff(half.reshape(-1, 2)).sum()) for half in halves]
    # the halves know nothing of each other, and the passes over their bins leave the interpreter free
    with ThreadPoolExecutor(2) as pool:
        later = pool.map(lambda half: fit_walk(data, half, grid, time), halves)
        fits = [*pool.map(lambda half: fit_levels(data, half, most), halves)]
        walks = [*later]

    def cost(i: int) -> float:
        return sum(bic(fits[k][i], sizes[k]) for k in range(2))

    for i in sorted(range(1, most), key=cost)[:2]:
        for k in range(2):
            fits[k].append(two_dwells(data, halves[k], fits[k][i]))
    best = min(range(len(fits[0])), key=cost)
    levels = [fits[k][best] for k in range(2)]
    logs = np.full((4, edges.size - 1), np.nan)
    for k in range(2):
        other = slice(1 - k, None, 2)
        logs[0, other] = fits[k][0].scores(data, edges)[other]
        logs[1, other] = levels[k].scores(data, edges)[other]
        logs[2, other] = walks[k].scores(data, edges, grid)[other]
    if levels[0].means.size == most and logs[2].sum() > logs[1].sum():
        more = [fit_levels(data, halves[k], most + MORE_LEVELS, fits[k][:most])[most:] for k in range(2)]
        n = min(range(MORE_LEVELS), key=lambda i: sum(bic(more[k][i], sizes[k]) for k in range(2)))
        for k in range(2):
            logs[3, 1 - k :: 2] = more[k][n].scores(data, edges)[1 - k :: 2]
    return levels, walks, logs


def _numbers(
    trace: IntensityTrace, edges: Ints, levels: list[LevelModel], walks: list[Walk], logs: Floats
) -> Flickering:
    """Put scores and the means of both halves into a result without a verdict."""
    n, width = trace.counts.size, trace.bin_width
    scores = logs[2] - logs[1]
    better = (logs[2] if scores.sum() > 0 else logs[1]) - logs[0]
    errors = np.hypot(levels[0].errors, levels[1].errors) / 2.0
    apart = np.abs(levels[0].means - levels[1].means) / 2.0
    time, time_ci = _joined([w.time for w in walks], [w.time_err for w in walks])
    deviation, deviation_ci = _joined([w.deviation for w in walks], [w.deviation_err for w in walks])
    smoothed = smoothing_of_bins(2.0 * deviation**2 / time * float(trace.counts.mean()))
    time, time_ci = time * smoothed, time_ci * smoothed
    return Flickering(
        "undetermined",
        "",
        width,
        float(scores.sum()) / n,
        _block_interval(scores) / n,
        float(better.sum()) / n,
        _block_interval(better) / n,
        int(levels[0].means.size),
        (levels[0].means + levels[1].means) / 2.0 / width,
        np.maximum(errors, apart) / width,
        time * width,
        time_ci * width,
        deviation,
        deviation_ci,
        jump_rate=float(np.mean([w.jumps for w in walks])) / width,
        block_edges=trace.start + edges.astype(np.float64) * width,
        block_scores=scores,
    )


def _joined(values: list[float], errors: list[float]) -> tuple[float, Floats]:
    """Return the geometric mean of two independent values, and its 95 % interval from errors of logarithms.

    Both are nan where the error is above a factor of seven.
    """
    logs = np.log(values)
    error = max(math.hypot(*errors) / 2.0, abs(float(logs[0] - logs[1])) / 2.0)
    if not error < UNKNOWN:
        return math.nan, np.full(2, np.nan)
    middle = float(logs.mean())
    return math.exp(middle), np.exp(middle + Z95 * error * np.array([-1.0, 1.0]))


def _judge(found: Flickering, duration: float, excess: float, steady_below: float) -> tuple[str, str]:
    """Return the verdict and its reason; `excess` in units of the limit for noise."""
    low, high = found.score_ci
    proven = found.gain_ci[0] > 0 or (found.gain > 0 and excess > CLEAR)
    if not proven or (found.n_levels == 1 and high <= 0):
        limit = found.deviation_limit
        if limit <= steady_below:
            return "steady", f"no model beats a steady level, and a relative deviation above {limit:.2g} is excluded"
        if excess > 1.0:
            return "undetermined", "the light fluctuates, but no model describes it clearly better than a steady level"
        return "undetermined", f"no fluctuation is seen, but a relative deviation up to {limit:.2g} is not excluded"
    if low <= 0 <= high:
        return "undetermined", "a few levels and a continuum describe blocks that they were not fitted to equally well"
    if found.persistence < NO_DWELL:
        return "undetermined", (
            f"the fluctuation does not last from one bin of {found.bin_width * 1e3:.3g} ms into the next: no dwell was "
            "seen; narrower bins are needed"
        )
    if high < 0:
        return "levels", f"{found.n_levels} levels describe blocks that they were not fitted to better than a continuum"
    if math.isnan(found.persistence):
        return "undetermined", "the fluctuation is too weak to see whether the bins resolve it"
    if found.persistence < TOO_FAST:
        return "undetermined", (
            f"only {found.persistence:.2g} of the fluctuation lasts into the next bin of {found.bin_width * 1e3:.3g} "
            "ms: levels that switch inside of bins look like a continuum; narrower bins or more light are needed"
        )
    if found.correlation_time * FEWEST_TIMES > duration:
        return "undetermined", (
            f"the recording of {duration:.3g} s is shorter than {FEWEST_TIMES:.0f} correlation times of "
            f"{found.correlation_time:.2g} s: a drift and flickering look alike"
        )
    return "continuum", "a continuum describes blocks that it was not fitted to better than a few levels"


def _block_interval(blocks: Floats) -> Floats:
    """Return the 95 % interval of a sum over blocks, by bootstrap, widened for few and for correlated blocks."""
    n, total = blocks.size, float(blocks.sum())
    if not np.ptp(blocks) > 0:
        return np.array([total, total])
    rng = np.random.default_rng(0)
    sums = blocks[rng.integers(0, n, (DRAWS, n))].sum(axis=1)
    deviation = blocks - blocks.mean()
    neighbours = max(float(deviation[1:] @ deviation[:-1] / (deviation @ deviation)), 0.0)
    wider = SHARED_FIT * float(special.stdtrit(n - 1, 0.975)) / Z95 * math.sqrt(n / (n - 1) * (1.0 + 2.0 * neighbours))
    limits: Floats = total + wider * (np.quantile(sums, [0.025, 0.975]) - total)
    return limits


def _persistence(counts: Ints) -> tuple[float, float]:
    """Return the share of the variance beyond shot noise that lasts into the next bin, and its decay time in bins.

    Bins in which that variance does not stand out of its noise by three standard deviations are merged by two; the
    share is nan where it never does.
    """
    n, mean = counts.size, max(float(counts.mean()), 1e-12)
    deviation = counts - mean
    spectrum = np.fft.rfft(deviation, 2 * n)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[: n // 4] / n
    excess = float(covariance[0]) - mean
    if excess < 3.0 * mean * math.sqrt(2.0 / n + 1.0 / (n * mean)):
        if n < 100:
            return math.nan, 1.0
        share, time = _persistence(counts[: n // 2 * 2].reshape(-1, 2).sum(axis=1))
        return share, 1.0 if math.isnan(share) else 2.0 * time
    below = np.flatnonzero(covariance[1:] < covariance[1] / math.e)
    time = float(below[0] + 1) if below.size else n / 4.0
    return float(covariance[1]) / excess, time


def _deviation_limit(counts: Ints) -> tuple[float, float]:
    """Return the upper 95 % limit of the relative deviation over widths of bins, and the largest excess variance.

    The excess is in units of what noise reaches at some width in one trace of twenty.
    """
    limits, scores = [], []
    while counts.size >= 50 and counts.any():  # what is cut off may have held all photons
        n, mean = counts.size, float(counts.mean())
        error = mean * math.sqrt(2.0 / n + 1.0 / (n * mean))
        excess = float(counts.var(ddof=1)) - mean
        limits.append(math.sqrt(max(excess, 0.0) + 1.645 * error) / mean)
        scores.append(excess / error)
        counts = counts[: counts.size // 2 * 2].reshape(-1, 2).sum(axis=1)
    # neighbouring widths share most of their noise: a tail of 0.05 over half their number
    return max(limits), max(scores) / float(special.ndtri(1.0 - 0.1 / len(scores)))


def _too_thin(trace: IntensityTrace) -> str:
    """Return why a trace cannot answer at all, or nothing."""
    n, photons = trace.counts.size, int(trace.counts.sum())
    if n < FEWEST_BINS:
        return f"{n} bins are too few (at least {FEWEST_BINS})"
    if photons < FEWEST_PHOTONS:
        return f"{photons} photons are too few (at least {FEWEST_PHOTONS})"
    if np.count_nonzero(trace.counts) < FEWEST_BINS // 2:
        return f"only {np.count_nonzero(trace.counts)} bins hold photons"
    return ""


def _binned(
    photons: IntensityTrace | PhotonStream | Iterable[PhotonStream],
    bin_width: float | None,
    detectors: int | Sequence[int] | None,
) -> IntensityTrace:
    """Return the trace to judge, with bins of the given or of a fitting width."""
    if isinstance(photons, IntensityTrace):
        refuse_other_bins(photons, bin_width, detectors)
        return _merged(photons, -(-photons.counts.size // MOST_BINS))
    if bin_width is not None:
        return intensity_trace(photons, bin_width, detectors)
    fine = intensity_trace(photons, FINEST, detectors)
    if not fine.counts.size or not fine.counts.sum():
        return fine
    factor = max(math.ceil(COUNTS_OF_A_BIN / fine.counts.mean()), math.ceil(fine.counts.size / MANY_BINS), 1)
    while factor * FEWEST_BINS > fine.counts.size and factor > 1:
        factor //= 2
    trace = _merged(fine, factor)
    while factor > 1:
        half = _merged(fine, factor // 2)
        too_fine = half.counts.mean() < FEWEST_COUNTS or half.counts.size > MOST_BINS
        if too_fine or not _persistence(trace.counts)[0] < PERSISTENT:
            break
        factor, trace = factor // 2, half
    return trace


def _merged(trace: IntensityTrace, factor: int) -> IntensityTrace:
    """Return a trace with bins `factor` times as wide; bins that fill no whole one are left out."""
    if factor <= 1:
        return trace
    counts = trace.counts[: trace.counts.size // factor * factor].reshape(-1, factor).sum(axis=1)
    return IntensityTrace(counts, trace.bin_width * factor, trace.start, trace.detectors)
