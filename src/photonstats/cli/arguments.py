"""What can stand on the command line: options, and text turned into the values that functions take."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from photonstats.errors import PhotonFileError

if TYPE_CHECKING:
    from photonstats.stream import PhotonStream

AUTO = {"auto", "estimate"}  # words for a background that the recording itself gives

File = Annotated[
    Path, typer.Argument(help="Time-tag file: PTU, HT3, HT2, PT3, PT2, T3R or Photon-HDF5.", show_default=False)
]
Pair = Annotated[
    str | None,
    typer.Option(help="Detectors to correlate, such as 0,1, or 0,1,2 for all pairs. By default the two live ones."),
]
Delay = Annotated[str, typer.Option(help='Cable delay of the second detector in seconds, or "auto".')]
Gate = Annotated[str | None, typer.Option(help="Time gate: seconds after the pulse, or a window of nanotimes FROM,TO.")]
BackgroundRates = Annotated[
    str | None,
    typer.Option(
        help="Background in Hz (one rate, or 0=120,1=95), a time-tag file recorded without the emitter, or auto."
    ),
]
Intensity = Annotated[
    str | None,
    typer.Option(help="Only stretches with a count rate of FROM,TO in Hz (bins of 10 ms), each correlated alone."),
]
NPulses = Annotated[int, typer.Option(min=1, help="Side peaks on either side.")]
Window = Annotated[float, typer.Option(help="Longest lag, s.")]
LagWidth = Annotated[float, typer.Option(help="Width of a lag bin, s.")]
Components = Annotated[str, typer.Option(help='Number of exponentials, or "auto".')]
Irf = Annotated[
    str | None,
    typer.Option(help='Instrument response: a PHU, text or time-tag file of scattered light, or "gaussian".'),
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


def detector_pair(text: str | None) -> Any:
    """Return the detectors of a text such as 0,1 or, for all pairs of several, 0,1,2."""
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) < 2:
        raise ValueError(f"--detectors must be two or more numbers such as 0,1, it is {text!r}")
    return numbers


def several_times(text: str, name: str) -> list[float]:
    """Return times in seconds of a text such as 0,1e-9,2e-9."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--{name} must be times in seconds such as 0,1e-9,2e-9, it is {text!r}") from None


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


def background_rates(text: str | None, photons: PhotonStream | None = None) -> Any:
    """Return one rate in hertz, one for each detector, what a recording without the emitter gives, or an estimate."""
    if text is None:
        return None
    if text in AUTO and photons is not None:
        from photonstats import estimate_background

        return estimate_background(photons)
    try:
        if "=" not in text:
            return float(text)
        each = (part.split("=") for part in text.split(","))
        return {int(detector): float(rate) for detector, rate in each}
    except ValueError:
        if not Path(text).exists():
            raise ValueError(
                f"--background must be a rate in Hz, 0=RATE,1=RATE, a time-tag file, or auto; it is {text!r}"
            ) from None
    from photonstats import measure_background, read

    return measure_background(read(readable(Path(text))))


def likely_background(text: str | None, photons: PhotonStream) -> Any:
    """Return the background that lifetimes of bins need: as named, or an estimate, or none with a word about it."""
    if text is not None:
        return background_rates(text, photons)
    from photonstats import estimate_background

    try:
        found = estimate_background(photons)
    except ValueError as error:
        typer.echo(f"background: none taken off ({error})", err=True)
        return None
    rates = ", ".join(f"{d}: {rate:.4g} Hz" for d, rate in found.rate.items())
    typer.echo(f"background: {rates} (estimated; --background 0 for none)", err=True)
    return found


def intensity_range(text: str | None) -> tuple[float, float] | None:
    """Return the limits of a count rate in hertz."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--intensity must be FROM,TO in Hz (inf for no end), it is {text!r}") from None
    return low, high


def components(text: str) -> int | str:
    """Return a number of exponentials, or the word auto."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'--n-components must be a whole number or "auto", it is {text!r}') from None


def responses(
    path: Path | None, time_unit: float | None = None, curve: int | None = None, bin_width: float | None = None
) -> Any:
    """Return the response in a curve file, or one for each detector of a time-tag file: their cables differ."""
    from photonstats import read_irf

    return None if path is None else read_irf(readable(path), time_unit=time_unit, curve=curve, bin_width=bin_width)


def fixed_values(given: list[str] | None) -> dict[str, float] | None:
    """Return parameters of a decay fit to hold, from texts such as lifetime_1=4e-9."""
    found: dict[str, float] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--param must be NAME=VALUE such as lifetime_1=4e-9, it is {text!r}") from None
    return found or None
