"""PTU files written by photonstats, against a plain decoder, other programs and the package's own reader."""

import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photonstats.errors import PhotonFileWarning
from photonstats.io.formats import RecordType
from photonstats.io.writers import write_ptu
from photonstats.stream import Markers, PhotonStream

NAMES = sorted(kind.name for kind in RecordType)
T3 = [name for name in NAMES if name.endswith("T3")]
T2 = [name for name in NAMES if name.endswith("T2")]


def header_of(data):
    """Return the header entries and the byte at which records begin."""
    assert data[:8] == b"PQTTTR\0\0"
    tags, at = {}, 16
    while True:
        name, index, kind = struct.unpack_from("<32siI", data, at)
        name, raw = name.rstrip(b"\0").decode(), data[at + 40 : at + 48]
        at += 48
        value = struct.unpack("<d" if kind in {0x20000008, 0x21000008} else "<q", raw)[0]
        if kind in {0x4001FFFF, 0x4002FFFF}:
            text = data[at : at + value]
            at += value
            value = text.decode("cp1252" if kind == 0x4001FFFF else "utf-16-le").rstrip("\0")
        tags[name if index < 0 else (name, index)] = value
        if name == "Header_End":
            return tags, at


def decode(data):
    """Decode a PTU file record by record, from the description of the formats."""
    tags, at = header_of(data)
    records = np.frombuffer(data, "<u4", offset=at)
    assert tags["TTResult_NumberOfRecords"] == records.size
    kind = RecordType(tags["TTResultFormat_TTTRRecType"])
    photons, markers, syncs, base = [], [], [], 0
    for record in records.tolist():
        channel, special, t3 = record >> 25 & 63, record >> 31, kind.measurement_mode == 3
        if kind.name.startswith("PicoHarp"):
            channel, low = record >> 28, record & (0xFFFF if t3 else 0xFFFFFFF)
            if channel == 15:
                bits = record >> 16 & 0xF if t3 else record & 0xF
                if bits:
                    markers.append((base + (low if t3 else low & ~15), bits))
                else:
                    base += 65536 if t3 else 210698240
            else:
                photons.append((base + low, channel - t3, record >> 16 & 0xFFF if t3 else 0))
            continue
        low = record & (1023 if t3 else 0x1FFFFFF)
        if special and channel == 63:
            first_version = kind.name.startswith("HydraHarpT")
            base += (33552000 if not t3 else 1024) if first_version else (1024 if t3 else 33554432) * max(low, 1)
        elif special and channel == 0:
            syncs.append(base + low)
        elif special:
            markers.append((base + low, channel))
        else:
            photons.append((base + low, channel, record >> 10 & 0x7FFF if t3 else 0))
    return tags, np.array(photons).reshape(-1, 3), np.array(markers).reshape(-1, 2), np.array(syncs), base


def stream_for(name, seed, n=300, gap=3000, *, markers=20, syncs=50):
    rng = np.random.default_rng(seed)
    pico = name.startswith("PicoHarp")
    t3 = name.endswith("3")
    times = np.cumsum(rng.integers(0, gap, n))
    end = int(times[-1]) + 1 if n else 1
    unit = 1e-6
    marks = np.sort(rng.integers(0, end, markers)) // 16 * 16
    return PhotonStream(
        times,
        rng.integers(0, (4 if t3 else 5) if pico else 63, n),
        rng.integers(0, 4096 if pico else 32768, n) if t3 else None,
        timestamps_unit=unit,
        tcspc_unit=1e-11 if t3 else None,
        duration=np.ceil(end * unit * 1e3) / 1e3,
        markers=Markers(marks, rng.integers(1, 16, markers)),
        syncs=[] if t3 or pico else np.sort(rng.integers(0, end, syncs)),
    )


