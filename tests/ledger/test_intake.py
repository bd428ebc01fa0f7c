"""Files come into the ledger whole, once, and accounted for."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tests.clocks import Clock
from tests.ledger.makers import CONFIG, NOW

from nextbest.errors import DataError
from nextbest.ledger import analysis, create
from nextbest.ledger.intake import import_table, import_text
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping, TextFile
from nextbest.ledger.workspace import digest

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.ledger.mapping import Loaded

WHO = ColumnRule(to="subject_id", source="who", parse="id")
WHEN = ColumnRule(to="ts", source="when", parse="timestamp", required=True)
TOTAL = ColumnRule(to="revenue", source="total", parse="number")
NUMBER = ColumnRule(to="order_id", source="order", parse="id", required=True)
MAIL = ColumnRule(to="subject_id", source="mail", parse="email")


def mapping(*emits: Emit, **changes: Any) -> FileMapping:
    """Give the mapping of a made-up file."""
    return FileMapping(system="generic", table="t", confidence=1.0, emits=emits, **changes)


ORDERS = mapping(Emit(kind="order", subject=(WHO,), columns=(WHEN, TOTAL, NUMBER)))
VIEWS = mapping(Emit(kind="page_view", subject=(WHO,), columns=(WHEN, ColumnRule(to="url", source="url"))))


def text_file(path: Path, text: str, **changes: Any) -> TextFile:
    """Write a file and describe it."""
    path.write_text(text, encoding="utf-8", newline="")
    columns = tuple(next(csv.reader([text.split("\n", 1)[0].lstrip("\ufeff")])))
    file = TextFile(path=path, delimiter=",", quote='"', escape='"', header=True, columns=columns)
    return replace(file, **changes)


def load(ledger: Ledger, folder: Path, text: str, how: FileMapping, name: str = "file.csv") -> Loaded:
    """Import a text under a mapping."""
    return import_text(ledger, text_file(folder / name, text), how)


def stored(ledger: Ledger, kind: str, *columns: str) -> list[tuple[Any, ...]]:
    """Give the stored rows of a kind, sorted."""
    with analysis.connect(ledger) as connection:
        table = connection.table(kind).to_arrow_table().select(list(columns))
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=str)


def test_a_plain_file_becomes_orders(ledger: Ledger, tmp_path: Path) -> None:
    """Every line of a clean file is one order, and the time's offset is kept beside the moment in UTC."""
    text = "who,when,total,order\nc1,2025-01-05T10:00:00+02:00,5.5,1\nc2,2025-01-06,,2\n"
    loaded = load(ledger, tmp_path, text, ORDERS)
    assert (loaded.rows_read, loaded.rows_accepted, loaded.rows_rejected, loaded.rows_new) == (2, 2, 0, 2)
    assert (loaded.by_kind, loaded.rejected_file) == ({"order": 2}, None)
    rows = stored(ledger, "order", "subject_id", "ts", "ts_offset_min", "revenue", "event_id", "received_ts", "source")
    assert [(r[0], r[1].isoformat(), *r[2:5]) for r in rows] == [
        ("c1", "2025-01-05T08:00:00+00:00", 120, 5.5, "1"),
        ("c2", "2025-01-06T00:00:00+00:00", None, None, "2"),
    ]
    assert {(r[5], r[6]) for r in rows} == {(NOW, "file.csv")}


