"""Lifetime against intensity: shapes of three mechanisms, errors that hold over blinking, decays, drawing, messages."""

import json
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

import photonstats as ps
from photonstats.cli.commands import app
from photonstats.kernels.flid import rank_correlations
from photonstats.simulate import Emitter, Exponential, auger_blinking, flickering, hot_carrier_blinking, pulsed
from photonstats.switching.flid_grid import contour_levels
from photonstats.switching.flid_statistics import (
    Bins,
    blocks_for,
    coefficient,
    memory_of,
    rank_correlation,
    signal_powers,
)
from photonstats.switching.lifetime_bias import lifetime_bias
from photonstats.switching.nanotime_sums import bin_sums

DOT = Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu"
PERIOD, RATE, LIFETIME, BACKGROUND = 100e-9, 30e3, 20e-9, 100.0
IRF = ps.GaussianIRF(sigma=0.2e-9, center=8e-9)
MECHANISMS = {
    "auger": auger_blinking(Exponential(0.05), Exponential(0.04), lifetime=LIFETIME, auger_lifetime=2.5e-9),
    "hot_carrier": hot_carrier_blinking(Exponential(0.05), Exponential(0.04), capture=0.15),
    "flickering": flickering(lifetime=LIFETIME, step_time=2e-3),
}


def dot(blinking, seconds=20.0, seed=1, rate=RATE, background=BACKGROUND):
    return pulsed(
        Emitter(lifetime=LIFETIME, blinking=blinking), duration=seconds, laser_period=PERIOD, rate=rate, t0=8e-9,
        irf_sigma=0.2e-9, background=background, excitation=0.02, seed=seed,
    )[0]  # fmt: skip


@lru_cache
def found(name):
    photons = dot(MECHANISMS[name])
    return photons, ps.flid(photons, background=BACKGROUND, irf=IRF, shift=0.0)


def telegraph(rng, n, rates, lifetimes, dwell, background=1.0, width=1e-2):
    """Return bins of light that switches within them too, with the means of delays as lifetimes."""
    state = (np.cumsum(rng.random(10 * n) < width / 10 / dwell) + rng.integers(0, 2)) % 2
    signal = rng.poisson(np.array(rates)[state] * width / 10)
    delays = rng.gamma(np.maximum(signal, 1e-9), np.array(lifetimes)[state]) * (signal > 0)
    signal, delays = signal.reshape(n, 10).sum(axis=1), delays.reshape(n, 10).sum(axis=1)
    counts = signal + rng.poisson(background, n)
    lit = signal > 3
    middles = ((np.arange(n) + 0.5) * width)[lit]
    each = np.full(lit.sum(), 1.0)
    return Bins(
        counts[lit].astype(float), background * each, width * each, (delays / np.maximum(signal, 1))[lit], middles, 0.0,
        n * width,
    )  # fmt: skip


def test_auger_blinking_is_concave():
    _, flid = found("auger")
    assert flid.curvature_ci[1] < 0
    assert flid.curvature < -10 * flid.curvature_err
    assert flid.slope_ci[0] > 0
    assert flid.rank_correlation_ci[0] > 0.5
    # bins between the levels lie above the straight line that joins them
    between = (flid.intensity > 12e3) & (flid.intensity < 24e3)
    line = 2e-9 + (LIFETIME - 2e-9) * (flid.intensity - 0.2 * RATE) / (0.8 * RATE)
    assert stats.ttest_1samp((flid.lifetime - line)[between], 0.0, alternative="greater").pvalue < 1e-6


def test_hot_carrier_blinking_keeps_its_lifetime():
    _, flid = found("hot_carrier")
    assert abs(flid.slope) < 3.5 * flid.slope_err
    assert abs(flid.curvature) < 3.5 * flid.curvature_err
    assert abs(flid.slope) * RATE < 0.05 * LIFETIME
    assert abs(flid.rank_correlation) < 0.1
    assert flid.intensity.min() < 0.3 * flid.intensity.max()


