"""PicoQuant files made byte by byte, and a slow decoder, both independent of the package."""

import struct

RECORD_TYPES = {
    "PicoHarp300T3": 0x00010303,
    "PicoHarp300T2": 0x00010203,
    "HydraHarpT3": 0x00010304,
    "HydraHarpT2": 0x00010204,
    "HydraHarp2T3": 0x01010304,
    "HydraHarp2T2": 0x01010204,
    "TimeHarp260NT3": 0x00010305,
    "TimeHarp260NT2": 0x00010205,
    "TimeHarp260PT3": 0x00010306,
    "TimeHarp260PT2": 0x00010206,
    "GenericT3": 0x00010307,
    "GenericT2": 0x00010207,
}
LEGACY = {
    "HT3 1.0": "HydraHarpT3",
    "HT3 2.0": "HydraHarp2T3",
    "HT2 1.0": "HydraHarpT2",
    "HT2 2.0": "HydraHarp2T2",
    "PT3": "PicoHarp300T3",
    "PT2": "PicoHarp300T2",
    "T3R 5.0": "TimeHarp200T3",
    "T3R 6.0": "TimeHarp200T3",
}


def is_t2(kind):
    return kind.endswith("T2")


def wrap_of(kind):
    if kind == "PicoHarp300T2":
        return 210698240
    if kind in ("PicoHarp300T3", "TimeHarp200T3"):
        return 65536
    if not is_t2(kind):
        return 1024
    return 33552000 if kind == "HydraHarpT2" else 33554432


def tag(name, value, index=-1):
    head = struct.pack("<32si", name.encode(), index)
    if isinstance(value, bool):
        return head + struct.pack("<Iq", 0x00000008, value)
    if isinstance(value, int):
        return head + struct.pack("<Iq", 0x10000008, value)
    if isinstance(value, float):
        return head + struct.pack("<Id", 0x20000008, value)
    data = value.encode() + bytes(8 - len(value.encode()) % 8)
    return head + struct.pack("<Iq", 0x4001FFFF, len(data)) + data


def ptu_tags(kind, n_records, unit, tcspc, stop_ms):
    return {
        "File_Comment": "made for a test  ",
        "Measurement_Mode": 2 if is_t2(kind) else 3,
        "TTResultFormat_TTTRRecType": RECORD_TYPES[kind],
        "TTResultFormat_BitsPerRecord": 32,
        "MeasDesc_AcquisitionTime": 2 * stop_ms,
        "MeasDesc_BinningFactor": 1,
        "HW_BaseResolution": unit if is_t2(kind) else tcspc,
        "MeasDesc_Resolution": tcspc,
        "MeasDesc_GlobalResolution": unit,
        "TTResult_SyncRate": 0 if is_t2(kind) else round(1 / unit),
        "TTResult_StopAfter": stop_ms,
        "TTResult_NumberOfRecords": n_records,
    }


def ptu(kind, words, *, unit=None, tcspc=64e-12, stop_ms=1000, changes=None, extra=b""):
    """Return the bytes of a PTU file; `changes` replaces header entries, None removes one."""
    unit = unit or (1e-12 if is_t2(kind) else 200e-9)
    tags = ptu_tags(kind, len(words), unit, tcspc, stop_ms) | (changes or {})
    header = b"".join(tag(name, value) for name, value in tags.items() if value is not None)
    end = struct.pack("<32siIq", b"Header_End", -1, 0xFFFF0008, 0)
    return b"PQTTTR\0\0" + b"1.0.00\0\0" + header + extra + end + struct.pack(f"<{len(words)}I", *words)


def legacy(name, words, *, sync_rate=5_000_000, resolution=None, stop_ms=1000, n_records=None):
    """Return the bytes of a file older than PTU, its fields placed where real files have them."""
    n = len(words) if n_records is None else n_records
    mode = 2 if "2" in name[:3] else 3
    fields, size = _PLACES[name[:2]](name, mode, sync_rate, resolution, stop_ms, n)
    header = bytearray(size)
    for offset, code, value in fields:
        struct.pack_into("<" + code, header, offset, value)
    return bytes(header) + struct.pack(f"<{len(words)}I", *words)


def _hydra(name, mode, sync_rate, resolution, stop_ms, n):
    resolution = resolution or (16.0 if mode == 3 else 0.5 if name.endswith("1.0") else 1.0)
    return [
        (0, "16s", b"HydraHarp"), (0x10, "6s", name[-3:].encode()), (0x16, "18s", b"HydraHarp AcqUI   "),
        (0x14C, "i", 32), (0x154, "i", mode), (0x160, "d", resolution), (0x16C, "i", 2 * stop_ms),
        (0x288, "d", 1.0), (0x298, "i", 4), (0x308, "i", sync_rate if mode == 3 else 0), (0x30C, "i", stop_ms),
        (0x318, "q", n),
    ], 0x320  # fmt: skip


