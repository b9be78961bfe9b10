"""Excitation: excitons per pulse, saturation with and without a biexciton, levels against power."""

import json

import matplotlib as mpl
import numpy as np
import pytest
from scipy import integrate, stats

import photonstats as ps
from photonstats.excitation import SaturationFit

mpl.use("Agg")
J = np.geomspace(0.1, 5.0, 10)


def fair(hits, n):
    return stats.binomtest(int(hits), n, 0.95).pvalue > 1e-3


def test_excitons_of_a_gaussian_spot_are_those_at_its_peak():
    fwhm, photons = 300e-9, 1e4
    energy = 6.62607015e-34 * 299792458.0 / 450e-9
    n = ps.excitation_per_pulse(photons * energy * 1e6, 1e6, wavelength=450e-9, cross_section=2e-18, spot_fwhm=fwhm)
    total = integrate.quad(lambda r: 2 * np.pi * r * 2 ** (-((2 * r / fwhm) ** 2)), 0, 5 * fwhm)[0]
    assert n == pytest.approx(2e-18 * photons / total)
    even = ps.excitation_per_pulse([1e-9, 2e-9], 1e6, wavelength=450e-9, cross_section=1.0, area=1e-12)
    assert even[1] == pytest.approx(2 * even[0])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("biexciton", [True, False])
def test_saturation_intervals_hold_the_truth(known, biexciton):
    rng = np.random.default_rng(1)
    sigma, ratio, n = 0.8, 0.3 if biexciton else 0.0, 100 if biexciton else 200
    x = sigma * J
    light = 1e4 * (1 - np.exp(-x) + ratio * (1 - (1 + x) * np.exp(-x)))
    hits = np.zeros(2)
    for _ in range(n):
        error = 0.02 * light
        fit = ps.fit_saturation(J, rng.normal(light, error), error if known else None, biexciton=biexciton)
        hits += [fit.cross_section_ci[0] < sigma < fit.cross_section_ci[1], True]
        if biexciton:
            hits[1] += (fit.yield_ratio_ci[0] < ratio < fit.yield_ratio_ci[1]) - 1.0
    assert fair(hits[0], n)
    if biexciton:
        assert fair(hits[1], n)


def test_errors_are_the_scatter_of_the_fits():
    rng = np.random.default_rng(2)
    light = 1e4 * (1 - np.exp(-0.8 * J))
    fits = [ps.fit_saturation(J, rng.normal(light, 0.02 * light), 0.02 * light) for _ in range(300)]
    for value, error in (("cross_section", "cross_section_err"), ("saturation", "saturation_err")):
        spread = np.std([getattr(fit, value) for fit in fits])
        assert np.mean([getattr(fit, error) for fit in fits]) == pytest.approx(spread, rel=0.15)
    assert stats.kstest([fit.p_value for fit in fits], "uniform").pvalue > 1e-3


def test_a_straight_line_and_a_flat_one_have_open_intervals():
    line = ps.fit_saturation(0.01 * J, 100.0 * J, 5.0 * J)
    assert line.saturates is None
    assert line.cross_section_ci[0] == 0.0
    assert np.isnan(line.saturation_err)
    assert "does not bend" in repr(line)
    flat = ps.fit_saturation(100.0 * J, np.full(10, 5.0), np.full(10, 0.1))
    assert flat.cross_section_ci[1] == np.inf
    assert "flat" in flat.note
    json.dumps(flat.to_dict(), allow_nan=False)


@pytest.mark.parametrize("unit", [1e-18, 1.0, 1e18])
def test_the_unit_of_excitation_does_not_matter(unit):
    light = 3.0 * (1 - np.exp(-J)) * np.linspace(0.99, 1.01, 10)
    one, other = ps.fit_saturation(J, light), ps.fit_saturation(J * unit, light)
    assert other.cross_section * unit == pytest.approx(one.cross_section, rel=1e-6)
    assert other.cross_section_ci[0] * unit == pytest.approx(one.cross_section_ci[0], rel=1e-5)


