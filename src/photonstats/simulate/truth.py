"""What is known of a simulated stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.result import Result, to_plain
from photonstats.simulate.blinking import LevelPath
from photonstats.simulate.detection import Detectors
from photonstats.simulate.emitter import Emitter
from photonstats.simulate.expected import decay_components, joint_levels, ladder, pulse_moments

Photons = Callable[[Emitter, Any], tuple[float, float]]


def _empty() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, eq=False, repr=False)
class Truth(Result):
    """What is known of a simulated stream.

    Parameters
    ----------
    mode : str
        "pulsed", "continuous" or "poisson".
    settings : dict
        The parameters of the simulation.
    emitters : tuple of Emitter
        As given.
    paths : tuple of LevelPath
        The levels that each emitter went through.
    efficiency : float
        Detected photons per emitted one, all detectors together, at brightness 1.
    signal_rate, background_rate, scatter_rate : dict of int to float
        Expected rate of each detector for these paths, Hz, before dead time, without afterpulses.
    level_rates : tuple of ndarray
        Expected signal of each emitter in each of its levels, all detectors together, Hz.
    g2_zero, g2_zero_far : float
        Of the light alone: pairs at zero lag over those at lags short against blinking, and over the product of the
        mean rates.
    bunching : float
        ``<I^2>/<I>^2`` of the light, the ratio of the two.
    g2_zero_raw, g2_zero_far_raw : float
        The same with background and scatter, as detectors 0 and 1 record it; nan for a single detector.
    lifetimes, fractions : ndarray of float
        Exponentials of the decay, s, and their share of the photons, sum 1; empty for other than pulsed light.
    n_signal, n_background, n_scatter, n_afterpulses : int
        Photons in the stream.
    n_lost : int
        Photons lost to dead time, around the window included.
    origin : ndarray of int16
        For each photon the number of its emitter, or -1 background, -2 scatter, -3 afterpulse.

    Notes
    -----
    All but the numbers of photons are expectations, given the paths. They count all pairs of a pulse as such: where
    light outlives the laser period, part of the pairs moves to the neighbouring peaks. They leave out dead time and
    afterpulses. A biexciton with just the lifetime of its exciton gives no sum of exponentials: fractions are nan.
    """

    mode: str
    settings: dict[str, Any]
    emitters: tuple[Emitter, ...] = ()
    paths: tuple[LevelPath, ...] = ()
    efficiency: float = math.nan
    signal_rate: dict[int, float] = field(default_factory=dict)
    background_rate: dict[int, float] = field(default_factory=dict)
    scatter_rate: dict[int, float] = field(default_factory=dict)
    level_rates: tuple[NDArray[np.float64], ...] = ()
    g2_zero: float = math.nan
    g2_zero_far: float = math.nan
    bunching: float = math.nan
    g2_zero_raw: float = math.nan
    g2_zero_far_raw: float = math.nan
    lifetimes: NDArray[np.float64] = field(default_factory=_empty)
    fractions: NDArray[np.float64] = field(default_factory=_empty)
    n_signal: int = 0
    n_background: int = 0
    n_scatter: int = 0
    n_afterpulses: int = 0
    n_lost: int = 0
    origin: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16), repr=False)

    def gated_g2_zero(self, gate: ArrayLike) -> NDArray[np.float64]:
        """Return g2(0) against near side peaks for photons later than `gate` (s) after the pulse, on both detectors.

        Raises
        ------
        ValueError
            For other than pulsed light.
        """
        if self.mode != "pulsed":
            raise ValueError(f"a gate after the pulse needs pulsed light, this stream is {self.mode}")
        excitation = self.settings["excitation"]

        def late(time: float) -> float:
            def photons(emitter: Emitter, level: Any) -> tuple[float, float]:
                return pulse_moments(level, excitation, self.efficiency * emitter.brightness, time)

            side, centre, _ = _averages(self.emitters, self.paths, self.settings["duration"], photons)
            return centre / side if side > 0 else math.nan

        gates = np.asarray(gate, dtype=np.float64)
        return np.array([late(float(t)) for t in gates.ravel()]).reshape(gates.shape)

    def g2(self, lag: ArrayLike) -> NDArray[np.float64]:
        """Return g2 of the light at lags (s) short against blinking, normalised there; continuous light only.

        Raises
        ------
        ValueError
            For other than continuous light.
        """
        if self.mode != "continuous":
            raise ValueError(f"g2(lag) is known for continuous light, this stream is {self.mode}")
        lags = np.asarray(lag, dtype=np.float64)
        weights, levels = joint_levels(self.paths, self.settings["duration"])
        total, squares, same = np.zeros(weights.size), np.zeros(weights.size), np.zeros(lags.shape)
        for emitter, rates, at in zip(self.emitters, self.level_rates, levels, strict=True):
            total += rates[at]
            squares += rates[at] ** 2
            shares = np.bincount(at, weights, minlength=rates.size)
            for level, share in zip(emitter.levels, shares, strict=True):
                rungs = ladder(emitter, level, self.settings["excitation_rate"], self.efficiency)
                same += share * rungs.pairs(lags)
        side = float(weights @ total**2)
        g2: NDArray[np.float64] = (same + weights @ (total**2 - squares)) / side
        return g2

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the origin of each photon as plain JSON types."""
        return {f.name: to_plain(_plain(getattr(self, f.name))) for f in fields(self) if f.repr}

    def summary(self) -> str:
        """Return three lines: what was simulated, the rates, and g2."""

        def listed(rates: dict[int, float]) -> str:
            return ", ".join(f"{d}: {rate:.5g}" for d, rate in rates.items())

        return (
            f"Truth of {self.mode} light: {len(self.emitters)} emitters, {self.n_signal} signal photons, "
            f"{self.n_background} background, {self.n_scatter} scatter, {self.n_afterpulses} afterpulses\n"
            f"  rates (Hz): signal {{{listed(self.signal_rate)}}}, background {{{listed(self.background_rate)}}}\n"
            f"  g2(0) {self.g2_zero:.4g} near, {self.g2_zero_far:.4g} far; with background {self.g2_zero_raw:.4g}"
        )


