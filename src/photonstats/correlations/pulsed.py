"""Second-order correlation under pulsed excitation: pairs per peak, and g2(0) against near and far side peaks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from photonstats.background import Background
from photonstats.correlations.delay import (
    centre_peak,
    delay_of_pair,
    shared_delay,
)
from photonstats.correlations.envelope import Envelope, find_envelope
from photonstats.correlations.pairing import (
    Floats,
    Ints,
    check_background,
    choose_detectors,
    make_gate,
    named,
    open_recording,
    pair_background,
)
from photonstats.correlations.peak_counter import CABLE, PeakCounter, Start, added_blocks, decided_delay
from photonstats.correlations.peaks import Blocks, Peaks, Scatter
from photonstats.likelihood import covering_error
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches, check_stretches, within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PULSES = 10_000


@dataclass(frozen=True, eq=False, repr=False)
class PulsedG2(Result):
    """Pairs per laser peak and both normalisations of g2(0).

    Parameters
    ----------
    pulse_lag : ndarray of int64, shape (2K+1,)
        Lag of each peak in laser periods, after the delay is taken off; positive: b after a.
    pairs : ndarray of int64, shape (2K+1,)
        Counted pairs within half a period of each peak, background included.
    pairs_background : ndarray of float64, shape (2K+1,)
        Pairs in which at least one count is background.
    expected_far : ndarray of float64, shape (2K+1,)
        Pairs of independent light of the same mean rates, `N_a N_b / pulses` with the background taken off.
    g2_zero, g2_zero_err, g2_zero_ci : float, float, ndarray of shape (2,)
        Centre over the mean near side peak, or over `envelope` at lag zero; 95 % interval.
    g2_zero_far, g2_zero_far_err, g2_zero_far_ci : float, float, ndarray of shape (2,)
        Centre over `expected_far`.
    bunching, bunching_err, bunching_ci : float, float, ndarray of shape (2,)
        Near side peaks over `expected_far`: `<I^2>/<I>^2` of slow blinking.
    delay, delay_err : float
        How much later b is than a, s; the error is NaN for a given delay.
    delay_note : str
        How the delay was found and what is doubtful about it.
    detectors : tuple of int
        The pair (a, b), or all detectors whose pairs were summed.
    laser_period, duration : float
        In s; the duration is that inside `stretches` where they were given.
    rates, background, background_err : dict of int to float
        Measured rates (after the gate), and the subtracted background and its error (ungated), Hz.
    open_fraction : dict of int to float
        Part of the laser period that the gate leaves open on each detector.
    n_blocks : int
        Stretches of time from whose scatter the errors learn what blinking adds to counting.
    error_note : str
        What is doubtful about the errors: too few blinking periods to see their scatter; empty if nothing.
    stretches : ndarray of float64, shape (k, 2), or None
        Begin and end (s) of the parts of the recording that were correlated, each on its own; None: all of it.
    envelope : ndarray of float64, shape (2K+1,), or None
        Where the side peaks fall off with the lag: the pairs that blinking within K periods lets each peak have, the
        centre of independent emitters too. None where they are equal up to chance, and their mean is used.
    envelope_p : float
        Probability that equal side peaks seem to fall off as much.
    parts : tuple of PulsedG2
        The result of each pair of detectors where there are more than two; this one holds their sums.
    """

    pulse_lag: Ints
    pairs: Ints
    pairs_background: Floats
    expected_far: Floats
    g2_zero: float
    g2_zero_err: float
    g2_zero_ci: Floats
    g2_zero_far: float
    g2_zero_far_err: float
    g2_zero_far_ci: Floats
    bunching: float
    bunching_err: float
    bunching_ci: Floats
    delay: float
    delay_err: float
    delay_note: str
    detectors: tuple[int, ...]
    laser_period: float
    duration: float
    rates: dict[int, float]
    background: dict[int, float]
    background_err: dict[int, float]
    open_fraction: dict[int, float]
    n_blocks: int
    error_note: str
    _rivals: Ints = field(repr=False)
    _every: Floats = field(repr=False)
    _partners: Floats = field(repr=False)
    _overlap: Floats = field(repr=False)
    _blocks: Blocks = field(repr=False)
    stretches: Floats | None = field(default=None, repr=False)
    envelope: Floats | None = None
    envelope_p: float = math.nan
    parts: tuple[PulsedG2, ...] = field(default=(), repr=False)

    def corrected(
        self,
        background: Background | float | Mapping[int, float],
        background_err: float | Mapping[int, float] | None = None,
    ) -> PulsedG2:
        """Return the same pairs with another background taken off, without correlating again.

        Parameters
        ----------
        background : Background, float or mapping of int to float
            Rate of counts unrelated to the light on each detector without a gate, Hz.
        background_err : float or mapping of int to float, optional
            Its standard error, Hz.
        """
        if self.parts:
            return _summed([part.corrected(background, background_err) for part in self.parts], self.detectors)
        values = {name: getattr(self, name) for name in _RAW}
        return _normalised(background=background, background_err=background_err, **values)

    def summary(self) -> str:
        """Return a text of a few lines with both values of g2(0), the bunching and the delay."""
        centre = self.pairs.size // 2
        side = np.delete(self.pairs, centre)
        low, high = self.g2_zero_ci
        note = f"\n  {self.error_note}" if self.error_note else ""
        fall = "" if self.envelope is None else f" at lag 0, to which they rise (p = {self.envelope_p:.1g})"
        delay = "delays differ" if math.isnan(self.delay) else f"delay {self.delay * 1e9:.4g} ns"
        return (
            f"Pulsed g2 of detectors {named(self.detectors)}{within(self.stretches, self.duration)}: "
            f"{self.pairs[centre]} pairs in the centre, "
            f"{side.mean() if side.size else math.nan:.6g} in a side peak ({side.size} peaks)\n"
            f"  g2(0) = {self.g2_zero:.4g} ± {self.g2_zero_err:.2g} near peaks{fall} (95 %: {low:.3g} to {high:.3g})\n"
            f"  g2(0) = {self.g2_zero_far:.4g} ± {self.g2_zero_far_err:.2g} far peaks (rates)\n"
            f"  bunching {self.bunching:.4g} ± {self.bunching_err:.2g}\n"
            f"  {delay}: {self.delay_note}{note}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the pairs per peak with their intervals into `ax` and return it."""
        from photonstats import plots

        return plots.plot_pulsed_g2(self, ax)


