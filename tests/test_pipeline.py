"""The main job: every part answered or null with a reason, valid by the schema, the same from pieces as from memory."""

import csv
import json
import math
import re
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

import photonstats as ps
from photonstats.job import replay
from photonstats.job.blinking_answers import doubt_type
from photonstats.reports import findings

SAMPLES = Path(__file__).parents[1] / "data_samples"
SCHEMA = json.loads(resources.files("photonstats").joinpath("schema/results.schema.json").read_text())


def check(results):
    """Assert that results are valid, plain JSON, and that each null part has its reason."""
    jsonschema.validate(results, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    for place in nulls({k: v for k, v in results.items() if k not in {"settings", "notes"}}):
        names = place.split(".")
        assert any(results["notes"].get(".".join(names[: n + 1])) for n in range(len(names))), place


def nulls(value, place=""):
    if value is None:
        yield place
    for key, inner in value.items() if isinstance(value, dict) else []:
        yield from nulls(inner, f"{place}.{key}" if place else key)


@pytest.fixture(scope="module")
def blinking():
    return ps.analyze(SAMPLES / "blinking_dot.ptu")


def quiet_dot(n=20_000, seed=0, detectors=2, **changes):
    rng = np.random.default_rng(seed)
    pulses = np.sort(rng.integers(0, 5_000_000, n))
    nanotimes = np.minimum(rng.exponential(20e-9, n) / 64e-12 + 50, 3000).astype(int)
    values = {
        "timestamps": pulses,
        "detectors": rng.integers(0, detectors, n),
        "nanotimes": nanotimes,
        "timestamps_unit": 200e-9,
        "tcspc_unit": 64e-12,
        "laser_period": 200e-9,
        "duration": 1.0,
    }
    return ps.PhotonStream(**(values | changes))


@pytest.mark.parametrize("sample", ["blinking_dot", "two_emitters", "continuous"])
def test_samples_give_valid_results(sample):
    results = ps.analyze(SAMPLES / f"{sample}.ptu").results
    check(results)
    assert results["g2"]["mode"] == ("cw" if sample == "continuous" else "pulsed")
    assert (results["decay"] is None) == (sample == "continuous")


def test_pieces_and_memory_give_the_same(blinking, monkeypatch):
    monkeypatch.setattr(replay, "MOST_RECORDS_IN_MEMORY", 0)
    assert ps.analyze(SAMPLES / "blinking_dot.ptu").results == blinking.results


def test_one_detector_has_no_g2_but_a_decay():
    results = ps.analyze(quiet_dot(detectors=1)).results
    check(results)
    assert results["g2"] is None
    assert "detector" in results["notes"]["g2"]
    assert results["decay"] is not None


def test_no_nanotimes_means_no_decay_and_no_background():
    photons = quiet_dot(nanotimes=None, tcspc_unit=None, laser_period=None)
    results = ps.analyze(photons).results
    check(results)
    assert results["decay"] is None
    assert "nanotimes" in results["notes"]["decay"]
    assert results["background"] is None


@pytest.mark.parametrize("light", ["pulsed", "continuous"])
@pytest.mark.parametrize("n", [0, 1, 2, 30])
@pytest.mark.filterwarnings("ignore::photonstats.AnalysisWarning")
def test_hardly_any_photons_give_nulls_not_errors(n, light):
    t2 = {"nanotimes": None, "tcspc_unit": None, "laser_period": None, "timestamps_unit": 1e-12}
    results = ps.analyze(quiet_dot(n, **(t2 if light == "continuous" else {}))).results
    check(results)
    assert results["stream"]["n_photons"] == n
    assert results["decay"] is None


def test_a_stream_that_counts_pulses_is_pulsed_also_without_a_stated_period():
    results = ps.analyze(quiet_dot(laser_period=None)).results
    check(results)
    assert results["g2"]["mode"] == "pulsed"


def test_coarse_nanotimes_do_not_stop_the_analysis():
    photons = quiet_dot(timestamps_unit=12.5e-9, laser_period=12.5e-9, tcspc_unit=512e-12, duration=0.1)
    nanotimes = np.random.default_rng(1).integers(0, 24, len(photons))
    results = ps.analyze(
        quiet_dot(nanotimes=nanotimes, timestamps_unit=12.5e-9, laser_period=12.5e-9, tcspc_unit=512e-12, duration=0.1)
    ).results
    check(results)
    assert results["g2"]["mode"] == "pulsed"


@pytest.mark.parametrize("harm", ["too large", "irregular"])
def test_laser_pulses_that_cannot_be_folded_do_not_make_light_continuous(harm, tmp_path, monkeypatch):
    t2 = ps.simulate.as_t2(ps.read(SAMPLES / "blinking_dot.ptu").between(0, 0.2))
    if harm == "irregular":
        keep = np.random.default_rng(1).random(t2.syncs.size) < 0.5
        syncs = np.sort(t2.syncs + np.random.default_rng(2).integers(0, 200_000, t2.syncs.size))[keep]
        t2 = ps.PhotonStream(
            t2.timestamps, t2.detectors, syncs=syncs, timestamps_unit=t2.timestamps_unit, duration=t2.duration
        )
        results = ps.analyze(t2).results
    else:
        ps.write_ptu(t2, tmp_path / "t2.ptu", "HydraHarp2T2")
        monkeypatch.setattr(replay, "MOST_RECORDS_IN_MEMORY", 10)
        results = ps.analyze(tmp_path / "t2.ptu").results
    check(results)
    assert results["g2"] is None
    assert "laser pulses" in results["notes"]["g2"]


def test_each_detector_is_fitted_with_its_own_response():
    emitter = ps.simulate.Emitter(lifetime=1e-9)
    settings = {"laser_period": 50e-9, "irf_sigma": 0.1e-9, "delay": 1e-9, "tcspc_unit": 32e-12, "t0": 5e-9}
    photons, _ = ps.simulate.pulsed(emitter, duration=2.0, rate=50e3, seed=1, **settings)
    light, _ = ps.simulate.pulsed([], duration=2.0, scatter=50e3, seed=2, **settings)
    irf = {d: ps.decay(light, detectors=d) for d in (0, 1)}
    decay = ps.analyze(photons, irf=irf, n_components=1).results["decay"]
    assert abs(decay["lifetimes_s"][0] - 1e-9) < 4 * decay["lifetimes_err_s"][0]


def test_a_flat_decay_gives_no_background():
    nanotimes = np.random.default_rng(3).integers(0, 3125, 20_000)
    results = ps.analyze(quiet_dot(nanotimes=nanotimes)).results
    check(results)
    background = results["background"]
    assert background is None or max(background["rate_err_hz"].values()) < 2e4


def test_results_cannot_be_changed_through_a_copy(blinking):
    blinking.to_dict()["g2"]["g2_zero"] = 7.0
    assert blinking.results["g2"]["g2_zero"] < 1.0


def test_a_recording_shorter_than_a_bin_has_no_trace():
    results = ps.analyze(quiet_dot(duration=1.0), bin_width=2.0).results
    check(results)
    assert "shorter than one bin" in results["notes"]["blinking"]


def test_given_background_is_used_as_given():
    results = ps.analyze(quiet_dot(), background={0: 100.0, 1: 50.0}).results
    check(results)
    assert results["background"] == {
        "rate_hz": {"0": 100.0, "1": 50.0},
        "rate_err_hz": {"0": 0.0, "1": 0.0},
        "method": "given",
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"bin_width": -1.0}, "bin_width"),
        ({"detectors": (0, 0)}, "detector"),
        ({"detectors": (0, 7)}, "7"),
        ({"background": {0: 3.0}}, "no rate for detector 1"),
        ({"background": -3.0}, "must be a rate"),
        ({"threshold": "high"}, "threshold"),
        ({"n_components": 0}, "n_components"),
        ({"n_pulses": 0}, "n_pulses"),
    ],
)
def test_impossible_settings_are_errors(setting, message):
    with pytest.raises(ValueError, match=message):
        ps.analyze(quiet_dot(), **setting)


