"""Light of known truth for `validation.py`, drawn photon by photon in a few numpy lines, apart from `photonstats`."""

from __future__ import annotations

import numpy as np

import photonstats as ps

PERIOD, TICK, PULSE, SIGMA = 100e-9, 64e-12, 8e-9, 0.2e-9
IRF = ps.GaussianIRF(sigma=SIGMA, center=PULSE)
Rng = np.random.Generator


def stream(rng, times, delays, duration):
    """Return the photons of one detector: begin of their pulses (s) and time after the pulse (s), wrapped."""
    order = np.argsort(times)
    late = (PULSE + delays + rng.normal(0.0, SIGMA, delays.size)) % PERIOD
    return ps.PhotonStream(
        (times[order] / PERIOD).astype(np.int64),
        np.zeros(times.size, np.uint8),
        np.minimum(late[order] / TICK, np.ceil(PERIOD / TICK) - 1).astype(np.uint16),
        timestamps_unit=PERIOD,
        tcspc_unit=TICK,
        laser_period=PERIOD,
        duration=duration,
    )


def parts(rng, edges, rates, lifetimes, background=0.0):
    """Return light that has one rate (Hz) and lifetime (s) between each two edges (s), and flat background (Hz)."""
    lengths = np.diff(edges)
    light, dark = rng.poisson(rates * lengths), rng.poisson(background * lengths)
    of = np.repeat(np.arange(lengths.size), light)
    also = np.repeat(np.arange(lengths.size), dark)
    every = np.concatenate([of, also])
    delays = np.concatenate(
        [rng.exponential(np.broadcast_to(lifetimes, lengths.shape)[of]), rng.uniform(0, PERIOD, also.size)]
    )
    return stream(rng, edges[every] + rng.random(every.size) * lengths[every], delays, float(edges[-1]))


def decay(rng, photons, lifetimes, shares, background=0.0, bin_width=0.2e-9):
    """Return the histogram of about so many photons, of which a share `background` is flat."""
    n = rng.poisson(photons)
    flat, *each = rng.multinomial(n, [background, *((1 - background) * np.array(shares))])
    late = np.concatenate([rng.exponential(t, k) for t, k in zip(lifetimes, each, strict=True)])
    late += rng.normal(PULSE, SIGMA, late.size)
    times = np.concatenate([late, rng.uniform(0, PERIOD, flat)]) % PERIOD
    bins = round(PERIOD / bin_width)
    counts = np.bincount((times / bin_width).astype(int), minlength=bins)[:bins]
    return ps.Decay(counts, bin_width, PERIOD)


def mixture(rng, photons, lifetimes, shares, background, seconds):
    """Return steady light of several lifetimes (s) of about so many photons, of which `background` are flat."""
    flat, *each = rng.multinomial(rng.poisson(photons), [background, *((1 - background) * np.array(shares))])
    delays = [rng.exponential(t, k) for t, k in zip(lifetimes, each, strict=True)]
    delays = rng.permutation(np.concatenate([*delays, rng.uniform(0, PERIOD, flat)]))
    return stream(rng, rng.uniform(0, seconds, delays.size), delays, seconds)


def telegraph_edges(rng, seconds, on, off):
    """Return edges (s) and states of exponential dwells of these means (s)."""
    n = int(3 * seconds / (on + off)) + 300
    lit = (np.arange(n) % 2 == 0) == (rng.random() < on / (on + off))
    edges = np.concatenate([[0.0], np.cumsum(rng.exponential(1.0, n) * np.where(lit, on, off))])
    last = int(np.searchsorted(edges, seconds))
    return np.append(edges[:last], seconds), lit[:last]


def telegraph(rng, seconds, on, off, width, bright=5000.0, dim=500.0):
    """Return the trace of two levels (Hz) with exponential dwells (s)."""
    edges, lit = telegraph_edges(rng, seconds, on, off)
    light = np.concatenate([[0.0], np.cumsum(np.diff(edges) * lit)])
    share = np.diff(np.interp(np.arange(round(seconds / width) + 1) * width, edges, light))
    return ps.IntensityTrace(rng.poisson(dim * width + (bright - dim) * share), width)


