"""What a decay fit says where it cannot answer, where it is asked wrongly, and what its small results draw."""

import math

import numpy as np
import pytest

import photonstats as ps
from photonstats import Decay, GaussianIRF, PhotonStream, fit_decay, fit_decays
from photonstats.decays import decay_estimates
from test_decay_models import BINS, CENTRE, IRF, NS, PERIOD, SIGMA, drawn, histogram


def stray_light(rng, photons=30_000, stray=3000):
    """Draw one lifetime and light that comes with the pulse, which a model without scatter takes for a lifetime."""
    late = rng.exponential(4 * NS, photons) + rng.normal(CENTRE, SIGMA, photons)
    return histogram(np.concatenate([late, rng.normal(CENTRE, SIGMA, stray)]))


def test_auto_falls_back_where_the_best_model_is_degenerate_and_says_so():
    curve = stray_light(np.random.default_rng(1))
    two = fit_decay(curve, 2, irf=IRF)
    assert not two.converged
    assert "fiftieth of a bin" in two.reason
    fit = fit_decay(curve, "auto", irf=IRF)
    assert min(fit.table, key=fit.table.get) > 1
    assert len(fit.lifetimes) == 1
    assert fit.converged
    assert fit.reason.startswith("with 2 lifetimes: a lifetime fell below")
    assert "with 2 lifetimes: a lifetime fell below" in fit.summary()
    assert "does not describe the decay" in fit.summary()
    both = fit_decay(curve, "auto", irf=IRF, scatter=True)
    assert both.reason == "maximum of the likelihood found"
    assert abs(both.lifetimes[0] - 4 * NS) < 4 * both.lifetimes_err[0]


def test_fewer_photons_than_parameters_and_fewer_bins_are_no_fit():
    few = np.zeros(BINS, np.int64)
    few[[40, 60, 90]] = 1
    fit = fit_decay(Decay(few, PERIOD / BINS, PERIOD), 2, irf=IRF)
    assert not fit.converged
    assert "3 photons are fewer than the parameters of 2 lifetime(s)" in fit.reason
    bins = fit_decay(Decay([50, 20, 9], 1 * NS), 2, fit_range=(0, 3 * NS))
    assert "fewer bins than parameters" in bins.reason
    assert not bins.converged


@pytest.mark.parametrize("counts", [[1.0, math.nan, 2.0], [1.0, math.inf], ["a", "b"]])
def test_counts_that_are_no_numbers(counts):
    with pytest.raises(ValueError, match="counts must be whole numbers >= 0, without nan or inf"):
        Decay(counts, 1 * NS)


