"""Fold absolute times (T2) with recorded laser pulses to pulse numbers and delays (T3)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.errors import AnalysisWarning
from photonstats.stream import Markers, PhotonStream

_TOLERANCE = 0.1  # of a period, that a sync interval may be off
_DRIFT = 1e-5  # of a period per period, over intervals with missed pulses
_SLACK = 0.01  # of a period, by which the first sync may be early without taking the number before


@dataclass(frozen=True)
class _Clock:
    """Recorded sync pulses, checked."""

    syncs: NDArray[np.int64]
    period: float  # between sync pulses, ticks
    missed: int
    longest: int  # longest laser period, ticks
    divider: int

    @property
    def laser_period(self) -> float:
        return self.period / self.divider

    @property
    def first(self) -> int:
        """Number of the first pulse, such that pulse number times period is close to its time."""
        return math.floor(float(self.syncs[0]) / self.laser_period + _SLACK)


def fold(
    photons: PhotonStream,
    *,
    sync: int | None = None,
    laser_period: float | None = None,
    tcspc_unit: float | None = None,
    divider: int = 1,
) -> PhotonStream:
    """Fold a T2 recording with laser pulses into T3: pulse numbers and nanotimes.

    Parameters
    ----------
    photons : PhotonStream
        T2 recording (no nanotimes) in which the laser pulses were recorded.
    sync : int, optional
        Detector that carries the laser pulses; by default the recorded sync pulses, `photons.syncs`.
    laser_period : float, optional
        Rough laser period, s, where most sync pulses are missing; by default the usual interval between them.
    tcspc_unit : float, optional
        Length of a nanotime tick, s: a whole multiple of `photons.timestamps_unit`. By default the smallest one with
        which a laser period fits 65536 ticks.
    divider : int
        Laser pulses for each recorded sync pulse, where the hardware divided the sync.

    Returns
    -------
    PhotonStream
        Timestamps are numbers of the laser pulse before each photon, with the measured mean laser period as their
        unit; window and markers are those of `photons`.

    Raises
    ------
    ValueError
        If there are fewer than two sync pulses, the intervals between them are not whole periods (10 % of a period,
        more by 1e-5 periods for each missed pulse), or the delays do not fit `tcspc_unit`.

    Warns
    -----
    AnalysisWarning
        If sync pulses were missed, or photons before the first sync pulse had to be dropped.

    Notes
    -----
    An interval of k periods holds k - 1 missed pulses. They are counted, so that pulse numbers stay true, and put at
    equal distances, rounded to a tick; so are the pulses between those of a divided sync, and those after the last
    one. Without missed pulses and divider, nanotime = (t - t_sync) // (tcspc_unit / timestamps_unit) exactly. Numbers
    start such that number times period is the time of the first pulse up to one period. Where the period drifts, the
    product of number and mean period is off in between by what the drift adds up to.

    Examples
    --------
    >>> import photonstats as ps
    >>> t2 = ps.PhotonStream([130, 210], [0, 1], timestamps_unit=1e-9, duration=4e-7, syncs=[0, 100, 200, 300])
    >>> folded = ps.fold(t2)
    >>> folded.timestamps.tolist(), folded.nanotimes.tolist()
    ([1, 2], [30, 10])
    """
    kept, syncs = _parts(photons, sync)
    clock = _clock(syncs, photons.timestamps_unit, laser_period, divider)
    factor = _factor(clock, photons.timestamps_unit, tcspc_unit)
    skip = int(np.searchsorted(kept.timestamps, clock.syncs[0]))
    pulses, delays = _fold_times(kept.timestamps[skip:], clock, factor)
    _warn(clock, kept, skip)
    unit = clock.laser_period * photons.timestamps_unit
    return PhotonStream(
        pulses,
        kept.detectors[skip:],
        delays,
        timestamps_unit=unit,
        tcspc_unit=factor * photons.timestamps_unit,
        laser_period=unit,
        duration=photons.duration,
        start=photons.start,
        pulse_clock=True,
        markers=_fold_markers(photons.markers, clock),
        info=photons.info,
    )


def _parts(photons: PhotonStream, sync: int | None) -> tuple[PhotonStream, NDArray[np.int64]]:
    """Return the photons that remain, and the sync pulses."""
    if photons.nanotimes is not None:
        raise ValueError("these photons have nanotimes already (T3): fold is for absolute times (T2)")
    if sync is None:
        syncs, where = photons.syncs, "photons.syncs"
        kept = photons
    else:
        is_sync = photons.detectors == sync
        syncs, where = photons.timestamps[is_sync], f"detector {sync}"
        kept = photons[~is_sync]
    if syncs.size < 2:
        rates = ", ".join(f"{d}: {n / photons.duration:.4g} Hz" for d, n in photons.counts_per_detector.items())
        raise ValueError(
            f"{where} holds {syncs.size} sync pulses, and two or more are needed. If a detector carries the laser "
            f"pulses, give it as sync= (rates of the detectors: {rates or 'none'}); else there are no nanotimes"
        )
    return kept, syncs


def _clock(syncs: NDArray[np.int64], unit: float, laser_period: float | None, divider: int) -> _Clock:
    from photonstats.kernels.fold import survey_syncs

    if divider != int(divider) or divider < 1:
        raise ValueError(f"divider must be a whole number of laser pulses for each sync pulse, it is {divider}")
    if laser_period is not None and not (math.isfinite(laser_period) and laser_period > 0):
        raise ValueError(f"laser_period must be a positive time in seconds, it is {laser_period}")
    guess = _usual_interval(syncs) if laser_period is None else laser_period * divider / unit
    period = _refined(syncs, guess)
    found = np.zeros(4, np.int64)
    survey_syncs(syncs, period, _TOLERANCE, _DRIFT, found)
    n_periods, n_irregular, worst, longest = found.tolist()
    if n_irregular:
        interval = int(syncs[worst + 1] - syncs[worst])
        raise ValueError(
            f"the sync is not periodic: {n_irregular} of {syncs.size - 1} intervals are not whole periods of "
            f"{period * unit:.6g} s within {_TOLERANCE:.0%}; the worst, between sync pulses {worst} and {worst + 1} at "
            f"{syncs[worst] * unit:.9g} s, is {interval * unit:.6g} s ({interval / period:.3f} periods). Is this the "
            f"laser (sync=), is its period right (laser_period=)?"
        )
    mean = float(syncs[-1] - syncs[0]) / n_periods
    longest_laser = max(-(-longest // divider), math.ceil(mean / divider)) + 1
    return _Clock(syncs, mean, n_periods - (syncs.size - 1), longest_laser, int(divider))


def _usual_interval(syncs: NDArray[np.int64]) -> float:
    """Return the usual interval in ticks, also where up to 99 of 100 intervals span missed pulses."""
    intervals = np.diff(syncs)
    sample = intervals[:: max(intervals.size // 100_000, 1)]
    low = float(np.quantile(sample, 0.01))
    return float(np.median(sample[sample <= 1.5 * low]))


def _refined(syncs: NDArray[np.int64], guess: float) -> float:
    """Return the mean period, from intervals of more and more periods as it becomes known well enough to count them."""
    intervals = np.diff(syncs)
    period, longest, reach = max(guess, 1e-6), float(intervals.max()), 1.0
    while True:
        periods = np.rint(intervals / period)
        clear = (periods >= 1) & (periods <= reach) & (np.abs(intervals - periods * period) < 0.3 * period)
        if clear.any():
            period = float(intervals[clear].sum() / periods[clear].sum())
        if reach * period >= longest:
            return period
        reach *= 4


def _factor(clock: _Clock, unit: float, tcspc_unit: float | None) -> int:
    smallest = -(-clock.longest // 65536)
    if tcspc_unit is None:
        return smallest
    ratio = tcspc_unit / unit
    factor = round(ratio)
    if factor < 1 or not math.isclose(ratio, factor, rel_tol=1e-6):
        raise ValueError(
            f"tcspc_unit must be a whole multiple of the resolution of the recording, {unit:.6g} s; it is "
            f"{tcspc_unit:.6g} s, {ratio:.6g} times as long"
        )
    if factor < smallest:
        raise ValueError(
            f"tcspc_unit {tcspc_unit:.6g} s is too short: a laser period of {clock.laser_period * unit:.6g} s needs "
            f"{smallest * unit:.6g} s or more to fit 65536 ticks"
        )
    return factor


def _fold_times(
    times: NDArray[np.int64], clock: _Clock, factor: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:  # fmt: skip
    from photonstats.kernels.fold import fold_times

    pulses, delays = np.empty(times.size, np.int64), np.empty(times.size, np.uint16)
    fold_times(times, clock.syncs, clock.period, clock.divider, clock.first, factor, pulses, delays)
    pulses.flags.writeable = delays.flags.writeable = False
    return pulses, delays


def _fold_markers(markers: Markers, clock: _Clock) -> Markers:
    times, bits = markers.timestamps, markers.bits
    if times.size and np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
        times, bits = times[order], bits[order]
    skip = int(np.searchsorted(times, clock.syncs[0]))
    before = clock.first + np.floor((times[:skip] - clock.syncs[0]) / clock.laser_period).astype(np.int64)
    return Markers(np.concatenate([before, _fold_times(times[skip:], clock, 1 << 40)[0]]), bits)


def _warn(clock: _Clock, kept: PhotonStream, skip: int) -> None:
    complaints = []
    missed = clock.missed
    if len(kept):
        missed += max(int((kept.timestamps[-1] - clock.syncs[-1]) / clock.period - _TOLERANCE), 0)
    if missed:
        share = missed / (missed + clock.syncs.size)
        complaints.append(
            f"{missed} sync pulses ({share:.2g} of all) were missed; they are counted, and nanotimes after them are "
            f"taken from pulses put at equal distances"
        )
    if skip:
        complaints.append(f"{skip} photons before the first sync pulse have no nanotime and are dropped")
    if complaints:
        warnings.warn("; ".join(complaints), AnalysisWarning, stacklevel=3)
