"""What plays have spent, how often actions were used, and which amounts stand: sums without any person in them.

They are written in the transaction that logs the decisions, so a budget cannot be spent twice by two workers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nextbest.ledger import chain
from nextbest.ledger.statements import insert, load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

_FILE = "spent.sql"
SLOT_US = 900_000_000  # a quarter of an hour: every time zone's midnight falls between two of them
Used = dict[tuple[str, int], tuple[int, float]]  # (action id, slot) -> uses, cost


def slot_of(moment: datetime) -> int:
    """Give the quarter of an hour that a moment lies in."""
    return to_micros(moment) // SLOT_US


def since(connection: sqlite3.Connection, play: str, slot: int) -> Used:
    """Give uses and cost of a play's actions per slot from a slot on: also later ones, should a clock go back."""
    return {(a, s): (uses, cost) for a, s, uses, cost in connection.execute(load(_FILE, "since"), (play, slot))}


def add(connection: sqlite3.Connection, rows: Iterable[tuple[str, str, int, float]]) -> None:
    """Add decisions (play, action id, slot, cost) inside the transaction that logs them."""
    uses: Counter[tuple[str, str, int]] = Counter()
    costs: dict[tuple[str, str, int], float] = {}
    for play, action_id, slot, cost in rows:
        key = (play, action_id, slot)
        uses[key] += 1
        costs[key] = costs.get(key, 0.0) + cost
    add_sums(connection, [(*key, n, costs[key]) for key, n in uses.items()])


def add_sums(connection: sqlite3.Connection, rows: Iterable[tuple[str, str, int, int, float]]) -> None:
    """Add whole lists (play, action id, slot, uses, cost) inside the transaction that logs them."""
    insert(connection, _FILE, "add", rows)


def amount(connection: sqlite3.Connection, play: str, action_id: str) -> float | None:
    """Give the amount last approved for an action, or None."""
    found = connection.execute(load(_FILE, "newest_amount"), (play, action_id)).fetchone()
    return found[0] if found else None


def amount_of_day(
    connection: sqlite3.Connection, names: tuple[str, str], midnight: datetime, *, declared: float | None
) -> float | None:
    """Give the amount that a day began with for (play, action id).

    The last one approved before midnight, else the declared one, else the first there is, else None.
    """
    found = connection.execute(load(_FILE, "amount_before"), (*names, to_micros(midnight))).fetchone()
    if found is None and declared is not None:
        return declared
    found = found or connection.execute(load(_FILE, "first_amount"), names).fetchone()
    return found[0] if found else None


def decided(connection: sqlite3.Connection, decision_id: str) -> tuple[bytes | None, str]:
    """Give what a decision's row holds of its candidates' features, and its context as JSON."""
    found: tuple[bytes | None, str] | None = connection.execute(load(_FILE, "decided"), (decision_id,)).fetchone()
    return found or (None, "{}")


def approve(connection: sqlite3.Connection, play: str, action_id: str, *, amount: float, by: str, ts: datetime) -> None:
    """Put an amount on record, with a link of the audit chain, inside the caller's transaction."""
    row = (new_id("am"), play, action_id, to_micros(ts), float(amount), by)
    connection.execute(load(_FILE, "approve"), row)
    chain.add(connection, "approved_amount", row[0], chain.row_bytes(row))


def last_logged(connection: sqlite3.Connection) -> datetime | None:
    """Give the latest of the last contact, the decision that was logged last, and `mark_clock`; None where none is."""
    found = connection.execute(load(_FILE, "last_logged")).fetchone()[0]
    return from_micros(found) if found else None


def mark_clock(connection: sqlite3.Connection, moment: datetime) -> None:
    """Keep a moment that was logged: what is logged after the clock was set back must not hide it."""
    connection.execute(load(_FILE, "mark_clock"), (to_micros(moment),))
