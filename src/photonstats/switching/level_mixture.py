"""Mixtures of levels for segments: starts by merging, fits by expectation and maximisation, and their BIC."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.kernels.levels import climb, merge_neighbours, merge_pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Likelihood of a segment of its level, found by simulation: the search for edges makes counts scatter a little more
# than Poisson's law says (variance 1.3), and short dwells that it misses pull three segments in ten far off (20).
WIDTHS = np.array([1.3, 20.0, 0.3])
STRAY_AT_FIRST, MOST_STRAY = 0.05, 0.2
MOST_PAIRED = 400  # segments that are merged pair by pair
ROUGH, FINE = 1e-3, 1e-7  # gain of the likelihood at which a fit ends: of each number of levels, and of the best
FEWEST_OF_LEVEL = 3.0  # segments that a level is taken to have, where fewer belong to it
HOPELESS = 60.0  # excess of BIC beyond which larger numbers are not tried


@dataclass(frozen=True)
class SegmentTable:
    """Segments as rows of the kernel: pairs (a, b) with the likelihood x^a exp(-b x) for rate and inverse lifetime."""

    a: Floats
    b: Floats
    height: Floats
    known: Floats
    stray: Floats
    least: Floats

    def __len__(self) -> int:
        return int(self.a.shape[0])


@dataclass(frozen=True)
class Mixture:
    """Levels of one fit: values[m, c], share[m + 1], weight[k, m + 1], pull[k, m], and twice the log-likelihood."""

    values: Floats
    share: Floats
    weight: Floats
    pull: Floats
    gain: float


def make_table(counts: Ints, durations: Floats, lifetimes: Floats | None, errors: Floats | None) -> SegmentTable:
    """Return the rows of segments; a lifetime with its error counts as (lifetime / error)^2 photons."""
    a, b = counts.astype(np.float64)[:, None], durations.astype(np.float64)[:, None]
    if lifetimes is not None and errors is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            photons = (lifetimes / errors) ** 2
            usable = (lifetimes > 0) & np.isfinite(lifetimes) & (errors > 0) & np.isfinite(errors)
        photons = np.where(usable, photons, 0.0)
        a = np.column_stack([a, photons])
        b = np.column_stack([b, photons * np.where(usable, lifetimes, 0.0)])
    best = np.divide(a, b, out=np.ones_like(a), where=(a > 0) & (b > 0))
    height = np.sum(a * np.log(best) - a, axis=1)
    known = np.sum(b > 0, axis=1).astype(np.float64)
    least = np.array([1e-3 / float(b[:, 0].sum()), 1e-3])[: a.shape[1]]
    return SegmentTable(a, b, height, known, _stray(a, b, best, height, known), least)


def _stray(a: Floats, b: Floats, best: Floats, height: Floats, known: Floats) -> Floats:
    """Return ln of the mean likelihood of each segment over all rates up to the highest, and over all lifetimes."""
    scaled_a, scaled_b = a / WIDTHS[0], b / WIDTHS[0]
    top = max(float(best[:, 0].max()), 1.0 / float(b[:, 0].max()))
    order = scaled_a[:, 0] + 1.0
    inside = np.maximum(special.gammainc(order, top * scaled_b[:, 0]), 1e-300)
    found = special.gammaln(order) - order * np.log(scaled_b[:, 0]) + np.log(inside / top)
    has = np.flatnonzero(b[:, 1] > 0) if a.shape[1] > 1 else np.zeros(0, np.int64)
    if has.size:
        order, scale = scaled_a[has, 1], scaled_b[has, 1]
        low, high = np.quantile(best[has, 1], [0.05, 0.95]) * np.array([1 / 1.5, 1.5])
        inside = special.gammainc(order, high * scale) - special.gammainc(order, low * scale)
        lost = special.gammaln(order) - order * np.log(scale) + np.log(np.maximum(inside, 1e-300))
        found[has] += lost - math.log(math.log(high / low))
    return np.asarray(found - height / WIDTHS[0] - 0.5 * known * math.log(WIDTHS[0]))


def partitions(table: SegmentTable, most: int) -> list[tuple[Ints, Ints]]:
    """Return, for 1 to `most` levels, the segments that make the start and the level of each of them."""
    k, columns = table.a.shape
    if columns == 1:
        order = np.argsort(table.a[:, 0] / table.b[:, 0], kind="stable")
        removed = np.zeros(max(k - 1, 0), np.int64)
        if k > 1:
            merge_neighbours(table.a[order, 0], table.b[order, 0], removed)
        return [(order, np.concatenate([[0], np.cumsum(removed >= k - m)])) for m in range(1, most + 1)]
    # The segments that say most: many photons fix a bright level, long times a dark one.
    half = MOST_PAIRED // 2
    chosen = np.union1d(np.argsort(-table.a[:, 0], kind="stable")[:half], np.argsort(-table.b[:, 0])[:half])
    labels = np.zeros((min(most, chosen.size), chosen.size), np.int64)
    merge_pairs(table.a[chosen].copy(), table.b[chosen].copy(), labels)
    return [(chosen, row) for row in labels]


def fit_mixture(table: SegmentTable, chosen: Ints, labels: Ints) -> Mixture:
    """Return the mixture that the likelihood climbs to from a partition."""
    m = int(labels.max()) + 1
    tops = np.stack([np.bincount(labels, column, m) for column in table.a[chosen].T], axis=1)
    bottoms = np.stack([np.bincount(labels, column, m) for column in table.b[chosen].T], axis=1)
    typical = np.divide(table.a.sum(axis=0), table.b.sum(axis=0), out=np.ones(tops.shape[1]), where=table.b.sum(0) > 0)
    values = np.divide(tops, bottoms, out=np.tile(typical, (m, 1)), where=bottoms > 0)
    share = np.append(np.bincount(labels, minlength=m) / labels.size * (1.0 - STRAY_AT_FIRST), STRAY_AT_FIRST)
    return _climb(table, np.maximum(values, table.least), share, ROUGH, 300)


def refine(table: SegmentTable, mixture: Mixture) -> Mixture:
    """Return the mixture at the maximum of its likelihood, levels by rising rate."""
    found = _climb(table, mixture.values.copy(), mixture.share.copy(), FINE, 2000)
    order = np.lexsort(found.values.T[::-1])
    columns = np.append(order, order.size)
    return Mixture(
        found.values[order], found.share[columns], found.weight[:, columns], found.pull[:, order], found.gain
    )


def _climb(table: SegmentTable, values: Floats, share: Floats, gain: float, steps: int) -> Mixture:
    k, m = len(table), values.shape[0]
    weight, pull = np.empty((k, m + 1)), np.empty((k, m))
    value = climb(
        table.a, table.b, table.height, table.known, table.stray, WIDTHS, values, share, weight, pull, table.least,
        MOST_STRAY, gain, steps,
    )  # fmt: skip
    return Mixture(values, share, weight, pull, 2.0 * float(value))


def bayesian_information(mixture: Mixture, k: int) -> float:
    """Return BIC: the k segments are the sample of the share of a level, its own segments that of each of its values.

    Berger, Bayarri, Pericchi, Econom. Rev. 33, 197 (2014): a value that few observations tell of costs little.
    """
    m, columns = mixture.values.shape
    own = np.maximum(mixture.weight[:, :-1].sum(axis=0), FEWEST_OF_LEVEL)
    return float(m * math.log(max(k, 2)) + columns * np.log(own).sum() - mixture.gain)


def fit_numbers(table: SegmentTable, most: int) -> tuple[dict[int, float], dict[int, Mixture]]:
    """Return BIC and mixture of each number of levels, up to where BIC is hopeless."""
    bic: dict[int, float] = {}
    fits: dict[int, Mixture] = {}
    for m, (chosen, labels) in enumerate(partitions(table, min(most, len(table))), start=1):
        fits[m] = fit_mixture(table, chosen, labels)
        bic[m] = bayesian_information(fits[m], len(table))
        if bic[m] > min(bic.values()) + HOPELESS:
            break
    return bic, fits


def probabilities(bic: dict[int, float]) -> dict[int, float]:
    """Return exp(-BIC / 2), normalised."""
    least = min(bic.values())
    odds = {m: math.exp(-0.5 * (value - least)) for m, value in bic.items()}
    total = sum(odds.values())
    return {m: value / total for m, value in odds.items()}
