"""g2(0) against a time gate: pairs of photons that both come late after their pulse, all gates in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.background import Background
from photonstats.correlations.delay import FAMILY_LEVEL, centre_peak, rise_of
from photonstats.correlations.gate_fit import GateFit, fit_gates
from photonstats.correlations.pairing import Head, Segment, choose_pair, open_recording, pair_background
from photonstats.correlations.peak_counter import CABLE, PeakCounter, Start, decided_delay
from photonstats.correlations.peaks import Blocks, Peaks
from photonstats.kernels.gated import gated_pairs
from photonstats.result import Result
from photonstats.stream import PhotonStream
from photonstats.traces.stretches import Stretches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_GATES = 1000


@dataclass(frozen=True, eq=False, repr=False)
class GateSeries(Result):
    """g2(0) of the photons later than each gate; n gates, K side peaks on either side.

    Parameters
    ----------
    gate : ndarray of float64, shape (n,)
        Time after the rise of each detector's own decay from which on photons count, s.
    pulse_lag : ndarray of int64, shape (2K+1,)
        Lag of each peak in laser pulses; positive: b after a.
    pairs : ndarray of int64, shape (n, 2K+1)
        Counted pairs of which both photons are later than the gate, background included.
    pairs_background, expected_far : ndarray of float64, shape (n, 2K+1)
        Pairs in which at least one count is background, and pairs of independent light of the same mean rates.
    g2_zero, g2_zero_err : ndarray of float64, shape (n,)
        Centre over the mean near side peak, background taken off; NaN where a gate leaves no side peaks.
    g2_zero_ci : ndarray of float64, shape (n, 2)
        95 % interval; an upper limit where there are no pairs.
    covariance : ndarray of float64, shape (n, n)
        Of `g2_zero`: the gates share photons.
    g2_zero_far, g2_zero_far_err, bunching, bunching_err : ndarray of float64, shape (n,)
        Centre, and mean near side peak, over independent light.
    signal_fraction : ndarray of float64, shape (n, 2)
        Share of the photons on a and b that is not background.
    detectors : (int, int)
        The pair (a, b).
    delay, delay_err : float
        How much later b is than a, s; the error is NaN for a given delay.
    delay_note : str
        How the delay was found and what is doubtful about it.
    laser_period, duration : float
        In s.
    rates, open_fraction : ndarray of float64, shape (n, 2)
        Rates on a and b after each gate, Hz, and the part of the laser period that it leaves open.
    background, background_err : dict of int to float
        The subtracted background and its error (ungated), Hz.
    """

    gate: Floats
    pulse_lag: Ints
    pairs: Ints
    pairs_background: Floats
    expected_far: Floats
    g2_zero: Floats
    g2_zero_err: Floats
    g2_zero_ci: Floats
    covariance: Floats
    g2_zero_far: Floats
    g2_zero_far_err: Floats
    bunching: Floats
    bunching_err: Floats
    signal_fraction: Floats
    detectors: tuple[int, int]
    delay: float
    delay_err: float
    delay_note: str
    laser_period: float
    duration: float
    rates: Floats
    open_fraction: Floats
    background: dict[int, float]
    background_err: dict[int, float]
    _every: Floats = field(repr=False)
    _partners: Floats = field(repr=False)
    _overlap: Floats = field(repr=False)
    _block_pairs: Ints = field(repr=False)
    _block_photons: Ints = field(repr=False)
    _block_seconds: Floats = field(repr=False)

    def corrected(
        self,
        background: Background | float | Mapping[int, float],
        background_err: float | Mapping[int, float] | None = None,
    ) -> GateSeries:
        """Return the same pairs with another background taken off, without counting again.

        Parameters
        ----------
        background : Background, float or mapping of int to float
            Rate of counts unrelated to the light on each detector without a gate, Hz.
        background_err : float or mapping of int to float, optional
            Its standard error, Hz.
        """
        values = {name: getattr(self, name) for name in _RAW}
        return _normalised(background, background_err, **values)

    def fit(self, exciton_lifetime: float | None = None) -> GateFit:
        """Fit `P + (1 - P) beta exp(-kappa t)` to the pairs of all gates by maximum Poisson likelihood.

        Parameters
        ----------
        exciton_lifetime : float, optional
            Lifetime 1/k_X of the exciton, s. By default from the photons of the later half of the gates.

        Returns
        -------
        GateFit

        Raises
        ------
        ValueError
            If there are fewer than four gates, or no pairs.

        Notes
        -----
        See `GateFit` for the meaning of the parameters and where they cannot be told apart.
        """
        return fit_gates(self, exciton_lifetime)

    def summary(self) -> str:
        """Return a text with a line for each gate."""
        a, b = self.detectors
        lines = [f"Gate series of detectors {a} and {b}: {self.gate.size} gates"]
        centre = self.pulse_lag.size // 2
        for i, gate in enumerate(self.gate):
            low, high = self.g2_zero_ci[i]
            lines.append(
                f"  {gate * 1e9:8.4g} ns  g2(0) = {self.g2_zero[i]:.4g} ± {self.g2_zero_err[i]:.2g} "
                f"(95 %: {low:.3g} to {high:.3g}), {self.pairs[i, centre]} pairs in the centre"
            )
        return "\n".join([*lines, f"  delay {self.delay * 1e9:.4g} ns: {self.delay_note}"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw g2(0) against the gate with the plateaus of equal emitters into `ax` and return it."""
        from photonstats import plots

        return plots.plot_gate_series(self, ax)


