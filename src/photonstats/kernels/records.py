"""Kernels that take apart the 32-bit records of PicoQuant's time taggers.

Each layout has two kernels with the same arguments. ``count_*`` finds what a block of records holds, so that arrays of
the exact size can be given to ``decode_*`` and blocks can be decoded in any order:

count(records u4[n], wrap, mask) -> (photons, markers, syncs, unknown, odd, ticks), all int64
    `wrap`: ticks of one overflow; `mask`: bits of an overflow record that hold the number of overflows (0: always
    one; a number of 0 counts as one). `unknown`: special records of no known kind; `odd`: photons on channels that
    the hardware does not have; `ticks`: what the overflows of the block add to the time.
decode(records u4[n], wrap, mask, overflow, last, last_sync, timestamps i8[photons], detectors u1[photons],
       nanotimes u2[photons], marker_times i8[markers], marker_bits u1[markers], syncs i8[syncs]) -> int64
    `overflow`: ticks of all overflows before the block; `last`, `last_sync`: times of the photon and the sync
    before it. Returns the index of the first record at which time runs backwards (nothing after it is decoded), or -1.
    `nanotimes` is not touched by T2 layouts and `syncs` not by T3 layouts.

Cost: one pass, O(n), no memory. Layouts: PicoQuant, TTTR Record Format (appendix of the unified file format).
"""

# ruff: noqa: ARG001 -- all layouts share one signature
from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def count_hydra(records, wrap, mask):  # type: ignore[no-untyped-def]
    """Count records ``special:1 channel:6 ...``; special channel 63 overflow, 1-15 markers, 0 sync (T2 only)."""
    n = records.size
    specials = overflows = ticks = np.int64(0)
    for i in range(n):  # no branches, so that it is done several records at a time
        record = np.int64(records[i])
        overflow = np.int64((record >> 25) == 127)
        specials += record >> 31
        overflows += overflow
        ticks += overflow * max(record & mask, 1)
    markers = syncs = unknown = np.int64(0)
    if specials > overflows:
        for i in range(n):
            top = np.int64(records[i]) >> 25
            if top == 64:
                syncs += 1
            elif 64 < top <= 79:
                markers += 1
            elif 79 < top < 127:
                unknown += 1
    return n - specials, markers, syncs, unknown, np.int64(0), ticks * wrap


@njit(cache=True, nogil=True)
def decode_hydra_t3(  # type: ignore[no-untyped-def]
    records, wrap, mask, overflow, last, last_sync,
    timestamps, detectors, nanotimes, marker_times, marker_bits, syncs,
):  # fmt: skip
    """Decode ``special:1 channel:6 dtime:15 nsync:10``; special channel 0 means nothing in T3."""
    photons = markers = 0
    for i in range(records.size):
        record = np.int64(records[i])
        time = overflow + (record & 1023)
        if record >> 31:
            channel = (record >> 25) & 63
            if channel == 63:
                overflow += wrap * max(record & mask, 1)
            elif 1 <= channel <= 15:
                marker_times[markers] = time
                marker_bits[markers] = channel
                markers += 1
        else:
            if time < last:
                return i
            last = time
            timestamps[photons] = time
            detectors[photons] = record >> 25
            nanotimes[photons] = (record >> 10) & 32767
            photons += 1
    return -1


@njit(cache=True, nogil=True)
def decode_hydra_t2(  # type: ignore[no-untyped-def]
    records, wrap, mask, overflow, last, last_sync,
    timestamps, detectors, nanotimes, marker_times, marker_bits, syncs,
):  # fmt: skip
    """Decode ``special:1 channel:6 timetag:25``."""
    photons = markers = pulses = 0
    for i in range(records.size):
        record = np.int64(records[i])
        time = overflow + (record & 33554431)
        if record >> 31:
            channel = (record >> 25) & 63
            if channel == 63:
                overflow += wrap * max(record & mask, 1)
            elif channel == 0:
                if time < last_sync:
                    return i
                last_sync = time
                syncs[pulses] = time
                pulses += 1
            elif channel <= 15:
                marker_times[markers] = time
                marker_bits[markers] = channel
                markers += 1
        else:
            if time < last:
                return i
            last = time
            timestamps[photons] = time
            detectors[photons] = record >> 25
            photons += 1
    return -1


