"""The check finds what is wrong with made-up and real data, and nothing where nothing is."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from nextbest.ledger import archive, quality, quality_people, quality_rules
from nextbest.ledger.intake import import_table
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextbest.ledger import Ledger

START = datetime(2025, 1, 1, tzinfo=UTC)


def orders(rows: int, **columns: list[Any]) -> pa.Table:
    """Give that many plausible orders, ten a day, with columns put in the place of others."""
    rng = np.random.default_rng(7)
    plain = {
        "subject_id": [f"c{i % 40}" for i in range(rows)],
        "ts": [START + timedelta(days=i // 10, minutes=i % 10) for i in range(rows)],
        "order_id": [f"o{i}" for i in range(rows)],
        "revenue": list(rng.lognormal(4, 0.5, rows)),
        "currency": ["EUR"] * rows,
        "country": ["DE"] * rows,
    }
    return pa.table(plain | columns)


def found(ledger: Ledger, kind: str) -> dict[str, Mapping[str, Any]]:
    """Give the problems of a kind by their code."""
    table = next(t for t in quality.check(ledger) if t["kind"] == kind)
    assert all(p["what_to_do"] for p in table["problems"])
    return {p["code"]: p for p in table["problems"]}


def test_nothing_is_found_where_nothing_is_wrong(ledger: Ledger) -> None:
    """Plausible orders have no problems; missing values are counted for the columns that are in use."""
    archive.append(ledger, "order", orders(600, coupon=["X"] * 10 + [None] * 590), source="test")
    (table,) = quality.check(ledger)
    assert (table["kind"], table["rows"], table["duplicates"], table["problems"]) == ("order", 600, 0, [])
    assert (table["missing"]["coupon"], table["missing"]["revenue"], "tags" in table["missing"]) == (590, 0, False)


def test_orders_that_need_an_eye_are_found(ledger: Ledger) -> None:
    """Currencies, countries, outliers, refunds, tests, dates, doubles and gaps are each found and counted."""
    table = orders(600)
    change: dict[str, list[Any]] = {name: table[name].to_pylist() for name in table.schema.names}
    change["currency"][:5] = ["USD"] * 5
    change["country"][:4] = ["Germany", "Deutschland", "de", "FR"]
    change["revenue"][:3] = [1e7, -20.0, -5.0]
    change["order_id"][10] = "o11"
    change["ts"][0] = datetime(1990, 1, 1, tzinfo=UTC)
    change["tags"] = ["test order"] * 2 + [""] * 598
    change["refunded"] = [None] * 597 + [5.0] * 3
    change["cancelled_ts"] = [None] * 599 + [START]
    gap = [i for i in range(600) if i // 10 not in {20, 21}]
    archive.append(ledger, "order", pa.table(change).take(gap), source="test")
    problems = found(ledger, "order")
    counts = {code: p["rows"] for code, p in problems.items()}
    days_since_1990 = (START - datetime(1990, 1, 1, tzinfo=UTC)).days - 1
    assert counts.pop("days_without_any") == days_since_1990 + 2
    assert counts == {
        "several_currencies": 5,
        "country_spellings": 3,
        "outlier": 1,
        "negative_amount": 2,
        "long_before_the_rest": 1,
        "test_orders": 2,
        "returned_orders": 3,
        "wrong_order_of_dates": 1,
    }
    assert problems["country_spellings"]["examples"][0] == "DE"
    assert problems["outlier"]["examples"] == ["10000000.0"]
    assert next(t for t in quality.check(ledger) if t["kind"] == "order")["duplicates"] == 1


def test_bots_are_found_by_their_pace(ledger: Ledger) -> None:
    """Sixty pages in a minute is no person; sixty in an hour may be."""
    bot = [START + timedelta(milliseconds=i * 500) for i in range(80)]
    reader = [START + timedelta(minutes=i) for i in range(80)]
    views = {"subject_id": ["bot"] * 80 + ["reader"] * 80, "ts": bot + reader}
    archive.append(ledger, "page_view", pa.table(views), source="test")
    assert found(ledger, "page_view")["superhuman_rate"] == {
        "code": "superhuman_rate",
        "column": "subject_id",
        "rows": 80,
        "what_to_do": "Probably a bot: leave these subjects out of learning.",
        "examples": ["bot"],
    }


def test_people_who_share_an_address_are_found(ledger: Ledger) -> None:
    """Shared e-mails and phones, invalid, test and throw-away addresses and crowded houses are found."""
    people = [
        ("c1", "Ada@x.org", "+49 30 123456", "1 High Street"),
        ("c2", "ada@X.org ", "0049 (30) 123-456", "2 High Street"),
        ("c3", "bob@x.org", None, "3 High Street"), ("c4", "nobody", None, "4 High Street"),
        ("c5", "test@shop.org", None, "5 High Street"), ("c6", "x@mailinator.com", None, "6 High Street"),
        *((f"h{i}", f"h{i}@x.org", None, "1 Parcel Yard") for i in range(5)),
    ]  # fmt: skip
    names = ("subject_id", "email", "phone", "address")
    data = pa.table(dict(zip(names, map(list, zip(*people, strict=True)), strict=True)))
    archive.append(ledger, "subjects", data, source="test")
    counts = {code: p["rows"] for code, p in found(ledger, "subjects").items()}
    assert counts == {
        "same_email": 2,
        "same_phone": 2,
        "invalid_email": 1,
        "test_or_disposable_email": 2,
        "shared_address": 5,
    }


def test_rejected_rows_are_told_by_file(ledger: Ledger) -> None:
    """A file of which rows were rejected is named with their number and where to read why."""
    who = ColumnRule(to="subject_id", source="who", parse="id")
    when = ColumnRule(to="ts", source="when", parse="timestamp", required=True)
    how = FileMapping(
        system="s", table="t", confidence=1.0, emits=(Emit(kind="page_view", subject=(who,), columns=(when,)),)
    )
    data = pa.table({"who": ["a", "b"], "when": ["2025-01-01", "never"]})
    import_table(ledger, data, how, name="visits.csv", digest="d" * 64)
    (problem,) = found(ledger, "files").values()
    assert (problem["column"], problem["rows"]) == ("visits.csv", 1)
    assert "rejects/visits.csv-dddddddd.csv" in problem["what_to_do"]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("Deutschland", "de"),
        ("GERMANY", "de"),
        ("Österreich", "at"),
        ("U.S.A.", "us"),
        ("uk", "gb"),
        ("Narnia", "narnia"),
    ],
)
def test_spellings_of_a_country_are_one(word: str, code: str) -> None:
    """A country is known under its code and names, whatever capitals, accents and points."""
    assert quality_rules.country(word) == code


def people_of(path: Path) -> tuple[pa.Table, set[tuple[str, str]]]:
    """Give a FEBRL file as subjects, and the pairs that are one person by its record numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{k.strip(): v.strip() for k, v in row.items()} for row in csv.DictReader(file)]
    entities: dict[str, list[str]] = {}
    for row in rows:
        entities.setdefault(row["rec_id"].split("-")[1], []).append(row["rec_id"])
    pairs = {(a, b) for ids in map(sorted, entities.values()) for i, a in enumerate(ids) for b in ids[i + 1 :]}
    columns = {"subject_id": "rec_id", "first_name": "given_name", "last_name": "surname", "zip": "postcode"}
    table = {
        name: [r[source] or None for r in rows] for name, source in (columns | {"birthday": "date_of_birth"}).items()
    }
    table["address"] = [f"{r['street_number']} {r['address_1']}".strip() or None for r in rows]
    return pa.table(table), pairs