_RAW = (
    "gate", "pulse_lag", "pairs", "delay", "delay_err", "delay_note", "detectors", "laser_period", "duration",
    "open_fraction", "_every", "_partners", "_overlap", "_block_pairs", "_block_photons", "_block_seconds",
)  # fmt: skip


def gate_series(
    photons: PhotonStream | Iterable[PhotonStream],
    gates: ArrayLike,
    n_pulses: int = 10,
    *,
    detectors: tuple[int, int] | None = None,
    delay: float | Literal["auto"] = "auto",
    background: Background | float | Mapping[int, float] | None = None,
    background_err: float | Mapping[int, float] | None = None,
    stretches: ArrayLike | None = None,
) -> GateSeries:
    """Correlate two detectors peak by peak for several time gates in one pass.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        T3 photons, or the pieces of `scan`.
    gates : array_like of float, shape (n,)
        Seconds after the half height of the rise of each detector's own decay, rising, from 0 to below the laser
        period; 0 takes all photons, those of the rise too.
    n_pulses : int
        Side peaks on each side, K >= 1.
    detectors : (int, int), optional
        The pair (a, b); by default the two live detectors.
    delay : float or "auto"
        How much later b is than a, s; see `g2_pulsed`.
    background : Background, float or mapping of int to float, optional
        Rate of counts unrelated to the light, Hz, ungated; its pairs are taken off for each gate.
    background_err : float or mapping of int to float, optional
        Standard error of `background`, Hz.
    stretches : array_like of float, shape (k, 2), optional
        Begin and end (s) of the parts of the recording to correlate, each alone; see `g2_pulsed`.

    Returns
    -------
    GateSeries

    Raises
    ------
    ValueError
        If there are no nanotimes or laser pulses, not two live detectors, gates that do not rise or lie outside of the
        period, a background as large as the signal, or no photons after the first gate.

    Notes
    -----
    A pair passes a gate when both photons are late enough, so that one walk sorts pairs by the largest gate that both
    pass. A gate closes where the next pulse begins to rise, as in `g2_pulsed`. A pair belongs to the peak of the two
    pulses that its photons follow, not of their lag. A photon later than a period counts for a later pulse; without a
    gate a lone emitter of lifetime t then shows 2 w / (1 + w), w = exp(-T_p/t), where lag windows leave about
    exp(-T_p/2t).

    Counts between neighbouring gates are independent. The covariance of g2(0) at two gates is that of the counts of the
    later one, plus the common error of the background.

    A gate that leaves no pairs in the side peaks gives NaN with the interval (0, inf).

    References
    ----------
    Mangum et al., Opt. Express 21, 7419 (2013).

    Examples
    --------
    >>> from photonstats import simulate
    >>> photons, _ = simulate.pulsed(simulate.Emitter(), duration=2.0, rate=4e4, seed=1)
    >>> gate_series(photons, [0.0, 1e-9, 5e-9]).pairs[:, 10].tolist()
    [0, 0, 0]
    """
    if isinstance(n_pulses, bool) or n_pulses not in range(1, 1001):
        raise ValueError(f"n_pulses={n_pulses!r}: give a whole number of side peaks on each side, 1 to 1000")
    head, parts = open_recording(photons)
    period, unit = check_pulses(head, "gate_series")
    given = _check_gates(gates, period * unit)
    pair = choose_pair(head, detectors)
    rises = rises_of(head, pair, period)
    start = Start.of(head, pair, period, delay, int(n_pulses))
    between = rises[1][0] - rises[0][0]
    base = round((start.lag - between) / period)
    counter = _GateCounter(
        head, pair, period, base, start.n_side, rises, given / unit,
        None if stretches is None else Stretches.of(stretches, head.first),
    )  # fmt: skip
    for piece in parts:
        counter.feed(piece)
    counter.edges.check_photons(head, None)
    raw = counter.counted(start, base, between, period, unit, int(n_pulses))
    if not raw["_block_photons"][:, 0].any(axis=0).all():
        raise ValueError(f"gates from {given[0]:.4g} s on leave no photons on one of the detectors {pair}")
    return _normalised(background, background_err, gate=given, **raw)


