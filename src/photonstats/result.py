"""What every result has in common: plain JSON types, a figure, and a short text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def to_plain(value: Any) -> Any:
    """Turn a result or a part of one into plain JSON types; what is not finite becomes None.

    Parameters
    ----------
    value : object
        Dataclass result, array, mapping, sequence or scalar.

    Returns
    -------
    dict, list, str, int, float, bool or None

    Examples
    --------
    >>> to_plain({1: np.array([0.5, np.nan])})
    {'1': [0.5, None]}
    """
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"a {type(value).__name__} has no plain JSON form")


def quantity(value: float | None, error: float | None = None, unit: str = "", scale: float = 1.0) -> str:
    """Write a value with its error to two digits of the error, or a dash where there is none.

    Examples
    --------
    >>> quantity(20.1234e-9, 0.0532e-9, "ns", 1e9)
    '20.123 ± 0.053 ns'
    """
    if value is None or not math.isfinite(value):
        return "–"
    value *= scale
    tail = f" {unit}" if unit else ""
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.4g}{tail}"
    error *= scale
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 8:
        return f"{value:.4g} ± {error:.1e}{tail}"
    return f"{value:.{digits}f} ± {error:.{digits}f}{tail}"


class Result:
    """Base of the frozen result classes; a subclass is a frozen dataclass and writes `summary` and `plot`."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types, with None where a number is not known."""
        return {f.name: to_plain(getattr(self, f.name)) for f in fields(self) if f.repr}  # type: ignore[arg-type]

    def summary(self) -> str:
        """Return a text of a few lines that names the result and its main numbers with errors."""
        raise TypeError(f"{type(self).__name__} has no summary")

    def plot(self, ax: Axes | None = None) -> Axes:  # noqa: ARG002
        """Draw into `ax` (a new one if None) and return it."""
        raise TypeError(f"{type(self).__name__} has no plot")

    def __repr__(self) -> str:
        return self.summary()
