"""What is known of a subject now, for a service: fresh predictions, features exact to the last event, counters.

A subject that was not asked for lately is served what was published, where that is all that is needed, and is read in
the background, so that its next request is exact; else it is read at once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nextbest.errors import LedgerError
from nextbest.features.histories import Histories
from nextbest.ledger import tail
from nextbest.policies.columns import RECIPE_OF
from nextbest.policies.counters import COUNTERS, counted
from nextbest.policies.live.known import Known, at_a_glance, said

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.policies.live.known import Said

_FOR = timedelta(minutes=10)  # what was read is kept: how old a prediction may be is a matter of days
_MOST = 50_000  # subjects whose predictions are kept
_IDLE_S = 1.0  # how long a closed ledger keeps the thread
_REST = 9.0  # of ten moments one is for reading: decisions need the processor more than subjects that may not come back
_TOGETHER = 64  # subjects that are read at once: one query for all takes little more than one for each
_WAITING = 1_000  # subjects to be read; more would be served long after they were asked for
_log = logging.getLogger("nextbest")


class Memory:
    """Knows subjects for one workspace in one process; thread-safe. An engine takes it as `know`."""

    def __init__(self, ledger: Ledger) -> None:
        self.histories = Histories(ledger)
        self._ledger = ledger
        self._lock = threading.Lock()
        self._due = tail.Look(ledger.journal).due
        self._stamp: tuple[int, str] | None = None
        self._kept: dict[str, tuple[Said, datetime]] = {}
        self._cold: queue.Queue[str] = queue.Queue(maxsize=_WAITING)
        self._thread: threading.Thread | None = None

    def __call__(self, ledger: Ledger, subject_id: str, wanted: Collection[str], context: Mapping[str, Any]) -> Known:
        """Give what is known now; *wanted* are the columns that the play asks for. Raises `LedgerError`."""
        now = ledger.clock()
        subject, values, versions, stale = self._said(subject_id, now)
        counters: dict[str, float | None] = {}
        if not COUNTERS.keys().isdisjoint(wanted):
            with ledger.journal.read() as connection:
                counters = counted(connection, subject, wanted, now)
        predicted = RECIPE_OF.keys() & values.keys()  # a recipe may say what is a feature too: it is the newer word
        names = [n for n in wanted if n not in COUNTERS and n not in context and n not in predicted]
        features = {**values, **self._features(subject, names, values, now), **counters}
        return Known(subject_id=subject, features=features, versions=versions, stale=stale)

    def _said(self, subject_id: str, now: datetime) -> Said:
        """Give the subject's own id, and what is published of it; kept while nothing of that changes."""
        with self._lock:  # nobody is served what was kept while another thread finds that it no longer stands
            if self._due():
                with self._ledger.journal.read() as connection:
                    stamp = tail.publications(connection)
                if stamp != self._stamp:
                    self._stamp, self._kept = stamp, {}
            kept = self._kept
        found = kept.get(subject_id)
        if found is not None and abs(now - found[1]) < _FOR:
            return found[0]
        with self._ledger.journal.look() as connection:
            before, fresh = at_a_glance(connection, self._ledger, subject_id, now)
        if fresh is None:
            with self._ledger.journal.read() as connection:
                before = tail.publications(connection)
                fresh = said(connection, self._ledger, subject_id, now)
        if before == self._stamp and fresh[1]:  # of whom nothing is published, more may be found out any time
            if len(kept) >= _MOST:
                kept.clear()
            kept[subject_id] = fresh, now
        return fresh

    def _features(
        self, subject: str, names: Collection[str], published: Mapping[str, Any], now: datetime
    ) -> Mapping[str, float | None]:
        if not names:
            return {}
        try:
            if all(name in published for name in names) and not self.histories.has(subject, names):
                self._later(subject)
                return {}
            return self.histories.vector(subject, names, as_of=now)
        except LedgerError as error:
            _log.error("decide: features are missing: %s", type(error).__name__)
            return {}

    def _later(self, subject: str) -> None:
        """Have a subject read in the background; when too many wait, it is left for another time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="nextbest-memory", daemon=True)
            self._thread.start()
        try:
            self._cold.put_nowait(subject)
        except queue.Full:
            return

    def _read(self) -> None:
        while not self._ledger.journal.closed:
            subjects = self._waiting()
            started = time.perf_counter()
            try:
                self.histories.warm(subjects)
            except LedgerError as error:
                _log.error("decide: events could not be read: %s", type(error).__name__)
            time.sleep(_REST * (time.perf_counter() - started))

    def _waiting(self) -> list[str]:
        """Give the subjects that wait to be read, up to so many as are read together; none when nobody comes."""
        found: list[str] = []
        with suppress(queue.Empty):
            found.append(self._cold.get(timeout=_IDLE_S))
            while len(found) < _TOGETHER:
                found.append(self._cold.get_nowait())
        return found
