"""Pulsed light: T3 streams of emitters with exciton and biexciton."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.simulate.blinking import LevelPath, draw_path
from photonstats.simulate.detection import (
    BACKGROUND,
    SCATTER,
    Detectors,
    Light,
    PerDetector,
    choose_detectors,
    flat_light,
    jitter,
    make_detectors,
    record,
)
from photonstats.simulate.emitter import Emitter, as_emitters, check_number
from photonstats.simulate.expected import pulse_chances, pulse_moments
from photonstats.simulate.truth import Truth, decay_of, describe_light
from photonstats.stream import PhotonStream


def pulsed(
    emitters: Emitter | Sequence[Emitter],
    *,
    duration: float,
    laser_period: float = 200e-9,
    excitation: float = 0.1,
    efficiency: float | None = None,
    rate: float | None = None,
    t0: float = 0.0,
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
    tcspc_unit: float = 64e-12,
    seed: int | np.random.Generator | None = None,
) -> tuple[PhotonStream, Truth]:
    """Simulate emitters under pulsed excitation, recorded in T3 mode.

    Parameters
    ----------
    emitters : Emitter or sequence of Emitter
        Independent of each other.
    duration : float
        Recorded window, s.
    laser_period : float
        Time between pulses, s.
    excitation : float
        Mean number of excitons that a pulse makes in each emitter, >= 0.
    efficiency : float, optional
        Detected photons per emitted one, all detectors together, 0 to 1; 0.05 if neither this nor `rate` is given.
    rate : float, optional
        In its place: detected signal with every emitter in its brightest level, all detectors together, Hz.
    t0 : float
        Time after the recorded sync at which the pulse reaches the detectors, s.
    split : sequence of float
        Share of the light on each detector; as many detectors as shares.
    background : float or dict of int to float
        Light of constant rate on each detector, Hz; a dict names detectors.
    scatter : float or dict of int to float
        Laser light on each detector, at the pulse, Hz.
    irf_sigma : float
        Gaussian jitter of detection, standard deviation, s.
    irf_tail, irf_tail_fraction : float
        Mean (s) of an exponential tail of the jitter, and the share of photons that have it.
    dead_time : float or dict of int to float
        After each detection the detector is blind that long, s (not paralysable).
    afterpulsing : float or dict of int to float
        Probability of an afterpulse of a detection, 0 to 0.9; afterpulses have afterpulses too.
    afterpulse_time : float
        Mean delay of an afterpulse, exponential, counted from the end of the dead time, s.
    delay : float or dict of int to float
        Cable delay of detector 1, or of each detector, s; either sign, also beyond the laser period.
    tcspc_unit : float
        Length of a nanotime tick, s.
    seed : int, Generator or None
        Of the random numbers; None for new ones each time.

    Returns
    -------
    PhotonStream
        In the order of hardware: by arrival. A photon that comes after the next sync is counted from that one.
    Truth
        What is known.

    Raises
    ------
    ValueError
        If a setting lies outside of its range, or `rate` cannot be reached.

    Notes
    -----
    The number of excitons per pulse is Poissonian. One decays with the exciton's lifetime and yield; two or more give a
    biexciton (higher ones fall to it at once, in the dark), then an exciton whose clock starts when the biexciton has
    decayed. Each pulse finds the ground state: what is left of the pulse before is not excited further, which matters
    where the laser period is not long against the lifetime. Blinking switches between pulses. Detection outcomes are
    drawn exactly, at a cost that goes with the detected photons and not with the pulses.

    Examples
    --------
    >>> photons, truth = pulsed(Emitter(lifetime=10e-9), duration=0.1, rate=50e3, seed=1)
    >>> truth.g2_zero, round(sum(truth.signal_rate.values()))
    (0.0, 50000)
    """
    dots = as_emitters(emitters)
    _check(duration, laser_period, excitation, t0, tcspc_unit)
    detectors = make_detectors(
        split=split, background=background, scatter=scatter, irf_sigma=irf_sigma, irf_tail=irf_tail,
        irf_tail_fraction=irf_tail_fraction, dead_time=dead_time, afterpulsing=afterpulsing,
        afterpulse_time=afterpulse_time, delay=delay,
    )  # fmt: skip
    brightest = sum(
        max(pulse_moments(level, excitation, e.brightness)[0] for level in e.levels) / laser_period for e in dots
    )
    share = solve_efficiency(efficiency, rate, brightest, dots)
    blink_rng, light_rng, detector_rng = np.random.default_rng(seed).spawn(3)
    paths = tuple(draw_path(e.blinking, duration, blink_rng) for e in dots)
    slowest = max((max(lv.lifetime, lv.biexciton_lifetime) for e in dots for lv in e.levels), default=0.0)
    margin = detectors.margin + abs(t0) + 40.0 * slowest
    pulses = _pulse_range(duration, margin, laser_period)
    parts = []
    for number, (emitter, path) in enumerate(zip(dots, paths, strict=True)):
        pulse, time = _emitted(emitter, path, pulses, laser_period, excitation, share * emitter.brightness, light_rng)
        parts.append(_at_detectors(pulse, time, number, t0, detectors, detector_rng))
    parts.append(_scattered(pulses, laser_period, t0, detectors, detector_rng))
    parts.append(_background(pulses, laser_period, detectors, detector_rng))
    stream, origin, counts = record(
        parts, detectors, detector_rng, duration=duration, unit=tcspc_unit, period=laser_period
    )

    def photons(emitter: Emitter, level: Any) -> tuple[float, float]:
        return pulse_moments(level, excitation, share * emitter.brightness)

    known = describe_light(dots, paths, detectors, duration, laser_period, photons)
    known |= decay_of(dots, paths, excitation) | counts
    settings = {
        "duration": duration, "laser_period": laser_period, "excitation": excitation, "t0": t0,
        "tcspc_unit": tcspc_unit, "detectors": detectors,
    }  # fmt: skip
    return stream, Truth("pulsed", settings, dots, paths, share, **known, origin=origin)


def solve_efficiency(
    efficiency: float | None, rate: float | None, brightest: float, emitters: Sequence[Emitter]
) -> float:
    """Return the efficiency as given, or the one that gives `rate` where unit efficiency gives `brightest` (Hz).

    Raises
    ------
    ValueError
        If both are given, or the rate is out of reach.
    """
    if efficiency is not None and rate is not None:
        raise ValueError(f"give efficiency or rate, not both: {efficiency} and {rate} Hz")
    if rate is not None:
        check_number("rate", rate, least=0.0)
    share = 0.05 if efficiency is None else efficiency
    if rate is not None:
        share = 0.0 if rate == 0 else rate / brightest if brightest > 0 else math.inf
    most = 1.0 / max((e.brightness for e in emitters), default=1.0)
    if rate is not None and share > most:
        raise ValueError(
            f"rate {rate:.6g} Hz is out of reach: with every photon detected there are {brightest * most:.6g} Hz; "
            f"raise the excitation or lower the rate"
        )
    check_number("efficiency", share, least=0.0, most=most)
    return share


def _check(duration: float, laser_period: float, excitation: float, t0: float, tcspc_unit: float) -> None:
    check_number("duration", duration, above=0.0)
    check_number("laser_period", laser_period, above=0.0)
    check_number("excitation", excitation, least=0.0)
    check_number("t0", t0)
    check_number("tcspc_unit", tcspc_unit, above=0.0)
    if laser_period / tcspc_unit > 65536:
        raise ValueError(
            f"laser_period {laser_period:g} s has {laser_period / tcspc_unit:.0f} ticks of tcspc_unit "
            f"{tcspc_unit:g} s, nanotimes hold 65536: use a longer tcspc_unit"
        )
    if laser_period < tcspc_unit:
        raise ValueError(f"tcspc_unit {tcspc_unit:g} s is longer than laser_period {laser_period:g} s")


def _pulse_range(duration: float, margin: float, period: float) -> tuple[int, int]:
    """Return the first pulse and the one after the last whose light can fall into the window."""
    around = math.ceil(margin / period) + 1
    return -around, math.ceil(duration / period) + around


def _emitted(
    emitter: Emitter,
    path: LevelPath,
    pulses: tuple[int, int],
    period: float,
    excitation: float,
    efficiency: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw the detected photons of an emitter: pulse, and time after it.

    A pulse in a level with detection probability p has a detection if a Poisson process of hazard ``-log(1-p)`` per
    pulse has a point in it, which is exact and lets the pulses without one be skipped at any number of levels.
    """
    chances = [pulse_chances(level, excitation, efficiency) for level in emitter.levels]
    hazard = np.array([-math.log1p(-c.any) for c in chances])
    edges = np.ceil(path.edges / period).astype(np.int64)
    edges[0], edges[-1] = pulses
    spent = np.concatenate([np.zeros(1), np.cumsum(np.diff(edges) * hazard[path.levels])])
    points = _sorted_uniform(rng.poisson(spent[-1]), float(spent[-1]), rng)
    numbers = np.diff(np.searchsorted(points, spent[1:-1]), prepend=0, append=points.size)
    level: NDArray[np.intp] | int = np.repeat(path.levels, numbers) if hazard.size > 1 else 0
    if path.levels.size > 1:
        points -= np.repeat(spent[:-1], numbers)
        points /= hazard[level]
        pulse = np.minimum(points.astype(np.int64), np.repeat(np.diff(edges) - 1, numbers))
        pulse += np.repeat(edges[:-1], numbers)
    elif points.size:
        points /= hazard[path.levels[0]]
        pulse = np.minimum(points.astype(np.int64) + pulses[0], pulses[1] - 1)
        level = int(path.levels[0])
    else:
        pulse = np.empty(0, np.int64)
    first = np.concatenate([np.ones(min(pulse.size, 1), np.bool_), pulse[1:] != pulse[:-1]])
    if not isinstance(level, int):
        level = level[first]
    return _cascade(emitter, chances, pulse[first], level, rng)


