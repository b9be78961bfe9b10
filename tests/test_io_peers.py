"""Other programs read the same photons, where they are right; where they are not, the test shows who is."""

import struct
from contextlib import nullcontext

import numpy as np
import pytest

import photonstats as ps
from peers import MEASURED, peer, still_wrong
from photonstats.stream import Markers
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


def test_a_fault_that_is_mended_is_said_to_be_so(monkeypatch):
    still_wrong("lmfit", fault=True, what="errs")
    monkeypatch.setattr("peers.version", lambda _: MEASURED["lmfit"])
    with pytest.raises(AssertionError, match="no longer errs: correct this test"):
        still_wrong("lmfit", fault=False, what="errs")
    monkeypatch.setattr("peers.version", lambda _: "99")
    with pytest.raises(pytest.skip.Exception, match="lmfit 99 no longer errs"):
        still_wrong("lmfit", fault=False, what="errs")


SHARED_PTU = ["hbt_pulsed_80MHz_t3.ptu", "formats/v30_t2.ptu", "formats/beads_hh2_t3_image.ptu"]


def agree_with_ptufile(path, stream):
    ptufile = peer("ptufile")
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
    reader = peer("phconvert.pqreader")
    stream = ps.read(shared_data / name)
    times, detectors, nanotimes = reader.load_ptu(str(shared_data / name))[:3]
    photons = detectors < 64  # its markers come as photons of detectors from 65
    assert np.array_equal(times[photons], stream.timestamps)
    assert np.array_equal(detectors[photons], stream.detectors)
    assert stream.nanotimes is None or np.array_equal(nanotimes[photons], stream.nanotimes)
    assert (~photons).sum() == len(stream.markers)


def test_phconvert_on_ht3_of_version_1(shared_data):
    reader = peer("phconvert.pqreader")
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
    reader = peer("phconvert.pqreader")
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
    tttrlib = peer("tttrlib")
    stream = ps.read(shared_data / name)
    other = tttrlib.TTTR(str(shared_data / name), "PTU")
    photons = other.event_types == 0  # its markers come among the photons
    assert np.array_equal(other.macro_times[photons], stream.timestamps)
    assert np.array_equal(other.routing_channels[photons], stream.detectors)
    if stream.nanotimes is not None:
        assert np.array_equal(other.micro_times[photons], stream.nanotimes)


@pytest.mark.parametrize("kind", ["HydraHarp2T3", "HydraHarpT3", "PicoHarp300T3"])
def test_tttrlib_on_t3(tmp_path, kind):
    tttrlib = peer("tttrlib")
    path = write(tmp_path, kind, markers=kind != "PicoHarp300T3")  # there they are photons of channel 15 to it
    stream, other = ps.read(path), tttrlib.TTTR(str(path), "PTU")
    photons = other.event_types == 0
    assert np.array_equal(other.macro_times[photons], stream.timestamps)
    assert np.array_equal(other.micro_times[photons], stream.nanotimes)


@pytest.mark.parametrize("name", ["v10.ht3", "v20.ht3", "symphotime_8ch_v10.ht3"])
def test_tttrlib_on_real_files_older_than_ptu(shared_data, name):
    tttrlib = peer("tttrlib")
    path = shared_data / "formats" / name
    with pytest.warns(ps.PhotonFileWarning) if "v10" in name else nullcontext():
        stream = ps.read(path)
    other = tttrlib.TTTR(str(path), "HT3")
    photons = other.event_types == 0
    assert np.array_equal(other.macro_times[photons], stream.timestamps)
    assert np.array_equal(other.routing_channels[photons], stream.detectors)
    assert np.array_equal(other.micro_times[photons], stream.nanotimes)


def test_tttrlib_on_photon_hdf5(tmp_path):
    tttrlib = peer("tttrlib")
    photons, _ = ps.simulate.pulsed(ps.simulate.Emitter(), duration=0.2, laser_period=200e-9, rate=40e3, seed=1)
    ps.write_photon_hdf5(photons, tmp_path / "a.h5")
    other = tttrlib.TTTR(str(tmp_path / "a.h5"), "PHOTON-HDF5")
    assert np.array_equal(other.macro_times, photons.timestamps)
    assert np.array_equal(other.micro_times, photons.nanotimes)
    assert np.array_equal(other.routing_channels, photons.detectors)
    assert other.header.macro_time_resolution == pytest.approx(photons.timestamps_unit, rel=1e-12)
    assert other.header.micro_time_resolution == pytest.approx(photons.tcspc_unit, rel=1e-12)


def test_tttrlib_counts_the_same_trace_and_decay(tmp_path):
    tttrlib = peer("tttrlib")
    photons, _ = ps.simulate.pulsed(ps.simulate.Emitter(), duration=1.0, laser_period=200e-9, rate=40e3, seed=2)
    ps.write_ptu(photons, tmp_path / "a.ptu")
    other = tttrlib.TTTR(str(tmp_path / "a.ptu"), "PTU")
    assert np.array_equal(other.get_intensity_trace(10e-3), ps.intensity_trace(photons, 10e-3).counts)
    counts, decay = other.get_microtime_histogram(1)[0], ps.decay(photons)
    assert np.array_equal(counts[: decay.counts.size], decay.counts)
    assert counts.sum() == len(photons)


