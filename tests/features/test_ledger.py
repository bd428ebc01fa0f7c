"""Features over a real workspace: imported segments, live events and merged subjects give one answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tests.features.conftest import AS_OF, KINDS, random_events, table

from nextbest.errors import UsageError
from nextbest.features.build import build, build_panel, vector
from nextbest.features.defaults import default_features
from nextbest.features.language import Feature
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis, archive, events, identities, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

NOW = AS_OF + timedelta(days=400)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace with a fixed clock."""
    with workspace.create(tmp_path / "acme", clock=lambda: NOW) as ledger:
        yield ledger


def load(ledger: Ledger, seed: int) -> None:
    """Store random events, half as segments and half live."""
    for name, rows in random_events(seed).items():
        half = rows if name == "subjects" else rows[::2]
        archive.append(ledger, name, table(name, half), source="file")
        if name != "subjects":
            receipts = events.ingest(ledger, [live(name, r) for r in rows[1::2]], source="api")
            assert {r.status for r in receipts} == {"stored"}


def live(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Give a row as the live event it would have been."""
    kept = {k: v for k, v in row.items() if v is not None and k not in ("event_id", "received_ts", "source")}
    moments = {k: v.isoformat() for k, v in kept.items() if isinstance(v, datetime)}
    return {**kept, **moments, "kind": name, "message_id": row["event_id"]}


def test_vectors_rows_and_panels_are_the_same(ledger: Ledger) -> None:
    """For every subject the served vector is the training row, wherever its events are stored, merged ids included."""
    load(ledger, 31)
    identities.merge(ledger, "c1", "c2", why="the same person")
    extra = Feature(name="employees", kind="subjects", aggregate="attribute", column="employees")
    features = (*feature_set(ledger), extra)
    assert set(features[:-1]) == set(default_features(KINDS))
    rows = build(ledger, features, as_of=AS_OF).to_pylist()
    assert [r["subject_id"] for r in rows] == sorted(r["subject_id"] for r in rows)
    assert "c1" not in {r["subject_id"] for r in rows}
    for row in rows[::8]:
        served = vector(ledger, features, row["subject_id"], as_of=AS_OF)
        assert {k: v and v.hex() for k, v in served.items()} == {k: row[k] and row[k].hex() for k in served}
    pairs = [(r["subject_id"], AS_OF) for r in rows]
    assert build_panel(ledger, features, pairs).drop_columns(["as_of"]).to_pylist() == rows
    few = [rows[3]["subject_id"], rows[1]["subject_id"], "nobody"]
    chosen = build(ledger, features, as_of=AS_OF, subject_ids=few).to_pylist()
    assert [r for r in chosen if r["subject_id"] != "nobody"] == [rows[1], rows[3]]


def test_lines_count_under_the_category_of_their_product(ledger: Ledger) -> None:
    """Rows, vectors and panels see the category that only the product has, and not what it became afterwards."""
    past = AS_OF - timedelta(days=3)
    common = {"subject_id": "a", "ts": past, "received_ts": past}
    lines = [{**common, "event_id": f"e{n}", "product_id": f"p{n}", "order_id": "o"} for n in range(3)]
    archive.append(ledger, "order_line", table("order_line", lines), source="file")
    later = AS_OF - timedelta(days=1)
    items = [
        {"item_id": "p0", "category": "Shoes"},
        {"item_id": "p0", "category": "Sale", "valid_from": later},
        {"item_id": "p1", "category": "Hats"},
        {"item_id": "p2", "category": "Hats", "valid_from": later},
    ]
    schema = pa.schema([("item_id", pa.string()), ("category", pa.string()), ("valid_from", pa.timestamp("us", "UTC"))])
    archive.append(ledger, "items", pa.Table.from_pylist(items, schema=schema), source="file")
    shoes = Feature(name="shoes", kind="order_line", aggregate="count", where="category == 'Shoes'")
    kinds = Feature(name="kinds", kind="order_line", aggregate="distinct", column="category")
    want = {"shoes": 1.0, "kinds": 2.0}
    assert vector(ledger, (shoes, kinds), "a", as_of=AS_OF) == want
    assert build(ledger, (shoes, kinds), as_of=AS_OF).to_pylist() == [{"subject_id": "a", **want}]
    assert build_panel(ledger, (shoes, kinds), [("a", AS_OF)]).drop_columns(["as_of"]).to_pylist() == [
        {"subject_id": "a", **want}
    ]


def test_a_merge_adds_up_both_histories(ledger: Ledger) -> None:
    """After a merge the one subject has the orders of both; undone, each has its own again."""
    past = AS_OF - timedelta(days=3)
    rows = [{"event_id": s, "subject_id": s, "ts": past, "received_ts": past, "revenue": 10.0} for s in ("a", "b")]
    archive.append(ledger, "order", table("order", rows), source="file")
    features = feature_set(ledger)
    merge_id = identities.merge(ledger, "a", "b", why="test")
    assert build(ledger, features, as_of=AS_OF).select(["subject_id", "orders_30d", "revenue_30d"]).to_pylist() == [
        {"subject_id": "b", "orders_30d": 2.0, "revenue_30d": 20.0}
    ]
    identities.undo_merge(ledger, merge_id)
    assert build(ledger, features, as_of=AS_OF)["orders_30d"].to_pylist() == [1.0, 1.0]


def test_subjects_known_by_attributes_only_join_on_request(ledger: Ledger) -> None:
    """A contact without events is left out of those seen, and is there with zeros among all."""
    past = AS_OF - timedelta(days=3)
    order = {"event_id": "1", "subject_id": "a", "ts": past, "received_ts": past, "revenue": 1.0}
    archive.append(ledger, "order", table("order", [order]), source="file")
    contact = pa.Table.from_pylist([{"subject_id": "z"}], pa.schema([("subject_id", pa.string())]))
    archive.append(ledger, "subjects", contact, source="file")
    features = feature_set(ledger)
    assert build(ledger, features, as_of=AS_OF)["subject_id"].to_pylist() == ["a"]
    everyone = build(ledger, features, as_of=AS_OF, population="all")
    assert everyone.select(["subject_id", "orders_30d"]).to_pylist() == [
        {"subject_id": "a", "orders_30d": 1.0},
        {"subject_id": "z", "orders_30d": 0.0},
    ]


def test_nothing_to_compute_is_said(ledger: Ledger) -> None:
    """A workspace without events has no default features, and asking for none is an error that says what to do."""
    assert feature_set(ledger) == ()
    with pytest.raises(UsageError, match="Load events first"):
        build(ledger, feature_set(ledger), as_of=datetime(2026, 1, 1, tzinfo=UTC))
    features = default_features({"order"})
    assert build(ledger, features, as_of=AS_OF).num_rows == 0
    assert vector(ledger, features, "c1", as_of=AS_OF)["orders_30d"] == 0.0
    assert analysis.kinds_present(ledger) == {}
