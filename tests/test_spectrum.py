"""Power spectra: Parseval, shot noise, the law and its time, leakage, decades from photons, and what cannot be said."""

import json
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

import photonstats as ps
from photonstats.blinking.spectrum_model import Found, folded
from photonstats.blinking.spectrum_ordinates import Ordinates, grouped, sine_tapers

mpl.use("Agg")
SLOW = pytest.mark.slow


def telegraph(rng, seconds, on, off, width, bright=5000.0, dim=500.0):
    """Return the trace of two levels with exponential dwells (s), averaged over bins and then counted."""
    n = int(3 * seconds / (on + off)) + 300
    state = rng.random() < on / (on + off)
    lit = (np.arange(n) % 2 == 0) == state
    dwells = rng.exponential(1.0, n) * np.where(lit, on, off)
    edges = np.concatenate([[0.0], np.cumsum(dwells)])
    assert edges[-1] > seconds
    light = np.concatenate([[0.0], np.cumsum(dwells * lit)])
    share = np.diff(np.interp(np.arange(round(seconds / width) + 1) * width, edges, light))
    return ps.IntensityTrace(rng.poisson(dim * width + (bright - dim) * share), width)


def coloured(rng, n, beta, depth=0.2, counts=50.0):
    """Return counts of Gaussian light with a spectrum 1/f^beta that goes on below the lowest frequency seen."""
    f = np.fft.rfftfreq(8 * n, 1.0)
    size = np.zeros(f.size)
    size[1:] = f[1:] ** (-beta / 2)
    x = np.fft.irfft(size * (rng.normal(size=f.size) + 1j * rng.normal(size=f.size)))[:n]
    return rng.poisson(np.maximum(1.0 + depth * x / x.std(), 0.0) * counts)


def fair(hits, n):
    """Whether `hits` of `n` intervals are what 95 % or somewhat more give: errors are widened, never narrowed."""
    return stats.binom.cdf(hits, n, 0.95) > 1e-3


@pytest.mark.parametrize("n", [1000, 1001])
def test_parseval(n):
    counts = np.random.default_rng(1).poisson(7.0, n)
    found = ps.psd(ps.IntensityTrace(counts, 0.02), n_tapers=0, per_decade=None)
    x = counts / counts.mean() - 1.0
    nyquist = np.sum(x * (-1.0) ** np.arange(n)) ** 2 / n**2 if n % 2 == 0 else 0.0
    assert found.power.sum() / (n * 0.02) + nyquist == pytest.approx(x.var())


def test_an_ordinate_by_its_sum():
    counts = np.random.default_rng(2).poisson(5.0, 64)
    found = ps.psd(ps.IntensityTrace(counts, 0.5), per_decade=None)
    taper = sine_tapers(64, 1)[0]
    wave = np.exp(2j * np.pi * found.frequency[3] * 0.5 * np.arange(64))
    expected = 2 * 0.5 * abs(np.sum(taper * (counts - counts.mean()) * wave)) ** 2 / counts.mean() ** 2
    assert found.power[3] == pytest.approx(expected)


