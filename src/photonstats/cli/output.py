"""How a command ends: a summary or JSON on standard output, and a file by its ending."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from photonstats.cli.arguments import readable, writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.stream import PhotonStream


def deliver(
    result: Any,
    columns: dict[str, Any],
    *,
    as_json: bool,
    output: Path | None,
    draw: Callable[[], Axes] | None = None,
    also: Mapping[str, Any] | None = None,
    named: bool = False,
) -> None:
    """Print a result, and write it where the user wants it; also: further results by their key in the JSON.

    `named` puts that key before each of them.
    """
    more = also or {}
    whole = result.to_dict() | {name: each.to_dict() for name, each in more.items()}
    if output is not None:
        _write(whole, columns, output, draw or result.plot)
    texts = [result.summary()]
    texts += [(f"{name.replace('_', ' ')}: " if named else "") + each.summary() for name, each in more.items()]
    typer.echo(json.dumps(whole, indent=2, allow_nan=False) if as_json else "\n".join(texts))


def check_output(output: Path | None) -> None:
    """Refuse an ending or a folder before the work."""
    if output is None:
        return
    if output.suffix.lower() not in {".json", ".csv", ".png"}:
        raise ValueError(f"{output}: the ending must be .json, .csv or .png, so that it is clear what to write")
    writable(output)


def _write(result: dict[str, Any], columns: dict[str, Any], output: Path, draw: Callable[[], Axes]) -> None:
    from photonstats.io.atomic import atomic_path
    from photonstats.reports.tables import csv_text

    kind = output.suffix.lower()
    with atomic_path(output) as temporary:
        if kind == ".json":
            temporary.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
        elif kind == ".csv":
            temporary.write_text(csv_text(columns))
        else:
            import matplotlib as mpl

            mpl.use("Agg")
            from photonstats.plots import style

            with style():
                figure: Any = draw().figure
                figure.savefig(temporary, dpi=200)


def light(file: Path, continuous: bool = False) -> PhotonStream:
    """Read a file; T2 with laser pulses becomes T3, unless absolute times are wanted."""
    import photonstats as ps

    photons = ps.read(readable(file))
    return ps.fold(photons) if photons.syncs.size and not continuous else photons