@pytest.mark.parametrize(("name", "least_recall"), [("dataset1", 0.94), ("dataset2", 0.91), ("dataset3", 0.89)])
def test_similar_people_of_known_pairs(shared_data: Path, name: str, least_recall: float) -> None:
    """On the FEBRL files, of which the pairs are known, nine in ten are found and one in a thousand is wrong."""
    table, true = people_of(shared_data / "er-febrl" / f"{name}.csv")
    connection = duckdb.connect()
    connection.register("subjects", table)
    pairs = {
        (min(p["one"], p["other"]), max(p["one"], p["other"])) for p in quality_people.similar(connection).to_pylist()
    }
    connection.close()
    assert len(pairs & true) / len(pairs) >= 0.999
    assert len(pairs & true) / len(true) >= least_recall


def test_shared_identities_are_those_of_a_plain_loop() -> None:
    """The sort of hashes finds exactly what counting the spellings one by one finds."""
    rng = np.random.default_rng(3)
    emails = [f"{'Uu'[i % 2]}ser{rng.integers(0, 3000)}@x.org" + " " * (i % 3) for i in range(2000)]
    connection = duckdb.connect()
    connection.register(
        "subjects", pa.table({"subject_id": [str(i) for i in range(2000)], "email": emails, "phone": [None] * 2000})
    )
    shared = {row["identity"]: row["people"] for row in quality_people.same_identity(connection).to_pylist()}
    connection.close()
    counts: dict[str, int] = {}
    for email in emails:
        counts[email.strip().lower()] = counts.get(email.strip().lower(), 0) + 1
    assert shared == {e: n for e, n in counts.items() if n > 1}