def coloured(rng, n, beta, width, depth=0.2, counts=50.0):
    """Return a trace of Gaussian light of spectrum 1/f^beta that goes on below the lowest frequency seen."""
    f = np.fft.rfftfreq(8 * n, 1.0)
    size = np.zeros(f.size)
    size[1:] = f[1:] ** (-beta / 2)
    x = np.fft.irfft(size * (rng.normal(size=f.size) + 1j * rng.normal(size=f.size)))[:n]
    return ps.IntensityTrace(rng.poisson(np.maximum(1.0 + depth * x / x.std(), 0.0) * counts), width)


def power_law(rng, n, alpha, t_min, t_max=np.inf, cutoff=np.inf):
    """Return n dwells of density t^-alpha exp(-t/cutoff) between t_min and t_max, s."""
    kept = np.empty(0)
    while kept.size < n:
        top = (t_max / t_min) ** (1 - alpha) if np.isfinite(t_max) else 0.0
        drawn = t_min * (1 - rng.random(4 * n) * (1 - top)) ** (-1 / (alpha - 1))
        kept = np.concatenate([kept, drawn[rng.random(drawn.size) < np.exp(-(drawn - t_min) / cutoff)]])
    return kept[:n]


def levels_dot(rng, m, photons, top=20e3):
    """Return light of m levels j/m of `top` Hz with dwells of power law 1.5 from 10 ms to 10 s."""
    rates = top * np.arange(1, m + 1) / m
    seconds = photons / rates.mean()
    if m == 1:
        return parts(rng, np.array([0.0, seconds]), rates, 20e-9), m
    dwells = power_law(rng, int(40 * seconds) + 50, 1.5, 0.01, 10.0)
    edges = np.concatenate([[0.0], np.cumsum(dwells)])
    last = int(np.searchsorted(edges, seconds))
    steps = rng.integers(1, m, last)
    which = (rng.integers(m) + np.cumsum(steps)) % m
    return parts(rng, np.append(edges[:last], seconds), rates[which], 20e-9), np.unique(which).size


def pulsed_pairs(
    rng,
    emitters,
    seconds,
    *,
    rate=2e4,
    lifetime=10e-9,
    biexciton=0.0,
    biexciton_lifetime=1e-9,
    blink=None,
    background=0.0,
):
    """Return two detectors behind a beam splitter that see emitters of `rate` Hz each while they are on.

    A pulse gives an emitter's photon at most once, and `biexciton` times the chance of two independent photons as a
    cascade; `blink` holds the mean on and off times (s) of exponential dwells; `background` in Hz on each detector.
    """
    pulses = round(seconds / PERIOD)
    found, late = [], []
    for _ in range(emitters):
        on = np.array([[0, pulses]])
        if blink is not None:
            edges, lit = telegraph_edges(rng, seconds, *blink)
            at = (edges / PERIOD).astype(np.int64)
            on = np.stack([at[:-1][lit], at[1:][lit]], axis=1)
        begin = np.concatenate([[0], np.cumsum(on[:, 1] - on[:, 0])])
        chance = rate * PERIOD

        def drawn(mean, on=on, begin=begin):
            at = np.unique(rng.integers(0, max(begin[-1], 1), rng.poisson(begin[-1] * mean)))
            row = np.searchsorted(begin, at, side="right") - 1
            return on[row, 0] + at - begin[row]

        two = biexciton * chance**2 / 2
        pairs = drawn(two)
        single = np.setdiff1d(drawn(chance - 2 * two), pairs, assume_unique=True)
        first = rng.exponential(biexciton_lifetime, pairs.size)
        found += [single, pairs, pairs]
        late += [rng.exponential(lifetime, single.size), first, first + rng.exponential(lifetime, pairs.size)]
    dark = rng.poisson(2 * background * seconds)
    pulse = np.concatenate([*found, rng.integers(0, pulses, dark)])
    times = np.concatenate([*(PULSE + u + rng.normal(0, SIGMA, u.size) for u in late), rng.uniform(0, PERIOD, dark)])
    turns = np.floor(times / PERIOD).astype(np.int64)
    pulse, times = pulse + turns, times - turns * PERIOD
    order = np.lexsort((times, pulse))
    order = order[pulse[order] < pulses]
    return ps.PhotonStream(
        pulse[order],
        rng.integers(0, 2, order.size).astype(np.uint8),
        np.minimum(times[order] / TICK, np.ceil(PERIOD / TICK) - 1).astype(np.uint16),
        timestamps_unit=PERIOD,
        tcspc_unit=TICK,
        laser_period=PERIOD,
        duration=pulses * PERIOD,
    )