def test_flickering_is_a_line_through_the_origin():
    _, flid = found("flickering")
    assert abs(flid.slope - LIFETIME / RATE) < 3.5 * flid.slope_err
    assert abs(flid.curvature) < 3.5 * flid.curvature_err
    assert flid.rank_correlation_ci[0] > 0.9
    ratio = flid.lifetime / flid.intensity
    assert np.median(ratio) == pytest.approx(LIFETIME / RATE, rel=0.02)


def test_bins_are_those_of_fit_segments_and_their_time_is_all_there():
    photons, flid = found("auger")
    edges = np.arange(2001) * 1e-2
    fitted = ps.fit_segments(photons, edges, IRF, BACKGROUND, shift=0.0)
    assert np.array_equal(flid.counts, fitted.counts)
    assert np.allclose(flid.lifetime, fitted.lifetimes, equal_nan=True)
    assert np.allclose(flid.intensity, fitted.rates - 2 * BACKGROUND)
    assert flid.histogram.sum() + flid.dark_time + flid.outside_time == pytest.approx(20.0)
    assert flid.intensity_marginal.sum() == pytest.approx(flid.lifetime_marginal.sum())
    assert flid.histogram.shape == (flid.intensity_edges.size - 1, flid.lifetime_edges.size - 1)
    same = ps.flid(photons, segments=edges, background=BACKGROUND, irf=IRF, shift=0.0)
    assert same.rank_correlation == flid.rank_correlation


def test_pieces_give_what_the_stream_gives_however_they_are_cut():
    photons = dot(MECHANISMS["auger"], 3.004)
    whole = ps.flid(photons, background=BACKGROUND, irf=IRF)

    def pieces(cuts):
        ends, start = [0, *cuts, len(photons)], photons.start
        for a, b in pairwise(ends):
            end = photons.duration if b == len(photons) else photons.timestamps[b] * photons.timestamps_unit
            yield photons[a:b]._with(slice(None), start=start, duration=end - start)
            start = end

    for cuts in ([1], [10, 11, 500, 20000], list(range(100, len(photons), 997))):
        cut = ps.flid(pieces(cuts), background=BACKGROUND, irf=IRF)
        assert np.array_equal(cut.edges, whole.edges)
        assert np.array_equal(cut.counts, whole.counts)
        assert np.array_equal(cut.lifetime, whole.lifetime, equal_nan=True)
        with pytest.raises(ValueError, match="pieces of a scan passed by once"):
            cut.decay_of(0.0, 1e4)


def test_decay_of_holds_the_photons_of_the_bins():
    _, flid = found("auger")
    everything = flid.decay_of()
    assert everything.n_photons == flid.counts.sum()
    assert everything.duration == pytest.approx(20.0)
    dim, bright = flid.decay_of(high=8e3), flid.decay_of(24e3)
    assert dim.n_photons == flid.counts[flid.intensity < 8e3].sum()
    assert ps.fit_decay(bright, 1, irf=IRF).lifetimes[0] == pytest.approx(LIFETIME, rel=0.03)
    one = flid.decay_of(24e3, detectors=0)
    assert one.n_photons < bright.n_photons
    short = flid.decay_of(0.0, 5e-9, by="lifetime")
    assert short.n_photons == flid.counts[(flid.lifetime >= 0) & (flid.lifetime < 5e-9)].sum()
    with pytest.raises(ValueError, match="no bin has an intensity from 1e\\+06 to"):
        flid.decay_of(1e6)
    with pytest.raises(ValueError, match="limits need low < high"):
        flid.decay_of(2.0, 1.0)
    with pytest.raises(ValueError, match='by must be "intensity" or "lifetime"'):
        flid.decay_of(by="rate")