def check_against_decoder(photons, path, name):
    write_ptu(photons, path, name)
    tags, records, markers, syncs, base = decode(path.read_bytes())
    np.testing.assert_array_equal(records[:, 0], photons.timestamps)
    np.testing.assert_array_equal(records[:, 1], photons.detectors)
    if photons.nanotimes is not None:
        np.testing.assert_array_equal(records[:, 2], photons.nanotimes)
        assert tags["MeasDesc_Resolution"] == photons.tcspc_unit
    np.testing.assert_array_equal(markers[:, 0], photons.markers.timestamps)
    np.testing.assert_array_equal(markers[:, 1], photons.markers.bits)
    np.testing.assert_array_equal(syncs, photons.syncs)
    assert tags["MeasDesc_GlobalResolution"] == photons.timestamps_unit
    assert tags["TTResult_StopAfter"] / 1000 == pytest.approx(photons.duration, abs=1e-9)
    assert base * photons.timestamps_unit <= photons.duration * (1 + 1e-12)
    return tags


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gap", [3, 3000, 10**9])
def test_records_say_what_was_written(name, gap, tmp_path):
    if name.startswith(("PicoHarp300T3", "HydraHarpT3")) and gap > 10**6:
        gap = 10**5  # these have no counted overflows: millions of records would follow
    check_against_decoder(stream_for(name, 1, gap=gap), tmp_path / "a.ptu", name)


