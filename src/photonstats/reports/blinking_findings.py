"""What was found in the blinking of a dot, in words: rows of the summary and of the page."""

from __future__ import annotations

from typing import Any

from photonstats.result import quantity

Row = tuple[str, str, str]
TYPE_NAMES = {
    "A": "type A",
    "B": "type B",
    "flickering": "flickering",
    "steady": "steady",
    "undetermined": "undetermined",
}
CLEAR = 0.01  # p-value from which a drift or a memory is worth a line: seven are tested in each recording


def blinking_rows(results: dict[str, Any]) -> list[Row]:
    """Return what is known of the blinking as (name, value with error, remark)."""
    return [*_dwell_rows(results["blinking"]), *_psd_rows(results["psd"]), *_type_rows(results["type"])]


def verdict_card(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the verdict on the type for the head of the page, none where there is no verdict."""
    kind = results["type"]
    return [] if kind is None else [("blinking", _verdict(kind))]


def _verdict(kind: dict[str, Any]) -> str:
    verdict = kind["verdict"]
    chance = kind["probability"].get(verdict)
    if chance is None:
        return TYPE_NAMES[verdict]
    return f"{TYPE_NAMES[verdict]} (p {'> 0.999' if chance > 0.999 else f'{chance:.3f}'})"


def _dwell_rows(blinking: dict[str, Any] | None) -> list[Row]:
    if blinking is None or blinking["threshold_hz"] is None:
        return []
    dwells = f"{blinking['n_on']} on and {blinking['n_off']} off dwells"
    found = [
        ("on-fraction", quantity(blinking["on_fraction"], blinking["on_fraction_err"], "%", 100), dwells),
        ("threshold", quantity(blinking["threshold_hz"], None, "kcps", 1e-3), ""),
    ]
    found += [_law_row(state, blinking[state]) for state in ("on", "off") if blinking[state] is not None]
    return found + _statistics_rows(blinking["statistics"])


def _law_row(state: str, law: dict[str, Any]) -> Row:
    value = f"α {_interval(law['alpha'], law['alpha_ci'])}"
    if law["cutoff_s"] is not None and law["model"] == "truncated":
        value += f", cutoff {_interval(law['cutoff_s'], law['cutoff_ci_s'])} s"
    p = law["p_truncated"]
    name = "truncated power law" if law["model"] == "truncated" else "power law"
    return f"{state} dwells", value, name + ("" if p is None else f"; a plain one has p = {p:.2g}")


def _interval(value: float | None, ends: list[float | None] | None) -> str:
    if value is None:
        return "–"
    low, high = ends or (None, None)
    if low is None and high is None:
        return f"{value:.3g}"
    return f"{value:.3g} [{'0' if low is None else f'{low:.3g}'}, {'∞' if high is None else f'{high:.3g}'}]"


def _statistics_rows(found: dict[str, Any] | None) -> list[Row]:
    if found is None:
        return []
    rows = []
    if found["rate_on_to_off_hz"] is not None and found["rate_off_to_on_hz"] is not None:
        rates = " and ".join(
            _interval(found[f"rate_{way}_hz"], found[f"rate_{way}_ci_hz"]) for way in ("on_to_off", "off_to_on")
        )
        rows.append(("switches per second", rates, f"on to off and back; {found['n_switches']} switches"))
    brightness = found["brightness"]
    if brightness["slope_per_s"] is not None:
        ends = [6000.0 * end for end in brightness["slope_ci_per_s"]]
        value = f"{_interval(6000.0 * brightness['slope_per_s'], ends)} %/min"
        rows.append(("bright level drifts", value, f"p = {brightness['p_value']:.2g}"))
    for state in ("on", "off"):
        aging = found[f"aging_{state}"]
        if aging["p_value"] is not None and aging["p_value"] < CLEAR:
            ends = [6000.0 * end for end in aging["slope_ci_per_s"]]
            value = f"{_interval(6000.0 * aging['slope_per_s'], ends)} %/min"
            rows.append((f"{state} dwells age", value, f"rate of their ends; p = {aging['p_value']:.2g}"))
    for pair, memory in found["memory"].items():
        if memory["p_value"] is not None and memory["p_value"] < CLEAR:
            value = _interval(memory["correlation"], memory["correlation_ci"])
            rows.append((f"memory {pair.replace('_', ', ')}", value, f"rank correlation; p = {memory['p_value']:.2g}"))
    step = found["bleaching"]
    if step["verdict"] == "bleached":
        chance = f"dark for {step['dark_time_s']:.3g} s; an off dwell has p = {step['probability']:.2g}"
        rows.append(("bleached", f"at {_interval(step['time_s'], step['time_ci_s'])} s", chance))
    return rows


def _psd_rows(psd: dict[str, Any] | None) -> list[Row]:
    if psd is None:
        return []
    words = {"both": "Lorentzian and power law", "white": "white: shot noise alone"}
    value = words.get(psd["model"], psd["model"].replace("_", " "))
    remarks = []
    if psd["beta"] is not None:
        remarks.append(f"β {quantity(psd['beta'], psd['beta_err'])}")
    if psd["time_s"] is not None:
        remarks.append(f"time {quantity(psd['time_s'], psd['time_err_s'], 's')}")
    return [("power spectrum", value, ", ".join(remarks))]


def _type_rows(kind: dict[str, Any] | None) -> list[Row]:
    if kind is None:
        return []
    likely = sorted(kind["probability"].items(), key=lambda item: -item[1])
    chances = ", ".join(f"{TYPE_NAMES[name]}: {p:.3f}" for name, p in likely if p >= 0.001)
    return [("blinking", TYPE_NAMES[kind["verdict"]], f"probability of {chances}")]
