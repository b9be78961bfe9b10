"""What a user asks of the parameters of a decay fit, in lmfit's vocabulary."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from photonstats.decays.decay_solver import Limit

if TYPE_CHECKING:
    from lmfit.parameter import Parameters

KNOWN = {"value", "min", "max", "vary", "expr"}


def limits_of(params: Parameters | Mapping[str, Any] | None) -> tuple[dict[str, Limit], dict[str, str]]:
    """Return limits and expressions by name, from lmfit Parameters, mappings or bare numbers."""
    limits: dict[str, Limit] = {}
    expressions: dict[str, str] = {}
    if params is not None and not hasattr(params, "items"):
        raise TypeError(f"params must be lmfit Parameters or a mapping by name, it is a {type(params).__name__}")
    for name, asked in (params or {}).items():
        given = _as_mapping(name, asked)
        if given.get("expr"):
            expressions[name] = str(given["expr"])
            continue
        low, high = float(given.get("min", -math.inf)), float(given.get("max", math.inf))
        value = given.get("value")
        value = None if value is None or not math.isfinite(float(value)) else float(value)
        vary = bool(given.get("vary", True))
        if not low <= high:
            raise ValueError(f"params: {name} has min={low:.6g} above max={high:.6g}")
        if not vary and value is None:
            raise ValueError(f"params: {name} is not to vary, but has no value")
        if not vary and name.startswith("lifetime") and value is not None and value <= 0:
            raise ValueError(f"params: {name} is held at {value:.6g} s; a lifetime must be longer than 0")
        limits[name] = Limit(value, low, high, vary)
    return limits, expressions


def _as_mapping(name: str, asked: Any) -> Mapping[str, Any]:
    if hasattr(asked, "vary") and hasattr(asked, "expr"):  # lmfit.Parameter
        return {"value": asked.value, "min": asked.min, "max": asked.max, "vary": asked.vary, "expr": asked.expr}
    if isinstance(asked, Mapping):
        unknown = set(asked) - KNOWN
        if unknown:
            raise ValueError(f"params: {name} has {sorted(unknown)}; known are {sorted(KNOWN)}")
        return asked
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        raise TypeError(f"params: {name} must be a number, a mapping or an lmfit Parameter, it is {asked!r}")
    return {"value": float(asked), "vary": False}


def check_twice(limits: Mapping[str, Limit], **given: float | None) -> None:
    """Raise where a value is given both as an argument and in `params`."""
    for name, value in given.items():
        if value is not None and name in limits:
            raise ValueError(f"{name} is given twice: as an argument and in params; leave one out")


def check_names(asked: Collection[str], names: Collection[str]) -> None:
    """Raise where a name is not one of the model's."""
    for name in asked:
        if name not in names:
            near = difflib.get_close_matches(name, list(names), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"params: there is no {name} in this model{hint} It has {', '.join(names)}")