def _pico(name, mode, sync_rate, resolution, stop_ms, n):
    return [
        (0, "16s", b"PicoHarp 300    "), (0x10, "6s", b"2.0   "), (0x34, "18s", b"10/03/2014 17:12  "),
        (0x14C, "i", 32), (0x15C, "i", mode), (0x16C, "i", 2 * stop_ms), (0x248, "f", resolution or 0.004),
        (0x2C0, "i", sync_rate), (0x2C8, "i", stop_ms), (0x2D0, "i", n),
    ], 0x2D8  # fmt: skip


def _time(name, mode, sync_rate, resolution, stop_ms, n):
    at = 0 if name.endswith("5.0") else 0x18
    late = 0 if name.endswith("5.0") else 0x30
    return [
        (0, "16s", b"TimeHarp 200"), (0x10, "6s", name[-3:].encode()), (0x138 + at, "i", 32), (0x148 + at, "i", 2),
        (0x158 + at, "i", 2 * stop_ms), (0x218 + late, "f", resolution or 0.036), (0x21C + late, "i", 100),
        (0x238 + late, "i", sync_rate), (0x240 + late, "i", stop_ms), (0x248 + late, "i", n),
    ], 0x250 + late  # fmt: skip


_PLACES = {"HT": _hydra, "PT": _pico, "T3": _time}


def encode(kind, events):
    """Return records for events in the order of time: ("photon", t, detector, nanotime), ("marker", t, bits) ..."""
    words, overflows, wrap = [], 0, wrap_of(kind)
    for what, t, *rest in events:
        while t // wrap > overflows:
            step = t // wrap - overflows
            if kind[:4] in ("Pico", "Time") and "260" not in kind:
                words.append(0xF0000000 if kind.startswith("Pico") else 0x08000000)
                step = 1
            elif kind.startswith("HydraHarpT"):
                words.append(0xFE000000)
                step = 1
            else:
                step = min(step, 1023)
                words.append(0xFE000000 | step)
            overflows += step
        words.append(_event(kind, what, t % wrap, rest))
    return words


def _event(kind, what, t, rest):
    if kind == "PicoHarp300T3":
        return (rest[0] + 1) << 28 | rest[1] << 16 | t if what == "photon" else 0xF0000000 | rest[0] << 16 | t
    if kind == "PicoHarp300T2":
        return rest[0] << 28 | t if what == "photon" else 0xF0000000 | t & ~15 | rest[0]
    if kind == "TimeHarp200T3":
        return 1 << 30 | rest[0] << 28 | (4095 - rest[1]) << 16 | t if what == "photon" else rest[0] << 16 | t
    special = {"photon": 0, "marker": 1 << 31, "sync": 1 << 31}[what]
    channel = rest[0] if rest else 0
    nano = rest[1] << 10 if what == "photon" and not is_t2(kind) else 0
    return special | channel << 25 | nano | t


def decode(kind, words):
    """Return photons (t, detector, nanotime), markers (t, bits), syncs, and the record where time runs backwards."""
    photons, markers, syncs, over = [], [], [], 0
    for i, word in enumerate(words):
        what, values, over = _decode_one(kind, word, over)
        if what == "photon":
            if photons and values[0] < photons[-1][0]:
                return photons, markers, syncs, i
            photons.append(values)
        elif what == "marker":
            markers.append(values)
        elif what == "sync":
            if syncs and values < syncs[-1]:
                return photons, markers, syncs, i
            syncs.append(values)
    return photons, markers, syncs, -1


def _decode_one(kind, word, over):
    wrap = wrap_of(kind)
    if kind.startswith("PicoHarp"):
        channel, t = word >> 28, word & (0xFFFF if kind.endswith("3") else 0xFFFFFFF)
        nano = (word >> 16) & 4095 if kind.endswith("3") else 0
        bits = nano if kind.endswith("3") else t & 15
        if channel != 15:
            return "photon", (over + t, (channel - 1) % 16 if kind.endswith("3") else channel, nano), over
        t -= 0 if kind.endswith("3") else bits  # marker bits stand in the lowest bits of the time
        return ("marker", (over + t, bits & 15), over) if bits else ("overflow", None, over + wrap)
    if kind == "TimeHarp200T3":
        valid, data, t = (word >> 30) & 1, (word >> 16) & 4095, word & 0xFFFF
        if valid:
            return "photon", (over + t, (word >> 28) & 3, 4095 - data), over
        over += wrap * (data >> 11)
        return ("marker", (over + t, data & 7), over) if data & 7 else ("other", None, over)
    bits = 25 if is_t2(kind) else 10
    special, channel, t = word >> 31, (word >> 25) & 63, word & (2**bits - 1)
    if not special:
        return "photon", (over + t, channel, 0 if is_t2(kind) else (word >> 10) & 32767), over
    if channel == 63:
        return "overflow", None, over + wrap * (1 if kind.startswith("HydraHarpT") else max(t, 1))
    if channel == 0 and is_t2(kind):
        return "sync", over + t, over
    return ("marker", (over + t, channel), over) if 1 <= channel <= 15 else ("other", None, over)
