"""Analysis: DuckDB in memory over the segments and the journal's rows, locked to the workspace's own files.

    with connect(ledger) as connection: ...          every kind is a view of its name, plus
    subjects, items                 the last known value of every column, one row per id
    subjects_history, items_history every state, as it came
    decisions, candidates           the log; one row per decision, one row per decision and candidate
    predictions                     what is published for serving: one row per subject, recipe and name

Subject ids are canonical: merges are applied here, so undoing one changes no stored row. A line or view of a product
without a category has that of the product, as it was when the event happened.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from nextbest.errors import IntegrityError, LedgerError, unknown
from nextbest.ledger import catalogue, identities, views
from nextbest.ledger.archive import DECISION, FOLDER, TEMPORARY, schema_of
from nextbest.ledger.files import scratch
from nextbest.ledger.kinds import EVENTS, KINDS
from nextbest.ledger.live import Rows, compactions
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import duckdb

    from nextbest.ledger.workspace import Ledger

NAMES: tuple[str, ...] = (
    *KINDS, "subjects_history", "items_history", "decisions", "candidates", "predictions",
)  # fmt: skip
_JOURNAL = ("outcomes", "identities", "consent", "decisions")
_NEEDS = {"subjects": "subjects_history", "items": "items_history", "candidates": "decisions"}
_LAST = 2**63 - 1  # every live event, whatever its number
_MOMENT = {"subjects_history": "valid_from", "items_history": "valid_from"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holdings:
    """What the views are made of: files by kind, those that correct others, live events by kind, merged ids.

    `categories` tells whether an event without a category has that of its product.
    """

    paths: Mapping[str, tuple[str, ...]]
    corrects: Mapping[str, tuple[str, ...]]
    live: Mapping[str, int]
    merges: Mapping[str, str]
    compactions: int
    categories: bool
    known_before: int | None = None


@contextmanager
def connect(
    ledger: Ledger,
    names: Iterable[str] | None = None,
    *,
    known_before: datetime | None = None,
    categories: bool = True,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a locked DuckDB connection in memory with the named views (all by default); it closes with the block.

    Without `categories` an event has the category that it came with and no other: quicker where nobody asks for it.
    Of an event that was corrected a view has the newest version, received before `known_before` if that is given.
    """
    import duckdb

    with scratch(ledger.path / TEMPORARY / new_id("t")) as temporary:
        connection = duckdb.connect(config=_settings(ledger, temporary))
        try:
            _lock(connection, ledger.path / FOLDER)
            holdings = _holdings(ledger, known_before, categories=categories)
            _add_views(connection, holdings, ledger, NAMES if names is None else names)
            yield connection
        except duckdb.IOException as error:
            raise IntegrityError(f"Stored data cannot be read. See which: nextbest verify. ({error})") from error
        finally:
            connection.close()


def view(connection: duckdb.DuckDBPyConnection, name: str, rows: exp.Expr | pa.Table | Rows) -> None:
    """Give an expression (DuckDB dialect), an Arrow table or the journal's rows a name on this connection."""
    if isinstance(rows, exp.Expr):
        connection.execute(views.create(name, rows))
    else:
        connection.register(name, rows)


def run(
    connection: duckdb.DuckDBPyConnection,
    expression: exp.Expr,
    parameters: Any = None,  # noqa: ANN401 (DuckDB's)
) -> pa.Table:
    """Give the rows of an expression (DuckDB dialect) on an open connection; parameters by name or in order."""
    import duckdb

    try:
        table: pa.Table = connection.sql(expression.sql(views.DUCKDB), params=parameters).to_arrow_table()
    except duckdb.Error as error:
        raise LedgerError(f"The analysis failed: {error}") from error
    return table


def fetch(
    ledger: Ledger,
    expression: exp.Expr,
    *,
    parameters: Any = None,  # noqa: ANN401 (DuckDB's)
    tables: Mapping[str, pa.Table] | None = None,
    known_before: datetime | None = None,
) -> pa.Table:
    """Give the rows of an expression (DuckDB dialect) over the views and the given tables; opens only what it names.

    `known_before` chooses the versions of corrected events, as in `connect`.
    """
    given = dict(tables or {})
    local = {c.alias for c in expression.find_all(exp.CTE)} | set(given)
    named = {t.name for t in expression.find_all(exp.Table) if t.name} - local
    categories = views.asks_for_category(expression)
    with connect(ledger, named, known_before=known_before, categories=categories) as connection:
        for name, rows in given.items():
            view(connection, name, rows)
        return run(connection, expression, parameters)


def table(
    ledger: Ledger,
    name: str,
    *,
    columns: Sequence[str] | None = None,
    before: datetime | None = None,
    since: datetime | None = None,
    known_before: datetime | None = None,
) -> pa.Table:
    """Give the rows of a view, as of a moment.

    `before` keeps what happened before the moment (`subjects` and `items`: the state that was valid then); rows whose
    moment is unknown stay. `known_before` keeps what had also been received by then, so that of a corrected event
    the version that was known then is seen. `since` is the first moment to keep.
    """
    if name not in NAMES:
        raise unknown("table", name, NAMES)
    limits = {"before": before, "since": since, "known_before": known_before}
    parameters = {k: v for k, v in limits.items() if v is not None}
    wanted = [exp.column(c, quoted=True) for c in columns] if columns is not None else [exp.Star()]
    query = exp.select(*wanted).from_(views.relation(name))
    if name in views.ID and parameters:
        states = views.latest(name, history=_NEEDS[name]).where(*_conditions("valid_from", parameters))
        query = exp.select(*wanted).from_(states.subquery("states"))
    else:
        query = query.where(*_conditions(_MOMENT.get(name, "ts"), parameters))
    return fetch(ledger, query, parameters=parameters or None, known_before=known_before)


