"""Text becomes a typed value, or is refused; nothing in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from sqlglot import exp

from nextbest.ledger import identities, parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = object()


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a database in UTC."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def read(database: duckdb.DuckDBPyConnection, text: str, parse: Any, **options: Any) -> Any:
    """Give the value of a text, or REFUSED."""
    found = parsing.parsed(exp.column("v"), parse, **options)
    query = exp.select(exp.alias_(found.value, "value"), exp.alias_(found.refused(found.value), "refused"))
    sql = f"WITH t AS (SELECT $v AS v) {query.from_('t').sql('duckdb')}"
    row = database.sql(sql, params={"v": text}).to_arrow_table().to_pylist()[0]
    return REFUSED if row["refused"] else row["value"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0), ("1,234.50", 1234.5), ("$1,234.50", 1234.5), ("€ 5", 5.0), ("5 EUR", 5.0), ("(12.00)", -12.0),
        ("12-", -12.0), ("\u22125", -5.0), ("1 234.5", 1234.5), ("1'234.5", 1234.5), ("1,23,456", 123456.0),
        ("12,5", 12.5), ("1,234", 1234.0), (".5", 0.5), ("1e3", 1000.0), ("NULL", None), ("", None), ("R$ 3.5", 3.5),
        ("nan", REFUSED), ("inf", REFUSED), ("-Infinity", REFUSED), ("1e999", REFUSED), ("twelve", REFUSED),
        ("1.234,50", REFUSED), ("12 34", REFUSED), ("0x1f", REFUSED), ("--5", REFUSED), ("=1+1", REFUSED),
    ],
)  # fmt: skip
def test_numbers_with_a_decimal_point(database: duckdb.DuckDBPyConnection, text: str, value: object) -> None:
    """Signs, groups and parentheses are understood; what is not finite or ambiguous is refused."""
    assert read(database, text, "number") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50", 1234.5), ("1234,5", 1234.5), ("1.234", 1234.0), ("12.5", 12.5), ("1.234.567", 1234567.0),
        ("1 234,50 €", 1234.5), ("-0,5", -0.5), ("1,234.5", REFUSED),
    ],
)  # fmt: skip
def test_numbers_with_a_decimal_comma(database: duckdb.DuckDBPyConnection, text: str, value: object) -> None:
    """A point groups thousands in a file of decimal commas, and is a decimal mark only where nothing else fits."""
    assert read(database, text, "number", decimal=",") == value


def test_units(database: duckdb.DuckDBPyConnection) -> None:
    """Percent and minor units divide by a hundred unless a scale is given; an integer has no fraction."""
    assert read(database, "12.5 %", "percent") == 0.125
    assert read(database, "1999", "minor_units") == pytest.approx(19.99)
    assert read(database, "1999", "minor_units", scale=0.001) == pytest.approx(1.999)
    assert read(database, "1e3", "integer") == 1000
    assert read(database, "1.5", "integer") is REFUSED


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        ("timestamp", "2025-01-05", (2025, 1, 5)),
        ("timestamp", "2025-01-05T10:00:00+02:00", (2025, 1, 5, 8)),
        ("timestamp", "2025-01-05 10:00:00 +0200", (2025, 1, 5, 8)),
        ("timestamp", "2025-01-05 10:00:00 UTC", (2025, 1, 5, 10)),
        ("timestamp", "2025-01-05 10:00:00.123456Z", (2025, 1, 5, 10, 0, 0, 123456)),
        ("timestamp", "Jan 5, 2025 3:04 PM", (2025, 1, 5, 15, 4)),
        ("timestamp", "Sun, 05 Jan 2025 10:00:00", (2025, 1, 5, 10)),
        ("timestamp", "2025-02-30", REFUSED),
        ("timestamp", "epoch", REFUSED),
        ("timestamp", "infinity", REFUSED),
        ("timestamp", "13/02/2025", REFUSED),
        ("timestamp", "1700000000", REFUSED),
        ("date_dmy", "13/02/2025", (2025, 2, 13)),
        ("date_dmy", "1.2.25 10:30", (2025, 2, 1, 10, 30)),
        ("date_dmy", "02/13/2025", REFUSED),
        ("date_dmy", "31/04/2025", REFUSED),
        ("date_mdy", "02/13/2025", (2025, 2, 13)),
        ("date_mdy", "1-2-2025, 3:04 PM", (2025, 1, 2, 15, 4)),
        ("date_mdy", "13/02/2025", REFUSED),
        ("yyyymmdd", "20250105", (2025, 1, 5)),
        ("yyyymmdd", "20250230", REFUSED),
        ("epoch_s", "1700000000.5", (2023, 11, 14, 22, 13, 20, 500000)),
        ("epoch_ms", "1700000000000", (2023, 11, 14, 22, 13, 20)),
        ("epoch_us", "1700000000123456", (2023, 11, 14, 22, 13, 20, 123456)),
        ("epoch_s", "1e300", REFUSED),
    ],
)
def test_dates(database: duckdb.DuckDBPyConnection, parse: str, text: str, value: Any) -> None:
    """Dates are read as the rule says, offsets are honoured, and impossible or ambiguous ones are refused."""
    expected = datetime(*value, tzinfo=UTC) if isinstance(value, tuple) else value
    assert read(database, text, parse) == expected


def test_ids_stay_as_they_are(database: duckdb.DuckDBPyConnection) -> None:
    """Zeros, length and capitals of an id survive; only spaces and a spreadsheet's apostrophe go."""
    for text, value in {"007": "007", "9007199254740993": "9007199254740993", "'901": "901", " aB ": "aB"}.items():
        assert read(database, text, "id") == value
    assert [read(database, t, "id") for t in ("", "  ", "NULL", "nan", "\\N")] == [None] * 5


