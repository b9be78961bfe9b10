"""Alternating dwells of any law, as `dwell_times` would cut them, and traces of them: the truth for statistics."""

import math

import numpy as np

import photonstats as ps


def exponential(mean, drift=0.0):
    """Return a law whose mean shrinks as exp(-drift t)."""
    return lambda rng, t: rng.exponential(mean * math.exp(-drift * t))


def power_law(alpha, t_min):
    return lambda rng, _: t_min * (1.0 - rng.random()) ** (-1.0 / (alpha - 1.0))


def lognormal(median, sigma):
    return lambda rng, _: median * math.exp(sigma * rng.normal())


def path_of(rng, duration, on, off):
    """Return edges, s, and the state of each dwell."""
    times, states, t, state = [], [], 0.0, bool(rng.random() < 0.5)
    while t < duration:
        times.append(on(rng, t) if state else off(rng, t))
        states.append(state)
        t += times[-1]
        state = not state
    return np.minimum(np.concatenate([[0.0], np.cumsum(times)]), duration), np.array(states)


def dwells_of(edges, states, width=0.0, dark=0.0):
    """Return DwellTimes of a path, of whole bins of `width` (0: continuous), with `dark` seconds added at the end."""
    if dark:
        edges, states = (
            np.append(edges[: -1 if not states[-1] else None], edges[-1] + dark),
            states if not states[-1] else np.append(states, False),
        )
    lengths = np.diff(edges)
    if width:
        bins = np.repeat(states, np.diff(np.rint(edges / width).astype(int)))
        starts = np.flatnonzero(np.diff(bins, prepend=not bins[0]))
        lengths, states = np.diff(starts, append=bins.size) * width, bins[starts]
    cut = np.zeros(lengths.size, bool)
    cut[[0, -1]] = True
    share = float(lengths[states].sum() / lengths.sum())
    return ps.DwellTimes(
        lengths[states], lengths[~states], cut[states], cut[~states], 1.0, share, 0.1, width or math.nan,
        starts_on=bool(states[0]),
    )  # fmt: skip


def drawn(rng, duration, on, off, width=0.0, dark=0.0):
    return dwells_of(*path_of(rng, duration, on, off), width, dark)


def trace_of(rng, edges, states, width=0.01, bright=100.0, dim=5.0, drift=0.0, spread=0.0):
    """Return a trace whose bright level grows by `drift` per second, and by `spread` differs between dwells."""
    n = int(edges[-1] / width)
    each = np.where(states, bright * np.maximum(1.0 + spread * rng.normal(size=states.size), 0.1), dim)
    whole = np.interp(np.arange(n + 1) * width, edges, np.concatenate([[0.0], np.cumsum(each * np.diff(edges))]))
    mean = np.diff(whole) / width
    time = (np.arange(n) + 0.5) * width
    return ps.IntensityTrace(rng.poisson(np.where(mean > 0.5 * bright, mean * (1.0 + drift * time), mean)), width)
