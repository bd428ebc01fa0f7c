"""Which records are refused, found only when some are: a table `_refused` of record, column, value, reason."""

from __future__ import annotations

from heapq import merge
from itertools import tee
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from nextbest.ledger.intake import plan as planning
from nextbest.ledger.intake import scan
from nextbest.ledger.intake.plan import PROBLEM, REFUSED
from nextbest.ledger.intake.scan import ROW
from nextbest.ledger.parsing import call, literal
from nextbest.ledger.rejects import Reject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from nextbest.ledger.intake.facts import Facts, Reason
    from nextbest.ledger.intake.plan import Plan
    from nextbest.ledger.intake.source import Source

_SHOWN = 200
_ROUNDS = 20
_BATCH = 10_000


def find(connection: duckdb.DuckDBPyConnection, made: Plan, source: Source) -> int:
    """Fill the table `_refused` with every record that some emit refuses, with its first reason; gives how many."""
    relation = source.with_rows()
    connection.register("no_rows", _nothing())
    empty = exp.select("*").from_(scan.named("no_rows"))
    kind = exp.Create(this=scan.named(REFUSED), kind="TABLE", expression=empty, replace=True)
    scan.run(connection, kind)
    lines = exp.select("*").from_(planning.records(made, relation).subquery("r")).where(_has_problem())
    _insert(connection, _described(lines, made.reasons))
    for fact in made.facts:
        if fact.emit.unnest:
            bad = planning.elements(fact, made, relation).subquery("e")
            _insert(connection, _first_per_record(exp.select("*").from_(bad).where(_has_problem()), fact))
    _refuse_groups(connection, made, relation)
    return scan.count(connection, exp.select(exp.func("count", exp.Star())).from_(scan.named(REFUSED)))


def _refuse_groups(connection: duckdb.DuckDBPyConnection, made: Plan, relation: exp.Expr) -> None:
    """Refuse the lines of groups that give no fact, until nothing changes: one emit's refusal may empty another's."""
    grouped = [f for f in made.facts if f.emit.group_by]
    for _ in range(_ROUNDS):
        found = 0
        for fact in grouped:
            lines = planning.lines_of(fact, made, relation)
            found += _insert(connection, _described(lines, fact.checks, shown=False))
        if not found:
            return


def _first_per_record(bad: exp.Select, fact: Facts) -> exp.Select:
    described = _described(bad, [*fact.refusals, *fact.checks])
    columns = [exp.alias_(call("any_value", exp.column(n)), n) for n in ("column_name", "value", "reason", "remedy")]
    query = exp.select(ROW, *columns).from_(described.subquery("d")).group_by(ROW)
    seen = exp.select(ROW).from_(scan.named(REFUSED)).subquery()
    return query.where(exp.not_(exp.In(this=exp.column(ROW), query=seen)))


def _described(query: exp.Select, reasons: Sequence[Reason], *, shown: bool = True) -> exp.Select:
    """Give `_row, column_name, value, reason, remedy` of rows with a `_problem`."""
    cases = [exp.Case(this=exp.column(PROBLEM)) for _ in range(4)]
    for number, reason in enumerate(reasons, 1):
        value = call("left", exp.cast(reason.text, "VARCHAR"), exp.Literal.number(_SHOWN)) if shown else exp.null()
        texts = (literal(reason.column), value, literal(reason.why), literal(reason.remedy))
        cases = [c.when(exp.Literal.number(number), t, copy=False) for c, t in zip(cases, texts, strict=True)]
    names = ("column_name", "value", "reason", "remedy")
    found = cases if reasons else [exp.null()] * 4
    columns = [exp.alias_(exp.cast(c, "VARCHAR", copy=False), n, copy=False) for c, n in zip(found, names, strict=True)]
    return exp.select(ROW, *columns).from_(query.subquery("p", copy=False), copy=False)


def rejects(connection: duckdb.DuckDBPyConnection, source: Source) -> Iterator[Reject]:
    """Give every record that was not stored, in the order of the file: the broken and the refused."""
    query = exp.select("*").from_(scan.named(REFUSED)).order_by(ROW)
    reader = connection.cursor().sql(query.sql(scan.DIALECT)).to_arrow_reader(_BATCH)
    rows = (row for batch in reader for row in batch.to_pylist())
    numbers, details = tee(rows)
    lines = source.lines(row[ROW] for row in numbers)
    refused = (
        Reject(line, row["column_name"] or "", row["value"] or "", row["reason"] or "", row["remedy"] or "")
        for line, row in zip(lines, details, strict=True)
    )
    return merge(source.broken_records(), refused, key=attrgetter("line"))


def _insert(connection: duckdb.DuckDBPyConnection, query: exp.Select) -> int:
    return scan.count(connection, exp.Insert(this=scan.named(REFUSED), expression=query))


def _has_problem() -> exp.Expr:
    return exp.not_(exp.column(PROBLEM).is_(exp.null()))


def _nothing() -> pa.Table:
    names = ("column_name", "value", "reason", "remedy")
    return pa.schema([pa.field(ROW, pa.int64()), *(pa.field(n, pa.string()) for n in names)]).empty_table()
