"""Photons, markers and sync pulses to the 32-bit records of PicoQuant hardware."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).max


@njit(cache=True, nogil=True)
def encode(
    timestamps: NDArray[np.int64],
    detectors: NDArray[np.uint8],
    nanotimes: NDArray[np.uint16],
    marker_times: NDArray[np.int64],
    marker_bits: NDArray[np.uint8],
    syncs: NDArray[np.int64],
    stop: int,
    layout: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.uint32],
) -> int:
    """Fill `out` with the next records and return how many there are; 0 when all are done.

    A record is ``channel << a | nanotime << b | (t - base)``; `base` grows by overflow records of `wrap` ticks each.
    Events of the same tick come as sync, marker, photon, so that a photon finds its pulse before it. After the last
    one overflows go on until tick `stop`, as hardware writes them in the dark.

    `layout`: wrap, largest overflow count (0: records without count), overflow code, a, first channel, b,
    marker code, shift of marker bits, mask of the marker's time, sync code.
    `state`: next photon, marker, sync, and base; changed. `nanotimes` has no element for T2. O(records).
    """
    wrap, most, overflow = layout[0], layout[1], layout[2]
    channel_shift, first, nano_shift = layout[3], layout[4], layout[5]
    marker_code, marker_shift, marker_mask, sync_code = layout[6], layout[7], layout[8], layout[9]
    i, m, s, base = state[0], state[1], state[2], state[3]
    with_nanotimes = nanotimes.size > 0
    k = 0
    while k < out.size:
        t_photon = timestamps[i] if i < timestamps.size else NEVER
        t_marker = marker_times[m] if m < marker_times.size else NEVER
        t_sync = syncs[s] if s < syncs.size else NEVER
        t = min(t_photon, t_marker, t_sync)
        gap = min(t, stop) - base if t == NEVER else t - base
        if t == NEVER and gap < wrap:
            break
        if gap >= wrap:
            if most == 0:
                out[k] = overflow
                base += wrap
            else:
                count = min(gap // wrap, most)
                out[k] = overflow | count
                base += count * wrap
        elif t_sync == t:
            out[k] = sync_code | gap
            s += 1
        elif t_marker == t:
            out[k] = marker_code | np.int64(marker_bits[m]) << marker_shift | (gap & marker_mask)
            m += 1
        else:
            record = (np.int64(detectors[i]) + first) << channel_shift | gap
            if with_nanotimes:
                record |= np.int64(nanotimes[i]) << nano_shift
            out[k] = record
            i += 1
        k += 1
    state[0], state[1], state[2], state[3] = i, m, s, base
    return k
