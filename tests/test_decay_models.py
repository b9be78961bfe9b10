"""What a decay fit can be asked for: laws, limits, corrections, intervals, both searches. Truth is drawn here."""

import math

import lmfit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import photonstats as ps
from photonstats import AnalysisWarning, Decay, GaussianIRF, fit_decay

NS = 1e-9
PERIOD, SIGMA, CENTRE, BINS = 50 * NS, 0.15 * NS, 3 * NS, 512
IRF = GaussianIRF(SIGMA)


def histogram(times, duration=None, bins=BINS):
    counts = np.bincount((np.asarray(times) % PERIOD / PERIOD * bins).astype(int), minlength=bins)[:bins]
    return Decay(counts, PERIOD / bins, PERIOD, duration)


def drawn(rng, photons, taus, shares, background=0.0, tail=None):
    """Draw photons of exponentials with Gaussian jitter, an exponential tail of the response, and flat background."""
    flat, *each = rng.multinomial(photons, [background, *((1 - background) * np.array(shares))])
    after = np.concatenate([rng.exponential(t, n) for t, n in zip(taus, each, strict=True)])
    after = after + rng.normal(CENTRE, SIGMA, after.size)
    if tail:
        after = after + np.where(rng.random(after.size) < tail[0], rng.exponential(tail[1], after.size), 0.0)
    return histogram(np.concatenate([after, rng.uniform(0, PERIOD, flat)]))


def test_a_stretched_exponential_is_found():
    rng = np.random.default_rng(1)
    # u = (t/tau)^beta has a gamma distribution of shape 1/beta
    tau, beta = 4 * NS, 0.6
    light = tau * rng.gamma(1 / beta, size=200_000) ** (1 / beta) + rng.normal(CENTRE, SIGMA, 200_000)
    fit = fit_decay(histogram(np.append(light, rng.uniform(0, PERIOD, 5000))), irf=IRF, model="stretched")
    assert abs(fit.lifetimes[0] - tau) < 4 * fit.lifetimes_err[0]
    assert abs(fit.shape - beta) < 4 * fit.shape_err < 0.1
    assert abs(fit.amplitude_average - tau / beta * math.gamma(1 / beta)) < 4 * fit.amplitude_average_err
    assert fit.p_value > 1e-3
    assert "beta" in fit.summary()


def test_a_stretched_exponential_of_measured_response_agrees():
    rng = np.random.default_rng(2)
    light = 4 * NS * rng.gamma(1 / 0.7, size=50_000) ** (1 / 0.7) + rng.normal(CENTRE, SIGMA, 50_000)
    curve, response = histogram(light), histogram(rng.normal(CENTRE, SIGMA, 10**6))
    fit = fit_decay(curve, irf=response, model="stretched")
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    assert abs(fit.shape - 0.7) < 4 * fit.shape_err


@pytest.mark.parametrize("finer", [13, 16, 64])
def test_a_response_in_finer_bins_than_the_decay_keeps_them(finer):
    # of a response within a fifth of a bin its own bins alone tell where in the bin it lies
    rng = np.random.default_rng(finer)
    z = []
    for _ in range(12):
        light = rng.exponential(4 * NS, 20_000) + rng.normal(CENTRE, SIGMA, 20_000)
        response = histogram(rng.normal(CENTRE, SIGMA, 10**6), bins=64 * finer)
        fit = fit_decay(histogram(light, bins=64), irf=response, errors="hessian")
        z.append((fit.lifetimes[0] - 4 * NS) / fit.lifetimes_err[0])
    assert abs(np.mean(z)) < 4 / math.sqrt(12)


