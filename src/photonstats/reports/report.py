"""The report of an analysis: text for a terminal, a page for the lab book, files in a folder."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonstats import plots
from photonstats.io.atomic import atomic_path
from photonstats.reports import tables
from photonstats.reports.findings import MOST_LEVELS_SHOWN, headline, rows, title, unanswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from photonstats.correlations.emitters import EmitterEstimate
    from photonstats.job.pipeline import Analysis
    from photonstats.switching.level_clustering import Levels

TITLES = {
    "trace": "Intensity over time",
    "decay": "Decay",
    "levels": "Levels",
    "flid": "Lifetime against intensity (FLID)",
    "lifetimes": "Lifetime against intensity",
    "g2": "Photon correlation",
    "emitters": "Number of emitters",
    "dwell_times": "Dwell times",
    "switching": "Dwells over time",
    "psd": "Power spectrum of the intensity",
    "transitions": "Switches between levels",
    "type": "Type of blinking",
}
TABLES_OF = {
    "trace": ("trace",),
    "decay": ("decay", "lifetimes"),
    "levels": ("segments", "levels"),
    "transitions": ("levels",),
    "flid": ("flid", "stretches"),
    "lifetimes": ("stretches",),
    "g2": ("g2_peaks", "g2"),
    "emitters": ("gates", "emitters"),
    "dwell_times": ("dwell_times",),
    "switching": ("dwells",),
    "psd": ("psd",),
    "type": ("type",),
}
# where each figure stands on the page; all others in the column beside the numbers
OVER_THE_PAGE, OF_BLINKING, LAST = ("trace", "levels"), ("dwell_times", "switching", "psd", "transitions"), ("type",)
LONGEST_TABLE = 2_000_000
WIDE, NARROW = (9.6, 2.7), (4.6, 2.9)


def figures(analysis: Analysis) -> dict[str, Figure]:
    """Return the figures of the report by name; "trace_narrow" is the trace for a phone."""
    made: dict[str, Figure] = {}
    if analysis.trace is not None and analysis.trace.counts.size:
        made["trace"] = _trace_figure(analysis, WIDE)
        made["trace_narrow"] = _trace_figure(analysis, NARROW)
    if analysis.decays:
        made["decay"] = _decay_figure(analysis)
    if analysis.levels is not None:
        made["levels"] = _levels_figure(analysis, analysis.levels)
        if 2 <= analysis.levels.n <= MOST_LEVELS_SHOWN:
            made["transitions"] = _drawn(analysis.levels.plot, kind="transitions")
    if analysis.flid is not None:
        made["flid"] = _drawn(analysis.flid.plot, levels=analysis.levels)
    elif analysis.stretches is not None:
        made["lifetimes"] = _figure((4.8, 3.6))
        with plots.style():
            analysis.stretches.plot(made["lifetimes"].subplots(), against="rate")
    if analysis.g2_curve is not None:
        made["g2"] = _g2_figure(analysis)
    if analysis.emitters is not None:
        made["emitters"] = _emitters_figure(analysis, analysis.emitters)
    made |= _blinking_figures(analysis)
    return made


def overview_figure(analysis: Analysis) -> Figure:
    """Draw trace, decay, correlation and dwell times as one figure."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10.0, 6.2), layout="constrained")
    with plots.style():
        rows_of_figure: Any = figure.subfigures(2, 1, height_ratios=(1.0, 1.25))
        top, bottom = rows_of_figure
        _draw_trace(analysis, top)
        left, middle, right = bottom.subfigures(1, 3)
        _draw_decay(analysis, left)
        _draw_g2(analysis, middle)
        if analysis.dwells is not None:
            plots.plot_dwell_times(analysis.dwells, right.subplots())
    return figure


