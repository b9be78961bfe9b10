"""Where background rates come from: light and dark counts that have nothing to do with the emitter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.background import Background
from photonstats.curve import Decay
from photonstats.decays.lifetime import DecayFit, decay, fit_decay
from photonstats.kernels.counts import count_detector
from photonstats.likelihood import Z95, chi_square_p_value, poisson_error, poisson_interval
from photonstats.stream import PhotonStream, check_detectors, first_ticks, pieces

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FLAT_PART = "flat part of the decay"
DARKEST = "darkest level of the intensity, an upper limit where the dim state still shines"
MEASURED = "recording without the emitter"

MOST_DECAY_BINS = 1024
MOST_LIFETIMES = 4
FEWEST_PHOTONS = 100  # in a decay that is fitted
GOOD_FIT = 0.01  # p-value
LONGEST = 0.5  # lifetime in periods from which on it is no longer told from background
DRIFT_BLOCKS = 10
BLINK = 10e-3  # s, bins of a recording without the emitter
VAGUE = 3.0  # times the error of the darkest level, from which on the flat part gives way to it
FEWEST_BINS = 20
FEWEST_DARK_BINS = 10
LARGEST_DARK = 0.5  # of the brightest level
DRIFTS = 1e-3  # p-value


def background_of_fits(fits: Mapping[int, DecayFit]) -> Background | None:
    """Return the flat part of fitted decays as background rates; None where no fit knows its duration.

    Notes
    -----
    The fit, unlike a mean over bins before the pulse, does not count the wrapped tail of a long lifetime as background.
    It cannot tell a flat background from a lifetime much longer than the laser period.
    """
    rate, error = {}, {}
    for detector, fit in fits.items():
        if not fit.decay.duration:
            continue
        of_fit, its_error = fit.background_rate, fit.background_rate_err
        if its_error < fit.decay.n_photons / fit.decay.duration:  # else it says nothing: a decay without a flat part
            rate[detector], error[detector] = of_fit, its_error
    return Background(rate, error, FLAT_PART) if rate else None


def measure_background(
    photons: PhotonStream | Iterable[PhotonStream], detectors: int | Sequence[int] | None = None
) -> Background:
    """Take background rates from a recording made without the emitter.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream, or the pieces of `scan`; one pass.
    detectors : int or sequence of int, optional
        Detectors to name; by default those that counted anything. Name a detector to have the upper limit of one that
        counted nothing.

    Returns
    -------
    Background
        Rates with the errors of counting. Without counts the rate is 0, its error the exact 95 % upper limit over 1.96.
        `note` says where the counts in ten equal blocks of time differ by more than counting (chi-square, p < 0.001).

    Raises
    ------
    ValueError
        If nothing was recorded.

    Examples
    --------
    >>> dark = PhotonStream([10, 500, 700], [0, 1, 0], timestamps_unit=1e-3, duration=1.0)
    >>> measure_background(dark).rate
    {0: 2.0, 1: 1.0}
    """
    which = None if detectors is None else check_detectors(detectors)
    seen = _walk(photons, BLINK, with_decays=False)
    counts = {d: n for d, n in seen.counts.items() if which is None or d in which}
    counts = {d: counts.get(d, 0) for d in sorted({*counts, *(which or ())})}
    if seen.duration <= 0 or not counts:
        what = (
            "has no duration" if counts else "has no counts: name its detectors with detectors=..., to have the limits"
        )
        raise ValueError(f"the recording without the emitter {what}")
    p_values = {d: _drift(seen.trace[d]) for d, n in counts.items() if n}
    note = "; ".join(
        f"detector {d} drifts: {DRIFT_BLOCKS} blocks of time are not of one rate (p = {p:.1g})"
        for d, p in p_values.items()
        if p < DRIFTS
    )
    rate = {d: n / seen.duration for d, n in counts.items()}
    return Background(rate, {d: _error(n) / seen.duration for d, n in counts.items()}, MEASURED, note)


def estimate_background(
    photons: PhotonStream | Iterable[PhotonStream],
    method: Literal["auto", "decay", "darkest"] = "auto",
    *,
    bin_width: float = 10e-3,
    decays: Mapping[int, Decay] | None = None,
) -> Background:
    """Estimate the background of a recording of an emitter from the recording itself.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        A stream, or the pieces of `scan`; one pass.
    method : {"auto", "decay", "darkest"}
        "decay": the flat part of the decay of each detector. "darkest": the darkest level of the intensity. "auto": the
        flat part where it can be had, except where the darkest level lies below it by more than two standard errors
        (then it is not flat background, but light that outlives the period, or afterpulses) or agrees with it at less
        than a third of its error; else the darkest level.
    bin_width : float
        Width of the bins in which the darkest level is looked for, s.
    decays : mapping of int to Decay, optional
        Decays of the detectors with their durations, where they are at hand; else they are made from the photons.

    Returns
    -------
    Background
        `method` names the source, for each detector where they differ. `note` holds what is doubtful, and why the other
        source was not used.

    Raises
    ------
    ValueError
        If no source gives a rate, with the reason: a steady emitter without nanotimes shows no background.

    Notes
    -----
    Decay: fits of one to four lifetimes without a response, averaged with weights exp(-AIC/2), the spread of the fits
    in the error. Fits with a lifetime above half the period are left out where one with fewer lifetimes is there. Where
    none fits well, the error reaches to the mean level before the pulse. Lifetimes that the photons cannot tell apart
    (within a factor of two or three of each other) leave the rate too high by as much as two or three standard errors;
    the page of validation has rows for such light.

    Darkest level: the counts per bin, all detectors together, are fitted by a mixture of Poisson distributions (number
    of levels by BIC). The level is the mean over those bins whose two neighbours on either side are as dark as the
    lowest of them; a bin is not chosen by its own count, which would bias it. Blinking faster than a few bins shows no
    such level. The dim state of the emitter may shine: the rate is then an upper limit.

    References
    ----------
    Burnham, Anderson, Sociol. Methods Res. 33, 261 (2004), for the averaging.
    """
    if method not in ("auto", "decay", "darkest"):
        raise ValueError(f'method={method!r}: give "auto", "decay" or "darkest"')
    if not (math.isfinite(bin_width) and bin_width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    seen = _walk(photons, bin_width, with_decays=method != "darkest" and decays is None)
    if not seen.counts:
        raise ValueError("there are no photons to estimate a background from")
    reasons: dict[str, str] = {}
    flat = {} if method == "darkest" else _flat_parts(seen.decays if decays is None else decays, reasons)
    dark = {} if method == "decay" else _darkest(seen, bin_width, reasons)
    source, notes = {}, list(reasons.values())
    for detector in sorted(flat.keys() | dark.keys()):
        source[detector] = FLAT_PART if detector in flat else DARKEST
        if detector in flat and detector in dark:
            (high, err), (low, its_err) = flat[detector], dark[detector]
            if err > VAGUE * its_err and abs(low - high) < 2.0 * math.hypot(err, its_err):
                source[detector] = DARKEST
                notes.append(f"the flat part of the decay of detector {detector} is known to {err:.2g} Hz only")
            elif low < high - 2.0 * math.hypot(err, its_err):
                source[detector] = DARKEST
                notes.append(
                    f"the flat part of the decay of detector {detector}, {high:.4g} ± {err:.2g} Hz, lies above its "
                    "darkest level: light that outlives the period or afterpulses, not background"
                )
    if not source:
        raise ValueError(f"no background can be estimated: {'; '.join(notes)}")
    found = {d: (flat if source[d] == FLAT_PART else dark)[d] for d in source}
    kinds = sorted(set(source.values()))
    named = kinds[0] if len(kinds) == 1 else "; ".join(f"detector {d}: {kind}" for d, kind in source.items())
    return Background(
        {d: rate for d, (rate, _) in found.items()}, {d: err for d, (_, err) in found.items()}, named, "; ".join(notes)
    )


@dataclass
class _Seen:
    """Counts per bin of time and decays of each detector, from one walk over the photons."""

    trace: dict[int, Ints]
    decays: dict[int, Decay]
    counts: dict[int, int]
    duration: float


def _walk(photons: PhotonStream | Iterable[PhotonStream], bin_width: float, *, with_decays: bool) -> _Seen:
    start = end = math.nan
    parts: dict[int, list[tuple[int, Ints]]] = {}
    curves: dict[int, list[Decay]] = {}
    counts: dict[int, int] = {}
    seconds = 0.0
    for piece in pieces(photons):
        start = piece.start if math.isnan(start) else start
        end = piece.start + piece.duration
        seconds += piece.duration
        for detector, n in piece.counts_per_detector.items():
            counts[detector] = counts.get(detector, 0) + n
            parts.setdefault(detector, []).append(_binned(piece, detector, start, bin_width))
        if with_decays and piece.nanotimes is not None:
            for detector in counts:
                curves.setdefault(detector, []).append(decay(piece, detector))
    if math.isnan(start):
        raise ValueError("there is no recording: scan gave no pieces")
    n_bins = math.floor((end - start) / bin_width * (1 + 1e-12) + 1e-9)  # whole ones
    trace = {d: _joined(parts[d], n_bins) for d in sorted(parts)}
    return _Seen(trace, {d: _summed(curves[d], seconds) for d in sorted(curves)}, counts, seconds)


def _binned(piece: PhotonStream, detector: int, start: float, bin_width: float) -> tuple[int, Ints]:
    """Return the number of the first bin that the piece touches, and the counts from there on."""
    first = max(math.floor((piece.start - start) / bin_width) - 1, 0)
    last = math.floor((piece.start + piece.duration - start) / bin_width) + 2
    begins = start + np.arange(first, last + 1) * bin_width
    edges = np.searchsorted(piece.timestamps, first_ticks(begins, piece.timestamps_unit))
    counts = np.zeros(last - first, np.int64)
    count_detector(piece.detectors, edges, np.uint8(detector), counts)
    return first, counts


def _joined(parts: list[tuple[int, Ints]], n_bins: int) -> Ints:
    total = np.zeros(max([n_bins, *(first + counts.size for first, counts in parts)]), np.int64)
    for first, counts in parts:
        total[first : first + counts.size] += counts
    return total[:n_bins]


def _summed(curves: list[Decay], seconds: float) -> Decay:
    """Add decays of one detector and merge their bins to at most a thousand."""
    counts = np.zeros(max(c.counts.size for c in curves), np.int64)
    for curve in curves:
        counts[: curve.counts.size] += curve.counts
    merge = math.ceil(counts.size / MOST_DECAY_BINS)
    padded = np.zeros(-(-counts.size // merge) * merge, np.int64)
    padded[: counts.size] = counts
    return Decay(padded.reshape(-1, merge).sum(axis=1), merge * curves[0].bin_width, curves[0].period, seconds)


def _error(counts: int) -> float:
    """Return the error of counts of one rate; at none, the upper limit as if it were two of them."""
    return float(poisson_error(counts)) if counts else float(poisson_interval(0)[1]) / Z95


def _drift(trace: Ints) -> float:
    """Return the probability of counts in ten equal blocks to differ more than these at one rate."""
    size = trace.size // DRIFT_BLOCKS
    if size == 0:
        return math.nan
    blocks = trace[: size * DRIFT_BLOCKS].reshape(DRIFT_BLOCKS, size).sum(axis=1)
    mean = float(blocks.mean())
    if mean == 0:
        return math.nan
    return chi_square_p_value(float(np.sum((blocks - mean) ** 2) / mean), DRIFT_BLOCKS - 1)


def _flat_parts(decays: Mapping[int, Decay], reasons: dict[str, str]) -> dict[int, tuple[float, float]]:
    """Return rate and error of the flat part of each decay; put down why not where there is none."""
    found = {}
    if not decays:
        reasons["decay"] = "there are no nanotimes, so no decay with a flat part"
    for detector, curve in decays.items():
        of, at = f"the decay of detector {detector}", f"decay {detector}"
        if not curve.duration:
            reasons[at] = f"{of} has no duration"
            continue
        fits = _fits(curve) if curve.n_photons >= FEWEST_PHOTONS else []
        if not fits:
            few = curve.n_photons < FEWEST_PHOTONS
            reasons[at] = f"{of} holds fewer than {FEWEST_PHOTONS} photons" if few else f"no exponentials fit {of}"
            continue
        rate, error = _averaged(fits)
        best = max(fit.p_value for fit in fits)
        if not best >= GOOD_FIT:
            error = math.hypot(error, _level_before_pulse(fits[0]) - rate)
            reasons[at] = (
                f"{of} is not quite that of up to {MOST_LIFETIMES} lifetimes (p = {best:.1g}): the error of its flat "
                "part reaches to the level before the pulse"
            )
        if error < curve.n_photons / curve.duration:
            found[detector] = rate, error
        else:
            reasons[at] = f"{of} has no flat part"
    return found


def _level_before_pulse(fit: DecayFit) -> float:
    """Return the mean rate in the fifth of the period before the rise, Hz: background and what is left of the light."""
    curve = fit.decay
    span = curve.period or curve.counts.size * curve.bin_width
    before = (fit.fit_range[1] - curve.time) % span
    mean = float(curve.counts[(before > 0.03 * span) & (before < 0.23 * span)].mean())
    return mean * span / (curve.bin_width * (curve.duration or math.nan))


def _fits(curve: Decay) -> list[DecayFit]:
    """Return the fits of one lifetime, two, three, up to the first that the data do not hold."""
    fits: list[DecayFit] = []
    span = curve.period or curve.counts.size * curve.bin_width
    for n in range(1, MOST_LIFETIMES + 1):
        try:
            with np.errstate(all="ignore"):
                fit = fit_decay(curve, n, errors="hessian")
        except ValueError:  # of numpy's too: a matrix of no information
            break
        vague = fits and (fit.lifetimes[-1] > LONGEST * span or not fit.background_err < 10.0 * fits[0].background_err)
        if not fit.converged or vague:
            break
        fits.append(fit)
    return fits


def _averaged(fits: list[DecayFit]) -> tuple[float, float]:
    """Return the background rate averaged over fits by Akaike weights, and its error with the spread of the fits."""
    rate = np.array([fit.background_rate for fit in fits])
    error = np.array([fit.background_rate_err for fit in fits])
    aic = np.array([fit.deviance + 4.0 * len(fit.lifetimes) for fit in fits])
    weight = np.exp(-0.5 * (aic - aic.min()))
    weight /= weight.sum()
    mean = float(weight @ rate)
    return mean, math.sqrt(float(weight @ (error**2 + (rate - mean) ** 2)))


def _darkest(seen: _Seen, bin_width: float, reasons: dict[str, str]) -> dict[int, tuple[float, float]]:
    """Return rate and error of the darkest level on each detector; put down why not where there is none."""
    if not seen.trace or min(t.size for t in seen.trace.values()) < FEWEST_BINS:
        reasons["darkest"] = (
            f"the recording holds fewer than {FEWEST_BINS} bins of {bin_width:g} s to find a dark level in"
        )
        return {}
    total = np.sum([*seen.trace.values()], axis=0)
    chosen, why = dark_bins(total)
    if why:
        reasons["darkest"] = why
        return {}
    time = float(chosen.sum()) * bin_width
    sums = {d: int(trace[chosen].sum()) for d, trace in seen.trace.items()}
    kept = total[chosen]
    mean = max(float(kept.mean()), 1e-300)
    p = chi_square_p_value(float(np.sum((kept - mean) ** 2)) / mean, kept.size - 1) if kept.any() else math.nan
    if p < DRIFTS:
        reasons["level"] = f"the darkest level scatters more than counts of one rate do (p = {p:.1g})"
    return {d: (n / time, _error(n) / time) for d, n in sums.items()}


def dark_bins(counts: Ints) -> tuple[NDArray[np.bool_], str]:
    """Choose the bins in the darkest level of an intensity trace.

    Parameters
    ----------
    counts : ndarray of int64, shape (n,)
        Photons per bin.

    Returns
    -------
    chosen : ndarray of bool, shape (n,)
        Bins whose two neighbours on each side are dark, less those that are bright beyond doubt themselves.
    reason : str
        Why there is no dark level; empty if there is.
    """
    none = np.zeros(counts.size, bool)
    means, shares = poisson_mixture(counts)
    if means.size == 1:
        return none, "the intensity is steady: its one level is the emitter, not the background"
    dark, bright = float(means[0]), float(means[shares * means > 0.01 * counts.mean()][-1])
    if dark > LARGEST_DARK * bright:
        return none, (
            f"the darkest level has {dark / bright:.0%} of the brightest one's counts: a dim state of the emitter "
            "rather than the background"
        )
    pairs = counts[1:] + counts[:-1]
    around = np.full(counts.size, np.iinfo(np.int64).max)
    around[2:-2] = np.maximum(pairs[:-3], pairs[3:])  # the brighter side
    chosen = none
    for _ in range(4):
        # as likely dark as bright, and not more than dark bins hold once in a thousand
        level = max(dark, 0.1 / counts.size)
        cut = min(2.0 * (bright - level) / math.log(bright / level), special.pdtrik(0.999, 2.0 * level))
        near_dark = around <= cut
        chosen = near_dark & (counts <= max(special.pdtrik(0.9999, level), 1.0))
        if chosen.sum() < FEWEST_DARK_BINS:
            return none, "the dark stretches are shorter than a few bins: a dark level may show in narrower ones"
        dark = float(counts[chosen].mean())
    if chosen.sum() < 0.8 * near_dark.sum():
        return none, "the intensity changes within a bin: a dark level may show in narrower ones"
    return chosen, ""


def poisson_mixture(counts: Ints, most: int = 6) -> tuple[Floats, Floats]:
    """Fit a mixture of Poisson distributions to counts and choose their number by BIC.

    Parameters
    ----------
    counts : ndarray of int64, shape (n,)
        Observed counts.
    most : int
        Most levels that are tried.

    Returns
    -------
    means, shares : ndarray of float64, shape (k,)
        Of the levels, rising means.

    Notes
    -----
    Expectation and maximisation on the histogram of the counts, from levels at its quantiles.

    References
    ----------
    Dempster, Laird, Rubin, J. R. Stat. Soc. B 39, 1 (1977).
    """
    values, times = np.unique(counts, return_counts=True)
    best, found = math.inf, (np.array([float(counts.mean())]), np.ones(1))
    for k in range(1, most + 1):
        means = np.maximum(np.quantile(counts, (np.arange(k) + 0.5) / k), 0.05) * np.linspace(0.98, 1.02, k)
        means, shares, likelihood = _most_likely(values, times, means)
        criterion = -2.0 * likelihood + (2 * k - 1) * math.log(counts.size)
        if criterion >= best:
            break
        best, found = criterion, (means, shares)
    order = np.argsort(found[0])
    return found[0][order], found[1][order]


def _most_likely(values: Ints, times: Ints, means: Floats) -> tuple[Floats, Floats, float]:
    shares = np.full(means.size, 1.0 / means.size)
    likelihood = -math.inf
    for _ in range(500):
        log_chance = np.log(shares)[:, None] + special.xlogy(values, means[:, None]) - means[:, None]
        top = log_chance.max(axis=0)
        chance = np.exp(log_chance - top)
        total = chance.sum(axis=0)
        before, likelihood = likelihood, float(times @ (top + np.log(total)))
        weight = chance / total * times
        shares = np.maximum(weight.sum(axis=1) / times.sum(), 1e-12)
        means = np.maximum(weight @ values / np.maximum(weight.sum(axis=1), 1e-12), 1e-6)
        if likelihood - before < 1e-3:
            break
    return means, shares, likelihood
