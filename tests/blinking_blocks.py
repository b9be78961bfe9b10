"""Pairs and photons per block of time of blinking emitters, drawn without single photons: for coverage studies."""

from dataclasses import dataclass

import numpy as np

from photonstats.correlations.peaks import Blocks, Peaks

PERIOD = 200e-9
SIDES = 20


@dataclass
class Light:
    """Emitters that are on and off for exponential times (steady where on is None), under pulsed excitation."""

    on: float | None = None
    off: float = 0.0
    emitters: int = 1
    rate: float = 3e4  # Hz, each detector, one emitter that is on
    same: float = 0.0  # pairs of one pulse from a single emitter, over those of two pulses
    background: float = 0.0  # Hz, each detector
    seconds: float = 20.0
    n_blocks: int = 44

    @property
    def truth(self):
        """Near, far and bunching, averaged over blinking."""
        share = 1.0 if self.on is None else self.on / (self.on + self.off)
        m = self.emitters
        centre = m * (m - 1) * share**2 + self.same * m * share
        side = m * (m - 1) * share**2 + m * share
        return centre / side, centre / (m * share) ** 2, side / (m * share) ** 2

    @property
    def centre_pairs(self):
        """Expected pairs of light in the centre."""
        share = 1.0 if self.on is None else self.on / (self.on + self.off)
        return self.truth[1] * (self.emitters * share * self.rate) ** 2 * PERIOD * self.seconds

    def draw(self, rng):
        """Return Blocks."""
        edges = np.linspace(0, self.seconds, self.n_blocks + 1)
        time, on = self._path(rng)
        total, one = on.sum(axis=0), on.sum(axis=0)

        def integral(rate):
            return np.diff(np.interp(edges, time, np.concatenate([[0.0], np.cumsum(rate * np.diff(time))])))

        step = np.full(self.n_blocks, self.seconds / self.n_blocks)
        light, r, b = integral(total), self.rate, self.background
        dark = PERIOD * (2 * r * b * light + b * b * step)
        centre = r * r * PERIOD * integral(total**2 - one + self.same * one) + dark
        side = SIDES * (r * r * PERIOD * integral(total**2) + dark)
        photons = np.stack([rng.poisson(r * light + b * step) for _ in range(2)], axis=1)
        return Blocks(rng.poisson(centre), rng.poisson(side), photons, step, SIDES * PERIOD, SIDES)

    def _path(self, rng):
        if self.on is None:
            return np.array([0.0, self.seconds]), np.ones((self.emitters, 1))
        switches, starts = [], rng.random(self.emitters) < self.on / (self.on + self.off)
        for start in starts:
            n = int(3 * self.seconds / (self.on + self.off)) + 200
            dwells = rng.exponential(1.0, n) * np.where((np.arange(n) % 2 == 0) == start, self.on, self.off)
            switches.append(np.cumsum(dwells))
            assert switches[-1][-1] > self.seconds
        time = np.unique(np.concatenate([[0.0, self.seconds], *switches]))
        time = time[time <= self.seconds]
        middle = (time[1:] + time[:-1]) / 2
        on = [(np.searchsorted(s, middle) % 2 == 0) == start for s, start in zip(switches, starts, strict=True)]
        return time, np.array(on, dtype=float)


def estimates(blocks, background, background_err=0.0):
    """Return (value, error, interval) of near, far and bunching, and the scatter, as g2_pulsed makes them."""
    seconds = blocks.seconds.sum()
    rates = blocks.photons.sum(axis=0) / seconds
    area = seconds * PERIOD
    every, light = np.prod(rates) * area, np.prod(rates - background) * area
    pairs = np.zeros(SIDES + 1, np.int64)
    pairs[0], pairs[SIDES // 2] = blocks.sides.sum(), blocks.centres.sum()
    peaks = Peaks(pairs, np.full(SIDES + 1, every - light), np.full(SIDES + 1, light))
    noise = float(np.sum((area * (rates - background)[::-1] * background_err) ** 2))
    scatter = blocks.scatter((float(background[0]), float(background[1])))
    found = peaks.near(noise, scatter), peaks.far(noise, scatter), peaks.bunching(noise, scatter)
    return found, scatter


def coverage(light, n_runs, seed, background_err=0.0):
    """Return how often each 95 % interval holds the truth, with a background known to a relative error."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(3)
    for _ in range(n_runs):
        blocks = light.draw(rng)
        error = background_err * light.background
        background = np.maximum(light.background + rng.normal(0, 1, 2) * error, 0.0)
        found, _ = estimates(blocks, background, error)
        hits += [low <= truth <= high for (_, _, (low, high)), truth in zip(found, light.truth, strict=True)]
    return hits / n_runs
