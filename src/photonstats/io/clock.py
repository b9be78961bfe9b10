"""Decide how long a tick and a recording are, from everything that the header says of it.

A header that contradicts itself is settled by evidence from its other entries and a warning that names both sides;
where the evidence does not settle it, reading fails rather than guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from photonstats.errors import PhotonFileError
from photonstats.io.recording import Recording

_PULSE_PERIODS = (5e-11, 1.0)  # s: 20 GHz to 1 Hz
_T2_TICKS = (1e-13, 1e-5)
_TCSPC_TICKS = (1e-13, 1e-3)
_QUARTZ = (1e-9, 1e-5)
_AGREE = 0.01  # rates in headers are counted over 100 ms; 1 % is more than they err


@dataclass(frozen=True)
class Units:
    """Lengths in seconds of a macro tick, a nanotime tick (T3) and the laser period (where known)."""

    timestamps_unit: float
    tcspc_unit: float | None
    laser_period: float | None


@dataclass(frozen=True)
class Survey:
    """What a pass over all records finds: ticks until the last one, and the greatest nanotime."""

    end_ticks: int
    max_nanotime: int


def units(recording: Recording, survey: Callable[[], Survey], say: Callable[[str], None]) -> Units:
    """Return the lengths of the ticks.

    Parameters
    ----------
    recording : Recording
        File whose header has been read.
    survey : callable
        Passes over the records; called only where the header contradicts itself.
    say : callable
        Takes the text of each warning.

    Raises
    ------
    PhotonFileError
        If a unit is missing or impossible and no other entry of the header gives it.
    """
    clock = recording.clock
    pulses = _reciprocal(clock.sync_rate)
    if recording.counts_pulses:
        unit = _macro(recording, pulses, "the sync rate", _PULSE_PERIODS, survey, say)
        return Units(unit, _tcspc(recording, unit, survey, say), unit)
    if recording.is_t3:
        unit = _macro(recording, None, "", _QUARTZ, survey, say)
        period = pulses if _within(pulses, _PULSE_PERIODS) else None
        return Units(unit, _tcspc(recording, None, survey, say), period)
    hardware = clock.base if _within(clock.base, _T2_TICKS) else recording.layout.t2_unit
    return Units(_macro(recording, hardware, "the resolution of the hardware", _T2_TICKS, survey, say), None, None)


def _macro(
    recording: Recording,
    other: float | None,
    other_name: str,
    limits: tuple[float, float],
    survey: Callable[[], Survey],
    say: Callable[[str], None],
) -> float:
    """Choose between the resolution in the header and what another entry makes of it."""
    stated = recording.clock.resolution
    has_entry = recording.info.format == "PTU" or not recording.counts_pulses
    if _within(stated, limits) and stated is not None:
        if not _within(other, limits) or other is None or math.isclose(stated, other, rel_tol=_AGREE):
            return stated
        return _settle(recording, stated, other, other_name, survey, say)
    if _within(other, limits) and other is not None:
        if has_entry:
            say(
                f"the header gives a macro time unit of {_show(stated)}, which cannot be; {other_name} gives "
                f"{_show(other)}, which is used"
            )
        return other
    raise PhotonFileError(
        f"{recording.path}: header (before byte {recording.offset}): expected a macro time unit of {limits[0]:g} s to "
        f"{limits[1]:g} s, found {_show(stated)}, and no other entry gives it (sync rate "
        f"{recording.clock.sync_rate}, base resolution {_show(recording.clock.base)}). Times cannot be told.",
        offset=recording.offset,
    )


def _settle(
    recording: Recording,
    stated: float,
    other: float,
    other_name: str,
    survey: Callable[[], Survey],
    say: Callable[[str], None],
) -> float:
    """Settle a contradiction by the measured time: the right unit makes the records end where the measurement did."""
    both = f"the header gives a macro time unit of {_show(stated)} but {other_name} gives {_show(other)}"
    stop = _stated_time(recording)
    ends = [survey().end_ticks * unit for unit in (stated, other)]
    fits = [stop is not None and 0.9 * stop <= end <= 1.01 * stop + 5e-3 for end in ends]
    if fits == [False, True]:
        say(f"{both}; the latter is used, since the records then end at {ends[1]:.6g} s of {stop:.6g} s")
        return other
    if fits == [False, False] and not 1 / 1.5 < stated / other < 1.5:
        raise PhotonFileError(
            f"{recording.path}: header (before byte {recording.offset}): {both}. The records end at {ends[0]:.6g} s or "
            f"{ends[1]:.6g} s; the measured time in the header, {_show(stop)}, does not decide between them.",
            offset=recording.offset,
        )
    say(f"{both}; the former is used, the records then end at {ends[0]:.6g} s (measured time: {_show(stop)})")
    return stated


def _tcspc(
    recording: Recording, period: float | None, survey: Callable[[], Survey], say: Callable[[str], None]
) -> float:
    """Return the length of a nanotime tick; the hardware's tick times the binning is the second opinion."""
    clock = recording.clock
    limits = (_TCSPC_TICKS[0], _TCSPC_TICKS[1] if period is None else period)
    others = []
    if clock.base is not None and clock.binning is not None and 1 <= clock.binning <= 2**20:
        others.append(clock.base * clock.binning)
        if clock.binning <= 20:
            others.append(clock.base * 2**clock.binning)
    others = [unit for unit in others if _within(unit, limits)]
    stated = clock.tcspc
    if not _within(stated, limits) or stated is None:
        if not others:
            raise PhotonFileError(
                f"{recording.path}: header (before byte {recording.offset}): expected a TCSPC resolution of "
                f"{limits[0]:g} s to {limits[1]:g} s, found {_show(stated)}, and no other entry gives it.",
                offset=recording.offset,
            )
        say(
            f"the header gives a TCSPC resolution of {_show(stated)}, which cannot be; base resolution times binning "
            f"gives {_show(others[0])}, which is used"
        )
        return others[0]
    if not others or period is None or any(1 / 1.5 < stated / unit < 1.5 for unit in others):
        return stated
    longest = survey().max_nanotime
    use = others[0] if longest * stated > 1.5 * period >= longest * others[0] else stated
    say(
        f"the header gives a TCSPC resolution of {_show(stated)} but base resolution times binning is "
        f"{_show(others[0])}; {_show(use)} is used: the longest nanotime is then {longest * use:.4g} s "
        f"of a laser period of {period:.4g} s"
    )
    return use


