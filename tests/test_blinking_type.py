"""Type of blinking: dots of known type, what the evidence may say, and where there is none."""

import json
from collections import Counter

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

import blinking_dots
import photonstats as ps
from photonstats.blinking import blinking_evidence as judge
from photonstats.blinking.blinking_evidence import Below
from photonstats.blinking.blinking_groups import Groups, merged_groups
from photonstats.blinking.blinking_type import Evidence, _verdict

mpl.use("Agg")

TYPES = ("A", "B", "flickering", "steady")
NOT_ASKED = ps.Flickering("undetermined", "the trace was not asked", 10e-3)  # which takes most of the time


def dot_of(kind, seed, **settings):
    """Return photons and background of a dot with some settings fixed."""
    s = blinking_dots.draw(np.random.default_rng(seed), kind)
    for name, value in settings.items():
        setattr(s, name, value)
    s.period = max(s.period, 2.5 * s.lifetime)
    return blinking_dots.dot(s)


def plain(kind, **settings):
    """Return photons of an ordinary dot."""
    common = {
        "seconds": 12.0, "rate": 20e3, "contrast": 5.0, "share": 0.05, "lifetime": 15e-9, "period": 100e-9,
        "n_levels": 2, "lifetime_power": 1.0, "charged": 1.0, "t_min": 0.02, "law": "exponential", "n_detectors": 2,
    }  # fmt: skip
    return dot_of(kind, 3, **{**common, **settings})[0]