_RAW = (
    "pulse_lag", "pairs", "delay", "delay_err", "delay_note", "detectors", "laser_period", "duration", "open_fraction",
    "_rivals", "_every", "_partners", "_overlap", "_blocks", "stretches",
)  # fmt: skip


def g2_pulsed(
    photons: PhotonStream | Iterable[PhotonStream],
    n_pulses: int = 10,
    *,
    detectors: Sequence[int] | None = None,
    delay: float | Mapping[int, float] | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    stretches: ArrayLike | None = None,
) -> PulsedG2:
    """Correlate two detectors peak by peak under pulsed excitation.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`; one pass, and where the pieces are cut does not matter.
    n_pulses : int
        Side peaks on each side, K >= 1.
    detectors : (int, int) or more, optional
        The pair (a, b); by default the two live detectors (at least 2 % of the photons of the brightest). More than
        two: the sum over all their pairs (a before b in the given order), each with its own delay, gate and
        background.
    delay : float, mapping of int to float, or "auto"
        How much later b is than a, s; or how much later each detector is than the first.
        "auto": from the two decays modulo the period, and which period from the peak
        that differs from its neighbours.
    gate : float or (float, float), optional
        Seconds after each detector's own pulse, or a window (from, to) of nanotimes in s.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off. None: as measured.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    stretches : array_like of float, shape (k, 2), optional
        Begin and end (s, on the axis of the timestamps) of the parts of the recording to correlate, rising, not
        overlapping; such as the bright ones, `IntensityTrace.stretches`. Borders are moved to whole laser pulses.

    Returns
    -------
    PulsedG2

    Raises
    ------
    ValueError
        If there are no nanotimes or laser pulses, not two live detectors, a background as large as the signal, gate or
        stretches that leave no photons, or an argument out of range.

    Notes
    -----
    A pair belongs to peak k when its lag less the delay lies in [(k - 1/2) T_p, (k + 1/2) T_p); the nanotimes are
    compared as integers. With n_k pairs, `g2_zero = n_0 / mean(n_k)` over ``1 <= |k| <= K``, with variance
    `g2^2 (1/n_0 + 1/sum n_k)` where n_0 + 1/2 stands for n_0 (posterior Gamma(n_0 + 1/2)). Its 95 % interval is that of
    a ratio of two Poisson means (F distribution, exact; at least 95 % at few counts, an upper limit at none); the error
    is not less than half of it over 1.96. Where the data do not show which peak is the centre, both hold the value of
    each peak that a cable of up to 150 ns could make it.

    Blinking within K periods makes the side peaks fall off with the lag, and their mean would make the near value too
    large. Where they do (one-sided test at 5 %, K >= 4, 100 pairs or more), their envelope `A + B exp(-|k| / c)` is
    extrapolated to the centre, averaged over c, and its error is added. On weak data a fall that the test misses leaves
    part of the bias. Blinking faster than about a period, and what differs from one exponential at the first
    peaks, cannot be seen.

    `expected_far = N_a N_b / pulses`, with the photons that have their partner pulse inside the window. Blinking makes
    the far values and the bunching scatter more than counting does, and the near value as well where several dots blink
    on their own: how often they happened to be on together. A block bootstrap over up to 64 stretches of the recording
    adds what exceeds counting. All intervals are for the mean over the dot's blinking, not for the stretch that
    happened to be recorded; for one dot the near value is the same for both. Where the recording holds fewer than
    about ten blinking periods, and for power laws with blinking slower than it, the errors are lower bounds
    (`error_note`).

    With `stretches`, pairs within one stretch count only, `expected_far` is the sum over them of `N_a N_b / pulses`,
    and blocks of the bootstrap are of time inside them: what differs between stretches is then no bunching, and far
    and near values differ only by blinking within stretches.

    The background takes off `T_p (T - |lag|) (r_a b_b + r_b b_a - b_a b_b)` pairs in each peak, for blinking light too.
    A value below zero is then possible and unbiased.

    Peaks overlap where the lifetime t is comparable to the period: a share of about `exp(-T_p / 2 t)` of the pairs of a
    peak lies outside of its window, so a lone emitter shows pairs in the centre (1 % at T_p = 9 t). Use a fit of `g2`
    or a gate there.

    Delay, head of the recording: detectors, gate and decay offset are decided on the first 2^19 photons, so that
    generators need one pass.

    References
    ----------
    Nair, Zhao, Bawendi, Nano Lett. 11, 1136 (2011). Brouri et al., Opt. Lett. 25, 1294 (2000). Clopper, Pearson,
    Biometrika 26, 404 (1934). Kunsch, Ann. Stat. 17, 1217 (1989).

    Examples
    --------
    >>> units = dict(timestamps_unit=1e-7, tcspc_unit=1e-9, duration=1e-3)
    >>> photons = PhotonStream([1, 2, 5, 6], [0, 1, 1, 0], [3, 4, 3, 5], **units)
    >>> g2_pulsed(photons, n_pulses=2, delay=0.0).pairs.tolist()
    [0, 1, 0, 1, 0]
    """
    if isinstance(n_pulses, bool) or n_pulses not in range(1, MOST_PULSES + 1):
        raise ValueError(f"n_pulses={n_pulses!r}: give a whole number of side peaks on each side, 1 to {MOST_PULSES}")
    n_pulses = int(n_pulses)
    head, parts = open_recording(photons)
    period, unit = head.ticks_per_pulse, head.first.tcspc_unit
    if period is None or unit is None:
        raise ValueError(_why_not_pulsed(head.first))
    group = choose_detectors(head, detectors)
    ticks = None if stretches is None else Stretches.of(stretches, head.first)
    used = None if stretches is None else check_stretches(stretches)
    jobs = []
    for pair in combinations(group, 2):
        opening = make_gate(head, pair, gate)
        share = dict(zip(pair, opening.open_fraction if opening else (1.0, 1.0), strict=True))
        start = Start.of(head, pair, period, delay_of_pair(delay, group, pair), n_pulses)
        counter = PeakCounter(
            head, pair, period, start.lag - start.base * period, start.base, start.n_side,
            gate=opening, stretches=ticks, alone=len(group) == 2,
        )  # fmt: skip
        jobs.append((counter, start, share))
    for piece in parts:
        for counter, *_ in jobs:
            counter.feed(piece)
    results = []
    for counter, start, share in jobs:
        counter.edges.check_photons(head, gate)
        raw = _counted(counter, start, period, unit, n_pulses)
        results.append(
            _normalised(
                **raw, open_fraction=share, stretches=used, background=background, background_err=background_err
            )
        )
    return results[0] if len(results) == 1 else _summed(results, group)


