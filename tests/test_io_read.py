"""Reading: every record type against a slow decoder, real files against their known facts, pieces against the whole."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import photonstats as ps
from photonstats.io import READERS
from photonstats.io import decode as decoding
from photonstats.io.formats import RecordType
from photonstats.io.recording import LAYOUTS, TIMEHARP200
from photonstats.kernels import records as kernels
from pq_files import LEGACY, RECORD_TYPES, decode, encode, is_t2, legacy, ptu, wrap_of

ALL = [*RECORD_TYPES, "TimeHarp200T3"]


def build(kind, words, **header):
    """Return the bytes of a file of a PTU record type or of a format before PTU."""
    return ptu(kind, words, **header) if kind in RECORD_TYPES else legacy(kind, words, **header)


def events_of(kind, n=400, seed=1, span=40):
    """Return photons, markers and syncs over `span` overflow periods."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, span * wrap_of(kind), n)).tolist()
    detectors = 4 if kind[:4] in ("Pico", "Time") and "260" not in kind else 9
    events = []
    for i, t in enumerate(times):
        if i % 37 == 5:
            events.append(("marker", t & ~15 if kind == "PicoHarp300T2" else t, 1 + i % 7))
        elif i % 11 == 3 and is_t2(kind) and not kind.startswith("Pico"):
            events.append(("sync", t))
        else:
            events.append(("photon", t, int(rng.integers(detectors)), 0 if is_t2(kind) else int(rng.integers(4096))))
    return events


def stop_of(kind, unit=None):
    """Return the whole milliseconds that hold `events_of(kind)`."""
    return math.ceil(40 * wrap_of(kind) * (unit or (1e-12 if is_t2(kind) else 200e-9)) * 1000)


def save(tmp_path, data, name="file.bin"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def expect(stream, events, kind):
    photons = [e for e in events if e[0] == "photon"]
    assert stream.timestamps.tolist() == [e[1] for e in photons]
    assert stream.detectors.tolist() == [e[2] for e in photons]
    if is_t2(kind):
        assert stream.nanotimes is None
    else:
        assert stream.nanotimes.tolist() == [e[3] for e in photons]
    markers = [e for e in events if e[0] == "marker"]
    got = stream.markers.timestamps & ~15 if kind == "PicoHarp300T2" else stream.markers.timestamps
    assert got.tolist() == [e[1] for e in markers]
    assert stream.markers.bits.tolist() == [e[2] for e in markers]
    assert stream.syncs.tolist() == [e[1] for e in events if e[0] == "sync"]


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=60)
@given(st.data())
def test_kernels_agree_with_a_slow_decoder(kind, data):
    """Any 32-bit words whatever: the same photons, markers, syncs and the same place where time runs backwards."""
    layout = TIMEHARP200 if kind == "TimeHarp200T3" else LAYOUTS[RecordType[kind]]
    special = st.sampled_from([0xFE000000, 0xFE000003, 0x80000005, 0x86000009, 0xF0000000, 0xF0010002, 0x08000000])
    words = data.draw(st.lists(st.one_of(st.integers(0, 2**32 - 1), special, st.integers(0, 2000)), max_size=40))
    records = np.array(words, np.uint32)
    photons, markers, syncs, bad = decode(kind, words)
    totals = getattr(kernels, layout.count)(records, layout.wrap, layout.mask)
    t3 = not is_t2(kind)
    out = decoding.Columns(
        np.empty(totals[0], np.int64), np.empty(totals[0], np.uint8),
        np.empty(totals[0] if t3 else 0, np.uint16), np.empty(0 if t3 else totals[2], np.int64),
    )  # fmt: skip
    marks = np.empty(totals[1], np.int64), np.empty(totals[1], np.uint8)
    index = getattr(kernels, layout.decode)(
        records, layout.wrap, layout.mask, 0, -1, -1, out.timestamps, out.detectors, out.nanotimes, *marks, out.syncs
    )
    assert index == bad
    if bad < 0:
        assert totals[0] == len(photons)
        assert totals[1] == len(markers)
        assert sum(totals[:4]) <= len(words)
    n = len(photons)
    assert out.timestamps[:n].tolist() == [p[0] for p in photons]
    assert out.detectors[:n].tolist() == [p[1] for p in photons]
    if t3:
        assert out.nanotimes[:n].tolist() == [p[2] for p in photons]
    assert [*zip(marks[0][: len(markers)].tolist(), marks[1][: len(markers)].tolist(), strict=True)] == markers
    assert t3 or out.syncs[: len(syncs)].tolist() == syncs


