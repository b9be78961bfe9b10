"""Laws of dwell times: exponential, power law with and without truncation, fixed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


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
        whole = _power_integral(self.alpha, self.t_min, self.t_max)
        return float(_power_integral(self.alpha - 1, self.t_min, self.t_max) / whole)

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
        above = _power_integral(self.alpha, np.clip(times, self.t_min, self.t_max), self.t_max)
        return np.asarray(above / _power_integral(self.alpha, self.t_min, self.t_max), dtype=np.float64)


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
        if self.t_min > 100.0 * self.cutoff:
            raise ValueError(
                f"t_min {self.t_min} s is over 100 times the cutoff {self.cutoff} s: nothing is left there"
            )

    @property
    def _end(self) -> float:
        # exp(-60) of the density is below what 64-bit uniform numbers resolve.
        return min(self.t_max, self.t_min + 60.0 * self.cutoff)

    def _integral(self, power: float, low: ArrayLike) -> NDArray[np.float64]:
        """Return the integral of t^-power exp(-t/cutoff) from each of `low` to the end."""
        ends = np.asarray(low, dtype=np.float64) / self.cutoff
        above = _upper_gamma(1.0 - power, ends) - _upper_gamma(1.0 - power, np.array(self._end / self.cutoff))
        return np.asarray(self.cutoff ** (1.0 - power) * above, dtype=np.float64)

    @property
    def mean_time(self) -> float:
        """Mean dwell, s."""
        return float(self._integral(self.alpha - 1.0, self.t_min) / self._integral(self.alpha, self.t_min))

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
        above = self._integral(self.alpha, np.clip(times, self.t_min, self._end))
        return np.asarray(above / self._integral(self.alpha, self.t_min), dtype=np.float64)


def _upper_gamma(s: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper incomplete gamma function, also for s <= 0: Gamma(s, x) = (Gamma(s+1, x) - x^s exp(-x))/s."""
    if s > 0:
        return np.asarray(special.gammaincc(s, x) * special.gamma(s), dtype=np.float64)
    if abs(s) < 1e-7:
        return np.asarray(special.exp1(x), dtype=np.float64)
    return np.asarray((_upper_gamma(s + 1.0, x) - x**s * np.exp(-x)) / s, dtype=np.float64)


def _power_integral(power: float, low: ArrayLike, high: float) -> NDArray[np.float64]:
    """Return the integral of t^-power from each of `low` to high."""
    start = np.asarray(low, dtype=np.float64)
    if power == 1:
        return np.asarray(np.log(high / start), dtype=np.float64)
    if math.isinf(high):
        return np.asarray(start ** (1 - power) / (power - 1) if power > 1 else np.full(start.shape, np.inf))
    return np.asarray((math.pow(high, 1 - power) - start ** (1 - power)) / (1 - power), dtype=np.float64)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} of a dwell law must be > 0, it is {value}")


def _check_range(t_min: float, t_max: float) -> None:
    if not 0 < t_min < t_max:
        raise ValueError(f"a dwell law needs 0 < t_min < t_max (s), they are {t_min} and {t_max}")
