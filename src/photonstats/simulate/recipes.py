"""Simulations by name or from a TOML or JSON file."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from photonstats.simulate.blinking import Blinking, Level, auger_blinking, flickering, hot_carrier_blinking
from photonstats.simulate.continuous_light import continuous
from photonstats.simulate.emitter import Emitter
from photonstats.simulate.laws import DwellLaw, Exponential, Fixed, PowerLaw, TruncatedPowerLaw
from photonstats.simulate.plain import poisson
from photonstats.simulate.pulsed_light import pulsed
from photonstats.simulate.truth import Truth
from photonstats.stream import PhotonStream

LAWS: dict[str, type[DwellLaw]] = {
    "exponential": Exponential,
    "fixed": Fixed,
    "power_law": PowerLaw,
    "truncated": TruncatedPowerLaw,
}
MECHANISMS: dict[str, Callable[..., Blinking]] = {
    "auger": auger_blinking,
    "hot_carrier": hot_carrier_blinking,
    "flickering": flickering,
}
KINDS: dict[str, Callable[..., tuple[PhotonStream, Truth]]] = {
    "pulsed": pulsed,
    "continuous": continuous,
    "poisson": poisson,
}


@dataclass(frozen=True)
class Recipe:
    """A simulation with all its parameters.

    Parameters
    ----------
    description : str
        One line.
    settings : mapping
        What a file would hold: "kind" ("pulsed", "continuous" or "poisson"), the arguments of that function, and
        "emitters", a list of tables.
    """

    description: str
    settings: Mapping[str, Any]

    def __call__(
        self, *, seed: int | np.random.Generator | None = None, duration: float | None = None
    ) -> tuple[PhotonStream, Truth]:
        """Run it; `seed` and `duration` (s) take the place of those of the recipe."""
        return _run(self.settings, "the recipe", seed, duration)


_AUGER = {
    "mechanism": "auger",
    "lifetime": 20e-9,
    "auger_lifetime": 3e-9,
    "on": {"law": "truncated", "alpha": 1.1, "t_min": 0.03, "cutoff": 3.0},
    "off": {"law": "power_law", "alpha": 1.6, "t_min": 0.03, "t_max": 8.0},
}

RECIPES: dict[str, Recipe] = {
    "blinking_dot": Recipe(
        "one CsPbBr3-like dot, on and off by charging, weak biexciton, background, 2.5 MHz, T3",
        {
            "kind": "pulsed", "duration": 30.0, "laser_period": 400e-9, "excitation": 0.2, "rate": 17e3, "t0": 8e-9,
            "background": {0: 180.0, 1: 140.0}, "irf_sigma": 0.15e-9, "dead_time": 80e-9, "delay": 3.2e-9,
            "emitters": [
                {"lifetime": 20e-9, "biexciton_yield": 0.1, "biexciton_lifetime": 0.6e-9, "blinking": _AUGER}
            ],
        },
    ),
    "two_emitters": Recipe(
        "two equal dots in one spot, each on and off by itself, 2.5 MHz, T3",
        {
            "kind": "pulsed", "duration": 30.0, "laser_period": 400e-9, "excitation": 0.1, "rate": 14e3, "t0": 8e-9,
            "background": 120.0, "irf_sigma": 0.15e-9, "dead_time": 80e-9, "delay": -5.0e-9,
            "emitters": [
                {
                    "copies": 2, "lifetime": 12e-9,
                    "blinking": {
                        "levels": [{}, {"yield_factor": 0.05, "lifetime": 1.5e-9}],
                        "dwells": [{"law": "exponential", "mean": 3.0}, {"law": "exponential", "mean": 0.4}],
                    },
                }
            ],
        },
    ),
    "biexciton_dot": Recipe(
        "one dot whose biexcitons shine: g2(0) near 1/2 until a gate leaves them out, 1 MHz, T3",
        {
            "kind": "pulsed", "duration": 9.0, "laser_period": 1e-6, "excitation": 0.2, "rate": 42e3, "t0": 8e-9,
            "background": 250.0, "irf_sigma": 0.15e-9, "dead_time": 80e-9, "delay": 4.1e-9,
            "emitters": [
                {
                    "lifetime": 20e-9, "biexciton_yield": 0.5, "biexciton_lifetime": 2e-9,
                    "blinking": {
                        "levels": [{}, {"yield_factor": 0.1, "lifetime": 2e-9, "biexciton_yield": 0.0}],
                        "dwells": [{"law": "exponential", "mean": 0.5}, {"law": "exponential", "mean": 0.05}],
                    },
                }
            ],
        },
    ),
    "continuous": Recipe(
        "one steady emitter under continuous excitation with background, T2",
        {
            "kind": "continuous", "duration": 2.0, "excitation_rate": 10e6, "rate": 185e3, "background": 2.5e3,
            "irf_sigma": 0.15e-9, "dead_time": 80e-9, "delay": 6.0e-9, "emitters": [{"lifetime": 20e-9}],
        },
    ),
    "steady": Recipe(
        "one dot that does not blink, 5 MHz, T3",
        {
            "kind": "pulsed", "duration": 20.0, "laser_period": 200e-9, "excitation": 0.1, "rate": 40e3, "t0": 5e-9,
            "background": 150.0, "irf_sigma": 0.15e-9,
            "emitters": [{"lifetime": 15e-9, "biexciton_yield": 0.05, "biexciton_lifetime": 0.5e-9}],
        },
    ),
    "type_a": Recipe(
        "one dot of type A: dim state short-lived (Auger), on times truncated, 5 MHz, T3",
        {
            "kind": "pulsed", "duration": 60.0, "laser_period": 200e-9, "excitation": 0.1, "rate": 50e3, "t0": 5e-9,
            "background": 150.0, "irf_sigma": 0.15e-9,
            "emitters": [
                {
                    "lifetime": 15e-9, "biexciton_yield": 0.05, "biexciton_lifetime": 0.5e-9,
                    "blinking": {
                        "mechanism": "auger", "lifetime": 15e-9, "auger_lifetime": 1.2e-9,
                        "on": {"law": "truncated", "alpha": 1.3, "t_min": 0.01, "cutoff": 1.0},
                        "off": {"law": "power_law", "alpha": 1.6, "t_min": 0.01, "t_max": 5.0},
                    },
                }
            ],
        },
    ),
    "type_b": Recipe(
        "one dot of type B: dim state at unchanged lifetime (hot carriers lost), plain power laws, 5 MHz, T3",
        {
            "kind": "pulsed", "duration": 60.0, "laser_period": 200e-9, "excitation": 0.1, "rate": 50e3, "t0": 5e-9,
            "background": 150.0, "irf_sigma": 0.15e-9,
            "emitters": [
                {
                    "lifetime": 15e-9, "biexciton_yield": 0.05, "biexciton_lifetime": 0.5e-9,
                    "blinking": {
                        "mechanism": "hot_carrier", "capture": 0.12,
                        "on": {"law": "power_law", "alpha": 1.5, "t_min": 0.01, "t_max": 10.0},
                        "off": {"law": "power_law", "alpha": 1.6, "t_min": 0.01, "t_max": 10.0},
                    },
                }
            ],
        },
    ),
    "flickering": Recipe(
        "one dot whose non-radiative rate wanders: intensity and lifetime proportional, 5 MHz, T3",
        {
            "kind": "pulsed", "duration": 60.0, "laser_period": 200e-9, "excitation": 0.1, "rate": 50e3, "t0": 5e-9,
            "background": 150.0, "irf_sigma": 0.15e-9,
            "emitters": [
                {
                    "lifetime": 20e-9,
                    "blinking": {
                        "mechanism": "flickering", "lifetime": 20e-9, "lowest": 0.1, "n_levels": 30,
                        "step_time": 5e-3,
                    },
                }
            ],
        },
    ),
    "poisson": Recipe(
        "independent light of constant rate on two detectors, T2",
        {"kind": "poisson", "duration": 10.0, "rates": [20e3, 15e3]},
    ),
}  # fmt: skip


def recipe(
    name_or_path: str | Path, *, seed: int | np.random.Generator | None = None, duration: float | None = None
) -> tuple[PhotonStream, Truth]:
    """Simulate a recipe of `RECIPES`, or one from a TOML or JSON file.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a recipe, or a file that ends in .toml or .json.
    seed : int, Generator or None
        Of the random numbers; None for that of the file, or new ones each time.
    duration : float, optional
        Recorded window, s; None for that of the recipe.

    Returns
    -------
    PhotonStream
    Truth

    Raises
    ------
    ValueError
        If there is no such recipe, or a key of the file is not known.
    OSError
        If the file cannot be opened.

    Notes
    -----
    A file holds `kind` ("pulsed", "continuous" or "poisson"), the arguments of that function, and a table for each
    emitter with the parameters of `Emitter` and, for several equal ones, `copies`. Its blinking is a `mechanism`
    ("auger", "hot_carrier", "flickering") with its arguments, or `levels` and `dwells` as in `Blinking`; a `law` is
    "exponential", "fixed", "power_law" or "truncated" with its arguments. In TOML::

        kind = "pulsed"
        duration = 30.0
        rate = 20e3
        background = { 0 = 150.0, 1 = 120.0 }

        [[emitters]]
        lifetime = 20e-9
        biexciton_yield = 0.1
        [emitters.blinking]
        levels = [{}, { yield_factor = 0.1, lifetime = 1e-9 }]
        dwells = [{ law = "exponential", mean = 0.5 }, { law = "power_law", alpha = 1.5, t_min = 0.01, t_max = 5.0 }]

    Examples
    --------
    >>> photons, truth = recipe("steady", seed=1, duration=0.2)
    >>> truth.mode
    'pulsed'
    """
    path = Path(name_or_path)
    if str(name_or_path) in RECIPES:
        return _run(RECIPES[str(name_or_path)].settings, f"recipe {name_or_path}", seed, duration)
    if path.suffix.lower() not in {".toml", ".json"}:
        raise ValueError(
            f"there is no recipe {str(name_or_path)!r}; there are {', '.join(RECIPES)}, "
            f"and files that end in .toml or .json"
        )
    text = path.read_text(encoding="utf-8")
    try:
        settings = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a table of settings, not a {type(settings).__name__}")  # noqa: TRY004
    return _run(settings, str(path), seed, duration)


def _run(
    settings: Mapping[str, Any], where: str, seed: int | np.random.Generator | None, duration: float | None
) -> tuple[PhotonStream, Truth]:
    values = {name: value for name, value in settings.items() if name != "description"}
    kind = values.pop("kind", "pulsed")
    if kind not in KINDS:
        raise ValueError(f"{where}: kind must be one of {', '.join(KINDS)}, it is {kind!r}")
    simulator = KINDS[kind]
    _check_keys(values, inspect.signature(simulator).parameters, where)
    if seed is not None:
        values["seed"] = seed
    if duration is not None:
        values["duration"] = duration
    needed = ("duration", "rates") if kind == "poisson" else ("duration", "emitters")
    for name in needed:
        if name not in values:
            raise ValueError(f"{where}: {name} is missing")
    if "emitters" in values:
        values["emitters"] = _emitters(values["emitters"], f"{where}, emitters")
    for name, value in values.items():
        if isinstance(value, Mapping):
            values[name] = _by_detector(value, f"{where}, {name}")
    return simulator(**values)


def _emitters(tables: Any, where: str) -> list[Emitter]:
    emitters: list[Emitter] = []
    if not isinstance(tables, list):
        raise ValueError(f"{where} must be a list of tables ([[emitters]] in TOML), it is {tables!r}")  # noqa: TRY004
    for number, table in enumerate(tables):
        here = f"{where}[{number}]"
        values = _table(table, [f.name for f in fields(Emitter)] + ["copies"], here)
        copies = values.pop("copies", 1)
        if not isinstance(copies, int) or copies < 1:
            raise ValueError(f"{here}.copies must be a whole number from 1, it is {copies!r}")
        if "blinking" in values:
            values["blinking"] = _blinking(values["blinking"], f"{here}.blinking")
        emitters += [Emitter(**values)] * copies
    return emitters


def _blinking(table: Any, where: str) -> Blinking:
    if isinstance(table, Mapping) and "mechanism" in table:
        name = table["mechanism"]
        if name not in MECHANISMS:
            raise ValueError(f"{where}: mechanism must be one of {', '.join(MECHANISMS)}, it is {name!r}")
        make = MECHANISMS[name]
        values = _table(table, ["mechanism", *inspect.signature(make).parameters], where)
        del values["mechanism"]
        for state in ("on", "off"):
            if state in inspect.signature(make).parameters:
                values[state] = _law(values.get(state), f"{where}.{state}")
        return make(**values)
    values = _table(table, [f.name for f in fields(Blinking)], where)
    known = [f.name for f in fields(Level)]
    levels = values.pop("levels", None)
    if not isinstance(levels, list):
        raise ValueError(f"{where} needs a mechanism ({', '.join(MECHANISMS)}) or a list of levels and their dwells")  # noqa: TRY004
    values["levels"] = [Level(**_table(level, known, f"{where}.levels[{i}]")) for i, level in enumerate(levels)]
    dwells = values.get("dwells")
    if isinstance(dwells, list):
        values["dwells"] = [_law(dwell, f"{where}.dwells[{i}]") for i, dwell in enumerate(dwells)]
    else:
        values["dwells"] = _law(dwells, f"{where}.dwells")
    return Blinking(**values)


def _law(table: Any, where: str) -> DwellLaw:
    name = table.get("law") if isinstance(table, Mapping) else None
    if name not in LAWS:
        raise ValueError(f"{where} must be a table with law = one of {', '.join(LAWS)}, it is {table!r}")
    law = LAWS[name]
    values = _table(table, ["law", *inspect.signature(law).parameters], where)
    del values["law"]
    try:
        return law(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _by_detector(table: Mapping[Any, Any], where: str) -> dict[int, Any]:
    try:
        return {int(detector): value for detector, value in table.items()}
    except ValueError as error:
        raise ValueError(f"{where}: detectors are numbers, found {list(table)}") from error


def _table(table: Any, known: Iterable[str], where: str) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table, it is {table!r}")  # noqa: TRY004
    _check_keys(table, known, where)
    return dict(table)


def _check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise ValueError(f"{where}: unknown key {key!r}; known are {', '.join(names)}")
