"""Statistics of switching: truth and coverage of rates, memory, aging, bleaching and the bright level."""

import json
import math

import matplotlib as mpl
import numpy as np
import pytest
from scipy import optimize, stats

import photonstats as ps
from switching_dots import drawn, dwells_of, exponential, lognormal, path_of, power_law, trace_of

mpl.use("Agg")
LAWS = {
    "exponential": (exponential(0.2), exponential(0.1), 20.0),
    "power law": (power_law(1.6, 0.03), power_law(1.6, 0.03), 30.0),
    "lognormal": (lognormal(0.2, 1.2), lognormal(0.1, 1.0), 30.0),
}


def holds(interval, truth):
    return bool(interval[0] <= truth <= interval[1])


@pytest.fixture(scope="module")
def steady():
    """Statistics of 70 records of steady blinking of each law."""
    rng = np.random.default_rng(1)
    found = {}
    for name, (on, off, duration) in LAWS.items():
        records = [drawn(rng, duration, on, off, 0.01) for _ in range(70)]
        found[name] = [ps.blinking_statistics(d) for d in records if d.n > 1]
    return found


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("what", ["aging_on", "aging_off", "on_on", "off_off", "on_off", "off_on"])
def test_steady_blinking_seldom_shows_drift_or_memory(steady, law, what):
    each = [getattr(s, what) if "aging" in what else s.memory[what] for s in steady[law]]
    p = [e.p_value for e in each if not math.isnan(e.p_value)]
    assert len(p) > 40
    assert stats.binomtest(sum(v < 0.05 for v in p), len(p), 0.05).pvalue > 1e-3


@pytest.mark.parametrize("law", LAWS)
def test_a_long_off_dwell_is_seldom_called_bleaching(steady, law):
    verdicts = [s.bleaching.verdict for s in steady[law]]
    assert stats.binomtest(verdicts.count("bleached"), len(verdicts), 0.01, "greater").pvalue > 1e-3
    assert verdicts.count("none") > 20


def test_rates_and_on_fraction_hold_the_truth(steady):
    each = steady["exponential"]
    for field, truth in (("rate_on_to_off_ci", 5.0), ("rate_off_to_on_ci", 10.0)):
        # bins of 10 ms miss a few percent of switches of dwells of 100 ms
        missed = 1.0 - 0.5 * 0.01 / 0.1 - 0.5 * 0.01 / 0.2
        hits = sum(holds(getattr(s, field), truth * missed) for s in each)
        assert stats.binomtest(hits, len(each), 0.95).pvalue > 1e-3


def test_rates_of_scattered_dwells_hold_the_truth():
    rng = np.random.default_rng(2)
    mean = 0.1 * math.exp(1.0 / 2)
    found = [ps.blinking_statistics(drawn(rng, 20.0, lognormal(0.1, 1.0), exponential(0.2))) for _ in range(80)]
    hits = sum(holds(s.rate_on_to_off_ci, 1.0 / mean) for s in found)
    assert stats.binomtest(hits, 80, 0.95).pvalue > 1e-3


def test_on_fraction_of_a_trace_holds_the_truth():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(60):
        trace = trace_of(rng, *path_of(rng, 30.0, exponential(0.5), exponential(0.3)))
        hits += holds(ps.blinking_statistics(ps.dwell_times(trace, 5250.0)).on_fraction_ci, 0.625)
    assert stats.binomtest(hits, 60, 0.95).pvalue > 1e-3


def test_dwells_that_grow_shorter_are_found():
    rng = np.random.default_rng(4)
    found = [
        ps.blinking_statistics(drawn(rng, 60.0, exponential(0.6, 0.03), exponential(0.2), 0.01)) for _ in range(40)
    ]
    hits = sum(holds(s.aging_on.slope_ci, 0.03) for s in found)
    assert stats.binomtest(hits, 40, 0.95).pvalue > 1e-3
    assert sum(s.aging_on.p_value < 0.05 for s in found) > 34
    steady = sum(s.aging_off.p_value < 0.05 for s in found)
    assert stats.binomtest(steady, 40, 0.05).pvalue > 1e-3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_aging_is_the_largest_partial_likelihood(seed):
    rng = np.random.default_rng(seed)
    dwells = drawn(rng, 12.0, exponential(0.4), exponential(0.3))
    found = ps.blinking_statistics(dwells)
    for on, drift in ((True, found.aging_on), (False, found.aging_off)):
        each = list(zip(dwells.durations, dwells.edges[:-1], dwells.states, strict=True))
        inside = [(t, z, i < len(each) - 1) for i, (t, z, state) in enumerate(each) if state == on and i > 0]

        def minus_log(slope, inside=inside):
            total = 0.0
            for t, z, ended in inside:
                if ended:
                    total += slope * z - math.log(sum(math.exp(slope * y) for s, y, _ in inside if s >= t))
            return -total

        best = optimize.minimize_scalar(minus_log, bracket=(-0.1, 0.1), tol=1e-9).x
        assert drift.slope == pytest.approx(best, abs=1e-5)