@pytest.mark.parametrize("kind", RECORD_TYPES)
def test_ptu_of_every_record_type(tmp_path, kind):
    events = events_of(kind)
    stream = ps.read(save(tmp_path, ptu(kind, encode(kind, events), stop_ms=stop_of(kind))))
    expect(stream, events, kind)
    assert stream.info.record_type == kind
    assert stream.info.format == "PTU"
    assert stream.timestamps_unit == (1e-12 if is_t2(kind) else 200e-9)
    assert stream.laser_period == (None if is_t2(kind) else 200e-9)
    assert stream.tcspc_unit == (None if is_t2(kind) else 64e-12)
    assert stream.pulse_clock is not is_t2(kind)
    assert not stream.timestamps.flags.writeable


@pytest.mark.parametrize("name", LEGACY)
def test_formats_before_ptu(tmp_path, name):
    kind = LEGACY[name]
    events = events_of(kind)
    unit = {"HT2 1.0": 5e-13, "HT2 2.0": 1e-12, "PT2": 4e-12, "T3R 5.0": 1e-7, "T3R 6.0": 1e-7}.get(name, 2e-7)
    stream = ps.read(save(tmp_path, legacy(name, encode(kind, events), stop_ms=stop_of(kind, unit))))
    expect(stream, events, kind)
    assert stream.info.format == name[:3].strip()
    assert stream.info.record_type == kind
    assert stream.timestamps_unit == unit
    assert stream.pulse_clock is (name[:2] != "T3" and not is_t2(kind))
    if name[:2] == "T3":
        assert stream.laser_period == pytest.approx(200e-9)
        assert stream.tcspc_unit == 36e-12


def test_overflow_counts(tmp_path):
    words = [0xFE000000, 0xFE000003, 0x00000001]  # a count of 0 is one overflow
    assert ps.read(save(tmp_path, ptu("HydraHarp2T3", words))).timestamps.tolist() == [4 * 1024 + 1]
    assert ps.read(save(tmp_path, ptu("HydraHarpT3", words))).timestamps.tolist() == [2 * 1024 + 1]
    assert ps.read(save(tmp_path, ptu("GenericT2", words))).timestamps.tolist() == [4 * 33554432 + 1]
    assert ps.read(save(tmp_path, ptu("HydraHarpT2", words))).timestamps.tolist() == [2 * 33552000 + 1]


@pytest.mark.parametrize("kind", ["HydraHarp2T3", "HydraHarp2T2", "PicoHarp300T3", "PicoHarp300T2", "T3R 6.0"])
@pytest.mark.parametrize("chunk_size", [1, 7, 64, 2**22])
def test_pieces_are_the_whole(tmp_path, kind, chunk_size):
    record = LEGACY.get(kind, kind)
    data = build(kind, encode(record, events_of(record)), stop_ms=stop_of(record, 1e-7 if kind == "T3R 6.0" else None))
    path = save(tmp_path, data)
    whole, pieces = ps.read(path), list(ps.scan(path, chunk_size))
    if chunk_size < 64:
        assert len(pieces) > 5
    for name in ("timestamps", "detectors", "syncs"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in pieces]), getattr(whole, name))
    if whole.nanotimes is not None:
        assert np.array_equal(np.concatenate([p.nanotimes for p in pieces]), whole.nanotimes)
    assert np.array_equal(np.concatenate([p.markers.bits for p in pieces]), whole.markers.bits)
    assert pieces[0].start == 0
    assert pieces[-1].start + pieces[-1].duration == pytest.approx(whole.duration, rel=1e-15)
    for before, after in itertools.pairwise(pieces):
        assert before.start + before.duration == pytest.approx(after.start, rel=1e-15)
    for piece in pieces:
        for times in (piece.timestamps, piece.syncs, piece.markers.timestamps):
            seconds = times * piece.timestamps_unit
            assert np.all((seconds >= piece.start) & (seconds < piece.start + piece.duration * (1 + 1e-12)))


