"""The counters that an audience, an eligibility or a weight may ask for: how often somebody was reached lately.

`contacts_7d` are live decisions that reached the subject, of lists and single ones; `decisions_7d` are live decisions
made one by one, lists left out. They are read from the ledger at the moment of the decision, in lists as for one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from nextbest.policies.columns import asked_for

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Play

COUNTERS = {f"{what}_{days}d": (what, days) for what in ("contacts", "decisions") for days in (1, 7, 30)}


def with_counters(ledger: Ledger, table: pa.Table, play: Play, *, now: datetime) -> pa.Table:
    """Give the table with the counters that the play asks for, as of now; columns that are there stay."""
    from nextbest.ledger.counts import counts

    names = sorted(COUNTERS.keys() & asked_for(play) - set(table.column_names))
    if not names:
        return table
    subjects = table["subject_id"].to_pylist()
    with ledger.journal.read() as connection:
        for name in names:
            what, days = COUNTERS[name]
            found = counts(connection, what, subjects, since=now - timedelta(days=days), until=now)
            table = table.append_column(name, pa.array(found, pa.float64()))
    return table


def counted(
    connection: sqlite3.Connection, subject: str, wanted: Collection[str], now: datetime
) -> dict[str, float | None]:
    """Give the counters among the wanted names for one subject, as of now."""
    from nextbest.ledger import contacts, decisions

    found: dict[str, float | None] = {}
    for name in sorted(COUNTERS.keys() & wanted):
        what, days = COUNTERS[name]
        counter = contacts.count if what == "contacts" else decisions.count
        found[name] = float(counter(connection, subject, since=now - timedelta(days=days)))
    return found
