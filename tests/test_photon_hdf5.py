"""Photon-HDF5: exact round trips, files of others, damage."""

import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photonstats.errors import PhotonFileError, PhotonFileWarning
from photonstats.io.photon_hdf5 import info_photon_hdf5, read_photon_hdf5, scan_photon_hdf5, write_photon_hdf5
from photonstats.stream import FileInfo, Markers, PhotonStream

h5py = pytest.importorskip("h5py")

COLUMNS = ("timestamps", "detectors", "nanotimes", "syncs")
SCALARS = ("timestamps_unit", "tcspc_unit", "laser_period", "duration", "start", "pulse_clock")


def make(seed=0, n=500, *, nanotimes=True, start=0.0, **more):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(0, 40, n)) + int(start / 1.25e-8)
    end = int(times[-1]) if n else int(start / 1.25e-8)
    return PhotonStream(
        times,
        rng.integers(0, 4, n),
        rng.integers(0, 700, n) if nanotimes else None,
        timestamps_unit=1.25e-8,
        tcspc_unit=16e-12 if nanotimes else None,
        start=start,
        duration=(end + 100) * 1.25e-8 - start,
        **more,
    )


def assert_same(a, b):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
        if getattr(b, name) is not None:
            assert getattr(a, name).dtype == getattr(b, name).dtype
    np.testing.assert_array_equal(a.markers.timestamps, b.markers.timestamps)
    np.testing.assert_array_equal(a.markers.bits, b.markers.bits)
    for name in SCALARS:
        assert getattr(a, name) == getattr(b, name), name


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 60),
    kind=st.sampled_from(["T3", "T3 with period", "T3 on a quartz", "T2", "T2 with syncs"]),
    start=st.sampled_from([0.0, 3.3]),
)
def test_a_stream_comes_back_exactly(seed, n, kind, start, tmp_path_factory):
    more = {
        "T3": {},
        "T3 with period": {"laser_period": 1.2501e-8},
        "T3 on a quartz": {"laser_period": 5e-8, "pulse_clock": False},
        "T2": {"laser_period": 1e-7},
        "T2 with syncs": {"syncs": [3, 9, 15]},
    }[kind]
    marks = Markers([1, 5, 5], [1, 2, 15]) if seed % 2 else Markers([], [])
    photons = make(seed, n, nanotimes=kind.startswith("T3"), start=start, markers=marks, **more)
    path = tmp_path_factory.mktemp("any") / "a.h5"
    write_photon_hdf5(photons, path)
    assert_same(read_photon_hdf5(path), photons)
    pieces = list(scan_photon_hdf5(path, 7))
    for name in COLUMNS:
        if getattr(photons, name) is not None:
            together = np.concatenate([getattr(piece, name) for piece in pieces])
            np.testing.assert_array_equal(together, getattr(photons, name), name)
    np.testing.assert_array_equal(np.concatenate([p.markers.bits for p in pieces]), photons.markers.bits)


def test_the_file_is_valid_and_says_where_it_comes_from(tmp_path, capsys):
    hdf5 = pytest.importorskip("phconvert.hdf5")
    info = FileInfo(
        "/data/dot 8.ptu", "PTU", "HydraHarp2T3", 3, 500, {"CreatorSW_Name": "AcqUI", "CreatorSW_Version": "3"}
    )
    path = tmp_path / "a.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_photon_hdf5(make(info=info), path, description="dot 8")
    assert capsys.readouterr().out == ""
    import tables

    with tables.open_file(path) as file:
        hdf5.assert_valid_photon_hdf5(file, warnings=False)
    tags = info_photon_hdf5(path).tags
    assert tags["description"] == "dot 8"
    assert tags["provenance/filename"] == "dot 8.ptu"
    assert (tags["provenance/software"], tags["provenance/software_version"]) == ("AcqUI", "3")
    assert tags["identity/filename"] == "a.h5"
    assert tags["identity/software"] == "photonstats"
    assert tags["user/photonstats/source_record_type"] == "HydraHarp2T3"
    assert tags["setup/detectors/counts"] == list(make().counts_per_detector.values())
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_info_is_the_header_alone(tmp_path):
    write_photon_hdf5(make(), tmp_path / "a.h5")
    info = info_photon_hdf5(tmp_path / "a.h5")
    assert (info.format, info.measurement_mode, info.n_records) == ("Photon-HDF5", 3, 500)