def test_dark_bins_have_no_lifetime_but_their_time():
    photons = dot(hot_carrier_blinking(Exponential(0.2), Exponential(0.2), capture=0.0), 10.0)
    flid = ps.flid(photons, background=BACKGROUND, irf=IRF)
    assert 3.0 < flid.dark_time < 7.0
    assert "not told from background" in flid.summary()
    assert flid.histogram.sum() == pytest.approx(10.0 - flid.dark_time - flid.outside_time)
    dark = np.isnan(flid.lifetime)
    assert stats.ttest_1samp(flid.intensity[dark], 0.0).pvalue > 1e-4 or abs(flid.intensity[dark].mean()) < 30
    assert flid.decay_of(high=300.0).n_photons > 0
    with pytest.raises(ValueError, match="no bin has a lifetime"):
        flid.decay_of(-1.0, 0.0, by="lifetime")


@pytest.mark.parametrize("lifetimes", [(20e-9, 3e-9), (20e-9, 20e-9)])
def test_intervals_hold_over_blinking(lifetimes):
    rng = np.random.default_rng(4)
    law = {"rates": (20e3, 3e3), "lifetimes": lifetimes, "dwell": 0.2, "background": 0.0}
    long = telegraph(rng, 150_000, **law)
    truth = [rank_correlation(long, 20, rng), *(coefficient(long, d, 20, 10.0, rng) for d in (1, 2))]
    n, inside = 100, np.zeros(3)
    for _ in range(n):
        bins = telegraph(rng, 1500, **law)
        some = [rank_correlation(bins, 20, rng), *(coefficient(bins, d, 20, 10.0, rng) for d in (1, 2))]
        inside += [a.interval[0] <= b.value <= a.interval[1] for a, b in zip(some, truth, strict=True)]
    assert np.all(stats.binom.cdf(inside, n, 0.95) > 1e-3)


def test_shot_noise_does_not_attenuate_the_slope():
    rng = np.random.default_rng(5)
    n = 20_000
    share = rng.uniform(0.3, 1.0, n)
    counts = rng.poisson(30 * share) + 0.0
    lifetimes = rng.gamma(np.maximum(counts, 1), LIFETIME * share) / np.maximum(counts, 1)
    lit = counts > 0
    bins = Bins(counts[lit], np.zeros(lit.sum()), np.full(lit.sum(), 1e-2), lifetimes[lit],
                ((np.arange(n) + 0.5) * 1e-2)[lit], 0.0, n * 1e-2)  # fmt: skip
    slope = coefficient(bins, 1, 20, 10.0, rng)
    assert slope.interval[0] < LIFETIME / 3e3 < slope.interval[1]
    plain = np.cov(counts[lit], lifetimes[lit], aweights=counts[lit])
    assert plain[0, 1] / plain[0, 0] * 1e-2 < LIFETIME / 3e3 - 10 * slope.error


@pytest.mark.parametrize("expected", [0.0, 2.5])
def test_powers_of_the_signal_are_unbiased(expected):
    counts = np.arange(200.0)
    chance = stats.poisson.pmf(counts, 7.0 + expected)
    powers = signal_powers(counts, np.full(200, expected), 5)
    assert np.allclose(powers @ chance, 7.0 ** np.arange(6))