def test_memory_of_known_size_is_found():
    rng, n, hits = np.random.default_rng(5), 150, {"on_on": 0, "on_off": 0}
    phi, rho = 0.5, 0.6
    spearman = {"on_on": phi, "on_off": rho}
    for _ in range(60):
        walk = np.empty(n)
        walk[0] = rng.normal()
        for i in range(1, n):
            walk[i] = phi * walk[i - 1] + math.sqrt(1 - phi**2) * rng.normal()
        other = rho * walk + math.sqrt(1 - rho**2) * rng.normal(size=n)
        times = np.exp(np.column_stack([walk, other]).ravel())
        s = ps.blinking_statistics(dwells_of(np.concatenate([[0.0], np.cumsum(times)]), np.arange(2 * n) % 2 == 0))
        for pair, pearson in spearman.items():
            hits[pair] += holds(s.memory[pair].correlation_ci, 6 / math.pi * math.asin(pearson / 2))
            assert s.memory[pair].p_value < 0.01
    for pair, n_hits in hits.items():
        assert stats.binomtest(n_hits, 60, 0.95).pvalue > 1e-3, pair


def test_bleaching_is_found_with_its_time():
    rng, found = np.random.default_rng(6), []
    for _ in range(12):
        edges, states = path_of(rng, 60.0, exponential(0.5), exponential(0.2))
        edges, states = (edges, states) if states[-1] else (edges[:-1], states[:-1])
        dwells = dwells_of(edges, states, 0.01, dark=20.0)
        step = ps.blinking_statistics(dwells)
        found.append(step.bleaching.verdict)
        assert holds(step.bleaching.time_ci, edges[-1])
        if found[-1] == "bleached":  # the dark end is no off dwell
            assert step.rate_off_to_on > 2.0
            assert step.aging_off.p_value > 1e-3
            assert "dark end" in step.note
    assert found.count("bleached") >= 10


def test_bleaching_among_power_law_dwells_cannot_be_told():
    rng = np.random.default_rng(7)
    for _ in range(5):
        dwells = drawn(rng, 40.0, power_law(1.5, 0.02), power_law(1.5, 0.02), 0.01, dark=10.0)
        step = ps.blinking_statistics(dwells).bleaching
        assert step.verdict == "undetermined"
        assert step.note


def test_a_dot_that_was_never_off_before_gives_no_probability():
    trace = ps.IntensityTrace([50] * 500 + [1] * 300, 0.01)
    step = ps.blinking_statistics(trace).bleaching
    assert step.verdict == "undetermined"
    assert math.isnan(step.probability)
    assert "no law of off dwells" in step.note
    assert step.time_ci == pytest.approx((4.99, 5.01))


@pytest.mark.parametrize(("drift", "spread"), [(0.0, 0.0), (0.0, 0.1), (-0.004, 0.1), (0.02, 0.0)])
def test_drift_of_the_bright_level_holds_the_truth(drift, spread):
    rng, hits, called = np.random.default_rng(8), 0, 0
    for _ in range(50):
        trace = trace_of(rng, *path_of(rng, 40.0, exponential(0.5), exponential(0.3)), drift=drift, spread=spread)
        s = ps.blinking_statistics(ps.dwell_times(trace, 5250.0), trace)
        hits += holds(s.brightness.slope_ci, drift / (1.0 + drift * 20.0))
        called += s.brightness.p_value < 0.05
    assert stats.binomtest(hits, 50, 0.95).pvalue > 1e-3
    if not drift:
        assert stats.binomtest(called, 50, 0.05).pvalue > 1e-3
    else:
        assert called > 40