def _counted(counter: PeakCounter, start: Start, period: float, unit: float, n_pulses: int) -> dict[str, Any]:
    """Decide which peak is the centre; return the fields of the result that do not depend on the background."""
    lag, base, note = start.lag, start.base, start.note
    centre, rivals = base, np.zeros(0, np.int64)
    if start.search:
        found, p_value, others = centre_peak(counter.pairs, counter.lowest, start.search)
        centre, note = decided_delay(found, p_value, start.search, note, period * unit)
        possible = [k for k in {found, *others} - {centre} if abs(lag + (k - base) * period) * unit <= CABLE]
        rivals = counter.pairs[np.array(possible, np.int64) - counter.lowest]
        note += "; the intervals hold the value of each other peak that may be the centre" if rivals.size else ""
    shift = lag + (centre - base) * period
    at = np.arange(-n_pulses, n_pulses + 1)
    kept = slice(centre - n_pulses - counter.lowest, centre + n_pulses + 1 - counter.lowest)
    sums = counter.edges.sums(np.asarray(at * period + shift, dtype=np.float64))
    return {
        "pulse_lag": at.astype(np.int64),
        "pairs": counter.pairs[kept].copy(),
        "delay": shift * unit,
        "delay_err": start.error * unit,
        "delay_note": note,
        "detectors": counter.pair,
        "laser_period": period * unit,
        "duration": counter.edges.duration,
        "_rivals": rivals,
        "_every": sums[0] * period,
        "_partners": np.ascontiguousarray(sums[1:3].T),
        "_overlap": sums[3] * unit,
        "_blocks": counter.blocks(kept, n_pulses, period * unit),
    }


