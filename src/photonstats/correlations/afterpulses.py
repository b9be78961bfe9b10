"""Afterpulses and dead time of one detector, from the correlation of the detector with itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from photonstats.correlations.afterpulse_counts import dead_time, decay_time, level, probability, scaled
from photonstats.correlations.pairing import HEAD_PHOTONS, LIVE_SHARE, Head, open_recording
from photonstats.correlations.triple_counter import find_delays, opening_of
from photonstats.kernels.afterpulses import next_detections
from photonstats.likelihood import poisson_error
from photonstats.result import Result, quantity
from photonstats.stream import PhotonStream, check_detectors, check_follows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHORTEST = 32
BEYOND = 5  # windows of longer lags that show what the light alone makes
MOST_BINS = 10**6


@dataclass(frozen=True, eq=False, repr=False)
class Afterpulsing(Result):
    """What a detector adds of its own: afterpulses and dead time, by the lag to its next detection.

    Parameters
    ----------
    lag : ndarray of float64, shape (n,)
        Centres of the bins of lag after a detection, s.
    lag_edges : ndarray of float64, shape (n+1,)
        Their edges, s.
    pairs : ndarray of int64, shape (n,)
        Detections followed by the next one of the same detector at that lag.
    expected : ndarray of float64, shape (n,)
        What the light alone makes of them; NaN where that is not known.
    excess, excess_err : ndarray of float64, shape (n,)
        `pairs - expected` and its standard error.
    waiting : ndarray of float64, shape (n,)
        Detections that have had no other one up to the lag: those that could have a pair.
    probability, probability_err, probability_ci : float, float, ndarray of float64, shape (2,)
        Afterpulses of one detection within the window; in steady state also the share of afterpulses in all detections.
    time, time_err, time_ci : float, float, ndarray of float64, shape (2,)
        Decay constant of the afterpulses, counted from the end of the dead time, s; NaN where too few are seen.
    dead_time, dead_time_ci : float, ndarray of float64, shape (2,)
        No two detections are closer than this, s; 0 as the lower limit where no dead time shows.
    detector : int
        The detector.
    reference : int or None
        The detector whose correlation with it shows what the light does; None: the level at longer lags.
    delay : float
        How much later the reference is, s; 0 without one.
    method : str
        How `expected` was had, in words.
    n_photons : int
        Detections.
    rate, window, duration : float
        Hz; longest lag, s; recorded time, s.
    reason : str
        Why a value is NaN or a lower bound; empty if none is.
    """

    lag: Floats
    lag_edges: Floats
    pairs: Ints
    expected: Floats
    excess: Floats
    excess_err: Floats
    waiting: Floats
    probability: float
    probability_err: float
    probability_ci: Floats
    time: float
    time_err: float
    time_ci: Floats
    dead_time: float
    dead_time_ci: Floats
    detector: int
    reference: int | None
    delay: float
    method: str
    n_photons: int
    rate: float
    window: float
    duration: float
    reason: str = ""
    longer: Ints = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    def summary(self) -> str:
        """Return a text of a few lines: probability, decay and dead time."""
        low, high = self.probability_ci * 100
        soon, late = self.dead_time_ci * 1e9
        text = (
            f"Afterpulsing of detector {self.detector}: {quantity(self.probability, self.probability_err, '%', 100)} "
            f"per detection within {self.window * 1e9:.4g} ns (95 %: {low:.3g} to {high:.3g} %), "
            f"decay {quantity(self.time, self.time_err, 'ns', 1e9)}\n"
            f"  dead time {self.dead_time * 1e9:.5g} ns (95 %: {soon:.5g} to {late:.5g} ns); {self.n_photons} photons, "
            f"light from {self.method}"
        )
        return text + (f"\n  {self.reason}" if self.reason else "")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw pairs and what the light makes of them against the lag into `ax` and return it."""
        from photonstats import plots

        return plots.plot_afterpulsing(self, ax)


