"""Segments without a person: which ones hold rows about the person, and the same files without those rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.ledger.archive import DECISION, ROW_GROUP, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from nextbest.ledger.catalogue import Segment
    from nextbest.ledger.workspace import Ledger

# The columns that say whom a row is about; a row goes when one of them names the person.
_ABOUT: dict[str, tuple[str, ...]] = {"links": ("subject_id", "to_subject_id"), "items": ()}
# The columns that tell how else the person may be named, elsewhere.
_TELLING: dict[str, list[str]] = {
    "subjects": ["email", "phone", "name", "first_name", "last_name"],
    "identities": ["identity"],
    DECISION: ["decision_id"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What the archive knows of a person: segments to rewrite with the rows to go, identifiers, names, decisions."""

    rows: dict[str, int]
    identities: frozenset[str]
    names: frozenset[str]
    decisions: frozenset[str]


def about(kind: str) -> tuple[str, ...]:
    """Give the columns of a kind that name the person whom a row is about."""
    return _ABOUT.get(kind, ("subject_id",))


def trace(ledger: Ledger, segments: Sequence[Segment], ids: Sequence[str], decisions: Iterable[str]) -> Traces:
    """Find every row about the person with these ids; `decisions` are those in the journal."""
    known = pa.array(ids, pa.string())
    rows: dict[str, int] = {}
    identities: set[str] = set()
    names: set[str] = set()
    decided = set(decisions)
    for segment in sorted(segments, key=lambda s: s.kind != DECISION):  # decisions first: outcomes may name them
        keys = _keys(segment.kind, known, decided)
        found = _count(ledger.path / segment.path, keys)
        if not found:
            continue
        rows[segment.segment_id] = found
        if segment.kind in _TELLING:
            for row in _read(ledger.path / segment.path, segment.kind, keys):
                identities |= {row[c] for c in ("email", "phone", "identity") if row.get(c)}
                names |= set(_names(row))
                decided |= {row["decision_id"]} if segment.kind == DECISION else set()
    return Traces(rows=rows, identities=frozenset(identities), names=frozenset(names), decisions=frozenset(decided))


def rewrite(
    ledger: Ledger, segment: Segment, ids: Sequence[str], decisions: Iterable[str], target: Path
) -> Path | None:
    """Write the segment without the person's rows to *target*; gives None when no row is left."""
    keys = _keys(segment.kind, pa.array(ids, pa.string()), set(decisions))
    kept = 0
    schema = schema_of(segment.kind)
    with (
        pq.ParquetFile(ledger.path / segment.path) as source,
        pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as writer,
    ):
        for number in range(source.num_row_groups):
            table = source.read_row_group(number).select(schema.names).cast(schema)
            left = table.filter(pc.invert(_mask(table, keys)))
            kept += left.num_rows
            if left.num_rows:
                writer.write_table(left, row_group_size=ROW_GROUP)
    return target if kept else None


def _keys(kind: str, ids: pa.Array, decisions: set[str]) -> dict[str, pa.Array]:
    """Give the values by column that make a row one about the person."""
    keys = dict.fromkeys(about(kind), ids)
    if kind == "outcomes" and decisions:
        keys["decision_id"] = pa.array(sorted(decisions), pa.string())
    return keys


def _count(path: Path, keys: dict[str, pa.Array]) -> int:
    """Give how many rows name the person, reading only the columns that could."""
    if not keys:
        return 0
    found = 0
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=list(keys))
            found += pc.sum(_mask(table, keys)).as_py() or 0
    return found


def _mask(table: pa.Table, keys: dict[str, pa.Array]) -> pa.ChunkedArray:
    mask = None
    for column, values in keys.items():
        found = pc.is_in(table[column], value_set=values)
        mask = found if mask is None else pc.or_(mask, found)
    return mask


def _read(path: Path, kind: str, keys: dict[str, pa.Array]) -> Iterator[dict[str, Any]]:
    columns = _TELLING[kind]
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=[*keys, *columns])
            yield from table.filter(_mask(table, keys)).select(columns).to_pylist()


def _names(row: dict[str, Any]) -> Iterator[str]:
    """Give the full names in a row of `subjects`; a first name alone is everybody's."""
    if row.get("name"):
        yield row["name"]
    if row.get("first_name") and row.get("last_name"):
        yield " ".join((row["first_name"], row["last_name"]))
