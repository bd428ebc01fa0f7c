"""The rules of the check: each finds rows that need a person's eye, and says what to do about them."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from nextbest.ledger import quality_people
from nextbest.ledger.statements import load
from nextbest.ledger.views import DUCKDB, relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import duckdb

    from nextbest.ledger.kinds import Kind

_FILE = "quality.sql"
_ROWS = "rows_of_kind"
_EXAMPLES = 3
_AMOUNTS = ("revenue", "amount", "price")
_BROWSING = frozenset({"page_view", "product_view", "cart_add", "search", "message_open", "message_click", "review"})
_REGULAR = frozenset({"order", "page_view", "message"})
_ORDERED = {  # the first of two moments cannot lie after the second
    "order": [("ts", "cancelled_ts")],
    "ticket": [("ts", "closed_ts")],
    "subscription": [("started_ts", "ended_ts"), ("started_ts", "cancelled_ts")],
}
_TEST = (
    r"^(test|tester|testing|asdf|foo|noreply|no-reply|example)[0-9]*@|@(example\.(com|org|net)|test\.[a-z]+|localhost)$"
)
_DISPOSABLE = [
    "mailinator.com", "guerrillamail.com", "10minutemail.com", "yopmail.com", "temp-mail.org", "trashmail.com",
    "sharklasers.com", "getnada.com", "dispostable.com", "maildrop.cc", "throwawaymail.com", "mohmal.com",
]  # fmt: skip
_TODO = {
    "future_date": "Check the clock or the column; a date ahead of now is no fact yet.",
    "long_before_the_rest": "Check these dates: they lie long before everything else, perhaps before the shop existed.",
    "wrong_order_of_dates": "Check both columns: the later step is dated before the earlier one.",
    "outlier": "Check these amounts: a unit (cents), a decimal mark or a test may have slipped in.",
    "negative_amount": "Negative amounts count against revenue. Keep them if they are refunds, else correct them.",
    "several_currencies": "Amounts are not converted. Convert them to one currency before comparing people.",
    "country_spellings": "Write one spelling per country, best the two-letter code.",
    "superhuman_rate": "Probably a bot: leave these subjects out of learning.",
    "days_without_any": "Check whether an export is missing for these days.",
    "test_or_disposable_email": "Probably test or throw-away accounts: leave them out, or erase them.",
    "invalid_email": "These addresses cannot be reached: correct or empty them.",
    "shared_address": "Many accounts at one address: a company, a parcel shop, or one person with many accounts.",
    "same_email": "Exactly the same e-mail: `nextbest load` joins them; or merge them by hand.",
    "same_phone": "Exactly the same phone: `nextbest load` joins them; or merge them by hand.",
    "similar_people": "Names and addresses are close: look at the pairs and merge those that are one person.",
    "test_orders": "Probably test orders: leave them out.",
    "returned_orders": "Paid back in full or part: use `revenue` less `refunded` where the value of a customer counts.",
}
Problem = dict[str, Any]


def problems(connection: duckdb.DuckDBPyConnection, kind: Kind, filled: Sequence[str]) -> list[Problem]:
    """Give what the rules find in the view of a kind; `filled` are the columns that hold any value."""
    found = [
        *_moments(connection, kind, filled),
        *_amounts(connection, kind, filled),
        *_words(connection, kind, filled),
    ]
    if kind.name in _BROWSING:
        found += _fixed(connection, kind, "superhuman", "superhuman_rate", "subject_id")
    if kind.name in _REGULAR:
        found += _fixed(connection, kind, "days_without", "days_without_any", "ts")
    if kind.name == "order":
        found += _fixed(connection, kind, "test_orders", "test_orders", "tags")
        found += _fixed(connection, kind, "returned", "returned_orders", "refunded")
    if kind.name == "subjects":
        found += _people(connection, kind, filled)
    return found


def _moments(connection: duckdb.DuckDBPyConnection, kind: Kind, filled: Sequence[str]) -> Iterator[Problem]:
    if not kind.event:
        return
    late = exp.column("ts") > exp.column("received_ts")
    yield from _where(connection, kind, late, "future_date", "ts")
    yield from _fixed(connection, kind, "long_before", "long_before_the_rest", "ts")
    for before, after in _ORDERED.get(kind.name, ()):
        if {before, after} <= set(filled):
            yield from _where(connection, kind, exp.column(after) < exp.column(before), "wrong_order_of_dates", after)


def _amounts(connection: duckdb.DuckDBPyConnection, kind: Kind, filled: Sequence[str]) -> Iterator[Problem]:
    for name in _AMOUNTS:
        if name in filled:
            yield from _fixed(connection, kind, "negative", "negative_amount", name, checked=name)
            yield from _fixed(connection, kind, "outliers", "outlier", name, checked=name)


def _words(connection: duckdb.DuckDBPyConnection, kind: Kind, filled: Sequence[str]) -> Iterator[Problem]:
    if "currency" in filled:
        yield from _fixed(connection, kind, "currencies", "several_currencies", "currency", checked="currency")
    if "country" in filled:
        counts = _run(connection, kind, "words", {"checked": "country"})
        rows, examples = spellings({str(word): int(found) for word, found in counts})
        yield from _problem("country_spellings", "country", rows, examples)


def spellings(counts: Mapping[str, int]) -> tuple[int, list[str]]:
    """Give how many rows write a country otherwise than most do, and the spellings of the most mixed country."""
    by_country: dict[str, dict[str, int]] = {}
    for word, found in counts.items():
        by_country.setdefault(country(word), {})[word] = found
    mixed = [c for c in by_country.values() if len(c) > 1]
    rows = sum(sum(c.values()) - max(c.values()) for c in mixed)
    worst = max(mixed, key=lambda c: sum(c.values()), default={})
    return rows, sorted(worst, key=lambda w: (-worst[w], w))[:_EXAMPLES]


def country(word: str) -> str:
    """Give the two-letter code that a spelling stands for, or the plain spelling when it is not known."""
    bare = unicodedata.normalize("NFKD", word.casefold())
    plain = re.sub(r"[^a-z]+", " ", "".join(c for c in bare if not unicodedata.combining(c))).strip()
    return _countries().get(plain, plain)


@cache
def _countries() -> dict[str, str]:
    listed = tomllib.loads(files("nextbest.ledger").joinpath("countries.toml").read_text(encoding="utf-8"))
    return {name: code.lower() for code, names in listed.items() for name in (code.lower(), *names)}


def _people(connection: duckdb.DuckDBPyConnection, kind: Kind, filled: Sequence[str]) -> Iterator[Problem]:
    if "email" in filled:
        test = {"pattern": _TEST, "domains": _DISPOSABLE}
        yield from _fixed(connection, kind, "test_email", "test_or_disposable_email", "email", parameters=test)
        yield from _fixed(connection, kind, "invalid_email", "invalid_email", "email")
    if "address" in filled:
        yield from _fixed(connection, kind, "shared_address", "shared_address", "address")
    shared = quality_people.same_identity(connection).to_pylist()
    for identity_type in ("email", "phone"):
        found = [s for s in shared if s["identity_type"] == identity_type]
        rows = sum(s["people"] for s in found)
        yield from _problem(f"same_{identity_type}", identity_type, rows, [s["identity"] for s in found])
    if {"first_name", "last_name"} & set(filled):
        pairs = quality_people.similar(connection).to_pylist()
        shown = [f"{p['one']} and {p['other']}" for p in pairs[:_EXAMPLES]]
        yield from _problem("similar_people", "last_name", len(pairs), shown)


# --- running a rule -------------------------------------------------------------------------------------------------


def _fixed(
    connection: duckdb.DuckDBPyConnection,
    kind: Kind,
    statement: str,
    code: str,
    column: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    **columns: str,
) -> Iterator[Problem]:
    for rows, examples in _run(connection, kind, statement, columns, parameters)[:1]:
        yield from _problem(code, column, rows, examples or [])


def _where(
    connection: duckdb.DuckDBPyConnection, kind: Kind, test: exp.Expr, code: str, column: str
) -> Iterator[Problem]:
    query = exp.select(exp.Count(this=exp.Star())).from_(relation(kind.name)).where(test)
    yield from _problem(code, column, connection.sql(query.sql(DUCKDB)).fetchall()[0][0], [])


def _run(
    connection: duckdb.DuckDBPyConnection,
    kind: Kind,
    statement: str,
    columns: Mapping[str, str],
    parameters: Mapping[str, Any] | None = None,
) -> list[tuple[Any, ...]]:
    """Run a fixed statement on a kind, under the names that the statement knows: `rows_of_kind`, `checked`."""
    named = [exp.alias_(exp.column(c, quoted=True), name) for name, c in columns.items()]
    rows = exp.select("*", *named).from_(relation(kind.name))
    view = exp.Create(this=relation(_ROWS), kind="TEMPORARY VIEW", expression=rows, replace=True)
    connection.execute(view.sql(DUCKDB))
    text = load(_FILE, statement)
    found = connection.sql(text, params=dict(parameters)) if parameters else connection.sql(text)
    return found.fetchall() if found is not None else []


def _problem(code: str, column: str, rows: int, examples: Iterable[object]) -> Iterator[Problem]:
    if rows:
        shown = [str(e) for e in examples][:_EXAMPLES]
        yield {"code": code, "column": column, "rows": int(rows), "what_to_do": _TODO[code], "examples": shown}
