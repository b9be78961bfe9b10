"""Evidence for types of blinking: log likelihoods of what levels, lifetimes and dwells show, with honest limits.

The widths are those of the physics (curves that real dots do not follow to the percent), the limits and the law of the
number of levels come from `studies/blinking_evidence.py` (seed 101).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.blinking.blinking_groups import Groups
from photonstats.blinking.dwell import dwell_times
from photonstats.blinking.dwell_laws import fit_dwell_times
from photonstats.decays.segments import Segments
from photonstats.likelihood import Z95

if TYPE_CHECKING:
    from photonstats.switching.continuum import Flickering
    from photonstats.switching.level_clustering import Levels

Floats = NDArray[np.float64]
Odds = dict[str, float]

TYPES = ("A", "B", "flickering", "steady")
NOTHING: Odds = dict.fromkeys(TYPES, 0.0)

FLID_LIMIT, EVENT_LIMIT, COMPLEXITY_LIMIT, SCORE_LIMIT, LAW_LIMIT = 8.0, 3.0, 5.0, 4.0, 0.7
CURVE_LIMIT = 3.0
STEADY_LIMIT = 6.0
DARK = 0.03  # of the brightest signal
FEWEST_TURNS = 0.2  # share of the changes that reverse the one before; of levels at random about two thirds
TURNS_OF_LEVELS = 0.45  # fewer in a focus that comes and goes, which dims at one lifetime as type B does
COST_OF_CHANGE = 14.0  # nats that a change must gain: those found by chance gain 10 to 13
SHORT = 0.01  # share of the time below which a group holds switches rather than levels
FAINT = 0.05  # of the brightest signal
VAGUE = 0.4  # error of ln lifetime from which its likelihood is no longer normal
STRAY_RANGE = 6.0  # of the logarithm of their lifetimes
WIDTH_B, WIDTH_LINE, WIDTH_ANY = 0.06, 0.08, 0.05  # of ln lifetime about the curves
FEWEST_REACH = 0.15  # least change of ln signal that can show how the lifetime goes with it
STRANGE = 4.0  # nats by which none of the curves is worse than any lifetime at all


@dataclass(frozen=True)
class Finding:
    """What one piece of evidence found: words, number, 95 % interval, and log likelihoods less the largest."""

    words: str
    value: float
    interval: tuple[float, float]
    log_odds: Odds
    strange: str = ""


def of_logs(logs: Odds, limit: float) -> Odds:
    """Return log likelihoods less the largest, down to -limit smoothly."""
    best = max(logs.values())
    return {name: -limit * math.tanh((best - value) / limit) for name, value in logs.items()}


def unknown(words: str) -> Finding:
    """Return evidence that says nothing."""
    return Finding(words, math.nan, (math.nan, math.nan), dict(NOTHING))


# ---------------------------------------------------------------------------------------------------- modulation
def modulation_evidence(segments: Segments, background: float) -> Finding:
    """Judge whether the light changes at all; a last step to the background is bleaching, not blinking."""
    lit, signal = lit_part(segments, background), segments.rates - background
    head = slice(*lit)
    photons, n_changes = int(segments.counts[head].sum()), int(signal[head].size) - 1
    depth = _depth(segments.counts[head], segments.durations[head], background)
    bleached = ""
    if lit[1] < signal.size and not dark_segments(segments, background)[head].any():
        bleached = f"; from {segments.edges[lit[1]]:.4g} s on there is no light of it"
    elif lit[1] < signal.size:
        head, n_changes = slice(0, signal.size), signal.size - 1
    words = f"{n_changes} changes, relative depth {depth:.2g}{bleached}"
    lean = min(STEADY_LIMIT, math.log1p(photons / 200.0))  # towards steady light
    if n_changes:
        gain = _gain(segments.counts[head], segments.durations[head])
        lean = min(lean, COST_OF_CHANGE * n_changes - gain - 8.0 * max(n_changes - 3, 0))
    if bleached:
        lean *= 0.7 if lean > 0 else 1.0  # one long dark dwell would look the same
    others = -max(lean, 0.0)
    logs = {"A": others, "B": others, "flickering": others, "steady": max(min(lean, 0.0), -STEADY_LIMIT)}
    strange = ""
    if n_changes and lean <= 0 and (n_changes == 1 or _turns(signal[head]) < FEWEST_TURNS * (n_changes - 1)):
        strange = f"the light changes {n_changes} times but hardly ever turns back: a step or a drift is no blinking"
    return Finding(words, depth, (depth, max(depth, _depth_limit(photons))), logs, strange)


def _turns(signal: Floats) -> int:
    """Return how many changes reverse the one before."""
    return int(np.count_nonzero(np.diff(np.sign(np.diff(signal)))))


def climbs_in_steps(segments: Segments, background: float) -> bool:
    """Return whether the lit signal rises and falls over several steps, as a moving focus does and levels do not."""
    signal = segments.rates[slice(*lit_part(segments, background))]
    return signal.size > 2 and _turns(signal) < TURNS_OF_LEVELS * (signal.size - 2)


def _gain(counts: NDArray[np.int64], durations: Floats) -> float:
    """Return ln likelihood of a rate for each segment less that of one rate."""
    expected = counts.sum() * durations / durations.sum()
    return float(np.sum(special.xlogy(counts, counts / np.maximum(expected, 1e-12))))


def dark_segments(segments: Segments, background: float) -> NDArray[np.bool_]:
    """Return which segments show no light of the emitter."""
    signal, noise = segments.rates - background, np.sqrt(segments.counts) / segments.durations
    found: NDArray[np.bool_] = signal < np.maximum(DARK * _brightest(segments, signal), 3.0 * noise)
    return found


def lit_part(segments: Segments, background: float) -> tuple[int, int]:
    """Return the first segment and the one past the last that is not dark up to the end: after it, bleached or off."""
    lit = np.flatnonzero(~dark_segments(segments, background))
    return (0, int(lit[-1]) + 1) if lit.size else (0, len(segments))


def _brightest(segments: Segments, signal: Floats) -> float:
    order = np.argsort(signal)
    share = np.cumsum(segments.durations[order]) / segments.durations.sum()
    return float(signal[order][min(int(np.searchsorted(share, 0.98)), signal.size - 1)])


def _depth(counts: NDArray[np.int64], durations: Floats, background: float) -> float:
    """Return the deviation of the rates over time beyond noise, relative to the mean signal."""
    time = float(durations.sum())
    rate, mean = counts / durations, float(counts.sum()) / time
    variance = float(durations @ (rate - mean) ** 2) / time - (counts.size - 1) * mean / time
    return math.sqrt(max(variance, 0.0)) / max(mean - background, 1e-12)


def _depth_limit(photons: int) -> float:
    """Return about the deviation that change points see in half of the cases."""
    return 1.0 if photons < 1 else min(1.0, 4.0 / math.sqrt(photons))


# ---------------------------------------------------------------------------------------------------- lifetimes
def reference_of(groups: Groups) -> int | None:
    """Return the brightest group that holds a tenth of the photons of the emitter; None if there is none."""
    signal = np.maximum(groups.rate, 0.0) * groups.time
    use = np.flatnonzero(np.isfinite(groups.lifetime) & (signal > 0.1 * signal.sum()))
    return int(use[-1]) if use.size else None


@dataclass(frozen=True)
class Below:
    """Groups below the reference: ln signal, ln lifetime and its error, share of the time, ln of the darkest signal."""

    x: Floats
    y: Floats
    error: Floats
    share: Floats
    darkest: float


def groups_below(groups: Groups) -> Below | None:
    """Return the groups with a lifetime below the reference; None if there are none."""
    at = reference_of(groups)
    if at is None:
        return None
    share = groups.time / groups.time.sum()
    lasting = groups.rate[share > SHORT / 2.0]
    darkest = math.log(max(float(lasting.min(initial=groups.rate[at])) / float(groups.rate[at]), 1e-3))
    use = np.isfinite(groups.lifetime) & (groups.rate > 2.0 * groups.rate_err)
    use[at] = False
    x = np.log(groups.rate[use] / groups.rate[at])
    y = np.log(groups.lifetime[use] / groups.lifetime[at])
    own = groups.lifetime_err[use] / groups.lifetime[use]
    # the error of the signal moves a group along the curves
    error = np.sqrt(
        own**2 + (groups.lifetime_err[at] / groups.lifetime[at]) ** 2 + (groups.rate_err / groups.rate)[use] ** 2
    )
    near = (x < 0.3) & (error < VAGUE)
    return Below(x[near], y[near], error[near], share[use][near], darkest) if near.any() else None


def _log_normal(b: Below, mean: Floats | float, sigma: Floats) -> Floats:
    """Return ln density of each group; those that last shortly hold switches rather than levels, and count less."""
    stray = 0.02 + 0.2 * np.exp(-b.share / SHORT)
    core = np.exp(-0.5 * ((b.y - mean) / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi))
    return np.asarray(np.log((1.0 - stray) * core + stray / STRAY_RANGE))


def _sum(b: Below, logs: Floats) -> float:
    return float(np.minimum(1.0, b.share / (2.0 * SHORT)) @ logs)


def _mixed(b: Below, power: float) -> Floats:
    """Return ln lifetime of segments that mix the reference with the darkest state: the mean over their photons."""
    dim = math.exp(b.darkest)
    share = np.clip((1.0 - dim * np.exp(-b.x)) / max(1.0 - dim, 1e-9), 0.0, 1.0)
    return np.asarray(np.log(np.maximum(share + (1.0 - share) * dim**power, 1e-6)))


def _log_levels(b: Below) -> float:
    """Return ln likelihood of few levels with short lifetimes: each on a power law, lower, or mixed with the bright.

    Below `FAINT` of the bright signal, what is seen may be unresolved flashes of the bright state.
    """
    powers = np.linspace(0.6, 2.4, 19)
    sigma = np.hypot(b.error, WIDTH_LINE)
    flash = np.where(b.x < math.log(FAINT), _log_normal(b, 0.0, sigma) + math.log(0.3), -np.inf)
    parts = []
    for power in powers:
        line = np.minimum(power * b.x, 0.0)
        charged = line - math.log(2.0) * np.clip(-4.0 * b.x, 0.0, 1.0)
        kinds = [_log_normal(b, mean, sigma) for mean in (line, charged, _mixed(b, power))]
        parts.append(_sum(b, special.logsumexp([*kinds, flash], axis=0) - math.log(len(kinds))))
    return float(special.logsumexp(parts) - math.log(len(parts)))


def lifetime_likelihoods(b: Below) -> tuple[Odds, float]:
    """Return ln likelihood of ln lifetimes for A, B and flickering, and of lifetimes that follow nothing."""
    line = _sum(b, _log_normal(b, b.x, np.hypot(b.error, WIDTH_LINE + WIDTH_ANY * np.abs(b.x))))
    flat = _sum(b, _log_normal(b, 0.0, np.hypot(b.error, WIDTH_B)))
    # Auger levels may lie on the line through the origin as well, so that the line itself speaks for neither.
    levels = float(np.logaddexp(line, _log_levels(b)) - math.log(2.0))
    return {"A": levels, "B": flat, "flickering": line}, _sum(b, np.full(b.x.size, -math.log(STRAY_RANGE)))


def flid_evidence(tried: Sequence[Groups]) -> Finding:
    """Judge how the lifetimes of the groups go with their signals, over the backgrounds that are possible."""
    logs, none, powers = [], [], []
    for groups in tried:
        below = groups_below(groups)
        if below is None or float(below.x.min()) > -FEWEST_REACH:
            continue
        found, anything = lifetime_likelihoods(below)
        logs.append(found)
        none.append(anything)
        powers.append(power_of(below))
    if not logs:
        return unknown(tried[0].reason or "no dim state has a lifetime that can be measured")
    joined = {
        name: float(special.logsumexp([each[name] for each in logs]) - math.log(len(logs)))
        for name in ("A", "B", "flickering")
    }
    value, error = powers[len(powers) // 2]
    spread = max(abs(p - value) for p, _ in powers)
    half = Z95 * math.hypot(error, spread / 1.5)
    words = (
        f"lifetime goes as the signal to the power {value:.2f} ({value - half:.2f} to {value + half:.2f}); "
        "0: hot carriers, 1: proportional, other curves: charging"
    )
    strange = ""
    if max(joined.values()) < min(none) - STRANGE:
        strange = "the lifetimes follow none of the three curves"
    # a continuum that moves within segments mixes lifetimes too, so that a curve says little against it
    apart = joined["A"] - joined["flickering"]
    joined["flickering"] = joined["A"] - CURVE_LIMIT * math.tanh(max(apart, 0.0) / CURVE_LIMIT) - min(apart, 0.0)
    joined["steady"] = max(joined.values())
    return Finding(words, value, (value - half, value + half), of_logs(joined, FLID_LIMIT), strange)


def too_faint(groups: Groups) -> bool:
    """Return whether a tenth of the time or more is spent below what can be told from flashes of the bright state."""
    at = reference_of(groups)
    if at is None:
        return True
    dark = groups.rate < FAINT * groups.rate[at]
    return bool(groups.time[dark].sum() > 0.1 * groups.time.sum())


def power_of(b: Below) -> tuple[float, float]:
    """Return the power of the signal that lifetimes go as, by least squares through the reference, and its error."""
    weight = np.minimum(1.0, b.share / (2.0 * SHORT)) / np.hypot(b.error, WIDTH_ANY) ** 2
    information = float(weight @ b.x**2)
    return float(weight @ (b.x * b.y)) / information, 1.0 / math.sqrt(information)


def event_evidence(segments: Segments | None, background: float, *, faint: bool = False) -> Finding:
    """Judge the change of lifetime across change points against the change of signal.

    Where the dim state is too faint for a lifetime, changes are those between mixtures, and say little.
    """
    if segments is None or segments.lifetimes is None or segments.lifetimes_err is None or len(segments) < 2:
        return unknown("no change point has lifetimes on both sides")
    signal = segments.rates - background
    tau, err = segments.lifetimes, segments.lifetimes_err
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = err / tau
        known = np.isfinite(tau) & (tau > 0) & (relative < 0.5) & (signal > 0)
        known &= signal * segments.durations > 4.0 * np.sqrt(segments.counts)
    both = np.flatnonzero(known[1:] & known[:-1])
    if both.size:
        x = np.log(signal[both + 1] / signal[both])
        y = np.log(tau[both + 1] / tau[both])
        sigma = np.sqrt(relative[both] ** 2 + relative[both + 1] ** 2 + 0.1**2)
        far = np.abs(x) > FEWEST_REACH
        x, y, sigma = x[far], y[far], sigma[far]
    if not both.size or not x.size:
        return unknown("no change point has lifetimes on both sides and a clear change of the signal")
    weight = 1.0 / sigma**2
    value = float(weight @ (x * y) / (weight @ x**2))
    # neighbouring changes share a segment: the scatter of residuals, or at least the errors
    residual = weight * x * (y - value * x)
    error = math.sqrt(max(float(residual @ residual), float(weight @ x**2))) / float(weight @ x**2)
    width = np.array([math.hypot(error, s) for s in (0.15, 0.25)])
    flat = -0.5 * (value / width[0]) ** 2 - math.log(width[0])
    line = -0.5 * ((value - 0.95) / width[1]) ** 2 - math.log(width[1])
    powers = np.linspace(0.6, 2.4, 19)
    each = -0.5 * ((value - powers) / width[0]) ** 2 - math.log(width[0])
    levels = float(np.logaddexp(line, special.logsumexp(each) - math.log(powers.size)))
    logs = {"A": levels, "B": flat, "flickering": line}
    logs["steady"] = max(logs.values())
    half = Z95 * error
    words = (
        f"across {x.size} change points the lifetime changes as the signal to the power {value:.2f} "
        f"({value - half:.2f} to {value + half:.2f})"
    )
    return Finding(words, value, (value - half, value + half), of_logs(logs, 0.5 if faint else EVENT_LIMIT))


# ---------------------------------------------------------------------------------------------------- complexity
MANY_SEGMENTS = 10.0  # that show about all rates there are
# ln odds of a continuum against few levels: 1, levels - 5, ln of their scatter, ln of segments / 100
LEVEL_ODDS = (-1.5, 2.5, 1.7, -0.8)


def level_evidence(levels: Levels) -> Finding:
    """Judge how many levels the segments show, and how far they scatter about them beyond counting noise."""
    segments = levels.segments
    if levels.n < 2:
        return unknown("the segments show one level")
    expected = levels.rates[levels.assignment] * segments.durations
    scatter = float(np.mean((segments.counts - expected) ** 2 / np.maximum(expected, 1.0)))
    at = (1.0, min(levels.n, 10) - 5.0, math.log(max(scatter, 0.5)), math.log(len(segments) / 100.0))
    # a handful of segments visits few rates of a continuum too
    limit = COMPLEXITY_LIMIT * -math.expm1(-len(segments) / MANY_SEGMENTS)
    lean = limit * math.tanh(float(np.dot(LEVEL_ODDS, at)) / limit)
    logs = {"A": 0.0, "B": 0.0, "flickering": lean, "steady": max(lean, 0.0)}
    near = [n for n, p in levels.probability.items() if p > 0.025] or [levels.n]
    words = f"{levels.n} levels in {len(segments)} segments that scatter {scatter:.2g} times as far as noise about them"
    return Finding(words, float(levels.n), (float(min(near)), float(max(near))), of_logs(logs, 2.0 * COMPLEXITY_LIMIT))


def score_evidence(found: Flickering) -> Finding:
    """Judge whether a continuum or few levels predict the trace."""
    low, high = float(found.score_ci[0]), float(found.score_ci[1])
    width = (high - low) / (2.0 * Z95)
    if not (math.isfinite(width) and width > 0) or found.verdict == "steady":
        return unknown(f"continuum against levels: {found.verdict}, {found.reason}")
    lean = SCORE_LIMIT * math.tanh(found.score / width / SCORE_LIMIT)
    if found.verdict == "undetermined":
        lean *= 0.5
    logs = {"A": 0.0, "B": 0.0, "flickering": lean}
    logs["steady"] = max(logs.values())
    words = (
        f"a continuum describes the trace by {found.score:+.3g} ({low:+.3g} to {high:+.3g}) nats per bin better than "
        f"levels: {found.verdict}"
    )
    return Finding(words, found.score, (low, high), of_logs(logs, SCORE_LIMIT))


def law_evidence(levels: Levels) -> Finding:
    """Judge whether the on-times have a cutoff (A) or not (B): a weak piece of evidence."""
    dwells = dwell_times(levels)
    fit = fit_dwell_times(dwells, model="auto", state="on", n_bootstrap=0)
    p = fit.p_truncated
    if fit.model == "undetermined" or not math.isfinite(p):
        return unknown(f"on-times: {fit.note or dwells.note}")
    lean = LAW_LIMIT * math.tanh(math.log(0.2 / max(p, 1e-6)) / 3.0)  # p = 0.2 speaks for neither
    logs = {"A": max(lean, 0.0), "B": max(-lean, 0.0), "flickering": 0.0}
    logs["steady"] = max(logs.values())
    low, high = fit.cutoff_ci
    words = f"on-times of {dwells.on.size} dwells: a cutoff has p = {p:.2g} ({fit.model})"
    return Finding(words, p, (float(low), float(high)), of_logs(logs, LAW_LIMIT))
