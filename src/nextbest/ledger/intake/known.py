"""What is in the ledger already is not stored again: files that overlap change nothing.

An event with a key that comes again with other values is a correction: a further row, the newest version of that event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from nextbest.ledger import catalogue
from nextbest.ledger.intake import scan
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.parsing import call
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import duckdb

    from nextbest.ledger.catalogue import Segment
    from nextbest.ledger.workspace import Ledger

_NOT_CONTENT = frozenset({"received_ts", "source", "valid_from"})
_NOT_VALUES = frozenset({"event_id", "received_ts", "source", "ts_offset_min"})
_ALWAYS_SAID = frozenset({"subject_id", "subject_type", "ts"})
_AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A file with the rows of one kind that are new.

    `corrected` of them correct a row of the ledger; `replaced` lines gave way to a later line of the same file.
    """

    kind: str
    path: Path
    corrected: int = 0
    replaced: int = 0


def drop(
    connection: duckdb.DuckDBPyConnection, ledger: Ledger, kind: str, path: Path, *, said: frozenset[str] | None
) -> New:
    """Give a file with the rows of *path* that are new: not in the ledger, and of one key only the last.

    `said` are the columns that the file fills where its rows have the key of their kind, else None.
    """
    if said is not None:
        return _keyed(connection, ledger, kind, path, said)
    earlier = [s for s in catalogue.listing(ledger, kind) if find_kind(kind).event is False or _overlaps(path, s)]
    if not earlier:
        return New(kind=kind, path=path)
    old = scan.parquet_relation([ledger.path / s.path for s in earlier])
    query = _events(path, old) if find_kind(kind).event else _states(path, old, kind)
    return New(kind=kind, path=_rewritten(connection, path, query))


def _keyed(connection: duckdb.DuckDBPyConnection, ledger: Ledger, kind: str, path: Path, said: frozenset[str]) -> New:
    """Leave out the rows that say what a stored version of their event says; the others of a known id correct it."""
    path, replaced = _last_of_each(connection, path, kind)
    earlier = [ledger.path / s.path for s in catalogue.listing(ledger, kind)]
    if not earlier:
        return New(kind=kind, path=path, replaced=replaced)
    versions = path.with_name(f"{path.stem}-versions.parquet")
    scan.run(connection, scan.copy_to(_versions(path, earlier), versions))
    if not pq.read_metadata(versions).num_rows:
        versions.unlink()
        return New(kind=kind, path=path, replaced=replaced)
    path = _rewritten(connection, path, _unsaid(path, versions, kind, said))
    known = exp.select(exp.Count(this=exp.Star())).from_(_as(scan.parquet_relation([path]), "n"))
    known = known.join(_as(scan.parquet_relation([versions]), "o"), on=_same(("event_id",)), join_type="semi")
    corrected = scan.count(connection, known)
    if corrected:
        path = _rewritten(connection, path, _completed(path, versions, kind, said))
    versions.unlink()
    return New(kind=kind, path=path, corrected=corrected, replaced=replaced)


def _versions(path: Path, earlier: Sequence[Path]) -> exp.Select:
    """Give every stored version of the events of a file, with the place that orders those of one moment."""
    old = exp.select("o.*", "o.file_index").from_(_as(scan.parquet_relation(earlier, numbered=True), "o"))
    return old.join(_as(scan.parquet_relation([path]), "n"), on=_same(("event_id",)), join_type="semi")


def _unsaid(path: Path, versions: Path, kind: str, said: frozenset[str]) -> exp.Select:
    """Give the rows of a file that no stored version says, by the columns that the file fills."""
    names = [c.name for c in find_kind(kind).columns if c.name not in _NOT_VALUES and c.name in said | _ALWAYS_SAID]
    new = exp.select("*").from_(_as(scan.parquet_relation([path]), "n"))
    old = _as(scan.parquet_relation([versions]), "o")
    return new.join(old, on=_same(("event_id", *names)), join_type="anti")


def _completed(path: Path, versions: Path, kind: str, said: frozenset[str]) -> exp.Select:
    """Give the rows of a file, with the last known value of a column that the file does not have."""
    order = [exp.Ordered(this=exp.column(n), desc=True) for n in ("received_ts", "file_index", "file_row_number")]
    rank = exp.Window(
        this=call("row_number"), partition_by=[exp.column("event_id")], order=exp.Order(expressions=order)
    )
    last = exp.select("*").from_(scan.parquet_relation([versions])).qualify(rank.eq(exp.Literal.number(1)))
    new = exp.select().from_(_as(scan.parquet_relation([path]), "n"))
    new = new.join(last.subquery("o"), on=_same(("event_id",)), join_type="left")
    for name in (c.name for c in find_kind(kind).columns):
        value: exp.Expr = exp.column(name, table="n", quoted=True)
        if name not in said | _ALWAYS_SAID | _NOT_VALUES:
            value = call("coalesce", value, exp.column(name, table="o", quoted=True))
        new = new.select(exp.alias_(value, name, quoted=True))
    return new


def _same(names: Iterable[str]) -> exp.Expr:
    """Give the condition that rows `n` and `o` hold the same in these columns, also where both hold NULL."""
    return exp.and_(
        *(
            exp.NullSafeEQ(this=exp.column(n, table="n", quoted=True), expression=exp.column(n, table="o", quoted=True))
            for n in names
        )
    )