@pytest.mark.parametrize(("share", "background"), [(0.05, 0.5), (0.2, 0.1), (0.4, 0.0)])
def test_bias_is_that_of_simulated_bins(share, background):
    rng = np.random.default_rng(6)
    k, photons = 4000, 60
    tau, flat = share * PERIOD, background * photons
    signal, dark = rng.poisson(photons, k), rng.poisson(flat, k)
    bins = np.concatenate([np.repeat(np.arange(k), signal), np.repeat(np.arange(k), dark)])
    delays = np.concatenate([rng.exponential(tau, signal.sum()), rng.uniform(0, PERIOD, dark.sum())])
    order = np.argsort(bins, kind="stable")
    times = (8e-9 + delays + rng.normal(0, 2e-10, bins.size)) % PERIOD
    stream = ps.PhotonStream(
        bins[order] * 100, np.zeros(bins.size, int), (times[order] / 64e-12).astype(int),
        timestamps_unit=PERIOD, tcspc_unit=64e-12, duration=k * 1e-5,
    )  # fmt: skip
    fitted = ps.fit_segments(stream, 1e-5, IRF, flat / 1e-5, shift=0.0)
    counts = fitted.counts - flat
    bias, covariance = lifetime_bias(fitted.lifetimes, counts, np.full(k, flat), PERIOD)
    raw = counts * (fitted.lifetimes - tau)
    assert stats.ttest_1samp(raw, 0.0).pvalue < 1e-4
    assert stats.ttest_1samp(raw - counts * bias - covariance, 0.0).pvalue > 1e-3


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 3)), min_size=3, max_size=40))
def test_rank_correlation_is_that_of_copies(rows):
    x, y, times = (np.array(column) for column in zip(*rows, strict=True))
    groups = [np.unique(a, return_inverse=True)[1].astype(np.int64) for a in (x, y)]
    out = np.empty(1)
    rank_correlations(*groups, np.ones(x.size), np.arange(x.size), times[None].astype(np.uint32), out)
    a, b = np.repeat(x, times), np.repeat(y, times)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(out[0])
    else:
        assert out[0] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)


@pytest.mark.parametrize("which", [None, 0, (0, 1)])
def test_sums_of_nanotimes_are_those_of_a_loop(which):
    photons = dot(None, 0.05)
    edges = np.array([0.003, 0.01, 0.0100001, 0.05])
    counts, sums = bin_sums(photons, edges, detectors=which)
    kept = photons if which is None else photons.select(detectors=which)
    times = kept.timestamps * kept.timestamps_unit
    for k in range(3):
        mine = (times >= edges[k] - 1e-12) & (times < edges[k + 1] - 1e-12)
        assert counts[k] == mine.sum()
        assert sums[k] == kept.nanotimes[mine].astype(int).sum()


def test_memory_is_found_and_too_short_recordings_are_named():
    rng = np.random.default_rng(8)
    edges = np.arange(6001) * 1e-2
    state = np.cumsum(rng.random(6000) < 1e-2 / 0.4) % 2
    memory = memory_of(rng.poisson(30 + 200 * state) / 1e-2, edges)
    assert 0.1 < memory < 0.4  # two dwells of 0.4 s each decay as 0.2 s
    assert memory_of(rng.poisson(100.0, 6000) / 1e-2, edges) == 0.0
    assert (blocks_for(60.0, 0.0), blocks_for(60.0, 1.0), blocks_for(60.0, 9.0)) == (20, 15, 8)
    slow = dot(hot_carrier_blinking(Exponential(4.0), Exponential(4.0)), 20.0, seed=3)
    flid = ps.flid(slow, irf=IRF)
    assert "too long for 8 blocks" in flid.notes["blocks"]
    assert "too long for 8 blocks" in flid.summary()


def test_a_steady_dot_has_no_slope():
    flid = ps.flid(dot(None, 10.0), background=BACKGROUND, irf=IRF)
    assert np.isnan(flid.slope)
    assert np.isnan(flid.slope_ci).all()
    assert "does not vary enough beyond shot noise" in flid.notes["slope"]
    assert abs(flid.rank_correlation) < 4 * flid.rank_correlation_err
    plain = flid.to_dict()
    assert plain["slope"] is None
    assert json.loads(json.dumps(plain, allow_nan=False))["notes"]["slope"]


