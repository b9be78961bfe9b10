"""What `photonstats decay` reads: curves, one for each detector, and their instrument responses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonstats.cli.arguments import readable, responses
from photonstats.errors import PhotonFileError

if TYPE_CHECKING:
    from photonstats.curve import Decay
    from photonstats.stream import PhotonStream


def curve_of(
    file: Path,
    detector: int | None,
    bin_width: float | None,
    curve: int | None,
    time_unit: float | None,
    period: float | None = None,
) -> tuple[Decay, int | None]:
    """Return the decay of one detector of a time-tag file and its number, or a curve of a PHU or text file."""
    import photonstats as ps

    try:
        photons = ps.read(readable(file))
    except PhotonFileError as not_time_tags:
        if not file.is_file():
            raise
        try:
            found = ps.read_decay(file, curve=curve, time_unit=time_unit, bin_width=bin_width, period=period)
        except PhotonFileError as not_a_curve:
            curves = _is_text(file) or "histogram" in str(not_time_tags)
            raise (_as_options(not_a_curve) if curves else not_time_tags) from None
        if detector is not None:
            raise ValueError(f"{file}: a curve has no detectors; several columns are chosen by --curve") from None
        return found, None
    if period is not None:
        raise ValueError(f"{file}: time tags bring the laser period with them: leave --period out")
    photons = _with_nanotimes(photons)
    counts = photons.counts_per_detector
    if not counts:
        raise ValueError(f"{file}: there are no photons")
    if detector is not None and detector not in counts:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(counts)}")
    chosen = max(counts, key=lambda d: counts[d]) if detector is None else detector
    return ps.decay(photons, detectors=chosen, bin_width=bin_width), chosen


def _as_options(error: PhotonFileError) -> PhotonFileError:
    """Return the error of a reader with its arguments spelled as on the command line."""
    text = str(error)
    if 'time_unit="ns"' in text:
        text = text[: text.index('time_unit="ns"')] + "--time-unit 1e-9 for ns"
    for name in ("bin_width", "time_unit", "curve"):
        text = text.replace(f"{name}=", f"--{name.replace('_', '-')}")
    return PhotonFileError(text)


def decays_of(file: Path, bin_width: float | None) -> dict[int, Decay]:
    """Return the decay of every detector of a time-tag file that has photons."""
    import photonstats as ps

    photons = _with_nanotimes(ps.read(readable(file)))
    counts = photons.counts_per_detector
    if not counts:
        raise ValueError(f"{file}: there are no photons")
    return {d: ps.decay(photons, detectors=d, bin_width=bin_width) for d in sorted(counts)}


def _with_nanotimes(photons: PhotonStream) -> PhotonStream:
    import photonstats as ps

    return ps.fold(photons) if photons.syncs.size else photons


def named_response(text: str | None) -> Any:
    """Return the responses in a file, one for each detector where they are time tags; or a shape by its name."""
    from photonstats import GaussianIRF

    if text is not None and text.lower() == "gaussian":
        return GaussianIRF()
    if text is not None and text.lower() == "estimate" and not Path(text).exists():
        raise ValueError("--irf estimate belongs to `photonstats decay`; here give a file, or gaussian")
    return responses(None if text is None else Path(text))


def response_for(
    text: str | None,
    detector: int | None,
    time_unit: float | None = None,
    curve: int | None = None,
    bin_width: float | None = None,
) -> Any:
    """Return the response of one detector, the brightest of the file if none is named; or a shape by its name."""
    from photonstats import GaussianIRF

    if text is not None and text.lower() == "gaussian":
        return GaussianIRF()
    if text is None or text.lower() == "estimate":
        return text if text is None else "estimate"
    found = responses(Path(text), time_unit, curve, bin_width)
    if not isinstance(found, dict):
        return found
    if detector is None and found:
        detector = max(found, key=lambda d: found[d].n_photons)
    if detector not in found:
        raise ValueError(f"{text}: detector {detector} has no photons; there are {sorted(found)}")
    return found[detector]


def responses_for(text: str | None, detectors: list[int]) -> Any:
    """Return the response of each of the detectors."""
    if text == "estimate":
        raise ValueError("--irf estimate works on one detector; with --all-detectors give a file, or gaussian")
    return [response_for(text, d) for d in detectors]


def bands(text: str | None) -> list[tuple[float, float]]:
    """Return bands FROM,TO;FROM,TO in seconds."""
    try:
        pairs = [part.split(",") for part in (text or "").split(";") if part.strip()]
        return [(float(low), float(high)) for low, high in pairs]
    except ValueError:
        raise ValueError(f"--exclude must be FROM,TO in seconds, several joined by ;, it is {text!r}") from None


def _is_text(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(512)
    return bool(head) and b"\0" not in head


def background_counts(text: str | None, decay: Decay) -> float | None:
    """Return counts per bin: a number, or a rate with its unit, such as 120Hz, times what a bin sees of the time."""
    if text is None:
        return None
    number, hertz = text.strip(), text.strip().lower().endswith("hz")
    try:
        value = float(number[:-2] if hertz else number)
    except ValueError:
        raise ValueError(f"--background must be counts per bin, or a rate such as 120Hz, it is {text!r}") from None
    if not hertz:
        return value
    if not decay.duration:
        raise ValueError(f"--background {text}: the decay has no duration, give counts per bin")
    covered = decay.period or decay.counts.size * decay.bin_width
    return value * decay.duration * decay.bin_width / covered


def columns_of(fits: dict[int, Any]) -> dict[str, Any]:
    """Return the columns of decays fitted together, counts first so that `read_decay` finds them by their number."""
    longest = max((fit.decay for fit in fits.values()), key=lambda decay: decay.counts.size)
    columns = {"time_s": longest.time} | {f"counts_{d}": fit.decay.counts for d, fit in fits.items()}
    return columns | {f"model_{d}": fit.model for d, fit in fits.items()}