def test_a_period_is_no_shorter_than_half_a_bin():
    with pytest.raises(ValueError, match=r"period 4e-10 s is shorter than half a bin of 1e-09 s"):
        Decay([1, 2, 3], 1 * NS, 0.4 * NS)
    assert Decay([1], 1 * NS, 0.6 * NS).period == 0.6 * NS


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"params": [("lifetime_1", 1e-9)]}, TypeError, "params must be lmfit Parameters or a mapping by name.*list"),
        ({"params": 4e-9}, TypeError, "params must be lmfit Parameters.*float"),
        ({"params": {"background": 3.0}, "background": 3.0}, ValueError, "background is given twice"),
        ({"params": {"shift": 3e-9}, "shift": 3e-9}, ValueError, "shift is given twice"),
        ({"shift": math.nan}, ValueError, r"shift must be a time in seconds or None \(fitted\), it is nan"),
        ({"shift": math.inf}, ValueError, "shift must be a time in seconds"),
        ({"irf": "gauss"}, TypeError, 'irf must be a Decay .see read_irf., a GaussianIRF, "estimate" or None.*str'),
        ({"irf": np.ones(5)}, TypeError, "irf must be a Decay.*ndarray"),
        ({"irf": None, "params": {"irf_sigma": 1e-10}}, ValueError, "irf_sigma belongs to a GaussianIRF.*none"),
        ({"params": {"lifetime_2": {"expr": "2*lifetime_9"}}}, ValueError, "'2.lifetime_9' of lifetime_2 cannot be"),
        ({"params": {"lifetime_2": {"expr": "2*("}}}, ValueError, "of lifetime_2 cannot be evaluated"),
        ({"params": {"lifetime_2": {"expr": "'a'"}}}, ValueError, "of lifetime_2 cannot be evaluated"),
        ({"nonlinearity": np.ones((BINS, 2))}, ValueError, "nonlinearity must give each of the 512 bins"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(settings, error, message):
    curve = drawn(np.random.default_rng(2), 2000, [2 * NS, 9 * NS], [0.5, 0.5])
    with pytest.raises(error, match=message):
        fit_decay(curve, 2, **{"irf": IRF} | settings)


def test_a_measured_response_has_no_width_to_hold():
    rng = np.random.default_rng(3)
    response = histogram(rng.normal(CENTRE, SIGMA, 10**5))
    with pytest.raises(ValueError, match="irf_sigma belongs to a GaussianIRF, and the response here is measured"):
        fit_decay(drawn(rng, 2000, [4 * NS], [1.0]), irf=response, params={"irf_sigma": 0.1 * NS})


@pytest.mark.parametrize("laser_period", [10 * NS, None])
def test_a_bin_is_no_longer_than_the_decay(laser_period):
    photons = PhotonStream(
        np.arange(5), [0] * 5, np.array([0, 3, 3, 9, 4], np.uint16), timestamps_unit=10 * NS, tcspc_unit=1 * NS,
        laser_period=laser_period, duration=50 * NS,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"bin_width 2e-08 s is longer than the decay, 1e-08 s"):
        ps.decay(photons, bin_width=20 * NS)


def test_decays_fitted_together_keep_their_names():
    rng = np.random.default_rng(4)
    curves = [drawn(rng, 3000, [t * NS], [1.0]) for t in (4.0, 4.0)]
    named = fit_decays(dict(zip(("on", "grey"), curves, strict=True)), irf=IRF)
    assert named.names == ("on", "grey")
    assert "  grey: " in named.summary()
    assert named.to_dict()["names"] == ["on", "grey"]
    assert [text.get_text().split(":")[0] for text in named.plot().get_legend().get_texts()] == ["on", "grey"]
    assert fit_decays(curves, irf=IRF).names == ("decay 1", "decay 2")
    with pytest.raises(TypeError, match="one of these for each decay, no text"):
        fit_decays(curves, irf="estimate")


def test_ratios_of_yields_and_rates_are_drawn():
    rng = np.random.default_rng(5)
    levels = [drawn(rng, n, [t * NS], [1.0]) for n, t in ((5000, 4.0), (20_000, 8.0))]
    timed = [Decay(c.counts, c.bin_width, c.period, 1.0) for c in levels]
    dim, bright = (fit_decay(c, irf=IRF) for c in timed)
    ax = ps.quantum_yield_ratio(dim, bright).plot()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["lifetimes", "count rates"]
    assert len(ax.containers) == 2
    one = ps.quantum_yield_ratio(*(fit_decay(c, irf=IRF) for c in levels))
    assert len(one.plot().containers) == 1  # without durations there is no ratio of rates
    found = ps.decay_rates(bright, 0.8, 0.05)
    drawn_rates = found.plot()
    assert len(drawn_rates.containers) == 3
    assert drawn_rates.containers[1][0].get_ydata()[0] == pytest.approx(found.radiative * 1e-6)
    assert len(ps.decay_rates(bright).plot().containers) == 1


def test_a_free_width_is_kept_from_params():
    curve = drawn(np.random.default_rng(6), 20_000, [4 * NS], [1.0])
    fit = fit_decay(curve, irf=GaussianIRF(), params={"irf_sigma": SIGMA})
    assert fit.irf_sigma == pytest.approx(SIGMA)
    assert fit.irf_sigma_err == 0


def test_a_search_that_stalls_far_from_a_fit_has_not_converged():
    """A response of half a bin with an echo, and stray light: the likelihood has steps in the shift."""
    rng = np.random.default_rng(721)
    bins, period, n, stalled = 1024, 100e-9, 200_000, 0
    unit = period / bins
    for _ in range(10):
        tau, shift = rng.uniform(0.02, 0.15) * bins, rng.uniform(-2, 2)

        def pulse(size, at):
            return at + 0.4 * rng.standard_normal(size) + np.where(rng.random(size) < 0.25, 2.0, 0.0)

        light = pulse(n, 150.0 + shift) + np.where(rng.random(n) < 0.1, 0.0, rng.exponential(tau, n))
        counts = np.bincount(np.floor(light).astype(int) % bins, minlength=bins)
        response = np.bincount(np.floor(pulse(300_000, 150.0)).astype(int), minlength=bins)
        decay, irf = ps.Decay(counts, unit, period), ps.Decay(response, unit, period)
        fit = ps.fit_decay(decay, 1, irf=irf, scatter=True, errors="hessian")
        held = [
            ps.fit_decay(decay, 1, irf=irf, scatter=True, errors="hessian", shift=at * unit).deviance
            for at in np.arange(shift - 1.0, shift + 1.01, 0.1)
        ]
        stalled += not fit.converged
        assert not fit.converged or fit.deviance < min(held) + 0.5
        assert fit.converged or fit.reason
    assert stalled


def test_an_interval_that_doubt_widens_beyond_all_numbers_has_no_end():
    # a tail of thirty photons: the doubt of the pulse is thousands of times that of counting
    assert decay_estimates._widened((1e-10, 1e-3), 1e-9, 1e5) == (0.0, np.inf)
    assert decay_estimates._widened((0.5e-9, 2e-9), 1e-9, 2.0) == pytest.approx((0.25e-9, 4e-9))