def test_a_response_within_a_bin_is_said_to_leave_short_lifetimes_in_doubt():
    rng = np.random.default_rng(4)
    light, pulses = (
        rng.exponential(4 * NS, 20_000) + rng.normal(CENTRE, SIGMA, 20_000),
        rng.normal(CENTRE, SIGMA, 10**6),
    )
    doubt = "lies within about a bin"
    assert doubt in fit_decay(histogram(light, bins=64), irf=histogram(pulses, bins=64)).reason
    assert doubt not in fit_decay(histogram(light, bins=64), irf=histogram(pulses, bins=1024)).reason
    assert doubt not in fit_decay(histogram(light, bins=64), irf=GaussianIRF(SIGMA)).reason
    assert doubt not in fit_decay(histogram(light), irf=histogram(pulses)).reason


def test_log_normal_rates_are_found():
    rng = np.random.default_rng(3)
    median, spread, n = 6 * NS, 0.8, 200_000
    # photons of a rate are its amplitude over the rate: ln(rate) of photons lies lower by spread^2
    rates = np.exp(rng.normal(-(spread**2), spread, n)) / median
    curve = histogram(rng.exponential(1 / rates) + rng.normal(CENTRE, SIGMA, n))
    fit = fit_decay(curve, irf=IRF, model="lognormal")
    assert abs(fit.lifetimes[0] - median) < 4 * fit.lifetimes_err[0]
    assert abs(fit.shape - spread) < 4 * fit.shape_err < 0.2
    assert abs(fit.intensity_average - median * math.exp(1.5 * spread**2)) < 4 * fit.intensity_average_err


def test_a_stretched_exponential_of_beta_one_is_an_exponential():
    curve = drawn(np.random.default_rng(4), 30_000, [5 * NS], [1.0])
    plain = fit_decay(curve, irf=IRF)
    held = fit_decay(curve, irf=IRF, model="stretched", params={"stretching": 1.0})
    assert held.lifetimes[0] == pytest.approx(plain.lifetimes[0], rel=2e-3)
    assert held.deviance == pytest.approx(plain.deviance, abs=0.5)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 2), photons=st.sampled_from([3000, 30_000, 300_000]),
    background=st.sampled_from([0.0, 0.1]), scatter=st.booleans(),
)  # fmt: skip
def test_both_searches_give_the_same_answer(seed, n, photons, background, scatter):
    curve = drawn(np.random.default_rng(seed), photons, [2.5 * NS, 15 * NS][-n:], [0.5, 0.5][:n] if n > 1 else [1.0],
                  background)  # fmt: skip
    fast = fit_decay(curve, n, irf=IRF, scatter=scatter, errors="hessian")
    slow = fit_decay(curve, n, irf=IRF, scatter=scatter, errors="hessian", engine="lmfit")
    assert (fast.engine, slow.engine) == ("scoring", "lmfit")
    assert slow.deviance == pytest.approx(fast.deviance, abs=2e-3)
    # a likelihood as flat as 2e-3 lets parameters lie a twentieth of their error apart
    assert np.all(np.abs(slow.lifetimes - fast.lifetimes) < 0.05 * fast.lifetimes_err)
    assert slow.lifetimes_err == pytest.approx(fast.lifetimes_err, rel=0.05)
    assert slow.model == pytest.approx(fast.model, rel=1e-2, abs=1e-2)


def test_limits_in_the_vocabulary_of_lmfit():
    curve = drawn(np.random.default_rng(5), 50_000, [2.5 * NS, 15 * NS], [0.3, 0.7], 0.05)
    free = fit_decay(curve, 2, irf=IRF)
    held = fit_decay(curve, 2, irf=IRF, params={"lifetime_1": 2.0 * NS})
    assert held.lifetimes[0] == pytest.approx(2.0 * NS)
    assert held.lifetimes_err[0] == 0
    assert held.dof == free.dof + 1
    assert held.deviance >= free.deviance
    bounded = fit_decay(curve, 2, irf=IRF, params={"lifetime_2": {"min": 20 * NS, "max": 30 * NS}})
    assert bounded.lifetimes[1] == pytest.approx(20 * NS)
    assert "lies at one" in bounded.reason
    start = fit_decay(curve, 2, irf=IRF, params={"lifetime_1": {"value": 3 * NS}, "lifetime_2": {"value": 11 * NS}})
    assert start.deviance == pytest.approx(free.deviance, abs=1e-3)
    again = free.params
    assert isinstance(again, lmfit.Parameters)
    again["lifetime_1"].set(vary=False)
    repeated = fit_decay(curve, 2, irf=IRF, params=again)
    assert repeated.lifetimes == pytest.approx(free.lifetimes, rel=1e-3)
    assert repeated.params["lifetime_1"].vary is False
    assert set(again["photons_1"].correl) >= {"lifetime_2", "background", "shift"}


