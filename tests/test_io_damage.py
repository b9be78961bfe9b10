"""Damaged and contradictory files: a stream with a warning, or one clear error; never anything else."""

import math
import os
import struct
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import photonstats as ps
from photonstats.io import decode as decoding
from pq_files import LEGACY, RECORD_TYPES, encode, is_t2, legacy, ptu, tag, wrap_of


def save(tmp_path, data):
    path = tmp_path / "file.bin"
    path.write_bytes(data)
    return path


def steady(kind="HydraHarp2T3", n=500, seconds=1.0, unit=200e-9):
    """Return photons evenly over the recording."""
    return encode(kind, [("photon", int((i + 0.5) * seconds / unit / n), i % 2, 7) for i in range(n)])


def small(kind):
    record = LEGACY.get(kind, kind)
    span = 30 * wrap_of(record)
    events = [("photon", i * span // 60, i % 3, 11) for i in range(60)]
    make = legacy if kind in LEGACY else ptu
    return make(
        kind, encode(record, events), stop_ms=max(1, round(30 * wrap_of(record) * (1e-12 if is_t2(record) else 2e-4)))
    )


KINDS = [*RECORD_TYPES, *LEGACY]


def outcome(path):
    """Read all that can be read; anything but a stream or a PhotonFileError passes through and fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ps.PhotonFileWarning)
        try:
            stream = ps.read(path)
        except ps.PhotonFileError as error:
            if str(path) not in str(error):
                raise AssertionError(str(error)) from error
            return None
        pieces = list(ps.scan(path, 16))
    assert sum(map(len, pieces)) == len(stream)
    assert math.isfinite(stream.duration)
    if len(stream):
        assert np.all(np.diff(stream.timestamps) >= 0)
        assert stream.timestamps[0] >= 0
        assert stream.timestamps[-1] * stream.timestamps_unit <= stream.duration * (1 + 1e-12)
    return stream


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_damage_is_a_stream_or_one_error(tmp_path, kind, data):
    content = bytearray(small(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "insert", "number", "remove"]))
        if how == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del content[at:]
        elif how == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif how == "remove":
            del content[at : at + data.draw(st.integers(1, 60))]
        else:
            word = data.draw(st.sampled_from([0, -1, 2**31 - 1, 2**40, 2**63 - 1, -(2**63)]))
            content[at : at + 8] = struct.pack("<q", word)
        if not content:
            break
    path = save(tmp_path, bytes(content))
    begin = time.perf_counter()
    outcome(path)
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_cut_anywhere_is_an_error(tmp_path, kind):
    data = small(kind)
    header = ps.info(save(tmp_path, data)).n_records
    header = len(data) - 4 * header
    for size in [*range(0, 80, 7), *range(80, header, 61), header - 1]:
        with pytest.raises(ps.PhotonFileError, match="byte") as caught:
            ps.read(save(tmp_path, data[:size]))
        assert caught.value.offset is not None


@pytest.mark.parametrize("rest", [1, 2, 3])
def test_a_truncated_record_is_left_out(tmp_path, rest):
    data = ptu("HydraHarp2T3", steady())
    path = save(tmp_path, data[: -4 + rest])
    with pytest.warns(ps.PhotonFileWarning) as caught:
        stream = ps.read(path)
    assert len(stream) == 499
    texts = " ".join(str(w.message) for w in caught)
    assert f"is truncated, {rest} of its 4 bytes are there" in texts
    assert "the file is cut short" in texts


def test_the_duration_of_a_cut_file_is_the_time_of_its_last_record(tmp_path):
    data = ptu("HydraHarp2T3", steady())
    words = (len(data) - len(ptu("HydraHarp2T3", []))) // 4
    with pytest.warns(ps.PhotonFileWarning, match="cut short"):
        stream = ps.read(save(tmp_path, data[: -4 * (words // 2)]))
    assert stream.duration == pytest.approx(0.5, abs=0.01)
    assert stream.rate == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize(
    ("announced", "words"),
    [(0, "not closed properly"), (-5, "not closed properly"), (2**40, "cut short"), (10, "header is wrong")],
)
def test_the_size_of_the_file_counts_not_the_number_in_the_header(tmp_path, announced, words):
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes={"TTResult_NumberOfRecords": announced}))
    with pytest.warns(ps.PhotonFileWarning, match=f"announces {announced} records.*{words}"):
        stream = ps.read(path)
    assert len(stream) == 500
    assert stream.duration == 1.0


def test_an_aborted_measurement_lasts_until_its_last_record(tmp_path):
    changes = {"TTResult_NumberOfRecords": 0, "TTResult_StopAfter": 0, "MeasDesc_AcquisitionTime": 60_000}
    with pytest.warns(ps.PhotonFileWarning, match="not closed properly"):
        stream = ps.read(save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes)))
    assert stream.duration == pytest.approx(1.0, abs=0.01)


def test_stop_time_comes_before_requested_time(tmp_path):
    changes = {"TTResult_StopAfter": 1_000, "MeasDesc_AcquisitionTime": 60_000}
    assert ps.read(save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))).duration == 1.0
    changes = {"TTResult_StopAfter": None, "MeasDesc_AcquisitionTime": 1_000}
    assert ps.read(save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))).duration == 1.0


@pytest.mark.parametrize(("stop", "duration"), [(500, 1.0), (2000, 2.0), (100_000, 1.0)])
def test_a_clock_that_contradicts_the_stop_time(tmp_path, stop, duration):
    with pytest.warns(ps.PhotonFileWarning, match=rf"lasted {stop / 1000:g} s but its records .*0\.99"):
        stream = ps.read(save(tmp_path, ptu("HydraHarp2T3", steady(), stop_ms=stop)))
    assert stream.duration == pytest.approx(duration, rel=0.01)


def test_few_overflows_do_not_refute_a_stop_time(tmp_path):
    words = encode("HydraHarp2T3", [("photon", 10 * i, i % 2, 5) for i in range(200)])
    with pytest.warns(ps.PhotonFileWarning, match="lasted 1 s but its records end at 0.0003982 s; 1 s are taken"):
        assert ps.read(save(tmp_path, ptu("HydraHarp2T3", words))).duration == 1.0


@pytest.mark.parametrize("wrong", [200.0, 200e-18, 0.0, math.nan, math.inf, -200e-9, None, 200])
def test_an_impossible_macro_unit_is_replaced_by_the_sync_rate(tmp_path, wrong):
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes={"MeasDesc_GlobalResolution": wrong}))
    with pytest.warns(ps.PhotonFileWarning, match="macro time unit of .* the sync rate gives 2e-07 s"):
        stream = ps.read(path)
    assert stream.timestamps_unit == 2e-7
    assert stream.duration == 1.0


@pytest.mark.parametrize("wrong", [100e-9, 200e-6, 2e-10])
def test_the_stop_time_decides_between_two_clocks(tmp_path, wrong):
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes={"MeasDesc_GlobalResolution": wrong}))
    with pytest.warns(ps.PhotonFileWarning, match=rf"macro time unit of {wrong:g} s but the sync rate gives 2e-07 s"):
        assert ps.read(path).timestamps_unit == 2e-7
    changes = {"TTResult_SyncRate": round(1 / wrong)}
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))
    with pytest.warns(ps.PhotonFileWarning, match=rf"macro time unit of 2e-07 s but the sync rate gives {wrong:g} s"):
        assert ps.read(path).timestamps_unit == 2e-7


def test_clocks_that_nothing_decides_between_are_an_error(tmp_path):
    changes = {"TTResult_SyncRate": 40_000_000, "TTResult_StopAfter": 17_000}
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))
    with pytest.raises(ps.PhotonFileError, match=r"2e-07 s but the sync rate gives 2.5e-08 s.*does not decide"):
        ps.read(path)
    changes = {"MeasDesc_GlobalResolution": 0.0, "TTResult_SyncRate": 0}
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))
    with pytest.raises(ps.PhotonFileError, match=r"found 0 s, and no other entry gives it"):
        ps.read(path)


@pytest.mark.parametrize("wrong", [1e-3, 1.0, 1e-21, math.nan, 0.0])
def test_an_impossible_t2_unit_is_replaced_by_that_of_the_hardware(tmp_path, wrong):
    words = encode("HydraHarp2T2", [("photon", 10**9 * i, 0) for i in range(10)])
    changes = {"MeasDesc_GlobalResolution": wrong}
    with pytest.warns(ps.PhotonFileWarning, match="the resolution of the hardware gives 1e-12 s"):
        assert ps.read(save(tmp_path, ptu("HydraHarp2T2", words, changes=changes))).timestamps_unit == 1e-12
    changes["HW_BaseResolution"] = None  # HydraHarp counts picoseconds whatever its header forgets
    with pytest.warns(ps.PhotonFileWarning, match="the resolution of the hardware gives 1e-12 s"):
        assert ps.read(save(tmp_path, ptu("HydraHarp2T2", words, changes=changes))).timestamps_unit == 1e-12


@pytest.mark.parametrize("wrong", [64e-3, 64.0, 64e-21, 0.0, math.nan, None])
def test_an_impossible_tcspc_unit_is_replaced(tmp_path, wrong):
    changes = {"MeasDesc_Resolution": wrong}
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))
    with pytest.warns(ps.PhotonFileWarning, match="base resolution times binning gives 6.4e-11 s"):
        assert ps.read(path).tcspc_unit == 64e-12
    changes["HW_BaseResolution"] = None
    path = save(tmp_path, ptu("HydraHarp2T3", steady(), changes=changes))
    with pytest.raises(ps.PhotonFileError, match="expected a TCSPC resolution"):
        ps.read(path)


def test_a_tcspc_unit_a_thousand_times_too_long(tmp_path):
    words = encode("HydraHarp2T3", [("photon", 10_000 * i, 0, i * 6) for i in range(500)])
    path = save(tmp_path, ptu("HydraHarp2T3", words, changes={"MeasDesc_Resolution": 64e-9}))
    with pytest.warns(ps.PhotonFileWarning, match=r"resolution of 6.4e-08 s but .* is 6.4e-11 s; 6.4e-11 s is used"):
        assert ps.read(path).tcspc_unit == 64e-12


@pytest.mark.parametrize("place", [1, 63, 64, 200, 319])
@pytest.mark.parametrize("kind", ["HydraHarp2T3", "PicoHarp300T3", "GenericT2"])
def test_time_that_runs_backwards(tmp_path, monkeypatch, kind, place):
    """Within a block and from one block to the next, in one piece and in several."""
    monkeypatch.setattr(decoding, "_BLOCK", 64)
    words = encode(kind, [("photon", 500 + i, i % 2, 7) for i in range(320)])
    words[place] -= 10 + place
    data = ptu(kind, words)
    path, at = save(tmp_path, data), len(data) - 4 * (320 - place)
    told = rf"backwards at record {place} \(byte {at}\): {490} after {500 + place - 1} ticks.*until={place}\)"
    with pytest.raises(ps.PhotonFileError, match=told) as caught:
        ps.read(path)
    assert caught.value.offset == at
    with pytest.raises(ps.PhotonFileError, match=told):
        list(ps.scan(path, 50))
    assert len(ps.read(path, until=place)) == place


def test_syncs_that_run_backwards(tmp_path):
    words = [0x80000000 | 100, 0x80000000 | 50]
    with pytest.raises(ps.PhotonFileError, match=r"backwards at record 1 \(byte \d+\): 50 after 100 ticks"):
        ps.read(save(tmp_path, ptu("HydraHarp2T2", words)))


def test_special_records_of_no_known_kind(tmp_path):
    words = [0x80000000 | 20 << 25, 0x00000005, 0x80000000]
    with pytest.warns(ps.PhotonFileWarning, match="2 special records are of no known kind"):
        assert len(ps.read(save(tmp_path, ptu("HydraHarp2T3", words)))) == 1


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"time,channel\n1,2\n", "text beginning with 'time,channel"),
        (b"\x00\x01\x02\x03", "bytes beginning with 00 01 02 03"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"PQHISTO\0", "a PHU histogram file .*read_decay"),
        (b"PQCHECK\0", "a PCK check file"),
        (b"PQTTTR", "the end of the file after 6"),
    ],
)
def test_foreign_files(tmp_path, data, found):
    path = save(tmp_path, data)
    for function in (ps.read, ps.scan, ps.info):
        with pytest.raises(ps.PhotonFileError, match=rf"file.bin: byte 0: .*{found}"):
            function(path)


@pytest.mark.parametrize(
    ("name", "place", "mode"), [("HT3 2.0", 0x154, 0), ("PT3", 0x15C, 0), ("T3R 5.0", 0x148, 0), ("T3R 6.0", 0x160, 1)]
)
def test_histograms_of_the_old_formats(tmp_path, name, place, mode):
    data = bytearray(legacy(name, [1, 2]))
    struct.pack_into("<i", data, place, mode)
    with pytest.raises(ps.PhotonFileError, match=r"histogram file \(measurement mode.*read_decay"):
        ps.read(save(tmp_path, bytes(data)))


def test_versions_that_are_not_known(tmp_path):
    data = bytearray(legacy("HT3 2.0", [1]))
    data[0x10:0x13] = b"9.9"
    with pytest.raises(ps.PhotonFileError, match=r"expected HydraHarp format version 1.0 or 2.0, found '9.9'"):
        ps.read(save(tmp_path, bytes(data)))


def test_record_types_that_are_not_known(tmp_path):
    path = save(tmp_path, ptu("GenericT3", [1], changes={"TTResultFormat_TTTRRecType": 0x99}))
    with pytest.raises(ps.PhotonFileError, match=r"expected a record type among PicoHarp300T3.*found .* 0x99"):
        ps.read(path)


def test_the_record_type_goes_before_the_measurement_mode(tmp_path):
    path = save(tmp_path, ptu("GenericT3", [1], changes={"Measurement_Mode": 2}))
    with pytest.warns(ps.PhotonFileWarning, match="measurement mode 2 but its record type is one of T3"):
        assert ps.read(path).nanotimes is not None


@pytest.mark.parametrize("length", [-8, 2**20, 2**40, 2**63 - 1])
def test_absurd_lengths_in_the_header(tmp_path, length):
    entry = bytearray(tag("Comment", "abc"))
    struct.pack_into("<q", entry, 40, length)
    with pytest.raises(ps.PhotonFileError, match=f"expected a length of 0 to .*found {length}"):
        ps.info(save(tmp_path, ptu("GenericT3", [1], extra=bytes(entry))))


def test_unknown_entries_are_kept(tmp_path):
    odd = struct.pack("<32siIq", b"New_Kind", -1, 0x77000008, 5) + struct.pack(
        "<32siIq", b"New_Long", -1, 0x7001FFFF, 3
    )
    info = ps.info(save(tmp_path, ptu("GenericT3", [1], extra=odd + b"xyz")))
    assert info.tags["New_Kind"] == 5
    assert info.tags["New_Long"] == b"xyz"
    assert info.n_records == 1


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        ps.read(tmp_path / "none.ptu")


def test_chunk_size_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="chunk_size must be a number of records >= 1"):
        ps.scan(save(tmp_path, ptu("GenericT3", [1])), 0)


@pytest.mark.parametrize("reader", [ps.read, ps.info, ps.read_decay, lambda path: next(ps.scan(path))])
def test_a_pipe_is_refused_and_not_waited_for(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.ptu")
    with pytest.raises(ps.PhotonFileError, match="pipe"):
        reader(tmp_path / "pipe.ptu")