def _as(rows: exp.Expr, alias: str) -> exp.Expr:
    rows.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return rows


def _events(path: Path, old: exp.Expr) -> exp.Select:
    ids = exp.select("event_id").from_(old)
    known = exp.column("event_id", table="n").eq(exp.column("event_id", table="o"))
    new = _as(scan.parquet_relation([path]), "n")
    return exp.select("*").from_(new).join(ids.subquery("o"), on=known, join_type="anti")


def _states(path: Path, old: exp.Expr, kind: str) -> exp.Select:
    """Keep the states that differ from the last one known of the same key, whatever columns hold NULL."""
    names = [c.name for c in find_kind(kind).columns if c.name not in _NOT_CONTENT]
    new = _as(scan.parquet_relation([path]), "n")
    last = exp.select("*").from_(old)
    if kind == "subjects":
        moment = call("coalesce", exp.column("valid_from"), exp.column("received_ts"))
        order = exp.Order(expressions=[exp.Ordered(this=moment, desc=True)])
        rank = exp.Window(this=call("row_number"), partition_by=[exp.column("subject_id")], order=order)
        last = last.qualify(rank.eq(exp.Literal.number(1)))
    return exp.select("*").from_(new).join(last.subquery("o"), on=_same(names), join_type="anti")


def _last_of_each(connection: duckdb.DuckDBPyConnection, path: Path, kind: str) -> tuple[Path, int]:
    """Give a file with the last row per event id; most have one of each, as a sort of 64-bit hashes shows cheaply."""
    twice = _hashes_met_twice(connection, path)
    if not len(twice):
        return path, 0
    connection.register("twice", pa.table({"hashed": twice}))
    hashed = exp.select("hashed").from_(scan.named("twice")).subquery()
    said = [exp.column(c.name, quoted=True) for c in find_kind(kind).columns if c.name not in _NOT_VALUES]
    suspects = exp.select("event_id", "file_row_number", exp.alias_(call("hash", *said), "said"))
    suspects = suspects.from_(scan.parquet_relation([path], numbered=True))
    suspects = suspects.where(exp.In(this=call("hash", exp.column("event_id")), query=hashed))
    order = exp.Order(expressions=[exp.Ordered(this=exp.column("file_row_number"), desc=True)])
    rank = exp.Window(this=call("row_number"), partition_by=[exp.column("event_id")], order=order)
    others = suspects.qualify(exp.GT(this=rank, expression=exp.Literal.number(1))).subquery("s")
    losers = exp.select("file_row_number").from_(others).subquery()
    without = exp.Star(except_=[exp.column("file_row_number")])
    query = exp.select(without).from_(scan.parquet_relation([path], numbered=True))
    kept = query.where(exp.not_(exp.In(this=exp.column("file_row_number"), query=losers)))
    distinct = exp.Count(this=exp.Distinct(expressions=[exp.column("said")]))
    several = exp.select(exp.alias_(exp.Sub(this=distinct, expression=exp.Literal.number(1)), "n"))
    several = several.from_(suspects.subquery("s")).group_by("event_id")
    replaced = exp.select(exp.cast(call("coalesce", exp.Sum(this=exp.column("n")), exp.Literal.number(0)), "BIGINT"))
    counted = scan.count(connection, replaced.from_(several.subquery("t")))
    return _rewritten(connection, path, kept), counted


def _hashes_met_twice(connection: duckdb.DuckDBPyConnection, path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Give the 64-bit hashes that several event ids of a file share, in bounded memory whatever its size."""
    parts = 1 + pq.read_metadata(path).num_rows // _AT_ONCE
    hashed = call("hash", exp.column("event_id"))
    query = exp.select(exp.alias_(hashed, "hashed")).from_(scan.parquet_relation([path]))
    found = []
    for part in range(parts):
        within = exp.Mod(this=hashed.copy(), expression=exp.Literal.number(parts)).eq(exp.Literal.number(part))
        given = connection.execute((query.where(within) if parts > 1 else query).sql(scan.DIALECT)).fetchnumpy()
        values = np.asarray(given["hashed"], np.uint64)
        values.sort()
        found.append(np.unique(values[1:][values[1:] == values[:-1]]))
    return np.concatenate(found)


def _rewritten(connection: duckdb.DuckDBPyConnection, path: Path, query: exp.Select) -> Path:
    target = path.with_name(f"{path.stem}-new.parquet")
    scan.run(connection, scan.copy_to(query, target))
    path.unlink()
    return target


def _overlaps(path: Path, segment: Segment) -> bool:
    """Tell whether a segment holds events of the time that a file's events fall in."""
    facts = pq.read_metadata(path)
    position = facts.schema.to_arrow_schema().names.index("ts")
    spans = [facts.row_group(g).column(position).statistics for g in range(facts.num_row_groups)]
    if any(s is None or not s.has_min_max for s in spans) or segment.min_ts is None or segment.max_ts is None:
        return bool(facts.num_rows)
    low = min((to_micros(s.min.replace(tzinfo=UTC)) for s in spans), default=0)
    high = max((to_micros(s.max.replace(tzinfo=UTC)) for s in spans), default=-1)
    return low <= segment.max_ts and segment.min_ts <= high
