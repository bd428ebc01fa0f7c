"""Alarms of plays: raised and lifted by checks and people, chained, each turn once."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nextbest.ledger import alarms, chain, create, open_ledger, spent
from nextbest.ledger.alarms import Turn

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)


def turned(ledger: Ledger, *turns: tuple[str, str, bool]) -> None:
    """Turn alarms (play, what, raised)."""
    made = [Turn(play=play, what=what, raised=on, why="because", by="test") for play, what, on in turns]
    alarms.turn(ledger, made)


def test_an_alarm_stands_until_it_is_lifted_and_every_turn_is_chained(tmp_path: Path) -> None:
    """A play is under alarm from its first alarm until all are lifted; a turn that changes nothing adds nothing."""
    moments = [NOW + timedelta(hours=i) for i in range(10)]
    with create(tmp_path / "w", clock=lambda: moments[0]) as ledger:
        turned(ledger, ("p", "entropy", False))
        turned(ledger, ("p", "entropy", True))
        moments.pop(0)
        turned(ledger, ("p", "reward", True), ("p", "entropy", True))
        with ledger.journal.read() as connection:
            assert alarms.since(connection) == {"p": NOW}
            assert [alarms.stands(connection, play) for play in ("p", "q")] == [True, False]
        turned(ledger, ("p", "entropy", False))
        with ledger.journal.read() as connection:
            assert alarms.since(connection) == {"p": NOW + timedelta(hours=1)}
        turned(ledger, ("p", "reward", False))
        with ledger.journal.read() as connection:
            assert alarms.since(connection) == {}
            assert connection.execute("SELECT count(*) FROM alarm").fetchone() == (4,)
        turned(ledger, ("*", "by hand", True))
        with ledger.journal.read() as connection:
            assert alarms.stands(connection, "q")
        assert chain.verify(ledger).ok


def test_a_changed_alarm_or_approved_amount_is_found(tmp_path: Path) -> None:
    """Whoever lifts an alarm, or moves an approved amount, behind the chain's back is found out."""
    with create(tmp_path / "w", clock=lambda: NOW) as ledger:
        turned(ledger, ("p", "entropy", True))
        ledger.journal.write(lambda c: spent.approve(c, "p", "price", amount=9.0, by="ann", ts=NOW))
        ledger.journal.write(lambda c: spent.approve(c, "p", "price", amount=8, by="ann", ts=NOW))
        with ledger.journal.read() as connection:
            assert spent.amount(connection, "p", "price") == 8.0
        assert chain.verify(ledger).ok
        journal = ledger.path / "ledger.sqlite"
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE alarm SET raised = 0")
        connection.execute("UPDATE approved_amount SET amount = 1.0 WHERE amount = 8.0")
        connection.execute("INSERT INTO approved_amount VALUES ('am_x', 'p', 'price', 0, 1.0, 'eve')")
    connection.close()
    with open_ledger(tmp_path / "w") as ledger:
        problems = " ".join(chain.verify(ledger).problems)
    for part in ("alarm", "approved_amount", "'am_x' stands without a link"):
        assert part in problems
