"""`photonstats flid`: lifetime against intensity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from photonstats.cli.arguments import AsJson, BackgroundRates, File, Irf, Output, likely_background
from photonstats.cli.decay import named_response
from photonstats.cli.output import check_output, deliver, light

if TYPE_CHECKING:
    from photonstats.stream import PhotonStream


def flid(
    file: File,
    bin_width: Annotated[float, typer.Option(help="Width of the bins, s, 10 to 100 ms as a rule.")] = 10e-3,
    background: BackgroundRates = None,
    irf: Irf = None,
    detector: Annotated[int | None, typer.Option(help="Count one detector alone (default: all).")] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Find the lifetime and the intensity of each bin, and how they go together (FLID)."""
    import photonstats as ps
    from photonstats.reports.tables import flid_columns

    check_output(output)
    photons, response = light_and_response(file, detector, irf)
    found = ps.flid(
        photons, bin_width, background=likely_background(background, photons), irf=response, detectors=detector
    )
    deliver(found, flid_columns(found), as_json=as_json, output=output)


def light_and_response(file: Path, detector: int | None, irf: str | None) -> tuple[PhotonStream, Any]:
    """Read a file, and the response that a fit takes for all detectors: of the one that counts, or of the brightest."""
    photons, response = light(file), named_response(irf)
    counts = photons.counts_per_detector
    if detector is not None and detector not in counts:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(counts)}")
    if not isinstance(response, dict):
        return photons, response
    chosen = detector if detector is not None else max(counts, key=lambda d: counts[d])
    if chosen not in response:
        raise ValueError(f"the response has no photons of detector {chosen}; there are {sorted(response)}")
    return photons, response[chosen]