def test_an_expression_goes_through_lmfit():
    curve = drawn(np.random.default_rng(6), 50_000, [2.5 * NS, 15 * NS], [0.2, 0.8])
    fit = fit_decay(curve, 2, irf=IRF, params={"photons_2": {"expr": "4 * photons_1"}})
    assert fit.engine == "lmfit"
    assert fit.fractions == pytest.approx([0.2, 0.8])
    assert np.all(np.abs(fit.lifetimes - [2.5 * NS, 15 * NS]) < 4 * fit.lifetimes_err)
    free = fit_decay(curve, 2, irf=IRF)
    assert fit.lifetimes_err[0] < free.lifetimes_err[0]
    with pytest.raises(ValueError, match="without expressions"):
        fit_decay(curve, 2, irf=IRF, params={"photons_2": {"expr": "photons_1"}}, engine="scoring")


def test_bands_are_left_out():
    rng = np.random.default_rng(7)
    curve = drawn(rng, 100_000, [8 * NS], [1.0])
    spoilt = curve.counts.copy()
    spoilt[150:160] += 3000  # a reflection at 14.6 to 15.6 ns
    band = (150 * PERIOD / BINS, 160 * PERIOD / BINS)
    bad = fit_decay(Decay(spoilt, curve.bin_width, PERIOD), irf=IRF)
    good = fit_decay(Decay(spoilt, curve.bin_width, PERIOD), irf=IRF, exclude=[band])
    assert bad.p_value < 1e-6
    assert good.p_value > 1e-3
    assert abs(good.lifetimes[0] - 8 * NS) < 4 * good.lifetimes_err[0]
    assert np.isnan(good.residuals[150:160]).all()
    assert np.isfinite(good.residuals[149])
    assert np.isfinite(good.residuals[160])
    with pytest.raises(ValueError, match="exclude must be bands"):
        fit_decay(curve, irf=IRF, exclude=[(3e-9, 1e-9)])


def test_the_tail_of_a_response_is_found_and_not_taken_for_a_lifetime():
    curve = drawn(np.random.default_rng(8), 300_000, [6 * NS], [1.0], 0.02, tail=(0.2, 0.8 * NS))
    plain = fit_decay(curve, irf=GaussianIRF())
    fit = fit_decay(curve, irf=GaussianIRF(tail="fit"))
    assert plain.p_value < 1e-3
    assert fit.p_value > 1e-3
    assert abs(fit.lifetimes[0] - 6 * NS) < 4 * fit.lifetimes_err[0]
    share, error = fit.params["irf_tail"].value, fit.params["irf_tail"].stderr
    assert abs(share - 0.2) < 4 * error
    chosen = fit_decay(curve, irf="estimate")
    assert chosen.irf_kind == "gaussian with tail"
    assert chosen.deviance == pytest.approx(fit.deviance, abs=1.0)
    assert fit.response.sum() == pytest.approx(1.0, abs=0.01)


def test_a_response_without_tail_is_estimated_without():
    curve = drawn(np.random.default_rng(9), 100_000, [6 * NS], [1.0])
    fit = fit_decay(curve, irf="estimate")
    assert fit.irf_kind == "gaussian"
    assert abs(fit.lifetimes[0] - 6 * NS) < 4 * fit.lifetimes_err[0]
    assert fit.irf_sigma == pytest.approx(SIGMA, rel=0.1)


