"""What is wrong with the data, per kind, and what to do about it; nothing is changed.

[{"kind": "order", "rows": 1200, "missing": {"coupon": 900}, "duplicates": 3,
  "problems": [{"code": "several_currencies", "column": "currency", "rows": 40, "what_to_do": "...", "examples": []}]}]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from nextbest.ledger import analysis, catalogue, quality_rules
from nextbest.ledger.kinds import KINDS
from nextbest.ledger.views import DUCKDB, relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from nextbest.ledger.kinds import Kind
    from nextbest.ledger.workspace import Ledger

_SKIPPED = frozenset({"outcomes", "identities", "consent"})
_NOT_CONTENT = frozenset({"event_id", "received_ts", "source"})


def check(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Give one entry per kind that has rows, and one for the files of which records were rejected."""
    present = [k for k, rows in analysis.kinds_present(ledger).items() if rows and k in KINDS and k not in _SKIPPED]
    tables: list[Mapping[str, Any]] = []
    for name in present:
        with analysis.connect(ledger, [name], categories=False) as connection:  # what the files themselves hold
            tables.append(_table(connection, KINDS[name]))
    rejected = _rejected(ledger)
    return [*tables, rejected] if rejected else tables


def _table(connection: duckdb.DuckDBPyConnection, kind: Kind) -> Mapping[str, Any]:
    rows, missing = _missing(connection, kind)
    return {
        "kind": kind.name,
        "rows": rows,
        "missing": missing,
        "duplicates": _duplicates(connection, kind, rows),
        "problems": quality_rules.problems(connection, kind, [c for c in missing if missing[c] < rows]),
    }


def _missing(connection: duckdb.DuckDBPyConnection, kind: Kind) -> tuple[int, dict[str, int]]:
    """Give the rows, and per column how many lack a value; a column that no source fills is left out."""
    names = [c.name for c in kind.columns]
    counts = [exp.func("count", exp.column(n, quoted=True)) for n in names]
    query = exp.select(exp.Count(this=exp.Star()), *counts).from_(relation(kind.name))
    found = connection.sql(query.sql(DUCKDB)).fetchall()[0]
    rows = int(found[0])
    return rows, {n: rows - int(filled) for n, filled in zip(names, found[1:], strict=True) if filled}


def _duplicates(connection: duckdb.DuckDBPyConnection, kind: Kind, rows: int) -> int:
    """Give how many rows say what another says already: the same key, or else the same in every column."""
    keyed = kind.key and kind.event
    names = kind.key if keyed else [c.name for c in kind.columns if c.name not in _NOT_CONTENT]
    content = exp.Anonymous(this="hash", expressions=[exp.column(n, quoted=True) for n in names])
    query = exp.select(exp.alias_(content, "said")).from_(relation(kind.name))
    if keyed:
        query = query.where(*(exp.not_(exp.column(n, quoted=True).is_(exp.null())) for n in names))
    counted = exp.Count(this=exp.Star())
    distinct = exp.Count(this=exp.Distinct(expressions=[exp.column("said")]))
    total = exp.select(exp.Sub(this=counted, expression=distinct)).from_(query.subquery("s"))
    return int(connection.sql(total.sql(DUCKDB)).fetchall()[0][0]) if rows else 0


def _rejected(ledger: Ledger) -> Mapping[str, Any] | None:
    with ledger.journal.read() as connection:
        files = catalogue.files(connection)
    problems = [
        {
            "code": "rejected_rows",
            "column": file.name,
            "rows": file.rows_rejected,
            "what_to_do": f"Each line and its reason: {file.rejected_path}. Correct them and load the file again.",
            "examples": [],
        }
        for file in files
        if file.rows_rejected
    ]
    if not problems:
        return None
    return {"kind": "files", "rows": len(files), "missing": {}, "duplicates": 0, "problems": problems}