def peak_overlap(lifetimes: tuple[Floats, Floats], fractions: tuple[Floats, Floats], period: float) -> float:
    """Return the near g2(0) of a lone emitter that comes from late photons of neighbouring pulses alone.

    Parameters
    ----------
    lifetimes, fractions : pair of ndarray of float
        Lifetimes (s) of the light on a and b, and their shares in the photons.
    period : float
        Laser period, s.

    Notes
    -----
    Two photons of independent pulses differ by more than half a period beyond their pulses with probability
    sum_ij f_i f_j (t_i exp(-T/2t_i) + t_j exp(-T/2t_j)) / (t_i + t_j).

    Examples
    --------
    >>> tau, all_of_it = np.array([20e-9]), np.array([1.0])
    >>> round(peak_overlap((tau, tau), (all_of_it, all_of_it), 200e-9), 4)
    0.0067
    """
    a, b = lifetimes[0][:, None], lifetimes[1][None, :]
    late = (a * np.exp(-period / (2.0 * a)) + b * np.exp(-period / (2.0 * b))) / (a + b)
    return float(fractions[0] @ late @ fractions[1])


def _why_not_pulsed(first: PhotonStream) -> str:
    if first.syncs.size:
        return "g2_pulsed needs nanotimes: this T2 recording has its laser pulses as syncs; use fold first"
    if first.nanotimes is None:
        return "g2_pulsed needs laser pulses and nanotimes, and this stream has none (T2): use g2 for continuous light"
    return "g2_pulsed needs timestamps that count laser pulses (pulse_clock); in this stream they do not: use g2"


