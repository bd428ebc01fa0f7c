"""An event with a key that comes again with other values is corrected: the new values count, the old ones are kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from tests.ledger.test_intake import NUMBER, ORDERS, TOTAL, WHEN, WHO, load, mapping, stored

from nextbest.features.build import build
from nextbest.features.language import Feature
from nextbest.ledger import analysis, backup, catalogue, chain, erasure, migrations, quality
from nextbest.ledger.archive import verify
from nextbest.ledger.mapping import ColumnRule, Emit
from nextbest.ledger.statements import script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clocks import Clock

    from nextbest.ledger import Ledger
    from nextbest.ledger.mapping import Loaded

HEAD = "who,when,total,order\n"
FIRST = f"{HEAD}c1,2025-01-05,10,1\nc1,2025-01-06,20,2\nc2,2025-01-07,30,3\n"
CORRECTED = f"{HEAD}c1,2025-01-05,10,1\nc1,2025-01-06,5,2\nc2,2025-01-07,30,3\nc3,2025-01-08,40,4\n"


@pytest.fixture
def shop(ledger: Ledger, clock: Clock, tmp_path: Path) -> Ledger:
    """Give a workspace with three orders in it, a day after they came."""
    load(ledger, tmp_path, FIRST, ORDERS)
    clock.forward(days=1)
    return ledger


def correct(ledger: Ledger, folder: Path, text: str = CORRECTED, name: str = "later.csv") -> Loaded:
    """Load a later export of the orders."""
    return load(ledger, folder, text, ORDERS, name)


def orders(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Give number and total of every order."""
    return stored(ledger, "order", "order_id", "revenue")


def test_another_total_replaces_the_earlier_one(shop: Ledger, tmp_path: Path) -> None:
    """The new total of a known order is seen, no order is doubled, and unchanged rows are not stored again."""
    later = correct(shop, tmp_path)
    assert (later.rows_accepted, later.rows_new, later.rows_corrected) == (4, 2, 1)
    assert orders(shop) == [("1", 10.0), ("2", 5.0), ("3", 30.0), ("4", 40.0)]
    assert verify(shop) == []
    assert chain.verify(shop).problems == ()


def test_no_earlier_version_is_lost(shop: Ledger, tmp_path: Path) -> None:
    """Both versions stay in the archive, and only the segment that holds the new one corrects."""
    correct(shop, tmp_path)
    segments = catalogue.listing(shop, "order")
    assert [s.corrects for s in segments] == [False, True]
    kept = [r for s in segments for r in pq.read_table(shop.path / s.path).to_pylist() if r["order_id"] == "2"]
    assert [r["revenue"] for r in kept] == [20.0, 5.0]


def test_what_was_known_earlier_can_be_seen_again(shop: Ledger, tmp_path: Path, clock: Clock) -> None:
    """As of a moment before the correction, the table shows the total that was known then."""
    correct(shop, tmp_path)
    then = analysis.table(shop, "order", columns=["order_id", "revenue"], known_before=clock.now).to_pylist()
    assert sorted((r["order_id"], r["revenue"]) for r in then) == [("1", 10.0), ("2", 20.0), ("3", 30.0)]


def test_features_count_the_newest_version(shop: Ledger, tmp_path: Path, clock: Clock) -> None:
    """The money that a subject spent follows the correction, as does the number of orders."""
    correct(shop, tmp_path)
    wanted = [
        Feature(name="spent", kind="order", column="revenue", aggregate="sum"),
        Feature(name="orders", kind="order", aggregate="count"),
    ]
    rows = {r["subject_id"]: r for r in build(shop, wanted, as_of=clock.now).to_pylist()}
    assert {s: (r["spent"], r["orders"]) for s, r in rows.items()} == {"c1": (15, 2), "c2": (30, 1), "c3": (40, 1)}


def test_an_order_with_another_date_is_one_order(shop: Ledger, tmp_path: Path) -> None:
    """An order whose date was corrected is there once, at the new date, however far away that is."""
    later = correct(shop, tmp_path, f"{HEAD}c1,2023-03-01,20,2\n")
    assert (later.rows_new, later.rows_corrected) == (1, 1)
    days = [(number, day.date().isoformat()) for number, day in stored(shop, "order", "order_id", "ts")]
    assert days == [("1", "2025-01-05"), ("2", "2023-03-01"), ("3", "2025-01-07")]


def test_what_any_version_said_is_known(shop: Ledger, tmp_path: Path, clock: Clock) -> None:
    """The corrected rows again, or those of before the correction, in other files add and change nothing."""
    correct(shop, tmp_path)
    clock.forward(days=1)
    for name, text in (("again.csv", f"{CORRECTED}\n"), ("old.csv", f"{FIRST}\n")):
        again = correct(shop, tmp_path, text, name)
        assert (again.rows_new, again.rows_corrected, again.already_loaded) == (0, 0, False)
    assert orders(shop)[1] == ("2", 5.0)


