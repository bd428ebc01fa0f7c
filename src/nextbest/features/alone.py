"""Features of one subject from its events in memory: the numbers of the query, byte for byte, in microseconds.

The language is exact (integer millionths, integer microseconds), so two engines can agree to the last bit. A series is
what one feature reads of a subject, in order of time; a moment is then found by bisection.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nextbest.features.build import micros
from nextbest.features.dialects import DAY_US, LARGEST_AMOUNT, MILLION
from nextbest.features.expression import compile_closure
from nextbest.features.language import ZERO_WHEN_NONE, Feature, usable
from nextbest.ledger.kinds import kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    Row = Mapping[str, Any]

_MILLISECOND_US = 1_000
_MILLISECONDS_PER_DAY = float(DAY_US // _MILLISECOND_US)
_HALF = 64  # bits
_ALWAYS = -(2**62)  # a state of unknown moment was there before every moment


@dataclass(slots=True)
class Series:
    """What one feature reads of one subject: moments (microseconds, ascending), values, and running sums of them."""

    times: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    sums: list[int] = field(default_factory=lambda: [0])
    known: list[int] = field(default_factory=lambda: [0])


@dataclass(slots=True)
class History:
    """The events of one subject by kind, and the series that features were found to read of them."""

    rows: dict[str, list[Row]]
    _series: dict[Feature, Series] = field(default_factory=dict, repr=False)

    def add(self, kind_: str, row: Row) -> None:
        """Take in one more event; what was derived from its kind is derived again when it is asked for."""
        self.rows.setdefault(kind_, []).append(row)
        self._series = {f: s for f, s in self._series.items() if f.kind != kind_}

    def series(self, feature: Feature) -> Series:
        """Give what a feature reads."""
        if feature not in self._series:
            self._series[feature] = _series(feature, self.rows.get(feature.kind, ()))
        return self._series[feature]


def vector(history: History, features: Iterable[Feature], as_of: datetime) -> dict[str, float | None]:
    """Give the features by name as of a moment: what `build.vector` gives for a subject with these events."""
    now = micros(as_of)
    return {f.name: _value(history, f, now) for f in features}


def _value(history: History, feature: Feature, now: int) -> float | None:
    if feature.of:
        over, under = (_value(history, part, now) for part in feature.of)
        return None if over is None or not under else over / under + 0.0
    series = history.series(feature)
    high = bisect_left(series.times, now)
    low = bisect_left(series.times, now - feature.window_days * DAY_US, 0, high) if feature.window_days else 0
    found = _AGGREGATES[feature.aggregate](feature, series, low, high, now)
    if found is None:
        return 0.0 if feature.aggregate in ZERO_WHEN_NONE else None
    return found + 0.0


# --- what a feature reads -------------------------------------------------------------------------------------------


def _series(feature: Feature, rows: Sequence[Row]) -> Series:
    keep, read = _readers(feature)
    if feature.aggregate == "attribute":
        read = partial(_ordered, read)
    found = sorted(((_moment(row), read(row)) for row in rows if keep(row)), key=lambda pair: pair[0])
    series = Series(times=[t for t, _ in found], values=[v for _, v in found])
    if feature.aggregate in ("sum", "mean"):
        for value in series.values:
            series.sums.append(series.sums[-1] + (value or 0))
            series.known.append(series.known[-1] + (value is not None))
    return series


@lru_cache(maxsize=1024)
def _readers(feature: Feature) -> tuple[Callable[[Row], Any], Callable[[Row], Any]]:
    """Give the filter of a feature and what it takes of a row."""
    columns = usable(kind(feature.kind))
    keep: Callable[[Row], Any] = compile_closure(feature.condition, columns) if feature.where else _every
    if not feature.column:
        return keep, _nothing
    if _is_moment(feature):
        return keep, lambda row: None if row.get(feature.column) is None else micros(row[feature.column])
    value: Callable[[Row], Any] = compile_closure(feature.value, columns)
    if feature.aggregate == "distinct":
        return keep, value
    if feature.aggregate in ("sum", "mean"):
        return keep, lambda row: _millionths(value(row))
    return keep, lambda row: None if (found := value(row)) is None else float(found)


def _every(_row: Row) -> bool:
    return True


def _nothing(_row: Row) -> None:
    return None


def _is_moment(feature: Feature) -> bool:
    types = {c.name: c.type for c in kind(feature.kind).columns}
    return feature.aggregate in ("open", "attribute") and types.get(feature.column) == "timestamp"


def _moment(row: Row) -> int:
    if "valid_from" not in row:
        return micros(row["ts"])
    return _ALWAYS if row["valid_from"] is None else micros(row["valid_from"])


def _ordered(read: Callable[[Row], Any], row: Row) -> tuple[int, Any] | None:
    """Give a state's value behind what orders the states of a subject among each other."""
    value, stated = read(row), row["valid_from"] or row.get("received_ts")
    return None if value is None else (0 if stated is None else micros(stated), value)