def _check_gates(gates: ArrayLike, period: float) -> Floats:
    given = np.atleast_1d(np.asarray(gates, dtype=np.float64))
    if given.ndim != 1 or not 1 <= given.size <= MOST_GATES or not np.all(np.isfinite(given)):
        raise ValueError(
            f"gates must be 1 to {MOST_GATES} times in seconds after the pulse, their shape is {given.shape}"
        )
    if given[0] < 0 or given[-1] >= period or np.any(np.diff(given) <= 0):
        raise ValueError(
            f"gates must rise from 0 or later to below the laser period of {period:.6g} s; they run from "
            f"{given[0]:.6g} to {given[-1]:.6g} s"
        )
    return given


def check_pulses(head: Head, name: str) -> tuple[float, float]:
    """Return laser period and unit of the nanotimes in ticks and seconds; refuse light without pulses."""
    period, unit = head.ticks_per_pulse, head.first.tcspc_unit
    if period is None or unit is None:
        raise ValueError(
            f"{name} needs laser pulses and nanotimes, and this stream has none (T2, or a file without TCSPC); "
            "a T2 recording with its laser pulses as syncs can be turned to T3 by fold"
        )
    return period, unit


def rises_of(head: Head, pair: tuple[int, int], period: float) -> list[tuple[float, float]]:
    """Return the nanotime of each detector's rise and the guard before it, ticks."""
    rises = []
    for detector in pair:
        try:
            rises.append(rise_of(head.decay(detector), period))
        except ValueError:
            raise ValueError(
                f"the decay of detector {detector} is flat, or has too few photons: no rise from which time after the "
                "pulse could be counted"
            ) from None
    return rises


def turned(rises: list[tuple[float, float]], period: float) -> tuple[Floats, Ints]:
    """Return for each nanotime of a and b the ticks after the rise, and the pulses to add to its pulse number.

    Light before the rise less its guard is late light of the pulse before.
    """
    ticks = np.arange(65536, dtype=np.float64)
    late, turns = np.zeros((2, 65536)), np.zeros((2, 65536), np.int64)
    for row, (rise, guard) in enumerate(rises):
        turns[row] = np.floor((ticks - rise + guard) / period)
        late[row] = ticks - rise - turns[row] * period
    return late, turns


