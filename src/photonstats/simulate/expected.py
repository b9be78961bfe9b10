"""Closed forms: what a simulated emitter gives on average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from photonstats.simulate.blinking import LevelPath
from photonstats.simulate.emitter import Emitter, LevelPhysics


@dataclass(frozen=True)
class PulseChances:
    """Detected outcomes of one laser pulse for an emitter in one level.

    Parameters
    ----------
    one : float
        The photon of a lone exciton.
    pair_first, pair_second, pair_both : float
        After a biexciton: only its photon, only the exciton's, both.
    """

    one: float
    pair_first: float
    pair_second: float
    pair_both: float

    @property
    def any(self) -> float:
        """Probability of at least one detected photon."""
        return self.one + self.pair_first + self.pair_second + self.pair_both


def pulse_chances(level: LevelPhysics, excitation: float, efficiency: float) -> PulseChances:
    """Return the detected outcomes of a pulse.

    Notes
    -----
    The number of excitons is Poissonian with mean ``m = excitation * capture``. Two or more make a biexciton (more
    than two fall to it at once and in the dark), which is followed by an exciton whether it shone or not.
    """
    mean = excitation * level.capture
    one = mean * math.exp(-mean)
    two = -math.expm1(-mean) - one if mean > 1e-4 else 0.5 * mean * mean * (1.0 - 2.0 * mean / 3.0)
    first, second = efficiency * level.biexciton_yield, efficiency * level.quantum_yield
    return PulseChances(one * second, two * first * (1.0 - second), two * (1.0 - first) * second, two * first * second)


def pulse_moments(level: LevelPhysics, excitation: float, efficiency: float, gate: float = 0.0) -> tuple[float, float]:
    """Return the mean number of photons later than `gate` after the pulse, and of ordered pairs of them.

    Notes
    -----
    The exciton after a biexciton survives to t with ``(tau_X exp(-t/tau_X) - tau_B exp(-t/tau_B))/(tau_X - tau_B)``.
    Both photons of a pair are late if the first one is.
    """
    chances = pulse_chances(level, excitation, efficiency)
    x, b = level.lifetime, level.biexciton_lifetime
    late_x = math.exp(-gate / x)
    late_b = math.exp(-gate / b) if b > 0 else float(gate <= 0)
    late_second = late_x * (1.0 + gate / x) if math.isclose(x, b) else (x * late_x - b * late_b) / (x - b)
    photons = (
        chances.one * late_x
        + (chances.pair_first + chances.pair_both) * late_b
        + (chances.pair_second + chances.pair_both) * late_second
    )
    return photons, 2.0 * chances.pair_both * late_b


def decay_components(level: LevelPhysics, excitation: float) -> list[tuple[float, float]]:
    """Return (lifetime, photons per pulse at unit efficiency) of each exponential of the decay.

    The exciton that follows a biexciton rises first: its part at the biexciton's lifetime is negative.
    """
    chances = pulse_chances(level, excitation, 1.0)
    second = chances.pair_second + chances.pair_both
    first = chances.pair_first + chances.pair_both
    x, b = level.lifetime, level.biexciton_lifetime
    if b == 0:
        return [(x, chances.one + second)]
    if math.isclose(x, b):
        return [(x, math.nan)]
    return [(x, chances.one + second * x / (x - b)), (b, first - second * b / (x - b))]


@dataclass(frozen=True)
class Ladder:
    """Rates of an emitter in one level under continuous excitation, Hz, and what is detected.

    States: ground, exciton, biexciton, dark. Without a biexciton lifetime there is no biexciton state: it would be
    left at once for the exciton, in the dark.
    """

    excite: float
    exciton: float
    biexciton: float
    shelve: float
    unshelve: float
    detect_exciton: float
    detect_biexciton: float

    def generator(self) -> NDArray[np.float64]:
        """Return the rate matrix, float64[4, 4], from row to column."""
        up = self.excite if self.biexciton > 0 else 0.0
        rates = np.zeros((4, 4))
        rates[0, 1], rates[1, 2], rates[1, 0], rates[2, 1] = self.excite, up, self.exciton, self.biexciton
        rates[1, 3], rates[3, 0] = self.shelve, self.unshelve
        rates -= np.diag(rates.sum(axis=1))
        return rates

    def photons_from(self) -> NDArray[np.float64]:
        """Return the rate of detected photons while in each state, Hz, float64[4]."""
        return np.array([0.0, self.exciton * self.detect_exciton, self.biexciton * self.detect_biexciton, 0.0])

    def occupancy(self) -> NDArray[np.float64]:
        """Return the long-run share of time in each state, float64[4]."""
        shares = np.zeros(4)
        shares[0] = 1.0
        shares[1] = self.excite / (self.exciton + self.shelve)
        shares[2] = shares[1] * self.excite / self.biexciton if self.biexciton > 0 else 0.0
        shares[3] = shares[1] * self.shelve / self.unshelve if self.shelve > 0 else 0.0
        share: NDArray[np.float64] = shares / shares.sum()
        return share

    def rate(self) -> float:
        """Return the mean rate of detected photons, Hz."""
        return float(self.occupancy() @ self.photons_from())

    def pairs(self, lags: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rate of pairs at each lag (s), Hz^2: detection now and detection `lag` later, either sign."""
        shining, share = self.photons_from(), self.occupancy()
        after = np.array([share[1] * shining[1], share[2] * shining[2], 0.0, 0.0])
        if not after.any():
            return np.zeros(lags.shape)
        unique, back = np.unique(np.abs(lags).ravel(), return_inverse=True)
        moved = linalg.expm(unique[:, None, None] * self.generator())
        pairs: NDArray[np.float64] = np.einsum("i,kij,j->k", after, moved, shining)[back].reshape(lags.shape)
        return pairs


def ladder(emitter: Emitter, level: LevelPhysics, excitation_rate: float, efficiency: float) -> Ladder:
    """Return the rates of an emitter in one level."""
    share = efficiency * emitter.brightness
    return Ladder(
        excite=excitation_rate * level.capture,
        exciton=1.0 / level.lifetime,
        biexciton=1.0 / level.biexciton_lifetime if level.biexciton_lifetime > 0 else 0.0,
        shelve=emitter.shelving_rate,
        unshelve=1.0 / emitter.shelving_time if emitter.shelving_time > 0 else 0.0,
        detect_exciton=share * level.quantum_yield,
        detect_biexciton=share * level.biexciton_yield,
    )


def joint_levels(paths: Sequence[LevelPath], duration: float) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Return the weights (sum 1) of the stretches in which no emitter switches, and each emitter's level there."""
    edges = np.unique(np.concatenate([np.array([0.0, duration]), *(path.switch_times for path in paths)]))
    middles = 0.5 * (edges[1:] + edges[:-1])
    return np.diff(edges) / duration, [path.level_at(middles) for path in paths]
