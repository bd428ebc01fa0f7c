"""The model card as one HTML file that opens on its own: style and pictures inside, no scripts, nothing fetched."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nextbest.trust import plots, tables

if TYPE_CHECKING:
    from collections.abc import Mapping


_TILES = 3
_SAID_ABOVE = frozenset({"table", "label", "positive", "horizon_days"})
_TOLD_FIRST = ("auc", "concordance", "captured_at_capacity", "seeds_found", "normalised_gini", "wape", "saved_share",
               "median_absolute_error_days", "ece", "calibration_gap", "interval_held", "top_decile_lift",
               "total_error", "mae")  # fmt: skip


def page(card: Mapping[str, Any]) -> str:
    """Give the page of a card; every text of the card is escaped."""
    drawn: dict[str, Markup] = {}
    for name, draw in (("calibration", plots.calibration), ("deciles", plots.deciles)):
        if card[name]:
            drawn[name] = _safe(draw(card[name]))
    if card["capture"]:
        drawn |= {"capture": _safe(plots.capture(card["capture"])), "lift": _safe(plots.lift(card["capture"]))}
    share = card["kind"] == "probability"
    curves = [{**c, "picture": _safe(plots.dependence(c, share=share))} for c in card["dependence"]]
    if card["details"].get("survival"):
        drawn["survival"] = _safe(plots.survival(card["details"]["survival"], unit=card["details"].get("unit", "")))
    added, facts = tables.tables(card["details"])
    score = tables.scorecard(card["scorecard"]) if card["scorecard"] else None
    return _environment().get_template("card.html").render(
        card=card,
        tiles=_tiles(card),
        verdicts=list(dict.fromkeys(v["sentence"] for v in card["verdicts"])),
        set_to={n: v for n, v in card["settings"].items() if (v or n == "seed") and n not in _SAID_ABOVE},
        drawn=drawn,
        added=added,
        facts=facts,
        scorecard=score,
        curves=curves,
        rivals=plots.rivals(card["capture"]) if card["capture"] else [],
        baselines=list(dict.fromkeys(b for m in card["metrics"] for b in m["baselines"])),
        say=plots.percent if share else plots.number,
        widest=max([d["share"] for d in card["drivers"]], default=1.0) or 1.0,
    )  # fmt: skip


def _tiles(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the few figures that stand at the top, the most telling first."""
    known = {m["name"]: m for m in card["metrics"]}
    found = [known[n] for n in _TOLD_FIRST if n in known]
    return (found or list(card["metrics"]))[:_TILES]


def _safe(svg: str) -> Markup:
    """Give a picture as it is: `plots` escapes every text in it."""
    return Markup(svg)  # noqa: S704


def figure(value: float | None) -> str:
    """Give a figure in three digits after the point, large ones in fewer."""
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) > 1:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def ranks(driver: Mapping[str, Any]) -> str:
    """Give the span of a driver's rank: "1", "3 to 9", or nothing when it was not tried."""
    low, high = driver["rank_low"], driver["rank_high"]
    if low is None:
        return ""
    return f"{low}" if low == high else f"{low} to {high}"


def judged(how: str) -> str:
    """Give how it was judged as a sentence."""
    if not how:
        return "It was not judged."
    if how.startswith("not judged"):
        return f"{how[:1].upper()}{how[1:]}."
    by = "" if how.startswith(("out of time", "learnt", "replayed")) else "by "
    return f"Judged {by}{how}."


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("nextbest.trust"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "capital": lambda text: text[:1].upper() + text[1:],
        "figure": figure,
        "judged": judged,
        "ranks": ranks,
        "percent": plots.percent,
        "said": tables.said,
        "words": lambda name: str(name).replace("_", " "),
    }
    return made
