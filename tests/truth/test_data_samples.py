"""The sample files hold what their script makes, and what their README says of them."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import photonstats as ps

FOLDER = Path(__file__).resolve().parents[2] / "data_samples"
SCRIPT = runpy.run_path(str(FOLDER / "make_samples.py"))


@pytest.mark.parametrize("name", list(SCRIPT["SAMPLES"]))
def test_sample_is_what_its_script_makes(name):
    photons, truth = SCRIPT["make"](name)
    path = FOLDER / f"{name}.ptu"
    stored = ps.read(path)
    assert path.stat().st_size < 2_000_000
    assert stored.info.record_type == SCRIPT["SAMPLES"][name][1]
    assert stored.duration == photons.duration
    for column in ("timestamps", "detectors", "nanotimes"):
        np.testing.assert_array_equal(getattr(stored, column), getattr(photons, column))
    for unit in ("timestamps_unit", "tcspc_unit", "laser_period"):
        assert getattr(stored, unit) == getattr(photons, unit)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| {name}.ptu"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2].replace(" ", "") == str(len(photons))
    assert float(cells[3]) == pytest.approx(truth.g2_zero, abs=0.0005)
    assert float(cells[4]) == pytest.approx(truth.g2_zero_far, abs=0.0005)
    assert float(cells[5]) == pytest.approx(truth.g2_zero_raw, abs=0.0005)


def test_script_writes_the_files(tmp_path, capsys):
    SCRIPT["main"](tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(SCRIPT["SAMPLES"])
    for name, line in zip(SCRIPT["SAMPLES"], said, strict=True):
        made, kept = tmp_path / f"{name}.ptu", FOLDER / f"{name}.ptu"
        assert str(made) in line
        assert made.stat().st_size == kept.stat().st_size
        np.testing.assert_array_equal(ps.read(made).timestamps, ps.read(kept).timestamps)
