"""The command line: arguments in, results out; exit code 2 for wrong usage, 3 for a file that cannot be read."""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, cast

import typer

from photonstats.cli.arguments import (
    AUTO,
    AsJson,
    BackgroundRates,
    Components,
    Delay,
    File,
    Gate,
    Intensity,
    Irf,
    LagWidth,
    NPulses,
    Output,
    Pair,
    Window,
    background_rates,
    components,
    detector_pair,
    fixed_values,
    intensity_range,
    number_or_auto,
    readable,
    several_times,
    time_gate,
    time_range,
    writable,
)
from photonstats.cli.blinking import blinking
from photonstats.cli.decay import (
    background_counts,
    bands,
    columns_of,
    curve_of,
    decays_of,
    named_response,
    response_for,
    responses_for,
)
from photonstats.cli.flid import flid
from photonstats.cli.levels import levels
from photonstats.cli.output import check_output, deliver, light
from photonstats.cli.psd import psd
from photonstats.cli.versions import versions
from photonstats.errors import PhotonFileError

FEWEST_GATES = 4  # to fit a series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photonstats.correlations.antibunching import Model
    from photonstats.correlations.correlation import G2

app = typer.Typer(
    help="Time-tag analysis of single nanocrystals: antibunching, blinking and lifetimes with honest error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    warnings.showwarning = _show_warning
    app()


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn errors that a user can mend into one line and an exit code."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except PhotonFileError as error:
            _stop(str(error), 3)
        except (ValueError, OSError) as error:
            _stop(str(error), 2)
        except MemoryError as error:
            _stop(f"there is not enough memory for that: {error}", 2)

    return app.command()(run)


def _stop(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    typer.echo(f"photonstats: {line}", err=True)
    raise typer.Exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo("photonstats: warning: " + " ".join(str(message).split()), err=True)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from photonstats import __version__

        typer.echo(__version__)
        raise typer.Exit


@_command
def info(file: File, tags: Annotated[bool, typer.Option(help="List all header entries.")] = False) -> None:
    """Say what a file is, from its header."""
    from photonstats import info as file_info

    about = file_info(readable(file))
    mode = {2: "T2: absolute times", 3: "T3: laser pulse and delay"}.get(
        about.measurement_mode, str(about.measurement_mode)
    )
    shown = {
        "file": f"{about.path} ({file.stat().st_size / 1e6:.3f} MB)",
        "format": about.format,
        "records": f"{about.n_records} of {about.record_type}",
        "mode": mode,
    }
    typer.echo("\n".join(f"{name:<10}{value}" for name, value in shown.items()))
    entries = list(about.tags.items())
    limit = len(entries) if tags else 24
    width = max((len(name) for name, _ in entries[:limit]), default=0)
    for name, value in entries[:limit]:
        text = " ".join(str(value).split())
        typer.echo(f"  {name:<{width}}  {text if tags or len(text) <= 60 else text[:57] + '...'}")
    if len(entries) > limit:
        typer.echo(f"  ... {len(entries) - limit} more with --tags")


@_command
def analyze(
    file: File,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report and tables (default: NAME_photonstats).")
    ] = None,
    as_json: AsJson = False,
    bin_width: Annotated[float, typer.Option(help="Bins of the intensity trace, s.")] = 10e-3,
    threshold: Annotated[str, typer.Option(help='On/off threshold in Hz, or "auto".')] = "auto",
    detectors: Pair = None,
    delay: Delay = "auto",
    gate: Gate = None,
    n_pulses: NPulses = 10,
    window: Window = 1e-6,
    g2_bin_width: LagWidth = 1e-9,
    background: BackgroundRates = None,
    n_components: Components = "auto",
    irf: Irf = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")] = False,
) -> None:
    """Analyse one dot: report.html, results.json, figures and tables in a folder, a summary here.

    With --json the results are printed, and files are written only with --output.
    """
    from photonstats import analyze as run

    if output is not None and output.exists() and not output.is_dir():
        raise ValueError(f"{output}: this is a file, a folder was expected")
    analysis = run(
        readable(file),
        bin_width=bin_width,
        threshold=number_or_auto(threshold, "threshold"),
        detectors=detector_pair(detectors),
        delay=number_or_auto(delay, "delay"),
        gate=time_gate(gate),
        n_pulses=n_pulses,
        window=window,
        g2_bin_width=g2_bin_width,
        background=None if background in AUTO else background_rates(background),
        n_components=components(n_components),
        irf=named_response(irf),
        progress=not quiet,
    )
    folder = output
    if folder is None and not as_json:
        folder = Path(f"{file.stem}_photonstats")
    if folder is not None:
        analysis.save(folder)
    if as_json:
        typer.echo(json.dumps(analysis.results, indent=2, allow_nan=False))
    else:
        typer.echo(analysis.summary())
        typer.echo(f"\n  report: {folder / 'report.html'}" if folder is not None else "")


@_command
def convert(
    source: Annotated[Path, typer.Argument(help="File to read.", show_default=False)],
    target: Annotated[
        Path, typer.Argument(help="File to write: .ptu, or .h5/.hdf5 for Photon-HDF5.", show_default=False)
    ],
    record_type: Annotated[
        str | None, typer.Option(help="Record type of a PTU (default: that of the source, or HydraHarp2).")
    ] = None,
) -> None:
    """Convert between time-tag formats."""
    from photonstats import read, write_photon_hdf5, write_ptu

    suffix = target.suffix.lower()
    if suffix not in {".ptu", ".h5", ".hdf5"}:
        raise ValueError(f"{target}: the ending must be .ptu, .h5 or .hdf5, so that the format to write is clear")
    writable(target)
    if target.exists() and target.samefile(readable(source)):
        raise ValueError(f"{target}: source and target are one file; a recording is not replaced by its conversion")
    photons = read(readable(source))
    if suffix == ".ptu":
        write_ptu(photons, target, record_type or _natural_record_type(photons))
    else:
        write_photon_hdf5(photons, target)
    typer.echo(f"{target}: {len(photons)} photons")


@_command
def g2(
    file: File,
    detectors: Pair = None,
    delay: Delay = "auto",
    gate: Gate = None,
    gates: Annotated[
        str | None, typer.Option(help="Several gates, seconds after the pulse, such as 0,1e-9,2e-9: a gate series.")
    ] = None,
    intensity: Intensity = None,
    n_pulses: NPulses = 10,
    window: Window = 1e-6,
    bin_width: LagWidth = 1e-9,
    log: Annotated[str | None, typer.Option(help="Log-spaced lags FROM,TO in seconds, such as 1e-9,1.")] = None,
    method: Annotated[str, typer.Option(help='Counting at log-spaced lags: "exact" or "multitau".')] = "exact",
    model: Annotated[str, typer.Option(help='Fit of continuous light: "antibunching", "shelving" or "auto".')] = "auto",
    background: BackgroundRates = None,
    continuous: Annotated[bool, typer.Option(help="Correlate by absolute time even if the light is pulsed.")] = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Correlate two or more detectors: peaks of pulsed light, a gate series, or g2 against the lag."""
    import photonstats as ps

    check_output(output)
    if gates is not None and (gate is not None or log is not None):
        raise ValueError("--gates makes a series of its own: it cannot go with --gate or --log")
    photons = light(file, continuous or log is not None)
    common: dict[str, Any] = {"detectors": detector_pair(detectors), "delay": number_or_auto(delay, "delay")}
    common["background"] = background_rates(background, photons)
    if intensity is not None:
        common["stretches"] = ps.intensity_trace(photons, 10e-3).stretches(*(intensity_range(intensity) or ()))
    pulsed = bool(photons.pulse_clock) and photons.laser_period is not None and not continuous
    result: Any
    drawn: Callable[[], Axes] | None = None
    if gates is not None:
        result = ps.gate_series(photons, several_times(gates, "gates"), n_pulses, **common)
        fitted = result.fit() if len(result.gate) >= FEWEST_GATES else None
        if fitted is not None:
            drawn = lambda: fitted.plot(result.plot())  # noqa: E731
            if not as_json:
                typer.echo(fitted.summary())
        columns = {"gate_s": result.gate, "g2_zero": result.g2_zero, "g2_zero_err": result.g2_zero_err}
    elif log is not None:
        lag_min, lag_max = several_times(log, "log")[:2] if log.count(",") == 1 else (math.nan, math.nan)
        result = ps.g2_log(photons, lag_min, lag_max, method=_counting(method), gate=time_gate(gate), **common)
        columns = _curve_columns(result)
    elif pulsed:
        result = ps.g2_pulsed(photons, n_pulses, gate=time_gate(gate), **common)
        columns = {"lag_pulses": result.pulse_lag, "pairs": result.pairs}
    else:
        curve = ps.g2(photons, window, bin_width, gate=time_gate(gate), **common)
        columns = _curve_columns(curve)
        result = curve if curve.pulsed else curve.fit(model=_dip_model(model))
        drawn = None if curve.pulsed else lambda: result.plot(curve.plot())
    deliver(result, columns, as_json=as_json, output=output, draw=drawn)


@_command
def emitters(
    file: File,
    detectors: Pair = None,
    delay: Delay = "auto",
    gate: Gate = None,
    background: BackgroundRates = None,
    max_emitters: Annotated[int, typer.Option(min=1, help="Largest number to consider.")] = 10,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Say how many emitters there are, with a probability for each number."""
    import photonstats as ps

    check_output(output)
    photons = light(file)
    estimate = ps.estimate_emitters(
        photons,
        background_rates(background, photons),
        time_gate(gate),
        max_emitters,
        detectors=detector_pair(detectors),
        delay=number_or_auto(delay, "delay"),
    )
    columns = {"emitters": list(estimate.probability), "probability": list(estimate.probability.values())}
    deliver(estimate, columns, as_json=as_json, output=output)


@_command
def g3(
    file: File,
    detectors: Annotated[str | None, typer.Option(help="The three detectors, such as 0,1,2.")] = None,
    n_pulses: NPulses = 5,
    bin_width: Annotated[float | None, typer.Option(help="Coincidence window of continuous light, s.")] = None,
    gate: Gate = None,
    background: BackgroundRates = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Correlate three detectors: g3(0)."""
    import numpy as np

    import photonstats as ps

    check_output(output)
    photons = light(file, bin_width is not None)
    found = ps.g3(
        photons,
        n_pulses,
        bin_width=bin_width,
        detectors=detector_pair(detectors),
        gate=time_gate(gate),
        background=background_rates(background, photons),
    )
    lags = np.meshgrid(found.lag, found.lag, indexing="ij")
    columns = {"lag_second_s": lags[0].ravel(), "lag_third_s": lags[1].ravel(), "triples": found.triples.ravel()}
    columns |= {
        "triples_background": found.triples_background.ravel(), "expected_far": found.expected_far.ravel()
    }  # fmt: skip
    deliver(found, columns, as_json=as_json, output=output)


@_command
def afterpulsing(
    file: File,
    detector: Annotated[int | None, typer.Option(help="Detector to look at.")] = None,
    window: Window = 1e-6,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Correlate one detector with itself: its afterpulses and dead time, not the light."""
    import photonstats as ps

    check_output(output)
    found = ps.afterpulsing(light(file), detector, window=window)
    columns = {"lag_s": found.lag, "pairs": found.pairs, "expected": found.expected}
    deliver(found, columns, as_json=as_json, output=output)


@_command
def decay(
    file: File,
    detector: Annotated[int | None, typer.Option(help="Detector (default: the brightest).")] = None,
    bin_width: Annotated[
        float | None,
        typer.Option(help="Bins of the decay, s (default: those of the hardware), or of a text of counts alone."),
    ] = None,
    n_components: Components = "auto",
    irf: Annotated[
        str | None, typer.Option(help='Response: a PHU, text or time-tag file, "gaussian" or "estimate".')
    ] = None,
    fit_range: Annotated[str | None, typer.Option(help="Begin and end of the fit, FROM,TO in seconds.")] = None,
    exclude: Annotated[str | None, typer.Option(help="Bands to leave out, FROM,TO[;FROM,TO...] in seconds.")] = None,
    model: Annotated[str, typer.Option(help="exponential, stretched or lognormal.")] = "exponential",
    max_components: Annotated[int, typer.Option(help="Most exponentials that auto tries.")] = 3,
    scatter: Annotated[bool, typer.Option("--scatter", help="Stray light in the model.")] = False,
    pile_up: Annotated[bool, typer.Option("--pile-up", help="Pile-up in the model.")] = False,
    errors: Annotated[str, typer.Option(help="Intervals: auto, profile or hessian.")] = "auto",
    together: Annotated[bool, typer.Option("--all-detectors", help="All detectors, with shared lifetimes.")] = False,
    curve: Annotated[int | None, typer.Option(help="Which curve of a PHU or text file.")] = None,
    time_unit: Annotated[float | None, typer.Option(help="Unit of the times in a text file, s.")] = None,
    period: Annotated[float | None, typer.Option(help="Laser period of a PHU or text file, s.")] = None,
    background: Annotated[
        str | None, typer.Option(help="Hold the background: counts per bin, or a rate such as 120Hz.")
    ] = None,
    shift: Annotated[float | None, typer.Option(help="Hold the shift of the response, s.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Hold a parameter: NAME=VALUE such as lifetime_1=4e-9; repeatable.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Sets drawn from the fit, for their intervals.")] = 0,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Fit lifetimes to the decay of one detector, or to a curve in a PHU or text file."""
    import photonstats as ps

    check_output(output)
    common: Any = {
        "fit_range": time_range(fit_range), "exclude": bands(exclude), "scatter": scatter, "pile_up": pile_up,
        "errors": errors, "max_components": max_components, "params": fixed_values(param),
    }  # fmt: skip
    number: Any = components(n_components)
    if together:
        if detector is not None or model != "exponential" or shift is not None or bootstrap or period is not None:
            raise ValueError(
                "--all-detectors fits exponentials to every detector: leave --detector, --model, --shift, --bootstrap "
                "and --period out"
            )
        curves = decays_of(file, bin_width)
        named = {f"detector {d}": curve_of_d for d, curve_of_d in curves.items()}
        held = [background_counts(background, each) for each in curves.values()]
        given = responses_for(irf, list(curves))
        found = ps.fit_decays(named, number, irf=given, background=held, **common)
        columns = columns_of(dict(zip(curves, found.fits, strict=True)))
        deliver(found, columns, as_json=as_json, output=output)
        return
    data, detector = curve_of(file, detector, bin_width, curve, time_unit, period)
    if model != "exponential" and n_components not in {"auto", "1"}:
        raise ValueError(f"--model {model} is one distribution: leave --n-components out")
    common |= {"background": background_counts(background, data), "shift": shift, "model": cast("Any", model)}
    given = response_for(irf, detector, time_unit, curve, bin_width if detector is None else None)
    fit = ps.fit_decay(data, 1 if model != "exponential" else number, irf=given, **common)
    drawn = fit.bootstrap(bootstrap) if bootstrap else None
    columns = {"time_s": data.time, "counts": data.counts, "model": fit.model}
    deliver(fit, columns, as_json=as_json, output=output, also={} if drawn is None else {"bootstrap": drawn})


_command(levels)
_command(flid)
_command(psd)
_command(versions)
_command(blinking)


@_command
def simulate(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a TOML or JSON file.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="File to write: .ptu, .h5 or .hdf5.", show_default=False)],
    seed: Annotated[int | None, typer.Option(help="Seed, for the same photons again.")] = None,
    duration: Annotated[float | None, typer.Option(help="Length of the recording, s.")] = None,
) -> None:
    """Write a file of known truth, and the truth beside it as JSON."""
    from photonstats import simulate as simulator
    from photonstats import write_photon_hdf5, write_ptu
    from photonstats.io.atomic import atomic_path
    from photonstats.result import to_plain

    if target.suffix.lower() not in {".ptu", ".h5", ".hdf5"}:
        raise ValueError(f"{target}: the ending must be .ptu, .h5 or .hdf5, so that the format to write is clear")
    writable(target)
    photons, truth = simulator.recipe(recipe, seed=seed, duration=duration)
    if target.suffix.lower() == ".ptu":
        write_ptu(photons, target, _natural_record_type(photons))
    else:
        write_photon_hdf5(photons, target)
    beside = target.with_suffix(".truth.json")
    with atomic_path(beside) as temporary:
        temporary.write_text(json.dumps(to_plain(truth), indent=2, allow_nan=False) + "\n")
    typer.echo(f"{target}: {photons!r}\n{beside}: the truth")


def _curve_columns(curve: G2) -> dict[str, Any]:
    names = ("pairs", "expected", "g2", "g2_err")
    return {"lag_s": curve.lag} | {name: getattr(curve, name) for name in names}


def _dip_model(model: str) -> Model:
    if model not in {"antibunching", "shelving", "auto"}:
        raise ValueError(f'--model must be "antibunching", "shelving" or "auto", it is {model!r}')
    return cast("Model", model)


def _counting(method: str) -> Literal["exact", "multitau"]:
    if method not in {"exact", "multitau"}:
        raise ValueError(f'--method must be "exact" or "multitau", it is {method!r}')
    return cast("Literal['exact', 'multitau']", method)


def _natural_record_type(photons: Any) -> str:
    """Return the record type that a stream came with, else HydraHarp2 in its mode."""
    from photonstats.io.formats import RecordType

    mode = 2 if photons.nanotimes is None else 3
    name = photons.info.record_type if photons.info is not None else ""
    if name in RecordType.__members__ and RecordType[name].measurement_mode == mode:
        return str(name)
    return f"HydraHarp2T{mode}"
