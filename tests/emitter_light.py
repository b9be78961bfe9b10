"""Light of several blinking emitters in a few numpy lines, apart from `photonstats.simulate`, and pair counts."""

import numpy as np

from photonstats import PhotonStream
from photonstats.correlations.emitter_posterior import GatedPairs

UNIT = 64e-12


def on_times(rng, pulses, period, blink):
    """Return begin and end (pulses) of the on times of a telegraph (mean on, mean off), s, and its on fraction."""
    if blink is None:
        return np.array([[0, pulses]]), 1.0
    n = int(4 * pulses * period / sum(blink)) + 100
    dwells = np.stack([rng.exponential(t, n) for t in blink], axis=1).ravel()
    if rng.random() > blink[0] / sum(blink):
        dwells[0] = 0.0
    edges = np.minimum(np.concatenate([[0], np.cumsum(dwells)]) / period, pulses).astype(np.int64)
    on = np.stack([edges[:-1:2], edges[1::2]], axis=1)[:n]
    return on[on[:, 1] > on[:, 0]], blink[0] / sum(blink)


def light(
    rng, shares, *, rate=2e4, seconds=10.0, period=200e-9, tau=20e-9, beta=0.0, tau_bx=1e-9, blink=None,
    background=0.0, irf=0.1e-9, delay=0.0, split=0.5,
):  # fmt: skip
    """Return a stream: single photons and cascades of each emitter, flat background on each detector."""
    pulses = int(seconds / period)
    pulse, late = [], []
    for share in shares:
        on, fraction = on_times(rng, pulses, period, blink)
        chance = share * rate * period / fraction
        lengths = on[:, 1] - on[:, 0]
        cut = np.concatenate([[0], np.cumsum(lengths)])
        two = beta * chance**2 / 2.0

        def drawn(mean, cut=cut):
            return np.unique(rng.integers(0, max(cut[-1], 1), rng.poisson(cut[-1] * mean)))

        pairs = drawn(two)
        singles = np.setdiff1d(drawn(chance - 2 * two), pairs, assume_unique=True)
        every = np.concatenate([singles, pairs, pairs])
        row = np.searchsorted(cut, every, side="right") - 1
        pulse.append(on[row, 0] + every - cut[row])
        first = rng.exponential(tau_bx, pairs.size)
        late += [rng.exponential(tau, singles.size), first, first + rng.exponential(tau, pairs.size)]
    t, u = np.concatenate(pulse), np.concatenate(late)
    d = rng.random(t.size) > split
    u = u + rng.normal(0.0, irf, u.size) + 2e-9 + delay * d
    n = rng.poisson(background * seconds, 2)
    t = np.concatenate([t, rng.integers(0, pulses, n.sum())])
    u = np.concatenate([u, rng.random(n.sum()) * period])
    d = np.concatenate([d, np.repeat([False, True], n)])
    turns = np.floor(u / period)
    t, u = t + turns.astype(np.int64), u - turns * period
    kept = (t >= 0) & (t < pulses)
    order = np.lexsort((u[kept], t[kept]))
    t, u, d = (x[kept][order] for x in (t, u, d))
    return PhotonStream(
        t, d.astype(np.uint8), (u / UNIT).astype(np.uint16), timestamps_unit=period, tcspc_unit=UNIT,
        laser_period=period, duration=pulses * period,
    )  # fmt: skip


def drawn_pairs(
    rng, shares, *, photons=1e5, seconds=10.0, period=200e-9, tau=20e-9, beta=0.0, tau_bx=1e-9, bunching=1.0,
    dark=0.0, leak=0.0,
):  # fmt: skip
    """Return pair counts drawn straight from the model, with expected numbers of photons."""
    gate = np.concatenate([[0.0], np.geomspace(0.2e-9, 50e-9, 10)])
    s = np.sum(np.asarray(shares) ** 2)
    every = photons / 2 * np.exp(-gate / tau)[:, None] * np.ones(2)
    share = np.repeat(1.0 - gate[:, None] / period, 2, axis=1)
    total = every + dark * seconds * share
    x = every.prod(axis=1) * period / seconds
    d = total.prod(axis=1) * period / seconds - x
    far = 1.0 - s
    centre = x * (far + (bunching - far) * leak) + x[0] * (bunching - far) * beta * np.exp(-gate / tau_bx) + d
    sides = 20 * (x * bunching + d)
    drawn = [np.cumsum(rng.poisson(-np.diff(each, append=0.0))[::-1])[::-1].astype(float) for each in (centre, sides)]
    return GatedPairs(gate, drawn[0], drawn[1], 20, total, share, seconds, period, 1.0 / tau)