def test_settings_and_source_are_kept(blinking):
    results = blinking.results
    assert results["settings"]["bin_width"] == 0.01
    assert results["source"]["path"].endswith("blinking_dot.ptu")
    assert results["source"]["record_type"] == "HydraHarp2T3"


def test_the_folder_holds_page_results_pictures_and_their_numbers(blinking, tmp_path):
    folder = blinking.save(tmp_path / "out")
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"report.html", "results.json", "figures/trace.png", "figures/decay.png", "figures/g2.png"} <= names
    assert {"tables/trace.csv", "tables/decay.csv", "tables/g2_peaks.csv", "tables/dwell_times.csv"} <= names
    assert json.loads((folder / "results.json").read_text()) == blinking.results
    with (folder / "tables" / "trace.csv").open() as file:
        counts = [int(row["counts"]) for row in csv.DictReader(file)]
    assert counts == blinking.trace.counts.tolist()
    with (folder / "tables" / "g2_peaks.csv").open() as file:
        pairs = {int(row["lag_pulses"]): int(row["pairs"]) for row in csv.DictReader(file)}
    assert pairs[0] == blinking.results["g2"]["pairs_centre"]


def test_the_page_needs_nothing_from_outside(blinking, tmp_path):
    page = (blinking.save(tmp_path) / "report.html").read_text()
    targets = re.findall(r"(?:src|href|srcset)=\"([^\"]{0,40})", page)
    assert targets
    assert all(t.startswith("data:") for t in targets)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert page.count("data:text/csv") >= 4
    assert 'name="viewport"' in page


def test_a_name_with_markup_is_shown_as_text(tmp_path):
    from photonstats.reports import report

    analysis = ps.analyze(quiet_dot())
    analysis.results["source"]["path"] = "<script>alert(1)</script>.ptu"
    assert "<script>" not in report.html_report(analysis, {}, {})