def test_ptufile_on_a_real_response(shared_data):
    ptufile = peer("ptufile")
    path = shared_data / "formats" / "irf_picoharp.phu"
    with ptufile.PhuFile(path) as file:
        found = file.histograms(0)
    decay = ps.read_decay(path)
    assert np.array_equal(np.ravel(found[0] if isinstance(found, tuple) else found)[: decay.counts.size], decay.counts)
    assert decay.n_photons == 178_424


def some_events(seed, n, *, span=10**8, nanotimes=True, syncs=0, markers=12):
    """Return a stream of two detectors with markers of lines 1 and 2, and laser pulses."""
    rng = np.random.default_rng(seed)

    def times(k):
        return np.sort(rng.integers(0, span, k))

    unit = 200e-9 if nanotimes else 1e-12
    return ps.PhotonStream(
        times(n), rng.integers(0, 2, n), rng.integers(0, 3000, n) if nanotimes else None, timestamps_unit=unit,
        tcspc_unit=64e-12 if nanotimes else None, duration=np.ceil(span * unit * 1e3) / 1e3,
        markers=Markers(times(markers), 1 + np.arange(markers) % 2), syncs=times(syncs),
    )  # fmt: skip


def same(read, written):
    """Return whether the file came back: photons, markers and pulses, each apart from the others."""
    return all(
        np.array_equal(getattr(read, name), getattr(written, name))
        for name in ("timestamps", "detectors", "nanotimes", "syncs")
    ) and np.array_equal(read.markers.timestamps, written.markers.timestamps)


T2_WITH_SYNCS = ["HydraHarp2T2", "HydraHarpT2", "GenericT2", "TimeHarp260NT2", "TimeHarp260PT2"]


@pytest.mark.filterwarnings("ignore:.*its duration:photonstats.PhotonFileWarning")
@pytest.mark.parametrize("kind", T2_WITH_SYNCS)
def test_ptufile_shows_laser_pulses_as_photons_of_input_1(tmp_path, kind):
    """A sync record of T2 comes with the channel and marker of a photon of the first input."""
    ptufile = peer("ptufile")
    written = some_events(1, 400, nanotimes=False, syncs=250)
    ps.write_ptu(written, tmp_path / "a.ptu", kind)
    assert same(ps.read(tmp_path / "a.ptu"), written)
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        records = file.decode_records()
    first = (records["channel"] == 0) & (records["marker"] == 0)
    mixed = np.sort(np.concatenate([written.timestamps[written.detectors == 0], written.syncs]))
    assert np.array_equal(records["time"][records["channel"] == 1], written.timestamps[written.detectors == 1])
    still_wrong("ptufile", np.array_equal(records["time"][first], mixed), "shows laser pulses as photons of input 1")


@pytest.mark.parametrize("kind", T2_WITH_SYNCS)
def test_tttrlib_has_laser_pulses_and_markers_among_the_photons(tmp_path, kind):
    """Its arrays hold all records; a pulse has the channel of the first input, a marker that of the input beside."""
    tttrlib = peer("tttrlib")
    written = some_events(2, 400, nanotimes=False, syncs=250)
    ps.write_ptu(written, tmp_path / "a.ptu", kind)
    assert same(ps.read(tmp_path / "a.ptu"), written)
    other = tttrlib.TTTR(str(tmp_path / "a.ptu"), "PTU")
    assert np.array_equal(other.macro_times[other.event_types == 0], written.timestamps)  # right for those who ask
    first = np.sum(written.detectors == 0) + 250
    mixed = len(other) == 400 + 250 + 12 and np.sum(other.routing_channels == 0) == first
    still_wrong("tttrlib", mixed, "has laser pulses among the photons")


@pytest.mark.parametrize(("kind", "channels"), [("HydraHarp2T3", [0, 1, 2]), ("PicoHarp300T3", [1, 2, 15])])
def test_tttrlib_has_markers_among_the_photons(tmp_path, kind, channels):
    """Of a PicoHarp they are even typed as photons, of channel 15; of a HydraHarp they bear the number of an input."""
    tttrlib = peer("tttrlib")
    written = some_events(3, 400)
    ps.write_ptu(written, tmp_path / "a.ptu", kind)
    assert same(ps.read(tmp_path / "a.ptu"), written)
    other = tttrlib.TTTR(str(tmp_path / "a.ptu"), "PTU")
    mixed = len(other) == 412 and sorted(set(other.routing_channels.tolist())) == channels
    if kind == "PicoHarp300T3":
        mixed = mixed and np.sum(other.event_types == 0) > 400
    still_wrong("tttrlib", mixed, "has markers among the photons")


