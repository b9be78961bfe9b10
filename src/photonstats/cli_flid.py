"""`photonstats flid`: lifetime against intensity."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from photonstats.cli_arguments import AsJson, BackgroundRates, File, Irf, Output, background_rates
from photonstats.cli_decay import named_response
from photonstats.cli_output import check_output, deliver, light


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

    check_output(output)
    photons = light(file)
    if detector is not None and detector not in photons.counts_per_detector:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(photons.counts_per_detector)}")
    response = named_response(irf)
    if isinstance(response, dict):
        response = _one_response(response, photons, detector)
    found = ps.flid(
        photons, bin_width, background=background_rates(background, photons), irf=response, detectors=detector
    )
    columns: dict[str, Any] = {
        "start_s": found.edges[:-1], "weight_s": found.weight, "counts": found.counts,
        "intensity_hz": found.intensity, "lifetime_s": found.lifetime, "lifetime_err_s": found.lifetime_err,
    }  # fmt: skip
    for name, unit in (("intensity", "hz"), ("lifetime", "s")):
        ends = getattr(found, f"{name}_ci")
        columns |= {f"{name}_low_{unit}": ends[:, 0], f"{name}_high_{unit}": ends[:, 1]}
    deliver(found, columns, as_json=as_json, output=output)


def _one_response(responses: Any, photons: Any, detector: int | None) -> Any:
    """Return the response that the fit takes for all detectors: of the one that counts, or of the brightest."""
    counts = photons.counts_per_detector
    chosen = detector if detector is not None else max(counts, key=lambda d: counts[d])
    if chosen not in responses:
        raise ValueError(f"the response has no photons of detector {chosen}; there are {sorted(responses)}")
    return responses[chosen]