@njit(cache=True, nogil=True)
def count_pico_t3(records, wrap, mask):  # type: ignore[no-untyped-def]
    """Count ``channel:4 dtime:12 nsync:16``; channel 15 with dtime 0 is an overflow, else markers."""
    n = records.size
    markers = overflows = odd = np.int64(0)
    for i in range(n):
        record = np.int64(records[i])
        channel = record >> 28
        if channel == 15:
            if (record >> 16) & 4095 == 0:
                overflows += 1
            else:
                markers += 1
        elif channel == 0 or channel > 4:
            odd += 1
    return n - markers - overflows, markers, 0, 0, odd, overflows * wrap


@njit(cache=True, nogil=True)
def decode_pico_t3(  # type: ignore[no-untyped-def]
    records, wrap, mask, overflow, last, last_sync,
    timestamps, detectors, nanotimes, marker_times, marker_bits, syncs,
):  # fmt: skip
    """Decode ``channel:4 dtime:12 nsync:16``; router channel c is detector (c - 1) mod 16."""
    photons = markers = 0
    for i in range(records.size):
        record = np.int64(records[i])
        time = overflow + (record & 65535)
        channel = record >> 28
        if channel == 15:
            bits = (record >> 16) & 4095
            if bits == 0:
                overflow += wrap
            else:
                marker_times[markers] = time
                marker_bits[markers] = bits & 15
                markers += 1
        else:
            if time < last:
                return i
            last = time
            timestamps[photons] = time
            detectors[photons] = (channel - 1) & 15
            nanotimes[photons] = (record >> 16) & 4095
            photons += 1
    return -1


@njit(cache=True, nogil=True)
def count_pico_t2(records, wrap, mask):  # type: ignore[no-untyped-def]
    """Count ``channel:4 timetag:28``; channel 15 is an overflow where the lowest 4 bits are 0, else markers."""
    n = records.size
    markers = overflows = odd = np.int64(0)
    for i in range(n):
        record = np.int64(records[i])
        channel = record >> 28
        if channel == 15:
            if record & 15 == 0:
                overflows += 1
            else:
                markers += 1
        elif channel > 4:
            odd += 1
    return n - markers - overflows, markers, 0, 0, odd, overflows * wrap


@njit(cache=True, nogil=True)
def decode_pico_t2(  # type: ignore[no-untyped-def]
    records, wrap, mask, overflow, last, last_sync,
    timestamps, detectors, nanotimes, marker_times, marker_bits, syncs,
):  # fmt: skip
    """Decode ``channel:4 timetag:28``; the marker bits sit in the lowest bits of a marker's time."""
    photons = markers = 0
    for i in range(records.size):
        record = np.int64(records[i])
        time = overflow + (record & 268435455)
        channel = record >> 28
        if channel == 15:
            bits = record & 15
            if bits == 0:
                overflow += wrap
            else:
                marker_times[markers] = time - bits
                marker_bits[markers] = bits
                markers += 1
        else:
            if time < last:
                return i
            last = time
            timestamps[photons] = time
            detectors[photons] = channel
            photons += 1
    return -1


@njit(cache=True, nogil=True)
def count_timeharp200(records, wrap, mask):  # type: ignore[no-untyped-def]
    """Count ``reserved:1 valid:1 route:2 channel:12 timetag:16``; not valid: channel bit 11 overflow, 0-2 markers."""
    n = records.size
    photons = markers = overflows = unknown = np.int64(0)
    for i in range(n):
        record = np.int64(records[i])
        if (record >> 30) & 1:
            photons += 1
        else:
            bits = (record >> 16) & 4095
            overflows += bits >> 11
            if bits & 7:
                markers += 1
            elif bits >> 11 == 0:
                unknown += 1
    return photons, markers, 0, unknown, 0, overflows * wrap


@njit(cache=True, nogil=True)
def decode_timeharp200(  # type: ignore[no-untyped-def]
    records, wrap, mask, overflow, last, last_sync,
    timestamps, detectors, nanotimes, marker_times, marker_bits, syncs,
):  # fmt: skip
    """Decode TimeHarp 200; it counts from the photon to the next pulse, so nanotime = 4095 - channel runs forward."""
    photons = markers = 0
    for i in range(records.size):
        record = np.int64(records[i])
        time = overflow + (record & 65535)
        bits = (record >> 16) & 4095
        if (record >> 30) & 1:
            if time < last:
                return i
            last = time
            timestamps[photons] = time
            detectors[photons] = (record >> 28) & 3
            nanotimes[photons] = 4095 - bits
            photons += 1
        else:
            if bits >> 11:
                overflow += wrap
                time += wrap
            if bits & 7:
                marker_times[markers] = time
                marker_bits[markers] = bits & 7
                markers += 1
    return -1
