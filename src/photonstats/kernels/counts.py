"""Counts per slice of a sorted stream."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray


@nb.njit(cache=True, nogil=True)
def count_detector(
    detectors: NDArray[np.uint8], edges: NDArray[np.int64], detector: np.uint8, counts: NDArray[np.int64]
) -> None:
    """counts[k] += #{i in [edges[k], edges[k+1]) : detectors[i] == detector}; O(n), reads one byte per photon.

    detectors[n], edges[m+1] indices into it, counts[m]. The 32-bit sum lets the compiler compare many at once.
    """
    for k in range(counts.size):
        total = np.uint32(0)
        for i in range(edges[k], edges[k + 1]):
            total += np.uint32(detectors[i] == detector)
        counts[k] += total
