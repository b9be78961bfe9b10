"""What `photonstats decay` reads: curves, one for each detector, and their instrument responses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonstats.cli_arguments import readable, responses
from photonstats.errors import PhotonFileError

if TYPE_CHECKING:
    from photonstats.curve import Decay
    from photonstats.stream import PhotonStream


def curve_of(
    file: Path, detector: int | None, bin_width: float | None, curve: int | None, time_unit: float | None
) -> tuple[Decay, int | None]:
    """Return the decay of one detector of a time-tag file and its number, or a curve of a PHU or text file."""
    import photonstats as ps

    try:
        photons = ps.read(readable(file))
    except PhotonFileError as not_time_tags:
        if not file.is_file():
            raise
        try:
            found = ps.read_decay(file, curve=curve, time_unit=time_unit)
        except PhotonFileError as not_a_curve:
            curves = _is_text(file) or "histogram" in str(not_time_tags)
            raise (not_a_curve if curves else not_time_tags) from None
        if detector is not None or bin_width is not None:
            raise ValueError(f"{file}: a curve has no detectors, and bins of its own") from None
        return found, None
    photons = _with_nanotimes(photons)
    counts = photons.counts_per_detector
    if not counts:
        raise ValueError(f"{file}: there are no photons")
    if detector is not None and detector not in counts:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(counts)}")
    chosen = max(counts, key=lambda d: counts[d]) if detector is None else detector
    return ps.decay(photons, detectors=chosen, bin_width=bin_width), chosen


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
    text: str | None, detector: int | None, time_unit: float | None = None, curve: int | None = None
) -> Any:
    """Return the response of one detector, the brightest of the file if none is named; or a shape by its name."""
    from photonstats import GaussianIRF

    if text is not None and text.lower() == "gaussian":
        return GaussianIRF()
    if text is None or text.lower() == "estimate":
        return text if text is None else "estimate"
    found = responses(Path(text), time_unit, curve)
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
