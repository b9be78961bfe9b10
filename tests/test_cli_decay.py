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
    assert [rates[d] for d in "01"] == pytest.approx([expected.rate[d] for d in (0, 1)], rel=2e-3)
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


def three_detectors(tmp_path):
    photons = ps.read(DOT)
    three = np.where(np.arange(len(photons)) % 3 == 0, 2, photons.detectors).astype(np.uint8)
    ps.write_photon_hdf5(
        ps.PhotonStream(photons.timestamps, three, photons.nanotimes, timestamps_unit=photons.timestamps_unit,
                        tcspc_unit=photons.tcspc_unit, laser_period=photons.laser_period, duration=photons.duration),
        tmp_path / "three.h5",
    )  # fmt: skip


def test_g3_takes_background_auto(photonstats, tmp_path):
    three_detectors(tmp_path)
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
    assert ax.get_legend() is None  # it would lie on the data: the number stands above the axes
    assert "(0)" in ax.get_title()
    assert plt.imread(tmp_path / "g2.png").shape[1] > 500


def two_columns(tmp_path, seed=1, n=20_000):
    rng = np.random.default_rng(seed)
    times = (3e-9 + rng.normal(0, 0.15e-9, n) + rng.exponential(4e-9, n)) % 50e-9
    counts = np.bincount((times / 0.1e-9).astype(int), minlength=500)
    (tmp_path / "one.txt").write_text("\n".join(map(str, counts)) + "\n")
    return counts


def test_what_holds_a_parameter_of_the_fit(photonstats):
    done = photonstats("decay", DOT, "--irf", "gaussian", "--n-components", 2, "--background", "150Hz", "--param",
                       "lifetime_1=4e-9", "--param", "irf_sigma=0.2e-9", "--shift", "2e-9", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["background_rate"] == pytest.approx(150.0)
    assert found["background_err"] == 0
    assert min(found["lifetimes"], key=lambda t: abs(t - 4e-9)) == pytest.approx(4e-9)
    assert (found["irf_sigma"], found["shift"]) == (pytest.approx(0.2e-9), pytest.approx(2e-9))
    per_bin = photonstats("decay", DOT, "--irf", "gaussian", "--n-components", 1, "--background", "0.25", "--json")
    assert json.loads(per_bin.stdout)["background"] == 0.25
    both = photonstats("decay", DOT, "--all-detectors", "--irf", "gaussian", "--n-components", 1, "--background",
                       "150 Hz", "--json")  # fmt: skip
    assert [fit["background_rate"] for fit in json.loads(both.stdout)["fits"]] == pytest.approx([150.0, 150.0])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--background", "dark"), "--background must be counts per bin, or a rate such as 120Hz, it is 'dark'"),
        (("--background", "-3"), "background must be None (fitted) or counts per bin >= 0"),
        (("--param", "lifetime_1"), "--param must be NAME=VALUE such as lifetime_1=4e-9, it is 'lifetime_1'"),
        (("--param", "lifetme_1=4e-9"), "did you mean lifetime_1?"),
        (("--param", "background=1", "--background", "1"), "background is given twice"),
        (("--shift", "nan", "--irf", "gaussian"), "shift must be a time in seconds"),
        (("--all-detectors", "--bootstrap", "5"), "leave --detector, --model, --shift, --bootstrap and --period out"),
        (("--period", "1e-7"), "leave --period out"),
    ],
)  # fmt: skip
def test_what_decay_cannot_hold_is_said(photonstats, args, message):
    done = photonstats("decay", DOT, *args)
    assert done.returncode == 2
    assert message in done.stderr


