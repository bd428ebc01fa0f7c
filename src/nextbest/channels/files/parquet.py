"""Parquet: read where it is, batch by batch; the ledger turns typed and nested columns into text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nextbest.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

BATCH_ROWS = 65_536


def columns(path: Path) -> tuple[str, ...]:
    """Give the names of the columns."""
    return tuple(_open(path).schema_arrow.names)


def sample(path: Path, rows: int) -> pa.Table:
    """Give the first rows as text: times in ISO 8601, nested values in JSON."""
    file = _open(path)
    first = next(file.iter_batches(batch_size=rows), None)
    return as_text(pa.Table.from_batches([] if first is None else [first], schema=file.schema_arrow))


def reader(path: Path) -> pa.RecordBatchReader:
    """Give all rows as batches."""
    file = _open(path)
    return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS))


def as_text(table: pa.Table) -> pa.Table:
    """Give a table with every value as text; bytes are left out."""
    return pa.table({name: _text(table[name]) for name in table.column_names})


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _text(column.cast(kind.value_type))
    if pa.types.is_nested(kind):
        return pa.chunked_array([pa.array([_json(v) for v in column.to_pylist()], pa.string())])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return column.cast(pa.string())


def _json(value: Any) -> str | None:  # noqa: ANN401 (any nested value)
    return None if value is None else msgspec.json.encode(value).decode()


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path.name} is not a readable Parquet file: {error}.") from error
