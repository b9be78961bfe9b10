"""What emits: an emitter, the levels it can be in, and the numbers that follow for each level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from photonstats.simulate.blinking import Blinking, Level


@dataclass(frozen=True)
class Emitter:
    """One nanocrystal, molecule or other emitter with an exciton and a biexciton.

    Parameters
    ----------
    lifetime : float
        Lifetime of the exciton (all decay channels together), s, > 0.
    quantum_yield : float
        Probability that an exciton ends with a photon, 0 to 1, not 0.
    biexciton_lifetime : float, optional
        Lifetime of the biexciton, s. None: the biexciton radiates four times as fast as the exciton (statistical
        scaling), so ``lifetime * biexciton_yield / (4 * quantum_yield)``; without a yield it is gone at once.
    biexciton_yield : float
        Probability that a biexciton ends with a photon, 0 to 1.
    blinking : Blinking, optional
        Levels and how they alternate; None for a steady emitter.
    brightness : float
        Share of the light collected, relative to the other emitters, > 0; multiplies the detection efficiency.
    shelving_rate : float
        Rate from the exciton into a dark state (triplet, trap), Hz; continuous excitation only.
    shelving_time : float
        Mean time in that dark state, s.

    Raises
    ------
    ValueError
        If a number lies outside of its range, or a level would have a yield above 1.

    Examples
    --------
    >>> Emitter(lifetime=20e-9, biexciton_yield=0.1).levels[0].biexciton_lifetime
    5e-10
    """

    lifetime: float = 20e-9
    quantum_yield: float = 1.0
    biexciton_lifetime: float | None = None
    biexciton_yield: float = 0.0
    blinking: Blinking | None = None
    brightness: float = 1.0
    shelving_rate: float = 0.0
    shelving_time: float = 0.0

    def __post_init__(self) -> None:
        check_number("lifetime", self.lifetime, above=0.0)
        check_number("quantum_yield", self.quantum_yield, above=0.0, most=1.0)
        check_number("biexciton_yield", self.biexciton_yield, least=0.0, most=1.0)
        check_number("brightness", self.brightness, above=0.0)
        check_number("shelving_rate", self.shelving_rate, least=0.0)
        check_number("shelving_time", self.shelving_time, least=0.0)
        if self.shelving_rate > 0 and self.shelving_time <= 0:
            raise ValueError(f"shelving_rate {self.shelving_rate} Hz needs shelving_time > 0 s")
        if self.biexciton_lifetime is not None:
            check_number("biexciton_lifetime", self.biexciton_lifetime, least=0.0)
        _ = self.levels

    @property
    def levels(self) -> tuple[LevelPhysics, ...]:
        """What the emitter does in each of its levels; one level without blinking."""
        if self.blinking is None:
            return (_physics(self, Level()),)
        return tuple(_physics(self, level) for level in self.blinking.levels)


@dataclass(frozen=True)
class LevelPhysics:
    """The numbers of an emitter in one level.

    Parameters
    ----------
    quantum_yield, biexciton_yield : float
        Photons per exciton and per biexciton, 0 to 1.
    lifetime, biexciton_lifetime : float
        s; the latter may be 0.
    capture : float
        Share of the excitons that reach the band edge.
    """

    quantum_yield: float
    lifetime: float
    biexciton_yield: float
    biexciton_lifetime: float
    capture: float


def _physics(emitter: Emitter, level: Level) -> LevelPhysics:
    yield_ = emitter.quantum_yield * level.yield_factor
    if yield_ > 1.0 + 1e-12:
        raise ValueError(
            f"quantum_yield {emitter.quantum_yield} times yield_factor {level.yield_factor} of a level is "
            f"{yield_:.4g}: an exciton gives one photon at most"
        )
    lifetime = emitter.lifetime if level.lifetime is None else level.lifetime
    pair_yield = level.biexciton_yield
    if pair_yield is None:
        pair_yield = min(emitter.biexciton_yield * level.yield_factor, 1.0)
    pair_lifetime = level.biexciton_lifetime
    if pair_lifetime is None:
        pair_lifetime = emitter.biexciton_lifetime
    if pair_lifetime is None:
        pair_lifetime = emitter.lifetime * emitter.biexciton_yield / (4.0 * emitter.quantum_yield)
    if pair_yield > 0 and pair_lifetime <= 0:
        raise ValueError(
            f"a biexciton with a yield of {pair_yield} needs biexciton_lifetime > 0 s, it is {pair_lifetime}"
        )
    return LevelPhysics(min(yield_, 1.0), lifetime, pair_yield, pair_lifetime, level.capture)


def as_emitters(emitters: Emitter | Sequence[Emitter]) -> tuple[Emitter, ...]:
    """Return a tuple of emitters, of one or several.

    Raises
    ------
    TypeError
        If something else is among them.
    """
    several = (emitters,) if isinstance(emitters, Emitter) else tuple(emitters)
    for emitter in several:
        if not isinstance(emitter, Emitter):
            raise TypeError(f"emitters must be Emitter objects, one is a {type(emitter).__name__}")
    if len(several) > 30_000:
        raise ValueError(f"at most 30000 emitters, not {len(several)}")
    return several


def check_number(
    name: str, value: float, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> None:
    """Refuse a number that is not finite or lies outside of (above, most] and [least, most].

    Raises
    ------
    ValueError
        Naming the argument, its range and its value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError(f"{name} must be a number, it is {value!r}")  # noqa: TRY004 (one error for all bad settings)
    if not math.isfinite(value) or value <= above or value < least or value > most:
        low = f"> {above:g}" if above > -math.inf else f">= {least:g}" if least > -math.inf else "finite"
        high = f" and <= {most:g}" if most < math.inf else ""
        raise ValueError(f"{name} must be {low}{high}, it is {value}")
