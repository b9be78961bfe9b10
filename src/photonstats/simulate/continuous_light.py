"""Continuous excitation: T2 streams of emitters that climb and descend the ladder of their states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.simulate.blinking import LevelPath, draw_path
from photonstats.simulate.detection import (
    BACKGROUND,
    Light,
    PerDetector,
    choose_detectors,
    flat_light,
    jitter,
    make_detectors,
    record,
)
from photonstats.simulate.emitter import Emitter, as_emitters, check_number
from photonstats.simulate.expected import Ladder, ladder
from photonstats.simulate.pulsed_light import solve_efficiency
from photonstats.simulate.truth import Truth, describe_light
from photonstats.stream import PhotonStream


def continuous(
    emitters: Emitter | Sequence[Emitter],
    *,
    duration: float,
    excitation_rate: float = 1e6,
    efficiency: float | None = None,
    rate: float | None = None,
    split: Sequence[float] = (0.5, 0.5),
    background: PerDetector = 0.0,
    irf_sigma: float = 0.0,
    irf_tail: float = 0.0,
    irf_tail_fraction: float = 0.0,
    dead_time: PerDetector = 0.0,
    afterpulsing: PerDetector = 0.0,
    afterpulse_time: float = 50e-9,
    delay: PerDetector = 0.0,
    timestamps_unit: float = 1e-12,
    seed: int | np.random.Generator | None = None,
) -> tuple[PhotonStream, Truth]:
    """Simulate emitters under continuous excitation, recorded in T2 mode.

    Parameters
    ----------
    emitters : Emitter or sequence of Emitter
        Independent of each other.
    duration : float
        Recorded window, s.
    excitation_rate : float
        Rate from the ground state to the exciton, and from the exciton to the biexciton, Hz.
    efficiency : float, optional
        Detected photons per emitted one, all detectors together, 0 to 1; 0.05 if neither this nor `rate` is given.
    rate : float, optional
        In its place: detected signal with every emitter in its brightest level, all detectors together, Hz.
    split, background, irf_sigma, irf_tail, irf_tail_fraction : optional
        As in `pulsed`.
    dead_time, afterpulsing, afterpulse_time, delay : optional
        As in `pulsed`.
    timestamps_unit : float
        Length of a tick, s.
    seed : int, Generator or None
        Of the random numbers; None for new ones each time.

    Returns
    -------
    PhotonStream
        Absolute times.
    Truth
        What is known; `Truth.g2` is the correlation at short lags.

    Raises
    ------
    ValueError
        If a setting lies outside of its range, or `rate` cannot be reached.

    Notes
    -----
    Ground, exciton, biexciton, and a dark state that the exciton falls into at the rate `Emitter.shelving_rate`; the
    jumps between them are a Markov chain. The counts of jumps between two detections are geometric and multinomial, and
    the time is a sum of Gamma variables with these counts: exact, at a cost that does not depend on the photons that
    are lost. A two-level emitter has ``g2 = 1 - exp(-(W + k)|lag|)``. When an emitter comes back to a level it
    continues in the state in which it left that level.

    Examples
    --------
    >>> photons, truth = continuous(Emitter(lifetime=10e-9), duration=0.1, rate=20e3, seed=1)
    >>> truth.g2([0.0, 1e-6]).round(3).tolist()
    [0.0, 1.0]
    """
    dots = as_emitters(emitters)
    for name, value in (("duration", duration), ("timestamps_unit", timestamps_unit)):
        check_number(name, value, above=0.0)
    check_number("excitation_rate", excitation_rate, least=0.0)
    detectors = make_detectors(
        split=split, background=background, irf_sigma=irf_sigma, irf_tail=irf_tail,
        irf_tail_fraction=irf_tail_fraction, dead_time=dead_time, afterpulsing=afterpulsing,
        afterpulse_time=afterpulse_time, delay=delay,
    )  # fmt: skip
    brightest = sum(max(ladder(e, level, excitation_rate, 1.0).rate() for level in e.levels) for e in dots)
    share = solve_efficiency(efficiency, rate, brightest, dots)
    blink_rng, light_rng, detector_rng = np.random.default_rng(seed).spawn(3)
    paths = tuple(draw_path(e.blinking, duration, blink_rng) for e in dots)
    margin = detectors.margin + max((_memory(e, excitation_rate) for e in dots), default=0.0)
    parts = []
    for number, (emitter, path) in enumerate(zip(dots, paths, strict=True)):
        rungs = [ladder(emitter, level, excitation_rate, share) for level in emitter.levels]
        times = _emitted(rungs, path, margin, light_rng)
        jitter(times, detectors, detector_rng)
        origin = np.full(times.size, number, np.int16)
        parts.append(Light(None, times, origin, choose_detectors(times.size, detectors, detector_rng)))
    flat = flat_light(detectors.background, BACKGROUND, -margin, duration + margin, detector_rng)
    parts.append(Light(None, *flat))
    stream, origin, counts = record(parts, detectors, detector_rng, duration=duration, unit=timestamps_unit)

    def photons(emitter: Emitter, level: Any) -> tuple[float, float]:
        rungs = ladder(emitter, level, excitation_rate, share)
        return rungs.rate(), float(rungs.pairs(np.zeros(1))[0])

    known = describe_light(dots, paths, detectors, duration, 1.0, photons) | counts
    settings = {
        "duration": duration, "excitation_rate": excitation_rate, "timestamps_unit": timestamps_unit,
        "detectors": detectors,
    }  # fmt: skip
    return stream, Truth("continuous", settings, dots, paths, share, **known, origin=origin)


def _memory(emitter: Emitter, excitation_rate: float) -> float:
    """Return the time after which an emitter has forgotten its state, s."""
    waiting = 20.0 / excitation_rate if excitation_rate > 0 else 0.0
    slowest = max(max(level.lifetime, level.biexciton_lifetime) for level in emitter.levels)
    return min(waiting, 1e-3) + 20.0 * (slowest + emitter.shelving_time)


def _emitted(rungs: Sequence[Ladder], path: LevelPath, margin: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the detected photons of an emitter: absolute times, s, level after level.

    Each level has a clock of its own that runs only while the emitter is in it.
    """
    starts, stops = path.edges[:-1].copy(), path.edges[1:].copy()
    starts[0] -= margin
    stops[-1] += margin
    found = []
    for number, rung in enumerate(rungs):
        mine = np.flatnonzero(path.levels == number)
        clock = np.concatenate([np.zeros(1), np.cumsum(stops[mine] - starts[mine])])
        times = _detections(rung, float(clock[-1]), rng)
        photons = np.diff(np.searchsorted(times, clock))
        found.append(times + np.repeat(starts[mine] - clock[:-1], photons))
    return np.concatenate(found)


