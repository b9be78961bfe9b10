"""`photonstats blinking` and the parts of `analyze` on blinking: what is printed, written, refused."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import photonstats as ps
from photonstats.cli.commands import app
from switching_dots import exponential, path_of, trace_of

DOT = str(Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu")


def run(*arguments):
    return CliRunner().invoke(app, ["blinking", *map(str, arguments)])


@pytest.fixture(scope="module")
def analysis():
    return ps.analyze(DOT)


@pytest.mark.parametrize("source", ["threshold", "levels", "markov"])
def test_each_source_gives_statistics_and_laws(source):
    done = run(DOT, "--from", source, "--json", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["n_switches"] == len(found["dwell_times"]["on"]) + len(found["dwell_times"]["off"]) - 1
    assert 0 < found["on_fraction_ci"][0] < found["on_fraction"] < found["on_fraction_ci"][1] < 1
    assert found["on"]["model"] in {"power_law", "truncated", "undetermined"}


def test_two_thresholds_and_a_law_by_name():
    done = run(DOT, "--threshold", "8000,14000", "--law", "exponential", "--t-min", 0.01, "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    assert "on from 14000 Hz, off below 8000 Hz" in done.output
    assert "on: DwellFit: exponential" in done.output
    assert "off: DwellFit: exponential" in done.output
    assert done.output.startswith("BlinkingStatistics")


@pytest.mark.parametrize("ending", ["csv", "png", "json"])
def test_the_ending_says_what_is_written(ending, tmp_path):
    target = tmp_path / f"dwells.{ending}"
    done = run(DOT, "-o", target, "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    if ending == "csv":
        rows = list(csv.DictReader(target.read_text().splitlines()))
        assert list(rows[0]) == ["begin_s", "dwell_s", "state", "censored"]
        assert rows[0]["censored"] == rows[-1]["censored"] == "1"
        end = float(rows[-1]["begin_s"]) + float(rows[-1]["dwell_s"])
        assert sum(float(r["dwell_s"]) for r in rows) == pytest.approx(end)
    elif ending == "png":
        assert target.read_bytes()[:4] == b"\x89PNG"
    else:
        assert json.loads(target.read_text())["off"]["n_dwells"] > 0


def test_calibrated_laws_stand_beside_the_raw_ones():
    done = run(DOT, "--calibrate", "0.03", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    assert "CalibratedDwellFit" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "bright"], '--threshold must be Hz, LOW,HIGH in Hz, "auto" or "hysteresis"'),
        (["--threshold", "1,2,3"], "--threshold must be"),
        (["--threshold", "-5"], "positive rate in Hz, it is -5"),
        (["--threshold", "9000,8000"], "must come first"),
        (["--threshold", "hysteresis", "--from", "levels"], "of levels must be a rate"),
        (["--from", "levels", "--calibrate", "0.01"], "not levels"),
        (["--detector", "7"], "detector 7 has no photons; there are"),
        (["--bin-width", "1e4"], "lower --bin-width"),
        (["--bin-width", "0"], "bin_width must be"),
        (["--background", "-1"], "background must be a rate"),
        (["-o", "dwells.xls"], "ending must be"),
    ],
)
def test_wrong_settings_give_one_sentence(arguments, words):
    done = run(DOT, *arguments)
    assert done.exit_code == 2
    line = done.stderr.strip()
    assert words in line
    assert "\n" not in line
    assert "Traceback" not in done.output


def test_steady_light_is_undetermined_not_an_error(tmp_path):
    light, _ = ps.simulate.recipe("steady", seed=1, duration=2.0)
    ps.write_ptu(light, tmp_path / "steady.ptu", "HydraHarp2T3")
    done = run(tmp_path / "steady.ptu", "-o", tmp_path / "steady.png")
    assert done.exit_code == 0, done.output
    assert "BlinkingStatistics: undetermined; " in done.output
    results = ps.analyze(tmp_path / "steady.ptu").results
    assert results["blinking"]["on"] is None
    assert results["blinking"]["statistics"] is None
    assert results["notes"]["blinking.on"] == results["notes"]["blinking.statistics"]


def test_results_say_what_the_functions_say(analysis):
    results, dwells = analysis.results, analysis.dwells
    for state in ("on", "off"):
        fit, part = ps.fit_dwell_times(dwells, state=state, n_bootstrap=0), results["blinking"][state]
        if fit.model == "undetermined":
            assert part is None
            assert results["notes"][f"blinking.{state}"] == fit.note
        else:
            assert part["model"] == fit.model
            assert part["alpha"] == pytest.approx(fit.alpha)
            assert part["p_truncated"] == pytest.approx(fit.p_truncated)
    statistics = results["blinking"]["statistics"]
    assert statistics["n_switches"] == dwells.n - 1
    assert statistics["brightness"]["slope_per_s"] == pytest.approx(analysis.statistics.brightness.slope)
    assert results["psd"]["model"] == analysis.psd_fit.model
    assert results["type"]["verdict"] == analysis.blinking_type.verdict
    assert set(results["type"]["evidence"]) == {e.name for e in analysis.blinking_type.evidence}
    assert not any("does not compute this yet" in text for text in results["notes"].values())


def test_the_page_and_the_tables_hold_the_blinking(analysis, tmp_path):
    analysis.save(tmp_path)
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    for name in ("dwell_times", "switching", "psd", "type"):
        assert f"figures/{name}.png" in names
    for name in ("dwell_times", "dwells", "psd", "type"):
        assert f"tables/{name}.csv" in names
    page = (tmp_path / "report.html").read_text()
    assert page.index('<h1 class="part">Blinking') < page.index("Type of blinking")
    rows = list(csv.DictReader((tmp_path / "tables" / "dwells.csv").read_text().splitlines()))
    assert len(rows) == analysis.dwells.n
    assert "power spectrum" in analysis.summary()
    assert "switches per second" in analysis.summary()


def test_bleaching_and_aging_reach_the_summary():
    from photonstats.job.blinking_answers import blinking_part
    from photonstats.reports.blinking_findings import blinking_rows
    from photonstats.result import to_plain

    rng = np.random.default_rng(1)
    edges, states = path_of(rng, 60.0, exponential(0.8, 0.05), exponential(0.15))
    edges, states = (edges, states) if states[-1] else (edges[:-1], states[:-1])
    trace = trace_of(rng, np.append(edges, edges[-1] + 30.0), np.append(states, False))
    dwells = ps.dwell_times(trace, 5250.0)
    found = ps.blinking_statistics(dwells, trace)
    assert found.bleaching.verdict == "bleached"
    notes = {}
    part = to_plain(blinking_part(ps.Analysis({}, trace=trace, dwells=dwells, statistics=found), notes))
    names = [name for name, _, _ in blinking_rows({"blinking": part, "psd": None, "type": None})]
    assert "bleached" in names
    assert "on dwells age" in names
    assert part["statistics"]["bleaching"]["time_s"] == pytest.approx(edges[-1], abs=0.02)
    assert not math.isnan(part["statistics"]["rate_off_to_on_hz"])
    assert "dark end" in notes["blinking.statistics.doubts"]


def test_the_type_is_said_unless_it_is_not_wanted():
    said, unsaid = run(DOT), run(DOT, "--no-type")
    assert "type: BlinkingType: A" in said.stdout
    assert "BlinkingType" not in unsaid.stdout