def test_few_bins_and_few_photons_give_reasons():
    flid = ps.flid(dot(MECHANISMS["auger"], 0.1), irf=IRF)
    assert "10 of the bins have a lifetime, at least 16" in flid.notes["rank_correlation"]
    assert np.isnan(flid.rank_correlation)
    faint = ps.flid(dot(MECHANISMS["auger"], 10.0, rate=150.0), background=BACKGROUND, irf=IRF, shift=0.0)
    assert faint.dark_time > 5.0
    assert "slope" in faint.notes
    faint.plot()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin_width": 0.0}, "bin_width must be a positive time"),
        ({"bin_width": 100.0}, "longer than the recording"),
        ({"segments": [0.0, 50.0]}, "reach beyond the recording"),
        ({"n_blocks": 3}, "at least 8 blocks"),
        ({"intensity_edges": [2.0, 1.0]}, "intensity_edges must be at least two rising"),
        ({"background": {0: 1.0}}, "no rate for detector 1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ps.flid(dot(None, 0.1), **change)


def test_density_is_one_and_contours_hold_their_share():
    _, flid = found("hot_carrier")
    x, y, density = flid.density()
    cell = (x[1] - x[0]) * (y[1] - y[0])
    assert density.sum() * cell == pytest.approx(1.0, abs=0.01)
    low, high = contour_levels(density, (0.5, 0.9))
    assert density[density >= high].sum() * cell == pytest.approx(0.5, abs=0.01)
    assert density[density >= low].sum() * cell == pytest.approx(0.9, abs=0.01)
    with pytest.raises(ValueError, match="two positive numbers"):
        flid.density((0.0, 1e-9))


def test_drawing_shows_the_histogram_and_the_levels():
    import matplotlib.pyplot as plt

    _, flid = found("auger")
    levels = SimpleNamespace(
        rates=[30.2e3, 6.2e3], lifetimes=[20e-9, 2e-9], occupancy=[0.55, 0.45],
        rates_ci=[(30e3, 30.4e3), (6.1e3, 6.3e3)], lifetimes_ci=[(19.9e-9, 20.1e-9), (np.nan, np.nan)],
    )  # fmt: skip
    ax = flid.plot(levels=levels)
    assert len(ax.figure.axes) == 5  # plane, marginals, the empty corner, colours
    assert ax.collections[0].get_array().sum() == pytest.approx(flid.histogram.sum())
    assert ax.get_xlabel() == "lifetime (ns)"
    assert ax.get_ylabel() == "intensity (kcps)"
    (ellipse,) = ax.patches
    assert ellipse.center == pytest.approx((20.0, 30.0))
    assert [t.get_text() for t in ax.texts] == ["55%"]
    own = plt.figure().subplots()
    assert flid.plot(own) is own
    plt.close("all")


def test_the_command_writes_json_csv_and_png(tmp_path):
    for ending in ("json", "csv", "png"):
        done = CliRunner().invoke(
            app, ["flid", str(DOT), "--irf", "gaussian", "--background", "50", "-o", str(tmp_path / f"flid.{ending}")]
        )
        assert done.exit_code == 0, done.output
        assert "rank correlation" in done.output
    assert json.loads((tmp_path / "flid.json").read_text())["counts"]
    assert (tmp_path / "flid.csv").read_text().startswith("start_s,weight_s,counts,intensity_hz,lifetime_s")
    done = CliRunner().invoke(app, ["flid", str(DOT), "--bin-width", "0.05", "--json"])
    assert json.loads(done.stdout)["rank_correlation"] is not None or json.loads(done.stdout)["notes"]
    done = CliRunner().invoke(app, ["flid", str(DOT), "--bin-width", "1e9"])
    assert done.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", MECHANISMS)
def test_intervals_hold_from_photons_on(name):
    common = {"background": BACKGROUND, "irf": IRF, "shift": 0.0}
    long = ps.flid(dot(MECHANISMS[name], 600.0, seed=99), **common)
    n, inside = 60, np.zeros(3)
    for seed in range(n):
        flid = ps.flid(dot(MECHANISMS[name], 20.0, seed=seed), **common)
        for k, number in enumerate(("rank_correlation", "slope", "curvature")):
            low, high = getattr(flid, f"{number}_ci")
            inside[k] += low <= getattr(long, number) <= high
    assert np.all(stats.binom.cdf(inside, n, 0.95) > 1e-3)