@pytest.mark.parametrize(("kind", "shown"), [("HydraHarp2T3", [65, 66]), ("GenericT3", [65, 66])])
def test_phconvert_shows_markers_as_photons_of_more_detectors(tmp_path, kind, shown):
    reader = peer("phconvert.pqreader")
    written = some_events(4, 400)
    ps.write_ptu(written, tmp_path / "a.ptu", kind)
    assert same(ps.read(tmp_path / "a.ptu"), written)
    times, detectors = reader.load_ptu(tmp_path / "a.ptu", ovcfunc="loop")[:2]
    assert np.array_equal(times[detectors < 64], written.timestamps)
    mixed = len(times) == 412 and sorted(set(detectors[detectors > 1].tolist())) == shown
    still_wrong("phconvert", mixed, "shows markers as photons")


def patched(path, name, value):
    """Change a whole number in the header of a PTU file."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<q", data, data.index(name.encode()) + 40, value)
    path.write_bytes(data)


def test_phconvert_reads_no_photons_where_the_header_counts_none(tmp_path):
    """A measurement that was not closed has a count of 0 and all its records: nothing is said, nothing is read."""
    reader, ptufile = peer("phconvert.pqreader"), peer("ptufile")
    written, path = some_events(5, 400), tmp_path / "a.ptu"
    ps.write_ptu(written, path)
    patched(path, "TTResult_NumberOfRecords", 0)
    with pytest.warns(ps.PhotonFileWarning, match="announces 0 records but the file holds"):
        assert same(ps.read(path), written)
    with ptufile.PtuFile(path) as file:  # it reads them too
        assert np.sum(file.decode_records()["channel"] >= 0) == 400
    found = reader.load_ptu(path, ovcfunc="loop")[0]
    still_wrong("phconvert", len(found) == 0, "reads no photons where the header counts none")


def test_phconvert_names_neither_file_nor_place_of_a_truncated_one(tmp_path):
    reader, ptufile = peer("phconvert.pqreader"), peer("ptufile")
    written, path = some_events(6, 400), tmp_path / "a.ptu"
    ps.write_ptu(written, path)
    path.write_bytes(path.read_bytes()[:-402])
    with pytest.warns(ps.PhotonFileWarning) as caught:
        stream = ps.read(path)
    assert any(
        f"a.ptu: the last record (byte {path.stat().st_size - 2}) is truncated" in str(w.message) for w in caught
    )
    assert 0 < len(stream) < 400
    assert np.array_equal(stream.timestamps, written.timestamps[: len(stream)])
    with ptufile.PtuFile(path) as file:  # it keeps the whole records too
        records = file.decode_records()
    assert np.array_equal(records["time"][records["channel"] >= 0], stream.timestamps)
    try:
        reader.load_ptu(path, ovcfunc="loop")
    except ValueError as error:
        bare = "a.ptu" not in str(error) and not any(c.isdigit() for c in str(error))
    else:
        bare = False
    still_wrong("phconvert", bare, "raises a bare ValueError for a truncated file")


@pytest.mark.parametrize("kind", ["HydraHarp2T3", "TimeHarp260NT3", "TimeHarp260PT3", "GenericT3"])
def test_tttrlib_ignores_overflow_records_of_count_0(tmp_path, kind):
    """Such a record stands for one overflow, as in records of version 1; it stands still there, but for GenericT3."""
    tttrlib, ptufile, reader = peer("tttrlib"), peer("ptufile"), peer("phconvert.pqreader")
    times = np.array([100, 1024 + 200, 3 * 1024 + 300])
    written = ps.PhotonStream(
        times, [0, 1, 0], [5, 6, 7], timestamps_unit=200e-9, tcspc_unit=64e-12, duration=1e-3
    )  # fmt: skip
    path = tmp_path / "a.ptu"
    ps.write_ptu(written, path, kind)
    data = path.read_bytes()
    assert data.count(struct.pack("<I", 0xFE000001)) > 0
    path.write_bytes(data.replace(struct.pack("<I", 0xFE000001), struct.pack("<I", 0xFE000000)))
    assert same(ps.read(path), written)
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
    assert np.array_equal(records["time"][records["channel"] >= 0], times)
    assert np.array_equal(reader.load_ptu(path, ovcfunc="loop")[0], times)
    found = tttrlib.TTTR(str(path), "PTU").macro_times
    if kind == "GenericT3":
        assert np.array_equal(found, times)
    else:
        still_wrong("tttrlib", np.array_equal(found, times - [0, 1024, 1024]), "ignores overflows of count 0")


def test_phconvert_takes_a_marker_of_t3r_for_an_overflow(shared_data):
    """The first record of this file is a marker: all its times are 65 536 ticks late, past the end of the measurement.

    The hardware counts delays backwards from 4095; they are left so.
    """
    reader = peer("phconvert.pqreader")
    path = shared_data / "formats" / "v50.t3r"
    with pytest.warns(ps.PhotonFileWarning, match="truncated"):
        stream = ps.read(path)
    times, valid, nanotimes = reader.load_t3r(str(path))[:3]
    photons = valid == 1
    assert stream.duration == 9.344
    assert 0 <= stream.duration - stream.timestamps[-1] * stream.timestamps_unit < 1e-3
    assert len(stream.markers) == 1
    late = np.array_equal(times[photons], stream.timestamps + 65_536)
    backwards = np.array_equal(nanotimes[photons], 4095 - stream.nanotimes)
    still_wrong("phconvert", late and backwards, "takes a marker of T3R for an overflow")
