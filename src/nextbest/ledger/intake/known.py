"""What is in the ledger already is not stored again: files that overlap change nothing."""

from __future__ import annotations

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
    from pathlib import Path

    import duckdb

    from nextbest.ledger.catalogue import Segment
    from nextbest.ledger.workspace import Ledger

_NOT_CONTENT = frozenset({"received_ts", "source", "valid_from"})
_AT_ONCE = 16_000_000


def drop(connection: duckdb.DuckDBPyConnection, ledger: Ledger, kind: str, path: Path, *, keyed: bool) -> Path:
    """Give a file with the rows of *path* that are new: not in the ledger, and of one key only the first."""
    if keyed:
        path = _first_of_each(connection, path)
    earlier = [s for s in catalogue.listing(ledger, kind) if find_kind(kind).event is False or _overlaps(path, s)]
    if not earlier:
        return path
    old = scan.parquet_relation([ledger.path / s.path for s in earlier])
    query = _events(path, old) if find_kind(kind).event else _states(path, old, kind)
    return _rewritten(connection, path, query)


def _events(path: Path, old: exp.Expr) -> exp.Select:
    ids = exp.select("event_id").from_(old)
    known = exp.column("event_id", table="n").eq(exp.column("event_id", table="o"))
    new = scan.parquet_relation([path])
    new.set("alias", exp.TableAlias(this=exp.to_identifier("n")))
    return exp.select("*").from_(new).join(ids.subquery("o"), on=known, join_type="anti")


def _states(path: Path, old: exp.Expr, kind: str) -> exp.Select:
    """Keep the states that differ from the last one known of the same key, whatever columns hold NULL."""
    names = [c.name for c in find_kind(kind).columns if c.name not in _NOT_CONTENT]
    same = exp.and_(
        *(
            exp.NullSafeEQ(this=exp.column(n, table="n", quoted=True), expression=exp.column(n, table="o", quoted=True))
            for n in names
        )
    )
    new = scan.parquet_relation([path])
    new.set("alias", exp.TableAlias(this=exp.to_identifier("n")))
    last = exp.select("*").from_(old)
    if kind == "subjects":
        moment = call("coalesce", exp.column("valid_from"), exp.column("received_ts"))
        order = exp.Order(expressions=[exp.Ordered(this=moment, desc=True)])
        rank = exp.Window(this=call("row_number"), partition_by=[exp.column("subject_id")], order=order)
        last = last.qualify(rank.eq(exp.Literal.number(1)))
    return exp.select("*").from_(new).join(last.subquery("o"), on=same, join_type="anti")


def _first_of_each(connection: duckdb.DuckDBPyConnection, path: Path) -> Path:
    """Give a file with one row per event id; most files have no two, which a sort of 64-bit hashes shows cheaply."""
    twice = _hashes_met_twice(connection, path)
    if not len(twice):
        return path
    connection.register("twice", pa.table({"hashed": twice}))
    hashed = exp.select("hashed").from_(scan.named("twice")).subquery()
    suspects = exp.select("event_id", "file_row_number").from_(scan.parquet_relation([path], numbered=True))
    suspects = suspects.where(exp.In(this=call("hash", exp.column("event_id")), query=hashed))
    order = exp.Order(expressions=[exp.Ordered(this=exp.column("file_row_number"))])
    rank = exp.Window(this=call("row_number"), partition_by=[exp.column("event_id")], order=order)
    later = suspects.qualify(exp.GT(this=rank, expression=exp.Literal.number(1))).subquery("s")
    losers = exp.select("file_row_number").from_(later).subquery()
    without = exp.Star(except_=[exp.column("file_row_number")])
    query = exp.select(without).from_(scan.parquet_relation([path], numbered=True))
    kept = query.where(exp.not_(exp.In(this=exp.column("file_row_number"), query=losers)))
    return _rewritten(connection, path, kept)


def _hashes_met_twice(connection: duckdb.DuckDBPyConnection, path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Give the 64-bit hashes that several event ids of a file share, in bounded memory whatever its size."""
    parts = 1 + pq.read_metadata(path).num_rows // _AT_ONCE
    hashed = call("hash", exp.column("event_id"))
    query = exp.select(exp.alias_(hashed, "hashed")).from_(scan.parquet_relation([path]))
    found = []
    for part in range(parts):
        within = exp.Mod(this=hashed.copy(), expression=exp.Literal.number(parts)).eq(exp.Literal.number(part))
        given = connection.execute((query.where(within) if parts > 1 else query).sql(scan.DIALECT)).fetchnumpy()
        values = np.sort(np.asarray(given["hashed"], np.uint64))
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