def test_bootstrap_gives_intervals_of_drawn_sets(photonstats, tmp_path):
    two_columns(tmp_path)
    args = ("decay", tmp_path / "one.txt", "--bin-width", "1e-10", "--period", "50e-9", "--irf", "gaussian",
            "--n-components", 1, "--bootstrap", 30)  # fmt: skip
    done = photonstats(*args, "--json", "-o", tmp_path / "fit.json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["bootstrap"]["lifetimes"]) == 30
    assert found["bootstrap"]["lifetimes_ci"][0][0] < found["lifetimes"][0] < found["bootstrap"]["lifetimes_ci"][0][1]
    assert json.loads((tmp_path / "fit.json").read_text())["bootstrap"]["lifetimes_ci"]
    assert "30 sets drawn from the fit" in photonstats(*args).stdout


def test_g3_writes_its_triples(photonstats, tmp_path):
    three_detectors(tmp_path)
    done = photonstats("g3", tmp_path / "three.h5", "-o", tmp_path / "g3.csv")
    assert done.returncode == 0, done.stderr
    found = ps.g3(ps.read(tmp_path / "three.h5"))
    table = np.genfromtxt(tmp_path / "g3.csv", delimiter=",", names=True)
    size = found.lag.size
    np.testing.assert_array_equal(table["triples"].reshape(size, size), found.triples)
    np.testing.assert_allclose(table["lag_second_s"].reshape(size, size)[:, 0], found.lag, atol=1e-15)
    np.testing.assert_allclose(table["lag_third_s"].reshape(size, size)[0], found.lag, atol=1e-15)


def test_a_decay_comes_back_from_its_table(photonstats, tmp_path):
    assert photonstats("decay", DOT, "-o", tmp_path / "tail.csv").returncode == 0
    assert ",\n" in (tmp_path / "tail.csv").read_text()  # without a response there is no model before the tail
    photons = ps.read(DOT)
    brightest = max(photons.counts_per_detector, key=photons.counts_per_detector.get)
    written = ps.decay(photons, brightest)
    again = ps.read_decay(tmp_path / "tail.csv", period=written.period)
    np.testing.assert_array_equal(again.counts, written.counts)
    assert again.bin_width == pytest.approx(written.bin_width)
    assert photonstats("decay", DOT, "--all-detectors", "--irf", "gaussian", "--n-components", 1,
                       "-o", tmp_path / "all.csv").returncode == 0  # fmt: skip
    for k, detector in enumerate(sorted(photons.counts_per_detector)):
        each = ps.read_decay(tmp_path / "all.csv", curve=k)
        np.testing.assert_array_equal(each.counts, ps.decay(photons, detector).counts)
    fit = photonstats("decay", tmp_path / "tail.csv", "--period", written.period, "--irf", "gaussian", "--json")
    direct = ps.fit_decay(written, "auto", irf=ps.GaussianIRF())
    assert json.loads(fit.stdout)["lifetimes"] == pytest.approx(direct.lifetimes.tolist(), rel=1e-4)


def test_counts_alone_need_the_width_of_a_bin(photonstats, tmp_path):
    counts = two_columns(tmp_path)
    bare = photonstats("decay", tmp_path / "one.txt")
    assert bare.returncode == 3
    assert "give the width of a bin in seconds as --bin-width" in bare.stderr
    done = photonstats("decay", tmp_path / "one.txt", "--bin-width", "1e-10", "--period", "50e-9", "--irf", "gaussian",
                       "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (tau,), (error,) = (json.loads(done.stdout)[name] for name in ("lifetimes", "lifetimes_err"))
    assert abs(tau - 4e-9) < 4 * error
    response = np.zeros(500, int)
    response[28:33] = 1000, 5000, 9000, 5000, 1000
    (tmp_path / "irf.txt").write_text("\n".join(map(str, response)))
    measured = photonstats("decay", tmp_path / "one.txt", "--bin-width", "1e-10", "--period", "50e-9",
                           "--irf", tmp_path / "irf.txt")  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    (tmp_path / "two.txt").write_text("".join(f"{k} {n}\n" for k, n in enumerate(counts)))
    unit = photonstats("decay", tmp_path / "two.txt")
    assert unit.returncode == 3
    assert "--time-unit 1e-9 for ns" in unit.stderr
    width = photonstats("decay", tmp_path / "two.txt", "--bin-width", "1e-10", "--time-unit", "1e-10")
    assert width.returncode == 3
    assert "see --time-unit" in width.stderr
    assert photonstats("decay", tmp_path / "one.txt", "--detector", 1, "--bin-width", "1e-10").returncode == 2
