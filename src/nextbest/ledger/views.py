"""The views of analysis as SQL: Parquet segments together with the journal's rows, under one name per kind.

The fixed parts stand in `sql/views.sql`; this file puts file names, columns and types in their places.
"""

from __future__ import annotations

from functools import cache, lru_cache

import msgspec
import sqlglot
from sqlglot import exp

from nextbest.ledger.kinds import COMMON, KINDS
from nextbest.ledger.statements import load

DUCKDB = "duckdb"
ID = {"subjects": "subject_id", "items": "item_id"}
CATEGORY = "category"
DESCRIBED = frozenset(  # kinds of events about a product, whose category they have where they name none
    k.name for k in KINDS.values() if k.event and {"product_id", CATEGORY} <= {c.name for c in k.columns}
)
CANDIDATE = {
    "action_id": "VARCHAR", "removed_by": "VARCHAR", "response_probability": "DOUBLE", "expected_value": "DOUBLE",
    "cost": "DOUBLE", "choice_probability": "DOUBLE", "spread": "DOUBLE",
}  # fmt: skip
_MICROS = "HUGEINT"  # a live event keeps its moments as numbers
_TYPES = {"text": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN", "timestamp": _MICROS}


def relation(name: str) -> exp.Table:
    """Give the table or view of that name, for FROM."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def create(name: str, query: exp.Expr) -> str:
    """Give the SQL that makes *query* the view *name*."""
    return exp.Create(this=exp.to_identifier(name, quoted=True), kind="VIEW", expression=query).sql(DUCKDB)


@lru_cache(maxsize=1024)
def stored(
    name: str,
    kind: str,
    paths: tuple[str, ...],
    *,
    live: str | None,
    merged: bool,
    described: bool = False,
    corrects: tuple[str, ...] = (),
    known_before: int | None = None,
) -> str:
    """Give the SQL of the view of all rows of a kind: its files and the relation *live*, under canonical ids.

    `described`: an event without a category has that of its product, from the view `items_history`.

    Where some of the files correct others, only the newest version of each event is seen, received before the moment
    `known_before` (microseconds) if that is given. The files are in the order in which they came.
    """
    parts: list[exp.Query] = []
    if paths:
        segments = _segments(paths, grown=kind == "decision")
        parts.append(_newest(paths, corrects, known_before) if corrects else segments)
    if live is not None:
        parts.append(live_rows(kind, live))
    rows = parts[0]
    if len(parts) > 1:
        rows = exp.Union(this=parts[0], expression=parts[1], distinct=False, by_name=True)
    if merged and kind != "items":
        rows = _fill(_fixed("canonical_links" if kind == "links" else "canonical"), source=rows.subquery())
    return create(name, _fill(_fixed("described"), source=rows.subquery()) if described else rows)


def latest(kind: str, *, history: str) -> exp.Select:
    """Give the last known value of every column of `subjects` or `items`, one row per id, from their *history*.

    A state without a moment was always valid. Conditions added with `where` choose among the states.
    """
    key = ID[kind]
    columns = [c.name for c in KINDS[kind].columns if c.name != key]
    received = exp.column("received_ts") if "received_ts" in columns else exp.null()
    moment = exp.func("coalesce", exp.column("valid_from"), received, _moment(exp.Literal.number(0)))
    query = exp.select(exp.column(key)).from_(relation(history)).group_by(exp.column(key))
    for name in columns:
        query = query.select(_latest_value(name, moment))
    return query


def asks_for_category(expression: exp.Expr) -> bool:
    """Tell whether a query may read the category of an event: by name, or as one of all columns."""
    stars = any(not isinstance(star.parent, exp.Count) for star in expression.find_all(exp.Star))
    return stars or any(column.name == CATEGORY for column in expression.find_all(exp.Column))


@cache
def latest_sql(kind: str) -> str:
    """Give the SQL of the view `subjects` or `items`: the latest state per id."""
    return create(kind, latest(kind, history=f"{kind}_history"))


@cache
def fixed_sql(name: str, live: str = "live") -> str:
    """Give the SQL of the view *name* that reads other views, or the relation *live*, as they are."""
    return create(name, _fill(_fixed(name), live=relation(live)))


def _latest_value(name: str, moment: exp.Expr) -> exp.Expr:
    def put(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.name == "value":
            return exp.column(name, quoted=True)
        return moment.copy() if isinstance(node, exp.Column) and node.name == "moment" else node

    value = _fixed("latest_value").selects[0].unalias()
    return exp.alias_(value.transform(put), name, quoted=True)


def _segments(paths: tuple[str, ...], *, grown: bool = False) -> exp.Select:
    """Give the rows of files; where the kind has *grown*, older files lack what later ones say, which is null then."""
    files: list[exp.Expr] = [exp.Array(expressions=[exp.Literal.string(p) for p in paths])]
    if grown:
        files.append(exp.PropertyEQ(this=exp.to_identifier("union_by_name"), expression=exp.true()))
    return exp.select("*").from_(exp.Anonymous(this="read_parquet", expressions=files))


def _newest(paths: tuple[str, ...], corrects: tuple[str, ...], known_before: int | None) -> exp.Query:
    """Give the newest version of every event; only those whose id a correcting file names can have several."""
    files = exp.Array(expressions=[exp.Literal.string(p) for p in paths])
    place = exp.PropertyEQ(this=exp.to_identifier("file_row_number"), expression=exp.true())
    rows = exp.select("*", "file_index").from_(exp.Anonymous(this="read_parquet", expressions=[files, place]))
    if known_before is not None:
        limit = _moment(exp.Literal.number(known_before))
        rows = rows.where(exp.LT(this=exp.column("received_ts"), expression=limit))
    return _fill(_fixed("newest"), numbered=rows.subquery(), correcting=_segments(corrects).subquery())


def live_rows(kind: str, live: str) -> exp.Query:
    """Give the journal's rows of a kind with the columns that its segments have."""
    if kind == "decision":
        return _fill(_fixed("live_decision"), live=relation(live), shape=_json([CANDIDATE]))
    if not KINDS[kind].event:
        return exp.select("*").from_(relation(live))
    own = {c.name: _TYPES[c.type] for c in KINDS[kind].columns[len(COMMON) :]}
    rows = _fill(_fixed("live_event"), live=relation(live), shape=_json(own))
    moments = [exp.alias_(_moment(exp.column(name)), name) for name, type_ in own.items() if type_ == _MICROS]
    return exp.select(exp.Star(replace=moments)).from_(rows.subquery("event")) if moments else rows


def _moment(micros: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="make_timestamptz", expressions=[exp.cast(micros, "BIGINT")])


def _json(shape: object) -> exp.Expr:
    return exp.Literal.string(msgspec.json.encode(shape).decode())


def _fixed(name: str) -> exp.Query:
    return _parsed(name).copy()


@cache
def _parsed(name: str) -> exp.Query:
    query = sqlglot.parse_one(load("views.sql", name), dialect=DUCKDB)
    if not isinstance(query, exp.Query):
        raise TypeError(name)
    return query


def _fill(query: exp.Query, *, shape: exp.Expr | None = None, **relations: exp.Expr) -> exp.Query:
    """Put relations in the place of the tables of that name, and *shape* in the place of the text 'shape'."""

    def put(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Table) and node.name in relations:
            given = relations[node.name].copy()
            given.set("alias", node.args.get("alias"))
            return given
        return shape.copy() if shape is not None and isinstance(node, exp.Literal) and node.this == "shape" else node

    filled = query.transform(put)
    return filled if isinstance(filled, exp.Query) else query