def describe_light(
    emitters: tuple[Emitter, ...],
    paths: tuple[LevelPath, ...],
    detectors: Detectors,
    duration: float,
    step: float,
    photons: Photons,
) -> dict[str, Any]:
    """Return the fields of Truth on rates and g2.

    Parameters
    ----------
    step : float
        Laser period, or 1 s for continuous light: photons are counted per step.
    photons : callable
        Emitter and level to the mean number of photons per step and the mean number of ordered pairs.
    """
    side, centre, mean = _averages(emitters, paths, duration, photons)
    extra = [(b + s) * step for b, s in zip(detectors.background, detectors.scatter, strict=True)]
    known = {
        "signal_rate": {d: share * mean / step for d, share in enumerate(detectors.split)},
        "background_rate": dict(enumerate(detectors.background)),
        "scatter_rate": dict(enumerate(detectors.scatter)),
        "level_rates": tuple(np.array([photons(e, level)[0] for level in e.levels]) / step for e in emitters),
        "g2_zero": centre / side if side > 0 else math.nan,
        "g2_zero_far": centre / mean**2 if mean > 0 else math.nan,
        "bunching": side / mean**2 if mean > 0 else math.nan,
    }
    if len(extra) > 1:
        (a, b), (dark_a, dark_b) = detectors.split[:2], extra[:2]
        mixed = mean * (a * dark_b + b * dark_a) + dark_a * dark_b
        near, far = a * b * side + mixed, (a * mean + dark_a) * (b * mean + dark_b)
        pairs = a * b * centre + mixed
        known["g2_zero_raw"] = pairs / near if near > 0 else math.nan
        known["g2_zero_far_raw"] = pairs / far if far > 0 else math.nan
    return known


def decay_of(emitters: Sequence[Emitter], paths: Sequence[LevelPath], excitation: float) -> dict[str, Any]:
    """Return the exponentials of the whole decay, longest first."""
    parts: dict[float, float] = {}
    for emitter, path in zip(emitters, paths, strict=True):
        for level, share in zip(emitter.levels, path.occupancy(len(emitter.levels)), strict=True):
            for lifetime, photons in decay_components(level, excitation):
                parts[lifetime] = parts.get(lifetime, 0.0) + share * emitter.brightness * photons
    lifetimes = np.array(sorted((t for t, n in parts.items() if n != 0), reverse=True))
    fractions = np.array([parts[t] for t in lifetimes.tolist()])
    return {"lifetimes": lifetimes, "fractions": fractions / fractions.sum() if fractions.size else fractions}


def _averages(
    emitters: Sequence[Emitter], paths: Sequence[LevelPath], duration: float, photons: Photons
) -> tuple[float, float, float]:
    """Return pairs of neighbouring steps, pairs in a step, and photons in a step, averaged over the recording."""
    weights, levels = joint_levels(paths, duration)
    total, centre = np.zeros(weights.size), np.zeros(weights.size)
    for emitter, at in zip(emitters, levels, strict=True):
        numbers = np.array([photons(emitter, level) for level in emitter.levels])
        total += numbers[at, 0]
        centre += numbers[at, 1] - numbers[at, 0] ** 2
    return float(weights @ total**2), float(weights @ (total**2 + centre)), float(weights @ total)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **plain}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
