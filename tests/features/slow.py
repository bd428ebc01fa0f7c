"""The slow, obviously right version of every aggregate, in plain Python over lists of events."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from nextbest.features.expression import compile_closure
from nextbest.features.language import Feature, usable
from nextbest.ledger.kinds import kind

DAY = timedelta(days=1)
Event = dict[str, Any]


def slow(feature: Feature, events: dict[str, list[Event]], as_of: datetime) -> float | None:
    """Give the feature of one subject, whose events are listed by kind."""
    if feature.of:
        over, under = (slow(f, events, as_of) for f in feature.of)
        return None if over is None or not under else over / under
    happened = [e for e in events.get(feature.kind, []) if before(feature, e, as_of)]
    known = sorted((moment_of(e), v) for e in happened if (v := value_of(feature, e)) is not None)
    if feature.aggregate in ("count", "open", "trend", "recency", "tenure", "gap_mean", "gap_deviation"):
        return of_rows(feature, happened, as_of)
    return of_values(feature, known, as_of)


def of_rows(feature: Feature, happened: list[Event], as_of: datetime) -> float | None:
    """Give an aggregate that reads no value."""
    times = sorted(moment_of(e) for e in happened)
    if feature.aggregate == "count":
        return float(len(happened))
    if feature.aggregate == "open":
        return float(sum(e[feature.column] is None or e[feature.column] >= as_of for e in happened))
    if feature.aggregate == "trend":
        return trend(times, feature.window_days, as_of)
    if feature.aggregate in ("recency", "tenure"):
        edge = times[-1 if feature.aggregate == "recency" else 0] if times else as_of
        return (as_of - edge) / DAY if times else None
    return gaps(feature.aggregate, sorted(set(times)))


def of_values(feature: Feature, known: list[tuple[datetime, Any]], as_of: datetime) -> float | None:
    """Give an aggregate of the values, sorted by moment and then by size."""
    numbers = [v for _, v in known]
    if feature.aggregate in ("sum", "distinct"):
        return exact(numbers) if feature.aggregate == "sum" else float(len(set(numbers)))
    if not numbers:
        return None
    if feature.aggregate in ("last", "attribute"):
        return latest(numbers[-1], as_of)
    simple = {"mean": lambda: exact(numbers) / len(numbers), "min": lambda: min(numbers), "max": lambda: max(numbers)}
    return numbers[0] if feature.aggregate == "first" else simple[feature.aggregate]()


def before(feature: Feature, event: Event, as_of: datetime) -> bool:
    """Tell whether an event counts."""
    moment = event["valid_from"] if feature.kind == "subjects" else event["ts"]
    if moment is not None and moment >= as_of:
        return False
    if feature.window_days and moment < as_of - feature.window_days * DAY:
        return False
    return bool(compile_closure(feature.condition, usable(kind(feature.kind)))(event)) if feature.where else True


def moment_of(event: Event) -> datetime:
    """Give when an event happened, or what orders a state of a subject."""
    return event.get("ts") or event.get("valid_from") or event["received_ts"]


def value_of(feature: Feature, event: Event) -> Any:
    """Give the value that is aggregated."""
    if not feature.column or feature.aggregate == "open":
        return None
    return compile_closure(feature.value, usable(kind(feature.kind)))(event)


def exact(numbers: list[float]) -> float:
    """Give the sum in millionths, exactly."""
    total = sum(round(n * 1e6) for n in numbers)
    return float(total) / 1e6


def latest(value: Any, as_of: datetime) -> float | None:
    """Give the last known value; of a timestamp the days since, if it has passed."""
    if isinstance(value, datetime):
        return (as_of - value) / DAY if value < as_of else None
    return float(value)


def trend(times: list[datetime], days: int | None, as_of: datetime) -> float | None:
    """Give the difference of the halves over their sum."""
    half = as_of - timedelta(days=days or 0) / 2
    recent = sum(t >= half for t in times)
    earlier = len(times) - recent
    return (recent - earlier) / len(times) if times else None


def gaps(aggregate: str, times: list[datetime]) -> float | None:
    """Give the mean or the sample standard deviation of the days between different moments."""
    between = [(b - a) / DAY for a, b in pairwise(times)]
    if aggregate == "gap_mean":
        return float(sum(map(Fraction, between)) / len(between)) if between else None
    whole = [(b - a) // timedelta(milliseconds=1) for a, b in pairwise(times)]
    return statistics.stdev(whole) / (DAY / timedelta(milliseconds=1)) if len(whole) > 1 else None
