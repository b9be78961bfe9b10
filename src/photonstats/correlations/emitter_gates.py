"""Pairs later than a rising gate, made ready for the number of emitters: gates, background, blinking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from photonstats.background_sources import estimate_background
from photonstats.correlations.delay import folded, rise_of
from photonstats.correlations.emitter_posterior import Background2, GatedPairs, broad_background, normal_background
from photonstats.correlations.gates import GateSeries
from photonstats.correlations.pairing import Head, pair_background
from photonstats.correlations.peaks import Blocks, correlation_length
from photonstats.curve import Decay
from photonstats.stream import PhotonStream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BACKGROUND_SHARE = 0.05  # mean of the prior where nothing is known of the background
UNKNOWN = "not known: share with an exponential prior of mean 5 %"
N_GATES = 12
LIFETIMES = 2.5  # the last gate
FIRST_GATE = 50e-12
MOST_OF_PERIOD = 0.6


def lifetime_of(decay: Ints, period: float) -> float:
    """Return the lifetime of a decay of one exponential above a flat background, in ticks.

    Notes
    -----
    Maximum likelihood of the nanotimes after the rise, on grids of lifetimes that close in; the share of the background
    by Newton's method.
    """
    rise, guard = rise_of(decay, period)
    late = np.roll(folded(decay, period), -math.ceil(rise))[: max(round(period - guard), 4)]
    merge = -(-late.size // 512)
    counts = late[: late.size // merge * merge].reshape(-1, merge).sum(axis=1).astype(np.float64)
    n = counts.size
    low, high = n / 400.0, 2.0 * n
    for _ in range(3):
        tau = np.geomspace(low, high, 36)
        best = int(np.argmax(_log_likelihood(counts, tau)))
        low, high = float(tau[max(best - 1, 0)]), float(tau[min(best + 1, tau.size - 1)])
    return float(tau[best]) * merge


def _log_likelihood(counts: Floats, tau: Floats) -> Floats:
    """Return the log-likelihood of each lifetime, in bins, at its most likely share of background."""
    n = counts.size
    shape = np.exp(-np.arange(n) / tau[:, None])
    excess = shape / shape.sum(axis=1, keepdims=True) - 1.0 / n
    share = np.full((tau.size, 1), 0.8)
    for _ in range(12):
        ratio = excess / (share * excess + 1.0 / n)
        share = np.clip(share + ((ratio @ counts) / (ratio**2 @ counts))[:, None], 1e-3, 1.0 - 1e-6)
    log: Floats = np.log(share * excess + 1.0 / n) @ counts
    return log


class Noted:
    """Pieces on their way to the correlation, whose decays are kept: one pass serves both."""

    def __init__(self, parts: Iterable[PhotonStream], pair: tuple[int, int]) -> None:
        self._parts, self._counts = parts, {d: np.zeros(65536, np.int64) for d in pair}
        self._seconds = 0.0

    def __iter__(self) -> Iterator[PhotonStream]:
        for piece in self._parts:
            self._seconds += piece.duration
            if piece.nanotimes is not None:
                for detector in self._counts:
                    self._counts[detector] += np.bincount(piece.nanotimes[piece.detectors == detector], minlength=65536)
            yield piece

    def decays(self, head: Head) -> dict[int, Decay]:
        """Return the decays, with bins merged to at most a thousand."""
        ticks, unit = head.ticks_per_pulse, head.first.tcspc_unit
        assert ticks is not None
        assert unit is not None
        n = min(max(math.ceil(ticks - 1e-6), 1), 65536)
        merge = -(-n // 1024)
        found = {}
        for detector, counts in self._counts.items():
            padded = np.zeros(-(-n // merge) * merge, np.int64)
            padded[:n] = counts[:n]
            found[detector] = Decay(padded.reshape(-1, merge).sum(axis=1), merge * unit, ticks * unit, self._seconds)
        return found


def lifetime_and_guard(head: Head, pair: tuple[int, int], period: float) -> tuple[float, float]:
    """Return lifetime and guard before the rise, ticks: means over both detectors, weighted by photons."""
    counts = [head.counts.get(d, 0) for d in pair]
    if not sum(counts):
        return period / 10.0, 0.0
    found = [(lifetime_of(head.decay(d), period), rise_of(head.decay(d), period)[1]) for d in pair]
    lifetime, guard = np.average(found, axis=0, weights=counts)
    return float(lifetime), float(guard)


def choose_gates(begin: float, given: Sequence[float] | None, lifetime: float, guard: float, period: float) -> Floats:
    """Return the gates after the rise, s: the given ones, or zero and twelve up to 2.5 lifetimes, denser early."""
    if given is not None:
        at = np.asarray(given, dtype=np.float64)
        if at.ndim != 1 or at.size < 2 or np.any(np.diff(at) <= 0) or at[0] < 0:
            raise ValueError(f"gates={given!r}: give at least two rising times after the rise, s")
        return begin + at
    last = min(LIFETIMES * lifetime, MOST_OF_PERIOD * period, 0.9 * (period - guard) - begin)
    if last <= 0:
        raise ValueError(f"gate={begin} s leaves too little of the laser period of {period:.6g} s")
    early = min(max(FIRST_GATE, 0.4 * guard), last / 4.0)
    return begin + np.concatenate([[0.0], np.geomspace(early, last, N_GATES)])


def gated_pairs(series: GateSeries, lifetime: float) -> GatedPairs:
    """Return the pairs of a series as the statistics take them; `lifetime` in s."""
    period = series.laser_period
    middle = series.pairs.shape[1] // 2
    centre = series.pairs[:, middle].astype(np.float64)
    sides = series.pairs.sum(axis=1) - centre
    photons = series._block_photons.sum(axis=0).astype(np.float64)
    late = math.exp(-period / lifetime)
    return GatedPairs(
        gate=series.gate - series.gate[0],
        centre=centre,
        sides=sides,
        n_sides=2 * middle,
        photons=photons,
        share=series.open_fraction,
        duration=series.duration,
        period=period,
        exciton_rate=1.0 / lifetime,
        overlap=2.0 * late / (1.0 + late),
        # the first gate lies at half height: what the response cuts off there is not an exponential in the gate
        first=1 if series.gate[0] == 0.0 else 0,
    )


def with_scatter(pairs: GatedPairs, series: GateSeries, background: Background2) -> GatedPairs:
    """Add what the stretches of the recording say on the scatter by blinking."""
    blocks = series._block_pairs[:, 0, :]
    middle = blocks.shape[1] // 2
    centres = blocks[:, middle]
    found = Blocks(
        centres,
        blocks.sum(axis=1) - centres,
        series._block_photons[:, 0, :],
        series._block_seconds,
        2 * middle * pairs.period,
        2 * middle,
    )
    dark = background.weights @ background.rates * pairs.share[0]
    scatter = found.scatter((float(dark[0]), float(dark[1])))
    overlaps, periods = blinking_overlaps(
        series._block_photons[:, 0, :], series._block_seconds, dark, pairs.bunching(dark / pairs.share[0])
    )
    return replace(
        pairs,
        far_value=_far_value(pairs, dark / pairs.share[0]),
        far_variance=scatter.far,
        far_dof=scatter.dof,
        overlaps=overlaps,
        periods=min(periods, scatter.periods),
    )


def _far_value(pairs: GatedPairs, dark: Floats) -> float:
    light, other = pairs.light(dark)
    return float((pairs.centre[0] - other[0]) / light[0]) if light[0] > 0 else math.nan


def blinking_overlaps(photons: Ints, seconds: Floats, dark: Floats, bunching: float) -> tuple[float, float]:
    """Return v^2 / n, with v the relative variance of the light and n the number of blinking periods, and n.

    Parameters
    ----------
    photons : ndarray of int64, shape (n, 2)
        Photons on a and b in each stretch of time.
    seconds : ndarray of float64, shape (n,)
        Its length.
    dark : ndarray of float64, shape (2,)
        Background, Hz.
    bunching : float
        Near side peaks over independent light.

    Notes
    -----
    Light that correlates as v exp(-t/tau) has stretches of length x tau with the variance v 2 (x - 1 + e^-x) / x^2. Two
    readings, of which the one with more scatter counts: tau from the correlation of neighbouring stretches, which sees
    slow blinking beside fast; and v = B - 1, tau from the variance of the stretches, for blinking faster than they are.
    """
    whole = seconds > 0.999 * seconds.max(initial=0.0)
    counts = photons[whole].sum(axis=1).astype(np.float64)
    n, mean = counts.size, float(counts.mean()) if counts.size else 0.0
    light = mean - float(dark.sum() * seconds.max(initial=0.0))
    above = float(counts.var(ddof=1)) - mean if n > 1 else 0.0
    if light <= 0 or above < 2.0 * mean * math.sqrt(2.0 / max(n - 1, 1)):
        return 0.0, math.inf
    variance = above / light**2
    x = np.geomspace(1e-3, 1e6, 1801)
    averaged = 2.0 * (x + np.expm1(-x)) / x**2
    found = []
    if (memory := correlation_length(counts)) > 0:
        found.append((variance / float(np.interp(1.0 / memory, x, averaged)), n / (4.0 * memory)))
    if bunching - 1.0 > variance:
        length = float(np.interp(-variance / (bunching - 1.0), -averaged, x))
        found.append((bunching - 1.0, n * length / 4.0))
    if not found:
        return 0.0, math.inf
    v, periods = max(found, key=lambda each: each[0] ** 2 / max(each[1], 0.5))
    return v**2 / max(periods, 0.5), periods


def estimated_background(
    decays: Mapping[int, Decay], head: Head, pair: tuple[int, int], rates: Floats
) -> tuple[Background2, str, str]:
    """Return background from the flat part of the decays, its method, and a note; a broad prior where there is none."""
    try:
        found = estimate_background(head.first, "decay", decays=decays)
        dark, error = pair_background(found, None, pair)
        why = "" if np.all(np.isfinite(error) & (dark < 0.95 * rates)) else "the flat part is not below the light"
    except ValueError as problem:
        why = str(problem)
    if why:
        text = f"background is not known ({why}); any share with mean {BACKGROUND_SHARE:.0%} was taken as possible"
        return broad_background(rates, BACKGROUND_SHARE), UNKNOWN, text
    return normal_background(dark, error, rates), found.method, found.note
