"""What the fit of a dip takes from a `g2`: its bins, the response of the detectors, the error of the background."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from photonstats.correlations.dip import DipProblem, Floats
from photonstats.correlations.pair_response import pair_response
from photonstats.curve import Decay
from photonstats.decays.decay_model import GaussianIRF

if TYPE_CHECKING:
    from photonstats.correlations.correlation import G2

Centre: TypeAlias = float | Literal["auto", "free"]
Irf: TypeAlias = Decay | GaussianIRF | Mapping[int, Decay | GaussianIRF] | None
Exclude: TypeAlias = tuple[float, float] | Sequence[tuple[float, float]] | None
CENTRE_BINS = 3.0


def set_up(g2: G2, irf: Irf, irf_sigma: float, centre: Centre, exclude: Exclude) -> DipProblem:
    """Check the arguments and put together what is fitted."""
    if g2.pulsed:
        raise ValueError("fit is for continuous light: under pulsed excitation g2 is a comb of peaks; use g2_pulsed")
    response = pair_response(irf, irf_sigma, g2.detectors)
    use = (g2.expected > 0) & ~_excluded(g2.lag_edges, exclude)
    if use.sum() < 8 or g2.pairs[use].sum() < 10:
        raise ValueError(
            f"{int(g2.pairs[use].sum())} pairs in {int(use.sum())} bins are too few for a fit (8 bins, 10 pairs)"
        )
    edges, reach = np.asarray(g2.lag_edges, dtype=np.float64), 0.0
    if isinstance(centre, str):
        if centre not in ("auto", "free"):
            raise ValueError(f'centre={centre!r}: give a lag in seconds, "auto" or "free"')
        width = float(np.median(np.diff(edges)))
        if centre == "free" or math.isfinite(g2.delay_err):
            error = g2.delay_err if math.isfinite(g2.delay_err) else 0.0
            reach = min(max(CENTRE_BINS * width, 5.0 * error), float(edges[-1]) / 4.0)
    else:
        if not (edges[0] < centre < edges[-1]):
            raise ValueError(f"centre={centre} s: must be a lag within the window, {edges[0]:.4g} to {edges[-1]:.4g} s")
        edges = edges - centre
    return DipProblem(
        edges=edges, pairs=g2.pairs.astype(np.float64), expected=np.where(use, g2.expected, 0.0),
        dark=g2.pairs_background, dark_slope=np.where(use, background_spread(g2), 0.0), use=use, response=response,
        reach=reach,
    )  # fmt: skip


def _excluded(edges: Floats, exclude: Exclude) -> NDArray[np.bool_]:
    """Return which bins overlap with the lags that are to be left out."""
    out = np.zeros(edges.size - 1, dtype=bool)
    if exclude is None:
        return out
    spans = np.asarray(exclude, dtype=np.float64)
    if spans.size == 0 or spans.size % 2 or spans.shape[-1] != 2 or not np.all(np.isfinite(spans)):
        raise ValueError(f"exclude={exclude!r}: give lags (from, to) in seconds, or several such pairs")
    for begin, end in spans.reshape(-1, 2):
        if begin >= end:
            raise ValueError(f"exclude=({begin}, {end}): the lags must rise")
        out |= (edges[:-1] < end) & (edges[1:] > begin)
    return out


def background_spread(g2: G2) -> Floats:
    """Return one standard error of the background pairs in each bin, from that of the rates."""
    total: dict[int, Floats] = {}
    for part in _single_pairs(g2):
        share = np.array([part.open_fraction.get(d, 1.0) for d in part.detectors])
        dark, error = (np.array([of[d] for d in part.detectors]) for of in (part.background, part.background_err))
        if not error.any():
            continue
        # pairs of steady light, which is what background pairs are counted from
        steady = getattr(part, "_steady", None)
        every = part._every if steady is None else steady
        with np.errstate(divide="ignore", invalid="ignore"):
            light = 1.0 - np.nan_to_num(dark * share / part._rates_at)
            slope = np.nan_to_num(every[:, None] * light[:, ::-1] / part._rates_at * share * error)
        for i, d in enumerate(part.detectors):
            total[d] = total.get(d, np.zeros(slope.shape[0])) + slope[:, i]
    square = sum((s**2 for s in total.values()), start=np.zeros(g2.pairs.size))
    return np.asarray(np.sqrt(square), dtype=np.float64)


def _single_pairs(g2: G2) -> Iterator[G2]:
    for part in getattr(g2, "parts", ()) or (g2,):
        if part is g2:
            yield g2
        else:
            yield from _single_pairs(part)
