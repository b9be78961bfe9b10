"""Other programs read the same photons, where they are right; where they are not, the case is left out and named."""

import numpy as np
import pytest

import photonstats as ps
from pq_files import RECORD_TYPES, encode, is_t2, legacy, ptu, wrap_of


def synthetic(kind, n=3000, seed=3, markers=True):
    """Return the records of photons, and markers, over 60 overflow periods; no syncs."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 60 * wrap_of(kind), n)).tolist()
    detectors = 2 if kind == "PicoHarp300T2" else 4
    events = [
        ("marker", t & ~15 if kind == "PicoHarp300T2" else t, 2)
        if markers and i % 100 == 50
        else ("photon", t, int(rng.integers(detectors)), 0 if is_t2(kind) else int(rng.integers(1, 4000)))
        for i, t in enumerate(times)
    ]
    return encode(kind, events)


def write(tmp_path, kind, **options):
    unit = 1e-12 if is_t2(kind) else 200e-9
    data = ptu(kind, synthetic(kind, **options), stop_ms=max(1, round(60 * wrap_of(kind) * unit * 1000)))
    path = tmp_path / "file.ptu"
    path.write_bytes(data)
    return path


SHARED_PTU = ["hbt_pulsed_80MHz_t3.ptu", "formats/v30_t2.ptu", "formats/beads_hh2_t3_image.ptu"]


def agree_with_ptufile(path, stream):
    ptufile = pytest.importorskip("ptufile")
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
        assert stream.timestamps_unit == file.global_resolution
    photons = records[records["channel"] >= 0]
    assert np.array_equal(photons["time"], stream.timestamps)
    assert np.array_equal(photons["channel"] - photons["channel"].min(initial=0), stream.detectors)
    if stream.nanotimes is not None:
        assert np.array_equal(photons["dtime"], stream.nanotimes)
    marks = records[records["marker"] > 0]
    low_bits = 15 if stream.info.record_type == "PicoHarp300T2" else 0  # where ptufile leaves marker bits in the time
    assert np.array_equal(marks["time"].astype(np.int64) & ~low_bits, stream.markers.timestamps)
    assert np.array_equal(marks["marker"], stream.markers.bits)


@pytest.mark.parametrize("name", SHARED_PTU)
def test_ptufile_on_real_files(shared_data, name):
    agree_with_ptufile(shared_data / name, ps.read(shared_data / name))


@pytest.mark.parametrize("kind", RECORD_TYPES)
def test_ptufile_on_every_record_type(tmp_path, kind):
    path = write(tmp_path, kind)
    agree_with_ptufile(path, ps.read(path))


@pytest.mark.parametrize("name", SHARED_PTU)
def test_phconvert_on_real_files(shared_data, name):
    reader = pytest.importorskip("phconvert.pqreader")
    stream = ps.read(shared_data / name)
    times, detectors, nanotimes = reader.load_ptu(str(shared_data / name))[:3]
    photons = detectors < 64  # its markers come as photons of detectors from 65
    assert np.array_equal(times[photons], stream.timestamps)
    assert np.array_equal(detectors[photons], stream.detectors)
    assert stream.nanotimes is None or np.array_equal(nanotimes[photons], stream.nanotimes)
    assert (~photons).sum() == len(stream.markers)


def test_phconvert_on_ht3_of_version_1(shared_data):
    reader = pytest.importorskip("phconvert.pqreader")
    path = shared_data / "formats" / "symphotime_8ch_v10.ht3"
    with pytest.warns(ps.PhotonFileWarning, match="lasted 1960 s but its records end at 4.95"):
        stream = ps.read(path)
    times, detectors, nanotimes = reader.load_ht3(str(path))[:3]
    photons = detectors < 64  # overflow records stay among the photons
    assert np.array_equal(times[photons], stream.timestamps)
    assert np.array_equal(detectors[photons], stream.detectors)
    assert np.array_equal(nanotimes[photons], stream.nanotimes)


def test_phconvert_on_pt3(tmp_path):
    """It refuses strings padded with spaces and dates without seconds, as in the real files; so here they are clean."""
    reader = pytest.importorskip("phconvert.pqreader")
    data = bytearray(legacy("PT3", synthetic("PicoHarp300T3", markers=False), stop_ms=786))
    data[0x10:0x16], data[0x34:0x46] = b"2.0\0\0\0", b"10/03/14 17:12:01\0"
    path = tmp_path / "file.pt3"
    path.write_bytes(data)
    stream = ps.read(path)
    times, detectors, nanotimes = reader.load_pt3(str(path))[:3]
    photons = detectors < 15  # overflow records stay among the photons
    assert np.array_equal(times[photons], stream.timestamps)
    assert np.array_equal(detectors[photons] - 1, stream.detectors)
    assert np.array_equal(nanotimes[photons], stream.nanotimes)


@pytest.mark.parametrize("name", SHARED_PTU)
def test_tttrlib_on_real_files(shared_data, name):
    tttrlib = pytest.importorskip("tttrlib")
    stream = ps.read(shared_data / name)
    other = tttrlib.TTTR(str(shared_data / name), "PTU")
    photons = other.event_types == 0  # its markers come among the photons
    assert np.array_equal(other.macro_times[photons], stream.timestamps)
    assert np.array_equal(other.routing_channels[photons], stream.detectors)
    if stream.nanotimes is not None:
        assert np.array_equal(other.micro_times[photons], stream.nanotimes)


@pytest.mark.parametrize("kind", ["HydraHarp2T3", "HydraHarpT3", "PicoHarp300T3"])
def test_tttrlib_on_t3(tmp_path, kind):
    tttrlib = pytest.importorskip("tttrlib")
    path = write(tmp_path, kind, markers=kind != "PicoHarp300T3")  # there they are photons of channel 15 to it
    stream, other = ps.read(path), tttrlib.TTTR(str(path), "PTU")
    photons = other.event_types == 0
    assert np.array_equal(other.macro_times[photons], stream.timestamps)
    assert np.array_equal(other.micro_times[photons], stream.nanotimes)