def afterpulsing(
    photons: PhotonStream | Iterable[PhotonStream],
    detector: int | None = None,
    *,
    window: float = 1e-6,
    bin_width: float | None = None,
    reference: int | Literal["auto"] | None = "auto",
    delay: float | Literal["auto"] = "auto",
) -> Afterpulsing:
    """Correlate one detector with itself: probability and decay of afterpulses, and the dead time.

    Parameters
    ----------
    photons : PhotonStream or iterable of PhotonStream
        Photons, or the pieces of `scan`; one pass, and where the pieces are cut does not matter.
    detector : int, optional
        Which one. None: the only live one.
    window : float
        Longest lag, s; several times the decay of the afterpulses, and so short that few detections have a photon of
        the light within it.
    bin_width : float, optional
        s; by default a hundredth of the window. Rounded to whole ticks (T2), or to a whole part of the laser period.
    reference : int, "auto" or None
        Another detector that sees the same light. "auto": the brightest other live one, else None. None: what the light
        alone makes is taken from five windows of longer lags.
    delay : float or "auto"
        How much later the reference is, s. "auto": as `g2_pulsed` or `g2` find it.

    Returns
    -------
    Afterpulsing

    Raises
    ------
    ValueError
        If several detectors are live and none is named, the detector has no photons, or an argument is out of range.

    Notes
    -----
    Successive detections are counted: n_j of the intervals end in bin j, of R_j that last so long. n_j / R_j is a rate
    that neither dead time nor earlier partners change: a detection is followed by live time until the next one. Its
    excess over the rate q_j of the light gives `probability = 1 - exp(-sum_j (n_j / R_j - q_j))`. An afterpulse that
    has afterpulses begins an interval of its own, so that this is the probability of one detection, not the sum of the
    chain, p / (1 - p). Afterpulses that fall into a dead time are not seen.

    With a reference: q_j is the rate of its photons inside the same intervals, scaled at longer lags. Whatever the
    light does (antibunching, blinking, pulses, slow drift) is in both, as long as dark counts are few or alike and no
    light of one detector's discharge reaches the other. Without: the level at longer lags, with the trend that blinking
    gives it, carried on to the window; this is an assumption, and the antibunching or bunching of light at short lags
    would count as missing or extra afterpulses. Where a blinking dot gives more than about 0.3 photons per window while
    it is bright, the trend bends more than that: take a shorter window. For pulsed light the level is taken at the same
    part of the laser period; nothing can be said within half a period, where the pulse itself has a second photon or
    not.

    Afterpulses that take longer than the window are in the level. Intervals are those of counting; `dead_time` is
    extrapolated from the 32 shortest intervals, its lower limit allows for their density to rise linearly from zero, as
    it does for antibunched light: at least 95 %.

    References
    ----------
    Enderlein, Gregor, Rev. Sci. Instrum. 76, 033102 (2005). Ziarkash, Joshi, Stipcevic, Ursin, Sci. Rep. 8, 5076
    (2018).

    Examples
    --------
    >>> photons = PhotonStream([100, 150, 900], [0, 0, 0], timestamps_unit=1e-9, duration=1e-6)
    >>> afterpulsing(photons, window=100e-9, bin_width=20e-9).pairs.tolist()
    [0, 0, 1, 0, 0]
    """
    for name, value in (("window", window), ("bin_width", window if bin_width is None else bin_width)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r}: must be a time in seconds > 0")
    head, parts = open_recording(photons)
    own = _choose(head, detector)
    other = _choose_reference(head, own, reference)
    opening, parts = opening_of(parts)
    lag, note = 0.0, ""
    if other is not None:
        pulsed = head.ticks_per_pulse is not None
        found, note = find_delays(opening, (own, other), delay, None if pulsed else window / 100.0)
        lag = found[1]
    grid = _Grid.make(head, window, bin_width, comb=other is None)
    counter = _Intervals(own, other, grid, lag)
    for piece in parts:
        counter.add(piece)
    counter.finish()
    if counter.n_photons == 0 and head.counts:
        raise ValueError(f"detector {own} has no photons; there are detectors {sorted(head.counts)}")
    return _result(counter, grid, lag, note, window)


