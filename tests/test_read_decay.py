"""Decay curves from PHU files and from text."""

import struct

import numpy as np
import pytest

from photonstats.errors import PhotonFileError
from photonstats.io.phu import read_decay

INT, FLOAT, END = 0x10000008, 0x20000008, 0xFFFF0008


def phu(curves, *, resolution=16e-12, rate=2_500_000, cut=0, bits=32):
    """Return a PHU file of given curves."""
    tags = [("HistoResult_NumberOfCurves", -1, INT, len(curves)), ("HistoResult_BitsPerBin", -1, INT, bits)]
    size = 16 + 48 * (3 + 5 * len(curves))
    for i, counts in enumerate(curves):
        tags += [
            ("HistResDscr_MDescResolution", i, FLOAT, resolution),
            ("HistResDscr_HistogramBins", i, INT, len(counts)),
            ("HistResDscr_SyncRate", i, INT, rate),
            ("HistResDscr_MDescStopAfter", i, INT, 10_000),
            ("HistResDscr_DataOffset", i, INT, size),
        ]
        size += 4 * len(counts)
    tags.append(("Header_End", -1, END, 0))
    head = b"PQHISTO\0" + b"1.0.00\0\0"
    for name, index, kind, value in tags:
        head += struct.pack("<32siI", name.encode(), index, kind)
        head += struct.pack("<d" if kind == FLOAT else "<q", value)
    data = head + b"".join(np.asarray(counts, "<u4").tobytes() for counts in curves)
    return data[: len(data) - cut]


def test_a_measured_irf(shared_data):
    irf = read_decay(shared_data / "formats" / "irf_picoharp.phu")
    assert irf.n_photons == 178_424
    assert irf.bin_width == pytest.approx(4e-12)
    assert irf.counts.size == 65_536
    assert irf.period == pytest.approx(1 / 104_630)
    assert irf.duration == 100.0


def test_a_measured_text_of_two_rows(shared_data):
    path = shared_data / "pulsed_g2_histogram.txt"
    with pytest.raises(PhotonFileError, match='does not name the unit of its times: give it, as time_unit="ns"'):
        read_decay(path)
    curve = read_decay(path, time_unit="ps")
    assert curve.counts.size == 25_000
    assert curve.bin_width == pytest.approx(64e-12)
    assert curve.n_photons == np.loadtxt(path)[1].sum()


def test_ptufile_reads_the_same_curves(tmp_path):
    ptufile = pytest.importorskip("ptufile")
    path = tmp_path / "a.phu"
    path.write_bytes(phu([[1, 2, 3], [4, 0, 9, 1]]))
    with ptufile.PhuFile(path) as file:
        curves = [
            file.histograms(i)[0] if isinstance(file.histograms(i), tuple) else file.histograms(i) for i in (0, 1)
        ]
    for i in (0, 1):
        np.testing.assert_array_equal(read_decay(path, curve=i).counts, np.ravel(curves[i]))


def test_the_only_curve_that_is_not_empty_is_read(tmp_path):
    path = tmp_path / "a.phu"
    path.write_bytes(phu([[0, 0], [0, 5, 1], [0]]))
    decay = read_decay(path)
    assert decay.counts.tolist() == [0, 5, 1]
    assert (decay.bin_width, decay.period, decay.duration) == (16e-12, 4e-7, 10.0)
    assert read_decay(path, period=1e-6).period == 1e-6
    path.write_bytes(phu([[1, 0], [0, 5]], rate=0))
    with pytest.raises(PhotonFileError, match=r"2 curves that are not empty \(0: 1 counts, 1: 5 counts\): choose one"):
        read_decay(path)
    assert read_decay(path, curve=1).counts.tolist() == [0, 5]
    assert read_decay(path, curve=1).period is None
    with pytest.raises(PhotonFileError, match="curve 2 is not there"):
        read_decay(path, curve=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (phu([[1, 2, 3]], cut=4), r"byte 400: expected 3 bins of curve 0, found the end .* 408.*cut short"),
        (phu([[1, 2, 3]])[:100], "a.phu: byte 64: expected"),
        (phu([[1, 2]], resolution=-1.0), r"width of a bin in s .*found -1\.0"),
        (phu([[1, 2]], resolution=float("nan")), "width of a bin in s"),
        (phu([[1, 2]], bits=16), r"32 bits per bin \(HistoResult_BitsPerBin\), found 16"),
        (phu([]), "HistoResult_NumberOfCurves of 1 to 4096, found 0"),
        (phu([[]]), "expected number of bins and data offset of curve 0 .*found 0"),
        (b"PQTTTR\0\0" + bytes(100), r"time-tag file \(PTU\).*use decay\(read\(path\)\)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"abc\0\1\2", "byte 3: expected a histogram file .* binary data of an unknown kind, beginning with b'abc"),
        (b"", "found no line of numbers"),
        (b"hello\nworld\n", "found no line of numbers"),
    ],
)  # fmt: skip
def test_damaged_and_foreign_files(data, message, tmp_path):
    path = tmp_path / "a.phu"
    path.write_bytes(data)
    with pytest.raises(PhotonFileError, match=message):
        read_decay(path)