def test_the_last_of_several_corrections_counts(shop: Ledger, tmp_path: Path) -> None:
    """Of versions that were received at one moment the one loaded last is seen."""
    for total in (7, 6, 8):
        correct(shop, tmp_path, f"{HEAD}c1,2025-01-06,{total},2\n", f"{total}.csv")
        assert orders(shop)[1] == ("2", float(total))


def test_a_column_that_the_later_file_lacks_keeps_its_value(shop: Ledger, tmp_path: Path) -> None:
    """A file without totals that gives an order a status corrects the status and leaves the total as it was."""
    status = ColumnRule(to="payment_status", source="status")
    told = mapping(Emit(kind="order", subject=(WHO,), columns=(WHEN, NUMBER, status)))
    text = "who,when,order,status\nc1,2025-01-05,1,\nc1,2025-01-06,2,refunded\n"
    assert load(shop, tmp_path, text, told, "status.csv").rows_corrected == 1
    found = stored(shop, "order", "order_id", "revenue", "payment_status")
    assert found == [("1", 10.0, None), ("2", 20.0, "refunded"), ("3", 30.0, None)]


def test_of_the_lines_of_one_file_the_last_counts(ledger: Ledger, tmp_path: Path) -> None:
    """A line that differs from an earlier one of its order replaces it and is counted; equal ones are not."""
    lines = "c1,2025-01-05,10,1\nc1,2025-01-05,10,1\nc1,2025-01-05,11,1\nc2,2025-01-05,9,2\nc2,2025-01-05,9,2\n"
    loaded = correct(ledger, tmp_path, HEAD + lines)
    assert (loaded.rows_accepted, loaded.rows_new, loaded.rows_corrected) == (5, 2, 1)
    assert orders(ledger) == [("1", 11.0), ("2", 9.0)]
    assert not any(s.corrects for s in catalogue.listing(ledger))


def test_events_without_a_key_are_never_corrections(ledger: Ledger, tmp_path: Path) -> None:
    """Two orders of one subject and day without a number are two orders, and nothing is replaced."""
    unnumbered = mapping(Emit(kind="order", subject=(WHO,), columns=(WHEN, TOTAL)))
    load(ledger, tmp_path, "who,when,total\nc1,2025-01-05,10\n", unnumbered)
    later = load(ledger, tmp_path, "who,when,total\nc1,2025-01-05,11\n", unnumbered, "later.csv")
    assert (later.rows_new, later.rows_corrected) == (1, 0)
    assert not any(s.corrects for s in catalogue.listing(ledger))


def test_a_corrected_row_is_no_duplicate(shop: Ledger, tmp_path: Path) -> None:
    """The check of the data counts an order once, whatever number of versions it has."""
    correct(shop, tmp_path)
    entry = next(e for e in quality.check(shop) if e["kind"] == "order")
    assert (entry["rows"], entry["duplicates"]) == (4, 0)


def test_erasure_takes_every_version(shop: Ledger, tmp_path: Path) -> None:
    """No version of an erased subject's orders is left, and the corrections of others still hold."""
    correct(shop, tmp_path, f"{HEAD}c1,2025-01-06,5,2\nc2,2025-01-07,31,3\n")
    erasure.erase(shop, "c1")
    assert orders(shop) == [("3", 31.0)]
    segments = catalogue.listing(shop, "order")
    assert sorted(s.corrects for s in segments) == [False, True]
    rows = [r for s in segments for r in pq.read_table(shop.path / s.path).to_pylist()]
    assert {r["subject_id"] for r in rows} == {"c2"}
    assert verify(shop) == []


def test_a_journal_of_before_corrections_is_brought_up(tmp_path: Path) -> None:
    """A segment that was named before corrections were known corrects nothing."""
    with closing(sqlite3.connect(tmp_path / "old.sqlite", isolation_level=None)) as journal:
        for statement in script(migrations.STEPS[0]):
            journal.execute(statement)
        old = (
            "INSERT INTO segment (segment_id, kind, path, rows, bytes, sha256, created_ts)"
            " VALUES ('s', 'order', 'p', 1, 1, 'x', 0)"
        )
        journal.execute(old)
        assert migrations.migrate(journal) == len(migrations.STEPS) - 1
        assert [s.corrects for s in catalogue.segments(journal)] == [False]


def test_a_restored_workspace_has_the_corrections(shop: Ledger, tmp_path: Path) -> None:
    """A backup keeps which segments correct others."""
    correct(shop, tmp_path)
    backup.backup(shop, tmp_path / "b.zip")
    with backup.restore(tmp_path / "b.zip", tmp_path / "again") as again:
        assert orders(again) == orders(shop)
