"""The simulator: laws, paths, faults of detectors, clocks, recipes and messages."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import photonstats as ps
from photonstats.kernels.detection import detect
from photonstats.simulate import (
    Blinking,
    Emitter,
    Exponential,
    Fixed,
    Level,
    PowerLaw,
    TruncatedPowerLaw,
    draw_path,
)

P_LEAST = 1e-3

LAWS = [
    (Exponential(0.3), lambda t: np.exp(-t / 0.3), 0.0, 20.0),
    (PowerLaw(1.5, 1e-3, 10.0), lambda t: t**-1.5, 1e-3, 10.0),
    (PowerLaw(1.0, 1e-2, 10.0), lambda t: 1 / t, 1e-2, 10.0),
    (PowerLaw(0.7, 1e-2, 10.0), lambda t: t**-0.7, 1e-2, 10.0),
    (PowerLaw(3.5, 1e-2), lambda t: t**-3.5, 1e-2, 1e3),
    (TruncatedPowerLaw(1.5, 5.0, 1e-2), lambda t: t**-1.5 * np.exp(-t / 5), 1e-2, 200.0),
    (TruncatedPowerLaw(0.6, 2.0, 1e-2), lambda t: t**-0.6 * np.exp(-t / 2), 1e-2, 80.0),
    (TruncatedPowerLaw(0.6, 0.1, 0.8), lambda t: t**-0.6 * np.exp(-t / 0.1), 0.8, 10.0),
    (TruncatedPowerLaw(1.0, 1.0, 1e-3), lambda t: t**-1.0 * np.exp(-t), 1e-3, 40.0),
    (TruncatedPowerLaw(2.5, 0.5, 0.05), lambda t: t**-2.5 * np.exp(-t / 0.5), 0.05, 25.0),
    (TruncatedPowerLaw(1.2, 1.0, 1e-3, 2.0), lambda t: t**-1.2 * np.exp(-t), 1e-3, 2.0),
]


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("timestamps", "detectors", "nanotimes")
    )


def checked(photons):
    """Build the stream anew, with all checks of its constructor."""
    return ps.PhotonStream(**{f.name: getattr(photons, f.name) for f in fields(photons)})


@pytest.mark.parametrize(("law", "density", "low", "high"), LAWS)
def test_dwells_follow_their_law(law, density, low, high):
    dwells = law.sample(200_000, np.random.default_rng(1))
    assert dwells.min() >= low
    assert dwells.max() <= high
    grid = np.geomspace(max(low, 1e-7), high, 20_001)
    cumulated = integrate.cumulative_simpson(density(grid) * grid, x=np.log(grid), initial=0)
    whole = cumulated[-1]
    assert stats.kstest(dwells, lambda t: np.interp(t, grid, cumulated / whole)).pvalue > P_LEAST
    np.testing.assert_allclose(law.survival(grid[::500]), 1 - cumulated[::500] / whole, atol=1e-5)
    mean = integrate.simpson(density(grid) * grid**2, x=np.log(grid)) / whole
    assert law.mean_time == pytest.approx(mean, rel=1e-3)


def test_mean_of_a_heavy_tail_is_infinite():
    assert PowerLaw(1.5).mean_time == np.inf
    assert np.isnan(Blinking([Level(), Level(0)], PowerLaw(1.5)).occupancy()).all()
    path = draw_path(Blinking([Level(), Level(0)], PowerLaw(1.5)), 10.0, np.random.default_rng(2))
    assert path.edges[-1] == 10.0


def test_path_follows_laws_and_transitions():
    matrix = [[0, 0.8, 0.2], [0.5, 0, 0.5], [1, 0, 0]]
    laws = [Exponential(0.01), Exponential(0.02), Fixed(0.005)]
    blinking = Blinking([Level(), Level(0.5), Level(0)], laws, matrix)
    path = draw_path(blinking, 200.0, np.random.default_rng(3))
    assert path.edges[0] == 0.0
    assert path.edges[-1] == 200.0
    assert path.edges.size == path.levels.size + 1
    assert np.all(np.diff(path.edges) > 0)
    for i, row in enumerate(matrix):
        following = path.levels[1:][path.levels[:-1] == i]
        found = np.bincount(following, minlength=3)
        assert found[np.array(row) == 0].sum() == 0
        used = np.array(row) > 0
        if used.sum() > 1:
            assert stats.chisquare(found[used], np.array(row)[used] * following.size).pvalue > P_LEAST
    for level in (0, 1):
        dwells = path.dwell_times(level)
        assert stats.kstest(dwells, stats.expon(scale=laws[level].mean).cdf).pvalue > P_LEAST
    np.testing.assert_allclose(path.occupancy(3), blinking.occupancy(), atol=0.02)
    middles = 0.5 * (path.edges[1:] + path.edges[:-1])
    np.testing.assert_array_equal(path.level_at(middles), path.levels)


def test_first_level_is_drawn_by_occupancy_or_given():
    levels = [Level(), Level(0)]
    blinking = Blinking(levels, [Exponential(3.0), Exponential(1.0)])
    rng = np.random.default_rng(4)
    first = sum(int(draw_path(blinking, 1e-3, rng).levels[0]) for _ in range(400))
    assert stats.binomtest(first, 400, 0.25).pvalue > P_LEAST
    assert draw_path(Blinking(levels, Fixed(1.0), start=1), 3.5, rng).levels.tolist() == [1, 0, 1, 0]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60), max_size=25),
    st.integers(0, 6),
    st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=60, max_size=60),
)
def test_detector_kernel_is_ten_lines(ticks, dead, delays):
    times = np.sort(np.array(ticks, np.float64))
    dead_time = dead * 1.0
    echoes = np.array([np.inf if d is None else dead_time + d + 0.5 for d in delays])
    waiting, expected, last = [(t, i) for i, t in enumerate(times.tolist())], [], -np.inf
    while waiting and len(expected) < 60:
        # a photon goes before an afterpulse of the same time
        waiting.sort(key=lambda event: (event[0], event[1] < 0, event[1]))
        time, source = waiting.pop(0)
        if time - last >= dead_time:
            if echoes[len(expected)] < np.inf:
                waiting.append((time + echoes[len(expected)], -1))
            expected.append((time, source))
            last = time
    recorded, source = np.empty(60), np.empty(60, np.int64)
    made = detect(times, dead_time, echoes, recorded, source)
    if made == -1:
        assert len(expected) == 60
    else:
        assert list(zip(recorded[:made].tolist(), source[:made].tolist(), strict=True)) == expected


@pytest.mark.parametrize("laser_period", [None, 100e-9])
def test_dead_time_is_not_paralysable(laser_period):
    rate, dead, seconds = 2e6, 400e-9, 0.5
    photons, truth = ps.simulate.poisson([rate, rate / 2], seconds, dead_time=dead, laser_period=laser_period, seed=5)
    tick = photons.tcspc_unit or photons.timestamps_unit
    for d, incoming in ((0, rate), (1, rate / 2)):
        times = photons.select(detectors=d).arrival_times
        assert np.diff(times).min() > dead - 2 * tick
        mean, n = incoming / (1 + incoming * dead), times.size
        # a renewal process of Exp(1/rate) + dead has this variance of counts
        error = np.sqrt(mean * seconds) / (1 + incoming * dead)
        assert abs(n - mean * seconds) < 4 * error
    assert truth.n_lost == pytest.approx(1.5 * rate * seconds - len(photons), rel=0.02)


def test_afterpulses_have_their_share_and_delay():
    photons, truth = ps.simulate.poisson(
        [2e4, 2e4], 10.0, afterpulsing={0: 0.1}, dead_time=50e-9, afterpulse_time=200e-9, seed=6
    )
    n = photons.counts_per_detector
    assert stats.binomtest(truth.n_afterpulses, n[0], 0.1).pvalue > P_LEAST
    assert np.all(photons.detectors[truth.origin == -3] == 0)
    first = photons.select(detectors=0)
    echo = truth.origin[photons.detectors == 0] == -3
    waits = np.diff(first.arrival_times, prepend=np.nan)[echo]
    near = waits[waits < 2e-6] - 50e-9
    assert near.size > 0.9 * echo.sum()
    law = stats.truncexpon(b=1.95e-6 / 200e-9, scale=200e-9)
    assert stats.kstest(near, law.cdf).pvalue > P_LEAST


@pytest.mark.parametrize("delay", [3.3e-9, -3.3e-9, 250e-9, -250e-9, 100e-9])
def test_delay_moves_one_detector_and_renumbers_pulses(delay):
    def simulate(late):
        return ps.simulate.pulsed(
            Emitter(5e-9), duration=0.05, laser_period=100e-9, rate=5e5, t0=10e-9, delay=late, tcspc_unit=25e-12, seed=7
        )[0]

    plain, moved = simulate(0.0), simulate(delay)
    edge = 1e-6
    for d, shift in ((0, 0.0), (1, delay)):
        before, after = (p.select(detectors=d).arrival_times for p in (plain, moved))
        before = before[(before > edge) & (before < 0.05 - edge)] + shift
        kept = after[np.searchsorted(after, before[0] - 1e-10) :][: before.size]
        np.testing.assert_allclose(kept, before, atol=1.01 * 25e-12)
    assert moved.nanotimes.max() < 4000
    assert len(checked(moved)) == len(moved)


def test_delay_of_each_detector_by_name():
    both, _ = ps.simulate.continuous(
        Emitter(), duration=0.01, rate=1e5, delay={0: 2e-9, 1: 5e-9}, background=100.0, seed=8
    )
    one, _ = ps.simulate.continuous(Emitter(), duration=0.01, rate=1e5, delay=3e-9, background=100.0, seed=8)
    shift = both.select(detectors=1).timestamps[5:50] - one.select(detectors=1).timestamps[5:50]
    np.testing.assert_allclose(shift, 2000, atol=1)


def test_light_that_outlives_the_period_comes_with_a_later_pulse():
    period, lifetime = 50e-9, 80e-9
    photons, truth = ps.simulate.pulsed(
        Emitter(lifetime), duration=2.0, laser_period=period, rate=1e5, tcspc_unit=50e-12, seed=9
    )
    assert photons.nanotimes.max() < 1000
    assert len(photons) == pytest.approx(2e5, abs=4 * np.sqrt(2e5))
    edges = np.arange(1001) * 50e-12
    expected = -np.diff(np.exp(-edges / lifetime)) / (1 - np.exp(-period / lifetime)) * len(photons)
    assert stats.chisquare(np.bincount(photons.nanotimes, minlength=1000), expected).pvalue > P_LEAST
    assert truth.lifetimes == pytest.approx([lifetime])


def test_window_is_full_from_the_first_to_the_last_moment():
    n = np.zeros(4)
    for seed in range(150):
        photons, _ = ps.simulate.pulsed(
            Emitter(3e-6), duration=20e-6, laser_period=1e-6, rate=9e5, background=5e5, delay=-4e-6, dead_time=1e-12,
            t0=2e-7, tcspc_unit=100e-12, excitation=3.0, seed=seed,
        )  # fmt: skip
        n += np.histogram(photons.arrival_times, 4, (0, 20e-6))[0]
    # pulses of the emitter are not Poissonian, but scatter less
    mean = 150 * 1.9e6 * 5e-6
    assert stats.chi2.sf(np.sum((n - mean) ** 2) / mean, 4) > P_LEAST


@pytest.mark.parametrize("name", ["pulsed", "continuous"])
def test_window_is_full_on_both_detectors_whatever_their_cables(name):
    n = np.zeros(4)
    for seed in range(100):
        photons, _ = getattr(ps.simulate, name)(
            Emitter(1e-9), duration=120e-6, rate=4e5, background=5e5, delay={0: 40e-6, 1: -40e-6}, seed=seed
        )
        n += np.histogram(photons.arrival_times, 4, (0, 120e-6))[0]
    mean = 100 * 1.4e6 * 30e-6
    assert stats.chi2.sf(np.sum((n - mean) ** 2) / mean, 4) > P_LEAST


def test_background_is_flat_in_time_and_nanotime_and_differs_by_detector():
    photons, truth = ps.simulate.pulsed([], duration=5.0, background={0: 2e4, 1: 5e3}, seed=10)
    for d, rate in ((0, 2e4), (1, 5e3)):
        mine = photons.select(detectors=d)
        assert stats.poisson(5 * rate).sf(len(mine)) > P_LEAST / 2
        assert stats.poisson(5 * rate).cdf(len(mine)) > P_LEAST / 2
        assert stats.kstest(mine.arrival_times / 5.0, "uniform").pvalue > P_LEAST
        assert stats.chisquare(np.bincount(mine.nanotimes, minlength=3125)).pvalue > P_LEAST
    assert truth.g2_zero_raw == pytest.approx(1.0)


def test_response_before_the_sync_falls_to_the_end_of_the_period():
    photons, _ = ps.simulate.pulsed([], duration=1.0, scatter=2e4, irf_sigma=0.5e-9, seed=11)
    late = photons.nanotimes > 1500
    assert stats.binomtest(int(late.sum()), len(photons), 0.5).pvalue > P_LEAST


def test_split_shares_the_light_over_many_detectors():
    photons, truth = ps.simulate.pulsed(
        Emitter(), duration=2.0, rate=5e4, split=(2, 0, 1, 1), background={3: 100.0}, seed=12
    )
    counts = np.bincount(photons.detectors[truth.origin == 0], minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], np.array([0.5, 0.25, 0.25]) * counts.sum()).pvalue > P_LEAST
    assert set(photons.detectors[truth.origin == -1]) == {3}
    assert truth.n_signal + truth.n_background == len(photons)


@pytest.mark.parametrize("name", ["pulsed", "continuous"])
def test_rate_is_that_of_the_brightest_level(name):
    blinking = Blinking([Level(0.1), Level()], Fixed(0.5), start=0)
    dots = [Emitter(quantum_yield=0.6, blinking=blinking), Emitter(brightness=2.0)]
    photons, truth = getattr(ps.simulate, name)(dots, duration=2.0, rate=60e3, seed=13)
    assert sum(rates.max() for rates in truth.level_rates) == pytest.approx(60e3)
    assert truth.level_rates[1][0] / truth.level_rates[0][1] == pytest.approx(2.0 / 0.6)
    expected = 2.0 * (truth.level_rates[0].mean() + truth.level_rates[1][0])
    assert len(photons) == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_seeds():
    def simulate(seed):
        return ps.simulate.pulsed(
            Emitter(blinking=ps.simulate.flickering()), duration=4.0, rate=2e4, afterpulsing=0.01, background=50.0,
            irf_sigma=1e-10, seed=seed,
        )[0]  # fmt: skip

    assert same(simulate(1), simulate(1))
    assert not same(simulate(1), simulate(2))
    assert not same(simulate(None), simulate(None))
    traces = [ps.simulate.continuous(Emitter(), duration=4.0, rate=2e4, seed=seed)[0] for seed in range(20)]
    counts = np.array([ps.intensity_trace(photons, 10e-3).counts for photons in traces])
    # correlations of independent traces scatter with variance 1/400
    found = np.corrcoef(counts)[np.triu_indices(20, 1)]
    assert stats.chi2.sf(np.sum(found**2) * 400, found.size) > P_LEAST


@pytest.mark.parametrize("laser_period", [None, 200e-9])
def test_independent_light_is_poissonian(laser_period):
    photons, truth = ps.simulate.poisson({0: 1e5, 2: 3e4}, 5.0, laser_period=laser_period, seed=14)
    assert truth.background_rate == {0: 1e5, 1: 0.0, 2: 3e4}
    for d, rate in ((0, 1e5), (2, 3e4)):
        counts = ps.intensity_trace(photons, 1e-3, detectors=d).counts
        dispersion = np.sum((counts - counts.mean()) ** 2) / counts.mean()
        tail = stats.chi2(counts.size - 1).cdf(dispersion)
        assert P_LEAST / 2 < tail < 1 - P_LEAST / 2
        assert counts.sum() == pytest.approx(5 * rate, abs=4 * np.sqrt(5 * rate))
    assert (photons.nanotimes is None) == (laser_period is None)


@pytest.mark.parametrize("period", [200e-9, 12.4955e-9])
def test_t2_with_syncs_holds_the_same_photons(period):
    photons, _ = ps.simulate.pulsed(
        Emitter(8e-9), duration=5e-3, laser_period=period, rate=1e5, tcspc_unit=16e-12, background=1e3, seed=15
    )
    absolute = ps.simulate.as_t2(photons)
    assert absolute.nanotimes is None
    assert absolute.syncs.size == np.ceil(5e-3 / period - 1e-6)
    pulse = np.searchsorted(absolute.syncs, absolute.timestamps, side="right") - 1
    delay = (absolute.timestamps - absolute.syncs[pulse]) * 1e-12
    np.testing.assert_array_equal(pulse, photons.timestamps)
    np.testing.assert_array_equal((delay / 16e-12).astype(int).clip(max=photons.nanotimes.max()), photons.nanotimes)
    assert same(ps.fold(absolute, tcspc_unit=16e-12), photons)
    with pytest.raises(ValueError, match="needs a T3 stream"):
        ps.simulate.as_t2(absolute)


@pytest.mark.parametrize("name", list(ps.simulate.RECIPES))
def test_recipes_run_and_repeat(name):
    photons, truth = ps.simulate.recipe(name, seed=16, duration=0.5)
    again, _ = ps.simulate.recipe(name, seed=16, duration=0.5)
    assert same(photons, again)
    assert photons.duration == 0.5
    assert len(checked(photons)) > 1000
    assert truth.origin.size == len(photons)
    assert truth.n_signal + truth.n_background + truth.n_scatter + truth.n_afterpulses == len(photons)
    plain = truth.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert "origin" not in plain
    assert repr(truth).startswith("Truth of")
    assert ps.simulate.RECIPES[name].description
    assert same(photons, ps.simulate.RECIPES[name](seed=16, duration=0.5)[0])


TOML = """
kind = "pulsed"
description = "a dot beside a weaker one"
duration = 0.5
rate = 30e3
seed = 3
background = { 0 = 100.0, 1 = 50.0 }

