"""Decays and lifetimes: truth, coverage, edges, messages, real files."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats import AnalysisWarning, Decay, GaussianIRF, PhotonStream, decay, fit_decay

NS = 1e-9


def drawn(
    rng, photons, lifetimes=(4 * NS,), shares=(1.0,), *, period=50 * NS, bin_width=0.2 * NS, sigma=0.2 * NS,
    centre=5 * NS, background=0.0, stray=0.0, duration=None,
):  # fmt: skip
    """Draw photon by photon, wrap at the period and histogram; nothing of the model under test is in it."""
    photons = rng.poisson(photons)
    flat, direct, *each = rng.multinomial(
        photons, [background, (1 - background) * stray, *((1 - background) * (1 - stray) * np.array(shares))]
    )
    after = np.concatenate([np.zeros(direct), *(rng.exponential(t, n) for t, n in zip(lifetimes, each, strict=True))])
    times = np.concatenate([after + rng.normal(centre, sigma, after.size), rng.uniform(0, period, flat)]) % period
    bins = math.ceil(period / bin_width - 1e-6)
    return Decay(np.bincount((times / bin_width).astype(int), minlength=bins)[:bins], bin_width, period, duration)


def response(rng, photons=10**6, **settings):
    return drawn(rng, photons, lifetimes=(1e-18,), **settings)


# The histogram


def stream(nanotimes, detectors=None, **settings):
    n = len(nanotimes)
    given = {"timestamps_unit": 10 * NS, "tcspc_unit": 1 * NS, "duration": max(n, 1) * 10 * NS, **settings}
    return PhotonStream(np.arange(n), detectors or [0] * n, np.array(nanotimes, np.uint16), **given)


def test_a_photon_lies_in_the_bin_of_its_nanotime():
    curve = decay(stream([0, 3, 3, 9, 4]))
    assert curve.counts.tolist() == [1, 0, 0, 2, 1, 0, 0, 0, 0, 1]
    assert (curve.bin_width, curve.period, curve.duration) == (1 * NS, 10 * NS, 50 * NS)


def test_detectors_and_bins():
    photons = stream([0, 3, 3, 9, 4], [0, 1, 2, 1, 0])
    assert decay(photons, 1).counts.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert decay(photons, [0, 2]).n_photons == 3
    assert decay(photons, bin_width=4 * NS).counts.tolist() == [3, 1, 1]
    assert decay(photons, bin_width=3.9 * NS).bin_width == pytest.approx(4 * NS)
    assert decay(photons, bin_width=0.1 * NS).bin_width == 1 * NS
    assert decay(photons, 7).n_photons == 0


def test_photons_beyond_the_period_are_left_out_and_the_last_bin_is_cut():
    curve = decay(stream([9, 10, 11, 12], timestamps_unit=10.5 * NS, duration=50 * NS))
    assert curve.counts.size == 11
    assert curve.n_photons == 2


def test_pieces_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    photons = stream(rng.integers(0, 10, 1000).tolist(), rng.integers(0, 3, 1000).tolist())
    half = photons.duration / 2
    parts = [photons.between(0.0, half), photons.between(half, photons.duration)]
    assert np.array_equal(decay(iter(parts), [0, 1]).counts, decay(photons, [0, 1]).counts)
    assert decay(iter(parts)).duration == pytest.approx(photons.duration)


def test_messages_of_decay():
    with pytest.raises(ValueError, match=r"no nanotimes.*ps\.fold"):
        decay(PhotonStream([0], [0], timestamps_unit=1e-12, duration=1.0))
    with pytest.raises(ValueError, match="bin_width must be a positive time"):
        decay(stream([1]), bin_width=-1.0)
    with pytest.raises(ValueError, match="gave no pieces"):
        decay(iter([]))
    with pytest.raises(ValueError, match="not of one recording"):
        decay(iter([stream([1]), stream([1], tcspc_unit=2 * NS)]))
    with pytest.raises(ValueError, match="numbered 0 to 255"):
        decay(stream([1]), 256)


# Truth


IRFS = ["measured", "gaussian", "free gaussian", "none"]


def irf_of(kind, rng, **settings):
    if kind == "measured":
        return response(rng, centre=4.3 * NS, background=0.02, **settings)
    return {"gaussian": GaussianIRF(0.2 * NS), "free gaussian": GaussianIRF(), "none": None}[kind]


@pytest.mark.parametrize("kind", IRFS)
@pytest.mark.parametrize("tau", [2.5, 10.0, 30.0])
def test_one_lifetime_is_found(kind, tau):
    rng = np.random.default_rng(5)
    truth, found, p_values = tau * NS, [], []
    irf = irf_of(kind, rng)
    for _ in range(12):
        fit = fit_decay(drawn(rng, 1e5, [truth], background=0.1), irf=irf, errors="hessian")
        assert fit.converged
        found.append((fit.lifetimes[0] - truth) / fit.lifetimes_err[0])
        p_values.append(fit.p_value)
    assert stats.chi2.sf(np.sum(np.square(found)), len(found)) > 1e-4
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert abs(np.mean(found)) < 4 / math.sqrt(len(found))


@pytest.mark.parametrize("kind", IRFS)
def test_two_lifetimes_their_shares_and_averages_are_found(kind):
    rng = np.random.default_rng(6)
    irf = irf_of(kind, rng)
    fits = [
        fit_decay(drawn(rng, 1e5, [1.5 * NS, 8 * NS], [0.4, 0.6], background=0.05), 2, irf=irf, errors="hessian")
        for _ in range(10)
    ]
    amplitudes = np.array([0.4 / 1.5, 0.6 / 8])
    truths = {
        "lifetimes": np.array([1.5, 8.0]) * NS, "fractions": np.array([0.4, 0.6]), "background": 20.0,
        "amplitude_average": NS / amplitudes.sum(), "intensity_average": (0.4 * 1.5 + 0.6 * 8) * NS,
    }  # fmt: skip
    for name, truth in truths.items():
        z = np.array([(getattr(f, name) - truth) / getattr(f, f"{name}_err") for f in fits])
        z = z[..., 0] if z.ndim == 2 and name == "fractions" else z  # they sum to one
        # The parameters of a fit hang together: judge each by itself.
        for column in np.atleast_2d(z.T):
            assert stats.chi2.sf(np.sum(column**2), column.size) > 1e-4, name
            assert stats.chi2.cdf(np.sum(column**2), column.size) > 1e-4, name
    for fit in fits:
        assert fit.fractions.sum() == pytest.approx(1)
        assert fit.amplitudes == pytest.approx(fit.fractions / fit.lifetimes / np.sum(fit.fractions / fit.lifetimes))


@pytest.mark.parametrize("bin_width", [0.2, 0.78125])
@pytest.mark.parametrize("irf", ["measured", "gaussian"])
def test_wide_bins_do_not_lengthen_the_lifetime(bin_width, irf):
    # Programs that take the model at a point of each bin find 6.6 ns here at 0.78 ns bins, 5.0 ns at 0.2 ns.
    rng = np.random.default_rng(7)
    common = {"bin_width": bin_width * NS, "sigma": 0.5 * NS}
    known = response(rng, **common) if irf == "measured" else GaussianIRF(0.5 * NS, 5 * NS)
    found = []
    for _ in range(10):
        fit = fit_decay(drawn(rng, 2e4, **common), irf=known, shift=0.0, errors="hessian")
        found.append((fit.lifetimes[0] - 4 * NS) / fit.lifetimes_err[0])
        assert fit.shift == 0
    assert stats.chi2.sf(np.sum(np.square(found)), len(found)) > 1e-4


@pytest.mark.parametrize("shift", [-3.37, 0.0, 0.5, 11.81])
def test_the_shift_of_a_measured_irf_is_found(shift):
    rng = np.random.default_rng(8)
    known = response(rng, sigma=0.6 * NS)
    fit = fit_decay(drawn(rng, 1e5, centre=(5 + shift) * NS, sigma=0.6 * NS), irf=known)
    assert abs(fit.shift - shift * NS) < 4.5 * math.hypot(fit.shift_err, 0.6 * NS / 1000)
    assert fit.irf_kind == "measured"
    assert fit.p_value > 1e-3


def test_a_free_gaussian_finds_its_centre_and_width():
    rng = np.random.default_rng(9)
    fit = fit_decay(drawn(rng, 1e5, sigma=0.5 * NS, centre=12.3 * NS), irf=GaussianIRF())
    assert abs(fit.shift - 12.3 * NS) < 4 * fit.shift_err
    assert abs(fit.irf_sigma - 0.5 * NS) < 4 * fit.irf_sigma_err
    shifted = fit_decay(fit.decay, irf=GaussianIRF(0.5 * NS, center=12 * NS))
    assert abs(shifted.shift - 0.3 * NS) < 4 * shifted.shift_err


def test_stray_light_is_told_from_the_emitter():
    rng = np.random.default_rng(10)
    fit = fit_decay(drawn(rng, 1e5, stray=0.2, sigma=0.5 * NS), irf=GaussianIRF(0.5 * NS), scatter=True)
    assert abs(fit.scatter - 0.2) < 4 * fit.scatter_err
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    blind = fit_decay(fit.decay, irf=GaussianIRF(0.5 * NS))
    assert blind.p_value < 1e-6


@pytest.mark.parametrize("centre", [1.0, 25.0, 44.0])
@pytest.mark.parametrize("period", [50.0, 50.07])
def test_the_place_of_the_pulse_in_the_period_does_not_matter(centre, period):
    rng = np.random.default_rng(11)
    curve = drawn(rng, 1e5, [20 * NS], centre=centre * NS, period=period * NS, background=0.05)
    for irf in (None, GaussianIRF()):
        fit = fit_decay(curve, irf=irf, errors="hessian")
        assert abs(fit.lifetimes[0] - 20 * NS) < 4 * fit.lifetimes_err[0]
        assert fit.p_value > 1e-3


def test_number_of_components_is_chosen_by_bic():
    rng = np.random.default_rng(12)
    one = fit_decay(drawn(rng, 2e4, background=0.05), "auto")
    two = fit_decay(drawn(rng, 1e5, [1 * NS, 8 * NS], [0.4, 0.6]), "auto", irf=GaussianIRF(0.2 * NS))
    assert (one.lifetimes.size, two.lifetimes.size) == (1, 2)
    assert one.table[1] < one.table[2]
    assert two.bic == two.table[2] < two.table[1]


def test_a_second_lifetime_that_is_not_there_is_not_claimed():
    rng = np.random.default_rng(13)
    for _ in range(5):
        fit = fit_decay(drawn(rng, 3000), 2, irf=GaussianIRF(0.2 * NS))
        low, high = fit.lifetimes_ci.T
        assert not fit.converged or np.any((low <= 4 * NS) & (high >= 4 * NS))


def test_a_background_that_is_known_is_held():
    rng = np.random.default_rng(14)
    fit = fit_decay(drawn(rng, 2000, background=0.5), background=4.0)
    assert (fit.background, fit.background_err) == (4.0, 0.0)
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    assert not fit.params["background"].vary


def test_background_rate_is_that_of_the_recording():
    fit = fit_decay(drawn(np.random.default_rng(15), 1e5, background=0.3, duration=200.0))
    assert abs(fit.background_rate - 150) < 4 * fit.background_rate_err
    assert math.isnan(fit_decay(drawn(np.random.default_rng(15), 1e4)).background_rate)


def test_without_background_its_error_is_honest_at_the_bound():
    rng = np.random.default_rng(16)
    fits = [fit_decay(drawn(rng, 2000), irf=GaussianIRF(0.2 * NS), errors="hessian") for _ in range(60)]
    at_bound = [f.background_err for f in fits if f.background < 1e-9]
    inside = [f.background_err for f in fits if f.background >= 1e-9]
    assert len(at_bound) >= 10
    assert len(inside) >= 10
    assert 0.5 < np.median(at_bound) / np.median(inside) < 2.0
    assert all(np.isfinite(f.lifetimes_err[0]) and f.converged for f in fits)


def test_a_decay_without_a_known_period_has_no_wrap():
    rng = np.random.default_rng(17)
    wrapped = drawn(rng, 1e5, period=100 * NS)
    fit = fit_decay(Decay(wrapped.counts, wrapped.bin_width), irf=GaussianIRF())
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    tail = fit_decay(Decay(wrapped.counts, wrapped.bin_width))
    assert abs(tail.lifetimes[0] - 4 * NS) < 4 * tail.lifetimes_err[0]


def test_bins_after_the_end_of_the_recording_are_no_data():
    curve = drawn(np.random.default_rng(18), 1e5, [30 * NS], background=0.1)
    cut = Decay(np.where(np.arange(250) < 200, curve.counts, 0), curve.bin_width, curve.period)
    fit = fit_decay(cut, irf=GaussianIRF(0.2 * NS))
    assert fit.fit_range[1] == pytest.approx(40 * NS)
    assert abs(fit.lifetimes[0] - 30 * NS) < 4 * fit.lifetimes_err[0]


def test_simulated_photons_give_their_lifetime():
    emitter = ps.simulate.Emitter(lifetime=20 * NS)
    photons, _ = ps.simulate.pulsed(emitter, duration=2.0, excitation=0.1, efficiency=0.05, background=500.0, seed=1)
    fit = fit_decay(decay(photons, 0))
    assert fit.lifetimes_ci[0, 0] < 20 * NS < fit.lifetimes_ci[0, 1]
    assert fit.p_value > 1e-3


@pytest.mark.parametrize("before_the_end", np.linspace(-0.5, 3.0, 29) * NS)
def test_a_pulse_near_the_end_of_the_period_is_fitted_as_any_other(before_the_end):
    rng = np.random.default_rng(24)
    curve = drawn(rng, 20000, period=50 * NS, centre=50 * NS - before_the_end, background=0.05)
    fit = fit_decay(curve)
    assert abs(fit.lifetimes[0] - 4 * NS) < 4.5 * fit.lifetimes_err[0]


@pytest.mark.parametrize("pulse", [0.0, 0.1, 0.2, 24.8, 24.9, 24.97, 12.0])
def test_a_measured_response_across_the_end_of_the_period_is_one_piece(pulse):
    rng = np.random.default_rng(25)
    settings = {"period": 25 * NS, "bin_width": 0.031 * NS, "sigma": 0.15 * NS}
    irf = response(rng, 2e5, centre=pulse * NS, **settings)
    fits = [fit_decay(drawn(rng, 30000, (2 * NS,), centre=8 * NS, **settings), irf=irf) for _ in range(12)]
    z = np.array([(f.lifetimes[0] - 2 * NS) / f.lifetimes_err[0] for f in fits])
    assert stats.chi2.sf(np.sum(z**2), z.size) > 1e-3
    assert min(f.p_value for f in fits) > 1e-4


@pytest.mark.parametrize("sliver", [0.001, 0.02, 0.17, 0.6])
@pytest.mark.parametrize("pulse", [-0.3, -0.1, 0.0, 0.1])
def test_a_last_bin_that_the_period_cuts_does_not_hide_the_rise(pulse, sliver):
    rng = np.random.default_rng(26)
    period = (390 + sliver) * 0.064 * NS
    settings = {"period": period, "bin_width": 0.064 * NS, "sigma": 0.15 * NS, "centre": period + pulse * NS}
    fits = [fit_decay(drawn(rng, 30000, (2 * NS,), background=0.05, **settings)) for _ in range(10)]
    z = np.array([(f.lifetimes[0] - 2 * NS) / f.lifetimes_err[0] for f in fits])
    assert stats.chi2.sf(np.sum(z**2), z.size) > 1e-4
    assert min(f.p_value for f in fits) > 1e-4


# Coverage


def covered(rng, n, kind="gaussian", photons=500, lifetimes=(4 * NS,), shares=(1.0,), **settings):
    inside, irf = [], irf_of(kind, rng, **{k: v for k, v in settings.items() if k in ("period", "bin_width")})
    for _ in range(n):
        fit = fit_decay(drawn(rng, photons, lifetimes, shares, **settings), len(lifetimes), irf=irf)
        inside.append((fit.lifetimes_ci[:, 0] <= lifetimes) & (np.array(lifetimes) <= fit.lifetimes_ci[:, 1]))
    return np.sum(inside, axis=0)


@pytest.mark.parametrize("kind", IRFS)
def test_intervals_cover_at_500_photons(kind):
    hits = covered(np.random.default_rng(19), 120, kind, background=0.1)
    assert stats.binomtest(int(hits[0]), 120, 0.95).pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", IRFS)
@pytest.mark.parametrize("photons", [300, 3000, 100000])
@pytest.mark.parametrize(("tau", "background"), [(2.5, 0.0), (2.5, 0.2), (12.0, 0.1), (30.0, 0.1)])
def test_intervals_cover(kind, photons, tau, background):
    rng = np.random.default_rng(20)
    hits = covered(rng, 300, kind, photons, (tau * NS,), background=background)
    assert stats.binomtest(int(hits[0]), 300, 0.95).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", IRFS)
def test_intervals_cover_two_lifetimes(kind):
    hits = covered(np.random.default_rng(21), 300, kind, 30000, (1.0 * NS, 6.0 * NS), (0.4, 0.6), background=0.05)
    for each in hits:
        assert stats.binomtest(int(each), 300, 0.95).pvalue > 1e-4


# Edges and messages


def test_five_photons_give_an_interval():
    fit = fit_decay(drawn(np.random.default_rng(3), 5), irf=GaussianIRF(0.2 * NS, 5 * NS), shift=0.0)
    assert fit.lifetimes_ci[0, 0] < 4 * NS < fit.lifetimes_ci[0, 1]


def test_light_in_a_single_bin_has_no_lifetime():
    counts = np.zeros(100, int)
    counts[30] = 1000
    fit = fit_decay(Decay(counts, 1 * NS, 100 * NS), irf=GaussianIRF(0.01 * NS))
    assert fit.lifetimes_ci[0, 0] == 0
    assert fit.lifetimes_ci[0, 1] < 1 * NS


def test_flat_light_has_no_lifetime():
    fit = fit_decay(Decay(np.random.default_rng(2).poisson(20, 200), 1 * NS, 200 * NS), irf=GaussianIRF(1 * NS))
    assert not fit.converged or np.isinf(fit.lifetimes_err[0]) or fit.lifetimes_ci[0, 1] > 5 * fit.lifetimes_ci[0, 0]


def test_an_irf_in_finer_bins_will_do_and_others_are_refused():
    rng = np.random.default_rng(22)
    curve = drawn(rng, 1e5, sigma=0.5 * NS)
    fit = fit_decay(curve, irf=response(rng, bin_width=0.05 * NS, sigma=0.5 * NS), shift=0.0)
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    with pytest.raises(ValueError, match="whole multiple of those of the IRF"):
        fit_decay(curve, irf=response(rng, bin_width=0.3 * NS))


def test_messages_of_fit_decay():
    curve = drawn(np.random.default_rng(1), 1000)
    with pytest.raises(ValueError, match="holds no photons"):
        fit_decay(Decay([0, 0, 0], 1 * NS))
    with pytest.raises(ValueError, match="fit_range must be two rising times"):
        fit_decay(curve, fit_range=(60 * NS, 70 * NS))
    with pytest.raises(ValueError, match="fit_range must be two rising times"):
        fit_decay(curve, fit_range=(6 * NS, 5 * NS))
    with pytest.raises(ValueError, match="a lifetime needs at least two"):
        fit_decay(curve, fit_range=(6 * NS, 6.1 * NS))
    with pytest.raises(ValueError, match='n_components must be 1 to 4 or "auto"'):
        fit_decay(curve, 5)
    with pytest.raises(ValueError, match="n_components"):
        fit_decay(curve, "two")
    with pytest.raises(ValueError, match="counts per bin >= 0"):
        fit_decay(curve, background=-1.0)
    with pytest.raises(ValueError, match='"profile" or "hessian"'):
        fit_decay(curve, errors="bootstrap")
    with pytest.raises(ValueError, match="positive time in seconds"):
        GaussianIRF(-1.0)
    with pytest.raises(TypeError, match="irf must be"):
        fit_decay(curve, irf=0.2)


def test_pile_up_is_warned_of():
    crowded = drawn(np.random.default_rng(1), 1e5, duration=1e5 * 50 * NS / 0.1)
    with pytest.warns(AnalysisWarning, match=r"detections per laser pulse: pile-up"):
        fit_decay(crowded)


def test_a_range_with_the_rise_is_warned_of_without_an_irf():
    with pytest.warns(AnalysisWarning, match="contains the rise"):
        fit_decay(drawn(np.random.default_rng(1), 1e4), fit_range=(0, 50 * NS))


def test_light_beyond_the_period_is_warned_of():
    with pytest.warns(AnalysisWarning, match="beyond the period"):
        fit_decay(Decay(np.tile(np.exp(-np.arange(50) / 5.0) * 1000 // 1, 2).astype(int), 1 * NS, 50 * NS))


def test_the_result_is_complete():
    fit = fit_decay(drawn(np.random.default_rng(1), 1e4, [1 * NS, 8 * NS], [0.5, 0.5]), 2)
    plain = fit.to_dict()
    assert plain["irf_kind"] == "none (tail fit)"
    assert plain["shift_err"] is None
    assert "lifetime" in fit.summary()
    params = fit.params
    assert params["lifetime_1"].value == pytest.approx(fit.lifetimes[0])
    assert params["lifetime_1"].stderr == pytest.approx(fit.lifetimes_err[0])
    inside = np.isfinite(fit.residuals)
    assert fit.dof == inside.sum() - 5
    assert fit.components[:, inside].sum(axis=0) + fit.background == pytest.approx(fit.model[inside])
    assert np.sum(fit.model[inside]) == pytest.approx(fit.n_photons, rel=1e-6)


# Real files


def test_real_dot_of_one_detector(shared_data):
    fit = fit_decay(decay(ps.read(shared_data / "blinking_trace3.pt3"), 1), "auto")
    assert fit.converged
    assert fit.lifetimes.size == 1
    assert fit.lifetimes[0] == pytest.approx(3.45 * NS, abs=0.15 * NS)
    assert fit.p_value > 1e-3


def test_real_source_of_two_detectors_agrees_with_itself(shared_data):
    photons = ps.read(shared_data / "hbt_pulsed_80MHz_t3.ptu")
    first, second = (fit_decay(decay(photons, d)) for d in (0, 1))
    assert first.converged
    assert second.converged
    assert first.lifetimes[0] == pytest.approx(second.lifetimes[0], rel=0.03)
    assert first.lifetimes[0] == pytest.approx(0.132 * NS, rel=0.05)


def test_real_decays_fit_with_a_response_estimated_from_their_rise(shared_data):
    dot = fit_decay(decay(ps.read(shared_data / "blinking_trace4.pt3"), 1), "auto", irf="estimate")
    assert dot.converged
    assert dot.p_value > 1e-3
    assert dot.lifetimes == pytest.approx([0.70 * NS, 2.59 * NS], rel=0.1)
    beads = ps.read(shared_data / "formats" / "beads_hh2_t3_image.ptu")
    fits = [fit_decay(decay(beads, d), "auto", irf="estimate") for d in (0, 1)]
    assert all(fit.converged and fit.p_value > 1e-3 for fit in fits)


def test_real_response_is_taken_without_its_background(shared_data):
    irf = ps.read_decay(shared_data / "formats" / "irf_picoharp.phu")
    rng = np.random.default_rng(1)
    known = np.where(np.arange(6000) < 1200, irf.counts[:6000], 0)  # a tail of a nanosecond belongs to it
    places = rng.choice(6000, 100000, p=known / known.sum()) + rng.random(100000)
    times = places * irf.bin_width + rng.exponential(1.5 * NS, 100000)
    counts = np.bincount((times / irf.bin_width).astype(int), minlength=6000)[:6000]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_decay(Decay(counts, irf.bin_width), irf=irf)
    assert abs(fit.lifetimes[0] - 1.5 * NS) < 4 * fit.lifetimes_err[0]