def piled_up(rng, pulses, per_pulse, tau, background):
    """Draw the first photon of each pulse, of emission and background together."""
    n = rng.poisson(per_pulse * (1 - background), pulses)
    times = np.full(pulses, np.inf)
    for k in range(1, int(n.max()) + 1):
        some = n >= k
        late = rng.exponential(tau, some.sum()) + rng.normal(CENTRE, SIGMA, some.sum())
        times[some] = np.minimum(times[some], late)
    dark = np.flatnonzero(rng.random(pulses) < per_pulse * background)
    times[dark] = np.minimum(times[dark], rng.uniform(0, PERIOD, dark.size))
    return times[times < PERIOD]


@pytest.mark.filterwarnings("ignore:.*detections per laser pulse")
def test_pile_up_in_the_model_gives_the_lifetime_back():
    rng = np.random.default_rng(10)
    pulses = 500_000
    curve = histogram(piled_up(rng, pulses, 0.4, 4 * NS, 0.02), duration=pulses * PERIOD)
    blind = fit_decay(curve, irf=IRF)
    fit = fit_decay(curve, irf=IRF, pile_up=True)
    assert blind.lifetimes[0] < 3.8 * NS
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    assert fit.p_value > 1e-3
    with pytest.raises(ValueError, match="needs a decay with period and duration"):
        fit_decay(Decay(curve.counts, curve.bin_width, PERIOD), irf=IRF, pile_up=True)
    with pytest.raises(ValueError, match="at most one for each"):
        fit_decay(Decay(curve.counts, curve.bin_width, PERIOD, 1e-4), irf=IRF, pile_up=True)


def test_pile_up_is_warned_of_unless_it_is_in_the_model():
    curve = drawn(np.random.default_rng(11), 20_000, [4 * NS], [1.0])
    busy = Decay(curve.counts, curve.bin_width, PERIOD, 100_000 * PERIOD)
    with pytest.warns(AnalysisWarning, match="pile_up=True"):
        fit_decay(busy, irf=IRF)
    fit_decay(busy, irf=IRF, pile_up=True)


def test_uneven_bins_are_told_from_the_decay():
    rng = np.random.default_rng(12)
    gain = 1 + 0.2 * np.sin(np.arange(BINS) / 3.0)
    smooth = fit_decay(drawn(rng, 400_000, [8 * NS], [1.0], 0.05), irf=IRF)
    curve = Decay(rng.poisson(smooth.model * gain), PERIOD / BINS, PERIOD)
    blind, fit = fit_decay(curve, irf=IRF), fit_decay(curve, irf=IRF, nonlinearity=gain)
    assert blind.p_value < 1e-6
    assert blind.autocorrelation_p_value < 1e-6
    assert fit.p_value > 1e-3
    assert fit.autocorrelation_p_value > 1e-3
    assert abs(fit.lifetimes[0] - 8 * NS) < 4 * fit.lifetimes_err[0]
    with pytest.raises(ValueError, match="nonlinearity must give each"):
        fit_decay(curve, irf=IRF, nonlinearity=gain[:-1])


def test_residuals_of_the_true_model_are_white_and_others_not():
    rng = np.random.default_rng(13)
    curves = [drawn(rng, 20_000, [6 * NS], [1.0]) for _ in range(40)]
    p_values = [fit_decay(curve, irf=IRF).autocorrelation_p_value for curve in curves]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    wrong = fit_decay(drawn(rng, 100_000, [2.5 * NS, 12 * NS], [0.5, 0.5]), irf=IRF)
    assert wrong.autocorrelation_p_value < 1e-6
    assert wrong.residual_autocorrelation[0] == 1
    assert wrong.residual_autocorrelation[1] > 0.1


