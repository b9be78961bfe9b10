"""Photons of segments sorted into classes of nanotime in one pass, and the tables from which all of them are fitted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

from photonstats.curve import Decay
from photonstats.decays.decay_global import fit_decays
from photonstats.decays.decay_model import GaussianIRF, bins_of_period, find_rise, fitted_bins, measured_impulses
from photonstats.decays.lifetime import fit_decay
from photonstats.kernels import segments as kernels
from photonstats.likelihood import ONE_SIGMA
from photonstats.stream import PhotonStream, first_ticks, pieces
from photonstats.traces.time_bins import bin_edges, whole_bins

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Classes = NDArray[np.uint16]

HEAD = 1 << 17  # photons that place the classes: the same ones however the recording is cut
NANOTIMES = 65536
MOST_BINS = 4096
FEW = 500  # photons of a detector below which its rise may be anywhere
GROWTH = 0.1  # width of a class over its distance from the rise
NODE = 0.15  # spacing of the table in the logarithm of the lifetime
ROW = 0.35  # and in the logarithm of signal over background
FRACTIONS = 41  # nodes from none to all of the first component
ENDLESS = np.iinfo(np.int64).max
PARALLEL = 4096  # segments from which threads are worth starting


@dataclass(frozen=True)
class Layout:
    """Bins and classes: `class_of[d, k]` is the class of bin k of detector d, `lut[d, u]` that of a nanotime."""

    detectors: tuple[int, ...]
    unit: float
    period: float
    merge: int
    class_of: Ints
    lut: Classes

    @property
    def n_classes(self) -> int:
        """Classes of all detectors together."""
        return int(self.class_of.max()) + 1

    def first(self, d: int) -> int:
        """Return the first class of the d-th detector."""
        return int(self.class_of[d].min())

    def decay(self, sums: Ints, d: int, duration: float) -> Decay:
        """Return the summed decay of the d-th detector; sums[D, 65536]."""
        n = self.class_of.shape[1]
        padded = np.zeros(n * self.merge, np.int64)
        taken = min(padded.size, NANOTIMES)
        padded[:taken] = sums[d, :taken]
        return Decay(padded.reshape(n, -1).sum(axis=1), self.merge * self.unit, self.period, duration or None)


@dataclass(frozen=True)
class Entries:
    """Filled classes of all segments one after the other, up to `ends[k]` those of segment k; sums[D, 65536]."""

    layout: Layout
    ends: Ints
    entry_class: Classes
    entry_count: NDArray[np.uint32]
    counts: Ints
    sums: Ints
    edges: Floats


@dataclass(frozen=True)
class Response:
    """Instrument response of one detector in bins: impulses, or with sigma > 0 a Gaussian; `use[n]`: bins to fit."""

    at: Floats
    weight: Floats
    sigma: float
    shift: float
    use: NDArray[np.bool_]


def collect_entries(
    photons: PhotonStream | Iterable[PhotonStream], edges: Floats | float, detectors: tuple[int, ...] | None
) -> Entries:
    """Sort the photons of each segment into classes, in one pass; edges in s, or the width of bins."""
    parts = _checked(pieces(photons), None if isinstance(edges, float) else edges)
    if isinstance(edges, float):
        parts = whole_bins(parts, edges)
    head: list[PhotonStream] = []
    seen = 0
    for piece in parts:
        head.append(piece)
        seen += len(piece)
        if seen >= HEAD:
            break
    if not head:
        raise ValueError("there is no recording: scan gave no pieces")
    layout = _layout(head, detectors)
    return _Collector(layout, edges).all_of(_chained(head, parts), named=detectors is not None)


def _chained(head: list[PhotonStream], rest: Iterator[PhotonStream]) -> Iterator[PhotonStream]:
    while head:
        yield head.pop(0)
    yield from rest


def _checked(parts: Iterator[PhotonStream], edges: Floats | None) -> Iterator[PhotonStream]:
    """Pass the pieces on if they are of one recording, have nanotimes and a period, and reach over the segments."""
    first: PhotonStream | None = None
    end = -math.inf
    for piece in parts:
        if piece.nanotimes is None or piece.tcspc_unit is None:
            raise ValueError(
                "the photons have no nanotimes, so segments have no lifetimes; a T2 recording with laser pulses on its "
                "sync input gets them from ps.fold(photons)"
            )
        if period_of(piece) is None:
            raise ValueError("the photons have no laser_period, over which background and light of earlier pulses wrap")
        if first is None:
            first = piece
            if edges is not None:
                _check_reach(edges, piece.start, math.inf, piece.timestamps_unit)
        mine = (piece.timestamps_unit, piece.tcspc_unit, period_of(piece))
        if mine != (first.timestamps_unit, first.tcspc_unit, period_of(first)):
            raise ValueError(f"a piece has other units or another laser period than the first: {mine}")
        end = piece.start + piece.duration
        yield piece
    if first is not None and edges is not None:
        _check_reach(edges, first.start, end, first.timestamps_unit)


def _check_reach(edges: Floats, start: float, end: float, unit: float) -> None:
    slack = unit + 1e-9 * abs(start)
    if edges[0] < start - slack or edges[-1] > end + slack:
        raise ValueError(
            f"segments from {edges[0]:.9g} s to {edges[-1]:.9g} s reach beyond the recording, {start:.9g} s to "
            f"{end:.9g} s: time that was not measured has no rate; cut the edges to it"
        )


def period_of(piece: PhotonStream) -> float | None:
    """Return the laser period, s; the tick of the clock where that counts pulses and no other is named."""
    if piece.laser_period is None and piece.pulse_clock:
        return piece.timestamps_unit
    return piece.laser_period


def _layout(head: list[PhotonStream], detectors: tuple[int, ...] | None) -> Layout:
    """Place the classes by the decays of the first photons."""
    left = HEAD
    pairs = []
    for piece in head:
        assert piece.nanotimes is not None
        pairs.append((piece.detectors[:left], piece.nanotimes[:left]))
        left -= pairs[-1][0].size
    seen, times = (np.concatenate(each) for each in zip(*pairs, strict=True))
    which = tuple(np.flatnonzero(np.bincount(seen)).tolist()) if detectors is None else tuple(dict.fromkeys(detectors))
    if not which:
        raise ValueError("the recording holds no photons, so there are no lifetimes; fit another one")
    unit, period = head[0].tcspc_unit, period_of(head[0])
    assert unit is not None
    assert period is not None
    ticks = min(max(1, math.ceil(period / unit - 1e-6)), NANOTIMES)
    merge = -(-ticks // MOST_BINS)
    n = -(-ticks // merge)
    class_of = np.empty((len(which), n), np.int64)
    offset = 0
    for d, detector in enumerate(which):
        counts = np.bincount(times[seen == detector], minlength=NANOTIMES)[:ticks]
        merged = np.add.reduceat(counts, np.arange(0, ticks, merge)).astype(np.float64)
        class_of[d] = offset + classes_of(merged, period / unit / merge)
        offset = int(class_of[d].max()) + 1
    lut = np.full((len(which), NANOTIMES), offset, np.uint16)
    lut[:, :ticks] = np.repeat(class_of, merge, axis=1)[:, :ticks]
    return Layout(which, unit, period, merge, class_of, lut)


def classes_of(counts: Floats, period: float) -> Ints:
    """Return the class of each bin of a decay: narrow at the rise, as wide as a tenth of the time after it later on.

    Classes lose of what the photons tell of a lifetime less than 1 %; the model is summed over them exactly.
    """
    n = counts.size
    if counts.sum() < FEW:
        return np.arange(n) * min(n, 512) // n
    rise = find_rise(counts, period)
    fine, reach = max(1, int(rise.width / 6.0)), 1.5 * rise.width
    ends = [0]
    back = 0
    while back < min(n // 8, 40 * fine + 3.0 * reach):
        back += max(fine, int((back - reach) * 0.5))
        ends.append(-back)
    ends.reverse()
    while ends[-1] < n - back:
        ends.append(min(ends[-1] + max(fine, int((ends[-1] - reach) * GROWTH)), n - back))
    which = np.repeat(np.arange(len(ends) - 1), [b - a for a, b in pairwise(ends)])
    found = np.empty(n, np.int64)
    found[(np.arange(n) - back + math.floor(rise.half)) % n] = which
    return found


class _Collector:
    """What one pass fills: the row of the open segment and the entries of those that have ended."""

    def __init__(self, layout: Layout, edges: Floats | float) -> None:
        self._width = edges if isinstance(edges, float) else None
        self._layout, self._edges = layout, np.zeros(1) if isinstance(edges, float) else edges
        k = self._edges.size - 1
        self._row = np.zeros(layout.n_classes + 1, np.uint32)
        self._state = np.zeros(3, np.int64)
        self._sums = np.zeros((len(layout.detectors), NANOTIMES), np.int64)
        self._counts, self._ends = np.zeros(k, np.int64), np.zeros(k, np.int64)
        self._class, self._count = np.empty(0, np.uint16), np.empty(0, np.uint32)
        self._slot = np.full(256, 255, np.uint8)
        self._slot[list(layout.detectors)] = np.arange(len(layout.detectors))

    def all_of(self, parts: Iterator[PhotonStream], *, named: bool) -> Entries:
        """Take all pieces, and return the entries."""
        for piece in parts:
            if not named:
                self._refuse_strangers(piece)
            if self._width is not None:
                self._reach(piece, self._width)
            self._add(piece)
        used = int(self._state[kernels.ENTRIES])
        k = int(self._state[kernels.SEGMENT])
        if k < self._counts.size:
            self._room(used + self._row.size)
            used = kernels.close(self._row, self._row.size - 1, used, self._class, self._count)
            self._counts[k] = self._state[kernels.PHOTONS]
            self._ends[k:] = used
        return Entries(
            self._layout, self._ends, self._class[:used], self._count[:used], self._counts, self._sums, self._edges
        )

    def _reach(self, piece: PhotonStream, width: float) -> None:
        """Add the bins that a piece brings, which ends on the edge of one."""
        start = float(self._edges[0]) if self._counts.size else piece.start
        self._edges = bin_edges(start, piece.start + piece.duration, width)
        more = np.zeros(self._edges.size - 1 - self._counts.size, np.int64)
        self._counts, self._ends = np.append(self._counts, more), np.append(self._ends, more)

    def _add(self, piece: PhotonStream) -> None:
        ticks = first_ticks(self._edges, piece.timestamps_unit)
        if self._edges[-1] >= piece.start + piece.duration - 1e-6 * piece.timestamps_unit:
            ticks[-1] = ENDLESS  # to its last photon, on whatever tick that is
        bounds = np.searchsorted(piece.timestamps, ticks)
        open_segment = int(self._state[kernels.SEGMENT])
        ending = int(np.searchsorted(bounds, len(piece), side="left")) - 1
        most = (max(ending - open_segment, 0) + 1) * (self._row.size - 1)
        self._room(int(self._state[kernels.ENTRIES]) + min(most, len(piece) + self._row.size))
        assert piece.nanotimes is not None
        kernels.collect(
            piece.detectors, piece.nanotimes, bounds, self._slot, self._layout.lut, self._row, self._state, self._sums,
            self._counts, self._ends, self._class, self._count,
        )  # fmt: skip

    def _room(self, n: int) -> None:
        if n > self._class.size:
            n = max(n, self._class.size * 3 // 2)
            used = int(self._state[kernels.ENTRIES])
            classes, counts = np.empty(n, np.uint16), np.empty(n, np.uint32)
            classes[:used], counts[:used] = self._class[:used], self._count[:used]
            self._class, self._count = classes, counts

    def _refuse_strangers(self, piece: PhotonStream) -> None:
        late = set(piece.counts_per_detector) - set(self._layout.detectors)
        if late:
            raise ValueError(
                f"detectors {sorted(late)} have no photons among the first {HEAD} of the recording; name those to use: "
                f"detectors={sorted(late | set(self._layout.detectors))}"
            )


def shared_lifetimes(
    entries: Entries, irf: Decay | GaussianIRF | None, duration: float
) -> tuple[tuple[float, float], dict[int, float]]:
    """Return the two lifetimes of the summed decays, which all detectors share."""
    live = [d for d in range(len(entries.layout.detectors)) if entries.sums[d].any()]
    decays = [entries.layout.decay(entries.sums, d, duration) for d in live]
    if len(decays) == 1:
        fit = fit_decay(decays[0], 2, irf=irf, errors="hessian")
        return (float(fit.lifetimes[0]), float(fit.lifetimes[1])), {entries.layout.detectors[live[0]]: fit.shift}
    both = fit_decays(decays, 2, irf=irf, errors="hessian")
    shifts = {entries.layout.detectors[d]: f.shift for d, f in zip(live, both.fits, strict=True)}
    return (float(both.lifetimes[0]), float(both.lifetimes[1])), shifts


def response_of(decay: Decay, irf: Decay | GaussianIRF | None, shift: float | None) -> Response:
    """Return the response of one detector; its shift (and an unknown width) is fitted to the summed decay."""
    counts = decay.counts[: bins_of_period(decay)].astype(np.float64)
    everything = np.ones(counts.size, np.bool_)
    assert decay.period is not None
    period, unit = decay.period / decay.bin_width, decay.bin_width
    if irf is None:
        rise = find_rise(counts, period)
        use, _ = fitted_bins(decay, counts, period, rise, None, tail=True)
        return Response(np.array([rise.half]), np.ones(1), 0.0, 0.0 if shift is None else shift / unit, use)
    sigma = 0.0
    if isinstance(irf, GaussianIRF):
        if irf.tail:
            raise ValueError("fit_segments takes a Gaussian IRF without tail; for another shape give a measured one")
        at, weight = np.array([0.0 if irf.center is None else irf.center / unit]), np.ones(1)
        sigma = 0.0 if irf.sigma is None else irf.sigma / unit
    elif isinstance(irf, Decay):
        at, weight, _ = measured_impulses(irf, decay)
    else:
        raise TypeError(f"irf must be a Decay, a GaussianIRF or None, it is a {type(irf).__name__}")
    if shift is None or (isinstance(irf, GaussianIRF) and irf.sigma is None):
        # Segments differ in lifetime, so the sum may need more than one exponential.
        fit = fit_decay(decay, "auto", irf=irf, shift=shift, errors="hessian", max_components=2)
        shift = fit.shift
        if isinstance(irf, GaussianIRF):
            sigma = fit.irf_sigma / unit
    return Response(at, weight, sigma, shift / unit, everything)


@dataclass(frozen=True)
class Grid:
    """Values of what is fitted at the nodes of a table, smooth between them.

    Lifetimes are P/(exp(y) - 1) - t0 for equal steps of y, rising from 0 to infinity: logarithmic in between, in steps
    of 1/lifetime beyond the period. Fractions are (1 - cos(pi x))/2 for equal steps of x.
    """

    n: int
    period: float = 0.0
    zero: float = 0.0

    @classmethod
    def of_lifetimes(cls, period: float, sharpest: float) -> Grid:
        """Return the grid for a period and the time below which lifetimes cannot be told apart, both in s."""
        return cls(max(8, math.ceil(math.log1p(period / sharpest) / NODE) + 1), period, sharpest)

    def at(self, places: Floats) -> Floats:
        """Return the values at places in nodes; what lies outside is at the bound."""
        x = np.clip(places / (self.n - 1), 0.0, 1.0)
        if self.period == 0.0:
            return np.asarray((1.0 - np.cos(np.pi * x)) / 2.0)
        with np.errstate(divide="ignore"):
            tau = self.period / np.expm1((1.0 - x) * math.log1p(self.period / self.zero)) - self.zero
        return np.asarray(np.where(x == 0.0, 0.0, np.maximum(tau, 0.0)))


@dataclass(frozen=True)
class Table:
    """Logarithms of the density of a photon, logs[C, R, G], and distances of the nodes from the bounds, [R, G].

    Row j holds a signal of `least` (exp(j ROW) - 1) times the background; flat[k]: expected background of the segments.
    """

    grid: Grid
    logs: Floats
    below: Floats
    above: Floats
    flat: Floats
    used: NDArray[np.bool_]
    least: float


def make_table(
    entries: Entries,
    responses: Mapping[int, Response],
    rates: Floats,
    durations: Floats,
    lifetimes: tuple[float, float] | None,
) -> Table:
    """Tabulate the model at the nodes; rates[D] of background, Hz; durations[k] of the segments, s."""
    layout = entries.layout
    unit = layout.merge * layout.unit
    sharpest = 0.3 * max(1.0, min(_width(r) for r in responses.values()))
    grid = Grid.of_lifetimes(layout.period, sharpest * unit) if lifetimes is None else Grid(FRACTIONS)
    nodes = grid.at(np.arange(grid.n, dtype=np.float64)) if lifetimes is None else np.array(lifetimes)
    tau = np.clip(nodes / unit, 0.02, 1e7 * layout.period / unit)
    signal = np.zeros((layout.n_classes, tau.size))
    flat, used = np.zeros(layout.n_classes), np.zeros(layout.n_classes, np.bool_)
    for d, response in responses.items():
        _add_detector(layout, d, response, tau, signal, flat, used)
    _share_out(entries, rates, float(durations.sum()), signal, flat, used)
    if lifetimes is not None:
        first = grid.at(np.arange(grid.n, dtype=np.float64))
        signal = signal[:, :1] * first + signal[:, 1:] * (1.0 - first)
    expected = durations * flat.sum()
    flat = flat / flat.sum() if flat.sum() > 0 else flat
    least = _least_signal(signal, flat)
    shares = _rows(expected, entries.counts, least)
    logs = np.empty((layout.n_classes, shares.size, grid.n))
    kernels.fill_logs(signal, flat, shares, logs)
    below, above = _distances(signal[used], flat[used], shares)
    return Table(grid, logs, below, above, expected, used, least)


def _width(response: Response) -> float:
    mean = float(response.weight @ response.at)
    return max(response.sigma, math.sqrt(max(float(response.weight @ (response.at - mean) ** 2), 0.0)))


def _add_detector(
    layout: Layout, d: int, response: Response, tau: Floats, signal: Floats, flat: Floats, used: NDArray[np.bool_]
) -> None:
    """Add the shares of the classes of one detector at each lifetime; flat: parts of the period."""
    n = layout.class_of.shape[1]
    period = layout.period / (layout.merge * layout.unit)
    first, stop = layout.first(d), int(layout.class_of[d].max()) + 1
    # A class is used if all of its bins are.
    good = np.ones(stop - first, np.bool_)
    good[layout.class_of[d][~response.use] - first] = False
    shares = np.zeros((stop - first, tau.size))
    kernels.class_shares(
        tau, response.shift, period, response.sigma, response.at, response.weight, layout.class_of[d], first,
        np.empty((4, n + 1)), shares,
    )  # fmt: skip
    shares[~good] = 0.0
    signal[first:stop] = shares / np.maximum(shares.sum(axis=0), 1e-300)
    width = np.minimum(np.arange(1.0, n + 1.0), period) - np.arange(n)
    flat[first:stop] = np.where(good, np.bincount(layout.class_of[d] - first, width) / period, 0.0)
    used[first:stop] = good


def _share_out(
    entries: Entries, rates: Floats, duration: float, signal: Floats, flat: Floats, used: NDArray[np.bool_]
) -> None:
    """Weigh the detectors: signal by their part of all photons, background by their rates, so that flat is in Hz."""
    layout = entries.layout
    seen = np.bincount(entries.entry_class, entries.entry_count, minlength=layout.n_classes) * used
    parts = [slice(layout.first(d), int(layout.class_of[d].max()) + 1) for d in range(len(layout.detectors))]
    for part, rate in zip(parts, rates, strict=True):
        flat[part] *= rate
    counted = np.array([seen[part].sum() for part in parts])
    weight = np.maximum(counted - duration * np.array([flat[part].sum() for part in parts]), 1e-3 * counted + 1e-9)
    for part, share in zip(parts, weight / weight.sum(), strict=True):
        signal[part] *= share


def _rows(expected: Floats, counts: Ints, least: float) -> Floats:
    """Return the shares of background of the rows: of none but background, up to the least that a segment can have."""
    if not expected.any():
        return np.zeros(1)
    most = float(np.max((counts + 7.0 * np.sqrt(counts) + 10.0) / expected))
    n = max(4, math.ceil(math.log1p(most / least) / ROW) + 3)
    return np.asarray(1.0 / (1.0 + least * np.expm1(ROW * np.arange(n))))


def _least_signal(signal: Floats, flat: Floats) -> float:
    """Return the signal over background from which rows go in equal steps of its logarithm.

    Between rows the likelihood is a cubic; it must not bend where a photon at the pulse first tells of signal.
    """
    some = flat > 0
    return 0.5 / min(max(float(np.max(signal[some] / flat[some, None], initial=1.0)), 1.0), 1e5)


def _distances(signal: Floats, flat: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Return how many standard errors of one photon each node lies from the bounds: sqrt(2 Kullback-Leibler)."""
    found = np.empty((2, shares.size, signal.shape[1]))
    for r, share in enumerate(shares):
        mixed = np.maximum((1.0 - share) * signal + share * flat[:, None], 1e-30)
        logs = np.log(mixed)
        entropy = np.einsum("cg,cg->g", mixed, logs)
        for i, bound in enumerate((0, -1)):
            found[i, r] = np.sqrt(np.maximum(2.0 * (entropy - logs[:, bound] @ mixed), 0.0))
    return found[0], found[1]


def fit_table(entries: Entries, table: Table, level: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return for each segment maximum, 68 % interval and interval at `level` in values, and whether it may be dark."""
    keep = table.used[entries.entry_class]
    ends = np.concatenate([[0], np.cumsum(keep)])[entries.ends]
    k = ends.size
    places, dark = np.empty((k, 5)), np.zeros(k, np.bool_)
    alphas = np.array([1.0 - ONE_SIGMA, 1.0 - level])
    given = (
        ends, entries.entry_class[keep], entries.entry_count[keep], table.flat, ROW, table.least, table.logs,
        table.below, table.above, np.sqrt(special.chdtri(1, alphas)), alphas, places, dark,
    )  # fmt: skip
    workers = min(4, os.cpu_count() or 1) if k >= PARALLEL else 1
    cuts = np.linspace(0, k, 4 * workers + 1).astype(int) if workers > 1 else np.array([0, k])
    with ThreadPoolExecutor(workers) as pool:
        for task in [pool.submit(kernels.fit_entries, a, b, *given) for a, b in pairwise(cuts.tolist())]:
            task.result()
    return table.grid.at(places), dark
