"""From light at the detectors to records: splitting, jitter, dead time, afterpulses, cables, clocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photonstats.kernels.detection import detect
from photonstats.simulate.emitter import check_number
from photonstats.stream import PhotonStream

PerDetector = float | Mapping[int, float]

BACKGROUND, SCATTER, AFTERPULSE = -1, -2, -3


@dataclass(frozen=True)
class Detectors:
    """The detectors and their faults, one value for each detector.

    Parameters
    ----------
    split : tuple of float
        Share of the light on each detector; the sum is 1.
    background, scatter : tuple of float
        Hz.
    irf_sigma, irf_tail : float
        Gaussian and exponential part of the jitter, s.
    irf_tail_fraction : float
        Share of the photons with the exponential part.
    dead_time, afterpulsing, delay : tuple of float
        s, probability, s.
    afterpulse_time : float
        Mean delay of an afterpulse beyond the dead time, s.
    """

    split: tuple[float, ...]
    background: tuple[float, ...]
    scatter: tuple[float, ...]
    irf_sigma: float
    irf_tail: float
    irf_tail_fraction: float
    dead_time: tuple[float, ...]
    afterpulsing: tuple[float, ...]
    afterpulse_time: float
    delay: tuple[float, ...]

    @property
    def margin(self) -> float:
        """Time around the window from which photons can get into it, s.

        At least 10 us, so that a small delay or jitter does not change which random numbers make the light.
        """
        reach = max(abs(d) for d in self.delay) + 10.0 * self.irf_sigma + 30.0 * self.irf_tail + max(self.dead_time)
        return max(reach, 10e-6)


def make_detectors(
    *,
    split: Sequence[float] = (0.5, 0.5),
    background: PerDetector = 0.0,
    scatter: PerDetector = 0.0,
    irf_sigma: float = 0.0,
    irf_tail: float = 0.0,
    irf_tail_fraction: float = 0.0,
    dead_time: PerDetector = 0.0,
    afterpulsing: PerDetector = 0.0,
    afterpulse_time: float = 50e-9,
    delay: PerDetector = 0.0,
) -> Detectors:
    """Check the settings of the detectors and give each of them its value; see `pulsed`.

    Raises
    ------
    ValueError
        If a value lies outside of its range or belongs to a detector that is not there.
    """
    shares = [float(share) for share in split]
    if not 1 <= len(shares) <= 256 or min(shares) < 0 or not 0 < sum(shares) < math.inf:
        raise ValueError(f"split must give each of 1 to 256 detectors its share of the light, >= 0; it is {shares}")
    n = len(shares)
    for name, value in (("irf_sigma", irf_sigma), ("irf_tail", irf_tail), ("afterpulse_time", afterpulse_time)):
        check_number(name, value, least=0.0)
    check_number("irf_tail_fraction", irf_tail_fraction, least=0.0, most=1.0)
    # A single delay is that of one cable against the other: between two detectors only the difference counts.
    delays = delay if isinstance(delay, Mapping) or n == 1 else {1: float(delay)}
    return Detectors(
        split=tuple(share / sum(shares) for share in shares),
        background=_each("background", background, n, least=0.0),
        scatter=_each("scatter", scatter, n, least=0.0),
        irf_sigma=irf_sigma,
        irf_tail=irf_tail,
        irf_tail_fraction=irf_tail_fraction,
        dead_time=_each("dead_time", dead_time, n, least=0.0),
        afterpulsing=_each("afterpulsing", afterpulsing, n, least=0.0, most=0.9),
        afterpulse_time=afterpulse_time,
        delay=_each("delay", delays, n),
    )


@dataclass
class Light:
    """Photons on their way; `pulse` is None where time is absolute.

    Parameters
    ----------
    pulse : ndarray of int64 or None, shape (n,)
        Laser pulse to which the time adds.
    time : ndarray of float, shape (n,)
        s.
    origin : ndarray of int16, shape (n,)
        Number of the emitter, or BACKGROUND, SCATTER, AFTERPULSE.
    detector : ndarray of uint8, shape (n,)
    """

    pulse: NDArray[np.int64] | None
    time: NDArray[np.float64]
    origin: NDArray[np.int16]
    detector: NDArray[np.uint8]

    def absolute(self, period: float) -> NDArray[np.float64]:
        """Return the absolute times, s."""
        return self.time if self.pulse is None else self.pulse * period + self.time


def choose_detectors(n: int, detectors: Detectors, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Send n photons through the beam splitters."""
    if len(detectors.split) == 1:
        return np.zeros(n, np.uint8)
    if len(detectors.split) == 2:
        return (rng.random(n) >= detectors.split[0]).astype(np.uint8)
    ladder = np.cumsum(detectors.split[:-1])
    return np.searchsorted(ladder, rng.random(n), side="right").astype(np.uint8)


