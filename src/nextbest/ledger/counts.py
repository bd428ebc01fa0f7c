"""How often subjects were contacted or decided for lately: the counters of single decisions, for a whole list."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nextbest.ledger.identities import merge_map
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

_FILE = "counts.sql"


def counts(
    connection: sqlite3.Connection, what: str, subjects: Sequence[str], *, since: datetime, until: datetime
) -> list[int]:
    """Give the live "contacts" or single "decisions" of each subject, under any of its ids, between two moments."""
    canonical = merge_map(connection)
    found: Counter[str] = Counter()
    for subject, times in connection.execute(load(_FILE, what), (to_micros(since), to_micros(until))):
        found[canonical.get(subject, subject)] += times
    return [found[canonical.get(subject, subject)] for subject in subjects]