@pytest.mark.parametrize("kind", ["HydraHarp2T3", "HydraHarp2T2"])
def test_two_threads_give_what_one_gives(tmp_path, monkeypatch, kind):
    events = events_of(kind, n=5000)
    path = save(tmp_path, ptu(kind, encode(kind, events), stop_ms=stop_of(kind)))
    monkeypatch.setattr(decoding, "_BLOCK", 64)
    for _ in range(3):
        expect(ps.read(path), events, kind)


def test_until_reads_so_many_records(tmp_path):
    events = [("photon", 10 * i, i % 2, 5) for i in range(100)]
    path = save(tmp_path, ptu("HydraHarp2T3", encode("HydraHarp2T3", events), stop_ms=1))
    part = ps.read(path, until=40)
    expect(part, events[:40], "HydraHarp2T3")
    assert part.duration == pytest.approx(391 * 200e-9)
    assert part.info.n_records == 100
    assert len(ps.read(path, until=0)) == 0
    assert len(ps.read(path, until=10**6)) == 100
    with pytest.raises(ValueError, match="until must be a number of records"):
        ps.read(path, until=-1)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("kind", [*RECORD_TYPES, *LEGACY])
def test_few_photons(tmp_path, kind, n):
    record = LEGACY.get(kind, kind)
    events = [("photon", 3 * i, i, 5) for i in range(n)]
    path = save(tmp_path, build(kind, encode(record, events)))
    stream = ps.read(path)
    assert len(stream) == n
    assert stream.duration == 1.0
    (piece,) = ps.scan(path)
    assert len(piece) == n
    assert piece.duration == 1.0


def test_the_laser_period_is_the_header_s_not_the_rounded_rate(tmp_path):
    data = ptu("HydraHarp2T3", [1], unit=1.2495520355952392e-08, changes={"TTResult_SyncRate": 80_000_000})
    assert ps.read(save(tmp_path, data)).laser_period == 1.2495520355952392e-08


def test_readers_go_by_content(tmp_path):
    assert [magic for _, magic, _ in READERS][:4] == [b"PQTTTR", b"HydraHarp", b"PicoHarp 300", b"TimeHarp 200"]
    path = save(tmp_path, ptu("GenericT3", [1]), "photons.txt")
    assert len(ps.read(str(path))) == 1
    assert ps.info(path).n_records == 1


def test_header_entries(tmp_path):
    from pq_files import tag

    extra = b"".join(tag("HWInpChan_Offset", v, i) for i, v in enumerate([0, -7])) + tag("Odd", 3, 5)
    tags = ps.info(save(tmp_path, ptu("GenericT3", [1], extra=extra))).tags
    assert tags["HWInpChan_Offset"] == [0, -7]
    assert tags["Odd[5]"] == 3
    assert tags["File_Comment"] == "made for a test"


def test_image_header_of_the_old_formats(tmp_path):
    data = bytearray(legacy("PT3", [3, 1, 0x10000005]))
    data[0x2D0:0x2D8] = (1).to_bytes(4, "little") + (2).to_bytes(4, "little")
    path = save(tmp_path, bytes(data))
    assert ps.info(path).tags["ImgHdr"] == [3, 1]
    assert ps.read(path).timestamps.tolist() == [5]