def population(seed, n, kinds, *, wide=False, **settings):
    """Return true types, verdicts, whole results."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        kind = kinds[i % len(kinds)]
        s = blinking_dots.draw(rng, kind, wide=wide)
        for name, value in settings.items():
            setattr(s, name, value)
        found.append(("steady" if kind == "bleached" else kind, ps.classify_blinking(blinking_dots.dot(s)[0])))
    return found


def check_verdicts(found, *, wrong=0.05, undetermined=0.2):
    """Fail where more are wrong or undetermined than such shares would give once in a thousand times."""
    named = [(truth, result.verdict) for truth, result in found if result.verdict != "undetermined"]
    mistakes = Counter(pair for pair in named if pair[0] != pair[1])
    assert mistakes.total() <= stats.binom.ppf(0.999, len(named), wrong), mistakes
    assert len(found) - len(named) <= stats.binom.ppf(0.999, len(found), undetermined)


# ------------------------------------------------------------------------------------------------------- truth
def test_dots_of_each_type_are_called_by_it():
    kinds = ("A", "B", "flickering", "steady", "bleached", "flickering")
    check_verdicts(population(11, 12, kinds, seconds=7.0))


@pytest.mark.parametrize("kind", ["A", "B", "flickering"])
def test_a_long_lifetime_that_wraps_and_much_background_do_not_deceive(kind):
    photons = plain(kind, lifetime=40e-9, period=100e-9, share=0.3)
    assert ps.classify_blinking(photons).verdict == kind


@pytest.mark.parametrize("kind", ["A", "B"])
def test_switches_within_segments_do_not_deceive(kind):
    assert ps.classify_blinking(plain(kind, t_min=5e-4)).verdict == kind


@pytest.mark.parametrize("kind", ["A", "B"])
def test_what_is_at_hand_gives_the_same_answer(kind):
    photons = plain(kind)
    segments = ps.change_points(photons)
    background = ps.estimate_background(photons)
    alone = ps.classify_blinking(photons)
    given = ps.classify_blinking(
        photons, segments=segments, levels=ps.levels(segments), background=background,
        flickering=ps.flickering(photons), trace=ps.intensity_trace(photons), irf=ps.GaussianIRF(),
        flid=ps.flid(photons, background=background),
    )  # fmt: skip
    assert alone.verdict == given.verdict == kind
    assert "continuum" in {e.name for e in given.evidence}
    again = ps.classify_blinking([photons], segments=segments, background=background.rate)
    assert again.verdict == kind


def test_detectors_can_change_places():
    photons = plain("A")
    swapped = ps.PhotonStream(
        photons.timestamps, 1 - photons.detectors, photons.nanotimes, timestamps_unit=photons.timestamps_unit,
        tcspc_unit=photons.tcspc_unit, laser_period=photons.laser_period, duration=photons.duration,
    )  # fmt: skip
    one, other = ps.classify_blinking(photons), ps.classify_blinking(swapped)
    np.testing.assert_allclose(list(one.probability.values()), list(other.probability.values()), atol=0.01)


def test_the_power_of_the_signal_has_an_interval_that_holds_the_truth():
    inside = 0
    for seed, power in enumerate([0.0, 1.0] * 3):
        kind = "B" if power == 0 else "A"
        photons = dot_of(kind, 50 + seed, n_levels=2, charged=1.0, lifetime_power=1.0, seconds=10.0, t_min=0.02)[0]
        low, high = next(e.interval for e in ps.classify_blinking(photons).evidence if e.name == "flid")
        inside += low <= power <= high
    assert inside >= stats.binom.ppf(0.001, 6, 0.95)


# ------------------------------------------------------------------------------------ where the data cannot say
def test_a_dim_state_without_light_leaves_charging_and_hot_carriers_open():
    for kind in ("A", "B"):
        found = ps.classify_blinking(plain(kind, contrast=1e6, seconds=6.0), flickering=NOT_ASKED)
        assert found.verdict == "undetermined"
        assert found.probability["A"] + found.probability["B"] > 0.9
        assert "probability" in found.note


@pytest.mark.parametrize("kind", ["A", "B"])
def test_without_nanotimes_neither_charging_nor_hot_carriers_are_called(kind):
    photons = plain(kind, seconds=6.0)
    bare = ps.PhotonStream(
        photons.timestamps, photons.detectors, timestamps_unit=photons.timestamps_unit, duration=photons.duration
    )
    found = ps.classify_blinking(bare, flickering=NOT_ASKED)
    assert found.verdict == "undetermined"
    assert "nanotimes" in next(e.finding for e in found.evidence if e.name == "flid")
    assert not found.rates.size or np.isnan(found.lifetimes).all()


def test_steady_light_without_nanotimes_says_that_no_background_is_known():
    photons = plain("steady")
    bare = ps.PhotonStream(
        photons.timestamps, photons.detectors, timestamps_unit=photons.timestamps_unit, duration=photons.duration
    )
    found = ps.classify_blinking(bare)
    assert found.verdict == "steady"
    assert "no background was subtracted" in found.note


def test_bleaching_is_no_blinking():
    found = ps.classify_blinking(plain("bleached"))
    assert found.verdict == "steady"
    assert "there is no light" in found.evidence[0].finding


def test_a_single_step_between_two_levels_has_no_type():
    rng = np.random.default_rng(1)
    counts = np.repeat([200, 100], 500)
    ticks = np.repeat(np.arange(1000), counts) * 10_000 + rng.integers(0, 10_000, counts.sum())
    nano = np.minimum(rng.exponential(200, ticks.size) + 100, 1500).astype(int)
    photons = ps.PhotonStream(
        np.sort(ticks), np.zeros(ticks.size, int), nano, timestamps_unit=1e-6, tcspc_unit=64e-12, laser_period=1e-6,
        duration=10.0,
    )  # fmt: skip
    found = ps.classify_blinking(photons, background=0.0)
    assert found.verdict == "undetermined"
    assert "a step or a drift" in found.note


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_a_handful_of_photons_says_nothing(n):
    photons = ps.PhotonStream(
        np.arange(n) * 1000, np.zeros(n, int), np.arange(n) % 90, timestamps_unit=1e-6, tcspc_unit=1e-9,
        laser_period=1e-7, duration=1.0,
    )  # fmt: skip
    found = ps.classify_blinking(photons)
    assert found.verdict == "undetermined"
    assert "too few" in found.note
    assert sum(found.probability.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["A", "B", "flickering"])
def test_few_photons_are_never_called_steady_where_they_blink(kind):
    for seed in range(2):
        photons = dot_of(kind, seed, rate=400.0, seconds=15.0, t_min=0.05, contrast=6.0)[0]
        assert ps.classify_blinking(photons, flickering=NOT_ASKED).verdict in (kind, "undetermined")


def test_evidence_in_conflict_gives_no_type():
    odds = {"A": -4.0, "B": 0.0, "flickering": -9.0, "steady": -9.0}
    against = {"A": 0.0, "B": -3.0, "flickering": -3.0, "steady": 0.0}
    pieces = tuple(Evidence(name, "", 0.0, (0.0, 0.0), each) for name, each in (("flid", odds), ("events", against)))
    verdict, note = _verdict({"A": 0.05, "B": 0.95, "flickering": 0.0, "steady": 0.0}, pieces, {})
    assert verdict == "undetermined"
    assert "events speaks against B" in note


def test_a_background_must_name_every_detector():
    photons = plain("A", seconds=2.0)
    with pytest.raises(ValueError, match="no rate for detector"):
        ps.classify_blinking(photons, background={0: 100.0})


def test_segments_of_another_recording_are_refused():
    photons = plain("A", seconds=2.0)
    with pytest.raises(ValueError, match="reach beyond the recording"):
        ps.classify_blinking(photons, segments=ps.Segments([0.0, 1.0, 50.0], [10, 1000]))


# a drift, and what follows bleaching, are no blinking of any type
def shaped(kind, monkeypatch, shape, **settings):
    few = blinking_dots.few_levels

    def path(rng, s):
        edges, bright = few(rng, s)
        return shape(edges, bright, s)

    monkeypatch.setattr(blinking_dots, "few_levels", path)
    return ps.classify_blinking(plain(kind, **settings))


def test_a_drift_of_steady_light_has_no_type(monkeypatch):
    for amount in (0.1, 0.4):
        found = shaped("B", monkeypatch, lambda _e, _b, s, a=amount: _falling(s.seconds, a), seconds=10.0)
        assert found.verdict in ("undetermined", "steady")


@pytest.mark.parametrize(("rate", "period"), [(30e3, 3.0), (15e3, 5.0)])
def test_a_focus_that_comes_and_goes_has_no_type(rate, period, monkeypatch):
    found = shaped("B", monkeypatch, lambda _e, _b, s: _swinging(s.seconds, period), seconds=20.0, rate=rate)
    assert found.verdict in ("undetermined", "steady")


def _swinging(seconds, period):
    edges = np.linspace(0.0, seconds, 2000)
    return edges, (1.0 + 0.2 * np.sin(2.0 * np.pi * edges[:-1] / period)) / 1.2


def _falling(seconds, amount):
    edges = np.linspace(0.0, seconds, 400)
    return edges, 1.0 - amount * edges[:-1] / seconds


@pytest.mark.parametrize("kind", ["A", "B"])
def test_what_blinked_before_it_bleached_has_its_type(kind, monkeypatch):
    found = shaped(kind, monkeypatch, lambda e, b, s: (e, np.where(e[:-1] > 0.5 * s.seconds, 0.0, b)))
    assert found.verdict == kind


# ---------------------------------------------------------------------------------------------------- evidence
def below(x, y, error=0.03):
    x, y = np.array(x), np.array(y)
    return Below(x, y, np.full(x.size, error), np.full(x.size, 0.2), float(x.min()))


@pytest.mark.parametrize(("power", "best"), [(0.0, {"B"}), (1.0, {"A", "flickering"}), (1.8, {"A"}), (0.03, {"B"})])
def test_curves_speak_for_their_type(power, best):
    x = np.array([-2.0, -1.5, -1.0, -0.5])
    odds, anything = judge.lifetime_likelihoods(below(x, power * x))
    top = max(odds.values())
    assert {name for name, value in odds.items() if value > top - 1.0} == best
    assert top > anything


def test_lifetimes_that_rise_in_the_dim_follow_no_curve():
    odds, anything = judge.lifetime_likelihoods(below([-2.0, -1.5, -1.0], [1.0, 0.8, 0.6]))
    assert max(odds.values()) < anything - judge.STRANGE


def test_the_linear_flid_leaves_charging_and_flickering_open():
    groups = Groups(
        np.array([2000, 4000, 8000]), np.ones(3), np.array([2e3, 4e3, 8e3]), np.array([45.0, 63.0, 90.0]),
        np.array([4e-9, 8e-9, 16e-9]), np.array([1e-10, 1e-10, 1e-10]), 0.0,
    )  # fmt: skip
    found = judge.flid_evidence([groups])
    assert abs(found.log_odds["A"] - found.log_odds["flickering"]) < 1.0
    assert found.log_odds["B"] < -5.0
    assert found.interval[0] < 1.0 < found.interval[1]


def test_no_piece_of_evidence_exceeds_its_limit():
    for logs in ({"A": 0.0, "B": -1e6}, {"A": -3.0, "B": 900.0}):
        assert min(judge.of_logs(logs, 8.0).values()) >= -8.0
        assert max(judge.of_logs(logs, 8.0).values()) == 0.0


def test_groups_with_too_few_photons_join_a_neighbour():
    place = merged_groups(np.array([0, 1, 2, 3]), np.array([500, 5, 800, 10]), np.ones(4), 0.0)
    assert place.tolist() == [0, 0, 1, 1]


# ------------------------------------------------------------------------------------------------------ result
def test_result_has_text_picture_and_plain_types():
    found = ps.classify_blinking(plain("A"))
    assert list(found.probability) == list(TYPES)
    assert sum(found.probability.values()) == pytest.approx(1.0)
    assert found.summary().startswith("BlinkingType: A; probability A: ")
    assert all(e.name in found.summary() for e in found.evidence)
    saved = json.loads(json.dumps(found.to_dict()))
    assert saved["verdict"] == "A"
    assert saved["evidence"][0]["name"] == "modulation"
    ax = found.plot()
    side = ax.figure.axes[1]
    assert [t.get_text() for t in side.get_yticklabels()] == [e.name.replace("_", " ") for e in found.evidence]
    assert ax.get_xlabel() == "signal (kcps)"
    points = ax.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points[-1], [found.rates[-1] / 1e3, found.lifetimes[-1] * 1e9])
    mpl.pyplot.close("all")


def test_result_without_lifetimes_can_be_drawn():
    figure, ax = mpl.pyplot.subplots()
    photons = ps.PhotonStream([], [], timestamps_unit=1e-6, duration=1.0)
    assert ps.classify_blinking(photons).plot(ax) is ax
    assert ax.texts[0].get_text() == "no lifetimes"
    mpl.pyplot.close(figure)


# ------------------------------------------------------------------------------------------------------ studies
@pytest.mark.slow
def test_verdicts_and_probabilities_of_a_population():
    found = population(202, 120, ("A", "B", "flickering"), seconds=15.0)
    named = [(truth, r.verdict) for truth, r in found if r.verdict != "undetermined"]
    right = sum(truth == verdict for truth, verdict in named)
    assert right >= 0.95 * len(named), Counter(named)
    assert len(found) - len(named) <= 0.2 * len(found)
    sure = [r.probability[truth] > 0.5 for truth, r in found if max(r.probability.values()) >= 0.9]
    assert sum(sure) >= 0.9 * len(sure)


@pytest.mark.slow
def test_verdicts_of_a_wider_population():
    kinds = ("A", "B", "flickering", "A", "B", "flickering", "steady", "bleached")
    check_verdicts(population(203, 32, kinds, wide=True))
