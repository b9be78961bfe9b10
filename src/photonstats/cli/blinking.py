"""`photonstats blinking`: on and off dwells, their laws, and how switching changes over a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from photonstats.cli.arguments import AsJson, File, Output
from photonstats.cli.output import check_output, deliver, light

if TYPE_CHECKING:
    from photonstats.blinking.blinking_type import BlinkingType
    from photonstats.blinking.dwell import DwellTimes
    from photonstats.blinking.dwell_laws import DwellFit
    from photonstats.stream import PhotonStream
    from photonstats.traces.intensity import IntensityTrace

Source = Literal["threshold", "levels", "markov"]


def blinking(
    file: File,
    source: Annotated[Source, typer.Option("--from", help="What cuts the recording into dwells.")] = "threshold",
    threshold: Annotated[
        str, typer.Option(help='On/off threshold: Hz, LOW,HIGH in Hz, "auto", or "hysteresis" for two found ones.')
    ] = "auto",
    bin_width: Annotated[float, typer.Option(help="Bins of the trace, s; not for levels.")] = 10e-3,
    law: Annotated[
        Literal["auto", "power_law", "truncated", "exponential", "stretched", "lognormal"],
        typer.Option(help="Law of the dwells."),
    ] = "auto",
    t_min: Annotated[float | None, typer.Option(help="Shortest dwell to fit, s (default: found).")] = None,
    t_max: Annotated[float | None, typer.Option(help="Longest dwell to fit, s.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Sets drawn from the law for its tests.")] = 200,
    calibrate: Annotated[
        float | None,
        typer.Option(help="Also the laws without the bias of the bins, from this shortest dwell of the emitter on, s."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    background: Annotated[float, typer.Option(help="Counts unrelated to the light, Hz, off the bright level.")] = 0.0,
    detector: Annotated[int | None, typer.Option(help="Count one detector alone (default: all).")] = None,
    verdict: Annotated[
        bool, typer.Option("--type/--no-type", help="Say type A, B, flickering or steady, with the evidence.")
    ] = True,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Find on and off dwells, their laws, rates, memory, aging, bleaching, drift of the bright level, and the type."""
    import photonstats as ps
    from photonstats.reports.tables import dwell_columns

    check_output(output)
    cut = _threshold(threshold)
    if calibrate is not None and source == "levels":
        raise ValueError("--calibrate simulates bins and a threshold: it takes --from threshold or markov, not levels")
    photons = light(file)
    if detector is not None and detector not in photons.counts_per_detector:
        raise ValueError(f"{file}: detector {detector} has no photons; there are {sorted(photons.counts_per_detector)}")
    if not photons.duration >= bin_width:
        raise ValueError(
            f"{file}: the recording lasts {photons.duration:g} s, less than a bin of {bin_width:g} s: lower --bin-width"
        )
    trace = ps.intensity_trace(photons, bin_width, detector)
    dwells = _dwells(photons, trace, source, cut, detector)
    found = ps.blinking_statistics(dwells, trace, background=background, seed=seed)
    settings: dict[str, Any] = {"model": law, "t_min": t_min, "t_max": t_max, "n_bootstrap": bootstrap, "seed": seed}
    fits = {state: ps.fit_dwell_times(dwells, state=state, **settings) for state in ("on", "off")}
    also: dict[str, Any] = {"dwell_times": dwells} | fits
    if calibrate is not None and dwells.n:
        also |= {
            f"{state}_calibrated": ps.calibrate_dwell_fit(dwells, state, t_min=calibrate, seed=seed) for state in fits
        }
    if verdict:
        also["type"] = _type(photons, trace, background, detector)
    deliver(
        found, dwell_columns(dwells), as_json=as_json, output=output, also=also, named=True,
        draw=lambda: _figure(fits, dwells),
    )  # fmt: skip


def _dwells(photons: PhotonStream, trace: IntensityTrace, source: Source, cut: Any, detector: int | None) -> DwellTimes:
    import photonstats as ps

    if source == "levels":
        return ps.dwell_times(ps.levels(ps.change_points(photons, detectors=detector)), cut)
    return ps.dwell_times(ps.hidden_markov(trace) if source == "markov" else trace, cut)


def _type(photons: PhotonStream, trace: IntensityTrace, background: float, detector: int | None) -> BlinkingType:
    """Return the type; a background for all counts is shared among detectors as their photons are, 0 is estimated."""
    import photonstats as ps

    chosen = photons if detector is None else photons.select(detectors=detector)
    counts = chosen.counts_per_detector
    shared = {d: background * n / max(len(chosen), 1) for d, n in counts.items()} if background > 0 else None
    return ps.classify_blinking(chosen, trace=trace, background=shared)


def _figure(fits: dict[str, DwellFit], dwells: DwellTimes) -> Any:
    """Return axes of the histograms with their laws, or of the bare dwells where there is no law."""
    from matplotlib.figure import Figure

    from photonstats import plots

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    if all(fit.model == "undetermined" for fit in fits.values()):
        return plots.plot_dwell_times(dwells, figure.subplots())
    plots.plot_dwell_laws(fits, figure)
    return figure.axes[0]


def _threshold(text: str) -> float | str | tuple[float, float]:
    """Return a rate, two rates, or the word for one found from the data."""
    if text in {"auto", "hysteresis"}:
        return text
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if len(rates) not in {1, 2}:
        raise ValueError(f'--threshold must be Hz, LOW,HIGH in Hz, "auto" or "hysteresis", it is {text!r}')
    return rates[0] if len(rates) == 1 else (rates[0], rates[1])
