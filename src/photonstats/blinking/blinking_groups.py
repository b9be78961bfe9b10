"""Segments of like rate taken together, so that their photons suffice for a lifetime: signal and lifetime of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photonstats.background import Background, given_background
from photonstats.background_sources import DARKEST, estimate_background
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF
from photonstats.decays.segment_fit import Entries, Response, collect_entries, fit_table, make_table, response_of
from photonstats.decays.segments import Segments
from photonstats.likelihood import ONE_SIGMA
from photonstats.stream import PhotonStream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_GROUPS = 9
FEWEST_PHOTONS = 30  # of the emitter in a group
SYSTEMATIC = 0.03  # of a background rate that was estimated: shape of the decay, detectors
DARKEST_RANGE = (0.2, 0.6, 1.0)  # of the darkest level, which is an upper limit
WIDEST = 0.6  # relative error of a background
AROUND = (-1.5, 0.0, 1.5)  # standard errors at which a background is tried


@dataclass(frozen=True)
class Groups:
    """Groups of segments by rising rate, at one background.

    total[g], time[g]: photons and s; rate, rate_err, lifetime, lifetime_err[g]: signal without background, Hz and s,
    with the errors of counting; lifetimes are nan where they cannot be had, for all groups with a reason.
    """

    total: Ints
    time: Floats
    rate: Floats
    rate_err: Floats
    lifetime: Floats
    lifetime_err: Floats
    background: float
    reason: str = ""


@dataclass(frozen=True)
class Darkness:
    """Background of each detector (Hz), the factors at which it is tried, and where it comes from."""

    rate: dict[int, float]
    factors: tuple[float, ...]
    source: str


def find_background(
    photons: PhotonStream | Iterable[PhotonStream],
    given: float | Mapping[int, float] | Background | None,
    detectors: tuple[int, ...],
) -> Darkness:
    """Return the background as given or estimated, and the factors within which it may lie."""
    if given is None:
        try:
            found = estimate_background(photons)
        except ValueError as error:
            return Darkness(dict.fromkeys(detectors, 0.0), (1.0,), f"unknown: {error}")
    else:
        found = given if isinstance(given, Background) else given_background(given, list(detectors))
        missing = [d for d in detectors if d not in found.rate]
        if missing:
            raise ValueError(f"background has no rate for detectors {missing}; it names {sorted(found.rate)}")
    rate = {d: max(found.rate.get(d, 0.0), 0.0) for d in detectors}
    total = sum(rate.values())
    if total <= 0.0:
        return Darkness(rate, (1.0,), found.method)
    if DARKEST in found.method:
        return Darkness(rate, DARKEST_RANGE, found.method)
    counted = math.hypot(*(found.rate_err.get(d, 0.0) for d in detectors)) / total
    width = min(math.hypot(counted, SYSTEMATIC if given is None else 0.0), WIDEST)
    return Darkness(rate, tuple(1.0 + a * width for a in AROUND) if width > 0 else (1.0,), found.method)


def head_of(segments: Segments, n: int) -> Segments:
    """Return the first n segments, with what a fit of their lifetimes needs."""
    if n == len(segments):
        return segments
    return Segments(
        segments.edges[: n + 1], segments.counts[:n], shifts=segments.shifts, detectors=segments.detectors,
        period=segments.period,
    )  # fmt: skip


def group_segments(segments: Segments) -> Ints:
    """Return the group of each segment: equal steps of the root of the rate, in which counting noise is equal."""
    root = np.sqrt(segments.rates)
    order = np.argsort(root)
    share = np.cumsum(segments.durations[order]) / segments.durations.sum()
    low, high = np.interp([0.002, 0.998], share, root[order])
    if not high > low:
        return np.zeros(len(segments), np.int64)
    step = (high - low) / MOST_GROUPS
    return np.clip(np.floor((root - low) / step), 0, MOST_GROUPS - 1).astype(np.int64)


def merged_groups(place: Ints, counts: Ints, durations: Floats, dark: float) -> Ints:
    """Return the groups with those joined to a neighbour whose photons of the emitter are too few."""
    place = place.copy()
    while True:
        names, place = np.unique(place, return_inverse=True)
        total = np.bincount(place, counts, names.size)
        signal = total - dark * np.bincount(place, durations, names.size)
        short = np.flatnonzero((signal < FEWEST_PHOTONS) & (np.arange(names.size) > 0) | (total < FEWEST_PHOTONS))
        if names.size < 2 or not short.size:
            return place.astype(np.int64)
        g = int(short[0])
        place[place == g] = g + 1 if g == 0 else g - 1


def regrouped(entries: Entries, place: Ints) -> Entries:
    """Return entries in which all segments of a group are one."""
    n, c = int(place.max()) + 1, entries.layout.n_classes
    of = np.repeat(place, np.diff(entries.ends, prepend=0))
    flat = np.bincount(of * c + entries.entry_class, entries.entry_count, minlength=n * c).reshape(n, c)
    filled = flat > 0
    return replace(
        entries,
        ends=np.cumsum(filled.sum(axis=1)),
        entry_class=np.nonzero(filled)[1].astype(np.uint16),
        entry_count=flat[filled].astype(np.uint32),
        counts=np.bincount(place, entries.counts, n).astype(np.int64),
    )


def measure_groups(
    photons: PhotonStream | Iterable[PhotonStream],
    segments: Segments,
    darkness: Darkness,
    irf: Decay | GaussianIRF | None,
) -> tuple[list[Groups], Segments | None]:
    """Return the groups at each background that is tried, and the segments with their lifetimes at the middle one.

    Without nanotimes lifetimes are nan, and there are no fitted segments.
    """
    total = sum(darkness.rate.values())
    place = merged_groups(group_segments(segments), segments.counts, segments.durations, total)
    time = np.bincount(place, segments.durations).astype(np.float64)
    try:
        entries = collect_entries(photons, segments.edges, tuple(darkness.rate))
    except ValueError as error:
        counts = np.bincount(place, segments.counts).astype(np.int64)
        unknown = np.full((counts.size, 2), np.nan)
        return [_groups(counts, time, total * f, unknown, str(error)) for f in darkness.factors], None
    responses = _responses(entries, segments, irf)
    rates = np.array([darkness.rate[d] for d in entries.layout.detectors])
    together = regrouped(entries, place)
    found = []
    for factor in darkness.factors:
        pairs = _fitted(together, responses, rates * factor, time)
        found.append(_groups(together.counts, time, total * factor, pairs))
    own = _fitted(entries, responses, rates, segments.durations)
    return found, replace(segments, lifetimes=own[:, 0], lifetimes_err=own[:, 1])


def _responses(entries: Entries, segments: Segments, irf: Decay | GaussianIRF | None) -> dict[int, Response]:
    """Return the response of each detector with photons, at the shift that an earlier fit of the segments found."""
    duration, found = float(segments.durations.sum()), {}
    for d, detector in enumerate(entries.layout.detectors):
        if entries.sums[d].any():
            shift = segments.shifts.get(detector) if irf is not None else None
            found[d] = response_of(entries.layout.decay(entries.sums, d, duration), irf, shift)
    return found


def _fitted(entries: Entries, responses: dict[int, Response], rates: Floats, durations: Floats) -> Floats:
    """Return lifetime and error of each segment, [k, 2]; nan where it may hold background alone."""
    values, dark = fit_table(entries, make_table(entries, responses, rates, durations, None), ONE_SIGMA)
    with np.errstate(invalid="ignore"):
        pairs = np.stack([values[:, 0], (values[:, 2] - values[:, 1]) / 2.0], axis=1)
    pairs[dark] = np.nan
    return pairs


def _groups(total: Ints, time: Floats, background: float, lifetimes: Floats, reason: str = "") -> Groups:
    good: NDArray[np.bool_] = np.all(np.isfinite(lifetimes) & (lifetimes > 0), axis=1)
    lifetimes = np.where(good[:, None], lifetimes, np.nan)
    return Groups(
        total, time, total / time - background, np.sqrt(total) / time, lifetimes[:, 0], lifetimes[:, 1], background,
        reason,
    )  # fmt: skip