def find_centre(
    pairs: Ints, lowest: int, start: Start, base: int, between: float, period: float, unit: float
) -> tuple[int, str]:
    """Return the pulse lag of the centre, `base` where none stands out, and how it was found."""
    if not start.search:
        return base, start.note
    found, p_value, _ = centre_peak(pairs, lowest, start.search)
    if abs(between + found * period) * unit > CABLE + period * unit:  # no cable is that long
        found, p_value = base, 1.0
    note = decided_delay(found, p_value, start.search, start.note, period * unit)[1]
    return (found if p_value < FAMILY_LEVEL else base), note


class _GateCounter(PeakCounter):
    """Pairs by gate and peak, per block of time: a row holds all gates after each other."""

    def __init__(
        self,
        head: Head,
        pair: tuple[int, int],
        period: float,
        base: int,
        n_side: int,
        rises: list[tuple[float, float]],
        gates: Floats,
        stretches: Stretches | None,
    ) -> None:
        super().__init__(head, pair, period, 0.0, base, n_side + 2, stretches=stretches)
        late, self._turns = turned(rises, period)
        # gate 0 takes the whole rise: cut at half height, it would lose those pairs that came together and early
        opens = np.where(gates > 0, gates, -np.inf)
        self._opens = np.searchsorted(opens, late + 1e-9, side="right").astype(np.int16)
        n_ticks = min(round(period), 65536)
        self.open_fraction = (self._opens[None, :, :n_ticks] > np.arange(gates.size)[:, None, None]).mean(axis=2)
        self._gates = gates.size + 1
        self.row_size, self.photon_size = self._gates * (self._n + 1), self._gates * 2

    @property
    def photons_of_pair(self) -> Ints:
        """Photons on a and b, gated or not."""
        total: Ints = self._photons.reshape(-1, self._gates, 2).sum(axis=(0, 1))
        return total

    def _count(self, s: Segment, part: tuple[int, int]) -> tuple[int, Ints, Ints]:
        pairs, photons = np.zeros((self._gates, self._n + 1), np.int64), np.zeros((self._gates, 2), np.int64)
        a, b = self.pair
        gated_pairs(
            s.times, s.nanotimes, s.detectors, a, b, *part, self._reach, self._opens, self._turns, self.lowest,
            pairs, photons,
        )  # fmt: skip
        return self._block(int(s.times[part[0]])), pairs.ravel(), photons.ravel()

    def counted(
        self, start: Start, base: int, between: float, period: float, unit: float, n_pulses: int
    ) -> dict[str, Any]:
        """Decide which peak is the centre; return the fields of the result that do not depend on the background."""
        rows = self._rows.reshape(-1, self._gates, self._n + 1)[:, :, :-1]
        photons = self._photons.reshape(-1, self._gates, 2)
        ungated = rows.sum(axis=(0, 1))
        centre, note = find_centre(ungated, self.lowest, start, base, between, period, unit)
        at = np.arange(-n_pulses, n_pulses + 1)
        first = centre - n_pulses - self.lowest
        # from the last gate up: what passes a late gate passes the earlier ones
        kept = rows[:, ::-1, first : first + at.size].cumsum(axis=1)[:, ::-1][:, 1:]
        late = photons[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        sums = self.edges.sums(np.asarray((at + centre) * period, dtype=np.float64))
        length = self._length * period * unit
        return {
            "pulse_lag": at.astype(np.int64),
            "pairs": kept.sum(axis=0),
            "delay": (between + centre * period) * unit,
            "delay_err": start.error * unit,
            "delay_note": note,
            "detectors": self.pair,
            "laser_period": period * unit,
            "duration": self.edges.duration,
            "open_fraction": self.open_fraction,
            "_every": sums[0] * period,
            "_partners": np.ascontiguousarray(sums[1:3].T),
            "_overlap": sums[3] * unit,
            "_block_pairs": kept,
            "_block_photons": late,
            "_block_seconds": np.clip(self.edges.duration - np.arange(len(kept)) * length, 0.0, length),
        }


def _normalised(
    background: Background | float | Mapping[int, float] | None,
    background_err: float | Mapping[int, float] | None,
    **raw: Any,
) -> GateSeries:
    """Turn the pairs of every gate into ratios with errors."""
    pair, period, seconds = raw["detectors"], raw["laser_period"], raw["duration"]
    dark, dark_err = pair_background(background, background_err, pair)
    counts = raw["_block_photons"].sum(axis=0)
    rates = counts / seconds if seconds > 0 else np.full(counts.shape, math.nan)
    kept = dark * raw["open_fraction"]
    if np.any((kept[0] >= rates[0]) & (kept[0] > 0)):
        i = int(np.argmax(kept[0] - rates[0]))
        raise ValueError(
            f"background of {dark[i]:.6g} Hz on detector {pair[i]} leaves no signal of {rates[0, i]:.6g} Hz after the "
            "first gate"
        )
    # partners were counted without a gate; a gate takes the same share of them as of all photons
    ungated = np.maximum(raw["_partners"].max(axis=0), 1.0)
    share = counts / ungated
    every = raw["_every"] * share.prod(axis=1)[:, None]
    partners = raw["_partners"][None] * share[:, None, :]
    spoiled = period * ((partners * kept[:, None, ::-1]).sum(axis=2) - kept.prod(axis=1)[:, None] * raw["_overlap"])
    light = every - spoiled
    slopes = period * seconds * ((rates - kept)[:, ::-1] * raw["open_fraction"] * dark_err)
    rows = [_row(i, raw, spoiled[i], light[i], float(np.sum(slopes[i] ** 2)), kept[i]) for i in range(len(kept))]
    values: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = np.clip(1.0 - kept / rates, 0.0, 1.0)
    return GateSeries(
        pairs_background=spoiled, expected_far=light, covariance=_covariance(raw["pairs"], spoiled, slopes, values),
        signal_fraction=signal, rates=rates,
        background={d: float(b) for d, b in zip(pair, dark, strict=True)},
        background_err={d: float(b) for d, b in zip(pair, dark_err, strict=True)}, **values, **raw,
    )  # fmt: skip


def _row(i: int, raw: dict[str, Any], dark: Floats, light: Floats, noise: float, kept: Floats) -> dict[str, Any]:
    """Return the ratios of one gate."""
    pairs = raw["_block_pairs"][:, i]
    n_pulses = pairs.shape[1] // 2
    centres = pairs[:, n_pulses]
    blocks = Blocks(
        centres, pairs.sum(axis=1) - centres, raw["_block_photons"][:, i], raw["_block_seconds"],
        2 * n_pulses * raw["laser_period"], 2 * n_pulses,
    )  # fmt: skip
    scatter = blocks.scatter((float(kept[0]), float(kept[1])))
    peaks = Peaks(raw["pairs"][i], dark, light)
    near, near_err, near_ci = peaks.near(noise, scatter)
    far, far_err, _ = peaks.far(noise, scatter)
    bunching, bunching_err, _ = peaks.bunching(noise, scatter)
    return {
        "g2_zero": near, "g2_zero_err": near_err, "g2_zero_ci": near_ci, "g2_zero_far": far, "g2_zero_far_err": far_err,
        "bunching": bunching, "bunching_err": bunching_err,
    }  # fmt: skip


def _covariance(pairs: Ints, dark: Floats, slopes: Floats, values: dict[str, Any]) -> Floats:
    """Return the covariance of g2(0) between gates, with the errors of each gate on its diagonal."""
    n = len(pairs)
    k = pairs.shape[1] // 2
    later = np.maximum.outer(np.arange(n), np.arange(n))
    centre = pairs[:, k].astype(np.float64)
    side = pairs.sum(axis=1) - centre
    g = values["g2_zero"]
    mean = side / (2 * k) - (dark.sum(axis=1) - dark[:, k]) / (2 * k)
    common = slopes @ slopes.T
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = (centre + 0.5)[later] + np.outer(g, g) * side[later] / (2 * k) ** 2 + np.outer(g - 1, g - 1) * common
        shared = shared / np.outer(mean, mean)
        scale = values["g2_zero_err"] / np.sqrt(np.diag(shared))
    found: Floats = shared * np.outer(scale, scale)
    return found
