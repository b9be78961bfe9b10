"""Triples of three detectors: which ones, their delays, and the walk over the pieces of a recording."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photonstats.correlations.correlation import g2
from photonstats.correlations.delay import delay_of_pair, rise_of
from photonstats.correlations.pairing import HEAD_PHOTONS, LIVE_SHARE, Head, make_gate
from photonstats.correlations.pulsed import g2_pulsed
from photonstats.kernels.triples import add_triples
from photonstats.stream import PhotonStream, check_detectors, check_follows
from photonstats.traces.stretches import windows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CABLE = 150e-9
AT_ONCE = 2**20


def choose_three(head: Head, detectors: Sequence[int] | None) -> tuple[int, int, int]:
    """Return the given three detectors, or the three live ones."""
    counts = head.counts
    seconds = head.seconds if head.seconds > 0 else math.nan
    rates = ", ".join(f"{d}: {n / seconds:.4g} Hz" for d, n in counts.items()) or "none"
    if detectors is None:
        live = [d for d, n in counts.items() if n >= LIVE_SHARE * max(counts.values())]
        if len(live) != 3:
            few = "g3 needs three" if len(live) < 3 else "choose three with detectors=(a, b, c)"
            raise ValueError(f"{len(live)} detectors are live ({rates}): {few}")
        return live[0], live[1], live[2]
    given = check_detectors(detectors)
    if len(given) != 3 or len(set(given)) < 3:
        raise ValueError(f"detectors={detectors!r}: g3 needs three different detectors (a, b, c); there are {rates}")
    missing = [d for d in given if d not in counts]
    if missing and counts and head.detectors.size < HEAD_PHOTONS:
        raise ValueError(f"detectors={given}: detector {missing[0]} has no photons; there are {rates}")
    return given[0], given[1], given[2]


def opening_of(parts: Iterator[PhotonStream]) -> tuple[list[PhotonStream], Iterator[PhotonStream]]:
    """Take the first 2^19 photons as pieces, and return them with an iterator over all pieces."""
    taken: list[PhotonStream] = []
    head: list[PhotonStream] = []
    n = 0
    while n < HEAD_PHOTONS and (piece := next(parts, None)) is not None:
        taken.append(piece)
        head.append(piece[: HEAD_PHOTONS - n])
        n += len(head[-1])
    return head, chain(taken, parts)


def find_delays(
    opening: list[PhotonStream],
    detectors: Sequence[int],
    delay: float | Mapping[int, float] | str,
    bin_width: float | None,
) -> tuple[tuple[float, ...], str]:
    """Return how much later each detector is than the first, s, and how that was found.

    Parameters
    ----------
    opening : list of PhotonStream
        The pieces on which delays are looked for.
    detectors : sequence of int
        The first is what the others are compared with.
    delay : float, mapping or "auto"
        As given by the user.
    bin_width : float or None
        None: laser pulses; else the search is done for a dip or an excess of continuous light.
    """
    found, notes = [0.0], []
    for other in detectors[1:]:
        pair = (int(detectors[0]), int(other))
        given = delay_of_pair(delay, detectors, pair)
        if not isinstance(given, str):
            found.append(given)
            continue
        try:
            if bin_width is None:
                one: Any = g2_pulsed(opening, detectors=pair)
            else:
                unit = opening[0].tcspc_unit if opening[0].pulse_clock else opening[0].timestamps_unit
                fine = max(min(bin_width, 1e-9), unit or 0.0)
                one = g2(opening, window=4 * CABLE, bin_width=fine, detectors=pair)
            found.append(one.delay)
            # what the note says on the intervals of g2 does not hold here
            notes.append(f"{other}: {one.delay_note.split('; the intervals')[0]}")
        except ValueError:
            found.append(0.0)
            notes.append(f"{other}: not found, taken as 0")
    return tuple(found), "; ".join(notes) or "as given"


class TripleCounter:
    """Triples, pairs and photons of a recording, counted piece by piece in bounded memory."""

    def __init__(
        self,
        head: Head,
        three: tuple[int, int, int],
        lags: Sequence[float],
        bin_width: float | None,
        n: int,
        gate: float | tuple[float, float] | None,
    ) -> None:
        first, self.three, self.n = head.first, three, n
        pulse = head.ticks_per_pulse
        unit = first.timestamps_unit if pulse is None else first.timestamps_unit / pulse
        self.pulsed, self._fine = bin_width is None, pulse is not None
        ticks_late = np.asarray(lags, np.float64) / unit
        whole = np.rint(ticks_late)  # 31e-9 / 1e-9 is no whole number, though meant as one
        self._lags = np.where(np.abs(ticks_late - whole) < 1e-6, whole, ticks_late)
        if bin_width is None:
            assert pulse is not None
            self._length, self._period, self._width, self.slot = pulse, 1.0, 1.0, first.timestamps_unit
            self._lags = self._lags + _cut(head.decay(three[0]), pulse)
            self._ahead = math.ceil(float(self._lags.max()) / pulse) + 1
        else:
            # T2 times are whole ticks: a bin of 2.5 of them would hold two or three
            ticks = bin_width / unit if self._fine else max(round(bin_width / unit), 1)
            self._length, self._period, self._width, self.slot = 1.0, pulse or 1.0, float(ticks), ticks * unit
            self._ahead = math.ceil(float(self._lags.max()) / self._period) + 1
        self._codes = np.full(256, 3, np.uint8)
        self._codes[list(three)] = [0, 1, 2]
        gates = [make_gate(head, (three[0], d), gate) for d in three[1:]]
        self._table, self.open_fraction = None, np.ones(3)
        if gates[0] is not None and gates[1] is not None:
            self._table = np.stack([gates[0].table[0], gates[0].table[1], gates[1].table[1]])
            self.open_fraction = np.array([*gates[0].open_fraction, gates[1].open_fraction[1]])
        self._zero: int | None = None
        self.triples = np.zeros((2 * n + 1, 2 * n + 1), np.int64)
        self.pairs = np.zeros((3, 4 * n + 3), np.int64)
        self.photons, self.slots = np.zeros((0, 3), np.int64), np.zeros(0)
        self._clear()

    def run(self, parts: Iterator[PhotonStream], stretches: Floats | None) -> None:
        """Count all pieces, or the stretches of them, each on its own."""
        pieces = ((0, p) for p in parts) if stretches is None else windows(parts, stretches)
        now, latest = -1, None
        for k, piece in pieces:
            if k != now:
                self._flush()
                self.photons = np.concatenate([self.photons, np.zeros((1, 3), np.int64)])
                self.slots = np.append(self.slots, 0.0)
                now = k
            self.slots[-1] += piece.duration / self.slot
            latest = check_follows(piece, latest)
            for i in range(0, len(piece), AT_ONCE):
                self._add(piece[i : i + AT_ONCE])
        self._flush()

    def check_photons(self, head: Head, gate: float | tuple[float, float] | None) -> None:
        """Refuse three detectors of which one has no photon."""
        totals = self.photons.sum(axis=0)
        if head.counts and totals.min() == 0:
            empty = self.three[int(np.argmin(totals))]
            why = f"gate={gate} s leaves" if gate is not None and empty in head.counts else "there are"
            raise ValueError(f"{why} no photons on detector {empty} in the time analysed, of {sorted(head.counts)}")

    def _clear(self) -> None:
        self._macro, self._part = np.zeros(0, np.int64), np.zeros(0)
        self._code, self._keys, self._done = np.zeros(0, np.uint8), np.zeros(0), 0

    def _add(self, piece: PhotonStream) -> None:
        code = self._codes[piece.detectors]
        keep = code < 3
        if self._table is not None and piece.nanotimes is not None:
            keep &= self._table[np.minimum(code, 2), piece.nanotimes]
        code = code[keep]
        self.photons[-1] += np.bincount(code, minlength=3)[:3]
        macro, shift = piece.timestamps[keep], self._lags[code]
        part = -shift
        if self._fine and piece.nanotimes is not None:
            part = piece.nanotimes[keep] - shift
        if self.pulsed:
            macro, part = macro + np.floor(part / self._length).astype(np.int64), np.zeros(code.size)
        if self._zero is None:
            self._zero = int(piece.timestamps[0])
        keys = np.asarray((macro - self._zero) * self._period + part, dtype=np.float64)
        if keys.size > 1 and np.any(keys[1:] < keys[:-1]):
            order = np.argsort(keys, kind="stable")
            macro, part, code, keys = macro[order], part[order], code[order], keys[order]
        self._merge(macro, part, code, keys)
        # what is still to come may lie this far back, once its delay is taken off
        self._count((int(piece.timestamps[-1]) - self._zero - self._ahead) * self._period)

    def _merge(self, macro: Ints, part: Floats, code: NDArray[np.uint8], keys: Floats) -> None:
        # Photons that have looked back stay in front: those that have not look back at all of them.
        done = self._done
        all_keys = np.concatenate([self._keys, keys])
        order = np.concatenate([np.arange(done), done + np.argsort(all_keys[done:], kind="stable")])
        self._macro = np.concatenate([self._macro, macro])[order]
        self._part = np.concatenate([self._part, part])[order]
        self._code = np.concatenate([self._code, code])[order]
        self._keys = all_keys[order]

    def _count(self, safe: float) -> None:
        """Let the photons before `safe` look back, and forget what no later one can reach."""
        reach = (2 * self.n + 2) * self._width
        last = self._done + int(np.searchsorted(self._keys[self._done :], safe))
        add_triples(
            self._macro, self._part, self._code, self._keys, self._done, last, reach, self._period, self._width,
            self.triples, self.pairs,
        )  # fmt: skip
        begin = int(np.searchsorted(self._keys[:last], safe - reach)) if math.isfinite(safe) else last
        self._macro, self._part = self._macro[begin:], self._part[begin:]
        self._code, self._keys, self._done = self._code[begin:], self._keys[begin:], last - begin

    def _flush(self) -> None:
        self._count(math.inf)
        self._clear()


def _cut(decay: Ints, period: float) -> float:
    """Return the nanotime at which a new pulse begins: where the rise of the decay sets in, or 0 where it is flat."""
    try:
        rise, guard = rise_of(decay, period)
    except ValueError:
        return 0.0
    return rise - guard
