"""The command line as a user types it: outputs, exit codes, one line for what cannot be read."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import photonstats as ps
from photonstats.cli.commands import app

SAMPLES = Path(__file__).parents[1] / "data_samples"
DOT = str(SAMPLES / "blinking_dot.ptu")


class Done:
    """What a command left behind, in the words of subprocess."""

    def __init__(self, result):
        self.returncode, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr
        self.ended_by = type(result.exception)


@pytest.fixture
def photonstats(tmp_path, monkeypatch):
    """Run a command in this process, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *args: Done(CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=True))


def in_a_process(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "photonstats", *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=120
    )


def test_analyze_writes_the_folder_and_a_summary(tmp_path):
    done = in_a_process("analyze", DOT, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000
    assert json.loads((tmp_path / "out" / "results.json").read_text())["schema"] == "photonstats/1"
    assert "g2(0)" in done.stdout
    assert "photons" in done.stderr
    assert "Traceback" not in done.stderr


def test_analyze_json_prints_only_json(photonstats):
    done = photonstats("analyze", DOT, "--json", "-q")
    assert done.returncode == 0
    assert json.loads(done.stdout)["stream"]["n_photons"] == len(ps.read(DOT))
    assert not list(Path.cwd().iterdir())


def test_analyze_without_output_makes_a_folder_named_after_the_file(photonstats):
    assert photonstats("analyze", DOT, "-q").returncode == 0
    assert (Path.cwd() / "blinking_dot_photonstats" / "report.html").exists()


def test_info_is_one_screen(photonstats):
    done = photonstats("info", DOT)
    assert done.returncode == 0
    assert "HydraHarp2T3" in done.stdout
    assert len(done.stdout.splitlines()) <= 40
    assert len(photonstats("info", DOT, "--tags").stdout.splitlines()) > 10


def test_convert_there_and_back_is_exact(photonstats, tmp_path):
    assert photonstats("convert", DOT, tmp_path / "a.h5").returncode == 0
    assert photonstats("convert", tmp_path / "a.h5", tmp_path / "b.ptu").returncode == 0
    before, after = ps.read(DOT), ps.read(tmp_path / "b.ptu")
    for name in ("timestamps", "detectors", "nanotimes"):
        assert (getattr(before, name) == getattr(after, name)).all()
    assert after.duration == before.duration
    assert after.info.record_type == before.info.record_type


def test_convert_does_not_replace_a_recording(photonstats, tmp_path):
    copy = tmp_path / "raw.ptu"
    copy.write_bytes(Path(DOT).read_bytes())
    done = photonstats("convert", copy, copy)
    assert done.returncode == 2
    assert "one file" in done.stderr
    assert copy.read_bytes() == Path(DOT).read_bytes()


def test_few_gates_are_a_series_without_a_fit(photonstats):
    done = photonstats("g2", DOT, "--gates", "0,1e-9,2e-9")
    assert done.returncode == 0
    assert "Gate series" in done.stdout


def test_simulate_writes_photons_and_truth(photonstats, tmp_path):
    args = ("simulate", "steady", tmp_path / "s.ptu", "--seed", 3, "--duration", 0.5)
    assert photonstats(*args).returncode == 0
    first = ps.read(tmp_path / "s.ptu")
    assert ps.read(tmp_path / "s.ptu").duration == pytest.approx(0.5)
    assert json.loads((tmp_path / "s.truth.json").read_text())
    assert photonstats(*args).returncode == 0
    again = ps.read(tmp_path / "s.ptu")
    assert (again.timestamps == first.timestamps).all()
    assert (again.nanotimes == first.nanotimes).all()


@pytest.mark.parametrize("sample", ["blinking_dot", "continuous"])
def test_g2_prints_a_number_with_its_error_and_writes_what_the_ending_says(photonstats, sample, tmp_path):
    for ending in ("csv", "json", "png"):
        done = photonstats("g2", SAMPLES / f"{sample}.ptu", "-o", tmp_path / f"g2.{ending}")
        assert done.returncode == 0, done.stderr
        assert "±" in done.stdout
        assert (tmp_path / f"g2.{ending}").stat().st_size > 100
    assert json.loads(photonstats("g2", SAMPLES / f"{sample}.ptu", "--json").stdout)


def test_decay_prints_lifetimes(photonstats, tmp_path):
    done = photonstats("decay", DOT, "--json", "-o", tmp_path / "decay.png")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lifetimes"]


def test_decay_takes_what_the_fit_takes(photonstats, tmp_path):
    done = photonstats("decay", DOT, "--irf", "gaussian", "--n-components", 2, "--scatter", "--exclude", "30e-9,31e-9",
                       "--errors", "profile", "-o", tmp_path / "decay.csv")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stray light" in done.stdout or "2 component" in done.stdout
    law = photonstats("decay", DOT, "--model", "stretched", "--irf", "estimate")
    assert law.returncode == 0, law.stderr
    assert "beta" in law.stdout
    both = photonstats("decay", DOT, "--all-detectors", "--irf", "gaussian", "--n-components", 2,
                       "-o", tmp_path / "both.png")  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert "2 decays share" in both.stdout
    wrong = photonstats("decay", DOT, "--exclude", "x")
    assert wrong.returncode == 2
    assert "--exclude must be" in wrong.stderr


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.ptu"),
        (b"time,counts\n1,2\n", "text.ptu"),
        (b"PQTTTR\0\0" + b"1.0.00\0\0" + b"x" * 20, "cut.ptu"),
        (b"\x89HDF\r\n\x1a\n", "cut.h5"),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "info", "g2", "decay"])
