"""PhotonStream: checks, selections, and what they keep."""

import numpy as np
import pytest

import photonstats as ps


def make(n=10, **changes):
    values = {
        "timestamps": np.arange(n) * 100,
        "detectors": np.arange(n) % 2,
        "nanotimes": np.arange(n) * 3,
        "timestamps_unit": 1e-7,
        "tcspc_unit": 1e-11,
        "laser_period": 1e-7,
        "duration": n * 1e-5,
    }
    return ps.PhotonStream(**(values | changes))


def test_arrays_are_typed_and_read_only():
    photons = make()
    assert (photons.timestamps.dtype, photons.detectors.dtype, photons.nanotimes.dtype) == (
        np.int64,
        np.uint8,
        np.uint16,
    )
    with pytest.raises(ValueError, match="read-only"):
        photons.timestamps[0] = 1


def test_the_stream_does_not_follow_the_array_it_was_made_of():
    times = np.arange(10) * 100
    photons = make(timestamps=times)
    times[0] = -5
    assert photons.timestamps[0] == 0


def test_arrival_adds_the_nanotime_only_to_pulse_counts():
    np.testing.assert_allclose(make().arrival_times, np.arange(10) * 1e-5 + np.arange(10) * 3e-11, rtol=1e-15)
    np.testing.assert_allclose(make(laser_period=25e-9).arrival_times, np.arange(10) * 1e-5, rtol=1e-15)
    assert make(laser_period=None).pulse_clock


def test_only_between_changes_the_window():
    photons = make(10)
    for part in (
        photons[2:4],
        photons[photons.detectors == 1],
        photons.select(detectors=0),
        photons.gate(3e-11, 9e-11),
    ):
        assert part.duration == photons.duration
        assert part.start == photons.start
    part = photons.between(2e-5, 5e-5)
    assert part.timestamps.tolist() == [200, 300, 400]
    assert part.duration == pytest.approx(3e-5)
    assert part.start == 2e-5


def test_between_past_the_end_adds_no_empty_seconds():
    photons = make(10)
    assert photons.between(5e-5, 1.0).duration == pytest.approx(5e-5)
    assert len(photons.between(5e-5, 1.0)) == 5
    with pytest.raises(ValueError, match="holds nothing of the recorded window"):
        photons.between(1.0, 2.0)


def test_halves_make_the_whole():
    photons = make(11)
    halves = [photons.between(0, 4.2e-5), photons.between(4.2e-5, 1)]
    assert sum(len(h) for h in halves) == len(photons)
    assert sum(h.duration for h in halves) == pytest.approx(photons.duration)


def test_gate_is_half_open_in_seconds():
    assert make().gate(3e-11, 9e-11).nanotimes.tolist() == [3, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamps": np.arange(10)[::-1]}, "backwards at photon 1: 8 after 9"),
        ({"timestamps": np.arange(9)}, "9 timestamps but 10 detectors"),
        ({"nanotimes": np.arange(9)}, "10 timestamps but 9 nanotimes"),
        ({"detectors": np.full(10, 256)}, "detectors must lie in 0 to 255"),
        ({"timestamps": np.arange(10) * 0.5}, "whole numbers"),
        ({"tcspc_unit": None}, "nanotimes need tcspc_unit"),
        ({"timestamps_unit": 0.0}, "timestamps_unit must be a positive time"),
        ({"duration": np.nan}, "duration must be a time"),
        ({"duration": 1e-6}, "do not fit the recorded window"),
        ({"timestamps": np.zeros((5, 2), int)}, "one-dimensional"),
    ],
)
def test_bad_streams_are_refused_by_name_and_value(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_read_only_view_of_an_array_is_copied_too():
    times = np.arange(10) * 100
    view = times.view()
    view.flags.writeable = False
    photons = make(timestamps=view)
    times[0] = -5
    assert photons.timestamps[0] == 0


@pytest.mark.parametrize("bad", [-1, 256, 0.5, [[0]]])
def test_detectors_that_cannot_be_are_named(bad):
    with pytest.raises(ValueError, match="numbered 0 to 255"):
        make().select(detectors=bad)
    with pytest.raises(ValueError, match="numbered 0 to 255"):
        ps.intensity_trace(make(), 1e-5, bad)


def test_indexing_that_could_reorder_is_refused():
    with pytest.raises(TypeError, match="slice or a boolean mask"):
        make()[np.array([3, 1])]
    with pytest.raises(ValueError, match="forward"):
        make()[::-1]


def test_no_photons_is_a_stream_too():
    photons = ps.PhotonStream([], [], timestamps_unit=1e-12, duration=2.0)
    assert len(photons) == 0
    assert photons.rate == 0
    assert photons.arrival_times.size == 0


def test_repr_names_what_it_is():
    assert repr(make()) == "PhotonStream: 10 photons, detectors {0: 5, 1: 5}, duration 0.0001 s, rate 100000 Hz"


def test_a_gate_of_no_number_is_refused():
    photons = ps.PhotonStream([0, 1], [0, 0], [0, 2], timestamps_unit=4e-9, tcspc_unit=1e-9, duration=8e-9)
    with pytest.raises(ValueError, match="two times in seconds"):
        photons.gate(float("nan"), 1.0)
