"""Decay histograms, and the periodic multi-exponential model."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GONE = 1e-200  # of the light: numbers below 1e-308 would be counted a hundred times more slowly


@nb.njit(cache=True, nogil=True)
def count_nanotimes(nanotimes: NDArray[np.uint16], counts: NDArray[np.uint32]) -> None:
    """counts[i % 4, u] += 1 for each photon i; O(n).

    nanotimes[n], counts[4, 65536]. Four private rows, since adding twice in a row to one address waits for the store.
    """
    whole = nanotimes.size // 4 * 4
    for i in range(0, whole, 4):
        counts[0, nanotimes[i]] += np.uint32(1)
        counts[1, nanotimes[i + 1]] += np.uint32(1)
        counts[2, nanotimes[i + 2]] += np.uint32(1)
        counts[3, nanotimes[i + 3]] += np.uint32(1)
    for i in range(whole, nanotimes.size):
        counts[0, nanotimes[i]] += np.uint32(1)


@nb.njit(cache=True, nogil=True)
def count_nanotimes_of(
    nanotimes: NDArray[np.uint16], detectors: NDArray[np.uint8], keep: NDArray[np.uint32], counts: NDArray[np.uint32]
) -> None:
    """counts[i % 4, u] += keep[detector] for each photon i; O(n).

    nanotimes[n], detectors[n], keep[256] of 0 and 1, counts[4, 65536].
    """
    whole = nanotimes.size // 4 * 4
    for i in range(0, whole, 4):
        counts[0, nanotimes[i]] += keep[detectors[i]]
        counts[1, nanotimes[i + 1]] += keep[detectors[i + 1]]
        counts[2, nanotimes[i + 2]] += keep[detectors[i + 2]]
        counts[3, nanotimes[i + 3]] += keep[detectors[i + 3]]
    for i in range(whole, nanotimes.size):
        counts[0, nanotimes[i]] += keep[detectors[i]]


@nb.njit(cache=True, nogil=True)
def count_nanotimes_between(
    nanotimes: NDArray[np.uint16],
    detectors: NDArray[np.uint8],
    keep: NDArray[np.uint32],
    between: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """counts[u] += keep[detector] for the photons i with between[k, 0] <= i < between[k, 1]; O(photons inside).

    nanotimes[n], detectors[n], keep[256] of 0 and 1, between[m, 2], counts[65536].
    """
    for k in range(between.shape[0]):
        for i in range(between[k, 0], between[k, 1]):
            counts[nanotimes[i]] += keep[detectors[i]]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def alive_after_impulses(  # noqa: PLR0912, PLR0915 (three recursions that share their numbers)
    tau: float, shift: float, period: float, at: Floats, weight: Floats, alive: Floats, slope: Floats
) -> None:
    """alive[k] = sum_j sum_p w_j exp(-(k - at_j - shift + pP)/tau) over past impulses; O(n + impulses).

    The amount still excited at each bin edge k (the last edge is min(n, P)) and its derivative to tau; at[j],
    weight[j], alive[n+1], slope[n+1]; times in bins. `period` may be infinite. An exponential has no memory but its
    amount, so that all earlier periods are one number: the amount at P, over 1 - exp(-P/tau).
    """
    n = alive.size - 1
    rate = 1.0 / tau
    for k in range(n + 1):
        alive[k] = 0.0
        slope[k] = 0.0
    late = 0.0
    late_slope = 0.0
    end = min(float(n), period)
    finite = period < 1e300
    for j in range(at.size):
        x = at[j] + shift
        if finite:
            x -= math.floor(x / period) * period
        if x < 0:
            amount = weight[j] * math.exp(x * rate)
            alive[0] += amount
            slope[0] -= amount * x * rate * rate
        elif x < end:
            k = int(x)
            left = min(k + 1.0, end) - x
            amount = weight[j] * math.exp(-left * rate)
            alive[k + 1] += amount
            slope[k + 1] += amount * left * rate * rate
        elif finite:
            left = period - x
            amount = weight[j] * math.exp(-left * rate)
            late += amount
            late_slope += amount * left * rate * rate
    square = rate * rate
    whole = math.exp(-rate)
    for k in range(n - 1):
        if abs(alive[k]) > GONE:  # a response sharpened for its bins begins below zero
            slope[k + 1] += (slope[k] + alive[k] * square) * whole
            alive[k + 1] += alive[k] * whole
    width = end - (n - 1)  # only the last bin may be cut by the period
    cut = math.exp(-width * rate)
    if abs(alive[n - 1]) > GONE:
        slope[n] += (slope[n - 1] + alive[n - 1] * width * square) * cut
        alive[n] += alive[n - 1] * cut
    if not finite:
        return
    rest = math.exp(-(period - end) * rate)
    late_slope += (slope[n] + alive[n] * (period - end) * square) * rest
    late += alive[n] * rest
    wrap = math.exp(-period * rate)
    gap = -math.expm1(-period * rate)
    first = late / gap
    first_slope = (late_slope + first * wrap * period * square) / gap
    if first < GONE:
        alive[0] += first
        slope[0] += first_slope
        return
    # exp(-k/tau) as one product after another: the sums of a bin do not wait for those of the one before
    grown, power, least = first * square, 1.0, GONE / first
    for k in range(n):
        alive[k] += first * power
        slope[k] += (first_slope + grown * k) * power
        power *= whole
        if power < least:
            return
    power *= cut / whole
    alive[n] += first * power
    slope[n] += (first_slope + grown * end) * power


@nb.njit(cache=True, nogil=True, error_model="numpy")
def gaussian_edges(
    centre: float, sigma: float, period: float, cumulative: Floats, density: Floats, moment: Floats
) -> None:
    """Phi, phi and phi x/sigma of a Gaussian pulse train at the bin edges, summed over its images; O(n).

    All [n+1]; the last edge is min(n, P); times in bins. Images one period away on both sides are enough for 8 sigma
    < P.
    """
    n = cumulative.size - 1
    images = 1 if period < 1e300 else 0
    for k in range(n + 1):
        edge = min(float(k), period)
        total, peak, first = 0.0, 0.0, 0.0
        for image in range(-images, images + 1):
            x = (edge - centre - (image * period if image != 0 else 0.0)) / sigma
            if x > 8.5:
                total += 1.0
            elif x > -8.5:
                total += 0.5 * math.erfc(-x / math.sqrt(2.0))
                phi = math.exp(-0.5 * x * x) / (sigma * math.sqrt(2.0 * math.pi))
                peak += phi
                first += phi * x
        cumulative[k] = total
        density[k] = peak
        moment[k] = first


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _scaled_erfc(z: float) -> float:
    """exp(z^2) erfc(z) for z >= 0."""
    if z < 12.0:
        return math.exp(z * z) * math.erfc(z)
    y = 0.5 / (z * z)
    return (1.0 - y * (1.0 - 3.0 * y * (1.0 - 5.0 * y))) / (z * math.sqrt(math.pi))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def alive_after_gaussian(  # noqa: PLR0912 (as many cases as the function has forms)
    tau: float, centre: float, sigma: float, period: float, alive: Floats, slope: Floats
) -> None:
    """alive(x) = 1/2 exp(s^2/2t^2 - x/t) erfc((s/t - x/s)/sqrt 2), s = sigma, t = tau, summed over all pulses; O(n).

    The amount still excited at each bin edge and its derivative to tau, alive[n+1], slope[n+1]; times in bins. Pulses
    two periods ago and earlier are beyond their Gaussian and sum as a geometric series.
    """
    n = alive.size - 1
    rate = 1.0 / tau
    ratio = sigma * rate
    finite = period < 1e300
    root = math.sqrt(2.0)
    wrap = math.exp(-period * rate) if finite else 0.0
    gap = -math.expm1(-period * rate) if finite else 1.0
    border = sigma * (ratio + 8.5)  # from here on the rest of an image is an exponential
    kept, before = math.exp(-rate), 0
    for k in range(n + 1):
        edge = min(float(k), period)
        # images that have come and gone over to exponentials; none where one is on its way
        gone = 1
        for image in range(1 if finite else 0, -2 if finite else -1, -1):
            x = edge - centre - (image * period if image != 0 else 0.0)
            if x >= border:
                gone += 1
            elif x >= -8.5 * sigma:
                gone = -9
        if finite and edge - centre + 2.0 * period <= border:
            gone = -9
        if gone > 0 and gone == before and edge == k:
            left = alive[k - 1] > GONE
            slope[k] = (slope[k - 1] + alive[k - 1] * rate * rate) * kept if left else 0.0
            alive[k] = alive[k - 1] * kept if left else 0.0
            continue
        before = gone
        total, change = 0.0, 0.0
        for image in range(1 if finite else 0, -2 if finite else -1, -1):
            x = edge - centre - (image * period if image != 0 else 0.0)
            if x < -8.5 * sigma:
                continue
            z = (ratio - x / sigma) / root
            gauss = 0.0
            if abs(x) < 8.5 * sigma:
                gauss = math.exp(-0.5 * x * x / (sigma * sigma)) / (sigma * math.sqrt(2.0 * math.pi))
            if z >= 0:
                amount = 0.5 * math.exp(-0.5 * x * x / (sigma * sigma)) * _scaled_erfc(z)
            elif z > -6.0:
                amount = 0.5 * math.exp(0.5 * ratio * ratio - x * rate) * math.erfc(z)
            else:
                amount = math.exp(0.5 * ratio * ratio - x * rate)
            total += amount
            change += amount * (x * tau - sigma * sigma) * rate * rate * rate + ratio * ratio * gauss
        if finite:
            x = edge - centre + 2.0 * period
            if x > sigma * (ratio + 8.5):
                amount = math.exp(0.5 * ratio * ratio - x * rate) / gap
                total += amount
                change += amount * ((x * tau - sigma * sigma) * rate * rate * rate + period * rate * rate * wrap / gap)
        alive[k] = total
        slope[k] = change


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _inject_impulses(
    shift: float,
    period: float,
    at: Floats,
    weight: Floats,
    amount: float,
    injected: Floats,
    scatter: Floats,
    by_shift: Floats,
) -> None:
    """injected[k] = sum of w_j in bin k; scatter: the same spread over one bin width about its place; O(n + impulses).

    at[j], weight[j], injected[n+1], scatter[n] and by_shift[n] (amount times its slope to the shift) are added to.
    """
    n = scatter.size
    finite = period < 1e300
    for k in range(n + 1):
        injected[k] = 0.0
    for j in range(at.size):
        x = at[j] + shift
        if finite:
            x -= math.floor(x / period) * period
        if 0 <= x < n:
            injected[int(x)] += weight[j]
        low = math.floor(x - 0.5)
        part = x - 0.5 - low
        first, second = int(low), int(low) + 1
        if finite and first < 0:
            first += n
        if finite and second >= n:
            second -= n
        if 0 <= first < n:
            scatter[first] += weight[j] * (1.0 - part)
            by_shift[first] -= amount * weight[j]
        if 0 <= second < n:
            scatter[second] += weight[j] * part
            by_shift[second] += amount * weight[j]


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def evaluate(  # noqa: PLR0912 (two kinds of IRF in one pass)
    q: Floats,
    gaussian: bool,
    period: float,
    width: Floats,
    at: Floats,
    weight: Floats,
    work: Floats,
    jacobian: Floats,
    model: Floats,
) -> None:
    """m[k] = sum_i A_i c_i[k] + A_s IRF[k] + B w[k] and dm/dq; c_i[k] = alive[k] + injected[k] - alive[k+1]; O(n).

    q[2c+4] = log tau_i, shift, log sigma, A_i, A_s, B; width[n] = part of each bin inside of the period; at[j],
    weight[j]: impulses of a measured IRF (for a Gaussian at[0] is the centre); work[6, n+1], jacobian[2c+4, n],
    model[n]; times in bins.
    """
    c = (q.size - 4) // 2
    n = model.size
    shift, sigma = q[c], math.exp(q[c + 1])
    alive, slope, cumulative, density, moment = work[0], work[1], work[2], work[3], work[4]
    scatter = jacobian[2 * c + 2]
    finite = period < 1e300
    centre = at[0] + shift
    if finite:
        centre -= math.floor(centre / period) * period
    for k in range(n):
        model[k] = q[2 * c + 3] * width[k]
        jacobian[2 * c + 3, k] = width[k]
        jacobian[c, k] = 0.0
        jacobian[c + 1, k] = 0.0
        scatter[k] = 0.0
    injected = work[5]
    amount = q[2 * c + 2]
    if gaussian:
        gaussian_edges(centre, sigma, period, cumulative, density, moment)
        for k in range(n):
            scatter[k] = cumulative[k + 1] - cumulative[k]
            injected[k] = scatter[k]
            jacobian[c, k] -= amount * (density[k + 1] - density[k])
            jacobian[c + 1, k] -= amount * sigma * (moment[k + 1] - moment[k])
    else:
        _inject_impulses(shift, period, at, weight, amount, injected, scatter, jacobian[c])
    for k in range(n):
        model[k] += amount * scatter[k]
    for i in range(c):
        tau, photons = math.exp(q[i]), q[c + 2 + i]
        if gaussian:
            alive_after_gaussian(tau, centre, sigma, period, alive, slope)
        else:
            alive_after_impulses(tau, shift, period, at, weight, alive, slope)
        column, by_tau, by_shift = jacobian[c + 2 + i], jacobian[i], jacobian[c]
        scale, rate = photons * tau, photons / tau
        for k in range(n):
            lost = alive[k] - alive[k + 1]
            gone = lost + injected[k]
            light = gone > 0.0
            column[k] = gone if light else 0.0
            by_tau[k] = scale * (slope[k] - slope[k + 1]) if light else 0.0
            by_shift[k] += rate * lost if light else 0.0
            model[k] += photons * gone if light else 0.0
        if gaussian:
            for k in range(n):
                grown = (density[k + 1] - density[k]) / tau - (alive[k + 1] - alive[k]) / (tau * tau)
                jacobian[c + 1, k] += photons * sigma * sigma * grown
    for k in range(n):
        model[k] = max(model[k], 1e-12)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def alive_from_tables(
    early: Floats, late: Floats, begin: float, finer: int, edges: Floats, period: float, at: Floats,
    weight: Floats, alive: Floats,
) -> None:  # fmt: skip
    """alive[e] = sum_j w_j S(edges[e] - at_j); O(edges impulses).

    early[g] = S(g / finer) and late[g] = S(begin + g / finer), any law of what is still excited a time after an
    impulse, 1 at 0, summed over all earlier pulses; linear between. Times before an impulse are those after the one a
    period before; where `period` is infinite there was none. A time beyond `early` and before `begin` must not occur.
    edges[e], at[j], weight[j], alive[e]; times in bins.
    """
    finite = period < 1e300
    for e in range(edges.size):
        total = 0.0
        for j in range(at.size):
            t = edges[e] - at[j]
            if t < 0:
                if not finite:
                    continue
                t += period
            if t * finer < early.size - 1:
                g = int(t * finer)
                part = t * finer - g
                total += weight[j] * (early[g] + part * (early[g + 1] - early[g]))
            else:
                x = max(t - begin, 0.0) * finer
                g = min(int(x), late.size - 2)
                part = x - g
                total += weight[j] * (late[g] + part * (late[g + 1] - late[g]))
        alive[e] = total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def chebyshev_panels(begin: Floats, coefficients: Floats, times: Floats, found: Floats) -> None:
    """found[i] = sum_m coefficients[b, m] T_m(x), x from -1 to 1 over begin[b] <= times[i] < begin[b+1]; O(times m).

    begin[panels+1] rising, coefficients[panels, m], times[i] rising, found[i].
    """
    b = 0
    for i in range(times.size):
        while b + 2 < begin.size and times[i] >= begin[b + 1]:
            b += 1
        x = 2.0 * (times[i] - begin[b]) / (begin[b + 1] - begin[b]) - 1.0
        one, two = 0.0, 0.0
        for m in range(coefficients.shape[1] - 1, 0, -1):
            one, two = 2.0 * x * one - two + coefficients[b, m], one
        found[i] = x * one - two + coefficients[b, 0]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def alive_of_mixture(
    taus: Floats, shares: Floats, gaussian: bool, shift: float, sigma: float, period: float, at: Floats, weight: Floats,
    work: Floats, alive: Floats,
) -> None:  # fmt: skip
    """alive[k] = sum_i shares_i alive_i(k) over exponentials of taus_i; O(c (n + impulses)).

    taus[c], shares[c], at[j], weight[j] (for a Gaussian at[0] is the centre), work[2, n+1], alive[n+1]; times in bins.
    """
    alive[:] = 0.0
    centre = at[0] + shift
    if period < 1e300:
        centre -= math.floor(centre / period) * period
    for i in range(taus.size):
        if gaussian:
            alive_after_gaussian(taus[i], centre, sigma, period, work[0], work[1])
        else:
            alive_after_impulses(taus[i], shift, period, at, weight, work[0], work[1])
        for k in range(alive.size):
            alive[k] += shares[i] * work[0, k]
