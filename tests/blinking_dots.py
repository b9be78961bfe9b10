"""Dots of known blinking type, with settings as wide as real ones; made by numpy alone."""

from dataclasses import dataclass

import numpy as np

import photonstats as ps


@dataclass
class Setting:
    """What a dot is like and how it is measured."""

    kind: str
    seconds: float
    rate: float
    contrast: float
    share: float  # background over the brightest signal
    lifetime: float
    period: float
    sigma: float
    n_detectors: int
    t_min: float
    law: str
    n_levels: int
    lifetime_power: float  # of A: lifetime falls as brightness to this power
    charged: float  # of A: factor of the lifetime of all dim levels, 1/2 where a trion radiates twice as fast
    tail: bool  # decay with a second, shorter component
    seed: int


def draw(rng, kind, *, wide=False):
    """Return a random setting: that of the issue, or a wider one."""

    def logs(low, high):
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    lifetime = logs(4e-9, 40e-9)
    slowest = min(10e6, 1.0 / (2.5 * lifetime))
    return Setting(
        kind,
        seconds=logs(*((10, 120) if wide else (20, 60))),
        rate=logs(10e3, 60e3),
        contrast=logs(*((2, 15) if wide else (3, 10))),
        share=float(rng.uniform(*((0.01, 0.15) if wide else (0.02, 0.10)))),
        lifetime=lifetime,
        period=1.0 / logs(1e6, slowest),
        sigma=float(rng.uniform(0.1e-9, 0.3e-9)),
        n_detectors=int(rng.integers(1, 3)),
        t_min=logs(2e-3, 50e-3),
        law=str(rng.choice(["exponential", "power", "truncated"])),
        n_levels=int(rng.choice([2, 2, 3, 4])) if kind == "A" else int(rng.choice([2, 2, 3])),
        lifetime_power=float(rng.choice([1.0, logs(0.8, 1.5)])),
        charged=float(rng.choice([1.0, 0.5])),
        tail=bool(rng.random() < 0.2),
        seed=int(rng.integers(2**31)),
    )


def dwell(rng, law, t_min, n):
    u = rng.random(n)
    if law == "exponential":
        return -10.0 * t_min * np.log(u)
    times = (t_min**-0.5 + u * (20.0**-0.5 - t_min**-0.5)) ** -2
    if law == "truncated":  # the shorter of both has about the law with a cutoff
        times = np.minimum(times, t_min - 20 * t_min * np.log(rng.random(n)))
    return times


def few_levels(rng, s):
    """Return edges, and relative brightness of each dwell."""
    n = int(40 + 3 * s.seconds / s.t_min)
    steps = rng.integers(1, s.n_levels, n) if s.n_levels > 2 else np.ones(n, int)
    which = (rng.integers(s.n_levels) + np.cumsum(steps)) % s.n_levels
    bright = np.geomspace(1.0, 1.0 / s.contrast, s.n_levels)
    edges = np.append(0.0, np.cumsum(dwell(rng, s.law, s.t_min, n)))
    return edges, bright[which]


def continuum(rng, s):
    """Return edges and brightness of a walk or of jumps to anywhere between 1/contrast and 1."""
    low = 1.0 / s.contrast
    if rng.random() < 0.4:
        n = int(40 + 6 * s.seconds / (10 * s.t_min))
        edges = np.append(0.0, np.cumsum(rng.exponential(10 * s.t_min, n)))
        return edges, rng.uniform(low, 1.0, n)
    memory, step = 40.0 * s.t_min, 2.0 * s.t_min
    n = int(s.seconds / step) + 2
    z, noise = rng.normal(), rng.normal(size=n)
    keep = np.exp(-step / memory)
    walk = np.empty(n)
    for i in range(n):
        z = keep * z + np.sqrt(1 - keep**2) * noise[i]
        walk[i] = z
    return np.arange(n + 1) * step, low + (1 - low) / (1 + np.exp(-1.5 * walk))


def dot(s):
    """Return the photons of a dot and the true background rate of each detector."""
    rng = np.random.default_rng(s.seed)
    if s.kind in ("A", "B"):
        edges, bright = few_levels(rng, s)
    elif s.kind == "flickering":
        edges, bright = continuum(rng, s)
    elif s.kind == "bleached":
        edges, bright = np.array([0.0, s.seconds * rng.uniform(0.3, 0.9), s.seconds]), np.array([1.0, 0.0])
    else:
        edges, bright = np.array([0.0, s.seconds]), np.ones(1)
    edges = np.minimum(edges, s.seconds)
    used = np.diff(edges) > 0
    starts, lengths, bright = edges[:-1][used], np.diff(edges)[used], bright[used]
    power = {"A": s.lifetime_power, "flickering": 1.0}.get(s.kind, 0.0)
    tau = s.lifetime * np.maximum(bright, 1e-3) ** power
    if s.kind == "A":
        tau *= np.where(bright < 1.0, s.charged, 1.0)
    counts = rng.poisson(s.rate * bright * lengths)
    of = np.repeat(np.arange(counts.size), counts)
    times = starts[of] + rng.random(of.size) * lengths[of]
    each = tau[of] * np.where(rng.random(of.size) < 0.3 * s.tail, 0.3, 1.0)
    delays = 5e-9 + rng.exponential(each) + rng.normal(0.0, s.sigma, of.size)
    n_dark = rng.poisson(s.rate * s.share * s.seconds)
    times = np.concatenate([times, rng.random(n_dark) * s.seconds])
    delays = np.concatenate([delays, rng.random(n_dark) * s.period])
    dark = dict.fromkeys(range(s.n_detectors), s.rate * s.share / s.n_detectors)
    return stream(s, times, delays, rng.integers(0, s.n_detectors, times.size)), dark


def stream(s, times, delays, detectors):
    tick = 64e-12
    ticks = np.minimum((times / s.period).astype(np.int64), int(s.seconds / s.period) - 1)
    nano = (np.mod(delays, s.period) / tick).astype(np.int64)
    order = np.lexsort((nano, ticks))
    return ps.PhotonStream(
        ticks[order], detectors[order].astype(np.uint8), nano[order], timestamps_unit=s.period, tcspc_unit=tick,
        laser_period=s.period, duration=s.seconds,
    )  # fmt: skip