def test_the_same_file_again_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A file with the same bytes is not loaded twice, whatever its name."""
    text = "who,when,total,order\nc1,2025-01-05,5.5,1\n,2025-01-05,5.5,2\n"
    first = load(ledger, tmp_path, text, ORDERS)
    again = load(ledger, tmp_path, text, ORDERS, name="copy.csv")
    assert not first.already_loaded
    assert again.already_loaded
    assert (again.rows_read, again.rows_accepted, again.rows_rejected, again.rows_new) == (2, 1, 1, 0)
    assert again.rejected_file == first.rejected_file
    assert len(stored(ledger, "order", "order_id")) == 1


def test_an_overlapping_file_adds_only_what_is_new(ledger: Ledger, tmp_path: Path) -> None:
    """Rows that an earlier file brought are accepted but not stored again: by key, or by what they say."""
    head = "who,when,total,order,url\n"
    lines = [f"c{i},2025-01-0{i},1,{i},/p{i}\n" for i in range(1, 6)]
    load(ledger, tmp_path, head + "".join(lines[:3]), ORDERS)
    later = load(ledger, tmp_path, head + "".join(lines[1:]), ORDERS, "later.csv")
    assert (later.rows_accepted, later.rows_new) == (4, 2)
    load(ledger, tmp_path, head + "".join(lines[:3]) + "\n", VIEWS, "views.csv")
    more = load(ledger, tmp_path, head + "".join(lines[2:]), VIEWS, "more.csv")
    assert (more.rows_accepted, more.rows_new) == (3, 2)
    assert len(stored(ledger, "order", "order_id")) == len(stored(ledger, "page_view", "url")) == 5


def test_of_one_key_the_last_row_is_kept_and_identical_events_all(ledger: Ledger, tmp_path: Path) -> None:
    """Two rows of one order id are one order, the last; two equal page views are two page views."""
    text = "who,when,total,order,url\nc1,2025-01-05,5,1,/a\nc1,2025-01-05,6,1,/a\nc1,2025-01-05,7,2,/a\n"
    orders = load(ledger, tmp_path, text, ORDERS)
    assert (orders.rows_accepted, orders.rows_new) == (3, 2)
    assert stored(ledger, "order", "order_id", "revenue") == [("1", 6.0), ("2", 7.0)]
    assert load(ledger, tmp_path, text + "\n", VIEWS, "views.csv").rows_new == 3


def test_a_dry_run_counts_and_stores_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A dry run gives the same figures and leaves no row and no file."""
    file = text_file(tmp_path / "f.csv", "who,when,total,order\nc1,2025-01-05,5,1\nc1,never,5,2\n")
    tried = import_text(ledger, file, ORDERS, dry_run=True)
    assert (tried.rows_read, tried.rows_accepted, tried.rows_rejected, tried.by_kind) == (2, 1, 1, {"order": 1})
    assert analysis.kinds_present(ledger).get("order", 0) == 0
    assert not (ledger.path / "rejects").exists()
    assert list((ledger.path / "archive" / ".pending").iterdir()) == []
    assert not import_text(ledger, file, ORDERS).already_loaded


def test_packed_files_and_strange_names_are_read(ledger: Ledger, tmp_path: Path) -> None:
    """A gzip file is read as it is, and a name with signs that mean something to a database is only a name."""
    path = tmp_path / "we[i]rd*'name?.csv"
    path.write_bytes(gzip.compress(b"who,when,total,order\nc1,2025-01-05,5,1\n"))
    file = TextFile(
        path=path, delimiter=",", quote='"', escape='"', header=True, columns=("who", "when", "total", "order")
    )
    assert import_text(ledger, file, ORDERS).rows_new == 1
    path.write_bytes(gzip.compress(b'who,when,total,order\nc1,2025-01-05,5,3\nc1,"2025\n'))
    broken = import_text(ledger, file, ORDERS)
    assert (broken.rows_read, broken.rows_rejected, broken.rows_new) == (2, 1, 1)


def test_both_readers_give_the_same(ledger: Ledger, tmp_path: Path) -> None:
    """One broken line sends the file to the careful reader; the other rows come out as they would have."""
    lines = [f'c{i},2025-01-05 10:{i:02}:00,"{i},5 €",{i}\n' for i in range(60)]
    quick = load(ledger, tmp_path, "who,when,total,order\n" + "".join(lines), ORDERS)
    rows = stored(ledger, "order", "subject_id", "ts", "revenue", "event_id")
    with create(tmp_path / "other", config_text=CONFIG, clock=Clock(NOW)) as other:
        careful = load(other, tmp_path, "who,when,total,order\n" + "".join(lines) + "one,two\n", ORDERS)
        assert stored(other, "order", "subject_id", "ts", "revenue", "event_id") == rows
    assert (quick.rows_accepted, careful.rows_accepted, careful.rows_rejected) == (60, 60, 1)