def test_summary_fits_one_screen_and_names_the_numbers(blinking):
    text = blinking.summary()
    assert len(text.splitlines()) < 40
    for word in ("blinking_dot.ptu", "photons", "g2(0)", "±", "lifetime", "on-fraction", "note"):
        assert word in text
    assert "<table>" in blinking._repr_html_()


def test_another_dot_in_the_same_folder_leaves_nothing_of_the_first(blinking, tmp_path):
    blinking.save(tmp_path)
    ps.analyze(SAMPLES / "continuous.ptu").save(tmp_path)
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert not names & {"decay.csv", "lifetimes.csv", "g2_peaks.csv", "decay.png", "dwell_times.csv"}


def test_saving_twice_replaces_the_files(blinking, tmp_path):
    blinking.save(tmp_path)
    (tmp_path / "results.json").write_text("old")
    blinking.save(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == "photonstats/1"
    assert not list(tmp_path.rglob(".*"))


def test_truth_comes_back_from_a_simulated_dot():
    emitter = ps.simulate.Emitter(
        lifetime=15e-9,
        blinking=ps.simulate.Blinking(
            levels=(ps.simulate.Level(1.0, 15e-9), ps.simulate.Level(0.05, 1e-9)),
            dwells=(ps.simulate.Exponential(0.6), ps.simulate.Exponential(0.3)),
        ),
    )
    photons, _ = ps.simulate.pulsed(
        [emitter], duration=40.0, laser_period=200e-9, rate=20e3, background=300.0, tcspc_unit=64e-12, seed=11
    )
    results = ps.analyze(photons).results
    check(results)
    g2, decay, blink = results["g2"], results["decay"], results["blinking"]
    assert g2["g2_zero_corrected"] < 4 * g2["g2_zero_corrected_err"]
    assert abs(decay["lifetimes_s"][-1] - 15e-9) < 4 * decay["lifetimes_err_s"][-1]
    assert abs(blink["on_fraction"] - 2 / 3) < 4 * blink["on_fraction_err"]
    for detector in ("0", "1"):
        rate, error = (results["background"][k][detector] for k in ("rate_hz", "rate_err_hz"))
        assert abs(rate - 300.0) < 4 * error
        assert error < 100.0


def test_real_single_photon_source_has_its_missing_peak(shared_data):
    analysis = ps.analyze(shared_data / "hbt_pulsed_80MHz_t3.ptu")
    check(analysis.results)
    g2 = analysis.results["g2"]
    assert g2["pairs_centre"] == 1
    assert g2["pairs_side_mean"] == pytest.approx(373, abs=15)
    assert g2["g2_zero"] == pytest.approx(0.003, abs=0.003)
    assert g2["delay_s"] == pytest.approx(23.7e-9, abs=0.3e-9)


def test_real_blinking_dot_of_one_detector(shared_data):
    results = ps.analyze(shared_data / "blinking_trace3.pt3").results
    check(results)
    assert results["g2"] is None
    assert 500 < results["blinking"]["threshold_hz"] < 4000
    assert results["decay"] is not None


@pytest.mark.filterwarnings("ignore::photonstats.PhotonFileWarning", "ignore::photonstats.AnalysisWarning")
def test_every_real_file_gives_valid_results(shared_data):
    names = ["blinking_trace4.pt3", "dim_trace7.pt3", "formats/v30_t2.ptu", "formats/v20.ht3", "formats/v50.t3r"]
    for name in [*names, "formats/symphotime_8ch_v10.ht3", "formats/beads_hh2_t3_image.ptu"]:
        results = ps.analyze(shared_data / name).results
        check(results)
        assert not math.isnan(results["stream"]["duration_s"])


@pytest.mark.parametrize(("name", "value"), [("bin_width", np.inf), ("window", np.nan), ("g2_bin_width", 0.0)])
def test_times_that_are_none_are_refused_even_where_nothing_needs_them(name, value):
    photons = ps.PhotonStream([0, 1], [0, 0], timestamps_unit=1e-6, duration=1.0)
    with pytest.raises(ValueError, match=f"{name} must be a positive time"):
        ps.analyze(photons, **{name: value})


def test_a_type_of_several_emitters_is_doubted():
    found, notes = {"blinking_type": SimpleNamespace(verdict="A"), "emitters": SimpleNamespace(best=2)}, {}
    doubt_type(found, notes)
    assert notes["type.doubts"].startswith("2 emitters are likeliest")
    for kind, best in (("A", 1), ("steady", 2), ("B", None)):
        notes = {}
        doubt_type({"blinking_type": SimpleNamespace(verdict=kind), "emitters": SimpleNamespace(best=best)}, notes)
        assert not notes


def test_no_number_of_emitters_is_named_where_all_are_as_likely():
    flat = {"best": 10, "probability": {str(m): 0.1 for m in range(1, 11)}}
    assert findings._likeliest(flat) is None
    assert findings._likeliest({"best": 2, "probability": {"1": 0.2, "2": 0.8}}) == 2
    assert findings._likeliest({"best": None, "probability": {"1": 0.5, "2": 0.5}}) is None
