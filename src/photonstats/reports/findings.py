"""What an analysis found, in words: names, values with errors, remarks; for the terminal and for the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from photonstats.reports.blinking_findings import blinking_rows, verdict_card
from photonstats.result import quantity

if TYPE_CHECKING:
    from photonstats.job.pipeline import Analysis

REJECTED = 1e-3
MOST_LEVELS_SHOWN = 6


def rows(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Return what was found as (name, value with error, remark), in the order of the report."""
    results = analysis.results
    return [
        *_stream_rows(results),
        *_emitter_rows(results),
        *_g2_rows(results),
        *_decay_rows(results),
        *_level_rows(results),
        *_flid_rows(results),
        *blinking_rows(results),
    ]


def text_summary(analysis: Analysis) -> str:
    """Return one screen of text: the file, the numbers with errors, what could not be answered."""
    source = analysis.results["source"]
    lines = [" ".join(filter(None, (title(source, "photon stream"), source["format"], source["record_type"])))]
    lines += [f"  {name:<20} {value}{'  (' + remark + ')' if remark else ''}" for name, value, remark in rows(analysis)]
    lines += [f"  {'note':<20} {text}" for text in unanswered(analysis.results["notes"])]
    return "\n".join(lines)


def unanswered(notes: dict[str, str]) -> list[str]:
    """Return the reasons for what is missing or doubtful, those with the same reason on one line."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in notes.items():
        if not key.startswith(("source", "stream")):  # what a recording lacks is seen above
            by_reason.setdefault(reason, []).append(key)
    return [f"{', '.join(keys)}: {reason}" for reason, keys in by_reason.items()]


def title(source: dict[str, Any], otherwise: str) -> str:
    """Return the name of the file; what is no UTF-8 in it becomes a question mark."""
    return Path(source["path"]).name.encode("utf-8", "replace").decode() if source["path"] else otherwise


def headline(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the few numbers that people look for first."""
    g2, decay, blinking = results["g2"], results["decay"], results["blinking"]
    cards: list[tuple[str, str]] = [("count rate", quantity(results["stream"]["rate_hz"], None, "kcps", 1e-3))]
    emitters = results["emitters"]
    if emitters is not None:
        best = _likeliest(emitters)
        chance = "" if best is None else f" (p {_chance(emitters['probability'][str(best)])})"
        cards.append(("emitters", "undetermined" if best is None else f"{best}{chance}"))
    if g2 is not None and g2["g2_zero"] is not None:
        corrected = g2["g2_zero_corrected"] is not None
        key = "g2_zero_corrected" if corrected else "g2_zero"
        cards.append(("g⁽²⁾(0)" + (", background removed" if corrected else ""), quantity(g2[key], g2[f"{key}_err"])))
    if decay is not None:
        found = zip(decay["lifetimes_s"], decay["lifetimes_err_s"], strict=True)
        name = (
            "lifetime" + ("s" if decay["n_components"] > 1 else "") + (", model rejected" if _rejected(decay) else "")
        )
        cards.append((name, ", ".join(quantity(t, e, "", 1e9) for t, e in found) + " ns"))
    if blinking is not None and blinking["on_fraction"] is not None:
        cards.append(("on-fraction", quantity(blinking["on_fraction"], blinking["on_fraction_err"], "%", 100)))
    return cards + verdict_card(results)


def _rejected(decay: dict[str, Any]) -> bool:
    return decay["p_value"] is not None and decay["p_value"] < REJECTED


def _stream_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    stream, background = results["stream"], results["background"]
    each = ", ".join(f"detector {d}: {n:,}" for d, n in stream["counts"].items()) or "no photons"
    each += f"; {stream['n_markers']} markers: an image scan?" if stream["n_markers"] else ""
    found = [
        ("photons", f"{stream['n_photons']:,} in {stream['duration_s']:.6g} s", each),
        ("count rate", quantity(stream["rate_hz"], None, "kcps", 1e-3), ""),
    ]
    if stream["laser_period_s"]:
        bins = f"nanotimes of {stream['tcspc_unit_s'] * 1e12:.4g} ps" if stream["tcspc_unit_s"] else ""
        period = stream["laser_period_s"]
        found.append(("laser period", f"{period * 1e9:.6g} ns ({1e-6 / period:.5g} MHz)", bins))
    if background is not None:
        rates, errors = background["rate_hz"], background["rate_err_hz"]
        found += [(f"background {d}", quantity(rates[d], errors[d], "Hz"), background["method"]) for d in rates]
    return found


def _emitter_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    emitters = results["emitters"]
    if emitters is None:
        return []
    likely = sorted(emitters["probability"].items(), key=lambda item: -item[1])[:3]
    chances = ", ".join(f"{m}: {_chance(p)}" for m, p in likely if p >= 0.001)
    found = [("emitters", str(_likeliest(emitters) or "undetermined"), f"probability of {chances}")]
    if emitters["effective"] is not None:
        near = quantity(emitters["effective_near"])
        found.append(
            ("effective number", quantity(emitters["effective"], emitters["effective_err"]), f"{near} on at a time")
        )
    return found


def _likeliest(emitters: dict[str, Any]) -> int | None:
    """Return the number that is likelier than all others together, or None: the largest of ten alike is no answer."""
    best: int | None = emitters["best"]
    return best if best is not None and emitters["probability"][str(best)] > 0.5 else None


