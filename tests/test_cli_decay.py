"""What `photonstats decay` and its neighbours take on the command line, and what they leave behind."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

import photonstats as ps
from test_cli import DOT, SAMPLES, photonstats

__all__ = ["photonstats"]  # the fixture


def test_background_auto_is_the_estimate_of_the_recording(photonstats):
    expected = ps.estimate_background(ps.read(DOT))
    done = photonstats("g2", DOT, "--background", "auto", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    alone = ps.g2_pulsed(ps.read(DOT), background=expected)
    assert found["g2_zero"] == pytest.approx(alone.g2_zero)
    assert found["g2_zero"] != pytest.approx(ps.g2_pulsed(ps.read(DOT)).g2_zero, rel=1e-3)
    count = photonstats("emitters", DOT, "--background", "auto", "--json")
    rates = json.loads(count.stdout)["background"]["rate"]
    assert [rates[d] for d in "01"] == pytest.approx([expected.rate[d] for d in (0, 1)])
    wrong = photonstats("g2", DOT, "--background", "soon")
    assert wrong.returncode == 2
    assert "a time-tag file, or auto; it is 'soon'" in wrong.stderr


def test_analyze_takes_background_auto_and_a_gaussian_response(photonstats):
    done = photonstats("analyze", DOT, "--background", "auto", "--irf", "Gaussian", "--json", "-q")
    assert done.returncode == 0, done.stderr
    fits = json.loads(done.stdout)["decay"]
    assert "gaussian" in json.dumps(fits)
    wrong = photonstats("analyze", DOT, "--irf", "estimate", "-q")
    assert wrong.returncode == 2
    assert "--irf estimate belongs to `photonstats decay`" in wrong.stderr


def test_g3_takes_background_auto(photonstats, tmp_path):
    photons = ps.read(DOT)
    three = np.where(np.arange(len(photons)) % 3 == 0, 2, photons.detectors).astype(np.uint8)
    ps.write_photon_hdf5(
        ps.PhotonStream(photons.timestamps, three, photons.nanotimes, timestamps_unit=photons.timestamps_unit,
                        tcspc_unit=photons.tcspc_unit, laser_period=photons.laser_period, duration=photons.duration),
        tmp_path / "three.h5",
    )  # fmt: skip
    done = photonstats("g3", tmp_path / "three.h5", "--background", "auto", "--json")
    assert done.returncode == 0, done.stderr
    assert all(rate > 0 for rate in json.loads(done.stdout)["background"].values())


def test_the_figure_of_continuous_g2_holds_the_data_and_the_fit(photonstats, tmp_path, monkeypatch):
    seen = []
    kept = plt.Figure.savefig
    monkeypatch.setattr(plt.Figure, "savefig", lambda figure, *a, **k: (seen.append(figure), kept(figure, *a, **k)))
    done = photonstats("g2", SAMPLES / "continuous.ptu", "-o", tmp_path / "g2.png")
    assert done.returncode == 0, done.stderr
    (figure,) = seen
    ax = figure.axes[0]
    lag, counted = ax.lines[0].get_data()
    curve = ps.g2(ps.read(SAMPLES / "continuous.ptu"), 1e-6, 1e-9)
    np.testing.assert_allclose(counted, curve.g2)
    assert any("(0)" in line.get_label() and len(line.get_xdata()) > 100 for line in ax.lines)
    assert lag.size == curve.lag.size
    assert plt.imread(tmp_path / "g2.png").shape[1] > 500