def test_ptu_to_hdf5_to_ptu_is_exact(tmp_path, shared_data):
    from photonstats import io

    first = io.read(shared_data / "formats" / "beads_hh2_t3_image.ptu")
    io.write_photon_hdf5(first, tmp_path / "a.h5")
    second = io.read(tmp_path / "a.h5")
    io.write_ptu(second, tmp_path / "b.ptu", "HydraHarp2T3")
    third = io.read(tmp_path / "b.ptu")
    assert_same(second, first)
    assert len(first.markers) == 100
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(third, name), getattr(first, name), name)
    np.testing.assert_array_equal(third.markers.timestamps, first.markers.timestamps)
    assert (third.timestamps_unit, third.tcspc_unit) == (first.timestamps_unit, first.tcspc_unit)


def test_windows_of_a_scan_tile_the_recording(tmp_path):
    photons = make(3, 5000, start=1.0, syncs=np.arange(0, 90_000_000, 50_000))
    photons = photons._with(slice(None), timestamps=photons.timestamps // 64 * 64 + 64)  # many photons on one tick
    write_photon_hdf5(photons, tmp_path / "a.h5")
    pieces = list(scan_photon_hdf5(tmp_path / "a.h5", 300))
    assert len(pieces) > 10
    assert pieces[0].start == photons.start
    for a, b in pairwise(pieces):
        assert b.start == pytest.approx(a.start + a.duration, abs=1e-15)
        assert a.timestamps[-1] < b.timestamps[0]
        assert b.timestamps[0] * b.timestamps_unit >= b.start - 1e-15
    assert sum(p.duration for p in pieces) == pytest.approx(photons.duration, rel=1e-12)
    np.testing.assert_array_equal(np.concatenate([p.timestamps for p in pieces]), photons.timestamps)
    np.testing.assert_array_equal(np.concatenate([p.syncs for p in pieces]), photons.syncs)


def foreign(path, *, times=None, detectors=None, nanotimes=None, unit=1e-7, group="photon_data", mode="w", **extra):
    """Write the fields that another program would, with h5py."""
    times = np.arange(0, 1000, 10) if times is None else np.asarray(times)
    with h5py.File(path, mode) as file:
        data = file.require_group(group)
        data.create_dataset(
            "timestamps", data=times, chunks=True if times.size else None, compression=extra.pop("zip", None)
        )
        if unit is not None:
            data["timestamps_specs/timestamps_unit"] = unit
        if detectors is not None:
            data["detectors"] = np.asarray(detectors)
        if nanotimes is not None:
            data["nanotimes"] = np.asarray(nanotimes)
        for name, value in extra.items():
            if value is not None and f"{name}".replace("__", "/") not in file:
                file[name.replace("__", "/")] = value
    return path


def test_files_without_detectors_and_nanotimes(tmp_path):
    photons = read_photon_hdf5(foreign(tmp_path / "a.h5", acquisition_duration=1.0))
    assert photons.counts_per_detector == {0: 100}
    assert photons.nanotimes is None
    assert (photons.duration, photons.laser_period, photons.pulse_clock) == (1.0, None, False)


@pytest.mark.parametrize(("rate", "pulse_clock"), [(1e7, True), (2e7, False)])
def test_timestamps_may_count_a_quartz_beside_the_laser(rate, pulse_clock, tmp_path):
    path = foreign(
        tmp_path / "a.h5",
        nanotimes=np.arange(100, dtype=np.int64),
        acquisition_duration=1.0,
        photon_data__nanotimes_specs__tcspc_unit=1e-11,
        photon_data__measurement_specs__laser_repetition_rate=rate,
    )
    photons = read_photon_hdf5(path)
    assert photons.laser_period == pytest.approx(1 / rate)
    assert photons.pulse_clock is pulse_clock
    assert photons.nanotimes.tolist() == list(range(100))


def test_detectors_declared_as_no_photons_are_markers(tmp_path):
    path = foreign(
        tmp_path / "a.h5",
        detectors=np.arange(100) % 5 + np.where(np.arange(100) % 5 > 2, 61, 0),
        acquisition_duration=1.0,
        photon_data__measurement_specs__detectors_specs__non_photon_id1=np.array([64]),
        photon_data__measurement_specs__detectors_specs__non_photon_id2=np.array([65]),
    )
    photons = read_photon_hdf5(path)
    assert photons.counts_per_detector == {0: 20, 1: 20, 2: 20}
    assert photons.markers.timestamps[:4].tolist() == [30, 40, 80, 90]
    assert photons.markers.bits[:4].tolist() == [1, 2, 1, 2]
    pieces = list(scan_photon_hdf5(path, 13))
    np.testing.assert_array_equal(np.concatenate([p.markers.timestamps for p in pieces]), photons.markers.timestamps)
    np.testing.assert_array_equal(np.concatenate([p.timestamps for p in pieces]), photons.timestamps)


def test_several_spots_must_be_chosen_from(tmp_path):
    path = foreign(tmp_path / "a.h5", group="photon_data0", acquisition_duration=1.0)
    foreign(path, group="photon_data12", times=[5, 6], mode="a")
    with pytest.raises(PhotonFileError, match=r"found 2 \(photon_data0, photon_data12\): .*spot=0\)"):
        read_photon_hdf5(path)
    assert len(read_photon_hdf5(path, spot=12)) == 2
    assert sum(len(p) for p in scan_photon_hdf5(path, 9, spot=0)) == 100
    with pytest.raises(PhotonFileError, match="there is no spot 1; spots are 0, 12"):
        read_photon_hdf5(path, spot=1)


def test_blosc_that_h5py_cannot_read(tmp_path):
    tables = pytest.importorskip("tables")
    path = foreign(tmp_path / "a.h5", acquisition_duration=1.0)
    with tables.open_file(path, "a") as file:
        values = file.root.photon_data.timestamps.read()
        file.remove_node("/photon_data/timestamps")
        file.create_carray("/photon_data", "timestamps", obj=values, filters=tables.Filters(5, "blosc"))
    np.testing.assert_array_equal(read_photon_hdf5(path).timestamps, np.arange(0, 1000, 10))


def test_a_rounded_duration_is_stretched_to_the_last_photon(tmp_path):
    path = foreign(tmp_path / "a.h5", times=np.arange(1000) * 1040, acquisition_duration=0.1)
    photons = read_photon_hdf5(path)
    assert (photons.start, photons.duration) == (0.0, pytest.approx(999 * 1040e-7))
    foreign(path, times=10**9 + np.arange(1000) * 1000, acquisition_duration=0.1)
    photons = read_photon_hdf5(path)
    assert (photons.start, photons.duration) == (pytest.approx(100.0), pytest.approx(0.1))


def test_a_duration_that_cannot_be_is_warned_about(tmp_path):
    with pytest.warns(PhotonFileWarning, match="expected acquisition_duration in s, found None"):
        assert read_photon_hdf5(foreign(tmp_path / "a.h5")).duration == pytest.approx(99e-6)
    path = foreign(tmp_path / "b.h5", times=np.arange(100) * 10**6, acquisition_duration=0.5)
    with pytest.warns(PhotonFileWarning, match=r"acquisition_duration is 0\.5 s but photons run from 0 s to 9\.9 s"):
        assert read_photon_hdf5(path).duration == pytest.approx(9.9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"times": [5, 9, 7]}, "time runs backwards at photon 2: 7 after 9 ticks"),
        ({"unit": None}, "expected photon_data/timestamps_specs/timestamps_unit in s, found None"),
        ({"unit": -1.0}, r"timestamps_unit in s, found -1\.0"),
        ({"times": [0.5, 1.5]}, "timestamps: expected whole numbers in one dimension, found float64"),
        ({"times": [[1, 2], [3, 4]]}, r"expected whole numbers in one dimension, found int64\(2, 2\)"),
        ({"times": np.array([1, 2**63 + 5], np.uint64)}, "expected timestamps .* 9223372036854775813 at photon 1"),
        ({"detectors": [1, 2]}, "detectors: expected 100 values, one for each timestamp, found 2"),
        ({"detectors": np.full(100, 256)}, "expected detectors of 0 to 255, found 256 at photon 0"),
        ({"nanotimes": np.full(100, 9)}, "expected photon_data/nanotimes_specs/tcspc_unit in s, .* found nothing"),
        ({"group": "spots"}, "expected Photon-HDF5 with the group photon_data, found an HDF5 file with .*spots"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(fields, message, tmp_path):
    path = foreign(tmp_path / "a.h5", **({"acquisition_duration": 1.0} | fields))
    with pytest.raises(PhotonFileError, match=message):
        read_photon_hdf5(path)
    with pytest.raises(PhotonFileError, match=r"a\.h5: "):
        for _ in scan_photon_hdf5(path, 10):
            pass


def test_time_may_not_run_backwards_between_pieces(tmp_path):
    path = foreign(tmp_path / "a.h5", times=[1, 1, 1, 0, 0, 0], acquisition_duration=1.0)
    with pytest.raises(PhotonFileError, match="photon 3: 0 after 1"):
        list(scan_photon_hdf5(path, 3))


@pytest.mark.parametrize("chunks", [(1000,), (1 << 28,), None])
def test_an_absurd_shape_takes_no_memory(chunks, tmp_path):
    path = foreign(tmp_path / "a.h5", acquisition_duration=1.0)
    with h5py.File(path, "a") as file:
        del file["photon_data/timestamps"]
        more = {"chunks": chunks, "compression": "gzip"} if chunks else {}
        data = file["photon_data"].create_dataset("timestamps", shape=(1 << 40,), dtype="i8", **more)
        if chunks:
            data.id.write_direct_chunk((0,), b"x" * 50)
    tracemalloc.start()
    with pytest.raises(PhotonFileError, match="photon_data/timestamps: expected"):
        read_photon_hdf5(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_bad_chunk_is_named(tmp_path):
    path = foreign(tmp_path / "a.h5", times=np.arange(100_000), zip="gzip", acquisition_duration=1.0)
    with h5py.File(path) as file:
        chunk = file["photon_data/timestamps"].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(PhotonFileError, match="expected timestamps 0 to 100000, found damage: "):
        read_photon_hdf5(path)


def test_truncated_and_foreign_files(tmp_path):
    path = tmp_path / "a.h5"
    write_photon_hdf5(make(), path)
    whole = path.read_bytes()
    for size in (8, 100, 2000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(PhotonFileError, match=r"a\.h5: expected"):
            read_photon_hdf5(path)
    with pytest.raises(FileNotFoundError):
        read_photon_hdf5(tmp_path / "none.h5")


def test_flipped_bytes_never_give_another_error(tmp_path):
    path = tmp_path / "a.h5"
    write_photon_hdf5(make(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 8):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_photon_hdf5(path)
            except PhotonFileError as error:
                assert "a.h5" in str(error)  # noqa: PT017


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    hdf5 = pytest.importorskip("phconvert.hdf5")

    def fail(*_, **__):
        raise hdf5.Invalid_PhotonHDF5("no")

    monkeypatch.setattr(hdf5, "assert_valid_photon_hdf5", fail)
    with pytest.raises(OSError, match="disk full"):
        write_photon_hdf5(make(), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_scanning_needs_memory_for_a_piece_only(tmp_path):
    n = 400_000
    photons = PhotonStream(np.arange(n), np.zeros(n, int), timestamps_unit=1e-9, duration=1.0)
    write_photon_hdf5(photons, tmp_path / "a.h5")
    tracemalloc.start()
    assert sum(len(piece) for piece in scan_photon_hdf5(tmp_path / "a.h5", 10_000)) == n
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_file_that_arrived_cut_is_an_error(tmp_path, monkeypatch):
    from photonstats.io import photon_hdf5

    monkeypatch.setattr(photon_hdf5, "scan_photon_hdf5", lambda _: iter([make()[:1]]))
    with pytest.raises(OSError, match="cut; is it full"):
        write_photon_hdf5(make(), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []
