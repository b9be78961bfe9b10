"""Second-order correlation under pulsed excitation: pairs per peak, and g2(0) against near and far side peaks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from photonstats.background import Background
from photonstats.delay import FAMILY_LEVEL, NEIGHBOURS, centre_peak, check_delay, decay_offset
from photonstats.kernels.pairs import pulsed_pairs
from photonstats.likelihood import covering_error
from photonstats.pairing import (
    Edges,
    Floats,
    Gate,
    Head,
    Ints,
    Segment,
    check_background,
    choose_pair,
    in_threads,
    make_gate,
    open_recording,
    pair_background,
    segments,
)
from photonstats.peaks import Blocks, Peaks
from photonstats.result import Result
from photonstats.stream import PhotonStream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_BLOCKS = 64
MOST_PULSES = 10_000
CABLE = 150e-9


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
        Centre over the mean near side peak; 95 % interval.
    g2_zero_far, g2_zero_far_err, g2_zero_far_ci : float, float, ndarray of shape (2,)
        Centre over `expected_far`.
    bunching, bunching_err, bunching_ci : float, float, ndarray of shape (2,)
        Near side peaks over `expected_far`: `<I^2>/<I>^2` of slow blinking.
    delay, delay_err : float
        How much later b is than a, s; the error is NaN for a given delay.
    delay_note : str
        How the delay was found and what is doubtful about it.
    detectors : (int, int)
        The pair (a, b).
    laser_period, duration : float
        In s.
    rates, background, background_err : dict of int to float
        Measured rates (after the gate), and the subtracted background and its error (ungated), Hz.
    open_fraction : dict of int to float
        Part of the laser period that the gate leaves open on each detector.
    n_blocks : int
        Stretches of time from whose scatter the errors learn what blinking adds to counting.
    error_note : str
        What is doubtful about the errors: too few blinking periods to see their scatter; empty if nothing.
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
    detectors: tuple[int, int]
    laser_period: float
    duration: float
    rates: dict[int, float]
    background: dict[int, float]
    background_err: dict[int, float]
    open_fraction: dict[int, float]
    n_blocks: int
    error_note: str
    _rivals: Ints = field(repr=False)
    _partners: Floats = field(repr=False)
    _blocks: Blocks = field(repr=False)

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
        values = {name: getattr(self, name) for name in _RAW}
        return _normalised(background=background, background_err=background_err, **values)

    def summary(self) -> str:
        """Return a text of a few lines with both values of g2(0), the bunching and the delay."""
        a, b = self.detectors
        centre = self.pairs.size // 2
        side = np.delete(self.pairs, centre)
        low, high = self.g2_zero_ci
        note = f"\n  {self.error_note}" if self.error_note else ""
        return (
            f"Pulsed g2 of detectors {a} and {b}: {self.pairs[centre]} pairs in the centre, "
            f"{side.mean() if side.size else math.nan:.6g} in a side peak ({side.size} peaks)\n"
            f"  g2(0) = {self.g2_zero:.4g} ± {self.g2_zero_err:.2g} near peaks (95 %: {low:.3g} to {high:.3g})\n"
            f"  g2(0) = {self.g2_zero_far:.4g} ± {self.g2_zero_far_err:.2g} far peaks (rates)\n"
            f"  bunching {self.bunching:.4g} ± {self.bunching_err:.2g}\n"
            f"  delay {self.delay * 1e9:.4g} ns: {self.delay_note}{note}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the pairs per peak with their intervals into `ax` and return it."""
        from photonstats import plots

        return plots.plot_pulsed_g2(self, ax)


_RAW = (
    "pulse_lag", "pairs", "delay", "delay_err", "delay_note", "detectors", "laser_period", "duration", "open_fraction",
    "_rivals", "_partners", "_blocks",
)  # fmt: skip


def g2_pulsed(
    photons: PhotonStream | Iterable[PhotonStream],
    n_pulses: int = 10,
    *,
    detectors: tuple[int, int] | None = None,
    delay: float | Literal["auto"] = "auto",
    gate: float | tuple[float, float] | None = None,
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
) -> PulsedG2:
    """Correlate two detectors peak by peak under pulsed excitation.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`; one pass, and where the pieces are cut does not matter.
    n_pulses : int
        Side peaks on each side, K >= 1.
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors (at least 2 % of the photons of the brightest).
    delay : float or "auto"
        How much later b is than a, s. "auto": from the two decays modulo the period, and which period from the peak
        that differs from its neighbours.
    gate : float or (float, float), optional
        Seconds after each detector's own pulse, or a window (from, to) of nanotimes in s.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off. None: as measured.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.

    Returns
    -------
    PulsedG2

    Raises
    ------
    ValueError
        If there are no nanotimes or laser pulses, not two live detectors, a background as large as the signal, or an
        argument out of range.

    Notes
    -----
    A pair belongs to peak k when its lag less the delay lies in [(k - 1/2) T_p, (k + 1/2) T_p); the nanotimes are
    compared as integers. With n_k pairs, `g2_zero = n_0 / mean(n_k)` over 1 <= |k| <= K, with variance
    `g2^2 (1/n_0 + 1/sum n_k)` where n_0 + 1/2 stands for n_0 (posterior Gamma(n_0 + 1/2)). Its 95 % interval is that of
    a ratio of two Poisson means (F distribution, exact; at least 95 % at few counts, an upper limit at none); the error
    is not less than half of it over 1.96. Where the data do not show which peak is the centre, both hold the value of
    each peak that a cable of up to 150 ns could make it. Blinking faster than the K periods makes the side peaks
    unequal and the near value too large: take fewer.

    `expected_far = N_a N_b / pulses`, with the photons that have their partner pulse inside the window. Blinking makes
    the far values and the bunching scatter more than counting does, and the near value as well where several dots blink
    on their own: how often they happened to be on together. A block bootstrap over up to 64 stretches of the recording
    adds what exceeds counting. All intervals are for the mean over the dot's blinking, not for the stretch that
    happened to be recorded; for one dot the near value is the same for both. Where the recording holds fewer than
    about ten blinking periods, and for power laws with blinking slower than it, the errors are lower bounds
    (`error_note`).

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
    pair = choose_pair(head, detectors)
    opening = make_gate(head, pair, gate)
    lag, error, note = _first_delay(head, pair, period, delay)
    search = 0 if delay != "auto" else int(np.clip(math.ceil(CABLE / (period * unit)), 2, 12))
    base = math.floor(lag / period + 0.5)
    n_side = max(n_pulses, NEIGHBOURS) + search if search else n_pulses
    counter = _Counter(head, pair, period, lag - base * period, base, n_side)
    counter.run(parts, opening)
    centre, rivals = base, np.zeros(0, np.int64)
    if delay == "auto":
        found, p_value, others = centre_peak(counter.pairs, counter.lowest, search)
        centre, note = _decided(found, p_value, search, note, period * unit)
        possible = [k for k in {found, *others} - {centre} if abs(lag + (k - base) * period) * unit <= CABLE]
        rivals = counter.pairs[np.array(possible, np.int64) - counter.lowest]
        note += "; the intervals hold the value of each other peak that may be the centre" if rivals.size else ""
    shift = lag + (centre - base) * period
    at = np.arange(-n_pulses, n_pulses + 1)
    kept = slice(centre - n_pulses - counter.lowest, centre + n_pulses + 1 - counter.lowest)
    counter.edges.check_photons(head, gate)
    return _normalised(
        pulse_lag=at.astype(np.int64),
        pairs=counter.pairs[kept].copy(),
        delay=shift * unit,
        delay_err=error * unit,
        delay_note=note,
        detectors=pair,
        laser_period=period * unit,
        duration=counter.edges.duration,
        open_fraction=dict(zip(pair, opening.open_fraction if opening else (1.0, 1.0), strict=True)),
        _rivals=rivals,
        _partners=counter.edges.partners(np.asarray(at * period + shift, dtype=np.float64)),
        _blocks=counter.blocks(kept, n_pulses, period * unit),
        background=background,
        background_err=background_err,
    )


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


def _first_delay(
    head: Head, pair: tuple[int, int], period: float, delay: float | Literal["auto"]
) -> tuple[float, float, str]:
    """Return the delay in ticks as far as it is known before counting, its error, and a note."""
    unit = head.first.tcspc_unit
    assert unit is not None
    if isinstance(delay, str):
        if delay != "auto":
            raise ValueError(f'delay={delay!r}: give seconds (positive: b later than a) or "auto"')
        offset = decay_offset(head.decay(pair[0]), head.decay(pair[1]), period)
        if offset is None:
            return 0.0, math.nan, "the decays are flat or too few photons to compare them: offset taken as 0"
        return *offset, "offset modulo the period from the two decays"
    check_delay(delay)
    return float(delay) / unit, math.nan, "as given"


def _decided(found: int, p_value: float, search: int, note: str, period: float) -> tuple[int, str]:
    if p_value < FAMILY_LEVEL:
        return found, f"{note}; the peak {found} period(s) from it differs from its neighbours (p = {p_value:.1g})"
    return 0, (
        f"{note}; no peak within {search} periods ({search * period * 1e9:.3g} ns) differs from its neighbours "
        f"(p = {p_value:.2g}), so the smallest delay was taken"
    )


class _Counter:
    """Pairs per peak and per block of time of one recording."""

    def __init__(self, head: Head, pair: tuple[int, int], period: float, offset: float, base: int, n_side: int) -> None:
        self.pair, self.lowest = pair, base - n_side
        self._n = 2 * n_side + 1
        # dn >= steps[i] moves a pair up by one peak; nanotimes may exceed the period, hence more than one step a side
        most = max(
            math.ceil(period), int(head.nanotimes.max()) if head.nanotimes is not None and head.nanotimes.size else 0
        )
        turns = max(1, math.ceil((most - offset) / period), math.ceil((most + offset) / period))
        edges = [math.ceil(offset + (r - 0.5) * period - 1e-9) for r in range(-turns + 1, turns + 1)]
        self._steps = np.array(edges, np.int64)
        self._reach = abs(base) + n_side + turns
        self.edges = Edges(head.first, pair, period, (self._reach + 1) * period)
        self._length = 1
        self._rows = np.zeros((0, self._n + 1), np.int64)
        self._photons = np.zeros((0, 2), np.int64)

    @property
    def pairs(self) -> Ints:
        """Pairs per peak from `lowest` on."""
        total: Ints = self._rows[:, :-1].sum(axis=0)
        return total

    def run(self, parts: Iterable[PhotonStream], gate: Gate | None) -> None:
        """Count all pieces."""
        for segment in segments(parts, self.pair, gate, self.edges, self._reach):
            if segment.last == segment.first:
                continue
            self._grow(int(segment.times[segment.last - 1]) - self.edges.origin)
            cuts = self._cuts(segment)
            for block, pairs, photons in in_threads(partial(self._count, segment), cuts):
                self._rows[block] += pairs
                self._photons[block] += photons
            self.edges.totals[:] = self._photons.sum(axis=0)

    def _count(self, s: Segment, part: tuple[int, int]) -> tuple[int, Ints, Ints]:
        pairs, photons = np.zeros(self._n + 1, np.int64), np.zeros(2, np.int64)
        a, b = self.pair
        pulsed_pairs(
            s.times, s.nanotimes, s.detectors, a, b, *part, self._reach, self._steps, self.lowest, pairs, photons
        )
        return self._block(int(s.times[part[0]])), pairs, photons

    def _block(self, time: int) -> int:
        return max(time - self.edges.origin, 0) // self._length

    def _grow(self, latest: int) -> None:
        """Double the blocks until they reach the latest pulse: the same blocks for every way of cutting."""
        while max(latest, 0) // self._length >= MAX_BLOCKS:
            self._length *= 2
            if self._rows.size:
                self._rows, self._photons = (_by_twos(x) for x in (self._rows, self._photons))
        if not self._rows.size:
            self._rows = np.zeros((MAX_BLOCKS, self._n + 1), np.int64)
            self._photons = np.zeros((MAX_BLOCKS, 2), np.int64)

    def _cuts(self, s: Segment) -> list[tuple[int, int]]:
        first, last = self._block(int(s.times[s.first])), self._block(int(s.times[s.last - 1]))
        limits = self.edges.origin + np.arange(first + 1, last + 1, dtype=np.int64) * self._length
        inner = s.first + np.searchsorted(s.times[s.first : s.last], limits)
        bounds = [s.first, *inner.tolist(), s.last]
        return [(i, j) for i, j in pairwise(bounds) if j > i]

    def blocks(self, kept: slice, n_pulses: int, period: float) -> Blocks:
        """Return the sums that the jackknife needs, for the peaks of the final delay."""
        peaks = self._rows[:, :-1][:, kept]
        centres = peaks[:, n_pulses]
        sides = peaks.sum(axis=1) - centres
        length = self._length * period
        seconds = np.clip(self.edges.duration - np.arange(sides.size) * length, 0.0, length)
        return Blocks(centres, sides, self._photons, seconds, 2 * n_pulses * period, 2 * n_pulses)


def _by_twos(rows: Ints) -> Ints:
    half = rows[0::2] + rows[1::2]
    return np.concatenate([half, np.zeros_like(half)])


def _normalised(
    *,
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
    pulse_lag: Ints,
    pairs: Ints,
    delay: float,
    detectors: tuple[int, int],
    laser_period: float,
    duration: float,
    open_fraction: dict[int, float],
    _rivals: Ints,
    _partners: Floats,
    _blocks: Blocks,
    **found: Any,
) -> PulsedG2:
    """Turn pairs and photons into both normalisations."""
    share = np.array([open_fraction[d] for d in detectors])
    dark, dark_err = pair_background(background, background_err, detectors)
    overlap = np.maximum(duration - np.abs(pulse_lag * laser_period + delay), 0.0)
    total = _blocks.photons.sum(axis=0) / duration if duration > 0 else np.full(2, math.nan)
    check_background(dark * share, total, detectors)
    with np.errstate(divide="ignore", invalid="ignore"):
        every = _partners.prod(axis=1) * laser_period / overlap
        light = (_partners - np.outer(overlap, dark * share)).prod(axis=1) * laser_period / overlap
    every, light = np.nan_to_num(every, posinf=0.0), np.nan_to_num(light, posinf=0.0)
    peaks = Peaks(pairs, every - light, light)
    # d(background pairs)/d(rate on a) = T T_p (r_b - b_b) and the same crosswise
    slope = laser_period * duration * (total - dark * share)[::-1]
    noise = float(np.sum((slope * share * dark_err) ** 2)) if dark_err.any() else 0.0
    scatter = _blocks.scatter((float(dark[0] * share[0]), float(dark[1] * share[1])))
    near, near_err, near_ci = peaks.near(noise, scatter)
    far, far_err, far_ci = peaks.far(noise, scatter)
    for n0 in {int(_rivals.min()), int(_rivals.max())} if _rivals.size else set():
        rival = peaks.with_centre(n0)
        near_ci, far_ci = _union(near_ci, rival.near(noise, scatter)[2]), _union(far_ci, rival.far(noise, scatter)[2])
        near_err, far_err = covering_error(near_err, near_ci), covering_error(far_err, far_ci)
    bunching, bunching_err, bunching_ci = peaks.bunching(noise, scatter)
    return PulsedG2(
        pulse_lag=pulse_lag, pairs=pairs, pairs_background=every - light, expected_far=light,
        g2_zero=near, g2_zero_err=near_err, g2_zero_ci=near_ci,
        g2_zero_far=far, g2_zero_far_err=far_err, g2_zero_far_ci=far_ci,
        bunching=bunching, bunching_err=bunching_err, bunching_ci=bunching_ci, error_note=scatter.note,
        delay=delay, detectors=detectors, laser_period=laser_period, duration=duration, open_fraction=open_fraction,
        rates=_by_detector(detectors, total), background=_by_detector(detectors, dark),
        background_err=_by_detector(detectors, dark_err), n_blocks=int(np.sum(_blocks.seconds > 0)),
        _rivals=_rivals, _partners=_partners, _blocks=_blocks, **found,
    )  # fmt: skip


def _union(one: Floats, other: Floats) -> Floats:
    return np.array([min(one[0], other[0]), max(one[1], other[1])])


def _by_detector(detectors: tuple[int, int], values: Floats) -> dict[int, float]:
    return {d: float(v) for d, v in zip(detectors, values, strict=True)}
