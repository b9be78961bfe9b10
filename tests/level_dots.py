"""Segments of dots that switch between levels, with true, shifted, missed and searched edges."""

import numba as nb
import numpy as np

import photonstats as ps


def path(rng, m, seconds, t_min=0.01, t_max=10.0):
    """Return edges and levels; dwells of power law 1.5."""
    edges, which, now = [0.0], [], int(rng.integers(m))
    while edges[-1] < seconds:
        u = rng.random()
        dwell = (t_min**-0.5 + u * (t_max**-0.5 - t_min**-0.5)) ** -2 if m > 1 else seconds
        edges.append(min(edges[-1] + dwell, seconds))
        which.append(now)
        now = (now + 1 + int(rng.integers(m - 1))) % m if m > 1 else 0
    return np.array(edges), np.array(which)


def arrivals(rng, edges, rates):
    counts = rng.poisson(rates * np.diff(edges))
    which = np.repeat(np.arange(counts.size), counts)
    return np.sort(edges[which] + rng.random(which.size) * np.diff(edges)[which])


@nb.njit
def best_cut(t, low, high):
    n, span, best, top = t.size, high - low, -1, 0.0
    for k in range(1, n):
        for at in (t[k], t[k - 1]):
            v = (at - low) / span
            if 0 < v < 1:
                gain = 2 * (k * np.log(k / n / v) + (n - k) * np.log((n - k) / n / (1 - v)))
                if gain > top:
                    best, top = k, gain
    return best, top


def search(t, seconds, least=16.0):
    """Return edges by binary splitting at the largest likelihood ratio, and the counts between them."""
    cuts, waiting = [], [(0, t.size, 0.0, seconds)]
    while waiting:
        i, j, low, high = waiting.pop()
        k, gain = best_cut(t[i:j], low, high)
        if k > 0 and gain > least:
            cuts.append((t[i + k - 1] + t[i + k]) / 2)
            waiting += [(i, i + k, low, cuts[-1]), (i + k, j, cuts[-1], high)]
    edges = np.array([0.0, *sorted(cuts), seconds])
    return edges, np.diff(np.searchsorted(t, edges))


def rates_of(m, top=2e4):
    return top * np.arange(1, m + 1) / m


def dot(rng, m, photons, kind="searched", t_min=0.01):
    """Return Segments, and how many levels were visited."""
    rates = rates_of(m)
    seconds = photons / rates.mean()
    edges, which = path(rng, m, seconds, t_min)
    seen = np.unique(which).size
    if kind == "true":
        return ps.Segments(edges, rng.poisson(rates[which] * np.diff(edges))), seen
    t = arrivals(rng, edges, rates[which])
    if kind == "searched":
        return ps.Segments(*search(t, seconds)), seen
    if kind == "missed":  # dwells below 60 photons belong to the segment before
        kept = edges[:-1][np.diff(edges) * rates[which] > 60]
        inner = np.searchsorted(t, kept[kept > 0])
    else:
        inner = np.searchsorted(t, edges[1:-1]) + rng.integers(-5, 6, edges.size - 2)
    at = np.unique(np.clip(inner, 1, t.size - 1))
    edges = np.concatenate([[0.0], (t[at] + t[at - 1]) / 2, [seconds]])
    return ps.Segments(edges, np.diff(np.searchsorted(t, edges))), seen
