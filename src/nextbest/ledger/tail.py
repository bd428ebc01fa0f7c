"""The journal's newest events, for whoever keeps events in memory: what came since, and whether the rest stands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.ledger.kinds import COMMON, KINDS
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from nextbest.ledger.journal import Journal

_FILE = "tail.sql"
_MOST = 10_000  # more new events than this between two looks: reading them again is as quick


LOOK_S = 0.05  # what another process writes is seen this much later


class Look:
    """Says when the journal has to be looked at again: after own writes at once, for those of others now and then."""

    def __init__(self, journal: Journal, *, every_s: float = LOOK_S) -> None:
        self._journal = journal
        self._every = every_s
        self._mark: int | None = None
        self._at = -every_s

    def due(self) -> bool:
        """Say whether to look now; who is told so looks before asking again."""
        mark, now = self._journal.mark(), time.monotonic()
        if mark is not None and mark == self._mark and now - self._at < self._every:
            return False
        self._mark, self._at = mark, now
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What was there at a moment: permissions and segments move with all that may change events read before."""

    permissions: int
    segments: int
    last: int


def stamp(connection: sqlite3.Connection) -> Stamp:
    """Give the stamp of now, in a few microseconds."""
    permissions, segments, last = connection.execute(load(_FILE, "stamp")).fetchone()
    return Stamp(permissions=permissions, segments=segments, last=last)


def publications(connection: sqlite3.Connection) -> tuple[int, str]:
    """Give what changes when something is published, or somebody is merged, taken apart or erased."""
    permissions, published = connection.execute(load(_FILE, "publications")).fetchone()
    return permissions, published


def people(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Give numbers that change when somebody is merged, taken apart or erased."""
    merged, ever, erased = connection.execute(load(_FILE, "people")).fetchone()
    return merged, ever, erased


def since(connection: sqlite3.Connection, last: int) -> list[tuple[str, dict[str, Any]]] | None:
    """Give kind and typed row of the live events behind a place, in order; None when there are too many."""
    rows = connection.execute(load(_FILE, "since"), (last, _MOST + 1)).fetchall()
    return None if len(rows) > _MOST else list(map(_typed, rows))


def _typed(row: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    _, kind, message_id, subject_id, subject_type, ts, offset, received_ts, source, body = row
    common = {
        "event_id": message_id,
        "subject_id": subject_id,
        "subject_type": subject_type,
        "ts": from_micros(ts),
        "ts_offset_min": offset,
        "received_ts": from_micros(received_ts),
        "source": source,
    }
    return kind, common | dict(_own(kind, msgspec.json.decode(body)))


def _own(kind: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, type_ in _columns(kind):
        value = body.get(name)
        if value is not None and type_ == "number":
            value = float(value)
        elif value is not None and type_ == "timestamp":
            value = from_micros(value)
        yield name, value


@cache
def _columns(kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((c.name, c.type) for c in KINDS[kind].columns[len(COMMON) :])