@settings(max_examples=40)
@given(
    name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), n=st.integers(0, 40), gap=st.sampled_from([1, 40, 10**5])
)
def test_any_stream_survives(name, seed, n, gap, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "a.ptu"
    check_against_decoder(stream_for(name, seed, n, gap, markers=seed % 4, syncs=seed % 7), path, name)


@pytest.mark.parametrize("name", NAMES)
def test_own_reader_gives_the_same_stream(name, tmp_path):
    from photonstats import io

    tick = 1e-7 if name.endswith("3") else 4e-12 if name.startswith("Pico") else 1e-12
    photons = stream_for(name, 2, n=2000, gap=500)
    photons = photons._with(
        slice(None), timestamps_unit=tick, duration=np.ceil(photons.timestamps[-1] * tick * 1e3) / 1e3
    )
    if name.endswith("2"):
        photons = PhotonStream(
            photons.timestamps * 5000,
            photons.detectors,
            timestamps_unit=tick,
            duration=np.ceil(photons.timestamps[-1] * 5000 * tick * 1e3) / 1e3,
            markers=Markers(photons.markers.timestamps * 5000 // 16 * 16, photons.markers.bits),
            syncs=photons.syncs * 5000,
        )
    write_ptu(photons, tmp_path / "a.ptu", name)
    back = io.read(tmp_path / "a.ptu")
    for attribute in ("timestamps", "detectors", "nanotimes", "syncs"):
        np.testing.assert_array_equal(getattr(back, attribute), getattr(photons, attribute), attribute)
    exact = 16 if name == "PicoHarp300T2" else 1  # there the marker bits lie on the lowest bits of time
    np.testing.assert_array_equal(back.markers.timestamps // exact, photons.markers.timestamps // exact)
    np.testing.assert_array_equal(back.markers.bits, photons.markers.bits)
    assert back.timestamps_unit == photons.timestamps_unit
    assert back.tcspc_unit == photons.tcspc_unit
    assert back.duration == pytest.approx(photons.duration, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_ptufile_decodes_the_same(name, tmp_path):
    ptufile = pytest.importorskip("ptufile")
    photons = stream_for(name, 3, syncs=0)
    write_ptu(photons, tmp_path / "a.ptu", name, comment="a dot")
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        records = file.decode_records()
        assert int(file.record_type) == RecordType[name]
        assert file.comment == "a dot"
        assert file.global_resolution == photons.timestamps_unit
    is_photon = (records["channel"] >= 0) & (records["marker"] == 0)
    np.testing.assert_array_equal(records["time"][is_photon], photons.timestamps)
    np.testing.assert_array_equal(records["channel"][is_photon], photons.detectors)
    if photons.nanotimes is not None:
        np.testing.assert_array_equal(records["dtime"][is_photon], photons.nanotimes)


@pytest.mark.parametrize("name", NAMES)
def test_phconvert_decodes_the_same(name, tmp_path):
    pqreader = pytest.importorskip("phconvert.pqreader")
    photons = stream_for(name, 4, markers=0, syncs=0)
    write_ptu(photons, tmp_path / "a.ptu", name)
    times, detectors, nanotimes, meta, _ = pqreader.load_ptu(tmp_path / "a.ptu", ovcfunc="loop")  # not compiled
    np.testing.assert_array_equal(times, photons.timestamps)
    shift = {"PicoHarp300T3": 1}.get(name, 0) if name.startswith("Pico") else 0  # it counts router channels from 1
    np.testing.assert_array_equal(detectors.astype(int) - shift, photons.detectors)
    if photons.nanotimes is not None:
        np.testing.assert_array_equal(nanotimes, photons.nanotimes)
        assert meta["nanotimes_unit"] == photons.tcspc_unit
    assert meta["timestamps_unit"] == photons.timestamps_unit
    assert meta["acquisition_duration"] == pytest.approx(photons.duration)


@pytest.mark.parametrize("name", NAMES)
def test_tttrlib_decodes_the_same(name, tmp_path):
    tttrlib = pytest.importorskip("tttrlib")
    photons = stream_for(name, 5, markers=0, syncs=0)
    write_ptu(photons, tmp_path / "a.ptu", name)
    data = tttrlib.TTTR(str(tmp_path / "a.ptu"), "PTU")
    np.testing.assert_array_equal(data.macro_times, photons.timestamps)
    if photons.nanotimes is not None:
        np.testing.assert_array_equal(data.micro_times, photons.nanotimes)


def test_records_cross_the_chunks_of_the_encoder(tmp_path, monkeypatch):
    from photonstats.io import writers

    photons = stream_for("HydraHarp2T2", 6)
    write_ptu(photons, tmp_path / "whole.ptu", "HydraHarp2T2")
    monkeypatch.setattr(writers, "CHUNK", 7)
    write_ptu(photons, tmp_path / "chunks.ptu", "HydraHarp2T2")
    (_, *whole), (_, *chunks) = (decode((tmp_path / f).read_bytes()) for f in ("whole.ptu", "chunks.ptu"))
    for a, b in zip(whole, chunks, strict=True):
        np.testing.assert_array_equal(a, b)


def test_overflows_go_on_in_the_dark(tmp_path):
    photons = PhotonStream([5], [0], [1], timestamps_unit=1e-6, tcspc_unit=1e-11, duration=2.0)
    write_ptu(photons, tmp_path / "a.ptu", "HydraHarpT3")
    assert decode((tmp_path / "a.ptu").read_bytes())[-1] == 2_000_000 // 1024 * 1024


def test_a_file_begins_at_zero(tmp_path):
    photons = PhotonStream([500, 900], [0, 1], [1, 2], timestamps_unit=1e-3, tcspc_unit=1e-11, start=0.4, duration=0.6)
    write_ptu(photons, tmp_path / "a.ptu")
    tags, records, *_ = decode((tmp_path / "a.ptu").read_bytes())
    assert records[:, 0].tolist() == [100, 500]
    assert tags["TTResult_StopAfter"] == 600


def test_sync_and_marker_come_before_the_photon_of_their_tick(tmp_path):
    photons = PhotonStream([7], [1], timestamps_unit=1e-12, duration=1.0, syncs=[7], markers=Markers([7], [2]))
    write_ptu(photons, tmp_path / "a.ptu", "GenericT2")
    data = (tmp_path / "a.ptu").read_bytes()
    records = np.frombuffer(data, "<u4", offset=header_of(data)[1], count=3)
    assert records.tolist() == [1 << 31 | 7, 1 << 31 | 2 << 25 | 7, 1 << 25 | 7]


def test_header_names_the_program_and_keeps_the_comment(tmp_path):
    from photonstats import __version__

    photons = stream_for("GenericT3", 7)
    for comment in ("", "dot 8, 80 MHz", "точка"):
        write_ptu(photons, tmp_path / "a.ptu", "GenericT3", comment=comment)
        tags, _ = header_of((tmp_path / "a.ptu").read_bytes())
        assert tags["File_Comment"] == comment
        assert (tags["CreatorSW_Name"], tags["CreatorSW_Version"]) == ("photonstats", __version__)
        assert tags["TTResult_SyncRate"] == 1_000_000


def t2(**more):
    return PhotonStream([1, 20], [0, 1], timestamps_unit=1e-12, duration=1.0, **more)


def t3(detectors=(0, 1), nanotimes=(3, 4), **more):
    return PhotonStream([1, 2], detectors, nanotimes, timestamps_unit=1e-7, tcspc_unit=1e-12, duration=1.0, **more)


@pytest.mark.parametrize(
    ("photons", "name", "message"),
    [
        (t3(), "HydraHarp3T3", "record_type 'HydraHarp3T3' is none of GenericT2, GenericT3"),
        (t2(), "HydraHarp2T3", r"HydraHarp2T3 needs nanotimes.* write them as HydraHarp2T2, or.*fold\(photons\)"),
        (t3(), "PicoHarp300T2", "no nanotimes, but these photons have nanotimes: write them as PicoHarp300T3"),
        (t3(detectors=(0, 4)), "PicoHarp300T3", "holds detectors 0 to 3; photon 1 has detector 4: use a HydraHarp2"),
        (t3(detectors=(63, 0)), "GenericT3", "holds detectors 0 to 62; photon 0 has detector 63"),
        (t3(nanotimes=(4096, 0)), "PicoHarp300T3", "0 to 4095; photon 0 has 4096 of 1e-12 s: use HydraHarp2T3"),
        (t3(nanotimes=(0, 32768)), "HydraHarpT3", "nanotimes 0 to 32767; photon 1 has 32768"),
        (t2(syncs=[0, 10]), "PicoHarp300T2", "no sync records, and these .* 2 sync pulses: use HydraHarp2T2"),
        (t3(laser_period=3e-7), "GenericT3", "counts laser pulses, but these timestamps are ticks of 1e-07 s"),
        (t2(markers=Markers([1], [16])), "GenericT2", "marker bits 1 to 15; marker 0 has 16"),
        (t2(syncs=[10, 0]), "GenericT2", "syncs run backwards at element 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(photons, name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_ptu(photons, tmp_path / "a.ptu", name)
    assert list(tmp_path.iterdir()) == []


def test_an_absurd_number_of_overflows_is_refused(tmp_path):
    photons = PhotonStream([1], [0], [1], timestamps_unit=1e-11, tcspc_unit=1e-12, duration=1e6)
    with pytest.raises(ValueError, match=r"would need 97656250000000 overflow records .* use HydraHarp2T3"):
        write_ptu(photons, tmp_path / "a.ptu", "HydraHarpT3")


def test_markers_of_picoharp_t2_lose_their_lowest_bits_with_a_warning(tmp_path):
    photons = t2(markers=Markers([18, 32], [1, 8]))
    with pytest.warns(PhotonFileWarning, match="16 ticks: 1 of 2 are rounded down"):
        write_ptu(photons, tmp_path / "a.ptu", "PicoHarp300T2")
    assert decode((tmp_path / "a.ptu").read_bytes())[2].tolist() == [[16, 1], [32, 8]]


def test_a_duration_that_milliseconds_cannot_hold_is_warned_about(tmp_path):
    photons = PhotonStream([1], [0], timestamps_unit=1e-9, duration=1e-5)
    with pytest.warns(PhotonFileWarning, match=r"1e-05 s becomes 0\.001 s"):
        write_ptu(photons, tmp_path / "a.ptu", "GenericT2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_ptu(photons._with(slice(None), duration=1.0004), tmp_path / "a.ptu", "GenericT2")
    assert header_of((tmp_path / "a.ptu").read_bytes())[0]["TTResult_StopAfter"] == 1001


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    from photonstats.io import writers

    path = tmp_path / "a.ptu"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(writers, "_write_records", fail)
    with pytest.raises(OSError, match="no space left"):
        write_ptu(t2(), path, "GenericT2")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.ptu"]