def _millionths(value: float | None) -> int | None:
    """Give an amount as an integer of millionths, halves away from zero; None beyond what can be summed exactly."""
    if value is None or abs(value) > LARGEST_AMOUNT:
        return None
    scaled = float(value) * MILLION
    whole = math.trunc(scaled)
    return whole + int(math.copysign(1, scaled)) if abs(scaled - whole) >= 0.5 else whole


# --- the aggregates: feature, series, the rows low to high, the moment ----------------------------------------------


def _count(_f: Feature, _s: Series, low: int, high: int, _now: int) -> float:
    return float(high - low)


def _sum(_f: Feature, s: Series, low: int, high: int, _now: int) -> float:
    return float(s.sums[high] - s.sums[low]) / MILLION


def _mean(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    many = s.known[high] - s.known[low]
    return float(s.sums[high] - s.sums[low]) / MILLION / many if many else None


def _known(s: Series, low: int, high: int) -> list[Any]:
    return [v for v in s.values[low:high] if v is not None]


def _least(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    return min(_known(s, low, high), default=None)


def _most(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    return max(_known(s, low, high), default=None)


def _distinct(_f: Feature, s: Series, low: int, high: int, _now: int) -> float:
    return float(len(set(_known(s, low, high))))


def _first(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    found = min(((s.times[i], s.values[i]) for i in range(low, high) if s.values[i] is not None), default=None)
    return None if found is None else found[1]


def _last(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    found = max(((s.times[i], s.values[i]) for i in range(low, high) if s.values[i] is not None), default=None)
    return None if found is None else found[1]


def _attribute(f: Feature, s: Series, low: int, high: int, now: int) -> float | None:
    found = max(_known(s, low, high), default=None)
    if found is None:
        return None
    if not _is_moment(f):
        return float(found[1])
    return float(now - found[1]) / DAY_US if found[1] < now else None


def _recency(_f: Feature, s: Series, low: int, high: int, now: int) -> float | None:
    return float(now - s.times[high - 1]) / DAY_US if high > low else None


def _tenure(_f: Feature, s: Series, low: int, high: int, now: int) -> float | None:
    return float(now - s.times[low]) / DAY_US if high > low else None


def _open(_f: Feature, s: Series, low: int, high: int, now: int) -> float:
    return float(sum(v is None or v >= now for v in s.values[low:high]))


def _trend(f: Feature, s: Series, low: int, high: int, now: int) -> float | None:
    half = bisect_left(s.times, now - (f.window_days or 0) * DAY_US // 2, low, high)
    return float(2 * (high - half) - (high - low)) / float(high - low) if high > low else None


def _gaps(s: Series, low: int, high: int) -> list[int]:
    return [b - a for a, b in pairwise(s.times[low:high]) if b > a]


def _gap_mean(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    between = _gaps(s, low, high)
    return float(s.times[high - 1] - s.times[low]) / DAY_US / len(between) if between else None


def _gap_deviation(_f: Feature, s: Series, low: int, high: int, _now: int) -> float | None:
    between = [gap // _MILLISECOND_US for gap in _gaps(s, low, high)]
    many = len(between)
    if many < 2:
        return None
    above = many * sum(g * g for g in between) - sum(between) ** 2
    return math.sqrt(_double(above) / float(many * (many - 1))) / _MILLISECONDS_PER_DAY


def _double(value: int) -> float:
    """Give a whole number as the query's engine makes a double of 128 bits: half by half, so rounded twice."""
    return float(value >> _HALF) * 2.0**_HALF + float(value & (1 << _HALF) - 1)


_AGGREGATES: dict[str, Callable[[Feature, Series, int, int, int], float | None]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _least,
    "max": _most,
    "first": _first,
    "last": _last,
    "attribute": _attribute,
    "distinct": _distinct,
    "recency": _recency,
    "tenure": _tenure,
    "trend": _trend,
    "open": _open,
    "gap_mean": _gap_mean,
    "gap_deviation": _gap_deviation,
}
