"""Predictions published for serving: the newest per subject and recipe, switched over in one commit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.errors import DataError
from nextbest.ledger.republished import described
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    import pyarrow as pa

    from nextbest.ledger.workspace import Ledger

Fresh = tuple[dict[str, Any], dict[str, str], tuple[str, ...]]
_FILE = "published.sql"
_ROWS = msgspec.json.Decoder(list[tuple[str, str, str, int]])
_PER_COMMIT = 20_000  # so that nobody waits long behind a publication of millions


def publish(
    ledger: Ledger, recipe: str, model_id: str, as_of: datetime, table: pa.Table, *, state: str | None = None
) -> int:
    """Replace what serving knows from a recipe by a table (`subject_id` and prediction columns); gives the rows.

    Readers see the old predictions until all new ones are durable, then all new ones. With the *state* that the data
    had before they were read (`republished.state`), the table can be read back whole.
    """
    if "subject_id" not in table.column_names:
        raise DataError(f"The predictions of '{recipe}' have no column 'subject_id'.")
    generation = new_id("gen")
    for batch in table.to_batches(max_chunksize=_PER_COMMIT):
        rows = [(row.pop("subject_id"), recipe, generation, _json(row)) for row in batch.to_pylist()]
        ledger.journal.write(partial(_insert, rows=rows))
    exact = None if state is None else described(table, state)
    row = (recipe, generation, model_id, to_micros(as_of), to_micros(ledger.clock()), exact)
    ledger.journal.write(partial(_switch, row=row))
    given: int = table.num_rows
    return given


def published(connection: sqlite3.Connection, subject_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Give a subject's published predictions by name (times as ISO 8601 text) and the model id per recipe."""
    values: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for body, recipe, model_id in connection.execute(load(_FILE, "of_subject"), (subject_id,)):
        values |= msgspec.json.decode(body)
        if model_id:  # features have no model
            versions[recipe] = model_id
    return values, versions


def fresh(connection: sqlite3.Connection, subject_id: str, *, oldest: datetime) -> Fresh:
    """Give what `published` gives, and the names that are left out as they were published before *oldest*.

    *subject_id* is canonical.
    """
    return at_a_glance(connection, subject_id, oldest=oldest)[1] or ({}, {}, ())


def at_a_glance(
    connection: sqlite3.Connection, subject_id: str, *, oldest: datetime
) -> tuple[tuple[int, str], Fresh | None]:
    """Give what `tail.publications` gives, and what `fresh` gives of a subject under its own id, in one statement.

    The second is None of who was merged into another, and where nothing is published: then there is more to look at.
    """
    permissions, publications, merged, rows = connection.execute(load(_FILE, "glance"), {"id": subject_id}).fetchone()
    found = None if merged else _ROWS.decode(rows)
    return (permissions, publications), _fresh(found, to_micros(oldest)) if found else None


def _fresh(rows: Iterable[tuple[str, str, str, int]], oldest: int) -> Fresh:
    values: dict[str, Any] = {}
    versions: dict[str, str] = {}
    stale: list[str] = []
    for body, recipe, model_id, ts in rows:
        said = msgspec.json.decode(body)
        if ts < oldest:
            stale += said
            continue
        values |= said
        if model_id:
            versions[recipe] = model_id
    return values, versions, tuple(name for name in stale if name not in values)


def _insert(connection: sqlite3.Connection, rows: list[tuple[str, str, str, str]]) -> None:
    connection.executemany(load(_FILE, "insert"), rows)


def _switch(connection: sqlite3.Connection, row: tuple[str, str, str, int, int, str | None]) -> None:
    connection.execute(load(_FILE, "switch"), row)
    stale = connection.execute(load(_FILE, "stale_generations"), row[:2]).fetchall()
    connection.execute(load(_FILE, "stale"), (_json([generation for (generation,) in stale]),))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