def _cascade(
    emitter: Emitter, chances: Sequence[Any], pulse: NDArray[np.int64], level: NDArray[np.intp] | int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # fmt: skip
    """Draw what each pulse with a detection gave, and when."""
    ladder = np.array([[c.one, c.pair_first, c.pair_second, c.pair_both] for c in chances]).cumsum(axis=1)
    lifetime = np.array([lv.lifetime for lv in emitter.levels])
    pair_lifetime = np.array([lv.biexciton_lifetime for lv in emitter.levels])
    draw = rng.random(pulse.size) * ladder[level, 3]
    paired = np.flatnonzero(draw >= ladder[level, 0])
    time = rng.standard_exponential(pulse.size) * lifetime[level]
    if paired.size == 0:
        return pulse, time
    level_of_pair = level if isinstance(level, int) else level[paired]
    start = rng.standard_exponential(paired.size) * pair_lifetime[level_of_pair]
    time[paired] += start
    steps = ladder[level_of_pair]
    first_only = draw[paired] < steps[..., 1]
    both = draw[paired] >= steps[..., 2]
    time[paired[first_only]] = start[first_only]
    pulse = np.concatenate([pulse, pulse[paired[both]]])
    return pulse, np.concatenate([time, start[both]])


def _sorted_uniform(n: int, end: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return n sorted uniform numbers in [0, end): cumulated exponentials, without a sort."""
    if n == 0:
        return np.empty(0)
    points = np.cumsum(rng.standard_exponential(n + 1))
    scaled: NDArray[np.float64] = points[:-1] * (end / points[-1])
    return scaled


def _at_detectors(
    pulse: NDArray[np.int64], time: NDArray[np.float64], origin: int, t0: float, detectors: Detectors,
    rng: np.random.Generator,
) -> Light:  # fmt: skip
    time += t0
    jitter(time, detectors, rng)
    return Light(pulse, time, np.full(time.size, origin, np.int16), choose_detectors(time.size, detectors, rng))


def _scattered(
    pulses: tuple[int, int], period: float, t0: float, detectors: Detectors, rng: np.random.Generator
) -> Light:
    span = (pulses[1] - pulses[0]) * period
    numbers = [int(rng.poisson(rate * span)) for rate in detectors.scatter]
    pulse = rng.integers(pulses[0], pulses[1], sum(numbers))
    time = np.full(pulse.size, t0)
    jitter(time, detectors, rng)
    which = np.repeat(np.arange(len(numbers), dtype=np.uint8), numbers)
    return Light(pulse, time, np.full(pulse.size, SCATTER, np.int16), which)


def _background(pulses: tuple[int, int], period: float, detectors: Detectors, rng: np.random.Generator) -> Light:
    times, origin, which = flat_light(detectors.background, BACKGROUND, pulses[0] * period, pulses[1] * period, rng)
    pulse = np.floor(times / period).astype(np.int64)
    return Light(pulse, times - pulse * period, origin, which)