def _choose(head: Head, detector: int | None) -> int:
    counts = head.counts
    rates = ", ".join(f"{d}: {n / head.seconds if head.seconds > 0 else math.nan:.4g} Hz" for d, n in counts.items())
    if detector is None:
        live = _live(head)
        if len(live) != 1:
            what = "the recording holds no photons" if not live else f"{len(live)} detectors are live ({rates})"
            raise ValueError(f"{what}: say which one with detector=")
        return live[0]
    given = check_detectors(detector)
    if len(given) != 1:
        raise ValueError(f"detector={detector!r}: afterpulsing is measured on one detector at a time")
    if given[0] not in counts and counts and head.detectors.size < HEAD_PHOTONS:
        raise ValueError(f"detector {given[0]} has no photons; there are {rates}")
    return given[0]


def _choose_reference(head: Head, own: int, reference: int | str | None) -> int | None:
    if reference is None:
        return None
    if isinstance(reference, str):
        if reference != "auto":
            raise ValueError(f'reference={reference!r}: give a detector, None, or "auto"')
        others = [d for d in _live(head) if d != own]
        return max(others, key=lambda d: head.counts[d]) if others else None
    given = check_detectors(reference)
    if len(given) != 1 or given[0] == own:
        raise ValueError(f"reference={reference!r}: must be one detector other than {own}, which is measured")
    if given[0] not in head.counts and head.counts and head.detectors.size < HEAD_PHOTONS:
        raise ValueError(f"reference={given[0]} has no photons; there are detectors {sorted(head.counts)}")
    return given[0]


def _live(head: Head) -> list[int]:
    counts = head.counts
    return [d for d, n in counts.items() if n >= LIVE_SHARE * max(counts.values())]


@dataclass(frozen=True)
class _Grid:
    """Bins of lag: `inside` of them in the window, `beyond` after it; `phases` bins to a laser period; in ticks."""

    unit: float
    period: float
    width: float
    inside: int
    beyond: int
    phases: int
    fine: bool

    @classmethod
    def make(cls, head: Head, window: float, bin_width: float | None, *, comb: bool) -> _Grid:
        pulse = head.ticks_per_pulse
        unit = head.first.timestamps_unit / (pulse or 1.0)
        wanted = (window / 100.0 if bin_width is None else bin_width) / unit
        phases = 1
        if pulse is None:
            width = float(max(round(wanted), 1))
        elif comb:
            phases = max(round(pulse / wanted), 1)
            width = pulse / phases
        else:
            width = wanted
        inside = max(math.floor(window / unit / width + 1e-9), 1)
        beyond = max(math.ceil(BEYOND * inside / phases), 4 if phases > 1 else 1) * phases
        if inside + beyond > MOST_BINS:
            raise ValueError(
                f"window={window} s holds {inside} bins of {width * unit:.4g} s: give a wider bin_width, or a shorter "
                "window"
            )
        return cls(unit, pulse or 1.0, width, inside, beyond, phases, pulse is not None)


