"""Streams without an emitter model: independent light, and T3 photons as T2 hardware records them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from photonstats.simulate.continuous_light import continuous
from photonstats.simulate.detection import PerDetector
from photonstats.simulate.emitter import check_number
from photonstats.simulate.pulsed_light import pulsed
from photonstats.simulate.truth import Truth
from photonstats.stream import PhotonStream


def poisson(
    rates: float | Sequence[float] | Mapping[int, float],
    duration: float,
    *,
    laser_period: float | None = None,
    tcspc_unit: float = 64e-12,
    timestamps_unit: float = 1e-12,
    dead_time: PerDetector = 0.0,
    afterpulsing: PerDetector = 0.0,
    afterpulse_time: float = 50e-9,
    seed: int | np.random.Generator | None = None,
) -> tuple[PhotonStream, Truth]:
    """Simulate light of constant rate, independent on each detector: g2 is 1 at every lag.

    Parameters
    ----------
    rates : float, sequence or dict of int to float
        Rate of each detector, Hz; a single number is that of each of two detectors.
    duration : float
        Recorded window, s.
    laser_period : float, optional
        If given, a T3 stream with flat nanotimes; else T2.
    tcspc_unit, timestamps_unit : float
        Length of a tick of the nanotimes (T3) or the timestamps (T2), s.
    dead_time, afterpulsing, afterpulse_time : optional
        As in `pulsed`.
    seed : int, Generator or None
        Of the random numbers; None for new ones each time.

    Returns
    -------
    PhotonStream
        T2, or T3 with `laser_period`.
    Truth
        All photons are background.

    Examples
    --------
    >>> photons, truth = poisson([1e4, 2e4], 0.5, seed=1)
    >>> truth.background_rate
    {0: 10000.0, 1: 20000.0}
    """
    if isinstance(rates, Mapping):
        rates = [float(rates.get(d, 0.0)) for d in range(max(rates, default=0) + 1)]
    each = [float(rates)] * 2 if isinstance(rates, int | float) else [float(r) for r in rates]
    check_number("duration", duration, above=0.0)
    for d, rate in enumerate(each):
        check_number(f"rate of detector {d}", rate, least=0.0)
    shared: dict[str, Any] = {
        "duration": duration, "split": [1.0] * len(each), "background": dict(enumerate(each)),
        "dead_time": dead_time, "afterpulsing": afterpulsing, "afterpulse_time": afterpulse_time, "seed": seed,
    }  # fmt: skip
    if laser_period is None:
        stream, truth = continuous([], timestamps_unit=timestamps_unit, **shared)
    else:
        stream, truth = pulsed([], laser_period=laser_period, tcspc_unit=tcspc_unit, **shared)
    values = {name: getattr(truth, name) for name in truth.__dataclass_fields__}
    return stream, Truth(**(values | {"mode": "poisson", "g2_zero": 1.0, "g2_zero_far": 1.0, "bunching": 1.0}))


def as_t2(photons: PhotonStream, *, timestamps_unit: float = 1e-12) -> PhotonStream:
    """Turn a T3 stream into what T2 hardware with a recorded sync would have written.

    Parameters
    ----------
    photons : PhotonStream
        With nanotimes and timestamps that count laser pulses.
    timestamps_unit : float
        Length of a tick, s.

    Returns
    -------
    PhotonStream
        Absolute times in `timestamps`, every laser pulse of the window in `syncs`.

    Raises
    ------
    ValueError
        Without nanotimes, or with more than fifty million laser pulses.
    """
    if photons.nanotimes is None or photons.tcspc_unit is None or not photons.pulse_clock:
        raise ValueError("as_t2 needs a T3 stream: nanotimes, and timestamps that count laser pulses")
    period = photons.timestamps_unit
    first = math.ceil(photons.start / period - 1e-6)
    last = math.ceil((photons.start + photons.duration) / period - 1e-6)
    if last - first > 50_000_000:
        raise ValueError(f"{last - first} laser pulses in the window are too many to record; cut it with between()")
    # The middle of a nanotime tick survives rounding to ticks that are shorter than it.
    after = np.minimum((photons.nanotimes + 0.5) * photons.tcspc_unit, period - timestamps_unit)
    ticks = np.floor((photons.timestamps * period + after) / timestamps_unit).astype(np.int64)
    syncs = np.rint(np.arange(first, last) * (period / timestamps_unit)).astype(np.int64)
    return PhotonStream._trusted(
        timestamps=ticks,
        detectors=photons.detectors,
        timestamps_unit=timestamps_unit,
        laser_period=period,
        duration=photons.duration,
        start=photons.start,
        pulse_clock=False,
        syncs=syncs,
    )