def kinds_present(ledger: Ledger) -> dict[str, int]:
    """Give the number of rows per kind that has any, from the catalogue and the journal; no file is read.

    A corrected event counts with all its versions here.
    """
    with ledger.journal.read() as connection:
        counts = dict.fromkeys((*KINDS, "decisions"), 0)
        for segment in catalogue.segments(connection):
            counts[_plural(segment.kind)] += segment.rows
        for kind, rows in connection.execute(load("live.sql", "counts")):
            counts[kind] += rows
        for kind, rows in connection.execute(load("live.sql", "counts_of_tables")):
            counts[kind] += rows
    return {name: rows for name, rows in counts.items() if rows}


def _settings(ledger: Ledger, temporary: Path) -> dict[str, Any]:
    return {
        "memory_limit": f"{ledger.config.limits.memory_mb}MB",
        "threads": ledger.config.limits.threads,
        "temp_directory": str(temporary),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,  # a query reads views, never a Python variable of that name
    }


def _lock(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Leave the connection the archive's files and nothing else; the order of the statements matters."""
    connection.execute(_set("allowed_directories", exp.Array(expressions=[exp.Literal.string(str(folder))])))
    connection.execute(_set("enable_external_access", exp.false()))
    connection.execute(_set("TimeZone", exp.Literal.string("UTC")))
    connection.execute(_set("lock_configuration", exp.true()))


def _set(name: str, value: exp.Expr) -> str:
    item = exp.SetItem(this=exp.EQ(this=exp.var(name), expression=value))
    return exp.Set(expressions=[item]).sql(views.DUCKDB)


def _holdings(ledger: Ledger, known_before: datetime | None, *, categories: bool) -> _Holdings:
    paths: dict[str, list[str]] = {}
    corrects: dict[str, list[str]] = {}
    with ledger.journal.read() as connection:
        for segment in catalogue.segments(connection):
            path = str(ledger.path / segment.path)
            paths.setdefault(_plural(segment.kind), []).append(path)
            if segment.corrects:
                corrects.setdefault(segment.kind, []).append(path)
        live = dict(connection.execute(load("live.sql", "counts")).fetchall())
        merges = identities.merge_map(connection)
        made = compactions(connection)
    return _Holdings(
        paths={k: tuple(v) for k, v in paths.items()},
        corrects={k: tuple(v) for k, v in corrects.items()},
        live=live,
        merges=merges,
        compactions=made,
        categories=categories and "items" in paths,
        known_before=None if known_before is None else to_micros(known_before),
    )


def _add_views(
    connection: duckdb.DuckDBPyConnection, holdings: _Holdings, ledger: Ledger, names: Iterable[str]
) -> None:
    if holdings.merges:
        ids = pa.array(holdings.merges.keys(), pa.string()), pa.array(holdings.merges.values(), pa.string())
        connection.register("merge_map", pa.table({"from_id": ids[0], "into_id": ids[1]}))
    wanted = set(names)
    needed = [_NEEDS[n] for n in wanted if n in _NEEDS]
    if holdings.categories and not views.DESCRIBED.isdisjoint(wanted):
        needed.append("items_history")
    for name in dict.fromkeys([*needed, *sorted(wanted, key=_NEEDS.__contains__)]):
        if name in NAMES:
            _add_view(connection, ledger, holdings, name)


def _add_view(connection: duckdb.DuckDBPyConnection, ledger: Ledger, holdings: _Holdings, name: str) -> None:
    if name in views.ID:
        connection.execute(views.latest_sql(name))
    elif name in {"candidates", "predictions"}:
        if name == "predictions":
            connection.register(
                "live_predictions", Rows(ledger=ledger, statement=name, compactions=holdings.compactions)
            )
        connection.execute(views.fixed_sql(name, f"live_{name}"))
    else:
        _add_kind(connection, ledger, holdings, name)


def _add_kind(connection: duckdb.DuckDBPyConnection, ledger: Ledger, holdings: _Holdings, name: str) -> None:
    """Add the view of all rows of one kind; a kind without any is an empty table of the right types."""
    kind = {"decisions": DECISION}.get(name, name.removesuffix("_history"))
    paths = holdings.paths.get(name.removesuffix("_history"), ())
    live = None
    if name in _JOURNAL or (kind in EVENTS and holdings.live.get(kind)):
        live = f"live_{name}"
        parameters = (kind, _LAST) if kind in EVENTS else ()
        statement = "event" if kind in EVENTS else name
        rows = Rows(ledger=ledger, statement=statement, parameters=parameters, compactions=holdings.compactions)
        connection.register(live, rows)
    if live is None and not paths:
        connection.register(name, schema_of(kind).empty_table())
    else:
        corrects = holdings.corrects.get(kind, ())
        known_before = holdings.known_before if corrects else None
        merged = bool(holdings.merges)
        described = holdings.categories and name in views.DESCRIBED
        query = views.stored(
            name, kind, paths, live=live, merged=merged, described=described, corrects=corrects,
            known_before=known_before,
        )  # fmt: skip
        connection.execute(query)


def _plural(kind: str) -> str:
    return "decisions" if kind == DECISION else kind


def _conditions(moment: str, given: Mapping[str, datetime]) -> Iterator[exp.Expr]:
    """Give the conditions that the named limits mean; an unknown moment is no reason to leave a row out."""
    column, received = exp.column(moment), exp.column("received_ts")
    limits = {"before": (column, exp.LT), "since": (column, exp.GTE), "known_before": (received, exp.LT)}
    for name in given:
        left, compare = limits[name]
        yield exp.or_(left.is_(exp.null()), compare(this=left.copy(), expression=exp.Parameter(this=exp.var(name))))