def test_unreadable_files_exit_3_with_one_line(photonstats, content, name, command, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    done = photonstats(command, path)
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert name in done.stderr
    assert not done.stdout


def test_a_text_curve_is_fitted_or_its_error_is_about_text(photonstats, tmp_path):
    counts = np.random.default_rng(1).poisson(1000 * np.exp(-np.arange(200) / 20.0) + 2)
    text = "".join(f"{i * 0.1:.1f}\t{n}\n" for i, n in enumerate(counts))
    (tmp_path / "named.txt").write_text("time (ns)\tcounts\n" + text)
    done = photonstats("decay", tmp_path / "named.txt", "--n-components", 1, "--json")
    assert json.loads(done.stdout)["lifetimes"][0] == pytest.approx(2e-9, rel=0.1)
    (tmp_path / "bare.txt").write_text(text)
    done = photonstats("decay", tmp_path / "bare.txt")
    assert done.returncode == 3
    assert "--time-unit" in done.stderr


def test_a_name_that_is_no_utf8(tmp_path):
    path = tmp_path / b"b\xff.ptu".decode("utf-8", "surrogateescape")
    path.write_bytes(Path(DOT).read_bytes())
    done = in_a_process("analyze", path, "-q", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def test_missing_files_and_folders_exit_3(tmp_path):
    for path in (tmp_path / "none.ptu", tmp_path):
        done = in_a_process("analyze", path)
        assert done.returncode == 3
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "args",
    [
        ("analyze",),
        ("nothing",),
        ("analyze", DOT, "--detectors", "one"),
        ("analyze", DOT, "--detectors", "0,9"),
        ("analyze", DOT, "--delay", "soon"),
        ("analyze", DOT, "--bin-width", "-1"),
        ("analyze", DOT, "--background", "0:3"),
        ("g2", DOT, "--gate", "1,2,3"),
        ("decay", DOT, "--n-components", "many"),
        ("convert", DOT, "out.xyz"),
        ("convert", DOT, "no_such_folder/out.ptu"),
        ("g2", DOT, "-o", "no_such_folder/g2.csv"),
        ("g2", DOT, "--delay", "3.2"),
        ("g2", DOT, "--n-pulses", "3000000"),
        ("decay", DOT, "--detector", "9"),
        ("decay", DOT, "--fit-range", "1"),
        ("analyze", DOT, "--bin-width", "1e-320"),
        ("analyze", str(SAMPLES / "continuous.ptu"), "--gate", "1e-9"),
        ("simulate", "no_such_recipe", "x.ptu"),
    ],
)
def test_wrong_usage_exits_2(photonstats, args):
    done = photonstats(*args)
    assert done.returncode == 2
    assert done.ended_by is SystemExit
    assert done.stderr.strip()
    assert not list(Path.cwd().iterdir())


def test_version_and_help(photonstats):
    assert photonstats("--version").stdout.strip() == ps.__version__
    for command in ("info", "analyze", "convert", "g2", "decay", "simulate"):
        assert command in photonstats("--help").stdout


def test_versions_name_what_a_bug_report_needs(photonstats):
    done = photonstats("versions")
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert done.returncode == 0
    assert lines["photonstats"].strip() == ps.__version__
    assert lines["numpy"].strip() == np.__version__
    assert lines["Python"].strip().startswith(sys.version.split()[0])
    assert "not installed" not in done.stdout