def _normalised(
    *,
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
    **raw: Any,
) -> PulsedG2:
    """Turn pairs and photons of one pair of detectors into both normalisations."""
    pair, blocks, every = raw["detectors"], raw["_blocks"], raw["_every"]
    share = np.array([raw["open_fraction"][d] for d in pair])
    dark, dark_err = pair_background(background, background_err, pair)
    seconds = raw["duration"]
    total = blocks.photons.sum(axis=0) / seconds if seconds > 0 else np.full(2, math.nan)
    kept = dark * share
    check_background(kept, total, pair)
    # r_a b_b + r_b b_a - b_a b_b for each stretch, summed
    spoiled = raw["laser_period"] * (raw["_partners"] @ kept[::-1] - kept.prod() * raw["_overlap"])
    spoiled = np.maximum(spoiled, 0.0)
    return _estimated(
        Peaks(raw["pairs"], spoiled, every - spoiled),
        (float(kept[0]), float(kept[1])),
        rates=_by_detector(pair, total), background=_by_detector(pair, dark),
        background_err=_by_detector(pair, dark_err), **raw,
    )  # fmt: skip


def _slopes(part: PulsedG2) -> dict[int, float]:
    """Return for each detector by how much the background pairs of a peak change with its rate, times its error.

    d(background pairs)/d(rate on a) = T T_p (r_b - b_b), and the same crosswise.
    """
    a, b = part.detectors
    light = {d: part.rates[d] - part.background[d] * part.open_fraction[d] for d in (a, b)}
    area = part.laser_period * part.duration
    return {d: area * light[other] * part.open_fraction[d] * part.background_err[d] for d, other in ((a, b), (b, a))}


def _estimated(peaks: Peaks, dark: tuple[float, float], noise: float | None = None, **raw: Any) -> PulsedG2:
    """Give ratios, errors and intervals; `dark` are the rates of uncorrelated counts that go into the blocks."""
    blocks, rivals = raw["_blocks"], raw["_rivals"]
    nothing: dict[str, Any] = dict.fromkeys(
        ("g2_zero", "g2_zero_err", "g2_zero_far", "g2_zero_far_err", "bunching", "bunching_err"), math.nan
    )
    empty: dict[str, Any] = dict.fromkeys(("g2_zero_ci", "g2_zero_far_ci", "bunching_ci"), np.zeros(2))
    bare = PulsedG2(
        pairs_background=peaks.dark, expected_far=peaks.light, n_blocks=int(np.sum(blocks.seconds > 0)),
        error_note="", **nothing, **empty, **raw,
    )  # fmt: skip
    if noise is None:
        noise = sum(slope**2 for slope in _slopes(bare).values()) if any(bare.background_err.values()) else 0.0
    scatter = blocks.scatter(dark)
    fall = find_envelope(peaks.pairs, peaks.dark)
    near, near_err, near_ci = _near(peaks, noise, scatter, fall)
    far, far_err, far_ci = peaks.far(noise, scatter)
    for n0 in {int(rivals.min()), int(rivals.max())} if rivals.size else set():
        rival = peaks.with_centre(n0)
        near_ci = _union(near_ci, _near(rival, noise, scatter, fall)[2])
        far_ci = _union(far_ci, rival.far(noise, scatter)[2])
        near_err, far_err = covering_error(near_err, near_ci), covering_error(far_err, far_ci)
    bunching, bunching_err, bunching_ci = peaks.bunching(noise, scatter)
    if fall is not None:
        bare = replace(bare, envelope=np.concatenate([fall.curve[:0:-1], fall.curve]), envelope_p=fall.p_value)
    return replace(
        bare, error_note=scatter.note,
        g2_zero=near, g2_zero_err=near_err, g2_zero_ci=near_ci,
        g2_zero_far=far, g2_zero_far_err=far_err, g2_zero_far_ci=far_ci,
        bunching=bunching, bunching_err=bunching_err, bunching_ci=bunching_ci,
    )  # fmt: skip


