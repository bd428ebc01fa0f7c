"""What a recipe adds to its report, as tables and facts that people read: headings, rounded numbers, no raw values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

MOST_ROWS = 40
LOW, HIGH = "_low", "_high"
_OTHER = "Other facts"
_TITLES = {
    "stages": ("Stages", "Where time and deals go. A bottleneck is named only where its 90% interval lies above all."),
    "closing_dates": ("Closing dates", "The closing date first given, against when deals ended."),
    "reps": ("Reps", "Win rates beside what the mix of the deals gives. A difference of few deals is drawn to nought."),
    "activities": ("Activities", "What goes with winning among deals alike; it need not cause it."),
    "segments": ("Segments", "Drivers: how far from the average, in standard deviations. Medians: the middle values."),
    "tried": ("Numbers of groups that were tried", "Apart: there is a valley between each group and its neighbour."),
    "forecast_value_added": ("Forecast value added", "What each forecast adds to the one above it."),
    "periods": ("Past periods", "Each forecast from what was known before it began."),
    "capacity": ("At the capacity", "Of all who convert, the share among those that can be called."),
    "line": ("Where the line is", ""),
    "costs": ("Costs", "What is ordered weighs one against the other."),
    "causes": ("Ways of leaving", "How many left in which way."),
    "survival_calibration": ("Calibration of the curve", "The largest gap of a tenth of subjects, by time ahead."),
    "weights": ("Weights", "How much of the answer each part gives."),
    "intervals": ("Intervals", ""),
    "parameters": ("Parameters", ""),
    "tuning": ("Search for settings", ""),
    "monotone": ("Directions that were asked for", ""),
}
_SHARES = frozenset({"share", "rate", "conversion", "captured", "kept", "covered", "probability", "come"})
_DRAWN = frozenset({"survival"})
_PLAIN = (("by", "table"),)  # what goes without saying
# A report that was kept comes back with its names in order of the alphabet: what a row is about comes first again.
_FIRST = ("of", "stage", "rep", "segment", "segments", "activity", "from", "time", "forecast", "characteristic",
          "bin", "column", "series")  # fmt: skip
_LAST = ("bottleneck", "surely", "apart", "drivers", "medians")
_SPANNED = ("odds_ratio_of_twice", "forecast", "deviations", "rate")  # what plain `low` and `high` are the ends of
_NAMES = {
    "weight": "Weight of the model beside the stage's rate",
    "by": "Told by",
    "weight_of_trees": "Weight of the trees",
    "odds_ratio_of_twice": "Odds of winning with twice as many, times",
    "gap": "Largest gap",
    "time": "Time ahead",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as texts: `numeric` says which columns are numbers; `more` rows are not shown."""

    title: str
    note: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A list of names and values as texts."""

    title: str
    note: str
    facts: tuple[tuple[str, str], ...]


def tables(details: Mapping[str, Any]) -> tuple[list[Table], list[Facts]]:
    """Give the tables and the lists of facts of what a recipe adds; single values come last, together."""
    found: list[Table] = []
    lists: list[Facts] = []
    single: dict[str, Any] = {}
    for name, value in details.items():
        title, note = _TITLES.get(name, (heading(name), ""))
        rows = _rows(value)
        if name in _DRAWN or value in (None, "", [], {}) or (name, value) in _PLAIN:
            continue
        if rows:
            found.append(table(rows, title=title, note=note))
        elif isinstance(value, Mapping):
            lists.append(Facts(title=title, note=note, facts=_facts(value)))
        else:
            single[name] = value
    if single:
        lists.append(Facts(title=_OTHER, note="", facts=_facts(single)))
    return found, lists


def scorecard(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Give all bins of a scorecard, the name of a characteristic at its first only."""
    named = [
        {**row, "characteristic": ""} if again else dict(row) for row, again in zip(rows, _again(rows), strict=True)
    ]
    return table(named, title="The card", most=len(rows))


def _again(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    names = [row["characteristic"] for row in rows]
    return [False, *(a == b for a, b in pairwise(names))]


def table(rows: Sequence[Mapping[str, Any]], *, title: str, note: str = "", most: int = MOST_ROWS) -> Table:
    """Give rows of plain values as a table; `x_low` and `x_high` stand in brackets behind `x`."""
    rows = [_spanned(row) for row in rows]
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if any(row.get(n) is not None for row in rows)]
    shown = [n for n in names if not _is_end(n, names)]
    shown.sort(key=lambda n: (_place(n), _is_number(rows, n), n))
    return Table(
        title=title,
        note=note,
        headings=tuple(heading(n) for n in shown),
        rows=tuple(tuple(_cell(row, n, names) for n in shown) for row in rows[:most]),
        numeric=tuple(_is_number(rows, n) for n in shown),
        more=max(0, len(rows) - most),
    )


def heading(name: str) -> str:
    """Give a name as people read it: "share_of_time" is "Share of time"."""
    words = _NAMES.get(name, name.replace("_", " ").strip())
    return words[:1].upper() + words[1:]


def said(value: Any, name: str = "") -> str:  # noqa: ANN401 (any plain value)
    """Give a value as text: numbers rounded, shares as percent, yes and no, lists with commas."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(value, name)
    if isinstance(value, Mapping):
        return ", ".join(f"{heading(str(k)).lower()} {said(v, str(k))}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_part(v) for v in value)
    return str(value)


def _part(value: Any) -> str:  # noqa: ANN401
    """Give one of a list: a row of a name and a number as "visits -0.93"."""
    if not isinstance(value, Mapping):
        return said(value)
    value = _spanned(value)
    names = [str(n) for n in value]
    shown = [n for n in names if not _is_end(n, names)]
    return " ".join(_cell(value, n, names) for n in sorted(shown, key=lambda n: _is_number([value], n)))


def _spanned(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a row whose `low` and `high` say of what they are the ends."""
    of = next((n for n in _SPANNED if n in row), None)
    if of is None or "low" not in row or "high" not in row:
        return row
    return {{"low": f"{of}{LOW}", "high": f"{of}{HIGH}"}.get(n, n): v for n, v in row.items()}


def _place(name: str) -> int:
    return _FIRST.index(name) - len(_FIRST) if name in _FIRST else 1 + _LAST.index(name) if name in _LAST else 0


def _rows(value: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
    """Give a list of rows, or a mapping of rows with their names first; nothing for what is no table."""
    if isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
        return list(value)
    if isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
        return [{"of": heading(str(name)).lower(), **row} for name, row in value.items()]
    return []


def _facts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    names = list(values)
    return tuple(
        (heading(n), _cell(values, n, names)) for n in names if not _is_end(n, names) and values[n] not in (None, "")
    )


def _is_end(name: str, names: Sequence[str]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in names for end in (LOW, HIGH))


def _cell(row: Mapping[str, Any], name: str, names: Sequence[str]) -> str:
    value = said(row.get(name), name)
    low, high = (row.get(f"{name}{end}") if f"{name}{end}" in names else None for end in (LOW, HIGH))
    return value if low is None or high is None else f"{value} ({said(low, name)} to {said(high, name)})"


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    known = [row[name] for row in rows if row.get(name) is not None]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)


def _number(value: float, name: str) -> str:
    """Give a number in three digits; of a share in percent."""
    if _SHARES & set(name.split("_")) and -1 <= value <= 1:
        return f"{100 * value:.3g}%"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
