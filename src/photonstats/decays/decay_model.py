"""What a decay fit is made of: which bins, which instrument response, where the rise is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from photonstats.curve import Decay
from photonstats.errors import AnalysisWarning

Floats = NDArray[np.float64]
PILE_UP = 0.05
FINEST = 8  # bins of a measured response in one of the decay
CLEAR_RISE = 5000  # photons from which on the highest bin is near the pulse


@dataclass(frozen=True)
class GaussianIRF:
    """An instrument response in the shape of a Gaussian, with or without an exponential tail.

    Parameters
    ----------
    sigma : float, optional
        Standard deviation, s, > 0; None: fitted.
    center : float, optional
        Time of the pulse on the axis of the decay, s. The fitted `shift` is counted from it; None: fitted from the
        rise, and `shift` is the time itself.
    tail : float, "fit", "auto" or None
        Share of the response in an exponential tail (carriers that diffuse into the junction of an avalanche diode):
        held at a number below 1, fitted, fitted if BIC wants it, or none.
    tail_lifetime : float, optional
        Decay time of the tail, s; None: fitted.
    """

    sigma: float | None = None
    center: float | None = None
    tail: float | Literal["fit", "auto"] | None = None
    tail_lifetime: float | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None and not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(
                f"sigma of the Gaussian IRF must be a positive time in seconds or None, it is {self.sigma}"
            )
        if self.center is not None and not math.isfinite(self.center):
            raise ValueError(f"center of the Gaussian IRF must be a time in seconds or None, it is {self.center}")
        if self.tail not in (None, "fit", "auto") and not (isinstance(self.tail, int | float) and 0 <= self.tail < 1):
            raise ValueError(f'tail of the IRF must be a share below 1, "fit", "auto" or None, it is {self.tail!r}')
        if self.tail_lifetime is not None and not (math.isfinite(self.tail_lifetime) and self.tail_lifetime > 0):
            raise ValueError(
                f"tail_lifetime of the IRF must be a positive time in seconds or None, it is {self.tail_lifetime}"
            )


@dataclass(frozen=True)
class Rise:
    """Where the light rises: 10 %, 50 % and 90 % of the height, in bins; may lie before 0 by less than a period."""

    low: float
    half: float
    high: float

    @property
    def width(self) -> float:
        """Bins from 10 % to 90 %."""
        return self.high - self.low


@dataclass(frozen=True)
class Problem:
    """Data and known parts of a decay fit, times in bins.

    `counts`, `use`, `width` have one entry for each bin of the (first) period; `at` and `weight` are the impulses of a
    measured IRF, or the centre of a Gaussian one.
    """

    counts: Floats
    use: NDArray[np.bool_]
    width: Floats
    period: float
    gaussian: bool
    at: Floats
    weight: Floats
    kind: str
    sigma: float
    free_sigma: bool
    free_shift: bool
    start_shifts: tuple[float, ...]
    free_scatter: bool
    background: float | None
    fit_range: tuple[float, float]
    gain: Floats | None = None
    pulses: float = 0.0
    tail: GaussianIRF | None = None

    @cached_property
    def span(self) -> float:
        """Bins that the data cover, at most the period."""
        return min(float(self.counts.size), self.period)

    @cached_property
    def n_used(self) -> int:
        """Fitted bins."""
        return int(np.count_nonzero(self.use))

    @cached_property
    def n_photons(self) -> int:
        """Photons in the fitted bins."""
        return int(self.fitted(self.counts).sum())

    def fitted(self, values: Floats) -> Floats:
        """Return those of values [..., n] that stand in the fitted bins."""
        return values if self.n_used == self.counts.size else values[..., self.use]


def set_up(
    decay: Decay,
    irf: Decay | GaussianIRF | None,
    fit_range: tuple[float, float] | None,
    background: float | None,
    shift: float | None,
    scatter: bool,
    *,
    exclude: Sequence[tuple[float, float]] = (),
    gain: Floats | None = None,
    pile_up: bool = False,
) -> Problem:
    """Check the arguments of `fit_decay` and turn them into bins; gain: relative width of each bin."""
    width_s = decay.bin_width
    period = math.inf if decay.period is None else decay.period / width_s
    n = bins_of_period(decay)
    counts = decay.counts[:n].astype(np.float64)
    photons = int(counts.sum())
    if photons == 0:
        raise ValueError("the decay holds no photons, so there is no lifetime to fit")
    beyond = int(decay.counts[n:].sum()) if n < decay.counts.size else 0
    if beyond > 0.01 * (photons + beyond):
        warnings.warn(
            f"{beyond} of {photons + beyond} photons lie beyond the period of {decay.period:.6g} s and "
            "are left out; check the period of the decay",
            AnalysisWarning, stacklevel=4,
        )  # fmt: skip
    pulses = pulses_of(decay) if pile_up else 0.0
    if not pile_up:
        warn_of_pile_up(decay)
    if shift is not None and not math.isfinite(shift):
        raise ValueError(f"shift must be a time in seconds or None (fitted), it is {shift}")
    if gain is not None and (
        gain.ndim != 1 or gain.size < n or not np.all(np.isfinite(gain[:n])) or not np.all(gain[:n] > 0)
    ):
        raise ValueError(f"nonlinearity must give each of the {n} bins of the decay a relative width > 0")
    width = np.ones(n)
    width[-1] = min(float(n), period) - (n - 1)
    rise = find_rise(counts, period)
    response = _response(irf, decay, rise, period)
    starts = response.starts
    if shift is not None:
        starts = (shift / width_s,)
    elif irf is not None and math.isfinite(period) and n >= period - 1 and photons < CLEAR_RISE:
        starts += tuple(x - response.pulse for x in likely_pulses(counts, span=min(float(n), period)))
    at = response.at
    use, used_range = fitted_bins(decay, counts, period, rise, fit_range, tail=irf is None)
    if len(exclude):
        use &= ~excluded_bins(decay, n, exclude)
    if np.count_nonzero(use) < 2:
        raise ValueError("exclude leaves fewer than two bins of fit_range; a lifetime needs at least two")
    if irf is None:
        # The pulse is the last rise before the fitted bins; amplitudes are those at this time.
        begin = used_range[0] / width_s
        at = at if math.isinf(period) else begin - np.mod(begin - at, period)
        at = np.minimum(at, begin)
    if background is not None and not (math.isfinite(background) and background >= 0):
        raise ValueError(f"background must be None (fitted) or counts per bin >= 0, it is {background}")
    problem = Problem(
        counts, use, width, period, response.kind == "gaussian", at, response.weight, response.kind,
        response.sigma, response.free_sigma,
        shift is None and irf is not None, starts, scatter and irf is not None, background, used_range,
        None if gain is None else np.array(gain[:n], dtype=np.float64), pulses,
        irf if isinstance(irf, GaussianIRF) and irf.tail is not None else None,
    )  # fmt: skip
    if problem.n_photons == 0:
        raise ValueError(
            f"there are no photons in fit_range, {used_range[0]:.6g} s to {used_range[1]:.6g} s; choose one with light"
        )
    return problem


@dataclass(frozen=True)
class _Response:
    """The instrument response in bins: impulses `at` times with `weight`, where its pulse is, shifts to start from."""

    kind: str
    at: Floats
    weight: Floats
    pulse: float
    starts: tuple[float, ...]
    sigma: float = 1.0
    free_sigma: bool = False


def _response(irf: Decay | GaussianIRF | None, decay: Decay, rise: Rise, period: float) -> _Response:
    if irf is None:
        return _Response("none (tail fit)", np.array([rise.half]), np.ones(1), rise.half, (0.0,))
    if isinstance(irf, GaussianIRF):
        # Where few photons hide the rise, its apparent width says nothing: the start must stay a possible one.
        start = min(max(rise.width / 2.563, 0.2), period / 16)
        sigma = start if irf.sigma is None else irf.sigma / decay.bin_width
        if 8.0 * sigma > period:
            raise ValueError(
                f"sigma of the Gaussian IRF, {irf.sigma:.4g} s, must be less than an eighth of the laser period"
            )
        centre = 0.0 if irf.center is None else irf.center / decay.bin_width
        starts = (rise.half - centre, rise.half - centre + sigma)
        if irf.center is not None:
            starts = (0.0, starts[0])
        return _Response("gaussian", np.array([centre]), np.ones(1), centre, starts, sigma, irf.sigma is None)
    if isinstance(irf, Decay):
        at, weight, place = _known_impulses(irf, decay)
        moved = rise.half - place.half
        near = abs(moved) < 1.0 and decay.n_photons >= CLEAR_RISE  # the search finds the rest
        return _Response("measured", at, weight, place.half, (0.0,) if near else (0.0, moved))
    raise TypeError(
        f'irf must be a Decay (see read_irf), a GaussianIRF, "estimate" or None, it is a {type(irf).__name__}'
    )


def bins_of_period(decay: Decay) -> int:
    """Return how many bins of a decay lie in the first period; the last of them may be cut by its end."""
    if decay.period is None:
        return decay.counts.size
    # A sliver of a bin from rounding the period is no bin.
    return min(decay.counts.size, max(1, math.ceil(decay.period / decay.bin_width - 1e-6)))


def warn_of_pile_up(decay: Decay) -> None:
    """Warn where detections per pulse exceed 5 %: the first photon hides later ones, so lifetimes come out short."""
    if not decay.period or not decay.duration:
        return
    share = decay.n_photons * decay.period / decay.duration
    if share > PILE_UP:
        warnings.warn(
            f"{share:.1%} detections per laser pulse: pile-up shortens the fitted lifetimes above {PILE_UP:.0%}; "
            "attenuate the excitation, or fit one detector with pile_up=True",
            AnalysisWarning, stacklevel=5,
        )  # fmt: skip


def pulses_of(decay: Decay) -> float:
    """Return the number of laser pulses of a decay, for pile-up in the model."""
    if not decay.period or not decay.duration:
        raise ValueError("pile_up=True needs a decay with period and duration, which give the number of laser pulses")
    pulses = decay.duration / decay.period
    if decay.n_photons >= pulses:
        raise ValueError(
            f"the decay holds {decay.n_photons} photons of {pulses:.4g} laser pulses: pile-up of single hits leaves at "
            "most one for each; take one detector, and check duration and period"
        )
    return pulses


def excluded_bins(decay: Decay, n: int, exclude: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Return which of the first n bins touch one of the bands (begin, end) in s."""
    out = np.zeros(n, bool)
    edges = np.arange(n + 1) * decay.bin_width
    for band in exclude:
        low, high = (float(t) for t in band)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"exclude must be bands of two rising times in seconds, one of them is {tuple(band)}")
        slack = 1e-6 * decay.bin_width
        out |= (edges[1:] > low + slack) & (edges[:-1] < high - slack)
    return out