def test_a_subject_known_by_mail_gets_a_pseudonym_and_an_identity(ledger: Ledger, tmp_path: Path) -> None:
    """The id is the keyed digest of the normalised address; an id that is there comes first, under its namespace."""
    how = mapping(Emit(kind="order", subject=(WHO, MAIL), columns=(WHEN, TOTAL, NUMBER)), namespace="shop")
    text = "who,mail,when,total,order\n,Ada@X.org ,2025-01-05,1,1\n7,bob@x.org,2025-01-05,1,2\n,nobody,2025-01-05,1,3\n"
    loaded = load(ledger, tmp_path, text, how)
    pseudonym = "p_" + digest(ledger, "ada@x.org")[:20]
    assert stored(ledger, "order", "subject_id", "event_id") == [(pseudonym, "shop:1"), ("shop:7", "shop:2")]
    assert stored(ledger, "identities", "subject_id", "identity_type", "identity") == [
        (pseudonym, "email", "ada@x.org"),
        ("shop:7", "email", "bob@x.org"),
    ]
    assert loaded.rows_rejected == 1


SHOP = """Name,Email,Created at,Total,Item,Quantity,Accepts
#1,ada@x.org,2025-01-05 10:00:00 +0100,30,apple,1,yes
#1,,,,pear,2,
#2,bob@x.org,2025-01-06 10:00:00 +0100,20,fig,1,no
#3,,2025-01-06 10:00:00 +0100,20,fig,1,
#4,eve@x.org,2025-01-07 10:00:00 +0100,5,plum,many,
"""
_MAIL = (ColumnRule(to="subject_id", source="Email", parse="email"),)
_AT = ColumnRule(to="ts", source="Created at", parse="timestamp", required=True)
_NAME = ColumnRule(to="order_id", source="Name", parse="id", required=True)
SHOP_MAPPING = mapping(
    Emit(kind="order", subject=_MAIL, group_by=("Name",), columns=(
        _NAME, _AT, ColumnRule(to="revenue", source="Total", parse="number"),
        ColumnRule(to="quantity", source="Quantity", parse="number", aggregate="sum"),
    )),
    Emit(kind="order_line", subject=_MAIL, columns=(
        _NAME, _AT, ColumnRule(to="product_id", source="Item", required=True),
        ColumnRule(to="quantity", source="Quantity", parse="number"),
    )),
    Emit(kind="subjects", subject=_MAIL, columns=(ColumnRule(to="email", source="Email", parse="email"),)),
    Emit(kind="consent", subject=_MAIL, constants={"purpose": "marketing", "channel": "email"},
         columns=(ColumnRule(to="allowed", source="Accepts", parse="boolean"),)),
)  # fmt: skip


def test_lines_of_one_order_become_one_order_and_its_lines(ledger: Ledger, tmp_path: Path) -> None:
    """A line without subject or time takes those of its order; an order without a subject loses all its lines."""
    loaded = load(ledger, tmp_path, SHOP, SHOP_MAPPING)
    assert (loaded.rows_read, loaded.rows_accepted, loaded.rows_rejected) == (5, 3, 2)
    assert loaded.by_kind == {"order": 2, "order_line": 3, "subjects": 2, "consent": 2}
    assert stored(ledger, "order", "order_id", "revenue", "quantity") == [("#1", 30.0, 3.0), ("#2", 20.0, 1.0)]
    assert stored(ledger, "order_line", "order_id", "product_id") == [("#1", "apple"), ("#1", "pear"), ("#2", "fig")]
    assert [r[1] for r in stored(ledger, "consent", "subject_id", "allowed")] in ([True, False], [False, True])
    with (ledger.path / str(loaded.rejected_file)).open(encoding="utf-8", newline="") as file:
        assert [(r["line"], r["column"]) for r in csv.DictReader(file)] == [("5", "Email"), ("6", "Quantity")]