[[emitters]]
lifetime = 12e-9
copies = 2
[emitters.blinking]
levels = [{}, { yield_factor = 0.1, lifetime = 1e-9 }]
dwells = [{ law = "exponential", mean = 0.1 }, { law = "power_law", alpha = 1.5, t_min = 0.01, t_max = 1.0 }]
"""


def test_recipe_from_a_file(tmp_path):
    toml, plain = tmp_path / "dots.toml", tmp_path / "dots.json"
    toml.write_text(TOML)
    photons, truth = ps.simulate.recipe(toml)
    assert len(truth.emitters) == 2
    assert truth.background_rate == {0: 100.0, 1: 50.0}
    assert truth.emitters[0].blinking.levels[1].lifetime == 1e-9
    dots = truth.emitters
    again, _ = ps.simulate.pulsed(dots, duration=0.5, rate=30e3, seed=3, background={0: 100.0, 1: 50.0})
    assert same(photons, again)
    plain.write_text(json.dumps({"kind": "poisson", "duration": 0.1, "rates": [1e4], "seed": 4}))
    assert same(ps.simulate.recipe(str(plain))[0], ps.simulate.poisson([1e4], 0.1, seed=4)[0])
    assert not same(ps.simulate.recipe(plain, seed=5)[0], ps.simulate.recipe(plain)[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate = 30e3", "ratte = 30e3", r"dots.toml: unknown key 'ratte'; known are emitters, duration"),
        ("lifetime = 12e-9", "life = 12e-9", r"emitters\[0\]: unknown key 'life'"),
        ("yield_factor = 0.1", "yield = 0.1", r"blinking.levels\[1\]: unknown key 'yield'"),
        ("mean = 0.1", "tau = 0.1", r"dwells\[0\]: unknown key 'tau'"),
        (", mean = 0.1", "", r"dwells\[0\]: .*mean"),
        ('"exponential"', '"gamma"', r"law = one of exponential, fixed, power_law, truncated"),
        ('"pulsed"', '"pulse"', "kind must be one of pulsed, continuous, poisson"),
        ("duration = 0.5", "", "duration is missing"),
        ("{ 0 = 100.0", "{ a = 100.0", "background: detectors are numbers"),
        ("duration = 0.5", "duration = ", "is no valid TOML"),
    ],
)
def test_recipe_file_errors(tmp_path, old, new, message):
    path = tmp_path / "dots.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        ps.simulate.recipe(path)


def test_unknown_recipe_lists_the_names():
    with pytest.raises(ValueError, match="no recipe 'blinkingdot'; there are blinking_dot, two_emitters, "):
        ps.simulate.recipe("blinkingdot")
    with pytest.raises(OSError, match=r"nowhere\.toml"):
        ps.simulate.recipe("nowhere.toml")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Emitter(lifetime=0), "lifetime must be > 0, it is 0"),
        (lambda: Emitter(biexciton_yield=1.5), "biexciton_yield must be >= 0 and <= 1, it is 1.5"),
        (lambda: Emitter(biexciton_yield=0.5, biexciton_lifetime=0.0), "needs biexciton_lifetime > 0"),
        (lambda: Emitter(shelving_rate=1e6), "needs shelving_time > 0"),
        (lambda: Emitter(quantum_yield=0.5, blinking=Blinking([Level(3.0)], Fixed(1))), "one photon at most"),
        (lambda: Level(capture=2), "capture of a level must lie in 0 to 1, it is 2"),
        (lambda: Blinking([Level()], []), "1 levels but 0 dwell laws"),
        (lambda: Blinking([Level(), Level()], Fixed(1), [[0, 1], [0.5, 0]]), "row 1 of transitions"),
        (lambda: Blinking([Level(), Level()], Fixed(1), start=2), "start must be one of the levels 0 to 1, it is 2"),
        (lambda: PowerLaw(0.5), "needs a finite t_max"),
        (lambda: PowerLaw(1.5, 2.0, 1.0), "0 < t_min < t_max"),
        (lambda: TruncatedPowerLaw(1.5, 1e-6), "over 100 times the cutoff"),
        (lambda: Exponential(-1.0), "mean of a dwell law must be > 0, it is -1"),
        (lambda: ps.simulate.flickering(n_levels=1), "n_levels of 2 or more, not 1"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=0), "duration must be > 0, it is 0"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, rate=1e7), "rate 1e[+]07 Hz is out of reach: .* 475813 Hz"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, rate=1, efficiency=1), "efficiency or rate, not both"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, efficiency=1.1), "efficiency must be >= 0 and <= 1"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, laser_period=1e-3), "use a longer tcspc_unit"),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, laser_period=1e-12), "is longer than laser_period"),
        (
            lambda: ps.simulate.pulsed(Emitter(), duration=1, background={2: 1}),
            "background names detector 2, but split",
        ),
        (lambda: ps.simulate.pulsed(Emitter(), duration=1, split=[]), "split must give each"),
        (lambda: ps.simulate.continuous(Emitter(), duration=1, dead_time=-1), "dead_time of detector 0 must be >= 0"),
        (lambda: ps.simulate.poisson([-1], 1), "rate of detector 0 must be >= 0, it is -1"),
        (
            lambda: draw_path(Blinking([Level()] * 2, Exponential(1e-9)), 1.0, np.random.default_rng(1)),
            "lengthen the dwell times",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="Emitter objects"):
        ps.simulate.pulsed(["dot"], duration=1.0)


def test_truth_refuses_what_it_does_not_know():
    _, pulsed = ps.simulate.pulsed(Emitter(), duration=0.01, seed=1)
    _, steady = ps.simulate.continuous(Emitter(), duration=0.01, seed=1)
    with pytest.raises(ValueError, match="continuous light, this stream is pulsed"):
        pulsed.g2(0.0)
    with pytest.raises(ValueError, match="needs pulsed light, this stream is continuous"):
        steady.gated_g2_zero(0.0)


@pytest.mark.parametrize("make", [
    lambda: ps.simulate.pulsed([], duration=1.0),
    lambda: ps.simulate.pulsed(Emitter(), duration=1.0, excitation=0.0, dead_time=1e-8, afterpulsing=0.1),
    lambda: ps.simulate.pulsed(Emitter(), duration=1e-9),
    lambda: ps.simulate.continuous(Emitter(), duration=1.0, excitation_rate=0.0),
    lambda: ps.simulate.continuous(Emitter(), duration=1.0, efficiency=0.0),
    lambda: ps.simulate.pulsed(Emitter(blinking=Blinking([Level(0)], Fixed(1))), duration=1.0),
    lambda: ps.simulate.poisson([0.0], 1.0),
])  # fmt: skip
def test_darkness(make):
    photons, truth = make()
    assert len(photons) == truth.n_signal == 0
    assert repr(truth)


def test_every_photon_detected_at_full_efficiency():
    photons, _ = ps.simulate.pulsed(
        Emitter(1e-9), duration=1e-3, laser_period=100e-9, excitation=30.0, efficiency=1.0, seed=1
    )
    assert len(photons) == 10_000
    assert np.array_equal(photons.timestamps, np.arange(10_000))
    photons, _ = ps.simulate.continuous(Emitter(10e-9), duration=1e-3, excitation_rate=1e8, efficiency=1.0, seed=1)
    assert len(photons) == pytest.approx(5e4, abs=4 * np.sqrt(5e4 / 2))