def jitter(times: NDArray[np.float64], detectors: Detectors, rng: np.random.Generator) -> None:
    """Add the response of the instrument to times, in place."""
    if detectors.irf_sigma > 0:
        times += detectors.irf_sigma * rng.standard_normal(times.size)
    if detectors.irf_tail > 0 and detectors.irf_tail_fraction > 0:
        late = np.flatnonzero(rng.random(times.size) < detectors.irf_tail_fraction)
        times[late] += rng.exponential(detectors.irf_tail, late.size)


def record(
    parts: list[Light],
    detectors: Detectors,
    rng: np.random.Generator,
    *,
    duration: float,
    unit: float,
    period: float | None = None,
) -> tuple[PhotonStream, NDArray[np.int16], dict[str, int]]:
    """Let the detectors and the clock see the light; return the stream, the origin of each photon, and counts.

    Parameters
    ----------
    parts : list of Light
        Consumed.
    duration : float
        Window, s.
    unit : float
        Of the nanotimes where `period` is given, else of the timestamps, s.
    period : float, optional
        Laser period for T3, s.
    """
    light = _merge(parts)
    light, n_lost = _detected(light, detectors, period or 0.0, rng)
    if any(detectors.delay):
        light.time += np.array(detectors.delay)[light.detector]
    if period is None:
        stream, origin = _record_t2(light, duration, unit)
    else:
        stream, origin = _record_t3(light, duration, period, unit)
    counts = {
        "n_signal": int(np.count_nonzero(origin >= 0)),
        "n_background": int(np.count_nonzero(origin == BACKGROUND)),
        "n_scatter": int(np.count_nonzero(origin == SCATTER)),
        "n_afterpulses": int(np.count_nonzero(origin == AFTERPULSE)),
        "n_lost": n_lost,
    }
    origin.flags.writeable = False
    return stream, origin, counts


def flat_light(
    rates: Sequence[float], origin: int, start: float, stop: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int16], NDArray[np.uint8]]:
    """Return times (s), origins and detectors of light of constant rate on each detector, detector after detector."""
    numbers = [int(rng.poisson(rate * (stop - start))) for rate in rates]
    times = start + (stop - start) * rng.random(sum(numbers))
    which = np.repeat(np.arange(len(numbers), dtype=np.uint8), numbers)
    return times, np.full(times.size, origin, np.int16), which


def _merge(parts: list[Light]) -> Light:
    if len(parts) == 1:
        return parts.pop()
    pulses = [part.pulse for part in parts if part.pulse is not None]
    merged = Light(
        np.concatenate(pulses) if pulses else None,
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.origin for part in parts]),
        np.concatenate([part.detector for part in parts]),
    )
    parts.clear()
    return merged


def _detected(light: Light, detectors: Detectors, period: float, rng: np.random.Generator) -> tuple[Light, int]:
    """Apply dead time and afterpulsing to each detector on absolute times."""
    if not any(detectors.dead_time) and not any(detectors.afterpulsing):
        return light, 0
    times = light.absolute(period)
    order = np.argsort(times, kind="stable")
    found, n_lost = [], 0
    for d, (dead, chance) in enumerate(zip(detectors.dead_time, detectors.afterpulsing, strict=True)):
        mine = order[light.detector[order] == d]
        recorded, source = _one_detector(times[mine], dead, chance, detectors.afterpulse_time, rng)
        photon = source >= 0
        n_lost += mine.size - int(np.count_nonzero(photon))
        parents = mine[source[photon]]
        found.append(_taken(light, parents))
        if photon.all():
            continue
        echo = recorded[~photon]
        pulse = None
        if light.pulse is not None:
            pulse = np.floor(echo / period).astype(np.int64)
            echo -= pulse * period
        found.append(Light(pulse, echo, np.full(echo.size, AFTERPULSE, np.int16), np.full(echo.size, d, np.uint8)))
    return _merge(found), n_lost


