"""Events of the subjects that were asked for lately, in memory: features as of now in microseconds, exact.

    first asked for     read from segments and journal (milliseconds), and kept
    a new event         added when it is next looked at: what is served counts it at once, that of another process
                        within a twentieth of a second
    merged, erased,     forgotten, and read again when it is next asked for
    corrected, loaded

Least recently asked for goes first when `most_events` are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from nextbest.features import alone
from nextbest.features.build import SOURCES
from nextbest.features.language import kinds_used
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis, identities, tail, views

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection
    from datetime import datetime

    from nextbest.features.language import Feature
    from nextbest.ledger.workspace import Ledger

MOST_EVENTS = 500_000
_ATTEMPTS = 3


@dataclass(slots=True)
class _Kept:
    """One subject: its history, all its ids, and how many events that is."""

    history: alone.History
    ids: list[str]
    events: int = field(default=1)


class Histories:
    """The histories of one workspace in one process; thread-safe."""

    def __init__(self, ledger: Ledger, *, most_events: int = MOST_EVENTS) -> None:
        self._ledger = ledger
        self._most = most_events
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._of: dict[str, str] = {}
        self._events = 0
        self._kinds: tuple[str, ...] = ()
        self._present: frozenset[str] = frozenset()
        self._features: dict[str, Feature] = {}
        self._stamp: tail.Stamp | None = None
        self._due = tail.Look(ledger.journal).due
        self._people: tuple[int, int, int] = (0, 0, 0)

    def has(self, subject_id: str, names: Collection[str]) -> bool:
        """Tell whether features of a subject need no reading: its events are in memory, or no name is a feature.

        Raises `LedgerError` when the journal cannot be read.
        """
        with self._lock:
            if self._due():
                self._look()
            return subject_id in self._kept or self._features.keys().isdisjoint(names)

    def vector(self, subject_id: str, names: Collection[str], *, as_of: datetime) -> dict[str, float | None]:
        """Give features of a subject (its canonical id) as of a moment: `features.build.vector`, byte for byte.

        Names that are no features of the workspace are left out. Raises `LedgerError` when events cannot be read.
        """
        with self._lock:
            if self._due():
                self._look()
            wanted = [self._features[name] for name in names if name in self._features]
            kept = self._kept.get(subject_id)
            if wanted and kept is not None:
                self._kept.move_to_end(subject_id)
                return alone.vector(kept.history, wanted, as_of)
        return alone.vector(self._read([subject_id])[subject_id].history, wanted, as_of) if wanted else {}

    def warm(self, subject_ids: Collection[str]) -> None:
        """Read the events of subjects together, unless they are there, so that their next requests find them."""
        with self._lock:
            missing = [one for one in dict.fromkeys(subject_ids) if one not in self._kept]
        if missing:
            self._read(missing)

    # --- keeping up with the journal --------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take in what came since the last look; forget everybody when what was read may no longer stand."""
        with self._ledger.journal.read() as connection:
            now = tail.stamp(connection)
            before, self._stamp = self._stamp, now
            if before == now:
                return
            if before is None or before.segments != now.segments or self._others(connection, before, now):
                self._forget(connection)
            elif before.last != now.last:
                self._add(connection, before.last)

    def _others(self, connection: sqlite3.Connection, before: tail.Stamp, now: tail.Stamp) -> bool:
        """Tell whether somebody was merged or erased: permissions move with that, and with much else."""
        if before.permissions == now.permissions:
            return False
        people, self._people = self._people, tail.people(connection)
        return people != self._people

    def _forget(self, connection: sqlite3.Connection) -> None:
        self._kept.clear()
        self._of.clear()
        self._events = 0
        self._people = tail.people(connection)
        self._define()

    def _define(self) -> None:
        """Find the features that suit the kinds of events that there are now."""
        self._present = frozenset(analysis.kinds_present(self._ledger))
        found = feature_set(self._ledger)
        self._features = {f.name: f for f in found}
        self._kinds = kinds_used(found)

    def _add(self, connection: sqlite3.Connection, last: int) -> None:
        rows = tail.since(connection, last)
        if rows is None or not self._present.issuperset(kind for kind, _ in rows):
            self._forget(connection)
            return
        for kind, row in rows:
            subject = self._of.get(row["subject_id"])
            if subject is None or kind not in self._kinds:
                continue
            if kind in views.DESCRIBED and row.get(views.CATEGORY) is None:  # it may have that of its product
                self._drop(subject)
            else:
                self._kept[subject].history.add(kind, row)
                self._kept[subject].events += 1
                self._events += 1

    # --- reading subjects -------------------------------------------------------------------------------------------

    def _read(self, subject_ids: list[str]) -> dict[str, _Kept]:
        """Read events of subjects, and keep them unless the ledger moved meanwhile; others are served meanwhile."""
        for _ in range(_ATTEMPTS):
            with self._lock:
                self._look()
                before = self._stamp
            found = self._found(subject_ids)
            with self._lock:
                self._look()
                if self._stamp == before:
                    for subject_id, kept in found.items():
                        self._keep(subject_id, kept)
                    return found
        return self._found(subject_ids)

    def _found(self, subject_ids: list[str]) -> dict[str, _Kept]:
        rows = _rows(self._ledger, self._kinds, subject_ids, categories=_asks(self._features.values()))
        with self._ledger.journal.read() as connection:
            ids = {one: identities.cluster(connection, one) for one in subject_ids}
        return {
            one: _Kept(history=alone.History(rows=own), ids=ids[one], events=1 + sum(map(len, own.values())))
            for one, own in rows.items()
        }

    def _keep(self, subject_id: str, kept: _Kept) -> None:
        self._drop(subject_id)
        self._kept[subject_id] = kept
        self._of.update(dict.fromkeys(kept.ids, subject_id))
        self._events += kept.events
        while self._events > self._most and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, subject_id: str) -> None:
        kept = self._kept.pop(subject_id, None)
        if kept is None:
            return
        self._events -= kept.events
        for name in kept.ids:
            self._of.pop(name, None)


def _asks(features: Collection[Feature]) -> bool:
    parts = [p for f in features for p in f.parts()]
    return any(views.CATEGORY in {*p.condition.columns, *(p.value.columns if p.column else ())} for p in parts)


def _rows(
    ledger: Ledger, kinds: Collection[str], subject_ids: Collection[str], *, categories: bool
) -> dict[str, dict[str, list[Any]]]:
    """Give the events of each subject by kind."""
    found: dict[str, dict[str, list[Any]]] = {one: {kind: [] for kind in kinds} for one in subject_ids}
    if not kinds:
        return found
    names = {f"subject_{i}": one for i, one in enumerate(subject_ids)}
    theirs = exp.In(this=exp.column("subject_id"), expressions=[exp.Placeholder(this=name) for name in names])
    with analysis.connect(ledger, [SOURCES.get(k, k) for k in kinds], categories=categories) as connection:
        for kind in kinds:
            query = exp.select("*").from_(views.relation(SOURCES.get(kind, kind))).where(theirs)
            for row in analysis.run(connection, query, names).to_pylist():
                found[row["subject_id"]][kind].append(row)
    return found
