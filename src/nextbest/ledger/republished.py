"""What was published, read back whole: predicting again as of the same moment, from the same data, gives nothing else.

Rows of the journal are JSON; a publication keeps the types beside them. What JSON cannot carry exactly is not read
back, but predicted again.
"""

from __future__ import annotations

import io
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

_FILE = "published.sql"
_BLOCK = 1 << 24  # bytes of JSON read at once; a row is far shorter
_TYPES = {
    str(kind): kind
    for kind in (
        pa.float64(),
        pa.int32(),
        pa.int64(),
        pa.string(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us"),
        pa.timestamp("us", tz="UTC"),
    )
}


class _Exact(msgspec.Struct):
    """What a table needs to be read back."""

    columns: list[tuple[str, str]]
    nan: list[str]
    rows: int
    state: str


def state(ledger: Ledger) -> str:
    """Give 32 hex digits that change with all that predictions are made from, besides the model and the moment."""
    hashed = blake2b(repr(ledger.config).encode(), digest_size=16)
    with ledger.journal.read() as connection:
        hashed.update(repr(connection.execute(load(_FILE, "rows_read")).fetchone()).encode())
        hashed.update(repr(connection.execute(load(_FILE, "segments_read")).fetchall()).encode())
    return hashed.hexdigest()


def described(table: pa.Table, state: str) -> str | None:
    """Give what a table needs to be read back from its rows, as JSON; None where that would not give the same table."""
    nan = []
    for name in table.column_names:
        column = table[name]
        if str(column.type) not in _TYPES:
            return None
        if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column), min_count=0).as_py():
            # JSON has one word for what is missing and what is no number: the table must have one of them only.
            if column.null_count or pc.any(pc.is_inf(column)).as_py():
                return None
            nan.append(name)
    ids = table["subject_id"]
    if ids.type != pa.string() or ids.null_count or pc.count_distinct(ids).as_py() != table.num_rows:
        return None
    columns = [(f.name, str(f.type)) for f in table.schema]
    return msgspec.json.encode(_Exact(columns, nan, table.num_rows, state)).decode()


def stored(ledger: Ledger, recipe: str, model_id: str, as_of: datetime, *, state: str) -> pa.Table | None:
    """Give what was published of a model as of a moment, in order of `subject_id`; None when that is not what it is.

    *state* is that of the data now: predictions from other data are others.
    """
    with ledger.journal.read() as connection:
        found = connection.execute(load(_FILE, "exact"), (recipe, model_id, to_micros(as_of))).fetchone()
        exact = None if found is None or found[1] is None else msgspec.json.decode(found[1], type=_Exact)
        if exact is None or exact.state != state:
            return None
        rows = connection.execute(load(_FILE, "of_generation"), (found[0],)).fetchall()
    return _table(exact, rows) if len(rows) == exact.rows else None


def confirm(ledger: Ledger, recipe: str, model_id: str, as_of: datetime, *, state: str) -> bool:
    """Say that what is published still stands now, and whether it does: then nothing need be published again."""
    with ledger.journal.read() as connection:
        found = connection.execute(load(_FILE, "exact"), (recipe, model_id, to_micros(as_of))).fetchone()
    if found is None or found[1] is None or msgspec.json.decode(found[1], type=_Exact).state != state:
        return False
    now = to_micros(ledger.clock())
    ledger.journal.write(lambda connection: connection.execute(load(_FILE, "confirm"), (now, recipe)).rowcount)
    return True


def _table(exact: _Exact, rows: list[tuple[str, str]]) -> pa.Table:
    from pyarrow import json

    ids = pa.array([subject for subject, _ in rows], pa.string())
    kinds = {name: _TYPES[kind] for name, kind in exact.columns if name != "subject_id"}
    # Arrow reads no dates from JSON, but casts them from texts.
    schema = pa.schema([(n, pa.string() if pa.types.is_date(kind) else kind) for n, kind in kinds.items()])
    if not rows or not kinds:
        return pa.table({n: ids if n == "subject_id" else pa.nulls(0, kinds[n]) for n, _ in exact.columns})
    read = json.read_json(
        io.BytesIO("\n".join([body for _, body in rows]).encode()),
        read_options=json.ReadOptions(block_size=_BLOCK),
        parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    columns = {n: _numbers(read[n]) if n in exact.nan else read[n].cast(kind) for n, kind in kinds.items()}
    return pa.table({n: ids if n == "subject_id" else columns[n] for n, _ in exact.columns})


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, pa.scalar(np.nan))
