"""Change points: where the rate of a recording, or its decay, changes, photon by photon."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.background import Background, given_background
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF, likely_pulses
from photonstats.decays.segment_fit import period_of
from photonstats.decays.segments import Segments, fit_segments
from photonstats.decays.tilted_decay import CLASSES, mean_cost, observed_cost, photons_of_run, score_bins
from photonstats.kernels import change_places
from photonstats.kernels import changes as kernels
from photonstats.kernels import events as events_of
from photonstats.stream import PhotonStream, check_detectors, pieces

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95  # of the intervals
EARLY = 1 / 16  # of a period before the pulse, from where nanotimes count: a rise that is found late costs nothing
ENOUGH = 20  # photons in the darkest part of a decay that tell a background
FOUND_DECAY = 0.88  # by simulation: scores and their cost come from the photons that they judge
MOST_INSIDE = 0.01  # of waits within the dead time, which afterpulses or other tags may make
TABLED = 257  # events up to which digamma functions come from a table
MOST_PLACES = 8000  # between which a penalised segmentation chooses
KINDS = ("rate", "lifetime", "both", "undetermined")


@dataclass(frozen=True, eq=False)
class Events:
    """Photons of a window as events, from its begin as event 0 to its end as the last one.

    window (start, stop) s; photons[N] s; clock[E] s of the events; live[E] the same less dead time, ties apart;
    scores[E] summed, or empty; cost[3, G].
    """

    window: tuple[float, float]
    photons: Floats
    clock: Floats
    live: Floats
    scores: Floats
    cost: Floats


def change_points(
    photons: PhotonStream | Iterable[PhotonStream],
    false_positive_rate: float = 0.05,
    use_lifetime: bool = False,
    *,
    detectors: int | Sequence[int] | None = None,
    dead_time: float | Mapping[int, float] = 0.0,
    background: float | Mapping[int, float] | Background | None = None,
    irf: Decay | GaussianIRF | None = None,
    method: Literal["recursive", "penalised"] = "recursive",
    penalty: float | None = None,
) -> Segments:
    """Find where the rate, or the rate and the decay, of a recording change; no bins, no windows.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        Photons, or the pieces of `scan`; about 30 bytes of memory for each photon.
    false_positive_rate : float
        Probability, 0 to 0.5, that a steady recording shows any change; the same for all lengths.
    use_lifetime : bool
        Look at the nanotimes too. Changes of the decay at a constant rate are found then, each change is told to be
        one of the rate, of the lifetime or of both, and each segment gets its lifetime (`fit_segments`).
    detectors : int or sequence of int, optional
        Detectors to use; None for all.
    dead_time : float or mapping of int to float
        Time after each photon in which its detector is blind, s; of all detectors, or of each.
    background : float, mapping or Background, optional
        Known background, Hz, for the lifetimes, such as `estimate_background` gives; without it lifetimes are those of
        light and background together. Rates and their changes are those of all light.
    irf : Decay or GaussianIRF, optional
        Response, for the lifetimes (`fit_segments`).
    method : {"recursive", "penalised"}
        Binary splitting with a controlled false positive rate, or the segmentation with the largest likelihood less
        `penalty` for each change, exact among 8000 places (PELT) and then refined: a second opinion that does not
        know `false_positive_rate`.
    penalty : float, optional
        Of a change, in units of twice the log likelihood; None for 2 ln N (N photons), 3 ln N with lifetimes.

    Returns
    -------
    Segments
        Edges (the median of where the change may be), their 95 % intervals `times_ci[k - 1, 2]`, counts and rates; with
        `use_lifetime` also lifetimes, `change_kinds`, `p_rate` and `p_lifetime` of each change.

    Raises
    ------
    ValueError
        If a rate, dead time or method is out of range, or nanotimes are asked for where there are none.

    Notes
    -----
    After k of n photons, with the share V of the time, twice the log likelihood ratio of two rates to one is
    ``2 k ln(k / (n V)) + 2 (n - k) ln((n - k) / (n (1 - V)))``. Less its mean, over its deviation, plus
    ``0.5 ln(4 k (n - k) / n^2)``, its maximum is compared with a critical value for n that was simulated
    (`studies/critical_values.py`). A part of n of the N photons is tested at 0.7 `false_positive_rate` n / N; the rest
    goes to windows of 64, 128 ... photons, which see flashes that a long part would hide. Each change is looked for
    again between its neighbours, and dropped where it no longer stands. The window's begin and end count as events, so
    that light that goes out is seen.

    With `use_lifetime`, the log likelihood of two decays is added: each decay is the summed one, tilted by
    ``exp(theta s)``, s the time since the rise of the detector less its mean, times the chance of the photon to be
    signal. That turns one exponential into another and needs neither IRF nor fit. The p-values are those of each ratio
    at the place of the change (chi-square of one degree of freedom), which was chosen by their sum: those of a part
    that did not change come out small somewhat more often than they say. A part of the change is named where its
    p-value is below `false_positive_rate`.

    The intervals hold a change that is sharp, between neighbours that are known. The light must be Poisson between
    changes: bunching (triplets, afterpulses in per cent) and drift are changes of the rate and will be found.

    References
    ----------
    Watkins and Yang, J. Phys. Chem. B 109, 617 (2005).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> ticks = np.sort(np.concatenate([rng.integers(0, 10**6, 300), rng.integers(10**6, 2 * 10**6, 900)]))
    >>> photons = PhotonStream(ticks, np.zeros(1200, int), timestamps_unit=1e-6, duration=2.0)
    >>> found = change_points(photons)
    >>> len(found), bool(abs(found.edges[1] - 1.0) < 0.05)
    (2, True)
    """
    if not 0 < false_positive_rate <= 0.5:
        raise ValueError(f"false_positive_rate must lie between 0 and 0.5, it is {false_positive_rate}")
    if method not in ("recursive", "penalised"):
        raise ValueError(f'method must be "recursive" or "penalised", it is {method!r}')
    recording = list(pieces(photons))
    if detectors is not None:
        recording = [piece.select(detectors=check_detectors(detectors)) for piece in recording]
    events = collect_events(recording, dead_time, background, with_scores=use_lifetime)
    changes = _find(events, false_positive_rate, method, penalty)
    segments = _segments_of(events, changes, false_positive_rate)
    if not use_lifetime:
        return segments
    return fit_segments(recording, segments, irf, background)


def collect_events(
    recording: Sequence[PhotonStream],
    dead_time: float | Mapping[int, float],
    background: float | Mapping[int, float] | Background | None,
    *,
    with_scores: bool,
) -> Events:
    """Return times and scores of all photons of a recording."""
    if not recording:
        raise ValueError("there is no recording: scan gave no pieces")
    start, stop = recording[0].start, recording[-1].start + recording[-1].duration
    if not stop > start:
        raise ValueError("the recording has no duration, so it has no rate")
    ticks = [piece.timestamps * piece.timestamps_unit for piece in recording]
    clock = np.concatenate([[start], *ticks, [stop]])
    np.clip(clock, start, stop, out=clock)
    scores, cost = np.empty(0), np.zeros((3, 2))
    if with_scores:
        scores, cost = _summed_scores(recording, background, stop - start)
    live = _live(clock, recording, dead_time)
    # A window that was cut at a photon has no wait before (after) it, nor one that ends while a detector is blind: that
    # photon is the begin (the end).
    tick = recording[0].timestamps_unit
    cut = slice(1 if live[1] - live[0] < tick else 0, -1 if live.size > 3 and live[-1] - live[-2] < tick else None)
    return Events((start, stop), clock[1:-1], clock[cut], live[cut], scores[cut] if with_scores else scores, cost)


def _live(clock: Floats, recording: Sequence[PhotonStream], dead_time: float | Mapping[int, float]) -> Floats:
    """Return the clock without dead time, and with the photons of one tick apart."""
    given = dead_time if isinstance(dead_time, Mapping) else dict.fromkeys(range(256), dead_time)
    dead = np.array([float(given.get(d, 0.0)) for d in range(256)])
    if not np.all(np.isfinite(dead) & (dead >= 0)):
        raise ValueError(f"dead_time must be a time >= 0 s, it is {dead_time!r}")
    live, tick = np.empty(clock.size), recording[0].timestamps_unit
    if dead.any():
        which = np.concatenate([piece.detectors for piece in recording])
        _check_dead_time(clock[1:-1], which, dead, tick)
        share = np.bincount(which, minlength=256) / max(1, which.size)
        events_of.live_times(clock, which, dead, share, float(clock[-1]), live)
        clock = live.copy()
    events_of.spread_ties(clock, tick, live)
    return live


def _check_dead_time(times: Floats, which: NDArray[np.uint8], dead: Floats, tick: float) -> None:
    for d in np.flatnonzero(dead):
        waits = np.diff(times[which == d])
        inside = np.count_nonzero(waits < dead[d] - 2.0 * tick)
        if inside > max(3.0, MOST_INSIDE * waits.size):
            raise ValueError(
                f"dead_time of detector {d} is {dead[d]:.3g} s, but {inside} of its {waits.size} waits are shorter: it "
                "is at most the shortest wait between photons of that detector"
            )


def _summed_scores(
    recording: Sequence[PhotonStream], background: float | Mapping[int, float] | Background | None, duration: float
) -> tuple[Floats, Floats]:
    """Return the summed score after each event, and what a mean score costs."""
    first = recording[0]
    laser = period_of(first)
    if any(piece.nanotimes is None for piece in recording) or first.tcspc_unit is None or laser is None:
        raise ValueError(
            "use_lifetime needs nanotimes and the laser period, and this recording lacks them; a T2 recording with "
            "laser pulses on its sync input gets them from ps.fold(photons)"
        )
    period = laser / first.tcspc_unit
    merge = max(1, math.ceil(period / CLASSES))
    n_bins = max(1, math.ceil(period / merge - 1e-6))
    seen = np.zeros((256, n_bins), np.int64)
    nanotimes = [np.asarray(piece.nanotimes) for piece in recording]
    for piece, delays in zip(recording, nanotimes, strict=True):
        events_of.count_bins(delays, piece.detectors, merge, seen)
    present = [int(d) for d in np.flatnonzero(seen.any(axis=1))]
    rates = None if background is None else background.rate if isinstance(background, Background) else background
    known = None if rates is None else given_background(rates, present).rate
    score = np.zeros((256, n_bins))
    for d in present:
        counts = seen[d].astype(np.float64)
        flat = _darkest(counts) if known is None else known[d] * duration / n_bins
        pulse = likely_pulses(counts, period / merge)[0] - EARLY * n_bins
        score[d] = score_bins(counts, math.floor(pulse) % n_bins, flat)
    photons = sum(len(piece) for piece in recording)
    summed, at = np.zeros(photons + 2), 1
    for piece, delays in zip(recording, nanotimes, strict=True):
        part = summed[at : at + len(piece)]
        events_of.sum_scores(delays, piece.detectors, merge, score, float(summed[at - 1]), part)
        at += len(piece)
    summed[-1] = summed[-2] * (1.0 + 1.0 / max(1, photons))  # the end of the window has no nanotime: it tells nothing
    if not photons:
        return summed, np.zeros((3, 2))
    scores, weights = score[present].ravel(), seen[present].astype(np.float64).ravel()
    return summed, observed_cost(mean_cost(scores, weights), summed[:-1], photons_of_run(scores, weights))


def _darkest(counts: Floats) -> float:
    """Return the mean of the darkest sixteenth of a period: background, and what is left of a long decay.

    The darkest part of few photons would be dark by chance: then of an eighth, or a quarter.
    """
    level = 0.0
    for share in (16, 8, 4):
        window = max(1, counts.size // share)
        wrapped = np.concatenate([counts, counts[: window - 1]])
        level = float(np.convolve(wrapped, np.full(window, 1.0 / window), mode="valid").min())
        if level * window >= ENOUGH:
            break
    return level


def _find(events: Events, level: float, method: str, penalty: float | None) -> Ints:
    table = np.zeros((2, TABLED))
    kernels.moments_of_one_side(table)
    channels = 2 if events.scores.size else 1
    if method == "recursive":
        level *= FOUND_DECAY if channels == 2 else 1.0
        return kernels.find_changes(events.live, events.scores, events.cost, level, critical_values(channels), table)
    last = events.live.size - 1
    cost = (1 + channels) * math.log(max(last, 3)) if penalty is None else float(penalty)
    if not cost > 0:
        raise ValueError(f"penalty must be positive, it is {penalty}")
    places = np.unique(np.linspace(0, last, min(last + 1, MOST_PLACES)).astype(np.int64))
    for _ in range(3):  # places that miss a change by a few events are moved to it, then all are weighed anew
        changes = kernels.penalised(events.live, events.scores, events.cost, places, cost)
        kernels.refine(events.live, events.scores, events.cost, table, changes)
        places = np.unique(np.concatenate([[0], changes, [last]]))
    return places[1:-1]


@cache
def critical_values(channels: int) -> Floats:
    """Return ln n, the ratios at 50, 20, 10 and 5 %, and the fall of ln P beyond, float64[6, S]."""
    text = files("photonstats").joinpath("data", "critical_values.csv").read_text()
    rows = np.array([line.split(",") for line in text.splitlines()[1:]], dtype=np.float64)
    columns = rows[rows[:, 0] == channels, 1:].T.copy()
    columns[0] = np.log(columns[0])
    return columns


def _segments_of(events: Events, changes: Ints, level: float) -> Segments:
    tail = (1.0 - LEVEL) / 2.0
    found, ratios = np.empty((changes.size, 3)), np.empty((changes.size, 2))
    change_places.locate_all(
        events.live, events.scores, events.cost, changes, np.array([tail, 0.5, 1.0 - tail]), found, ratios
    )
    at = np.interp(found, events.live, events.clock)
    edges = np.concatenate([events.window[:1], at[:, 1], events.window[1:]])
    rising = np.maximum.accumulate(edges)
    apart = np.concatenate([[True], np.diff(rising) > 0])
    if not apart.all():  # two changes in one gap between photons, within rounding: one change
        kept = apart[1:-1] & apart[2:] if apart.size > 2 else apart[:0]
        edges, at, ratios, changes = (
            rising[np.concatenate([[True], kept, [True]])],
            at[kept],
            ratios[kept],
            changes[kept],
        )
    inner = np.searchsorted(events.photons, edges[1:-1])
    counts = np.diff(inner, prepend=0, append=events.photons.size)
    segments = Segments(edges, counts, times_ci=at[:, [0, 2]], false_positive_rate=level)
    if not events.scores.size:
        return segments
    p_values = special.chdtrc(1, ratios / mean_ratios(changes, events.live.size - 1)[:, None])
    kinds = tuple(_kind(float(rate), float(decay), level) for rate, decay in p_values)
    return replace(segments, change_kinds=kinds, p_rate=p_values[:, 0], p_lifetime=p_values[:, 1])


def mean_ratios(changes: Ints, last: int) -> Floats:
    """Return the mean of the ratio of one channel at each change between its neighbours if there is none."""
    bounds = np.concatenate([[0], changes, [last]]).astype(np.float64)
    k, n = bounds[1:-1] - bounds[:-2], bounds[2:] - bounds[:-2]
    m = n - k
    of_n = special.digamma(n) - np.log(n)
    mean = k * (of_n - special.digamma(k) + np.log(k)) + m * (of_n - special.digamma(m) + np.log(m))
    return np.asarray(2.0 * mean)


def _kind(p_rate: float, p_lifetime: float, level: float) -> str:
    rate, lifetime = p_rate < level, p_lifetime < level
    return KINDS[2] if rate and lifetime else KINDS[0] if rate else KINDS[1] if lifetime else KINDS[3]