@pytest.mark.parametrize("n_tapers", [1, 4, 9])
def test_tapers_are_orthonormal(n_tapers):
    tapers = sine_tapers(100, n_tapers)
    np.testing.assert_allclose(tapers @ tapers.T, np.eye(n_tapers), atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{}, {"n_tapers": 0}, {"method": "welch"}, {"method": "multitaper"}, {"method": "welch", "segment": 4.0}],
)
def test_steady_light_is_white_at_the_shot_noise_and_the_weights_are_right(settings):
    rng = np.random.default_rng(3)
    z = []
    for _ in range(60):
        found = ps.psd(ps.IntensityTrace(rng.poisson(10.0, 2000), 0.01), background=200.0, **settings)
        assert found.shot_noise == pytest.approx(2 * found.mean_rate / (found.mean_rate - 200.0) ** 2)
        ratio = found.power / found.shot_noise
        keep = slice(found.frequency.size // 4, -4)
        z.append(ratio[keep] - 1.0)
    z = np.array(z)
    assert stats.ttest_1samp(z.ravel(), 0.0).pvalue > 1e-3


@pytest.mark.parametrize("n_tapers", [0, 1, 3])
def test_intervals_of_the_density_hold_the_shot_noise(n_tapers):
    rng = np.random.default_rng(4)
    hits = total = 0
    for _ in range(150):
        found = ps.psd(ps.IntensityTrace(rng.poisson(10.0, 3000), 0.01), per_decade=3, n_tapers=n_tapers)
        low, high = found.power_ci[[2, 5]].T  # far apart: independent
        hits += np.sum((low < found.shot_noise) & (found.shot_noise < high))
        total += low.size
    assert stats.binomtest(int(hits), total, 0.95).pvalue > 1e-3


def test_white_light_is_called_white():
    rng = np.random.default_rng(5)
    models = []
    for mean in (0.5, 20.0, 1000.0):
        for n in (300, 3000, 20000):
            models += [ps.psd(ps.IntensityTrace(rng.poisson(mean, n), 0.01)).fit() for _ in range(2)]
    assert sum(fit.model != "white" for fit in models) <= 1
    white = next(fit for fit in models if fit.model == "white")
    assert np.isnan(white.beta)
    assert np.isnan(white.time)
    assert white.saturates is None
    assert "steady" in repr(white)


@pytest.mark.parametrize(
    ("seconds", "on", "off", "width"),
    [(300, 0.5, 0.5, 0.01), (100, 0.05, 0.1, 0.001), (300, 2.0, 0.3, 0.01), (300, 0.2, 0.02, 0.01)],
)
def test_two_levels_give_a_lorentzian(seconds, on, off, width):
    rng = np.random.default_rng(6)
    truth, n = 1.0 / (1.0 / on + 1.0 / off), 12
    fits = [ps.psd(telegraph(rng, seconds, on, off, width)).fit() for _ in range(n)]
    assert sum(fit.model == "lorentzian" for fit in fits) >= n - 2
    assert sum(fit.saturates is True for fit in fits) >= n - 2
    fits = [fit for fit in fits if fit.model == "lorentzian"]
    beta = np.array([fit.beta for fit in fits])
    assert abs(np.median(beta) - 2.0) < 0.1
    assert stats.ttest_1samp(beta, 2.0).pvalue > 1e-3
    assert stats.ttest_1samp(np.log([fit.time / truth for fit in fits]), 0.0).pvalue > 1e-3
    assert fair(sum(fit.beta_ci[0] < 2.0 < fit.beta_ci[1] for fit in fits), len(fits))
    assert fair(sum(fit.time_ci[0] < truth < fit.time_ci[1] for fit in fits), len(fits))


@SLOW
@pytest.mark.parametrize(
    "settings", [{}, {"n_tapers": 0}, {"method": "multitaper", "n_tapers": 3}, {"method": "welch"}]
)
@pytest.mark.parametrize(("on", "off"), [(0.5, 0.5), (2.0, 0.3), (0.1, 1.0)])
def test_intervals_of_a_lorentzian_hold_the_truth(on, off, settings):
    rng = np.random.default_rng(7)
    truth, n = 1.0 / (1.0 / on + 1.0 / off), 120
    fits = [ps.psd(telegraph(rng, 300, on, off, 0.01), **settings).fit("lorentzian") for _ in range(n)]
    assert fair(sum(fit.beta_ci[0] < 2.0 < fit.beta_ci[1] for fit in fits), n)
    assert fair(sum(fit.time_ci[0] < truth < fit.time_ci[1] for fit in fits), n)


@pytest.mark.parametrize("beta", [0.8, 1.3, 1.8])
def test_a_power_law_of_known_exponent(beta):
    rng = np.random.default_rng(8)
    n = 12
    fits = [ps.psd(ps.IntensityTrace(coloured(rng, 2**14, beta), 0.01)).fit() for _ in range(n)]
    assert sum(fit.model == "power_law" for fit in fits) >= n - 2
    assert not any(fit.saturates for fit in fits)
    fits = [fit for fit in fits if fit.model == "power_law"]
    assert stats.ttest_1samp([fit.beta for fit in fits], beta).pvalue > 1e-3
    assert fair(sum(fit.beta_ci[0] < beta < fit.beta_ci[1] for fit in fits), len(fits))
    assert all(np.isnan(fit.time) for fit in fits)


def test_power_law_dwells_give_the_slope_of_their_theory():
    # Alternating dwells of one law p(t): S ~ f^-2 Re (1 - phi) / (1 + phi), phi its Fourier transform; between the
    # cutoffs the slope tends to 3 - alpha.
    rng, alpha, shortest, longest, seconds = np.random.default_rng(18), 1.5, 1e-3, 10.0, 500.0
    a = 1.0 - alpha
    edges = np.geomspace(shortest, longest, 4001)
    middle, weight = np.sqrt(edges[1:] * edges[:-1]), np.diff(edges**a) / (longest**a - shortest**a)
    fits, theory = [], []
    for _ in range(8):
        dwells = (shortest**a + rng.random(20000) * (longest**a - shortest**a)) ** (1 / a)
        times = np.concatenate([[0.0], np.cumsum(dwells)])
        assert times[-1] > seconds
        light = np.concatenate([[0.0], np.cumsum(dwells * (np.arange(20000) % 2))])
        share = np.diff(np.interp(np.arange(50001) * 0.01, times, light))
        found = ps.psd(ps.IntensityTrace(rng.poisson(5.0 + 9500.0 * share), 0.01))
        fits.append(found.fit(frequency_range=(0.5, 20.0)))
        f = found.ordinates.frequency
        phi = np.exp(2j * np.pi * np.outer(f, middle)) @ weight
        exact = np.real((1 - phi) / (1 + phi)) / f**2
        theory.append(replace(found, ordinates=replace(found.ordinates, power=exact, bin_width=0 * f)))
    assert [fit.model for fit in fits].count("power_law") >= 7
    expected = theory[0].fit("power_law", frequency_range=(0.5, 20.0), floor=1e-9).beta
    assert abs(expected - 1.5) < 0.1
    assert abs(np.mean([fit.beta for fit in fits]) - expected) < 0.05
    assert all(fit.saturates is not True for fit in fits)


def test_a_taper_is_needed_for_a_steep_spectrum():
    rng = np.random.default_rng(9)
    traces = [coloured(rng, 2**13, 2.6, counts=1e6) / 1e6 for _ in range(10)]
    tapered = [ps.psd(x, bin_width=0.01).fit("power_law").beta for x in traces]
    plain = [ps.psd(x, bin_width=0.01, n_tapers=0).fit("power_law").beta for x in traces]
    assert abs(np.mean(tapered) - 2.6) < 0.1
    assert np.mean(plain) < 2.3


def test_bins_are_folded_with_their_aliases():
    # A telegraph of correlation exp(-t/tau), averaged over bins, has an exact spectrum.
    tau, width = 0.02, 0.01
    f = np.linspace(0.5, 49.5, 50)
    q = np.exp(-width / tau)
    x = width / tau
    variance = 2.0 * (x - 1.0 + q) / x**2
    first = (1.0 - q) ** 2 / x**2
    k = np.arange(1, 400)
    lagged = first * q ** (k - 1)
    exact = 2 * width * (variance + 2.0 * np.cos(2 * np.pi * np.outer(f, k) * width) @ lagged)
    theta = np.array([np.log(4.0 * tau), np.log(1.0 / (2.0 * np.pi * tau)), 2.0])
    ordinates = Ordinates(f, np.ones(50), np.ones(50), np.full(50, width))
    np.testing.assert_allclose(folded("lorentzian", theta, ordinates, 1.0), exact, rtol=2e-3)


def test_groups_keep_weight_and_mean():
    rng = np.random.default_rng(10)
    f = np.arange(1.0, 3000.0)
    every = Ordinates(f, rng.exponential(1.0, f.size), np.full(f.size, 0.7), np.full(f.size, 0.1))
    few = grouped(every, 7)
    assert few.weight.sum() == pytest.approx(every.weight.sum())
    assert few.weight @ few.power == pytest.approx(every.weight @ every.power)
    assert np.all(np.diff(few.frequency) > 0)


def blinking_photons(seconds=20.0, seed=11):
    law = ps.simulate.Exponential
    levels = [ps.simulate.Level(), ps.simulate.Level(0.1)]
    dot = ps.simulate.Emitter(blinking=ps.simulate.Blinking(levels, [law(4e-3), law(4e-3)]))
    return ps.simulate.continuous(dot, duration=seconds, rate=1e5, seed=seed)[0]


def test_photons_give_six_decades_with_the_same_law():
    photons = blinking_photons()
    found = ps.psd(photons, method="photons")
    assert found.frequency[-1] / found.frequency[0] > 1e6
    fit = found.fit()
    assert fit.model == "lorentzian"
    assert fit.beta == pytest.approx(2.0, abs=3 * fit.beta_err)
    assert fit.time == pytest.approx(2e-3, abs=3 * fit.time_err)
    assert fit.floor == pytest.approx(found.shot_noise, abs=4 * fit.floor_err)
    # where both look, the bins of a trace see the same density
    trace = ps.psd(photons, bin_width=1e-4)
    for low, high in ((1.0, 30.0), (30.0, 300.0), (300.0, 1000.0)):
        here, there = (each.ordinates.within(low, high) for each in (found, trace))
        ratio = np.average(here.power, weights=here.weight) / np.average(there.power, weights=there.weight)
        assert abs(ratio - 1.0) < 4.0 * np.sqrt(1.0 / here.weight.sum() + 1.0 / there.weight.sum()) + 0.02


def test_pieces_of_a_recording_give_the_same_spectrum():
    photons = ps.simulate.poisson(2e4, 4.0, seed=12)[0]
    cuts = np.array([0.0, 0.1, 0.7, 0.701, 2.5, 4.0])
    pieces = [photons.between(a, b) for a, b in pairwise(cuts)]
    whole = ps.psd(photons, method="photons")
    np.testing.assert_allclose(ps.psd(iter(pieces), method="photons").power, whole.power, rtol=1e-12)
    low, high = whole.power_ci.T
    inside = np.sum((low < whole.shot_noise) & (whole.shot_noise < high))
    assert stats.binomtest(int(inside), low.size, 0.95).pvalue > 1e-3


def test_bootstrap_agrees_with_the_information():
    found = ps.psd(telegraph(np.random.default_rng(13), 100, 0.3, 0.3, 0.01))
    fit, again = found.fit("lorentzian"), found.fit("lorentzian", bootstrap=30, seed=1)
    assert again.beta == fit.beta
    assert 0.5 < again.beta_err / fit.beta_err < 2.0
    assert again.time_ci[0] < again.time < again.time_ci[1]
    assert again.time_ci == found.fit("lorentzian", bootstrap=30, seed=1).time_ci


def test_a_given_floor_is_held():
    found = ps.psd(telegraph(np.random.default_rng(14), 60, 0.3, 0.3, 0.01))
    fit = found.fit("lorentzian", floor="shot")
    assert fit.floor == found.shot_noise
    assert fit.floor_err == 0.0
    assert found.fit("lorentzian", floor=1e-3).floor == 1e-3


def test_a_corner_below_the_range_is_not_said_to_saturate():
    rng = np.random.default_rng(15)
    fits = [ps.psd(telegraph(rng, 20, 40.0, 40.0, 0.01)).fit() for _ in range(20)]
    assert sum(fit.saturates is True for fit in fits) <= 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ps.psd(ps.IntensityTrace([1] * 10, 0.1)), "10 bins"),
        (lambda: ps.psd(ps.IntensityTrace([0] * 100, 0.1)), "dark"),
        (lambda: ps.psd(np.ones(100)), "needs bin_width"),
        (lambda: ps.psd(np.arange(100.0), bin_width=-1.0), "positive time"),
        (lambda: ps.psd(np.full(100, np.nan), bin_width=1.0), "without nan"),
        (lambda: ps.psd(ps.IntensityTrace([0] * 199 + [1], 0.1)), "there are 1 photons"),
        (lambda: ps.psd(ps.IntensityTrace(range(200), 0.1)).fit(bootstrap=-1), "number of draws"),
        (lambda: ps.psd(ps.IntensityTrace([1] * 100, 0.1), method="fourier"), "method must be"),
        (lambda: ps.psd(ps.IntensityTrace([1] * 100, 0.1), method="photons"), "needs photons"),
        (lambda: ps.psd(ps.IntensityTrace([1] * 100, 0.1), bin_width=1.0), "leave bin_width"),
        (lambda: ps.psd(ps.IntensityTrace([1, 2] * 50, 0.1), background=20.0), "no light"),
        (lambda: ps.psd(ps.IntensityTrace([1] * 100, 0.1), segment=2.0), "segment is a time"),
        (lambda: ps.psd(ps.IntensityTrace([1, 2] * 50, 0.1), method="welch", segment=0.5), "change segment"),
        (lambda: ps.psd(ps.simulate.poisson(1e3, 0.1, seed=1)[0], method="photons"), "shorter than"),
        (lambda: ps.psd(ps.IntensityTrace(range(200), 0.1)).fit("gauss"), "model must be"),
        (lambda: ps.psd(ps.IntensityTrace(range(200), 0.1)).fit(floor=-1.0), "floor must be"),
        (lambda: ps.psd(np.arange(200.0), bin_width=0.1).fit(floor="shot"), "no known shot noise"),
        (lambda: ps.psd(ps.IntensityTrace(range(200), 0.1)).fit(frequency_range=(3.0, 3.1)), "widen frequency_range"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("counts", [[3] * 200, [0] * 199 + [200], list(range(200)), [0, 1000] * 100])
def test_odd_traces_give_an_answer_or_none(counts):
    fit = ps.psd(ps.IntensityTrace(counts, 0.1)).fit() if len(set(counts)) > 1 else None
    if fit is None:
        with pytest.raises(ValueError, match="no fluctuations"):
            ps.psd(ps.IntensityTrace(counts, 0.1))
    else:
        json.dumps(fit.to_dict(), allow_nan=False)


def test_an_exponent_at_a_limit_of_the_search_is_not_told():
    sine = 100 + 50 * np.sin(np.arange(5000) * 0.3)
    fit = ps.psd(sine, bin_width=0.01).fit("lorentzian")
    assert np.isnan(fit.beta)
    assert "not known" in fit.note


@pytest.mark.parametrize("name", ["blinking_trace3.pt3", "blinking_trace4.pt3"])
def test_measured_blinking_dots_follow_a_power_law(shared_data, name):
    fit = ps.psd(ps.read(shared_data / name)).fit()
    assert fit.model == "power_law"
    assert 1.0 < fit.beta < 1.7  # 3 - alpha of dwells with alpha 1.3 to 2
    assert fit.saturates is not True


def test_figures_and_dictionaries():
    import matplotlib.pyplot as plt

    found = ps.psd(telegraph(np.random.default_rng(16), 60, 0.3, 0.3, 0.01))
    fit = found.fit()
    for each in (found, fit):
        ax = each.plot()
        assert ax.get_xscale() == ax.get_yscale() == "log"
        np.testing.assert_allclose(ax.lines[0].get_ydata(), found.power)
        json.dumps(each.to_dict(), allow_nan=False)
        plt.close(ax.figure)
    assert "lorentzian" in repr(fit)
    assert isinstance(fit.found, Found)


def test_command_line(tmp_path):
    from photonstats.cli.commands import app

    path = tmp_path / "dot.ptu"
    ps.write_ptu(ps.simulate.poisson([5e3, 5e3], 3.0, laser_period=200e-9, seed=17)[0], path, "HydraHarp2T3")
    out = CliRunner().invoke(app, ["psd", str(path), "--json", "-o", str(tmp_path / "psd.csv")])
    assert out.exit_code == 0, out.output
    assert json.loads(out.stdout)["model"] == "white"
    assert (tmp_path / "psd.csv").read_text().startswith("frequency_hz,power_per_hz")
    assert CliRunner().invoke(app, ["psd", str(path), "--fit-range", "x"]).exit_code != 0
