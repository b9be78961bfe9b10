"""Laws of dwell times: integrals, truth, coverage, plain against truncated, goodness of fit, words of errors."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

import photonstats as ps
from photonstats.blinking import dwell_goodness as goodness
from photonstats.blinking import dwell_likelihood as likelihood
from photonstats.kernels import dwells as kernel
from photonstats.simulate import Exponential, PowerLaw, TruncatedPowerLaw

POWER, TRUNCATED, EXPONENTIAL, STRETCHED, LOGNORMAL = range(5)


def holds(interval, truth):
    return interval[0] <= truth <= interval[1]


def quick(times, model="auto", **more):
    return ps.fit_dwell_times(times, model, n_bootstrap=0, **more)


# ---------------------------------------------------------------- kernels


@given(
    st.floats(-3.0, 6.0),
    st.floats(-9.0, 2.0),
    st.floats(-4.0, 1.0),
    st.sampled_from([1.001, 1.3, 1.79, 1.81, 5.0, 1e3, 1e6, math.inf]),
)
def test_mass_of_the_truncated_law_is_its_integral(alpha, log_k, log_a, ratio):
    k, a = 10.0**log_k, 10.0**log_a
    if k * a > 100.0:
        return
    b = min(a * ratio, a + 700.0 / k)
    top = (1 - alpha) * math.log(a) - k * a
    cuts = np.linspace(math.log(a), math.log(b), 60)
    x, w = np.polynomial.legendre.leggauss(20)
    y = (cuts[1:] + cuts[:-1])[:, None] / 2 + np.diff(cuts)[:, None] / 2 * x
    values = (1 - alpha) * y - k * np.exp(y)
    top = values.max()
    expected = top + math.log(float(np.sum(np.exp(values - top) * w * np.diff(cuts)[:, None] / 2)))
    assert kernel.log_mass_truncated(alpha, k, a, a * ratio) == pytest.approx(expected, abs=1e-9, rel=1e-10)


@pytest.mark.parametrize("s", [0.5, 1.0, 2.5])
def test_continued_fraction_is_the_incomplete_gamma_function(s):
    for x in (3.5, 10.0, 80.0):
        scaled = kernel.upper_gamma_scaled(s, x)
        assert scaled * math.exp(-x) * x**s == pytest.approx(special.gammaincc(s, x) * special.gamma(s), rel=1e-12)


def test_whole_orders_have_no_pole():
    # E_2(1) and Gamma(-2, 3) from Abramowitz and Stegun's relation with exp1
    gamma0 = special.exp1(3.0)
    gamma2 = 0.5 * (gamma0 + math.exp(-3.0) * (1 / 9 - 1 / 3))
    assert kernel.log_mass_truncated(3.0, 1.0, 3.0, math.inf) == pytest.approx(math.log(gamma2), abs=1e-12)
    near = [kernel.log_mass_truncated(2.0 + d, 1.0, 1e-3, math.inf) for d in (-1e-9, 0.0, 1e-9)]
    assert max(near) - min(near) < 1e-7
    assert kernel.log_mass_truncated(2.0, 1.0, 1.0, math.inf) == pytest.approx(
        math.log(special.expn(2, 1.0)), abs=1e-12
    )


@pytest.mark.parametrize(
    ("law", "p", "q", "density"),
    [
        (POWER, 1.4, 0.0, lambda t: t**-1.4),
        (TRUNCATED, 0.7, math.log(0.3), lambda t: t**-0.7 * np.exp(-0.3 * t)),
        (EXPONENTIAL, math.log(2.0), 0.0, lambda t: np.exp(-t / 2.0)),
        (STRETCHED, math.log(2.0), math.log(0.6), lambda t: stats.weibull_min(0.6, scale=2.0).pdf(t)),
        (LOGNORMAL, math.log(2.0), math.log(1.3), lambda t: stats.lognorm(1.3, scale=2.0).pdf(t)),
    ],
)
def test_likelihood_is_that_of_ten_readable_lines(law, p, q, density):
    rng = np.random.default_rng(1)
    t = np.sort(rng.uniform(0.1, 9.0, 40))
    ended = rng.random(40) < 0.8
    t_min, t_max, width = 0.1, 9.5, 0.5

    def mass(a, b):
        return integrate.quad(density, a, b, epsabs=1e-13, epsrel=1e-11)[0]

    whole = mass(t_min, t_max)
    expected = sum(
        math.log(density(x) / whole) if e else math.log(mass(x, t_max) / whole) for x, e in zip(t, ended, strict=True)
    )
    data = likelihood.gather(t, ended, np.array([t_min, t_max]), 0.0, 0.0)
    assert kernel.log_likelihood(law, p, q, *data.arrays) == pytest.approx(expected, abs=1e-4)

    bins = np.maximum(np.rint(t / width), 1)
    low, high = (bins - 0.5) * width, np.minimum((bins + 0.5) * width, 9.75)
    whole = mass(0.25, 9.75)
    expected = sum(
        math.log(mass(a, b) / whole) if e else math.log(mass(k * width, 9.75) / whole)
        for a, b, k, e in zip(low, high, bins, ended, strict=True)
    )
    data = likelihood.gather(bins * width, ended, np.array([0.25, 9.75]), width, -0.5)
    assert kernel.log_likelihood(law, p, q, *data.arrays) == pytest.approx(expected, abs=1e-6)


def test_maximum_is_that_of_scipy():
    from scipy.optimize import minimize

    t = TruncatedPowerLaw(1.3, 0.8, 1e-3).sample(800, np.random.default_rng(2))
    data = likelihood.gather(np.sort(t), np.ones(800, bool), np.array([1e-3, np.inf]), 0.0, 0.0)
    for law in (TRUNCATED, STRETCHED, LOGNORMAL):
        fit = likelihood.fit_law(data, law)
        other = minimize(
            lambda x, law=law: -kernel.log_likelihood(law, x[0], x[1], *data.arrays),
            [fit.p + 0.1, fit.q - 0.1],
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000},
        )
        assert fit.log_likelihood >= -other.fun - 1e-6


def test_drawing_follows_the_law_and_the_distance_is_scipys():
    rng = np.random.default_rng(3)
    law = TruncatedPowerLaw(1.5, 0.5, 1e-3)
    fit = likelihood.LawFit(TRUNCATED, 1.5, math.log(2.0), 0.0)
    data = likelihood.gather(np.sort(law.sample(3000, rng)), np.ones(3000, bool), np.array([1e-3, np.inf]), 0.0, 0.0)
    drawn = goodness.draw(data, likelihood.table_of(fit, data.ends), None, rng)
    assert stats.kstest(drawn.times, lambda t: 1.0 - law.survival(t)).pvalue > 1e-3
    expected = stats.kstest(data.times, lambda t: 1.0 - law.survival(t)).statistic
    assert goodness.distance(data, fit) == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- truth and coverage


def prepared(law, n, rng, kind):
    """Return n dwells of a law as they are measured, and what the fit is to be told."""
    t = law.sample(n, rng)
    told = {"t_min": law.t_min}
    if math.isfinite(law.t_max):
        told["t_max"] = law.t_max
    if "censored" in kind:
        cut = law.t_min * 10.0 ** rng.uniform(0.0, 5.0, n)
        told["censored"], t = cut < t, np.minimum(t, cut)
    if "binned" in kind:
        width = law.t_min
        bins = np.rint(t / width)
        if "censored" in kind:
            bins = np.where(told["censored"], np.maximum(np.rint(t / width), 1), bins)
        kept = bins >= 2
        t = bins[kept] * width
        told |= {"t_min": 2 * width, "bin_width": width}
        if "censored" in kind:
            told["censored"] = told["censored"][kept]
    return t, told


CASES = [
    (TruncatedPowerLaw(1.5, 0.3, 1e-3), "continuous"),
    (TruncatedPowerLaw(1.5, 0.3, 1e-3), "binned"),
    (TruncatedPowerLaw(1.5, 0.3, 1e-3), "censored"),
    (TruncatedPowerLaw(1.5, 0.3, 1e-3), "binned censored"),
    (TruncatedPowerLaw(1.2, 0.3, 1e-3, 0.5), "cut at t_max"),
    (PowerLaw(1.5, 1e-3), "continuous"),
    (PowerLaw(1.3, 1e-3, 10.0), "binned censored"),
]


@pytest.mark.parametrize(("law", "kind"), CASES, ids=lambda c: c if isinstance(c, str) else type(c).__name__)
@pytest.mark.parametrize(("n", "sets"), [(100, 60), (1000, 40)])
def test_intervals_hold_the_truth(law, kind, n, sets):
    assert_coverage(law, kind, n, sets)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "kind"), CASES, ids=lambda c: c if isinstance(c, str) else type(c).__name__)
@pytest.mark.parametrize(("n", "sets"), [(100, 500), (1000, 300), (10_000, 150)])
def test_intervals_hold_the_truth_closely(law, kind, n, sets):
    assert_coverage(law, kind, n, sets)


def assert_coverage(law, kind, n, sets):
    rng = np.random.default_rng(n)
    truncated = isinstance(law, TruncatedPowerLaw)
    alpha = cutoff = 0
    for _ in range(sets):
        t, told = prepared(law, n, rng, kind)
        fit = quick(t, "truncated" if truncated else "power_law", **told)
        alpha += holds(fit.alpha_ci, law.alpha)
        cutoff += holds(fit.cutoff_ci, law.cutoff if truncated else math.inf)
    assert stats.binomtest(alpha, sets, 0.95).pvalue > 1e-3
    # the boundary 1/t_c = 0 makes the interval wider than 95 % where the cutoff is hardly seen
    assert stats.binomtest(cutoff, sets, 0.95, "less").pvalue > 1e-3


@pytest.mark.parametrize(
    ("law", "n", "sets"),
    [(PowerLaw(1.5, 1e-3), 100, 40), (PowerLaw(1.2, 1e-3), 100, 40), (PowerLaw(1.5, 1e-3, 1.0), 300, 40)],
)
def test_plain_laws_are_seldom_called_truncated(law, n, sets):
    rng = np.random.default_rng(4)
    told = {"t_min": law.t_min} | ({"t_max": law.t_max} if math.isfinite(law.t_max) else {})
    called = 0
    for i in range(sets):
        fit = ps.fit_dwell_times(law.sample(n, rng), n_bootstrap=100, seed=i, **told)
        called += fit.model == "truncated"
        assert fit.model == "truncated" or math.isnan(fit.cutoff)
    assert stats.binomtest(called, sets, 0.05, "greater").pvalue > 1e-3


def test_truncated_law_is_found():
    fit = ps.fit_dwell_times(TruncatedPowerLaw(1.5, 5.0, 1e-3).sample(5000, np.random.default_rng(105)), t_min=1e-3)
    assert fit.model == "truncated"
    assert holds(fit.alpha_ci, 1.5)
    assert holds(fit.cutoff_ci, 5.0)
    assert fit.p_truncated < 1e-6
    assert fit.delta_bic > 10
    assert fit.ks_p_value > 0.01


def test_a_plain_law_has_no_cutoff_and_says_so():
    fit = ps.fit_dwell_times(PowerLaw(1.7, 1e-3).sample(2000, np.random.default_rng(6)), t_min=1e-3)
    assert fit.model == "power_law"
    assert math.isnan(fit.cutoff)
    assert fit.cutoff_ci[1] == math.inf
    assert fit.cutoff_ci[0] > 0.1
    assert "no cutoff" in fit.note


@pytest.mark.parametrize(
    ("model", "draw", "truth"),
    [
        ("exponential", lambda r: r.exponential(0.4, 2000), {"time": 0.4}),
        ("stretched", lambda r: 0.4 * r.weibull(0.5, 2000), {"time": 0.4, "beta": 0.5}),
        ("lognormal", lambda r: 0.4 * np.exp(1.2 * r.normal(size=2000)), {"median": 0.4, "sigma": 1.2}),
    ],
)
def test_other_laws_are_recovered_and_win_by_bic(model, draw, truth):
    rng = np.random.default_rng(7)
    hits = dict.fromkeys(truth, 0)
    for _ in range(40):
        t = draw(rng)
        fit = quick(t[t > 0.02], model, t_min=0.02)
        for name, value in truth.items():
            hits[name] += holds(fit.parameters_ci[name], value)
        least = min(fit.table, key=lambda law: fit.table[law]["bic"])
        assert least == model or fit.table[model]["bic"] - fit.table[least]["bic"] < 5
    for n in hits.values():
        assert stats.binomtest(n, 40, 0.95).pvalue > 1e-3


def test_goodness_of_fit_is_uniform_where_the_law_holds_and_small_where_not():
    rng = np.random.default_rng(8)
    p = [
        ps.fit_dwell_times(PowerLaw(1.6, 1e-3).sample(200, rng), "power_law", t_min=1e-3, n_bootstrap=99).ks_p_value
        for _ in range(60)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    wrong = ps.fit_dwell_times(rng.exponential(1.0, 500) + 0.01, "power_law", t_min=0.01)
    assert wrong.ks_p_value < 0.01
    assert "describes the dwells better" in wrong.note


def test_shortest_dwell_is_found_where_the_law_begins():
    rng = np.random.default_rng(9)
    tail = PowerLaw(2.0, 0.1).sample(3000, rng)
    body = rng.uniform(0.001, 0.1, 2000)
    fit = quick(np.concatenate([tail, body]), "power_law")
    assert 0.08 < fit.t_min < 0.2
    assert holds(fit.alpha_ci, 2.0)


# ---------------------------------------------------------------- invariance and edges


def test_unit_of_time_and_order_do_not_matter():
    t = TruncatedPowerLaw(1.4, 0.2, 1e-3).sample(500, np.random.default_rng(10))
    one, other = quick(t, t_min=1e-3), quick(t[::-1] * 1e6, t_min=1e3)
    assert other.alpha == pytest.approx(one.alpha, abs=1e-5)
    assert other.cutoff == pytest.approx(one.cutoff * 1e6, rel=1e-4)
    assert other.cutoff_ci == pytest.approx(np.array(one.cutoff_ci) * 1e6, rel=2e-2)


def test_narrow_bins_change_nothing():
    t = TruncatedPowerLaw(1.4, 0.2, 1e-3).sample(500, np.random.default_rng(11))
    width = 1e-6
    one = quick(t, "truncated", t_min=1e-3)
    binned = quick(np.rint(t / width) * width, "truncated", t_min=1e-3, bin_width=width)
    assert binned.alpha == pytest.approx(one.alpha, abs=1e-3)
    assert binned.cutoff == pytest.approx(one.cutoff, rel=1e-2)


@pytest.mark.parametrize("rounding", ["up", "down"])
def test_rounding_is_taken_into_account(rounding):
    law, width = PowerLaw(1.6, 1e-3), 1e-2
    t = law.sample(40_000, np.random.default_rng(12))
    bins = np.ceil(t / width) if rounding == "up" else np.floor(t / width)
    fit = quick(bins[bins >= 2] * width, "power_law", bin_width=width, t_min=2 * width, rounding=rounding)
    assert abs(fit.alpha - 1.6) < 4 * (fit.alpha_ci[1] - fit.alpha_ci[0]) / 3.92


def test_dwells_of_a_trace():
    rng = np.random.default_rng(13)
    on = TruncatedPowerLaw(1.3, 1.0, 0.02)
    states = np.concatenate([
        np.full(int(np.rint(x / 0.01)), i % 2) for i, x in enumerate(on.sample(600, rng)) if x >= 0.005
    ])  # fmt: skip
    dwells = ps.dwell_times(ps.IntensityTrace(rng.poisson(5 + 100 * states), 0.01))
    fit = ps.fit_dwell_times(dwells, state="on", t_min=0.03)
    assert fit.bin_width == 0.01
    assert fit.t_min == pytest.approx(0.025)
    assert holds(fit.alpha_ci, 1.3)
    assert holds(fit.cutoff_ci, 1.0)
    with pytest.raises(ValueError, match='state must be "on" or "off"'):
        ps.fit_dwell_times(dwells)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_few_dwells_leave_it_open(n):
    fit = ps.fit_dwell_times(np.arange(1.0, n + 1.0))
    assert fit.model == "undetermined"
    assert math.isnan(fit.alpha)
    assert "at least 10" in fit.note
    assert json.dumps(fit.to_dict(), allow_nan=False)
    assert "undetermined" in repr(fit)


def test_equal_dwells_leave_it_open():
    fit = ps.fit_dwell_times(np.full(50, 0.01), bin_width=0.01)
    assert fit.model == "undetermined"
    assert "all dwells last" in fit.note


@pytest.mark.parametrize("told", [{}, {"t_min": 1.0}, {"bin_width": 1.0}])
def test_equal_dwells_of_any_kind_leave_it_open(told):
    assert ps.fit_dwell_times(np.ones(80), **told).model == "undetermined"


def test_an_exponent_at_the_end_of_its_range_is_no_answer():
    fit = quick(np.random.default_rng(20).normal(5.0, 0.1, 500), "truncated", t_min=4.9)
    assert math.isnan(fit.alpha)
    assert math.isnan(fit.cutoff)
    assert "it is not determined" in fit.note


@pytest.mark.parametrize(
    ("given", "told", "words"),
    [
        ([1.0, -1.0], {}, "dwell 1 lasts -1.0 s"),
        ([1.0, math.nan], {}, "must be positive and finite"),
        ([0.011], {"bin_width": 0.01}, "is no whole number of bins of 0.01 s"),
        ([1.0], {"bin_width": -1.0}, "bin_width must be a positive time"),
        ([1.0], {"model": "weibull"}, "model must be one of"),
        ([1.0], {"method": "ols"}, "method must be one of"),
        ([1.0], {"rounding": "half"}, "rounding must be one of"),
        ([1.0], {"censored": [True, False]}, "give one for each"),
        ([1.0], {"state": "on"}, "belongs to DwellTimes"),
        (np.arange(1.0, 30.0), {"t_min": 0.0}, "t_min must be a positive time"),
        (np.arange(1.0, 30.0), {"t_min": 3.0, "t_max": 2.0}, "must be below t_max"),
        (np.arange(1.0, 30.0), {"method": "log_log", "model": "lognormal"}, "not 'lognormal'"),
        (np.arange(1.0, 30.0), {"bin_width": 1.0, "t_min": 1.0, "rounding": "up"}, "where no power law exists"),
    ],
)
def test_errors_say_what_to_do(given, told, words):
    with pytest.raises(ValueError, match=words):
        ps.fit_dwell_times(given, **told)


@pytest.mark.parametrize("method", ["log_log", "weighted"])
def test_old_methods_draw_a_line(method):
    t = PowerLaw(1.5, 1e-3).sample(3000, np.random.default_rng(14))
    fit = ps.fit_dwell_times(t, "power_law", t_min=1e-3, method=method)
    assert abs(fit.alpha - 1.5) < 0.15
    assert math.isnan(fit.p_truncated)
    assert "reproduces older papers" in fit.note


# ---------------------------------------------------------------- figures and files


@pytest.mark.parametrize("kind", ["survival", "density"])
def test_figures_show_dwells_laws_and_cuts(kind):
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(15)
    t = TruncatedPowerLaw(1.5, 0.5, 1e-3).sample(400, rng)
    censored = rng.random(400) < 0.05
    fit = quick(t, t_min=1e-3, censored=censored)
    ax = fit.plot(kind=kind)
    labels = ax.get_legend_handles_labels()[1]
    assert f"{int(censored.sum())} cut" in labels
    assert any(label.startswith("truncated, α") for label in labels)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert "(s)" in ax.get_xlabel()
    line = next(x for x in ax.get_lines() if str(x.get_label()).startswith("truncated"))
    law = fit.survival if kind == "survival" else fit.density
    np.testing.assert_allclose(line.get_ydata()[:5], law(line.get_xdata()[:5]))
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="kind must be"):
        fit.plot(kind="pdf")


def test_result_is_plain_json():
    fit = quick(PowerLaw(1.5, 1e-3).sample(300, np.random.default_rng(16)), t_min=1e-3)
    plain = fit.to_dict()
    assert json.dumps(plain, allow_nan=False)
    assert plain["cutoff_ci"][1] is None
    assert set(plain["table"]) == {"power_law", "truncated", "exponential", "stretched", "lognormal"}
    assert len(plain["times"]) == 300


def test_density_and_survival_belong_together():
    fit = quick(Exponential(0.3).sample(500, np.random.default_rng(17)) + 0.01, t_min=0.01)
    t = np.geomspace(0.011, 0.5, 2000)
    from_density = fit.survival(t[0]) - integrate.cumulative_trapezoid(fit.density(t), t, initial=0.0)
    np.testing.assert_allclose(fit.survival(t), from_density, atol=2e-4)
    with pytest.raises(ValueError, match="there is no fit of 'weibull'"):
        fit.survival(1.0, "weibull")


def test_few_dwells_find_the_shortest_dwell_of_the_emitter():
    """Below the shortest dwell no law holds: a fit from there on looks truncated, whatever the law is."""
    rng = np.random.default_rng(8)
    called, below = 0, 0
    for _ in range(120):
        times = np.rint(0.03 * rng.random(45) ** (-1 / 0.6) / 0.01) * 0.01
        times[:2] = 0.01, 0.02  # two noise dwells
        fit = ps.fit_dwell_times(times, bin_width=0.01, n_bootstrap=0)
        called += fit.p_truncated < 0.05
        below += fit.t_min < 0.02
    assert below < 12
    assert stats.binomtest(called, 120, 0.05, "greater").pvalue > 1e-3