def _one_detector(
    times: NDArray[np.float64], dead: float, chance: float, mean_delay: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    expected = times.size * chance / (1.0 - chance)
    room = times.size
    if chance > 0:
        room += int(expected + 10.0 * math.sqrt(expected / (1.0 - chance) ** 2) + 100.0)
    while True:
        recorded, source = np.empty(room), np.empty(room, np.int64)
        echoes = np.empty(0)
        if chance > 0:
            echoes = np.full(room, np.inf)
            with_echo = np.flatnonzero(rng.random(room) < chance)
            echoes[with_echo] = dead + rng.exponential(mean_delay, with_echo.size)
        made = detect(times, dead, echoes, recorded, source)
        if made >= 0:
            return recorded[:made], source[:made]
        room *= 2


def _taken(light: Light, which: NDArray[np.int64]) -> Light:
    pulse = None if light.pulse is None else light.pulse[which]
    return Light(pulse, light.time[which], light.origin[which], light.detector[which])


def _record_t2(light: Light, duration: float, unit: float) -> tuple[PhotonStream, NDArray[np.int16]]:
    ticks = np.floor(light.time / unit).astype(np.int64)
    order = np.argsort(ticks, kind="stable")
    ticks = ticks[order]
    first, last = np.searchsorted(ticks, [0, math.ceil(duration / unit - 1e-6)])
    order = order[first:last]
    stream = PhotonStream._trusted(
        timestamps=ticks[first:last].copy(),
        detectors=light.detector[order],
        timestamps_unit=unit,
        duration=duration,
        pulse_clock=False,
    )
    return stream, light.origin[order]


def _record_t3(light: Light, duration: float, period: float, unit: float) -> tuple[PhotonStream, NDArray[np.int16]]:
    """Count each photon from the last sync before it, as the hardware does."""
    assert light.pulse is not None
    late = np.floor(light.time / period)
    light.time -= late * period
    pulse = light.pulse + late.astype(np.int64)
    # Rounding can leave a remainder of a whole period; it belongs to the last tick of the pulse.
    most = math.ceil(period / unit - 1e-9) - 1
    tick = np.clip((light.time / unit).astype(np.int64), 0, most)
    key = pulse * (most + 1) + tick
    del pulse, tick
    end = key_at(duration, period, unit, most)
    order = np.argsort(key, kind="stable")
    key = key[order]
    first, last = np.searchsorted(key, [0, end])
    key, order = key[first:last], order[first:last]
    timestamps = key // (most + 1)
    stream = PhotonStream._trusted(
        timestamps=timestamps,
        detectors=light.detector[order],
        nanotimes=(key - timestamps * (most + 1)).astype(np.uint16),
        timestamps_unit=period,
        tcspc_unit=unit,
        laser_period=period,
        duration=duration,
        pulse_clock=True,
    )
    return stream, light.origin[order]


def key_at(time: float, period: float, unit: float, most: int) -> int:
    """Return the first combined tick (pulse and nanotime) at or after a time."""
    pulses = math.floor(time / period + 1e-9)
    rest = max(time - pulses * period, 0.0)
    return pulses * (most + 1) + min(math.ceil(rest / unit - 1e-6), most + 1)


def _each(
    name: str, value: PerDetector, n: int, *, least: float = -math.inf, most: float = math.inf
) -> tuple[float, ...]:
    values = dict(value) if isinstance(value, Mapping) else dict.fromkeys(range(n), float(value))
    for detector, number in values.items():
        if detector not in range(n):
            raise ValueError(f"{name} names detector {detector}, but split gives light to detectors 0 to {n - 1} only")
        check_number(f"{name} of detector {detector}", number, least=least, most=most)
    return tuple(float(values.get(d, 0.0)) for d in range(n))
