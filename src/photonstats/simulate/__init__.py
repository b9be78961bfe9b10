"""Photon streams of known truth: `pulsed`, `continuous`, `poisson`, and recipes by name or from a file.

Every simulator takes `seed` and returns ``(PhotonStream, Truth)``.
"""

from __future__ import annotations

from photonstats.simulate.blinking import (
    Blinking,
    Level,
    LevelPath,
    auger_blinking,
    draw_path,
    flickering,
    hot_carrier_blinking,
)
from photonstats.simulate.continuous_light import continuous
from photonstats.simulate.emitter import Emitter
from photonstats.simulate.laws import DwellLaw, Exponential, Fixed, PowerLaw, TruncatedPowerLaw
from photonstats.simulate.plain import as_t2, poisson
from photonstats.simulate.pulsed_light import pulsed
from photonstats.simulate.recipes import RECIPES, Recipe, recipe
from photonstats.simulate.truth import Truth

__all__ = [
    "RECIPES",
    "Blinking",
    "DwellLaw",
    "Emitter",
    "Exponential",
    "Fixed",
    "Level",
    "LevelPath",
    "PowerLaw",
    "Recipe",
    "TruncatedPowerLaw",
    "Truth",
    "as_t2",
    "auger_blinking",
    "continuous",
    "draw_path",
    "flickering",
    "hot_carrier_blinking",
    "poisson",
    "pulsed",
    "recipe",
]