def _near(peaks: Peaks, noise: float, scatter: Scatter, fall: Envelope | None) -> tuple[float, float, Floats]:
    """Return centre over side peaks, its error and interval; the height of the envelope adds its own error."""
    if fall is None:
        return peaks.near(noise, scatter)
    of_height = (fall.ratio_err / fall.ratio) ** 2
    both = scatter.near + of_height
    # degrees of freedom of the sum of both, of which the height is known as well as counts are
    dof = scatter.dof * (both / scatter.near) ** 2 if scatter.near > 0 else math.inf
    more = replace(scatter, near=both, dof=dof)
    value, error, interval = peaks.near(noise, more)
    return value / fall.ratio, error / fall.ratio, interval / fall.ratio


def _summed(parts: Sequence[PulsedG2], detectors: tuple[int, ...]) -> PulsedG2:
    """Add the pairs of several pairs of detectors, peak by peak, and take the ratios of the sums."""
    delay, error, note = shared_delay([(p.detectors, p.delay, p.delay_err, p.delay_note) for p in parts])
    slopes: dict[int, float] = {}
    for part in parts:
        for d, slope in _slopes(part).items():
            slopes[d] = slopes.get(d, 0.0) + slope
    merged: dict[str, Any] = {
        name: {d: v for part in parts for d, v in getattr(part, name).items()}
        for name in ("rates", "background", "background_err", "open_fraction")
    }
    added: dict[str, Any] = {
        name: np.sum([getattr(p, name) for p in parts], axis=0)
        for name in ("pairs", "pairs_background", "expected_far", "_every", "_partners", "_overlap")
    }
    centre = added["pairs"].size // 2
    rivals = np.zeros(0, np.int64)
    if any(p._rivals.size for p in parts):
        possible = [np.append(p._rivals, p.pairs[centre]) for p in parts]
        rivals = np.array([sum(x.min() for x in possible), sum(x.max() for x in possible)])
    blocks, dark = added_blocks([p._blocks for p in parts], [p.detectors for p in parts], merged)
    first = parts[0]
    return _estimated(
        Peaks(added["pairs"], added.pop("pairs_background"), added.pop("expected_far")),
        (dark, dark),
        sum(slope**2 for slope in slopes.values()),
        pulse_lag=first.pulse_lag, delay=delay, delay_err=error, delay_note=note, detectors=detectors,
        laser_period=first.laser_period, duration=first.duration, stretches=first.stretches, parts=tuple(parts),
        _rivals=rivals, _blocks=blocks, **added, **merged,
    )  # fmt: skip


def _union(one: Floats, other: Floats) -> Floats:
    return np.array([min(one[0], other[0]), max(one[1], other[1])])


def _by_detector(detectors: tuple[int, ...], values: Floats) -> dict[int, float]:
    return {d: float(v) for d, v in zip(detectors, values, strict=True)}
