"""Random events of every kind that features read, with ties, nulls and odd amounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.ledger.kinds import kind

START = datetime(2025, 1, 1, tzinfo=UTC)
AS_OF = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
KINDS = ("order", "order_line", "page_view", "message", "message_open", "message_click", "ticket", "coupon_redeem")

Events = dict[str, list[dict[str, Any]]]


def random_events(seed: int, *, subjects: int = 40, rows: int = 300) -> Events:
    """Give random events by kind over two years, some at the same moment, some exactly at the edges of windows."""
    rng = np.random.default_rng(seed)
    events: Events = {}
    for name in KINDS:
        events[name] = [_event(rng, name, i, subjects) for i in range(rows)]
    events["subjects"] = [_state(rng, i, subjects) for i in range(rows // 2)]
    return events


def _event(rng: np.random.Generator, name: str, number: int, subjects: int) -> dict[str, Any]:
    edges = [AS_OF, AS_OF - timedelta(days=30), AS_OF - timedelta(days=90), AS_OF - timedelta(days=365)]
    moment = START + timedelta(seconds=int(rng.integers(0, 600 * 86400)))
    if rng.random() < 0.2:
        moment = edges[int(rng.integers(len(edges)))] - timedelta(microseconds=int(rng.integers(-1, 2)))
    elif rng.random() < 0.3:
        moment = moment.replace(hour=0, minute=0, second=0)
    event = {c.name: None for c in kind(name).columns}
    event |= {"event_id": f"{name}{number}", "subject_id": f"c{rng.integers(subjects)}", "ts": moment}
    event |= {"received_ts": moment + timedelta(hours=int(rng.integers(0, 100))), "source": "test"}
    for column in kind(name).columns[7:]:
        event[column.name] = _value(rng, column.type, moment)
    return event


def _value(rng: np.random.Generator, type_: str, moment: datetime) -> Any:
    if rng.random() < 0.2:
        return None
    match type_:
        case "number":
            return float(rng.choice([0.0, 0.1, 19.99, -3.333333, 1e9 + 0.1, 7.0, rng.normal() * 100]))
        case "integer":
            return int(rng.integers(0, 5))
        case "boolean":
            return bool(rng.random() < 0.5)
        case "timestamp":
            return moment + timedelta(days=float(rng.exponential(60)))
    return str(rng.choice(["a", "b", "o'c", "ä", ""]))


def _state(rng: np.random.Generator, number: int, subjects: int) -> dict[str, Any]:
    state = {c.name: None for c in kind("subjects").columns}
    moment = START + timedelta(seconds=int(rng.integers(0, 600 * 86400)))
    state |= {"subject_id": f"c{rng.integers(subjects + 10)}", "received_ts": moment, "source": "test"}
    state["valid_from"] = None if rng.random() < 0.1 else moment
    state["created_ts"] = _value(rng, "timestamp", START)
    state["employees"] = _value(rng, "number", START)
    return state


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Give events as a table of their kind."""
    return pa.Table.from_pylist(rows, schema=kind(name).schema())


@pytest.fixture
def as_of() -> datetime:
    """Give the moment that random events are looked at from."""
    return AS_OF
