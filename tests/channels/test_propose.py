"""A file that no dictionary knows gets a mapping by names, types and values, and says where it is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextbest.channels.describe import advice, describe
from nextbest.channels.files import open_file
from nextbest.channels.headers import normalised, words
from nextbest.channels.profile import moment
from nextbest.channels.propose import propose
from nextbest.channels.times import read_times
from nextbest.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextbest.ledger.mapping import ColumnRule, FileMapping

ORDERS = "customer_id,order_date,total\n" + "".join(f"c{i % 7},2025-01-{i % 27 + 1:02d},{i}.50\n" for i in range(40))
LINES = "Kundennr;Bestellnr;Datum;Artikel;Menge;Betrag\n" + "".join(
    f"{i % 5};B{i // 2};{i % 27 + 1:02d}.01.2025;A{i % 3};2;{i},50\n" for i in range(40)
)
CUSTOMERS = "customerID,gender,tenure,Email,Kündigung\n" + "".join(
    f"7590-{i:04d},Female,{i},p{i}@example.com,Yes\n" for i in range(40)
)
VISITS = "visitor_id,timestamp,page_url\n" + "".join(
    f"v{i % 5},{1_736_500_000 + i},https://shop.example.com/{i}\n" for i in range(40)
)
OPENS = "user_id,opened\n" + "".join(f"u{i % 5},2025-01-02 03:{i:02d}:00.000000 UTC\n" for i in range(40))
DEALS = "opportunity_id,sales_agent,account,deal_stage,engage_date,close_value\n" + "".join(
    f"O{i},Kim,Firma {i % 3},Won,2025-01-{i % 27 + 1:02d},{100 * i}\n" for i in range(40)
)
SENSOR = "timestamp,value\n" + "".join(f"2025-01-02 03:{i:02d}:00,{i}.5\n" for i in range(40))
PRODUCTS = "product,series,sales_price\nMug,Cups,9.50\nTray,Cups,20.00\nTea,Drinks,5.00\n"
NOBODY = "recency,history,visit\n" + "".join(f"{i % 9},{i}.5,0\n" for i in range(40))
UNNAMED = "".join(f"{i % 7:05d} 1997{i % 12 + 1:02d}01 2 {i}.33\n" for i in range(40))


def proposed(
    tmp_path: Path,
    text: str,
    name: str = "sales.csv",
    *,
    kind: str | None = None,
    said: Mapping[str, str] | None = None,
) -> FileMapping:
    """Give the mapping proposed for a text."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    with open_file(path, scratch=scratch) as (opened,):
        return propose(opened, kind=kind, overrides=said)


def rule(mapping: FileMapping, to: str, emit: int = 0) -> ColumnRule:
    """Give the rule that fills a column."""
    return next(r for r in (*mapping.emits[emit].subject, *mapping.emits[emit].columns) if r.to == to)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (ORDERS, ["order"]),
        (LINES, ["order_line", "order"]),
        (CUSTOMERS, ["subjects"]),
        (VISITS, ["page_view"]),
        (OPENS, ["message_open"]),
        (DEALS, ["deal_stage"]),
        (SENSOR, ["reading"]),
        (PRODUCTS, ["items"]),
        (NOBODY, []),
    ],
)
def test_the_kind_is_guessed(tmp_path: Path, text: str, kinds: list[str]) -> None:
    """What one row is follows from who, when and what stand in it; a table about nobody gives nothing."""
    assert [e.kind for e in proposed(tmp_path, text).emits] == kinds


def test_european_files_are_read_as_such(tmp_path: Path) -> None:
    """Days come first, lines are added up per order, and every column finds its place in German too."""
    found = proposed(tmp_path, LINES)
    assert rule(found, "ts").parse == "date_dmy"
    assert rule(found, "subject_id").source == "Kundennr"
    assert found.emits[1].group_by == ("Bestellnr",)
    assert (rule(found, "revenue", 1).aggregate, rule(found, "revenue").aggregate) == ("sum", "first")
    assert found.columns_unused == ()


def test_addresses_are_found_by_their_values(tmp_path: Path) -> None:
    """A column of e-mail addresses is one, whatever it is called."""
    found = proposed(tmp_path, CUSTOMERS.replace("Email", "Kontakt"))
    assert rule(found, "email").source == "Kontakt"


def test_columns_that_are_not_understood_are_named(tmp_path: Path) -> None:
    """What is not used is listed, and doubtful guesses carry a question mark."""
    found = proposed(tmp_path, CUSTOMERS.replace("customerID", "id"))
    assert set(found.columns_unused) == {"gender", "tenure", "Kündigung"}
    assert any("50%?" in line for line in describe(found))


def test_the_user_decides(tmp_path: Path) -> None:
    """--as and --map win over every guess."""
    found = proposed(tmp_path, ORDERS, kind="payment", said={"total": "amount", "order_date": "ts"})
    assert [e.kind for e in found.emits] == ["payment"]
    assert rule(found, "amount").source == "total"
    assert rule(found, "amount").confidence == 1.0