def duration(
    recording: Recording, *, end: float, overflows: float, n_read: int, partial: bool, say: Callable[[str], None]
) -> float:
    """Return the length of the recorded window, s.

    Parameters
    ----------
    recording : Recording
        File whose header has been read.
    end : float
        Time of the last record, overflows included, s.
    overflows : float
        Overflow periods that the records run through.
    n_read : int
        Records read.
    partial : bool
        Whether the caller stopped before the end of the file.
    say : callable
        Takes the text of each warning.

    Notes
    -----
    In this order: the stop time of the header, else the requested time, else the last record. A file that ends before
    its announced number of records is over at its last record, unless the records fill the stated time (then the
    number is wrong). Records that end far too early (20 times) after 1000 overflows refute the stated time, since
    hardware goes on writing overflows in the dark; otherwise the stated time stands, with a warning above 10 %.
    """
    stated = _stated_time(recording)
    cut = partial or _cut_short(recording, end, stated)
    if stated is None or cut:
        return end
    if end > 1.01 * stated + 5e-3:
        say(
            f"the header says that the measurement lasted {stated:.6g} s but its records run until {end:.6g} s; one of "
            "the two clocks is wrong, and rates and lifetimes with it. The records are believed"
        )
        return end
    # Headers count whole milliseconds; a silence shorter than an overflow period needs no record.
    wrap = end / overflows if overflows >= 1 else math.inf
    if n_read >= 100 and end < 0.9 * stated - 1e-3 and stated - end > 1.01 * wrap:
        believed = end if end < stated / 20 and overflows >= 1000 else stated
        say(
            f"the header says that the measurement lasted {stated:.6g} s but its records end at {end:.6g} s; "
            f"{believed:.6g} s are taken as its duration"
        )
        return believed
    return max(stated, end)


def _cut_short(recording: Recording, end: float, stated: float | None) -> bool:
    announced, held = recording.announced, recording.n_records
    if announced is None or announced == held:
        return False
    if announced <= 0:  # never completed: without a stop time nobody knows when it ended but the records
        return not (recording.clock.stop or 0) > 0
    fills = stated is not None and 0.98 * stated <= end and held < 0.9 * announced
    return announced > held and not fills


def _stated_time(recording: Recording) -> float | None:
    for time in (recording.clock.stop, recording.clock.requested):
        if time is not None and 0 < time < 1e8:
            return time
    return None


def _within(value: float | None, limits: tuple[float, float]) -> bool:
    return value is not None and limits[0] <= value <= limits[1]


def _reciprocal(rate: float | None) -> float | None:
    return 1 / rate if rate is not None and rate > 0 else None


def _show(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g} s"
