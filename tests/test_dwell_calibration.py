"""Calibrated laws of dwell times: the bias of bins and threshold is removed, and the interval holds the truth."""

import json
import math

import numpy as np
import pytest
from scipy import stats

import photonstats as ps
from photonstats.simulate import PowerLaw, TruncatedPowerLaw

RATES = (500.0, 20_000.0)


def blinking_trace(on, off, rng, seconds, width=10e-3):
    dwells = np.empty(400_000)
    dwells[0::2], dwells[1::2] = on.sample(200_000, rng), off.sample(200_000, rng)
    edges = np.concatenate([[0.0], np.cumsum(dwells)])
    assert edges[-1] > seconds
    bright = np.concatenate([[0.0], np.cumsum(dwells * (np.arange(dwells.size) % 2 == 0))])
    ticks = np.arange(round(seconds / width) + 1) * width
    on_time = np.diff(np.interp(ticks, edges, bright))
    return ps.IntensityTrace(rng.poisson(RATES[0] * width + (RATES[1] - RATES[0]) * np.maximum(on_time, 0.0)), width)


LAW = TruncatedPowerLaw(1.5, 5.0, 1e-3)


def calibrated(rng, seed, seconds=300.0, off=LAW, **more):
    dwells = ps.dwell_times(blinking_trace(LAW, off, rng, seconds), threshold=10_000.0)
    return ps.calibrate_dwell_fit(dwells, "on", t_min=1e-3, rates=RATES, seed=seed, **more)


def test_bias_of_bins_is_removed():
    rng = np.random.default_rng(1)
    found = [calibrated(rng, i, n_simulations=60) for i in range(3)]
    assert all(f.raw.alpha_ci[1] < 1.4 for f in found)
    assert sum(f.alpha_ci[0] <= 1.5 <= f.alpha_ci[1] for f in found) >= 2
    assert sum(f.cutoff_ci[0] <= 5.0 <= f.cutoff_ci[1] for f in found) >= 2
    plain = json.loads(json.dumps(found[0].to_dict(), allow_nan=False))
    assert plain["raw"]["alpha"] == found[0].raw.alpha
    assert "raw" in found[0].summary()


@pytest.mark.slow
@pytest.mark.parametrize("off", [LAW, PowerLaw(1.6, 1e-3, 300.0)], ids=["truncated", "plain"])
def test_intervals_hold_the_truth(off):
    rng = np.random.default_rng(2)
    alpha = cutoff = answers = 0
    for i in range(22):
        found = calibrated(rng, i, off=off)
        if found.model != "truncated":
            continue
        answers += 1
        alpha += found.alpha_ci[0] <= 1.5 <= found.alpha_ci[1]
        cutoff += found.cutoff_ci[0] <= 5.0 <= found.cutoff_ci[1]
    assert answers >= 16
    assert stats.binomtest(alpha, answers, 0.95).pvalue > 1e-3
    assert stats.binomtest(cutoff, answers, 0.95).pvalue > 1e-3


def test_few_dwells_leave_it_open():
    found = calibrated(np.random.default_rng(3), 0, seconds=3.0)
    assert found.model == "undetermined"
    assert math.isnan(found.alpha)
    assert "at least 30" in found.note
    assert "undetermined" in repr(found)


def test_figure_shows_both():
    import matplotlib.pyplot as plt

    ax = calibrated(np.random.default_rng(4), 0, seconds=60.0, n_simulations=40).plot()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["raw", "calibrated"]
    assert "α" in ax.get_xlabel()
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"state": "dark"}, 'state must be "on" or "off"'),
        ({"t_min": 0.0}, "t_min must lie between"),
        ({"rates": None}, "give rates"),
        ({"rates": (500.0, 900.0)}, "on either side of the threshold"),
        ({"n_simulations": 3}, "n_simulations must be 30 or more"),
    ],
)
def test_errors_say_what_to_do(told, words):
    dwells = ps.dwell_times(ps.IntensityTrace([200, 5] * 60, 10e-3), threshold=10_000.0)
    given = {"state": "on", "t_min": 1e-3, "rates": RATES} | told
    with pytest.raises(ValueError, match=words):
        ps.calibrate_dwell_fit(dwells, **given)


def test_threshold_between_the_levels_matters_little_and_within_one_much():
    import matplotlib.pyplot as plt

    trace = blinking_trace(LAW, LAW, np.random.default_rng(5), 100.0)
    scan = ps.scan_threshold(trace, [195.0 / 10e-3, 8_000.0, 12_000.0])
    assert abs(scan.alpha[2] - scan.alpha[1]) < 0.2
    assert scan.n_dwells[0] > 2 * scan.n_dwells[1]
    one = ps.fit_dwell_times(ps.dwell_times(trace, 8_000.0), state="on", t_min=0.01, n_bootstrap=0)
    assert scan.alpha[1] == one.alpha
    assert json.dumps(scan.to_dict(), allow_nan=False)
    ax = scan.plot()
    assert "Hz" in ax.get_xlabel()
    plt.close(ax.figure)