def test_texts_have_a_limit(database: duckdb.DuckDBPyConnection) -> None:
    """A text over 64 KB or with a NUL is refused; one of 64 KB is stored whole."""
    assert read(database, "x" * 65_536, "text") == "x" * 65_536
    assert read(database, "x" * 65_537, "text") is REFUSED
    assert read(database, "a\0b", "text") is REFUSED


def test_yes_and_no_in_several_languages(database: duckdb.DuckDBPyConnection) -> None:
    """Yes and no are known in common spellings; anything else is refused."""
    assert [read(database, t, "boolean") for t in ("TRUE", "ja", "Yes", "1")] == [True] * 4
    assert [read(database, t, "boolean") for t in ("false", "nein", "UNSUBSCRIBED", "0")] == [False] * 4
    assert read(database, "maybe", "boolean") is REFUSED


@pytest.mark.parametrize(
    "text", [" Ada@Example.ORG ", "+49 (30) 123-456", "0049 30 123456", "030 123456", "030/1234.56"]
)
def test_identities_are_spelt_as_the_journal_spells_them(database: duckdb.DuckDBPyConnection, text: str) -> None:
    """E-mails and phones are normalised in SQL exactly as in Python."""
    spell = parsing.email if "@" in text else parsing.phone
    sql = f"WITH t AS (SELECT $v AS v) {exp.select(spell(exp.column('v'))).from_('t').sql('duckdb')}"
    assert database.sql(sql, params={"v": text}).fetchall()[0][0] == identities.normalise(text)


def test_the_order_of_day_and_month_is_guessed_only_when_the_values_decide_it() -> None:
    """A 13 in one place decides; in none or in both places there is no guess."""
    assert parsing.guess_date_order(["01/02/2025", "13/02/2025"]) == "date_dmy"
    assert parsing.guess_date_order(["01/02/2025", "02/13/2025"]) == "date_mdy"
    assert parsing.guess_date_order(["01/02/2025"]) is None
    assert parsing.guess_date_order(["13/02/2025", "02/13/2025"]) is None
    assert parsing.guess_date_order(["2025-01-02"]) is None


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("2025-01-05 10:00:00+02:00", 120), ("2025-01-05T10:00:00-0530", -330), ("2025-01-05T10:00:00Z", 0),
        ("2025-01-05 10:00:00 UTC", 0), ("2025-01-05 10:00:00", None), ("2025-01-05 10:00:00.123", None),
    ],
)  # fmt: skip
def test_the_local_offset_is_kept(database: duckdb.DuckDBPyConnection, text: str, minutes: int | None) -> None:
    """The offset that a time was written with is known in minutes; a time without one has none."""
    query = exp.select(parsing.offset_minutes(exp.column("v"))).from_("t").sql("duckdb")
    assert database.sql(f"WITH t AS (SELECT $v AS v) {query}", params={"v": text}).fetchall()[0][0] == minutes
