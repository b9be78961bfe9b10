"""What can stand on the command line: options, and text turned into the values that functions take."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from photonstats.errors import PhotonFileError

File = Annotated[
    Path, typer.Argument(help="Time-tag file: PTU, HT3, HT2, PT3, PT2, T3R or Photon-HDF5.", show_default=False)
]
Pair = Annotated[
    str | None, typer.Option(help="The two detectors to correlate, such as 0,1. By default the two live ones.")
]
Delay = Annotated[str, typer.Option(help='Cable delay of the second detector in seconds, or "auto".')]
Gate = Annotated[str | None, typer.Option(help="Time gate: seconds after the pulse, or a window of nanotimes FROM,TO.")]
BackgroundRates = Annotated[
    str | None, typer.Option(help="Background in Hz: one rate for all detectors, or 0=120,1=95.")
]
NPulses = Annotated[int, typer.Option(min=1, help="Side peaks on either side.")]
Window = Annotated[float, typer.Option(help="Longest lag, s.")]
LagWidth = Annotated[float, typer.Option(help="Width of a lag bin, s.")]
Components = Annotated[str, typer.Option(help='Number of exponentials, or "auto".')]
Irf = Annotated[
    Path | None, typer.Option(help="Instrument response: PHU, text, or a time-tag file of scattered light.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write .json, .csv or .png, by the ending.")]


def readable(file: Path) -> Path:
    """Return the file if it can be read as one."""
    if file.is_dir():
        raise PhotonFileError(f"{file}: this is a folder, a time-tag file was expected")
    try:
        regular = stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        raise PhotonFileError(f"{file}: cannot be opened: {error.strerror}") from None
    if not regular:
        raise PhotonFileError(f"{file}: this is a pipe or device, a time-tag file was expected")
    if not os.access(file, os.R_OK):
        raise PhotonFileError(f"{file}: cannot be opened: permission denied")
    return file


def writable(target: Path) -> None:
    """Refuse a target before the work, not after it."""
    if target.is_dir():
        raise ValueError(f"{target}: this is a folder, a file name was expected")
    if not target.parent.is_dir():
        raise ValueError(f"{target}: there is no folder {target.parent}")


def number_or_auto(text: str, name: str) -> float | Literal["auto"]:
    """Return a number, or the word auto."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'--{name} must be a number or "auto", it is {text!r}') from None


def detector_pair(text: str | None) -> tuple[int, int] | None:
    """Return the detectors of a text such as 0,1."""
    if text is None:
        return None
    try:
        first, second = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--detectors must be two numbers such as 0,1, it is {text!r}") from None
    return first, second


def time_gate(text: str | None) -> float | tuple[float, float] | None:
    """Return seconds after the pulse, or a window of nanotimes."""
    if text is None:
        return None
    try:
        times = [float(part) for part in text.split(",")]
    except ValueError:
        times = []
    if len(times) not in {1, 2}:
        raise ValueError(f"--gate must be seconds, or FROM,TO in seconds, it is {text!r}")
    return times[0] if len(times) == 1 else (times[0], times[1])


def time_range(text: str | None) -> tuple[float, float] | None:
    """Return a begin and an end in seconds."""
    if text is None:
        return None
    try:
        begin, end = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--fit-range must be FROM,TO in seconds, it is {text!r}") from None
    return begin, end


def background_rates(text: str | None) -> float | dict[int, float] | None:
    """Return one rate in hertz, or one for each detector."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        each = (part.split("=") for part in text.split(","))
        return {int(detector): float(rate) for detector, rate in each}
    except ValueError:
        raise ValueError(f"--background must be a rate in Hz or 0=RATE,1=RATE, it is {text!r}") from None


def components(text: str) -> int | str:
    """Return a number of exponentials, or the word auto."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'--n-components must be a whole number or "auto", it is {text!r}') from None


def responses(path: Path | None) -> Any:
    """Return the response in a curve file, or one for each detector of a time-tag file: their cables differ."""
    if path is None:
        return None
    from photonstats import decay as decay_of
    from photonstats import read, read_decay

    try:
        photons = read(readable(path))
    except PhotonFileError:
        return read_decay(path)
    return {d: decay_of(photons, detectors=d) for d in photons.counts_per_detector}


def response(path: Path | None, detector: int | None) -> Any:
    """Return the response of one detector; the brightest of the file if none is named."""
    found = responses(path)
    if not isinstance(found, dict):
        return found
    if detector is None and found:
        detector = max(found, key=lambda d: found[d].n_photons)
    if detector not in found:
        raise ValueError(f"{path}: detector {detector} has no photons; there are {sorted(found)}")
    return found[detector]