def test_nested_lists_become_rows(ledger: Ledger, tmp_path: Path) -> None:
    """Every element of a JSON list is a row; a bad element refuses its record, an empty list is no reason to."""
    rows = [
        ("c1", "2025-01-05", '[{"sku": "A", "price": 1.5}, {"sku": "B", "price": "2"}]'),
        ("c2", "2025-01-05", "[]"),
        ("c3", "2025-01-05", '[{"sku": "C", "price": "dear"}, {"sku": "D"}]'),
        ("c4", "2025-01-05", "{"),
    ]
    data = pa.table(dict(zip(("who", "when", "items"), map(list, zip(*rows, strict=True)), strict=True)))
    how = mapping(
        Emit(kind="order_line", subject=(WHO,), unnest="items", columns=(
            WHEN, ColumnRule(to="product_id", source="items", path=("sku",), parse="id", required=True),
            ColumnRule(to="price", source="items", path=("price",), parse="number"),
        )),
    )  # fmt: skip
    loaded = import_table(ledger, data, how, name="events.jsonl", digest="d1")
    assert (loaded.rows_read, loaded.rows_accepted, loaded.rows_rejected) == (4, 2, 2)
    assert stored(ledger, "order_line", "subject_id", "product_id", "price") == [("c1", "A", 1.5), ("c1", "B", 2.0)]


def test_calls_of_an_event_api_become_facts_of_several_kinds(ledger: Ledger) -> None:
    """Paths reach into JSON, also to the list that is unnested, and an e-mail found there is an identity."""
    calls = {
        "type": ["identify", "track", "page"],
        "who": ["u1", "u1", "u2"],
        "when": ["2025-01-05T10:00:00Z"] * 3,
        "traits": ['{"email": "Ada@x.org"}', None, None],
        "properties": [None, '{"id": "o1", "products": [{"sku": "A"}, {"sku": "B"}]}', '{"url": "/"}'],
    }
    listed = "properties.products"
    how = mapping(
        Emit(kind="subjects", subject=(WHO,), where={"type": ("identify",)}, columns=(
            ColumnRule(to="email", source="traits", path=("email",), parse="email"),
        )),
        Emit(kind="order_line", subject=(WHO,), where={"type": ("Track",)}, unnest=listed, columns=(
            WHEN, ColumnRule(to="order_id", source="properties", path=("id",), parse="id"),
            ColumnRule(to="product_id", source=listed, path=("sku",), parse="id"),
        )),
        Emit(kind="page_view", subject=(WHO,), where={"type": ("page",)}, columns=(
            WHEN, ColumnRule(to="url", source="properties", path=("url",)),
        )),
    )  # fmt: skip
    loaded = import_table(ledger, pa.table(calls), how, name="calls.jsonl", digest="d3")
    assert loaded.by_kind == {"subjects": 1, "order_line": 2, "page_view": 1}
    assert stored(ledger, "order_line", "order_id", "product_id") == [("o1", "A"), ("o1", "B")]
    assert stored(ledger, "page_view", "subject_id", "url") == [("u2", "/")]
    assert stored(ledger, "identities", "subject_id", "identity") == [("u1", "ada@x.org")]


def test_an_arrow_table_is_read_like_a_file(ledger: Ledger) -> None:
    """Typed columns give the same facts as their texts, nested ones as JSON; a float that was an id is one again."""
    data = pa.table(
        {
            "who": pa.array([7.0, None, 9.0]),
            "when": pa.array([NOW, NOW, NOW], pa.timestamp("us", tz="UTC")),
            "total": pa.array([1.5, 2.5, float("nan")]),
            "order": pa.array([1, 2, 3]),
            "meta": pa.array([{"campaign": "spring"}, None, None]),
        }
    )
    tag = ColumnRule(to="coupon", source="meta", path=("campaign",))
    how = mapping(Emit(kind="order", subject=(WHO,), columns=(WHEN, TOTAL, NUMBER, tag)))
    loaded = import_table(ledger, data, how, name="orders.parquet", digest="d2")
    assert (loaded.rows_accepted, loaded.rows_rejected) == (1, 2)
    assert stored(ledger, "order", "subject_id", "order_id", "ts", "coupon") == [("7", "1", NOW, "spring")]
    assert import_table(ledger, data, how, name="orders.parquet", digest="d2").already_loaded