def save(analysis: Analysis, folder: Path) -> Path:
    """Write report.html, results.json, figures/*.png and tables/*.csv; each file appears whole or not at all."""
    for part in (folder / "figures", folder / "tables"):
        part.mkdir(parents=True, exist_ok=True)
    pictures = {name: _png(figure) for name, figure in figures(analysis).items()}
    texts = tables.csv_tables(analysis)
    _remove_earlier(folder, set(pictures), set(texts))
    for name, picture in pictures.items():
        _write(folder / "figures" / f"{name}.png", picture)
    for name, text in texts.items():
        _write(folder / "tables" / f"{name}.csv", text.encode())
    _write(folder / "results.json", (json.dumps(analysis.results, indent=2, allow_nan=False) + "\n").encode())
    _write(folder / "report.html", html_report(analysis, pictures, texts).encode("utf-8", "replace"))
    return folder


def _remove_earlier(folder: Path, pictures: set[str], texts: set[str]) -> None:
    """Remove figures and tables that an earlier analysis left in the folder and this one does not have."""
    for name in {*TITLES, "trace_narrow"} - pictures:
        (folder / "figures" / f"{name}.png").unlink(missing_ok=True)
    for name in {t for names in TABLES_OF.values() for t in names} - texts:
        (folder / "tables" / f"{name}.csv").unlink(missing_ok=True)