def test_intervals_on_request():
    curve = drawn(np.random.default_rng(14), 5000, [2.5 * NS, 15 * NS], [0.4, 0.6], 0.05)
    fit = fit_decay(curve, 2, irf=IRF, scatter=True, errors="profile")
    assert fit.interval("lifetime_2") == pytest.approx(tuple(fit.lifetimes_ci[1]), rel=2e-3)
    assert fit.interval("fraction_1") == pytest.approx(tuple(fit.fractions_ci[0]), abs=2e-3)
    assert fit.interval("amplitude_average") == pytest.approx(fit.amplitude_average_ci, rel=2e-3)
    for name in ("background", "shift", "scatter", "photons_1", "intensity_average"):
        narrow, wide = fit.interval(name, 0.5), fit.interval(name, 0.99)
        assert wide[0] <= narrow[0] < narrow[1] <= wide[1]
    with pytest.raises(ValueError, match="irf_sigma was not fitted"):
        fit.interval("irf_sigma")
    with pytest.raises(ValueError, match="there is no lifetime"):
        fit.interval("lifetime")


def test_an_average_has_the_profile_that_brute_force_gives():
    curve = drawn(np.random.default_rng(15), 2000, [2.5 * NS, 15 * NS], [0.5, 0.5], 0.1)
    fit = fit_decay(curve, 2, irf=IRF, errors="profile")
    for name, expr in (
        ("amplitude_average", "x * (photons_1/lifetime_1 + photons_2/lifetime_2) - photons_1"),
        ("intensity_average", "photons_1 * (x - lifetime_1) / (lifetime_2 - x)"),
    ):
        for end in getattr(fit, name + "_ci"):
            if name == "amplitude_average":
                tied = f"photons_1 * ({end}/lifetime_1 - 1) / (1 - {end}/lifetime_2)"
            else:
                tied = expr.replace("x", str(end))
            slow = fit_decay(curve, 2, irf=IRF, errors="hessian", params={
                "photons_2": {"expr": tied}, "lifetime_1": {"value": fit.lifetimes[0], "max": 0.95 * end},
                "lifetime_2": {"value": max(fit.lifetimes[1], 1.2 * end), "min": 1.05 * end}})  # fmt: skip
            assert slow.deviance - fit.deviance == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.1)


def test_drawn_sets_scatter_as_the_errors_say():
    fit = fit_decay(drawn(np.random.default_rng(16), 50_000, [2.5 * NS, 15 * NS], [0.4, 0.6], 0.05), 2, irf=IRF)
    found = fit.bootstrap(200, seed=1)
    assert found.lifetimes.std(axis=0) == pytest.approx(fit.lifetimes_err, rel=0.25)
    assert found.amplitude_average.std() == pytest.approx(fit.amplitude_average_err, rel=0.25)
    assert found.lifetimes_ci == pytest.approx(fit.lifetimes_ci, rel=0.05)
    assert np.array_equal(found.lifetimes, fit.bootstrap(200, seed=1).lifetimes)
    assert "sets drawn" in found.summary()
    with pytest.raises(ValueError, match="at least 20"):
        fit.bootstrap(5)


def test_the_table_of_auto_is_shown_and_ends_where_bic_rises():
    curve = drawn(np.random.default_rng(17), 30_000, [6 * NS], [1.0])
    fit = fit_decay(curve, "auto", irf=IRF, max_components=4)
    assert sorted(fit.table) == [1, 2]
    assert "BIC by number of components" in fit.summary()
    three = fit_decay(drawn(np.random.default_rng(18), 10**6, [1 * NS, 5 * NS, 25 * NS], [0.2, 0.4, 0.4]), "auto",
                      irf=IRF)  # fmt: skip
    assert len(three.lifetimes) == 3
    assert np.all(np.abs(three.lifetimes - np.array([1, 5, 25]) * NS) < 4 * three.lifetimes_err)


