"""Second-order correlation at log-spaced lags: every pair counted exactly, or coarse-grained at long lags."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import Background
from photonstats.correlations.correlation import G2, g2, normalised_g2
from photonstats.correlations.delay import check_delay, decay_offset
from photonstats.correlations.edges import Edges, expected_pairs
from photonstats.correlations.log_counts import LIMIT, Coarse, Counted, Exact, Lags
from photonstats.correlations.pairing import HEAD_PHOTONS, Head, choose_pair, make_gate, open_recording
from photonstats.kernels.loglags import split_times
from photonstats.likelihood import Z95
from photonstats.stream import PhotonStream, check_follows
from photonstats.traces.stretches import Squeeze, Stretches, check_stretches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Sign = Literal["positive", "negative", "both"]
Method = Literal["exact", "multitau"]

LONGEST = 1e5  # s that a recording may last
FINENESS = 12  # bits of a tick below which times of pulses and nanotimes are rounded, where `LONGEST` leaves as many
SIDES: dict[str, tuple[int, ...]] = {"positive": (1,), "negative": (-1,), "both": (-1, 1)}
SLICE = 2**18  # photons at a time
LONGEST_CABLE = 300e-9
FEWEST_BLOCKS, FEWEST_PAIRS = 8, 20


def g2_log(
    photons: PhotonStream | Iterable[PhotonStream],
    lag_min: float,
    lag_max: float,
    per_decade: int = 10,
    *,
    detectors: tuple[int, int] | None = None,
    method: Method = "exact",
    sign: Sign = "positive",
    delay: float | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    stretches: ArrayLike | None = None,
) -> G2:
    """Correlate two detectors at log-spaced lags, over nine decades or more.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T2 or T3 photons, or the pieces of `scan`; one pass.
    lag_min, lag_max : float
        Range of the lags, s; at most the duration.
    per_decade : int
        Bins in a decade, 1 to 100.
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors.
    method : {"exact", "multitau"}
        "exact": each pair is counted in its bin. "multitau": lags above a thousand ticks and two mean intervals of
        the photons are counted between bins of time that grow with the lag; see Notes for its error.
    sign : {"positive", "negative", "both"}
        b after a, a after b (lags below zero), or both with one bin from -lag_min to lag_min between them.
    delay : float or "auto"
        How much later b is than a, s; found on the first 2^19 photons as in `g2`.
    gate : float or (float, float), optional
        Seconds after each detector's own pulse, or a window (from, to) of nanotimes in s.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    stretches : array_like of float, shape (k, 2), optional
        Begin and end (s) of the parts of the recording to correlate, each alone; see `g2`.

    Returns
    -------
    G2
        `method` says how pairs were counted. Bins narrower than a tick of the times are merged, so that there may be
        fewer of them at the shortest lags.

    Raises
    ------
    ValueError
        If there are not two live detectors, or an argument is out of range.

    Notes
    -----
    Normalised as `g2`, with the photons that have their partner inside the window at each lag. Times are whole ticks
    (T3: pulse number times the period, rounded to 2^-12 of a tick, plus nanotime), so that neither the origin of time
    nor the cuts of pieces change the answer. Under pulsed light lags of the order of the laser period show its comb.

    Blinking makes neighbouring lags scatter together and more than counting does. `g2_err` and `g2_ci` add what the
    scatter between up to 64 blocks of time (leaving out one at a time) has above counting; blinking slower than a few
    blocks, as power laws have it, is not in it.

    "multitau" smooths: a bin of time w spreads a lag over a triangle of half-width w, at most an eighth of the lag.
    For g2 = 1 + c exp(-lag/t) this changes the value by less than 0.0008 c, for a power law lag^-p by less than a
    share p (p + 1) / 768. What it counts as pairs are weights of pairs, rounded.

    References
    ----------
    Laurence, Fore, Huser, Opt. Lett. 31, 829 (2006). Wahl, Gregor, Patting, Enderlein, Opt. Express 11, 3583 (2003).

    Examples
    --------
    >>> photons = PhotonStream([10, 13, 30], [0, 1, 1], timestamps_unit=1e-9, duration=1e-6)
    >>> g2_log(photons, 1e-9, 1e-7, per_decade=2, delay=0.0).pairs.tolist()
    [0, 1, 1, 0]
    """
    _check(lag_min, lag_max, per_decade, method, sign)
    head, parts = open_recording(photons)
    pair = choose_pair(head, detectors)
    opening = make_gate(head, pair, gate)
    known, parts = _known_delay(head, parts, pair, delay)
    first, period = head.first, head.ticks_per_pulse
    unit = first.timestamps_unit if period is None or first.tcspc_unit is None else first.tcspc_unit
    edges = Edges(
        first, pair, period or 1.0, lag_max / unit + abs(known[0]) / unit + 2 * (period or 1.0),
        None if stretches is None else Stretches.of(stretches, first),
    )  # fmt: skip
    finest = _fineness(unit, lag_max + abs(known[0]), edges.stretches.begin.size)
    lags = Lags.make(lag_min / unit, lag_max / unit, per_decade, 0 if period is None else finest)
    shift = lags.fixed(known[0] / unit)
    reach = math.ceil((lag_max + abs(known[0])) / first.timestamps_unit) + 2
    squeeze = Squeeze(edges.stretches, reach + 1)
    rate = min(head.counts.get(d, 0) for d in pair) / head.seconds * unit if head.seconds > 0 else 0.0
    kind: type[Exact] | type[Coarse] = Exact if method == "exact" else Coarse
    counters = [kind(lags, side, shift, rate=rate, with_zero=sign == "both") for side in SIDES[sign]]
    alone = len(head.counts) == 2
    beside = ThreadPoolExecutor(1)  # the photons near the ends are not needed before all are counted
    latest: int | None = None
    for given in parts:
        latest = check_follows(given, latest)
        piece = given
        if opening is not None:
            piece = opening.apply(piece, pair)
        elif not alone:
            piece = piece.select(detectors=pair)
        added = beside.submit(edges.add, piece)
        piece = squeeze.apply(piece) if edges.gated else piece
        for a, b, until in _times(piece, pair, period, edges.origin, lags.bits):
            edges.totals += [a.size, b.size]
            for counter in counters:
                counter.feed(a, b, until)
        added.result()
    edges.check_photons(head, gate)
    share = dict(zip(pair, opening.open_fraction if opening else (1.0, 1.0), strict=True))
    found = _result(counters, edges, known, unit, lags, detectors=pair, open_fraction=share)
    found = replace(
        found, method=method, window=float(lag_max), stretches=None if stretches is None else check_stretches(stretches)
    )
    scatter = np.concatenate([_in_order(_scatter(c.counted, edges.duration), c.side) for c in counters])
    return _widened(normalised_g2(found, background, background_err), scatter)


def _result(
    counters: list[Exact | Coarse],
    edges: Edges,
    known: tuple[float, float, str, bool],
    unit: float,
    lags: Lags,
    *,
    detectors: tuple[int, int],
    open_fraction: dict[int, float],
) -> G2:
    """Return pairs and what is expected of independent light at the lags of all counters, not yet divided."""
    parts = [_bins(counter, edges, counter.finish()) for counter in counters]
    bins = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seconds, nothing = edges.duration, np.zeros(0)
    return G2(
        lag=bins["lag"] * unit, lag_edges=np.append(bins["low"], bins["high"][-1]) * unit,
        pairs=bins["pairs"].astype(np.int64), expected=bins["every"], pairs_background=nothing, g2=nothing,
        g2_err=nothing, g2_ci=nothing, delay=counters[0].shift / (1 << lags.bits) * unit, delay_err=known[1],
        delay_note=known[2], detectors=detectors, window=math.nan, bin_width=math.nan, duration=seconds,
        pulsed=known[3],
        rates={d: float(n) / seconds if seconds > 0 else math.nan
               for d, n in zip(detectors, edges.totals, strict=True)},
        background={}, background_err={}, open_fraction=open_fraction, _every=bins["every"],
        _rates_at=np.stack([bins["rate_a"], bins["rate_b"]], axis=1) / unit, _steady=bins["steady"],
    )  # fmt: skip


def _in_order(values: Floats, side: int) -> Floats:
    return values if side > 0 else values[::-1]


def _check(lag_min: float, lag_max: float, per_decade: int, method: str, sign: str) -> None:
    if not (math.isfinite(lag_min) and math.isfinite(lag_max) and 0 < lag_min < lag_max):
        raise ValueError(f"lag_min={lag_min} s and lag_max={lag_max} s: lags need 0 < lag_min < lag_max, in seconds")
    if isinstance(per_decade, bool) or per_decade not in range(1, 101):
        raise ValueError(f"per_decade={per_decade!r}: give a whole number of bins in a decade, 1 to 100")
    if method not in {"exact", "multitau"}:
        raise ValueError(f'method={method!r}: give "exact" or "multitau"')
    if sign not in {"positive", "negative", "both"}:
        raise ValueError(f'sign={sign!r}: give "positive" (b after a), "negative" or "both"')


def _fineness(unit: float, reach: float, n_stretches: int) -> int:
    """Return the bits below a tick that leave room for the times of a recording, with a gap of `reach` s a stretch."""
    bits = math.floor(math.log2(LIMIT * unit / (LONGEST + reach * n_stretches)))
    if bits < 0:
        raise ValueError(
            f"lag_max and delay of {reach:.6g} s over {n_stretches} stretch(es) are more than the "
            f"{LIMIT * unit - LONGEST:.3g} s in all that can be counted in ticks of {unit:.3g} s; lags beyond the "
            "duration of a stretch hold no pairs"
        )
    return min(bits, FINENESS)


def _known_delay(
    head: Head, parts: Iterator[PhotonStream], pair: tuple[int, int], delay: float | Literal["auto"]
) -> tuple[tuple[float, float, str, bool], Iterator[PhotonStream]]:
    """Return delay, its error, how it was found and whether the light is pulsed, and all the pieces."""
    period, unit = head.ticks_per_pulse, head.first.tcspc_unit
    offset = None if period is None else decay_offset(head.decay(pair[0]), head.decay(pair[1]), period)
    if not isinstance(delay, str):
        check_delay(delay)
        return (float(delay), math.nan, "as given", offset is not None), parts
    if delay != "auto":
        raise ValueError(f'delay={delay!r}: give seconds (positive: b later than a) or "auto"')
    taken: list[PhotonStream] = []
    while sum(len(piece) for piece in taken) < HEAD_PHOTONS and (piece := next(parts, None)) is not None:
        taken.append(piece)
    parts = chain(taken, parts)
    start = _joined(taken)
    tick = start.timestamps_unit if period is None or unit is None else unit
    width = max(tick, 1e-9 if period is None else period * tick / 50.0)
    window = max(LONGEST_CABLE if period is None else 6.5 * period * tick, 4 * width)
    found = g2(start, window=window, bin_width=width, detectors=pair)
    return (found.delay, found.delay_err, found.delay_note, offset is not None), parts


def _joined(taken: list[PhotonStream]) -> PhotonStream:
    """Return the first photons of some pieces as one stream, as many for every way of cutting."""
    first = taken[0]
    n = HEAD_PHOTONS
    times = np.concatenate([p.timestamps for p in taken])[:n]
    nanotimes = None
    if first.nanotimes is not None:
        nanotimes = np.concatenate([p.nanotimes for p in taken if p.nanotimes is not None])[:n]
    seconds = math.fsum(p.duration for p in taken)
    if times.size == n:
        seconds = min(seconds, max(float(times[-1] + 1) * first.timestamps_unit - first.start, 0.0))
    return PhotonStream(
        times, np.concatenate([p.detectors for p in taken])[:n], nanotimes, timestamps_unit=first.timestamps_unit,
        tcspc_unit=first.tcspc_unit, laser_period=first.laser_period, duration=seconds, start=first.start,
        pulse_clock=first.pulse_clock,
    )  # fmt: skip


def _times(
    piece: PhotonStream, pair: tuple[int, int], period: float | None, origin: int, bits: int
) -> Iterator[tuple[Ints, Ints, int]]:
    """Yield times of a and b in the finer unit, in order, and the time before which no later photon comes."""
    scale = 1 if period is None else round(period * (1 << bits))
    nanotimes = np.zeros(0, np.uint16) if period is None or piece.nanotimes is None else piece.nanotimes
    for first in range(0, len(piece), SLICE):
        last = min(first + SLICE, len(piece))
        on_a, on_b = (np.empty(last - first + 1, np.int64) for _ in pair)
        n_a, n_b = split_times(
            piece.timestamps, nanotimes, piece.detectors, *pair, first, last, origin, scale, bits, on_a, on_b
        )
        until = int(piece.timestamps[last - 1] - origin) * scale
        if until >= LIMIT:
            raise ValueError(f"the recording lasts longer than the {LONGEST:.3g} s that g2_log can count in its ticks")
        yield on_a[:n_a], on_b[:n_b], until


def _bins(counter: Exact | Coarse, edges: Edges, counted: Counted) -> dict[str, Floats]:
    """Return pairs and what is expected of independent light for each bin, in the order of the lag."""
    fine = 1 << counter.bits
    half = 0.5 if counter.bits == 0 else 0.0
    low = counter.edges / fine - half
    n_exact = counter.edges.size - 1 if isinstance(counter, Exact) else counter.n_exact_bins
    every, rates, steady = expected_pairs(edges, *_mirrored(low[: n_exact + 1], counter.side, counter.shift / fine))
    if counter.side < 0:
        every, rates, steady = every[::-1], rates[::-1], steady[::-1]
    lag = (low[1 : n_exact + 1] + low[:n_exact]) / 2
    if isinstance(counter, Coarse) and counter.lag:
        pairs, on, flat = _of_coarse(edges, counter, fine)
        every, rates, steady = np.append(every, pairs), np.concatenate([rates, on]), np.append(steady, flat)
        lag = np.append(lag, [float(np.mean(at)) / fine for at in counter.lag])
    found = {
        "lag": lag * counter.side, "low": low[:-1], "high": low[1:], "pairs": counted.pairs.sum(axis=0),
        "every": every, "steady": steady, "rate_a": rates[:, 0], "rate_b": rates[:, 1],
    }  # fmt: skip
    if counter.side > 0:
        return found
    found |= {"low": -found["high"], "high": -found["low"]}
    return {name: _in_order(values, counter.side) for name, values in found.items()}


def _mirrored(low: Floats, side: int, shift: float) -> tuple[Floats, Floats]:
    """Return rising edges of the lag with the delay, and widths."""
    edges = low if side > 0 else -low[::-1]
    return edges + shift, np.diff(edges)


def _of_coarse(edges: Edges, counter: Coarse, fine: int) -> tuple[Floats, Floats, Floats]:
    """Return pairs, rates and steady pairs of independent light for the bins of lags between bins of time."""
    lag, width = np.concatenate(counter.lag) / fine, np.concatenate(counter.widths) / fine
    begins = np.cumsum([0, *(at.size for at in counter.lag[:-1])])
    pairs, on_a, on_b, time = edges.sums(counter.side * lag + counter.shift / fine)
    safe = np.maximum(time, 1e-300)
    steady = pairs if edges.stretches.begin.size == 1 else np.where(time > 0, on_a * on_b / safe, 0.0)
    sizes = np.diff([*begins, lag.size])
    rates = np.stack([np.add.reduceat(on / safe, begins) / sizes for on in (on_a, on_b)], axis=1)
    return np.add.reduceat(pairs * width, begins), rates, np.add.reduceat(steady * width, begins)


def _scatter(counted: Counted, seconds: float) -> Floats:
    """Return the relative variance of each bin that the scatter between blocks has above counting.

    Jackknife of pairs over the product of the rates, leaving out one block at a time.
    """
    n_bins = counted.pairs.shape[1]
    used = int(np.count_nonzero(counted.photons.sum(axis=1)))
    pairs = counted.pairs.sum(axis=0).astype(np.float64)
    if used < FEWEST_BLOCKS or seconds <= 0:
        return np.zeros(n_bins)
    blocks = counted.pairs[:used].astype(np.float64)
    photons = counted.photons[:used].astype(np.float64)
    share = 1.0 / used
    rest = (counted.photons.sum(axis=0) - photons).prod(axis=1) / (1.0 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (pairs - blocks) / np.maximum(rest, 1e-300)[:, None]
        variance = (used - 1) / used * np.sum((ratio - ratio.mean(axis=0)) ** 2, axis=0) / ratio.mean(axis=0) ** 2
        excess = variance - 1.0 / pairs
    return np.where(np.isfinite(excess) & (pairs >= FEWEST_PAIRS), np.maximum(excess, 0.0), 0.0)


def _widened(found: G2, scatter: Floats) -> G2:
    """Add the scatter of blinking to the errors of counting."""
    light = np.divide(found.pairs, found.expected, out=np.zeros_like(found.g2), where=found.expected > 0)
    added = light**2 * scatter
    with np.errstate(invalid="ignore"):  # where nothing is expected there is no value to widen
        down = np.hypot(found.g2 - found.g2_ci[:, 0], Z95 * np.sqrt(added))
        up = np.hypot(found.g2_ci[:, 1] - found.g2, Z95 * np.sqrt(added))
        interval = np.maximum(np.stack([found.g2 - down, found.g2 + up], axis=1), 0.0)
    return replace(found, g2_err=np.sqrt(found.g2_err**2 + added), g2_ci=interval)
