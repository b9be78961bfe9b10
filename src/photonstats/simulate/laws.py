"""Laws of dwell times: exponential, power law with and without truncation, fixed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special


class DwellLaw(ABC):
    """Law of a dwell time."""

    @property
    @abstractmethod
    def mean_time(self) -> float:
        """Mean dwell, s; inf where there is none."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n dwells, s."""

    @abstractmethod
    def survival(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of a dwell longer than each of `times` (s)."""


@dataclass(frozen=True)
class Exponential(DwellLaw):
    """Dwells of a single rate: ``p(t) = exp(-t/mean)/mean``.

    Parameters
    ----------
    mean : float
        Mean dwell, s, > 0.
    """

    mean: float

    def __post_init__(self) -> None:
        _positive("mean", self.mean)

    @property
    def mean_time(self) -> float:
        """Mean dwell, s."""
        return self.mean

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n dwells, s."""
        return rng.exponential(self.mean, n)

    def survival(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of a dwell longer than each of `times` (s)."""
        return np.exp(-np.maximum(times, 0.0) / self.mean)


@dataclass(frozen=True)
class Fixed(DwellLaw):
    """Dwells that all last the same.

    Parameters
    ----------
    time : float
        s, > 0.
    """

    time: float

    def __post_init__(self) -> None:
        _positive("time", self.time)

    @property
    def mean_time(self) -> float:
        """Mean dwell, s."""
        return self.time

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG002
        """Return n dwells, s."""
        return np.full(n, self.time)

    def survival(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1 before the time and 0 from it on."""
        return (np.asarray(times) < self.time).astype(np.float64)


@dataclass(frozen=True)
class PowerLaw(DwellLaw):
    """Dwells without a scale: ``p(t) ~ t^-alpha`` between t_min and t_max.

    Parameters
    ----------
    alpha : float
        Exponent of the density, > 0; above 1 where t_max is infinite.
    t_min, t_max : float
        Shortest and longest dwell, s.
    """

    alpha: float
    t_min: float = 1e-3
    t_max: float = math.inf

    def __post_init__(self) -> None:
        _positive("alpha", self.alpha)
        _check_range(self.t_min, self.t_max)
        if self.alpha <= 1 and math.isinf(self.t_max):
            raise ValueError(f"a power law with alpha = {self.alpha} (1 or less) needs a finite t_max")

    @property
    def mean_time(self) -> float:
        """Mean dwell, s; inf for alpha of 2 or less without t_max."""
        return _power_integral(self.alpha - 1, self.t_min, self.t_max) / _power_integral(
            self.alpha, self.t_min, self.t_max
        )

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n dwells, s, by inversion of the distribution function."""
        u = rng.random(n)
        if self.alpha == 1:
            return np.asarray(self.t_min * (self.t_max / self.t_min) ** u, dtype=np.float64)
        power = 1.0 - self.alpha
        far = (self.t_max / self.t_min) ** power
        dwells: NDArray[np.float64] = self.t_min * (1.0 + u * (far - 1.0)) ** (1.0 / power)
        return dwells

    def survival(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of a dwell longer than each of `times` (s)."""
        t = np.clip(times, self.t_min, self.t_max)
        whole = _power_integral(self.alpha, self.t_min, self.t_max)
        above = [_power_integral(self.alpha, float(x), self.t_max) / whole for x in np.ravel(t)]
        return np.array(above, dtype=np.float64).reshape(np.shape(t))


@dataclass(frozen=True)
class TruncatedPowerLaw(DwellLaw):
    """Dwells with a power law that an exponential cuts off: ``p(t) ~ t^-alpha exp(-t/cutoff)`` from t_min to t_max.

    Parameters
    ----------
    alpha : float
        Exponent of the density, > 0.
    cutoff : float
        s, > 0.
    t_min, t_max : float
        Shortest and longest dwell, s.
    """

    alpha: float
    cutoff: float
    t_min: float = 1e-3
    t_max: float = math.inf

    def __post_init__(self) -> None:
        _positive("alpha", self.alpha)
        _positive("cutoff", self.cutoff)
        _check_range(self.t_min, self.t_max)

    @property
    def _end(self) -> float:
        # exp(-60) of the density is below what 64-bit uniform numbers resolve.
        return min(self.t_max, self.t_min + 60.0 * self.cutoff)

    def _integral(self, power: float, low: float) -> float:
        """Return the integral of t^-power exp(-(t - t_min)/cutoff) from `low` to the end."""

        def density(log_t: float) -> float:
            t = math.exp(log_t)
            return math.exp((1.0 - power) * log_t - (t - self.t_min) / self.cutoff)

        if low >= self._end:
            return 0.0
        middle = min(max(low, self.cutoff), self._end)
        ends = (math.log(low), math.log(middle), math.log(self._end))
        return float(sum(integrate.quad(density, a, b, epsrel=1e-10)[0] for a, b in pairwise(ends)))

    @property
    def mean_time(self) -> float:
        """Mean dwell, s."""
        return self._integral(self.alpha - 1.0, self.t_min) / self._integral(self.alpha, self.t_min)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n dwells, s: inversion for alpha below 1, else rejection from the bare power law."""
        if self.alpha < 1:
            s = 1.0 - self.alpha
            # The upper form of the incomplete gamma function keeps its digits where t_min exceeds the cutoff.
            high, low = special.gammaincc(s, np.array([self.t_min, self._end]) / self.cutoff)
            inverse = special.gammainccinv(s, low + rng.random(n) * (high - low))
            return np.asarray(np.clip(self.cutoff * inverse, self.t_min, self._end), dtype=np.float64)
        bare = PowerLaw(self.alpha, self.t_min, self._end)
        parts, missing = [np.empty(0)], n
        while missing:
            tried = bare.sample(2 * missing + 16, rng)
            kept = tried[rng.random(tried.size) < np.exp((self.t_min - tried) / self.cutoff)][:missing]
            parts.append(kept)
            missing -= kept.size
        return np.concatenate(parts)

    def survival(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of a dwell longer than each of `times` (s)."""
        t = np.clip(times, self.t_min, self._end)
        whole = self._integral(self.alpha, self.t_min)
        above = [self._integral(self.alpha, float(x)) / whole for x in np.ravel(t)]
        return np.array(above, dtype=np.float64).reshape(np.shape(t))


def _power_integral(power: float, low: float, high: float) -> float:
    """Return the integral of t^-power from low to high."""
    if power == 1:
        return math.log(high / low)
    if math.isinf(high):
        return math.pow(low, 1 - power) / (power - 1) if power > 1 else math.inf
    return (math.pow(high, 1 - power) - math.pow(low, 1 - power)) / (1 - power)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} of a dwell law must be > 0, it is {value}")


def _check_range(t_min: float, t_max: float) -> None:
    if not 0 < t_min < t_max:
        raise ValueError(f"a dwell law needs 0 < t_min < t_max (s), they are {t_min} and {t_max}")