def _detections(rung: Ladder, duration: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw detection times in [0, duration) of a ladder that starts in the ground state."""
    rate = rung.rate()
    if rate <= 0 or duration <= 0:
        return np.empty(0)
    parts, begin, from_ground = [], 0.0, True
    while begin < duration:
        expected = rate * (duration - begin)
        # Bunched light scatters more than sqrt(n); what is missing is drawn in another round.
        waits, from_ground = _waiting_times(rung, int(expected + 6.0 * math.sqrt(expected) + 16.0), from_ground, rng)
        times = np.cumsum(waits)
        times += begin
        parts.append(times)
        begin = float(times[-1])
    times = np.concatenate(parts)
    return times[: np.searchsorted(times, duration)]


def _waiting_times(
    rung: Ladder, n: int, from_ground: bool, rng: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """Draw n times between detections; return them, and whether the last photon leaves the ground state.

    From each visit to the exciton leads one of: biexciton (detected or not), ground (detected or not), dark state. The
    number of visits up to the detection is geometric, what became of the others multinomial.
    """
    up = rung.excite if rung.biexciton > 0 else 0.0
    leave = up + rung.exciton + rung.shelve
    see_pair, see_one = up / leave * rung.detect_biexciton, rung.exciton / leave * rung.detect_exciton
    visits = rng.geometric(see_pair + see_one, n)
    in_vain = visits - 1
    last_is_pair = rng.random(n) * (see_pair + see_one) < see_pair if see_pair > 0 else np.zeros(n, np.bool_)
    unseen = 1.0 - see_pair - see_one
    pairs = _share(in_vain, (up / leave - see_pair) / unseen if unseen > 0 else 0.0, rng)
    rest = unseen - (up / leave - see_pair)
    shelved = _share(in_vain - pairs, rung.shelve / leave / rest if rest > 0 else 0.0, rng)
    grounds = in_vain - pairs
    grounds[1:] += ~last_is_pair[:-1]
    grounds[0] += from_ground
    waits = rng.standard_gamma(grounds) / rung.excite
    waits += rng.standard_gamma(visits) / leave
    if up > 0:
        waits += rng.standard_gamma(pairs + last_is_pair) / rung.biexciton
    if rung.shelve > 0:
        waits += rng.standard_gamma(shelved) / rung.unshelve
    return waits, not last_is_pair[-1]


def _share(numbers: NDArray[np.int64], chance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    if chance <= 0:
        return np.zeros(numbers.size, np.int64)
    return rng.binomial(numbers, min(chance, 1.0))