def _chance(p: float) -> str:
    return "> 0.999" if p > 0.999 else f"{p:.3f}"


def _g2_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    g2 = results["g2"]
    if g2 is None:
        return []
    pair = "detectors {}, {}".format(*g2["detectors"])
    against = "against near side peaks" if g2["mode"] == "pulsed" else "fit, against long lags"
    found = (
        [("g2(0)", quantity(g2["g2_zero"], g2["g2_zero_err"]), f"{pair}; {against}")]
        if g2["g2_zero"] is not None
        else []
    )
    if g2["g2_zero_corrected"] is not None:
        found.append(
            ("g2(0) corrected", quantity(g2["g2_zero_corrected"], g2["g2_zero_corrected_err"]), "background removed")
        )
    if g2["mode"] == "pulsed":
        found += [
            ("pairs in the centre", str(g2["pairs_centre"]), f"against {g2['pairs_side_mean']:.1f} in a side peak"),
            ("g2(0) far", quantity(g2["g2_zero_far"], g2["g2_zero_far_err"]), "against the mean rates"),
            ("bunching", quantity(g2["bunching"], g2["bunching_err"]), "near side peaks against the mean rates"),
        ]
        found += _gate_rows(g2)
    elif g2["lifetime_s"] is not None:
        found.append(("antibunching time", quantity(g2["lifetime_s"], g2["lifetime_err_s"], "ns", 1e9), ""))
    found.append(("delay", quantity(g2["delay_s"], g2["delay_err_s"], "ns", 1e9), g2["delay_note"] or ""))
    return found


def _gate_rows(g2: dict[str, Any]) -> list[tuple[str, str, str]]:
    fit = g2.get("gate_fit")
    if not fit or fit["plateau"] is None:
        return []
    found = [("g2(0) late photons", quantity(fit["plateau"], fit["plateau_err"]), "plateau of the gate series")]
    if fit["yield_ratio"] is not None and fit["yield_ratio_ci"] and fit["yield_ratio_ci"][0]:
        ratio = quantity(fit["yield_ratio"], fit["yield_ratio_err"])
        lifetime = quantity(fit["biexciton_lifetime_s"], fit["biexciton_lifetime_err_s"], "ns", 1e9)
        found.append(("biexciton yield", ratio, f"over that of the exciton; lifetime {lifetime}"))
    return found


def _decay_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    decay = results["decay"]
    if decay is None:
        return []
    found = []
    for i, (lifetime, error) in enumerate(zip(decay["lifetimes_s"], decay["lifetimes_err_s"], strict=True)):
        share = quantity(decay["fractions"][i], decay["fractions_err"][i], "% of the photons", 100)
        remark = f"detector {decay['detector']}; IRF: {decay['irf']}" if decay["n_components"] == 1 else share
        found.append(
            (
                "lifetime" if decay["n_components"] == 1 else f"lifetime {i + 1}",
                quantity(lifetime, error, "ns", 1e9),
                remark,
            )
        )
    if decay["n_components"] > 1:
        remark = f"detector {decay['detector']}; IRF: {decay['irf']}"
        found += [
            (
                "amplitude average",
                quantity(decay["amplitude_average_s"], decay["amplitude_average_err_s"], "ns", 1e9),
                remark,
            ),
            (
                "intensity average",
                quantity(decay["intensity_average_s"], decay["intensity_average_err_s"], "ns", 1e9),
                "",
            ),
        ]
    doubt = "the model does not describe the decay: its errors are too small" if _rejected(decay) else ""
    found.append(("fit p-value", quantity(decay["p_value"]), doubt))
    return found


def _level_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    part = results["segments"]
    if part is None:
        return []
    changes = ", ".join(f"{n} {kind}" for kind, n in (part["changes"] or {}).items() if n)
    chance = _chance(part["n_levels_probability"][str(part["n_levels"])])
    found = [
        ("change points", str(part["n"] - 1), changes),
        ("levels", str(part["n_levels"]), f"probability {chance}"),
    ]
    if part["n_levels"] > MOST_LEVELS_SHOWN:
        return found
    for j, rate in enumerate(part["level_rates_hz"]):
        value = quantity(rate, _half(part["level_rates_ci_hz"], j), "kcps", 1e-3)
        lifetime = part["level_lifetimes_s"][j]
        error = _half(part["level_lifetimes_ci_s"], j)
        shines = "" if lifetime is None else f", {quantity(lifetime, error, 'ns', 1e9)}"
        found.append((f"level {j + 1}", value, f"{part['level_occupancy'][j]:.1%} of the time{shines}"))
    return found


def _half(intervals: list[list[float | None]] | None, j: int) -> float | None:
    """Return the error that goes with a 95 % interval, None where there is none or it has no end."""
    low, high = (None, None) if intervals is None else intervals[j]
    return None if low is None or high is None else (high - low) / 3.92


def _flid_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    found, flid, flickering = [], results["flid"], results["flickering"]
    if flid is not None and flid["rank_correlation"] is not None:
        value = quantity(flid["rank_correlation"], flid["rank_correlation_err"])
        found.append(("FLID correlation", value, "rank correlation of lifetime and intensity"))
    if flickering is not None:
        found.append(("few levels or more", flickering["verdict"], flickering["reason"]))
    return found