def html_report(analysis: Analysis, pictures: dict[str, bytes], texts: dict[str, str]) -> str:
    """Return the self-contained page: pictures and tables are part of it."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.PackageLoader("photonstats"), autoescape=True)
    shown = [
        {
            "name": name,
            "title": title,
            "picture": _data_uri(pictures[name], "image/png"),
            "narrow": _data_uri(pictures[f"{name}_narrow"], "image/png") if f"{name}_narrow" in pictures else None,
            "tables": [(t, _table_uri(texts[t])) for t in TABLES_OF[name] if t in texts],
        }
        for name, title in TITLES.items()
        if name in pictures
    ]
    results = analysis.results
    page: str = environment.get_template("report.html.j2").render(
        title=title(results["source"], "Photon stream"),
        headline=headline(results),
        figures=shown,
        wide=OVER_THE_PAGE,
        blinking=OF_BLINKING,
        last=LAST,
        rows=rows(analysis),
        unanswered=unanswered(results["notes"]),
        results=results,
        results_uri=_data_uri(json.dumps(results, indent=2, allow_nan=False).encode(), "application/json"),
    )
    return page


def notebook_html(analysis: Analysis) -> str:
    """Return the numbers as a table and the overview as a picture, for a notebook cell."""
    import html

    from matplotlib import pyplot as plt

    figure = overview_figure(analysis)
    picture = _data_uri(_png(figure, dpi=110), "image/png")
    plt.close(figure)
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(a)}</th><td style='text-align:left'>{html.escape(b)}</td>"
        f"<td style='text-align:left;color:#666'>{html.escape(c)}</td></tr>"
        for a, b, c in rows(analysis)
    )
    image = f"<img alt='trace, decay, correlation, dwell times' src='{picture}' style='max-width:100%'>"
    return f"{image}<table>{cells}</table>"


def _drawn(plot: Callable[..., Axes], **settings: Any) -> Figure:
    """Return the figure that a plot makes for itself, out of reach of pyplot."""
    import matplotlib.pyplot as plt

    with plots.style():
        figure = plot(**settings).figure
    plt.close(figure)  # type: ignore[arg-type]
    return figure  # type: ignore[return-value]


def _levels_figure(analysis: Analysis, levels: Levels) -> Figure:
    figure = _drawn(levels.plot, trace=analysis.trace)
    figure.set_size_inches(WIDE)
    return figure


def _blinking_figures(analysis: Analysis) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    if analysis.dwells is not None and analysis.dwells.n:
        laws = [fit for fit in analysis.dwell_fits.values() if fit.model != "undetermined"]
        made["dwell_times"] = _figure((4.8, 3.2))
        with plots.style():
            if laws:
                plots.plot_dwell_laws(analysis.dwell_fits, made["dwell_times"])
            else:
                plots.plot_dwell_times(analysis.dwells, made["dwell_times"].subplots())
    if analysis.statistics is not None and analysis.statistics.n_switches:
        made["switching"] = _drawn(analysis.statistics.plot)
    if analysis.psd_fit is not None:
        made["psd"] = _drawn(analysis.psd_fit.plot)
    if analysis.blinking_type is not None and analysis.blinking_type.evidence:
        made["type"] = _drawn(analysis.blinking_type.plot)
    for figure in made.values():
        _without_minor_ticks(figure)
    return made


def _without_minor_ticks(figure: Figure) -> None:
    """Leave the minor ticks of long logarithmic axes out: they take most of the time that a figure takes."""
    from matplotlib.ticker import NullLocator

    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = axis.get_view_interval()
        if axis.get_scale() == "log" and high > 1e3 * low:
            axis.set_minor_locator(NullLocator())


def _trace_figure(analysis: Analysis, size: tuple[float, float]) -> Figure:
    figure = _figure(size)
    with plots.style():
        _draw_trace(analysis, figure)
    return figure


def _decay_figure(analysis: Analysis) -> Figure:
    figure = _figure((4.8, 3.6))
    with plots.style():
        _draw_decay(analysis, figure)
    return figure


def _g2_figure(analysis: Analysis) -> Figure:
    figure = _figure((4.8, 3.6))
    with plots.style():
        _draw_g2(analysis, figure)
    return figure


def _emitters_figure(analysis: Analysis, estimate: EmitterEstimate) -> Figure:
    figure = _figure((4.8, 2.5))
    with plots.style():
        if analysis.gates is None:
            plots.plot_emitters(estimate, figure.subplots())
        else:
            left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
            plots.plot_gate_series(analysis.gates, left, fit=analysis.gate_fit)
            plots.plot_emitters(estimate, right)
    return figure


def _draw_trace(analysis: Analysis, figure: Any) -> None:
    if analysis.trace is None:
        return
    threshold = analysis.dwells.threshold if analysis.dwells is not None else None
    left, right = figure.subplots(1, 2, width_ratios=(5, 1), sharey=True)
    plots.plot_trace(analysis.trace, left, threshold=threshold)
    plots.plot_trace_histogram(analysis.trace, right, threshold=threshold)
    right.set_ylabel("")
    right.tick_params(labelleft=False)


def _draw_decay(analysis: Analysis, figure: Any) -> None:
    detector = analysis.main_detector
    if detector is None:
        return
    fit = analysis.decay_fits.get(detector)
    if fit is None:
        ax = plots.plot_decay(analysis.decays[detector], figure.subplots())
    else:
        ax, below = figure.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
        plots.plot_decay_fit(fit, ax)
        plots.plot_residuals(fit, below)
        ax.set_xlabel("")
    ax.set_title(f"detector {detector}", loc="left")


def _draw_g2(analysis: Analysis, figure: Any) -> None:
    if analysis.g2 is not None and analysis.g2_curve is not None:
        peaks, curve = figure.subplots(2, 1, height_ratios=(1.35, 1))
        plots.plot_pulsed_g2(analysis.g2, peaks)
        plots.plot_pairs(analysis.g2_curve, curve, centre=analysis.g2.laser_period)
    elif analysis.g2_fit is not None:
        plots.plot_g2_fit(analysis.g2_fit, figure.subplots(), g2=analysis.g2_curve)
    elif analysis.g2_curve is not None:
        plots.plot_g2(analysis.g2_curve, figure.subplots())


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _png(figure: Figure, dpi: int = 200) -> bytes:
    out = io.BytesIO()
    with plots.style():
        engine = figure.get_layout_engine()
        if engine is not None:  # once: left on, all is drawn a first time only to lay it out again
            figure.set_dpi(dpi)
            engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    return out.getvalue()


def _table_uri(text: str) -> str | None:
    """Return a table as part of the page, or None where it would make the page too heavy for a phone."""
    return _data_uri(text.encode(), "text/csv") if len(text) <= LONGEST_TABLE else None


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