class _Intervals:
    """Intervals between detections, and the photons of the reference inside of them, piece by piece."""

    def __init__(self, own: int, other: int | None, grid: _Grid, lag: float) -> None:
        self.detector, self.reference, self._grid = own, other, grid
        self._delay = float(round(lag / grid.unit))
        self.own, self.other = (np.zeros(grid.inside + grid.beyond + 1, np.int64) for _ in range(2))
        self.shortest = np.full(SHORTEST, math.inf)
        self.n_photons, self.duration = 0, 0.0
        self._lists = [(np.zeros(0, np.int64), np.zeros(0, np.int64))] * 2
        self._latest: int | None = None
        self._reach = math.ceil((self.own.size * grid.width + max(self._delay, 0.0) + 65536) / grid.period) + 1

    def add(self, piece: PhotonStream) -> None:
        """Take the next piece."""
        self.duration = math.fsum([self.duration, piece.duration])
        if len(piece) == 0:
            return
        check_follows(piece, self._latest)
        for i in range(0, len(piece), 2**20):
            self._add(piece[i : i + 2**20])

    def finish(self) -> None:
        """Count the intervals that still waited for photons of the reference."""
        self._count(None)

    def _add(self, piece: PhotonStream) -> None:
        for row, detector in enumerate((self.detector, self.reference)):
            if detector is None:
                continue
            which = piece.detectors == detector
            macro = piece.timestamps[which]
            nano = np.zeros(macro.size, np.int64)
            if self._grid.fine and piece.nanotimes is not None:
                nano = piece.nanotimes[which].astype(np.int64)
            old = self._lists[row]
            self._lists[row] = np.concatenate([old[0], macro]), np.concatenate([old[1], nano])
            self.n_photons += macro.size if row == 0 else 0
        self._latest = int(piece.timestamps[-1])
        self._count(self._latest)

    def _count(self, latest: int | None) -> None:
        """Count the intervals before whose end no photon of the reference can come any more."""
        (macro, nano), (macro_b, nano_b) = self._lists
        grid, n = self._grid, max(macro.size - 1, 0)
        back = math.ceil((abs(self._delay) + 65536 * grid.fine) / grid.period) + 1
        if latest is not None and self.reference is not None:
            n = min(n, max(int(np.searchsorted(macro, latest - back)) - 1, 0))
        used = next_detections(
            macro, nano, macro_b, nano_b, n, grid.period, self._delay, grid.width, self.own, self.other, self.shortest
        )
        macro_b, nano_b = macro_b[used:], nano_b[used:]
        if macro.size - n == 1 and latest is not None:
            # while the detector is silent, only what is near to its last photon is of use
            kept = (macro_b <= macro[-1] + self._reach) | (macro_b >= latest - back)
            macro_b, nano_b = macro_b[kept], nano_b[kept]
        self._lists = [(macro[n:], nano[n:]), (macro_b, nano_b)]


def _result(counter: _Intervals, grid: _Grid, lag: float, note: str, window: float) -> Afterpulsing:
    n = grid.inside
    pairs = counter.own[:n].copy()
    begun = counter.own.sum() - np.concatenate([[0], np.cumsum(counter.own[:-1])])
    waiting = begun - counter.own / 2.0  # those that end in a bin wait through half of it
    edges: Floats = np.arange(n + 1, dtype=np.float64) * grid.width
    dead, dead_ci = dead_time(counter.shortest, grid.unit)
    first = float(counter.shortest[0])
    live = np.clip((edges[1:] - first) / grid.width, 0.0, 1.0) if math.isfinite(first) else np.ones(n)
    if counter.reference is None:
        light, scale, shared = level(counter.own[:-1].astype(np.float64), waiting[:-1], n, grid.phases)
        method = f"the level at lags of {window * 1e6:.4g} to {(n + grid.beyond) * grid.width * grid.unit * 1e6:.4g} us"
    else:
        light, scale, shared = scaled(counter.own[:-1], counter.other[:-1], n)
        method = f"detector {counter.reference}, {lag * 1e9:.4g} ns later ({note})"
    light, shared = light * live, shared * live
    known, reason = np.isfinite(light), ""
    if grid.fine and counter.reference is None:
        known &= edges[:-1] >= grid.period / 2.0 - 1e-6
        if pairs[~known].any():
            reason = "lags within half a laser period are left out, where the light itself is not known: a lower bound"
    light = np.where(known, light, math.nan)
    found = probability(pairs, light, scale, shared, waiting[:n], known)
    time, why = decay_time(pairs, light, scale, shared, waiting[:n], known, edges, first, found[:2])
    noise = np.where(known, scale * light + (shared**2).sum(axis=0), math.nan)
    return Afterpulsing(
        lag=(edges[:-1] + edges[1:]) / 2.0 * grid.unit, lag_edges=edges * grid.unit, pairs=pairs, expected=light,
        excess=pairs - light, excess_err=np.sqrt(poisson_error(pairs) ** 2 + noise), waiting=waiting[:n],
        probability=found[0], probability_err=found[1], probability_ci=found[2],
        time=time[0] * grid.unit, time_err=time[1] * grid.unit, time_ci=time[2] * grid.unit,
        dead_time=dead, dead_time_ci=dead_ci, detector=counter.detector, reference=counter.reference, delay=lag,
        method=method, n_photons=counter.n_photons, duration=counter.duration, window=window,
        rate=counter.n_photons / counter.duration if counter.duration > 0 else math.nan,
        reason="; ".join(text for text in (found[3], reason, why) if text), longer=counter.own[n:-1].copy(),
    )  # fmt: skip
