"""`photonstats psd`: the power spectrum of blinking, and the law it follows."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from photonstats.cli.arguments import AsJson, File, Output, time_range
from photonstats.cli.output import check_output, deliver, light


def psd(
    file: File,
    method: Annotated[
        Literal["whole", "welch", "multitaper", "photons"], typer.Option(help="How the spectrum is estimated.")
    ] = "whole",
    model: Annotated[
        Literal["auto", "white", "lorentzian", "power_law", "both"], typer.Option(help="Law to fit.")
    ] = "auto",
    bin_width: Annotated[
        float | None, typer.Option(help="Width of the finest bins, s (default: 1 ms; photons: 1 us).")
    ] = None,
    per_decade: Annotated[int, typer.Option(help="Points in a decade of frequency.")] = 10,
    background: Annotated[float, typer.Option(help="Counts unrelated to the light, Hz.")] = 0.0,
    fit_range: Annotated[str | None, typer.Option(help="Frequencies to fit, FROM,TO in Hz.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Simulated spectra for the intervals.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Seed of the bootstrap.")] = None,
    detector: Annotated[int | None, typer.Option(help="Count one detector alone (default: all).")] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Find the power spectrum of the intensity and whether it is white, a Lorentzian or a power law."""
    import photonstats as ps

    check_output(output)
    limits = frequency_range(fit_range)
    photons = light(file)
    if detector is not None and detector not in photons.counts_per_detector:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(photons.counts_per_detector)}")
    found = ps.psd(
        photons, method=method, bin_width=bin_width, per_decade=per_decade, background=background, detectors=detector
    )
    fit = found.fit(model, frequency_range=limits, bootstrap=bootstrap, seed=seed)
    low, high = found.power_ci.T
    columns = {
        "frequency_hz": found.frequency, "power_per_hz": found.power, "low_per_hz": low, "high_per_hz": high,
        "fit_per_hz": fit.density(found.frequency),
    }  # fmt: skip
    deliver(fit, columns, as_json=as_json, output=output)


def frequency_range(text: str | None) -> tuple[float, float] | None:
    """Return the limits of a text such as 0.1,100."""
    try:
        return time_range(text)
    except ValueError:
        raise ValueError(f"--fit-range must be FROM,TO in Hz, it is {text!r}") from None
