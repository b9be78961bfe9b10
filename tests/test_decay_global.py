"""Decays fitted together: shared lifetimes, own shares, delays of detectors."""

import numpy as np
import pytest

from photonstats import Decay, GaussianIRF, fit_decay, fit_decays
from test_decay_models import BINS, CENTRE, IRF, NS, PERIOD, SIGMA, drawn, histogram

TAUS = np.array([2.5, 15.0]) * NS


def levels(rng, photons=(20_000, 10_000, 5000), shares=((0.2, 0.8), (0.5, 0.5), (0.9, 0.1))):
    return [drawn(rng, n, TAUS, s, 0.05) for n, s in zip(photons, shares, strict=True)]


def test_levels_share_lifetimes_and_keep_their_shares():
    curves = levels(np.random.default_rng(1))
    fit = fit_decays(curves, 2, irf=IRF, shared=("lifetimes", "shift"))
    assert np.all(np.abs(fit.lifetimes - TAUS) < 4 * fit.lifetimes_err)
    assert np.all(np.abs(fit.fractions[:, 0] - [0.2, 0.5, 0.9]) < 4 * fit.fractions_err[:, 0])
    assert fit.bic < fit.separate_bic
    alone = fit_decay(curves[0], 2, irf=IRF)
    assert np.all(fit.lifetimes_err < alone.lifetimes_err)
    assert "share" in fit.summary()
    fit.plot().figure.canvas.draw()


def test_one_decay_alone_is_fit_decay():
    curve = levels(np.random.default_rng(2))[0]
    fit, alone = fit_decays([curve], 2, irf=IRF), fit_decay(curve, 2, irf=IRF)
    assert fit.lifetimes == pytest.approx(alone.lifetimes, rel=1e-4)
    assert fit.fits[0].fractions_err == pytest.approx(alone.fractions_err, rel=1e-3)
    assert fit.deviance == pytest.approx(alone.deviance, abs=1e-3)


def test_detectors_of_different_delays_are_not_summed_blindly():
    rng = np.random.default_rng(3)
    delays, photons = (0.0, 0.9 * NS), (30_000, 25_000)
    times = [rng.exponential(4 * NS, n) + rng.normal(CENTRE + d, SIGMA, n)
             for n, d in zip(photons, delays, strict=True)]  # fmt: skip
    fit = fit_decays([histogram(t) for t in times], irf=IRF)
    summed = fit_decay(histogram(np.concatenate(times)), irf=IRF)
    assert abs(fit.lifetimes[0] - 4 * NS) < 4 * fit.lifetimes_err[0]
    assert fit.fits[1].shift - fit.fits[0].shift == pytest.approx(0.9 * NS, abs=0.02 * NS)
    assert summed.p_value < 1e-6 < fit.p_value


def test_lifetimes_that_are_not_shared_show_in_bic():
    rng = np.random.default_rng(4)
    curves = [drawn(rng, 20_000, [t * NS], [1.0]) for t in (4.0, 6.0)]
    fit = fit_decays(curves, 1, irf=IRF)
    assert fit.bic > fit.separate_bic
    assert fit.p_value < 1e-3


def test_auto_and_limits():
    curves = levels(np.random.default_rng(5))
    assert fit_decays({"on": curves[0], "grey": curves[1]}, "auto", irf=IRF).lifetimes.size == 2
    held = fit_decays(curves, 2, irf=IRF, params={"lifetime_1": 2.5 * NS, "curve2_background": 5.0})
    assert held.lifetimes[0] == pytest.approx(2.5 * NS)
    assert held.fits[1].background == 5.0
    assert held.fits[0].background_err > 0
    with pytest.raises(ValueError, match="there is no curve9_background"):
        fit_decays(curves, 2, irf=IRF, params={"curve9_background": 5.0})


def test_a_level_without_one_of_the_lifetimes():
    fit = fit_decays(levels(np.random.default_rng(6), shares=((0.3, 0.7), (0.5, 0.5), (1.0, 0.0))), 2, irf=IRF)
    assert np.all(np.abs(fit.lifetimes - TAUS) < 4 * fit.lifetimes_err)
    low, high = fit.fits[2].fractions_ci[1]
    assert low < 0.02
    assert high < 0.2


def test_messages():
    curve = levels(np.random.default_rng(7))[0]
    with pytest.raises(ValueError, match="no decay to fit"):
        fit_decays([])
    with pytest.raises(ValueError, match="bins of equal width"):
        fit_decays([curve, Decay(curve.counts, 2 * curve.bin_width, PERIOD)], irf=IRF)
    with pytest.raises(ValueError, match='must hold "lifetimes"'):
        fit_decays([curve, curve], irf=IRF, shared=("shift",))
    with pytest.raises(ValueError, match="one entry for each"):
        fit_decays([curve, curve], irf=[IRF])
    with pytest.raises(ValueError, match="all be measured, all Gaussian"):
        fit_decays([curve, curve], irf=[IRF, None])
    with pytest.raises(ValueError, match="no expressions"):
        fit_decays([curve, curve], irf=IRF, params={"lifetime_1": {"expr": "1e-9"}})


@pytest.mark.slow
def test_intervals_of_shared_lifetimes_cover():
    rng = np.random.default_rng(8)
    inside, shares = [], []
    for _ in range(150):
        fit = fit_decays(levels(rng, (4000, 3000, 3000), ((0.2, 0.8), (0.5, 0.5), (0.8, 0.2))), 2,
                         irf=GaussianIRF(SIGMA), shared=("lifetimes", "shift"))  # fmt: skip
        inside.append((fit.lifetimes_ci[:, 0] <= TAUS) & (fit.lifetimes_ci[:, 1] >= TAUS))
        for each, share in zip(fit.fits, (0.2, 0.5, 0.8), strict=True):
            shares.append(each.fractions_ci[0, 0] <= share <= each.fractions_ci[0, 1])
    # 150 sets leave two standard errors of 0.036 to a coverage of 0.95
    assert np.mean(inside, axis=0) == pytest.approx(0.95, abs=0.05)
    assert np.mean(shares) == pytest.approx(0.95, abs=0.04)
    assert BINS == 512


def test_an_empty_decay_is_named():
    curve = levels(np.random.default_rng(6))[0]
    empty = Decay(np.zeros(BINS, int), curve.bin_width, curve.period)
    with pytest.raises(ValueError, match=r"^grey: the decay holds no photons"):
        fit_decays({"on": curve, "grey": empty}, irf=IRF)
    with pytest.raises(ValueError, match=r"^decay 2: the decay holds no photons"):
        fit_decays([curve, empty], irf=IRF)