def find_rise(counts: Floats, period: float) -> Rise:
    """Find the leading edge by walking back from the highest bin, after merging bins until it holds 50 counts."""
    # A curve that covers less than its period has no light known before its first bin.
    wraps = math.isfinite(period) and counts.size >= period - 1
    cut = period - (counts.size - 1) if wraps else 1.0
    if cut < 1.0:  # the last bin, cut by the period, would look like a dark one in the middle of the rise
        last = counts[-1] / cut if cut >= 0.5 else (counts[-2] + counts[0]) / 2.0
        counts = np.append(counts[:-1], last)
    merged, g = counts, 1
    while merged.max() < 50 and counts.size // (2 * g) >= 24:
        g *= 2
        merged = counts[: counts.size // g * g].reshape(-1, g).sum(axis=1)
    peak = int(merged.argmax())
    top = float(merged[peak])
    reach = merged.size // 2 if wraps else peak
    before = merged[max(peak - reach, 0) : peak + 1]
    if peak < reach:
        before = np.concatenate([merged[peak - reach :], before])
    base = float(before[:-1].min()) if reach else 0.0
    rising = before.tolist()
    crossings = [_crossing(rising, base + share * (top - base)) for share in (0.1, 0.5, 0.9)]
    low, half, high = ((peak - reach + x + 0.5) * g for x in crossings)
    return Rise(low, half, max(high, low + 0.5 * g))


def doubt_of_pulse_time(problem: Problem, tau: Floats, photons: Floats) -> Floats:
    """Return the covariance of the photons of each component that a tail fit adds: it does not know the pulse.

    The tail is carried back to half height of the rise, which may miss the pulse by a quarter of the rise, and a
    response of width sigma raises a tail by exp(sigma^2 / (2 tau^2)).
    """
    width = find_rise(problem.counts, problem.period).width
    late = photons * 0.25 * width / tau
    raised = photons * 0.5 * (width / 2.563 / tau) ** 2
    return np.outer(late, late) + np.outer(raised, raised)


def likely_pulses(counts: Floats, span: float) -> list[float]:
    """Return the two most likely times of the pulse, in bins, for a sharp rise and rough lifetimes: of few photons the
    highest bin may lie anywhere.
    """  # noqa: D205
    merge = -(-counts.size // 256)
    merged = np.add.reduceat(counts, np.arange(0, counts.size, merge))
    n = merged.size
    k = np.arange(n)
    found = []
    for share in (0.05, 0.2, 0.6):
        shape = np.exp(-k / (share * n))
        log_shape = np.log(0.8 * shape / shape.sum() + 0.2 / n)
        log_likelihood = np.fft.irfft(np.fft.rfft(merged) * np.conj(np.fft.rfft(log_shape)), n)
        best = int(np.argmax(log_likelihood))
        found.append((float(log_likelihood[best]), min(best * merge, span)))
    return [time for _, time in sorted(found, reverse=True)[:2]]


def _crossing(values: list[float], level: float) -> float:
    """Return where `values` last pass `level` upward, interpolated; -0.5 if they never lie below it."""
    for k in range(len(values) - 2, -1, -1):
        if values[k] < level:
            return k + (level - values[k]) / (values[k + 1] - values[k])
    return -0.5


_KNOWN: WeakKeyDictionary[Decay, dict[tuple[object, ...], tuple[Floats, Floats, Rise]]] = WeakKeyDictionary()


def _known_impulses(irf: Decay, decay: Decay) -> tuple[Floats, Floats, Rise]:
    """Return `measured_impulses`, made once for all decays in the same bins; neither a response nor its counts change.

    Many decays are fitted with one response, and to prepare it takes as long as a small fit.
    """
    known = _KNOWN.setdefault(irf, {})
    bins = (decay.bin_width, decay.period, bins_of_period(decay))
    if bins not in known:
        known[bins] = measured_impulses(irf, decay)
    return known[bins]


def measured_impulses(irf: Decay, decay: Decay) -> tuple[Floats, Floats, Rise]:
    """Return places (bins of the decay) and weights (sum 1) of a measured IRF without its background, and its rise.

    Its background is the mean of what lies outside of the stretch around the peak that stands above the noise in bins
    of the decay; that is left out. Within it the IRF keeps finer bins that it has. A response narrower than about one
    of its own bins sits in the middle of them; a wider one is spread over them.
    """
    ratio = decay.bin_width / irf.bin_width
    merge = max(1, round(ratio))
    if abs(ratio - merge) > 1e-6 * merge:
        raise ValueError(
            f"the IRF has bins of {irf.bin_width:.6g} s, the decay of {decay.bin_width:.6g} s; the bins of the decay "
            "must be a whole multiple of those of the IRF: rebin one of them"
        )
    parts = next((d for d in range(min(FINEST, merge), merge) if merge % d == 0), merge)
    n = -(-min(irf.counts.size, bins_of_period(decay) * merge) // merge)
    fine = np.zeros(n * merge)
    taken = irf.counts[: n * merge]
    fine[: taken.size] = taken
    fine = fine.reshape(n, parts, -1).sum(axis=2)
    counts = fine.sum(axis=1)
    if counts.sum() == 0:
        raise ValueError("the IRF holds no photons within the period of the decay")
    period = math.inf if decay.period is None else decay.period / decay.bin_width
    # A response may lie across the end of the period: it is turned to the middle, and its places turned back.
    turn = n // 2 - int(np.argmax(counts)) if math.isfinite(period) and n >= period - 1 else 0
    counts, fine = np.roll(counts, turn), np.roll(fine, turn, axis=0)
    level = float(np.median(counts)) if n >= 8 else 0.0
    peak = int(np.argmax(counts))
    # Dark counts scatter by the root of their level; three quiet bins in a row end the response.
    begin, stop = _stretch(counts <= level + 3.0 * math.sqrt(level), peak)
    outside = np.concatenate([counts[:begin], counts[stop:]])
    if outside.size >= 8:
        # The median of sparse counts is 0, their mean is not; reflections far from the peak must not count as dark.
        level = float(np.minimum(outside, level + 5.0 * math.sqrt(level) + 2.0).mean())
    kept = fine[begin:stop].ravel() - level / parts
    if kept.sum() <= 0:
        raise ValueError("the IRF does not stand above its background; measure it longer, or use GaussianIRF()")
    at: Floats = begin - turn + (np.arange(kept.size) + 0.5) / parts
    if turn:
        at += (n - period) * ((at < 0).astype(np.float64) - (at > n))
    rise = find_rise(counts, math.inf)
    rise = Rise(rise.low - turn, rise.half - turn, rise.high - turn)
    kept = kept / kept.sum()
    spread = float(kept @ (at - kept @ at) ** 2) * parts**2
    if spread > 0.5:
        # Counts are spread over their bin in four parts, lest the model depend on where the shift lies within a bin;
        # bins and parts add 1/12 and 5/64 to the variance of a smooth response, which this takes off again (Sheppard).
        kept = kept - (1.0 / 12.0 + 5.0 / 64.0) / 2.0 * np.diff(np.pad(kept, 1), 2)
        at = (at[:, None] + np.array([-0.375, -0.125, 0.125, 0.375]) / parts).ravel()
        kept = np.repeat(kept / 4.0, 4)
    weight: Floats = np.ascontiguousarray(kept, dtype=np.float64)
    return at, weight, rise


def _stretch(quiet: NDArray[np.bool_], peak: int) -> tuple[int, int]:
    begin, stop = 0, quiet.size
    run = 0
    for k in range(peak, -1, -1):
        run = run + 1 if quiet[k] else 0
        if run == 3:
            begin = k + 3
            break
    run = 0
    for k in range(peak, quiet.size):
        run = run + 1 if quiet[k] else 0
        if run == 3:
            stop = k - 2
            break
    return min(begin, peak), max(stop, peak + 1)


def recorded_stop(counts: Floats) -> int:
    """Return the bin after which nothing was recorded, though the curve goes on.

    A recording that ends before the period shows the last 100 photons (more, where they fill less than ten bins) spread
    evenly up to a sharp end; a decay that runs out shows them thinning. Only the first is cut.
    """
    n = counts.size
    backward = counts[::-1].cumsum()
    end = n - int(backward.searchsorted(1))
    last = 100
    while 2 * last <= backward[-1]:
        stretch = end - (n - int(backward.searchsorted(last)))
        if stretch >= 10:
            middle = n - int(backward.searchsorted(last / 2))
            return end if n - end > 0.3 * stretch and end - middle < 0.68 * stretch else n
        last *= 2
    return n


def fitted_bins(
    decay: Decay, counts: Floats, period: float, rise: Rise, fit_range: tuple[float, float] | None, *, tail: bool
) -> tuple[NDArray[np.bool_], tuple[float, float]]:
    """Return which bins are fitted, and the range in seconds (its end may exceed the period: it wraps)."""
    n, width = counts.size, decay.bin_width
    span = min(float(n), period)
    wraps = math.isfinite(period) and n >= period - 1
    stop = recorded_stop(counts)
    if fit_range is None:
        if not tail:
            return np.arange(n) < stop, (0.0, min(float(stop), span) * width)
        # Of few photons the rise may seem as wide as the noise makes it.
        margin = max(min(rise.width, 0.08 * span), 0.5)
        begin = rise.half + 2.0 * margin
        end = rise.half - 1.5 * margin + (period if wraps else math.inf)
        if wraps and math.ceil(begin) >= n:  # the first whole bin of the tail lies in the next period
            begin, end = begin - period, end - period
        first = max(math.ceil(begin), 0)
        if first >= stop or end - first < 2:
            raise ValueError(
                "no tail is left after the rise of the decay; give fit_range, or an irf so that the rise is fitted too"
            )
        last = min(end, float(n)) if not wraps else end
    else:
        low, high = (float(t) / width for t in fit_range)
        if not (math.isfinite(low) and math.isfinite(high) and low < high and high > 0 and -1e-6 <= low < span):
            raise ValueError(
                f"fit_range must be two rising times in seconds that begin within the decay, 0 to {span * width:.6g}; "
                f"it is {tuple(fit_range)}"
            )
        first = math.ceil(low - 1e-6)
        last = min(high + 1e-6, first + period if wraps else span)
        if tail and first < rise.half - 1 and last > rise.half + 1:
            warnings.warn(
                f"fit_range contains the rise of the decay at {rise.half * width:.4g} s; without an IRF only the tail "
                "after it can be described",
                AnalysisWarning, stacklevel=5,
            )  # fmt: skip
    start = np.arange(n, dtype=np.float64)
    ends = np.minimum(start + 1.0, span)
    use = (start >= first) & (ends <= last)
    if wraps and last > period:
        use |= ends + period <= last
    use[stop:] = False
    if use.sum() < 2:
        raise ValueError(f"fit_range holds {use.sum()} bins of {width:.4g} s; a lifetime needs at least two")
    reached = last if last > span else min(last, float(stop))
    return use, (first * width, math.floor(reached * (1 + 1e-12)) * width if reached < span else reached * width)