def test_background_is_taken_off_the_bright_level():
    rng = np.random.default_rng(9)
    trace = trace_of(rng, *path_of(rng, 40.0, exponential(0.5), exponential(0.3)), drift=0.01)
    dwells = ps.dwell_times(trace, 5250.0)
    raw, less = (ps.blinking_statistics(dwells, trace, background=b).brightness.slope for b in (0.0, 4000.0))
    level = 10_000 * 1.2
    assert less / raw == pytest.approx(level / (level - 4000.0), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on", "off", "spread"),
    [
        (exponential(6.0), exponential(0.3), 0.1),
        (power_law(1.6, 0.03), power_law(1.6, 0.03), 0.1),
        (exponential(40.0), exponential(0.2), 0.0),
    ],
    ids=["few long dwells", "power law", "nearly steady"],
)
def test_false_calls_of_drifting_brightness_are_rare(on, off, spread):
    rng, p = np.random.default_rng(10), []
    for _ in range(400):
        trace = trace_of(rng, *path_of(rng, 60.0, on, off), spread=spread)
        dwells = ps.dwell_times(trace, 5250.0)
        p.append(ps.blinking_statistics(dwells, trace).brightness.p_value)
    p = np.array(p)[np.isfinite(p)]
    assert np.mean(p < 0.05) < 0.09


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_the_probability_of_a_long_off_dwell_is_one(law):
    on, off, duration = LAWS[law]
    rng, p = np.random.default_rng(11), []
    for _ in range(300):
        dwells = drawn(rng, duration, on, off, 0.01)
        if dwells.n > 1 and not dwells.states[-1]:
            p.append(ps.blinking_statistics(dwells).bleaching.probability)
    p = np.array(p)[np.isfinite(p)]
    for level in (0.01, 0.05, 0.2):
        assert stats.binomtest(int(np.sum(p < level)), p.size, level, "greater").pvalue > 1e-3


def test_shift_of_time_and_plain_types():
    rng = np.random.default_rng(12)
    trace = trace_of(rng, *path_of(rng, 20.0, exponential(0.5), exponential(0.3)))
    later = ps.IntensityTrace(trace.counts, trace.bin_width, 100.0)
    a, b = (ps.blinking_statistics(t) for t in (trace, later))
    assert b.brightness.slope == pytest.approx(a.brightness.slope, rel=1e-9)
    assert b.aging_on.slope == pytest.approx(a.aging_on.slope, rel=1e-9)
    plain = json.loads(json.dumps(a.to_dict(), allow_nan=False))
    assert plain["memory"]["on_on"]["n"] == a.memory["on_on"].n
    assert "dwells" not in plain
    assert "%/min" in a.summary()


@pytest.mark.parametrize("counts", [[], [3], [0, 0, 9], [9] * 30, [0] * 30, [9, 0] * 30])
def test_hardly_any_dwells_give_reasons(counts):
    s = ps.blinking_statistics(ps.dwell_times(ps.IntensityTrace(counts, 0.1), 50.0))
    for drift in (s.aging_on, s.aging_off, s.brightness):
        assert math.isnan(drift.slope) == bool(drift.note)
    for memory in s.memory.values():
        assert math.isnan(memory.correlation) == bool(memory.note)
    s.summary()
    s.plot()
    mpl.pyplot.close("all")


def test_a_trace_without_levels_is_undetermined():
    s = ps.blinking_statistics(ps.IntensityTrace(np.random.default_rng(1).poisson(50.0, 400), 0.01))
    assert "undetermined" in s.summary()
    assert s.bleaching.verdict == "undetermined"


def test_the_figure_holds_every_dwell():
    rng = np.random.default_rng(13)
    dwells = drawn(rng, 20.0, exponential(0.5), exponential(0.3), 0.01)
    ax = ps.blinking_statistics(dwells).plot()
    shown = sum(line.get_xdata().size for line in ax.lines if line.get_marker() == "o")
    assert shown == dwells.n
    assert "(s)" in ax.get_ylabel()
    mpl.pyplot.close("all")


def test_a_negative_background_is_refused():
    with pytest.raises(ValueError, match="background must be a rate in hertz >= 0, it is -1"):
        ps.blinking_statistics(ps.IntensityTrace([1, 2], 0.1), background=-1)


def test_the_trace_of_another_recording_is_refused():
    trace = ps.IntensityTrace([9, 0, 9, 9, 0], 0.1)
    with pytest.raises(ValueError, match=r"lasts from 0 to 0\.2 s, the dwells from 0 to 0\.5 s"):
        ps.blinking_statistics(ps.dwell_times(trace, 50.0), ps.IntensityTrace([9, 0], 0.1))