def test_messages():
    curve = drawn(np.random.default_rng(19), 5000, [5 * NS], [1.0])
    with pytest.raises(ValueError, match="did you mean lifetime_1"):
        fit_decay(curve, irf=IRF, params={"lifetim_1": 1e-9})
    with pytest.raises(ValueError, match=r"known are .*vary"):
        fit_decay(curve, irf=IRF, params={"lifetime_1": {"fixed": True}})
    with pytest.raises(ValueError, match="above max"):
        fit_decay(curve, irf=IRF, params={"lifetime_1": {"min": 2e-9, "max": 1e-9}})
    with pytest.raises(ValueError, match=r"lifetime_1 is held at 0 s.*longer than 0"):
        fit_decay(curve, irf=IRF, params={"lifetime_1": 0.0})
    with pytest.raises(TypeError, match="must be a number"):
        fit_decay(curve, irf=IRF, params={"lifetime_1": "4 ns"})
    with pytest.raises(ValueError, match="one distribution"):
        fit_decay(curve, 2, irf=IRF, model="stretched")
    with pytest.raises(ValueError, match="model must be"):
        fit_decay(curve, model="gaussian")
    with pytest.raises(ValueError, match="engine must be"):
        fit_decay(curve, engine="scipy")
    with pytest.raises(ValueError, match="tail of the IRF must be"):
        GaussianIRF(tail=2.0)


def test_figures_of_fits(tmp_path):
    curve = drawn(np.random.default_rng(20), 20_000, [2.5 * NS, 15 * NS], [0.4, 0.6])
    fit = fit_decay(curve, 2, irf=IRF)
    axes = fit.plot()
    assert len(axes.figure.axes) == 2
    axes.figure.savefig(tmp_path / "fit.png")
    fit.bootstrap(20, seed=1).plot().figure.savefig(tmp_path / "bootstrap.png")
    assert ps.fit_decay(curve, irf=IRF, fit_range=(5e-9, 40e-9)).plot() is not None


GRID = [
    ((0.05,), (1.0,), (1e3, 1e4, 1e6)),
    ((0.3,), (1.0,), (1e3, 1e5)),
    ((0.6,), (1.0,), (1e3, 1e4, 1e6)),
    ((0.05, 0.3), (0.5, 0.5), (1e3, 1e4, 1e6)),
    ((0.05, 0.15), (0.3, 0.7), (1e4, 1e5)),
    ((0.1, 0.6), (0.4, 0.6), (1e5, 1e6)),
    ((0.02, 0.1, 0.5), (0.2, 0.4, 0.4), (1e5, 1e6)),
]


@pytest.mark.slow
@pytest.mark.parametrize("background", [0.0, 0.05, 0.2])
def test_intervals_of_lifetimes_fractions_and_averages_cover(background):
    rng = np.random.default_rng(21)
    inside = {"lifetime": [], "fraction": [], "amplitude": [], "intensity": []}
    for shares_of_period, shares, sizes in GRID:
        taus, share = np.array(shares_of_period) * PERIOD, np.array(shares)
        truths = (taus, share, 1 / np.sum(share / taus), share @ taus)
        for photons in sizes:
            for _ in range(40):
                fit = fit_decay(drawn(rng, rng.poisson(photons), taus, share, background), len(taus), irf=IRF)
                ends = (fit.lifetimes_ci, fit.fractions_ci, [fit.amplitude_average_ci], [fit.intensity_average_ci])
                for name, truth, (low, high) in zip(inside, truths, (np.transpose(e) for e in ends), strict=True):
                    if name != "fraction" or len(taus) > 1:
                        inside[name].extend(np.ravel((low <= truth) & (truth <= high)))
    for name, hits in inside.items():
        # neighbours of one fit lean on each other: as many as there are fits count
        slack = 2.5 * math.sqrt(
            0.95 * 0.05 / (40 * sum(len(s) for t, _, s in GRID if len(t) > 1 or name != "fraction"))
        )
        assert 0.95 - slack - 0.005 <= np.mean(hits) <= 0.95 + slack + 0.012, name
