"""Many rows at once are the rows one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextbest.ledger.statements import MOST_AT_ONCE, insert

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger import Ledger
    from nextbest.ledger.contacts import Row


@pytest.mark.parametrize("number", [0, 1, 2, 3, 13, MOST_AT_ONCE - 1, MOST_AT_ONCE, MOST_AT_ONCE + 1, 200])
def test_every_row_is_inserted_once_and_in_order(ledger: Ledger, number: int) -> None:
    """Any number of rows is inserted, each once, in the order given, whatever powers of two it is made of."""
    rows: list[Row] = [("s", number - i, f"d{i}", "email", "p", "a") for i in range(number)]

    def write(connection: sqlite3.Connection) -> list[Row]:
        insert(connection, "decisions.sql", "insert_contact", iter(rows))
        return connection.execute("SELECT * FROM contact ORDER BY ts DESC").fetchall()

    assert ledger.journal.write(write) == rows