def test_info_reads_the_header_only(tmp_path):
    path = save(tmp_path, ptu("GenericT2", [1] * 1000))
    code = (
        f"import sys, photonstats as ps; f = ps.info({str(path)!r}); "
        "assert (f.measurement_mode, f.n_records, f.record_type) == (2, 1000, 'GenericT2'), f; "
        "assert not {'numba', 'h5py', 'tables', 'phconvert', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_picoharp_channels_that_do_not_exist(tmp_path):
    words = [0x00000001, 0x10000002, 0x40000003, 0x70000004]
    with pytest.warns(ps.PhotonFileWarning, match="2 photons are on channels that a PicoHarp does not have"):
        stream = ps.read(save(tmp_path, ptu("PicoHarp300T3", words)))
    assert stream.detectors.tolist() == [15, 0, 3, 6]


REAL = [  # file, photons per detector, duration, timestamps_unit, tcspc_unit
    ("hbt_pulsed_80MHz_t3.ptu", {0: 160953, 1: 235373}, 5.0, 12.4955e-9, 16e-12),
    ("blinking_trace3.pt3", {0: 907, 1: 184928}, 60.0, 13.1675e-9, 4e-12),
    ("blinking_trace4.pt3", {0: 932, 1: 106475}, 60.0, 13.1675e-9, 4e-12),
    ("dim_trace7.pt3", {0: 822, 1: 6872}, 60.0, 13.1675e-9, 4e-12),
    ("two_detector_no_dip_0.ht2", {0: 191648, 1: 207353}, 120.0, 1e-12, None),
    ("formats/v30_t2.ptu", {0: 305565}, 5.0, 1e-12, None),
    ("formats/v20.ht3", {0: 7102, 1: 26648, 2: 3085, 3: 7306}, 10.0, 1.0011e-6, 16e-12),
    ("formats/v10.ht3", {0: 6, 1: 9, 2: 3, 3: 14}, 0.104197, 99.955e-9, 4e-12),
    ("formats/v10.ht2", {0: 2, 1: 4, 2: 6, 3: 7}, 100.656e-6, 5e-13, None),
    ("formats/v20.ht2", {}, 24.8288e-6, 1e-12, None),
    ("formats/v50.t3r", {0: 85571}, 9.344, 1e-7, 70.24e-12),
    ("formats/v60_rotating_polarizer.t3r", {0: 165015, 1: 227622}, 10.0, 1e-7, 36.458e-12),
    (
        "formats/symphotime_8ch_v10.ht3",
        {0: 27752, 1: 35982, 2: 18399, 3: 9128, 4: 24769, 5: 35082, 6: 14341, 7: 15570},
        4.957,
        31.25e-9,
        1e-12,
    ),
    ("formats/beads_hh2_t3_image.ptu", {0: 52833, 1: 20954}, 10.559, 25e-9, 16e-12),
]


@pytest.mark.filterwarnings("ignore::photonstats.errors.PhotonFileWarning")
@pytest.mark.parametrize(("name", "counts", "duration", "unit", "tcspc"), REAL)
def test_real_files(shared_data, name, counts, duration, unit, tcspc):
    stream = ps.read(shared_data / name)
    assert stream.counts_per_detector == counts
    assert stream.duration == pytest.approx(duration, rel=1e-4)
    assert stream.timestamps_unit == pytest.approx(unit, rel=1e-4)
    assert stream.tcspc_unit == (None if tcspc is None else pytest.approx(tcspc, rel=1e-4))
    assert len(stream.markers) == {"formats/beads_hh2_t3_image.ptu": 100, "formats/v50.t3r": 1}.get(name, 0)
    assert stream.syncs.size == (25 if name == "formats/v20.ht2" else 0)
    pieces = list(ps.scan(shared_data / name, 5000))
    assert np.array_equal(np.concatenate([p.timestamps for p in pieces]), stream.timestamps)
    assert pieces[-1].start + pieces[-1].duration == pytest.approx(stream.duration)


def test_a_truncated_real_file_says_so(shared_data):
    with pytest.warns(ps.PhotonFileWarning, match="announces 72463591 records but the file holds 1050.*cut short"):
        ps.read(shared_data / "formats" / "v10.ht3")


def test_timeharp_decay_runs_forward(shared_data):
    """The rise of the fluorescence is steep and its fall slow, not the reverse."""
    with pytest.warns(ps.PhotonFileWarning, match="truncated"):
        stream = ps.read(shared_data / "formats" / "v50.t3r")
    decay = np.bincount(stream.nanotimes, minlength=4096)
    peak = int(decay.argmax())
    assert decay[peak : peak + 400].sum() > 5 * decay[peak - 400 : peak].sum()


def test_histogram_files_point_to_read_decay(shared_data):
    with pytest.raises(ps.PhotonFileError, match=r"PHU histogram file.*read_decay"):
        ps.read(shared_data / "formats" / "irf_picoharp.phu")
