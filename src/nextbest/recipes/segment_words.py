"""What sets somebody's segment apart, and where they stand, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest.features.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 3
BORDER = 0.1  # of the confidence, which is 0 on the border between two segments


def words(
    row: Mapping[str, Any], segment: str, confidence: float | None, described: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Give, per column that sets the segment apart most, the person's value beside the middle of it and of others."""
    own = next((d for d in described if d["segment"] == segment), {})
    others = [d for d in described if d["segment"] != segment and "medians" in d]
    found = [
        _beside(d["column"], row.get(d["column"]), own["medians"], [o["medians"] for o in others])
        for d in own.get("drivers", ())[:MOST]
        if d["deviations"]
    ]
    if not found:  # the grid: it is cut by these columns alone
        found = [f"{_capital(sentence(name, value))}." for name, value in row.items()]
    if confidence is not None and confidence < BORDER:
        found.append("They stand near the border to another segment.")
    return tuple(found)


def _beside(name: str, value: Any, own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:  # noqa: ANN401
    """Give "5 orders in the last 365 days (middle of the segment: 6; of the others: 2 to 3)."."""
    known = sorted(o[name] for o in others if o.get(name) is not None)
    ends = list(dict.fromkeys(_short(k) for k in (*known[:1], *known[-1:])))
    elsewhere = f"; of the others: {' to '.join(ends)}" if ends else ""
    return f"{_capital(sentence(name, value))} (middle of the segment: {_short(own.get(name))}{elsewhere})."


def _short(value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
