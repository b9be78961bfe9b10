"""Laws of dwell times: power law with and without a cutoff, and others, by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photonstats.blinking import dwell_goodness as goodness
from photonstats.blinking import dwell_likelihood as likelihood
from photonstats.blinking.dwell import DwellTimes
from photonstats.blinking.dwell_histogram import fit_histogram
from photonstats.blinking.dwell_likelihood import (
    BOUNDARY,
    FEWEST_DWELLS,
    LAWS,
    PARAMETERS,
    ROUNDING,
    DwellData,
    Floats,
    LawFit,
)
from photonstats.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAN2 = (math.nan, math.nan)
METHODS = ("mle", "log_log", "weighted")
BETTER_BIC = 10.0
LEVEL = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class DwellFit(Result):
    """The law of on or off dwells.

    Parameters
    ----------
    model : str
        "power_law", "truncated", "exponential", "stretched" or "lognormal"; "undetermined" where there is no answer.
    alpha, alpha_ci : float and pair of float
        Exponent of ``t^-alpha`` and its 95 % profile-likelihood interval; nan for laws without one.
    cutoff, cutoff_ci : float and pair of float
        ``t_c`` of ``exp(-t/t_c)``, s; the mean time for "exponential". Its upper end is inf where the dwells do not
        tell it from infinity; a plain power law has nan, and the interval says which cutoffs the dwells allow.
    p_truncated : float
        Probability that a plain power law brings a likelihood ratio as large: small where the law is truncated.
    delta_bic : float
        BIC of the plain power law less that of the truncated one: positive where truncation is likelier.
    ks_distance, ks_p_value : float
        Kolmogorov-Smirnov distance of `model`, and the share of bootstrapped sets that lie farther; small where the
        law does not describe the dwells.
    t_min, t_max : float
        Range in which the law is normalised, s; edges of bins for binned dwells.
    bin_width : float
        Resolution of the dwells, s; nan for continuous ones.
    n_dwells, n_censored : int
        Dwells in the range, and those among them that were cut.
    parameters, parameters_ci : dict
        All parameters of `model` and their 95 % intervals, times in s.
    table : dict
        For each law `log_likelihood`, `aic`, `bic`, and its parameters.
    method : str
        "mle", "log_log" or "weighted".
    note : str
        Why something is missing or doubtful; mostly empty.
    times, ended : ndarray, shape (n,)
        The dwells of the fit, s, ascending; False where cut.
    """

    model: str
    alpha: float
    alpha_ci: tuple[float, float]
    cutoff: float
    cutoff_ci: tuple[float, float]
    p_truncated: float
    delta_bic: float
    ks_distance: float
    ks_p_value: float
    t_min: float
    t_max: float
    bin_width: float
    n_dwells: int
    n_censored: int
    parameters: dict[str, float]
    parameters_ci: dict[str, tuple[float, float]]
    table: dict[str, dict[str, float]]
    method: str
    note: str
    times: Floats
    ended: NDArray[np.bool_]
    _fits: dict[str, LawFit] = field(default_factory=dict, repr=False)
    _ends: Floats = field(default_factory=lambda: np.zeros(2), repr=False)

    def summary(self) -> str:
        """Return a few lines: law, parameters with intervals, tests, and the table of laws."""
        if self.model == "undetermined":
            return f"DwellFit: undetermined; {self.note}"
        cut = f" ({self.n_censored} cut)" if self.n_censored else ""
        lines = [f"DwellFit: {self.model}, {self.n_dwells} dwells{cut} of {self.t_min:.4g} to {self.t_max:.4g} s"]
        for name, value in self.parameters.items():
            low, high = self.parameters_ci[name]
            unit = "" if name in {"alpha", "beta", "sigma"} else " s"
            lines.append(f"  {name:<8} {value:.4g} [{low:.4g}, {high:.4g}]{unit}")
        if not math.isnan(self.p_truncated):
            lines.append(f"  truncated against plain: p = {self.p_truncated:.2g}, BIC {self.delta_bic:+.1f}")
        if not math.isnan(self.ks_p_value):
            lines.append(f"  Kolmogorov-Smirnov distance {self.ks_distance:.3g}, p = {self.ks_p_value:.2g}")
        if self.table:
            least = min(row["bic"] for row in self.table.values())
            laws = sorted(self.table, key=lambda law: self.table[law]["bic"])
            lines.append("  BIC: " + ", ".join(f"{law} {self.table[law]['bic'] - least:+.1f}" for law in laws))
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    def survival(self, times: ArrayLike, model: str | None = None) -> Floats:
        """Return the share of dwells longer than each of `times` (s) by a law of the table, `model` unless named."""
        table = self._table(model)
        return np.asarray(1.0 - np.interp(np.log(np.asarray(times, np.float64)), table[:, 0], table[:, 1]))

    def density(self, times: ArrayLike, model: str | None = None) -> Floats:
        """Return the probability density (1/s) of a law of the table at each of `times` (s); 0 outside of its range."""
        table, t = self._table(model), np.asarray(times, np.float64)
        return np.asarray(np.interp(np.log(t), table[:, 0], table[:, 2], left=0.0, right=0.0) / t)

    def _table(self, model: str | None) -> Floats:
        name = model or self.model
        if name not in self._fits:
            raise ValueError(f"there is no fit of {name!r} here, but of {sorted(self._fits)}")
        return likelihood.table_of(self._fits[name], self._ends)

    def plot(self, ax: Axes | None = None, *, kind: str = "survival") -> Axes:
        """Draw the "survival" or the "density" of the dwells with the fitted laws, on logarithmic axes."""
        from photonstats import plots

        return plots.plot_dwell_fit(self, ax, kind=kind)


class _Dwells(NamedTuple):
    times: Floats
    ended: NDArray[np.bool_]
    bin_width: float
    note: str


def fit_dwell_times(
    dwell_times_s: ArrayLike | DwellTimes,
    model: str = "auto",
    *,
    t_min: float | None = None,
    t_max: float | None = None,
    censored: ArrayLike | None = None,
    bin_width: float | None = None,
    state: str | None = None,
    rounding: str = "nearest",
    method: str = "mle",
    n_bootstrap: int = 500,
    seed: int | None = 0,
) -> DwellFit:
    """Fit the law of dwell times and tell a plain power law from a truncated one.

    Parameters
    ----------
    dwell_times_s : array_like of float, shape (n,), or DwellTimes
        Dwells, s, > 0. A bare array is continuous and uncensored unless `bin_width` and `censored` say otherwise.
    model : str
        "power_law", "truncated", "exponential", "stretched", "lognormal", or "auto": "truncated" if `p_truncated` is
        below 0.05, else "power_law".
    t_min : float, optional
        Shortest dwell of the fit, s; None: where the law comes nearest to the dwells above it (Clauset et al.).
    t_max : float, optional
        Longest possible dwell, s: the law is normalised up to there. None: no limit, which is right where the cut
        dwells are in the fit: they tell of the end of the trace. Without them the length of the trace is nearer.
    censored : array_like of bool, shape (n,), optional
        True for dwells cut by an end of the trace; `DwellTimes` bring their own.
    bin_width : float, optional
        The dwells are whole numbers of this, s. None: continuous, or that of `DwellTimes`.
    state : "on" or "off"
        Which dwells of `DwellTimes`.
    rounding : "nearest", "up" or "down"
        How a dwell became a whole number of bins. A threshold in the middle of the levels gives "nearest" on average.
    method : "mle", "log_log" or "weighted"
        Maximum likelihood; or, only to reproduce older papers, least squares on the log-binned histogram or on the
        weighted density of Kuno et al.: their errors are not to be trusted and cut dwells are left out.
    n_bootstrap : int
        Sets of dwells drawn from the law for `ks_p_value`; 0: none.
    seed : int, optional
        Of the bootstrap.

    Returns
    -------
    DwellFit
        With "undetermined" and a note where fewer than 10 dwells ended inside of the range, or all are equal.

    Raises
    ------
    ValueError
        If dwells are not positive and finite, are no whole number of bins, `state` or `censored` does not belong to
        the dwells, or a name or a limit is not allowed.

    Notes
    -----
    With the law f normalised on [t_min, t_max] the log-likelihood is ``sum ln f(t) + sum_cut ln S(t)``, of binned
    dwells ``sum ln P(bin)``; beyond 100 bins f serves. A cut dwell of k bins lasted k bins or longer. Continuous
    dwells enter by n, sum ln t and sum t alone. Intervals end where twice the profile log-likelihood has fallen by
    3.84; that of the cutoff is open where `p_truncated` exceeds 0.025. The plain law lies at the boundary 1/t_c =
    0: with many dwells up to a finite t_max the likelihood ratio is 0 half of the time and chi-square else, ``p =
    P(chi2_1 > ratio)/2``. Without t_max and for alpha < 2 it is larger (too many plain laws would be called
    truncated), so that p comes from the bootstrap wherever it exceeds 1e-4, and with `n_bootstrap` = 0 from
    an approximate bound. The bootstrap holds t_min and draws the cuts by Kaplan and Meier's rule.

    It fails where the dwells are not those of the emitter: bins hide dwells shorter than themselves and join their
    neighbours, which biases every exponent (towards long dwells), whatever the interval says; see
    `calibrate_dwell_fit`. The p-value of "auto" is that of one test: it does not tell which third law might hold, see
    `table`. Intervals take the chosen law for granted, and a t_min found from the data too.

    References
    ----------
    Clauset, Shalizi, Newman, SIAM Rev. 51, 661 (2009), eq. 3.1 and section 3.3. Riley et al., J. Chem. Phys. 136,
    184508 (2012). Hoogenboom et al., J. Chem. Phys. 125, 204713 (2006). Kuno et al., J. Chem. Phys. 115, 1028 (2001).
    Self, Liang, J. Am. Stat. Assoc. 82, 605 (1987), case 5.

    Examples
    --------
    >>> dwells = 1e-3 * (1.0 - np.arange(0.5, 1000) / 1000) ** -2.0
    >>> fit = fit_dwell_times(dwells, t_min=1e-3)
    >>> fit.model, round(fit.alpha, 2)
    ('power_law', 1.5)
    """
    if model not in (*LAWS, "auto"):
        raise ValueError(f'model must be one of {", ".join(LAWS)} or "auto", it is {model!r}')
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, it is {method!r}")
    if rounding not in ROUNDING:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDING)}, it is {rounding!r}")
    given = _checked(dwell_times_s, censored, bin_width, state)
    lower = ROUNDING[rounding] if given.bin_width else 0.0
    limit = _limit("t_max", t_max, math.inf)
    if int(np.count_nonzero(given.ended)) < FEWEST_DWELLS:
        return _undetermined(given, limit, method, given.note or _too_few(given))
    law = LAWS.index("truncated" if model == "auto" else model)
    if t_min is None:
        shortest, strictly = goodness.shortest_dwell(given.times, given.ended, limit, given.bin_width, lower, law)
    else:
        shortest, strictly = _limit("t_min", t_min, 0.0), False
    if not shortest < limit:
        raise ValueError(f"t_min {shortest} s must be below t_max {limit} s")
    data = _ranged(given, shortest, limit, lower, strictly)
    if int(np.count_nonzero(data.ended)) < FEWEST_DWELLS:
        return _undetermined(given, limit, method, _too_few(_Dwells(data.times, data.ended, 0.0, "")))
    if data.times[0] == data.times[-1]:
        return _undetermined(given, limit, method, f"all dwells last {data.times[0]:.4g} s: there is no law to be seen")
    if method != "mle":
        return _by_histogram(data, model, method, given)
    return _by_likelihood(data, model, given, n_bootstrap, np.random.default_rng(seed))


def _checked(
    dwells: ArrayLike | DwellTimes, censored: ArrayLike | None, bin_width: float | None, state: str | None
) -> _Dwells:
    note = ""
    if isinstance(dwells, DwellTimes):
        if state not in {"on", "off"}:
            raise ValueError(f'dwells of both states are given: state must be "on" or "off", it is {state!r}')
        if censored is not None:
            raise ValueError("censored comes with DwellTimes; leave it out, or pass their .on or .off")
        times, cut = (dwells.on, dwells.on_censored) if state == "on" else (dwells.off, dwells.off_censored)
        width = dwells.bin_width if bin_width is None else bin_width
        width = 0.0 if math.isnan(width) else width
        note = dwells.note
    else:
        if state is not None:
            raise ValueError(f"state={state!r} belongs to DwellTimes; a bare array holds one state")
        times = np.asarray(dwells, np.float64)
        if times.ndim != 1:
            raise ValueError(f"dwell_times_s must be one-dimensional, its shape is {times.shape}")
        cut = np.zeros(times.size, np.bool_) if censored is None else np.asarray(censored, np.bool_)
        if cut.shape != times.shape:
            raise ValueError(f"censored has the shape {cut.shape}, the dwells have {times.shape}: give one for each")
        width = 0.0 if bin_width is None else float(bin_width)
    if bin_width is not None and not (math.isfinite(width) and width > 0):
        raise ValueError(f"bin_width must be a positive time in seconds, it is {bin_width}")
    bad = np.flatnonzero(~(np.isfinite(times) & (times > 0)))
    if bad.size:
        raise ValueError(f"dwell {bad[0]} lasts {times[bad[0]]} s: dwells must be positive and finite; drop such")
    if width:
        bins = np.rint(times / width)
        off = np.flatnonzero(np.abs(times / width - bins) > 1e-3 + 1e-9 * bins)
        if off.size:
            raise ValueError(
                f"dwell {off[0]} of {times[off[0]]} s is no whole number of bins of {width} s; leave bin_width out for "
                "continuous dwells"
            )
        times = bins * width
    order = np.lexsort((~cut, times))
    return _Dwells(times[order], ~cut[order], width, note)


def _limit(name: str, value: float | None, otherwise: float) -> float:
    if value is None:
        return otherwise
    if not value > 0:
        raise ValueError(f"{name} must be a positive time in seconds, it is {value}")
    return float(value)


def _ranged(given: _Dwells, shortest: float, longest: float, lower: float, strictly: bool) -> DwellData:
    """Return the dwells of a range; limits of binned ones move to the edges of the bins that lie inside."""
    width = given.bin_width
    if width:
        first = math.ceil(shortest / width - 1e-6) + lower
        if first <= 0:
            raise ValueError(
                f"bins of {width} s with t_min {shortest} s and this rounding hold dwells of 0 s, where no power law "
                f"exists; set t_min to {2 * width} s or more"
            )
        shortest = first * width
        longest = (math.floor(longest / width + 1e-6) + lower + 1.0) * width if math.isfinite(longest) else longest
    return likelihood.gather(
        given.times, given.ended, np.array([shortest, longest]), width, lower, strictly=strictly and not width
    )


def _too_few(given: _Dwells) -> str:
    return (
        f"{int(np.count_nonzero(given.ended))} dwells ended inside of the range, at least {FEWEST_DWELLS} are needed; "
        "a longer recording or a smaller t_min may help"
    )


def _undetermined(given: _Dwells, limit: float, method: str, note: str) -> DwellFit:
    return DwellFit(
        "undetermined", math.nan, NAN2, math.nan, NAN2, math.nan, math.nan, math.nan, math.nan,
        math.nan, limit, given.bin_width or math.nan, int(given.times.size), int(np.count_nonzero(~given.ended)),
        {}, {}, {}, method, note, given.times, given.ended,
    )  # fmt: skip


def _by_likelihood(data: DwellData, model: str, given: _Dwells, n_bootstrap: int, rng: np.random.Generator) -> DwellFit:
    fits = {name: likelihood.fit_law(data, law) for law, name in enumerate(LAWS)}
    plain, cut = fits["power_law"], fits["truncated"]
    if cut.log_likelihood - plain.log_likelihood < BOUNDARY:
        cut = fits["truncated"] = LawFit(cut.law, plain.p, cut.q, plain.log_likelihood)
    ratio = 2.0 * (cut.log_likelihood - plain.log_likelihood)
    p_truncated = goodness.cutoff_p_value(data, plain, ratio)
    distances = np.empty(0)
    if 1e-4 < p_truncated < 1.0 and n_bootstrap:
        distances, ratios = goodness.bootstrap(data, plain, n_bootstrap, rng, ratios=True)
        p_truncated = _share(ratios, ratio) if ratios.size else p_truncated
    name = ("truncated" if p_truncated < LEVEL else "power_law") if model == "auto" else model
    if not (name == "power_law" and distances.size):
        distances, _ = goodness.bootstrap(data, fits[name], n_bootstrap, rng)
    values, intervals, notes = _parameters(data, fits, name, p_truncated)
    cutoff_ci = intervals.get("cutoff", intervals.get("time", NAN2))
    if name == "power_law":
        cutoff_ci = likelihood.cutoff_interval(data, plain, cut, p_truncated)
        notes.append("a plain power law has no cutoff; cutoff_ci holds those that the dwells allow")
    table = {law: _row(data, fit) for law, fit in fits.items()}
    notes += _doubts(table, name, given)
    far = goodness.distance(data, fits[name])
    return DwellFit(
        name,
        values.get("alpha", math.nan),
        intervals.get("alpha", NAN2),
        values.get("cutoff", values.get("time", math.nan) if name == "exponential" else math.nan),
        cutoff_ci if name != "stretched" else NAN2,
        p_truncated,
        table["power_law"]["bic"] - table["truncated"]["bic"],
        far,
        _share(distances, far) if distances.size else math.nan,
        float(data.ends[0]), float(data.ends[1]), data.bin_width or math.nan, data.n,
        int(np.count_nonzero(~data.ended)), values, intervals, table, "mle", "; ".join(filter(None, notes)),
        data.times, data.ended, fits, data.ends,
    )  # fmt: skip


def _share(drawn: Floats, seen: float) -> float:
    """Return the p-value of a bootstrap; the data count as one of the sets, since 0 would say more than n draws can."""
    return float((np.count_nonzero(drawn >= seen) + 1) / (drawn.size + 1))


def _parameters(
    data: DwellData, fits: Mapping[str, LawFit], name: str, p_truncated: float
) -> tuple[dict[str, float], dict[str, tuple[float, float]], list[str]]:
    """Return the parameters of a law with intervals, and what is to be said of them."""
    fit, notes = fits[name], []
    first, *second = PARAMETERS[name]
    p_ci = likelihood.alpha_interval(data, fit)
    if first == "alpha":
        values, intervals = {first: fit.p}, {first: p_ci}
        low, high = likelihood.bounds_of(data, fit.law)[0]
        if fit.p - low < 1e-5 or high - fit.p < 1e-5:
            values[first] = math.nan
            notes.append(
                f"alpha runs to the end {fit.p:.3g} of its range ({low:.3g} to {high:.3g}): it is not determined"
            )
    else:
        values, intervals = {first: math.exp(fit.p)}, {first: (math.exp(p_ci[0]), math.exp(p_ci[1]))}
    if not second:
        return values, intervals, notes
    if name == "truncated":
        intervals["cutoff"] = likelihood.cutoff_interval(data, fits["power_law"], fit, p_truncated)
        bound = fit.log_likelihood - fits["power_law"].log_likelihood < BOUNDARY
        values["cutoff"] = math.nan if bound or math.isnan(values["alpha"]) else math.exp(-fit.q)
        if bound:
            notes.append("no cutoff is likelier than any: a plain power law fits as well")
    else:
        low, high = likelihood.second_interval(data, fit)
        values[second[0]], intervals[second[0]] = math.exp(fit.q), (math.exp(low), math.exp(high))
    return values, intervals, notes


def _row(data: DwellData, fit: LawFit) -> dict[str, float]:
    name = LAWS[fit.law]
    first, *second = PARAMETERS[name]
    row = {first: fit.p if first == "alpha" else math.exp(fit.p)}
    if second:
        row[second[0]] = math.exp(-fit.q if name == "truncated" else fit.q)
    value = fit.log_likelihood
    return {
        "log_likelihood": value,
        "aic": 2.0 * fit.k - 2.0 * value,
        "bic": fit.k * math.log(data.n) - 2.0 * value,
        **row,
    }


def _doubts(table: Mapping[str, Mapping[str, float]], name: str, given: _Dwells) -> list[str]:
    best = min(table, key=lambda law: table[law]["bic"])
    found = [given.note]
    gain = table[name]["bic"] - table[best]["bic"]
    if gain > BETTER_BIC:
        found.append(f"{best} describes the dwells better (by {gain:.1f} in BIC)")
    if not given.bin_width and given.times.size > 2 * np.unique(given.times).size:
        found.append("most dwells occur more than once: give bin_width if they are whole numbers of bins")
    return found


def _by_histogram(data: DwellData, model: str, method: str, given: _Dwells) -> DwellFit:
    if model not in {"power_law", "truncated", "auto"}:
        raise ValueError(f'method {method!r} fits "power_law" or "truncated", not {model!r}')
    name = "truncated" if model == "truncated" else "power_law"
    values, intervals, note = fit_histogram(data, name, method)
    note = note or "least squares on a histogram: reproduces older papers; its errors and bias are not controlled"
    any_fit: dict[str, Any] = {}
    if math.isfinite(values["alpha"]):
        q = -math.log(values["cutoff"]) if math.isfinite(values.get("cutoff", math.nan)) else -700.0
        if name == "power_law" and (values["alpha"] > 1.0 or math.isfinite(data.ends[1])):
            any_fit[name] = LawFit(LAWS.index(name), values["alpha"], 0.0, math.nan)
        elif name == "truncated" and q > -700.0:
            any_fit[name] = LawFit(LAWS.index(name), values["alpha"], q, math.nan)
    return DwellFit(
        name, values["alpha"], intervals["alpha"], values.get("cutoff", math.nan), intervals.get("cutoff", NAN2),
        math.nan, math.nan, math.nan, math.nan, float(data.ends[0]), float(data.ends[1]), data.bin_width or math.nan,
        data.n, int(np.count_nonzero(~data.ended)), values, intervals, {}, method,
        "; ".join(filter(None, (given.note, note))), data.times, data.ended, any_fit, data.ends,
    )  # fmt: skip
