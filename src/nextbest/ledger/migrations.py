"""The journal's schema as a list of numbered steps; `PRAGMA user_version` says how many have been taken.

A step is an SQL script under `sql/schema/` whose last statement sets `user_version` to its number.
Add a step at the end; never change one that has been released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import LedgerError
from nextbest.ledger.statements import script

if TYPE_CHECKING:
    import sqlite3

STEPS: tuple[str, ...] = (
    "schema/001_journal.sql",
    "schema/002_corrections.sql",
    "schema/003_decisions.sql",
    "schema/004_learning.sql",
    "schema/005_doors.sql",
    "schema/006_rollout.sql",
    "schema/007_published.sql",
)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the journal to the newest schema in one transaction; gives the steps taken.

    Raises `LedgerError` when the journal was written by a newer version.
    """
    if _taken(connection) == len(STEPS):
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _taken(connection)  # another process may have migrated while we waited
        for step in STEPS[before:]:
            for statement in script(step):
                connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return len(STEPS) - before


def _taken(connection: sqlite3.Connection) -> int:
    taken: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if taken > len(STEPS):
        message = (
            f"This workspace has journal schema {taken}; this version of nextbest knows {len(STEPS)}. "
            "Upgrade nextbest; nothing was changed."
        )
        raise LedgerError(message)
    return taken