def test_lines_that_no_rule_keeps(ledger: Ledger, tmp_path: Path) -> None:
    """A line that no emit matches is understood and empty, or rejected when the mapping says so."""
    kept = Emit(kind="order", subject=(WHO,), columns=(WHEN, TOTAL, NUMBER), where={"type": ("Purchase",)})
    text = "who,when,total,order,type\nc1,2025-01-05,1,1,purchase\nc1,2025-01-05,nan,2,visit\n"
    easy = load(ledger, tmp_path, text, mapping(kept))
    assert (easy.rows_accepted, easy.rows_rejected, easy.rows_new) == (2, 0, 1)
    strict = load(ledger, tmp_path, text + "\n", mapping(kept, ignore_unmatched=False), "strict.csv")
    assert (strict.rows_accepted, strict.rows_rejected) == (1, 1)


def test_a_state_is_stored_again_only_when_it_changed(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """A person's attributes are a new row when they differ from the last ones known, also back to older ones."""
    how = mapping(Emit(kind="subjects", subject=(WHO,), columns=(ColumnRule(to="city", source="city"),)))
    new = []
    for number, city in enumerate(("Rome", "Rome", "Oslo", "Rome")):
        clock.forward(days=1)
        new.append(load(ledger, tmp_path, f"who,city,x\nc1,{city},{number}\n", how, f"{number}.csv").rows_new)
    assert new == [1, 0, 1, 1]
    assert stored(ledger, "subjects", "subject_id", "city") == [("c1", "Rome")]


def test_values_can_be_renamed_and_dates_may_lie_ahead_where_that_makes_sense(ledger: Ledger, tmp_path: Path) -> None:
    """Renaming ignores capitals; an expected close may be in the future, the moment of the event may not."""
    columns = (
        WHEN,
        ColumnRule(to="won", source="stage", parse="boolean", values={"Closed Won": "true", "closed lost": "false"}),
        ColumnRule(to="expected_close_ts", source="close", parse="timestamp"),
    )
    text = "who,when,stage,close\nd1,2026-02-01,closed won,2027-01-01\nd2,2026-03-09,Closed Lost,2027-01-01\n"
    loaded = load(ledger, tmp_path, text, mapping(Emit(kind="deal_stage", subject=(WHO,), columns=columns)))
    assert (loaded.rows_accepted, loaded.rows_rejected) == (1, 1)
    assert stored(ledger, "deal_stage", "subject_id", "won") == [("d1", True)]


def test_local_times_are_those_of_the_workspace(tmp_path: Path) -> None:
    """A time without an offset is read in the workspace's zone, through the hour that summer time skips."""
    config = CONFIG.replace('name = "acme"', 'name = "acme"\ntimezone = "Europe/Berlin"')
    text = "who,when,total,order\nc1,2025-01-05 12:00:00,1,1\nc1,2025-07-05 12:00:00,1,2\nc1,2025-03-30 02:30:00,1,3\n"
    with create(tmp_path / "berlin", config_text=config, clock=Clock(NOW)) as ledger:
        assert load(ledger, tmp_path, text, ORDERS).rows_rejected == 0
        moments = [ts.strftime("%d.%m. %H:%M") for _, ts in stored(ledger, "order", "order_id", "ts")]
    assert moments[:2] == ["05.01. 11:00", "05.07. 10:00"]
    assert moments[2] in {"30.03. 00:30", "30.03. 01:30"}


def test_a_column_that_is_not_there_is_named(ledger: Ledger, tmp_path: Path) -> None:
    """A required column that the file lacks stops the import with the near word; an optional one is left empty."""
    with pytest.raises(DataError, match=r"no column 'when'\. Did you mean 'whem'"):
        load(ledger, tmp_path, "who,whem,total,order\nc1,2025-01-05,1,1\n", ORDERS)
    assert load(ledger, tmp_path, "who,when,order\nc1,2025-01-05,1\n", ORDERS).rows_new == 1


def test_progress_ends_at_the_size_of_the_file(ledger: Ledger, tmp_path: Path) -> None:
    """Whoever asks is told bytes done of bytes in all, never backwards, and the whole at the end."""
    file = text_file(tmp_path / "f.csv", "who,when,total,order\n" + "c1,2025-01-05,1,1\n" * 5_000)
    told: list[tuple[int, int]] = []
    import_text(ledger, file, ORDERS, progress=lambda done, total: told.append((done, total)))
    size = file.path.stat().st_size
    assert told[-1] == (size, size)
    assert [d for d, _ in told] == sorted(d for d, _ in told)
