"""`photonstats levels`: change points and the levels between them."""

from __future__ import annotations

from typing import Annotated

import typer

from photonstats.cli.arguments import AsJson, BackgroundRates, File, Irf, Output, likely_background
from photonstats.cli.flid import light_and_response
from photonstats.cli.output import check_output, deliver


def levels(
    file: File,
    false_positive_rate: Annotated[
        float, typer.Option(help="Probability that steady light shows any change point.")
    ] = 0.05,
    max_levels: Annotated[int, typer.Option(help="Largest number of levels.")] = 10,
    use_lifetime: Annotated[
        bool | None, typer.Option("--lifetime/--no-lifetime", help="Use nanotimes too (default: where there are some).")
    ] = None,
    dead_time: Annotated[float, typer.Option(help="Dead time of each detector, s.")] = 0.0,
    background: BackgroundRates = None,
    irf: Irf = None,
    detector: Annotated[int | None, typer.Option(help="Use one detector alone (default: all).")] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Find where rate and lifetime change, photon by photon, and the levels they change between."""
    import photonstats as ps
    from photonstats.decays.segment_fit import period_of
    from photonstats.reports.tables import segment_columns

    check_output(output)
    photons, response = light_and_response(file, detector, irf)
    timed = photons.nanotimes is not None and period_of(photons) is not None and len(photons) > 0
    joint = timed if use_lifetime is None else use_lifetime
    segments = ps.change_points(
        photons, false_positive_rate, joint, detectors=detector, dead_time=dead_time, irf=response,
        background=likely_background(background, photons) if joint else None,
    )  # fmt: skip
    found = ps.levels(segments, max_levels)
    trace = ps.intensity_trace(photons, detectors=detector) if photons.duration > 10e-3 else None
    deliver(
        found, segment_columns(segments, found), as_json=as_json, output=output,
        draw=lambda: found.plot(trace=trace),
    )  # fmt: skip