def test_unnamed_columns_are_mapped_by_position(tmp_path: Path) -> None:
    """0=subject_id,1=ts,3=revenue makes orders of a table without a header."""
    assert proposed(tmp_path, UNNAMED, "cdnow.txt").emits == ()
    said = {"0": "subject_id", "1": "ts", "2": "quantity", "3": "revenue"}
    found = proposed(tmp_path, UNNAMED, "cdnow.txt", kind="order", said=said)
    assert [(r.source, r.to, r.parse) for r in found.emits[0].columns] == [
        (1, "ts", "yyyymmdd"),
        (3, "revenue", "number"),
        (2, "quantity", "number"),
    ]
    assert rule(found, "subject_id").source == 0


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"totl": "revenue"}, "There is no column 'totl'. Did you mean 'total'"),
        ({"total": "revenu"}, "There is no field 'revenu' .* Did you mean 'revenue'"),
        ({"total": "revenue", "order_date": "revenue"}, "Two columns are mapped to 'revenue'"),
        ({"9": "revenue"}, "There is no column '9'"),
    ],
)
def test_slips_are_named_with_the_near_word(tmp_path: Path, said: dict[str, str], match: str) -> None:
    """A column or field that is not there is an error of use that says which one is."""
    with pytest.raises(UsageError, match=match):
        proposed(tmp_path, ORDERS, said=said)


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    """--as takes kinds of the ledger only."""
    with pytest.raises(UnknownNameError, match="order_line"):
        proposed(tmp_path, ORDERS, kind="orderline")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2025-01-02", "2025-01-03T04:05:06Z"], ("timestamp", True)),
        (["20250102", "20241231"], ("yyyymmdd", True)),
        (["13/02/2025", "01/02/2025"], ("date_dmy", True)),
        (["02/13/2025", "02/01/2025"], ("date_mdy", True)),
        (["01/02/2025", "03/04/2025"], ("date_mdy", False)),
        (["01.02.2025", "03.04.2025"], ("date_dmy", False)),
        (["1736500000"], ("epoch_s", True)),
        (["1736500000123"], ("epoch_ms", True)),
        (["1736500000123456"], ("epoch_us", True)),
        (["12.5", "7"], (None, True)),
    ],
)
def test_how_times_are_written_is_seen(values: list[str], expected: tuple[str | None, bool]) -> None:
    """ISO, compact, day or month first, and epochs are told apart; an order that cannot be seen is a guess."""
    assert moment(values) == expected


def test_times_of_a_column_are_read_alike() -> None:
    """The order that one value shows holds for all; a local time belongs to the workspace's zone."""
    first, second = read_times(["13/02/2025", "01/02/2025 10:30"], name="d", timezone="Europe/Vienna")
    assert (first.isoformat(), second.isoformat()) == ("2025-02-13T00:00:00+01:00", "2025-02-01T10:30:00+01:00")
    with pytest.raises(DataError, match="'soon' in column 'd' is not a time"):
        read_times(["soon"], name="d")


def test_headers_are_compared_without_signs() -> None:
    """Capitals, accents and signs go; words are parted at humps."""
    assert normalised("State / Region") == "stateregion"
    assert normalised("Größe (cm)") == "grossecm"
    assert words("OrderTotal (EUR)") == ("order", "total", "eur")


DATED = "Kunde;Datum\n" + "".join(f"c{i % 7};{i % 27 + 1:02d}.01.2025\n" for i in range(40))


@pytest.mark.parametrize(
    ("name", "header", "kind"),
    [
        ("y.csv", "Kunde;Datum", "custom"),
        ("visits.csv", "customer;date", "custom"),
        ("orders_2025.csv", "customer;date", "order"),
        ("Bestellungen.csv", "Kunde;Datum", "order"),
        ("y.csv", "Kunde;Bestelldatum", "order"),
        ("y.csv", "customer;Purchase Date", "order"),
        ("border.csv", "customer;date", "custom"),
    ],
)
def test_people_and_dates_are_orders_only_where_a_name_says_so(
    tmp_path: Path, name: str, header: str, kind: str
) -> None:
    """Two columns, who and when, are orders by the name of the file or of a column; else an event that asks."""
    found = proposed(tmp_path, DATED.replace("Kunde;Datum", header), name)
    assert [e.kind for e in found.emits] == [kind]
    assert {r.to for r in found.emits[0].columns} == {"ts"}
    assert bool(advice(found)) is (kind == "custom")


def test_a_column_that_says_what_happened_is_kept_in_a_file_of_orders(tmp_path: Path) -> None:
    """With an event column the rows of a file called order_events are these events, and nothing is asked."""
    text = DATED.replace("Datum\n", "Datum;event\n").replace(".2025\n", ".2025;view\n")
    found = proposed(tmp_path, text, "order_events.csv")
    assert [e.kind for e in found.emits] == ["custom"]
    assert advice(found) == ()