def test_no_prefix_of_a_phu_file_breaks_the_reader(tmp_path):
    whole, path = phu([[1, 2, 3], [0, 0]]), tmp_path / "a.phu"
    for size in range(8, len(whole) - 8, 7):
        path.write_bytes(whole[:size])
        with pytest.raises(PhotonFileError, match=r"a\.phu"):
            read_decay(path)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("time (ns), counts\n0.0, 5\n0.5, 3\n1.0, 2\n", 5e-10),
        ("# made by a program\n# t [ps]\tN\n0\t5\n16\t3\n32\t2\n", 16e-12),
        ("Time/ns;Counts\r\n0,00;5\r\n0,25;3\r\n0,50;2\r\n", 2.5e-10),
        ("time_us counts\n 1e-3   5.0 \n 2e-3 3\n\n 3e-3 2\n", 1e-9),
        ("time in seconds: s\n0 5\n4e-9 3\n8e-9 2", 4e-9),
        ("t (µs)\n0 5\n.5 3\n1. 2", 5e-7),
        ("\ufefft (ns)\n0.00 5\n0.12 3\n0.25 2", 0.125e-9),  # printed with two digits
    ],
)
def test_columns_of_text(text, width, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    decay = read_decay(path)
    assert decay.counts.tolist() == [5, 3, 2]
    assert decay.bin_width == pytest.approx(width)
    assert decay.period is None


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16"])
def test_a_micro_sign_is_kept_in_any_encoding(encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("time (µs)\n0 5\n1 3\n".encode(encoding))
    assert read_decay(path).bin_width == pytest.approx(1e-6)


def test_one_column_needs_a_bin_width(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("counts\n5\n3\n")
    assert read_decay(path, bin_width=2e-9).counts.tolist() == [5, 3]
    with pytest.raises(PhotonFileError, match=r"one column, counts without times: give .* as bin_width="):
        read_decay(path)


def test_one_of_several_columns(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("t(ns) a b\n0 5 0\n1 3 7\n2 2 1\n")
    with pytest.raises(PhotonFileError, match=r"2 curves that are not empty \(0: 10 counts, 1: 8 counts\)"):
        read_decay(path)
    assert read_decay(path, curve=1, period=1e-7).counts.tolist() == [0, 7, 1]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("0 1\n1 2\n", {}, "does not name the unit of its times"),
        ("t (ns), width (ps)\n0 1\n1 2\n", {}, "names several units"),
        ("t (ns)\n0 1\n1 -2\n", {}, "line 3: expected a whole number of counts >= 0, found -2"),
        ("t (ns)\n0 1\n1 0.5\n", {}, "line 3: .* found 0.5. A decay is a histogram of photons"),
        ("t (ns)\n0 1\n1 2\n3 1\n4 1\n", {}, r"line 4: expected times in equal rising steps \(of 1\), found 3 after 1"),
        ("t (ns)\n3 1\n2 2\n1 1\n", {}, "equal rising steps"),
        ("t (ns)\n0 1\n1 nan\n2 3\n", {}, "line 3: expected numbers, found '1 nan'"),
        ("t (ns)\n0 1\n1 2 3\n", {}, "line 3: expected 2 numbers as before, found 3"),
        ("t (ns)\n0 1\n", {}, "expected two bins or more"),
        ("t (ns)\n0 1\n1 1\n", {"bin_width": 1e-9}, "bin_width= is for counts without times"),
        ("0 1\n1 1\n", {"time_unit": "minutes"}, "time_unit must be one of ps, ns"),
        ("0 1\n1 1\n", {"time_unit": 0.0}, "time_unit must be a positive number"),
    ],
)
def test_texts_that_are_no_decay(text, settings, message, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_decay(path, **settings)


def test_a_table_of_named_columns_with_empty_cells(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time_s,counts_0,model_0,counts_1\n0,5,,1\n1e-9,3,2.5,2\n2e-9,4,1.5,\n")
    assert read_decay(path, curve=0).counts.tolist() == [5, 3, 4]
    assert read_decay(path, curve=1).counts.tolist() == [1, 2]
    path.write_text("time_s,counts,model\n0,5,\n1e-9,3,\n2e-9,4,\n")
    assert read_decay(path).counts.tolist() == [5, 3, 4]
    path.write_text("t (ns),a\n0,5\n1,3,\n2,4\n")
    assert read_decay(path).counts.tolist() == [5, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,counts,model\n0,5,\n1e-9,,2\n2e-9,4,\n", "line 3: expected counts, found an empty cell"),
        ("time_s,counts\n0,5\n,3\n2e-9,4\n", "line 3: expected a time, found an empty cell"),
        ("time_s,counts,model\n0,,1\n1e-9,,1\n2e-9,,1\n", "column 2 is empty, counts were expected"),
    ],
)
def test_empty_cells_where_numbers_belong(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(PhotonFileError, match=message):
        read_decay(path)


def test_a_histogram_file_has_bins_of_its_own(tmp_path):
    path = tmp_path / "a.phu"
    path.write_bytes(phu([[1, 2, 3]]))
    with pytest.raises(PhotonFileError, match="leave bin_width= out"):
        read_decay(path, bin_width=1e-9)