def dot(power, emitters, seed, seconds=6.0, slope=2e3, dim=0.05):
    """Return a stream that steps through levels of these numbers of emitters."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(0.0, seconds, 3 * len(emitters) + 1)
    numbers = np.tile(emitters, 3)
    rates = slope * power * np.maximum(numbers, dim)
    times = np.concatenate(
        [np.sort(rng.uniform(a, b, rng.poisson(r * (b - a)))) for a, b, r in zip(edges, edges[1:], rates, strict=False)]
    )
    ticks = np.sort((times * 1e9).astype(np.int64))
    return ps.PhotonStream(ticks, np.zeros(ticks.size, np.uint8), timestamps_unit=1e-9, duration=seconds)


POWERS = [1.0, 2.0, 4.0, 2.0, 1.0]


def test_activated_emitters_are_counted_and_go_away_again():
    numbers = [[0, 1], [0, 1, 2], [1, 2, 3], [0, 1, 2], [0, 1]]
    series = ps.power_series([dot(p, n, i) for i, (p, n) in enumerate(zip(POWERS, numbers, strict=True))], POWERS)
    assert abs(series.slope - 2e3) < 3 * series.slope_err
    for k, expected in enumerate(numbers):
        assert sorted(series.n_emitters[series.recording == k]) == expected
    assert series.activated.sum() == 4
    assert series.exponent_ci[0] < 1.0 < series.exponent_ci[1]
    assert series.total_exponent > 1.3
    assert series.reversible is True
    assert series.downward.tolist() == [False, False, False, True, True]
    ax = series.plot()
    assert len(ax.lines) == 2 * series.rates.size + 1
    import matplotlib.pyplot as plt

    plt.close(ax.figure)
    json.dumps(series.to_dict(), allow_nan=False)


def test_a_way_back_that_differs_is_seen():
    bleached = [
        dot(p, [0, 1], i, slope=s) for i, (p, s) in enumerate(zip(POWERS, [2e3] * 3 + [1.4e3] * 2, strict=True))
    ]
    assert ps.power_series(bleached, POWERS).reversible is False
    stays = [dot(p, n, i) for i, (p, n) in enumerate(zip(POWERS, [[0, 1]] * 2 + [[1, 2]] * 3, strict=True))]
    assert ps.power_series(stays, POWERS).reversible is False
    assert ps.power_series(stays[:3], POWERS[:3]).reversible is None


def test_reversibility_is_refused_as_often_as_said():
    rng = np.random.default_rng(3)
    n = refused = 0
    for seed in range(60):
        focus = rng.normal(1.0, 0.02, 3)
        streams = [
            dot(p * f, [1], 100 * seed + i, 1.0) for i, (p, f) in enumerate(zip([1.0, 2.0, 1.0], focus, strict=True))
        ]
        n, refused = n + 1, refused + (not ps.power_series(streams, [1.0, 2.0, 1.0]).reversible)
    assert stats.binom.sf(refused - 1, n, 0.01) > 1e-3


def test_a_dark_series_is_undetermined():
    series = ps.power_series([dot(p, [0], 7, dim=0.01) for p in (1.0, 2.0)], [1.0, 2.0], background=500.0)
    assert np.isnan(series.slope)
    assert series.reversible is None
    assert not series.activated.any()
    assert "not known" in series.note


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ps.excitation_per_pulse(1.0, 1e6, wavelength=1e-7, cross_section=1.0), "one of the two"),
        (lambda: ps.excitation_per_pulse(-1.0, 1e6, wavelength=1e-7, cross_section=1.0, area=1.0), "power must be"),
        (lambda: ps.excitation_per_pulse(1.0, 0.0, wavelength=1e-7, cross_section=1.0, area=1.0), "repetition_rate"),
        (lambda: ps.fit_saturation([1.0, 2.0], [1.0]), "one length"),
        (lambda: ps.fit_saturation([1.0, 1.0], [1.0, 1.0], [1.0, 1.0]), "different excitations"),
        (lambda: ps.fit_saturation([1.0, 2.0, 3.0], [1.0, 0.0, 1.0]), "give intensity_err"),
        (lambda: ps.power_series([], []), "two recordings"),
        (lambda: ps.power_series([dot(1.0, [1], 1, 0.2)] * 2, [0.0, 1.0]), "above zero"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_saturation_figure_holds_the_data():
    import matplotlib.pyplot as plt

    fit = ps.fit_saturation(J, 1 - np.exp(-J), np.full(10, 0.01), biexciton=True)
    assert isinstance(fit, SaturationFit)
    ax = fit.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), fit.intensity)
    plt.close(ax.figure)
