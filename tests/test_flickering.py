"""Levels or a continuum: verdicts of light of known kind, intervals of the continuum, kernels against plain loops."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

import photonstats as ps
from photonstats.kernels.continuum import continuum_scores, few_levels_pass, few_levels_scores
from photonstats.switching.continuum_levels import fit_levels, sorted_counts

WIDTH = 0.01
pytestmark = pytest.mark.filterwarnings("error")


def switching(rng, n_bins, levels, draw):
    """Return counts of light that goes to any other level after a dwell of draw(level) bins."""
    time, edges, path = 0.0, [0.0], []
    level = int(rng.integers(len(levels)))
    while time < n_bins:
        time += draw(level)
        path.append(level)
        edges.append(min(time, n_bins))
        level = (level + int(rng.integers(1, len(levels)))) % len(levels)
    light = np.concatenate([[0.0], np.cumsum(np.diff(edges) * np.array(levels)[path])])
    return rng.poisson(np.diff(np.interp(np.arange(n_bins + 1), edges, light)))


def power_law(rng, alpha, shortest, longest):
    low, high = shortest ** (1 - alpha), longest ** (1 - alpha)
    return float((low - rng.random() * (low - high)) ** (1 / (1 - alpha)))


def wandering(rng, n_bins, mean, sigma, time, background=0.0):
    """Return counts of an Ornstein-Uhlenbeck process in the logarithm, averaged over each bin."""
    keep = np.exp(-0.25 / time)
    noise = rng.normal(size=4 * n_bins) * np.sqrt(1 - keep**2)
    x = lfilter([1.0], [1.0, -keep], noise, zi=[keep * rng.normal()])[0]
    light = mean * np.exp(sigma * x - sigma**2 / 2) + background
    return rng.poisson(light.reshape(n_bins, 4).mean(axis=1))


def judged(counts, **settings):
    return ps.flickering(ps.IntensityTrace(counts, WIDTH), **settings)


def dot(kind, seed):
    """Return counts of a dot of 10 to 60 kHz, 30 to 60 s, 2 to 10 % background."""
    rng = np.random.default_rng([seed, 11])
    n, peak = int(rng.uniform(3000, 6000)), 100 * 6 ** rng.random()
    background = peak * rng.uniform(0.02, 0.1)
    if kind == "wandering":
        return wandering(rng, n, peak, 0.1 * 6 ** rng.random(), 5 * 40 ** rng.random(), background)
    if kind == "steady":
        return rng.poisson(peak, n)
    levels = np.linspace(rng.uniform(0.03, 0.2), 1, int(rng.integers(2, 5)))
    levels = peak * levels * rng.uniform(0.85, 1.15, levels.size) + background
    if kind == "exponential":
        means = 3 * 33 ** rng.random(levels.size)
        return switching(rng, n, levels, lambda level: rng.exponential(means[level]))
    alphas, shortest = rng.uniform(1.3, 1.9, levels.size), rng.choice([0.3, 1.0, 3.0])
    longest = rng.uniform(200, 1000)
    return switching(rng, n, levels, lambda level: power_law(rng, alphas[level], shortest, longest))


TRUTH = {"exponential": "levels", "power law": "levels", "wandering": "continuum", "steady": "steady"}


@pytest.mark.parametrize("kind", TRUTH)
def test_a_dot_of_each_kind(kind):
    assert judged(dot(kind, 1)[:2000]).verdict == TRUTH[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRUTH)
def test_wrong_verdicts_are_rare(kind):
    verdicts = [judged(dot(kind, seed)).verdict for seed in range(20)]
    wrong = sum(verdict not in {TRUTH[kind], "undetermined"} for verdict in verdicts)
    assert stats.binom.sf(wrong - 1, 20, 0.05) > 1e-2
    assert verdicts.count(TRUTH[kind]) >= 14


def test_the_simulated_walk_of_the_yield_is_a_continuum():
    blinking = ps.simulate.flickering(n_levels=30, step_time=5e-3)
    emitter = ps.simulate.Emitter(lifetime=20e-9, blinking=blinking)
    photons, _ = ps.simulate.pulsed(emitter, duration=20.0, rate=30e3, background=300.0, seed=3)
    found = ps.flickering(photons, 10e-3)
    assert found.verdict == "continuum"
    assert found.score_ci[0] > 0


def test_levels_are_found_with_their_rates():
    rng = np.random.default_rng(5)
    truth = np.array([10.0, 60.0, 140.0])
    found = judged(switching(rng, 2500, truth, lambda _: rng.exponential(20.0)))
    assert found.verdict == "levels"
    assert found.n_levels == 3
    assert stats.chi2.sf(np.sum(((found.rates * WIDTH - truth) / (found.rates_err * WIDTH)) ** 2), 3) > 1e-3


def test_time_and_deviation_of_a_continuum():
    rng = np.random.default_rng(6)
    found = judged(wandering(rng, 2500, 100.0, 0.3, 15.0))
    assert found.verdict == "continuum"
    assert found.correlation_time_ci[0] < 0.15 < found.correlation_time_ci[1]
    truth = np.sqrt(np.expm1(0.09))
    assert found.deviation_ci[0] < truth < found.deviation_ci[1]


@pytest.mark.slow
def test_intervals_of_the_continuum_cover():
    hits = np.zeros(2)
    for seed in range(30):
        found = judged(wandering(np.random.default_rng([seed, 3]), 3000, 150.0, 0.3, 15.0))
        for i, (truth, ci) in enumerate(
            [(0.15, found.correlation_time_ci), (np.sqrt(np.expm1(0.09)), found.deviation_ci)]
        ):
            hits[i] += ci[0] <= truth <= ci[1]
    assert min(stats.binom.cdf(hits, 30, 0.95)) > 1e-3


def test_switches_inside_of_bins_are_no_continuum():
    rng = np.random.default_rng(7)
    found = judged(switching(rng, 1500, [20.0, 200.0], lambda _: rng.exponential(0.7)))
    assert found.verdict != "continuum"


def test_photons_of_fast_switches_get_narrow_bins():
    blinking = ps.simulate.Blinking((ps.simulate.Level(), ps.simulate.Level(0.05)), ps.simulate.Exponential(8e-3))
    emitter = ps.simulate.Emitter(lifetime=5e-9, blinking=blinking)
    photons, _ = ps.simulate.pulsed(emitter, duration=5.0, rate=40e3, seed=2)
    found = ps.flickering(photons)
    assert found.bin_width <= 2e-3
    assert found.verdict == "levels"
    assert found.n_levels == 2


def test_thin_data_are_undetermined():
    rng = np.random.default_rng(8)
    assert "bins are too few" in judged(rng.poisson(50.0, 200)).reason
    assert "photons are too few" in judged(rng.poisson(0.5, 1500)).reason
    faint = judged(rng.poisson(1.0, 1500))
    assert faint.verdict == "undetermined"
    assert "not excluded" in faint.reason
    assert judged(np.zeros(1000, int)).verdict == "undetermined"


def test_few_switches_are_undetermined_or_levels():
    rng = np.random.default_rng(9)
    for seconds in (3, 6):
        found = judged(rng.poisson(np.repeat([100.0, 20.0, 100.0], 100 * seconds // 3)))
        assert found.verdict in {"levels", "undetermined"}


def test_a_drift_is_no_flickering():
    rng = np.random.default_rng(10)
    found = judged(rng.poisson(200.0 * np.exp(-np.arange(1500) / 1500)))
    assert found.verdict == "undetermined"


def test_too_many_counts_in_a_bin_are_said():
    rng = np.random.default_rng(11)
    assert "narrower bins" in judged(rng.poisson(rng.choice([1e3, 1e6], 400))).reason


@pytest.mark.parametrize(
    "counts",
    [
        np.ones(600, int),
        np.arange(600) % 2 * 3,
        np.append(np.zeros(600, int), 5000),
        np.repeat([0, 3000], [590, 10]),
        np.full(600, 100_000),
    ],
    ids=["ones", "alternating", "spike", "late", "bright"],
)
def test_odd_traces_get_no_wrong_answer(counts):
    found = judged(counts)
    assert found.verdict in {"undetermined", "steady"}
    assert found.reason
    assert set(found.to_dict()) >= {"verdict", "score_ci"}


def test_noise_beyond_poisson_that_does_not_last_is_no_level():
    rng = np.random.default_rng(15)
    assert judged(3 * rng.poisson(5.0, 1500)).verdict == "undetermined"
    assert "no dwell" in judged(3 * rng.poisson(1.0, 3000)).reason


def test_scores_do_not_change_when_the_trace_starts_later():
    counts = dot("exponential", 2)[:1500]
    early = ps.flickering(ps.IntensityTrace(counts, WIDTH))
    late = ps.flickering(ps.IntensityTrace(counts, WIDTH, start=1e4))
    assert early.score == late.score
    assert late.block_edges[0] == 1e4


def test_settings_are_checked():
    trace = ps.IntensityTrace([1] * 400, WIDTH)
    with pytest.raises(ValueError, match="max_levels"):
        ps.flickering(trace, max_levels=9)
    with pytest.raises(ValueError, match="steady_below"):
        ps.flickering(trace, steady_below=0.0)
    with pytest.raises(ValueError, match="leave out bin_width"):
        ps.flickering(trace, 0.02)


def test_kernels_are_the_plain_sums():
    rng = np.random.default_rng(12)
    index, edges = rng.integers(0, 4, 9), np.array([0, 4, 9])
    joint = rng.random((4, 3, 3)) * 0.1
    matrix, start = joint.sum(axis=0), np.array([0.2, 0.3, 0.5])
    found, moves, stays = np.empty(2), np.zeros((3, 3)), np.zeros((3, 4))
    few_levels_scores(index, edges, joint, matrix, start, 1e-30, found)
    total = few_levels_pass(index, edges, joint, matrix, start, 1e-30, moves, stays)
    for b in range(2):
        ahead = start
        for u in index[edges[b] : edges[b + 1]]:
            ahead = ahead @ joint[u]
        assert found[b] == pytest.approx(np.log(ahead.sum()))
    assert total == pytest.approx(found.sum())
    # moves are the derivative of the log-likelihood to ln(joint)
    changed = joint.copy()
    changed[:, 0, 1] *= 1 + 1e-6
    few_levels_scores(index, edges, changed, matrix, start, 1e-30, found)
    assert moves[0, 1] == pytest.approx((found.sum() - total) / 1e-6, rel=1e-4)
    assert stays.sum() == pytest.approx(np.trace(moves))
    assert moves.sum() == pytest.approx(9)


def test_continuum_kernel_is_the_plain_sum():
    rng = np.random.default_rng(13)
    index, edges = rng.integers(0, 4, 9), np.array([0, 4, 9])
    emission, matrix = rng.random((4, 5)), rng.random((5, 5))
    matrix /= matrix.sum(axis=1, keepdims=True)
    start = np.linalg.matrix_power(matrix, 200)[0]
    spans = np.array([[0, 5], [1, 4], [0, 3], [2, 5]])
    for u, (first, last) in enumerate(spans):
        emission[u, :first], emission[u, last:] = 0.0, 0.0
    found = np.empty(2)
    continuum_scores(index, edges, emission, spans, matrix, 0.3, start, 1e-30, found)
    for b in range(2):
        ahead = start
        for u in index[edges[b] : edges[b + 1]]:
            ahead = (0.7 * ahead @ matrix + 0.3 * ahead.sum() * start) * emission[u]
        assert found[b] == pytest.approx(np.log(ahead.sum()))


def test_an_impossible_bin_is_passed_over():
    rng = np.random.default_rng(14)
    counts = switching(rng, 1500, [20.0, 80.0], lambda _: rng.exponential(30.0))
    counts[1000] = 3000
    assert judged(counts).verdict == "levels"


def test_level_counts_of_switching_bins_sum_to_one():
    data = sorted_counts(np.arange(400))
    model = fit_levels(data, np.array([0, 400]), 3)[-1]
    from photonstats.switching.continuum_levels import _joint, _laws

    table = _joint(_laws(data.values, np.array([5.0, 40.0, 150.0])), np.arange(3), model.matrix)
    np.testing.assert_allclose(table.sum(axis=(0, 2)), 1.0, atol=1e-9)


def test_picture_and_words():
    found = judged(dot("exponential", 3)[:1500])
    ax = found.plot()
    assert ax.get_ylabel() == "score (nats per bin)"
    assert len(ax.patches) >= found.block_scores.size
    assert "nats per bin" in repr(found)
    assert found.to_dict()["verdict"] == found.verdict
    assert found.score_per_second == found.score / found.bin_width
    assert judged([1] * 10).plot().get_title() == "undetermined"
