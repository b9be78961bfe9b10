"""What a detector makes of the light that falls on it: dead time and afterpulses."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray


@nb.njit(cache=True, nogil=True)
def detect(
    times: NDArray[np.float64],
    dead_time: float,
    echoes: NDArray[np.float64],
    recorded: NDArray[np.float64],
    source: NDArray[np.int64],
) -> int:
    """Record t if t - (last recorded) >= dead_time; the j-th recorded one is followed at + echoes[j] by an afterpulse.

    times[n] sorted; echoes[m] in seconds, inf for none, or empty; recorded[m], source[m] (index of the photon, -1 for
    an afterpulse) are filled. An afterpulse meets the dead time and can have afterpulses as any photon. Returns the
    number recorded, or -1 if m is too small. O(n + afterpulses pending at a time).
    """
    pending = np.empty(16, np.float64)
    waiting, i, made = 0, 0, 0
    last = -np.inf
    while i < times.size or waiting > 0:
        if waiting > 0 and (i >= times.size or pending[waiting - 1] < times[i]):
            waiting -= 1
            time, origin = pending[waiting], np.int64(-1)
        else:
            time, origin = times[i], np.int64(i)
            i += 1
        if time - last < dead_time:
            continue
        if made >= recorded.size:
            return -1
        recorded[made] = time
        source[made] = origin
        last = time
        if echoes.size > 0 and echoes[made] < np.inf:
            if waiting == pending.size:
                longer = np.empty(2 * waiting, np.float64)
                for k in range(waiting):
                    longer[k] = pending[k]
                pending = longer
            # Kept in falling order: the next one to come is the last.
            echo = time + echoes[made]
            at = waiting
            while at > 0 and pending[at - 1] < echo:
                pending[at] = pending[at - 1]
                at -= 1
            pending[at] = echo
            waiting += 1
        made += 1
    return made
