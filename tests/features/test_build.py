"""Features equal their slow versions, know nothing of the future, and are the same bytes wherever they are computed."""

from __future__ import annotations

import math
import sqlite3
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.features.conftest import AS_OF, KINDS, Events, random_events, table
from tests.features.slow import slow

from nextbest.errors import ConfigError, UnknownNameError, UsageError
from nextbest.features.build import micros, plain
from nextbest.features.compile import compile_features
from nextbest.features.defaults import default_features, named
from nextbest.features.dialects import DIALECTS
from nextbest.features.language import AGGREGATES, Feature
from nextbest.ledger import analysis

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def every_aggregate() -> tuple[Feature, ...]:
    """Give one feature or more per aggregate, with and without filters and windows."""
    paid = "revenue > 0 and country in ['a', 'b']"
    plain_ones = [
        Feature(name=f"{a}_{w or 'ever'}_{bool(where)}".lower(), kind="order", aggregate=a, window_days=w, where=where)
        for a in ("count", "recency", "tenure", "gap_mean", "gap_deviation")
        for w in (None, 30, 90)
        for where in ("", paid)
    ]
    of_column = [
        Feature(name=f"{a}_of_{w or 'ever'}", kind="order", aggregate=a, window_days=w, column="revenue", where=where)
        for a in ("sum", "mean", "min", "max", "first", "last", "distinct")
        for w, where in ((None, ""), (365, "coupon is not null"))
    ]
    others = [
        Feature(name="trend_60", kind="page_view", aggregate="trend", window_days=60),
        Feature(name="trend_ab", kind="page_view", aggregate="trend", window_days=365, where="device = 'a'"),
        Feature(name="gross", kind="order", aggregate="sum", column="revenue + coalesce(discount, 0)"),
        Feature(name="machine_share", kind="message_open", aggregate="mean", column="coalesce(machine, false)"),
        Feature(name="urls", kind="page_view", aggregate="distinct", column="url", window_days=90),
        Feature(name="still_open", kind="ticket", aggregate="open", column="closed_ts"),
        Feature(
            name="open_a", kind="ticket", aggregate="open", column="closed_ts", where="status = 'a'", window_days=365
        ),
        Feature(name="employees", kind="subjects", aggregate="attribute", column="employees"),
        Feature(name="days_since_created", kind="subjects", aggregate="attribute", column="created_ts"),
    ]
    share = Feature(name="share", aggregate="ratio", of=(others[5], plain_ones[0]))
    return (*plain_ones, *of_column, *others, share)


def run(
    events: Events, features: tuple[Feature, ...], *, as_of: datetime = AS_OF, threads: int = 2, **more: Any
) -> pa.Table:
    """Give the features of events in a bare DuckDB."""
    wanted, cuts, parameters = more.pop("wanted", None), more.pop("cuts", None), {"as_of": micros(as_of)}
    subject = more.pop("subject_id", None)
    with duckdb.connect(config={"threads": threads}) as connection:
        for name, rows in events.items():
            connection.register(name, table(name, rows))
        for name, rows in {"wanted": wanted, "cuts": cuts}.items():
            if rows is not None:
                connection.register(name, rows)
        if subject is not None:
            parameters["subject_id"] = subject
        query = compile_features(features, **more)
        return plain(analysis.run(connection, query, None if cuts is not None else parameters), features)


def by_subject(events: Events) -> dict[str, Events]:
    """Give the events of each subject."""
    found: dict[str, Events] = {}
    for name, rows in events.items():
        for row in rows:
            found.setdefault(row["subject_id"], {}).setdefault(name, []).append(row)
    return found


def bits(value: float | None) -> bytes:
    """Give a double as bytes; null is none."""
    return b"" if value is None else struct.pack("<d", value)


def same_bytes(left: pa.Table, right: pa.Table) -> bool:
    """Compare tables by the bits of their numbers."""
    if left.column_names != right.column_names or left.num_rows != right.num_rows:
        return False
    rows = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return all(
        (bits(a[c]) == bits(b[c])) if isinstance(a[c], float) else a[c] == b[c]
        for a, b in rows
        for c in left.column_names
    )


@pytest.mark.parametrize("seed", range(4))
def test_every_aggregate_equals_its_slow_version(seed: int) -> None:
    """Every aggregate, filtered and windowed, gives what plain Python over the same events gives."""
    events, features = random_events(seed), every_aggregate()
    assert {p.aggregate for f in features for p in (f, *f.parts())} == set(AGGREGATES)
    rows, people = run(events, features).to_pylist(), by_subject(events)
    assert len(rows) > 30
    for row in rows:
        for feature in features:
            wanted = slow(feature, people[row["subject_id"]], AS_OF)
            got = row[feature.name]
            assert (got is None) == (wanted is None), (feature, got, wanted)
            assert wanted is None or math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-9), (feature, got, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_the_defaults_equal_their_slow_versions(seed: int) -> None:
    """Every default feature gives what plain Python gives."""
    events, features = random_events(seed), default_features(KINDS)
    people = by_subject(events)
    for row in run(events, features).to_pylist():
        for feature in features:
            wanted = slow(feature, people[row["subject_id"]], AS_OF)
            assert row[feature.name] == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)), feature


def test_deleting_the_future_changes_nothing() -> None:
    """Removing all that happened from the moment on leaves every feature the same bytes."""
    events, features = random_events(11), (*every_aggregate(), *default_features(KINDS))
    past = {
        name: [r for r in rows if (r.get("ts") or r.get("valid_from") or LONG_AGO) < AS_OF]
        for name, rows in events.items()
    }
    assert sum(map(len, past.values())) < sum(map(len, events.values()))
    assert same_bytes(run(events, features), run(past, features))


def test_one_served_equals_its_training_row_byte_for_byte() -> None:
    """The vector of one subject, a list of subjects, and a panel give the bytes of the row among everyone."""
    events, features = random_events(12), (*every_aggregate(), *default_features(KINDS))
    everyone = run(events, features)
    few = everyone.slice(3, 5)
    assert same_bytes(few, run(events, features, whom="wanted", wanted=few.select(["subject_id"])))
    for row in range(0, everyone.num_rows, 6):
        one = everyone.slice(row, 1)
        assert same_bytes(one, run(events, features, whom="one", subject_id=one["subject_id"][0].as_py()))


def test_a_panel_equals_each_of_its_moments() -> None:
    """Features at many moments in one pass are the bytes of one pass per moment."""
    events, features = random_events(13), (*every_aggregate(), *default_features(KINDS))
    moments = [AS_OF - timedelta(days=d) for d in (0, 45, 200)]
    people = run(events, features)["subject_id"].to_pylist()
    pairs = [{"subject_id": p, "as_of": micros(m)} for m in moments for p in people]
    panel = run(events, features, whom="cuts", cuts=pa.Table.from_pylist(pairs))
    wanted = pa.table({"subject_id": people})
    for moment in moments:
        rows = panel.filter(pc.equal(panel["as_of"], pa.scalar(moment, pa.timestamp("us", tz="UTC"))))
        alone = run(events, features, as_of=moment, whom="wanted", wanted=wanted)
        assert same_bytes(rows.drop_columns(["as_of"]), alone)


def test_the_order_of_rows_does_not_matter() -> None:
    """The same events in another order give the same bytes."""
    rng = np.random.default_rng(5)
    events = random_events(14, rows=1500, subjects=3)
    features = (*every_aggregate(), *default_features(KINDS))
    shuffled = {name: [rows[i] for i in rng.permutation(len(rows))] for name, rows in events.items()}
    assert same_bytes(run(events, features), run(shuffled, features))


def test_the_number_of_threads_does_not_matter() -> None:
    """Amounts whose sum as doubles depends on their order give the same bytes with one thread and with four."""
    rng = np.random.default_rng(6)
    n = 400_000
    amounts = pa.array(rng.choice([0.1, 1e9 + 0.3, -1e9, 1 / 3], n))
    moments = pa.array(rng.integers(0, micros(AS_OF), n), pa.timestamp("us", tz="UTC"))
    rows = pa.table(
        {"subject_id": pa.array(rng.integers(0, 2, n)).cast(pa.string()), "ts": moments, "revenue": amounts}
    )
    rows = table("order", []).join(rows, ["subject_id", "ts", "revenue"], join_type="right outer")
    features = tuple(f for f in every_aggregate() if {p.kind for p in f.parts()} == {"order"})
    one, four = (bulk(rows, features, threads) for threads in (1, 4))
    assert same_bytes(one, four)


def bulk(rows: pa.Table, features: tuple[Feature, ...], threads: int) -> pa.Table:
    """Give the features of many orders in a bare DuckDB with some threads."""
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("orders", rows)
        connection.execute('CREATE TABLE "order" AS SELECT * FROM orders')
        return plain(analysis.run(connection, compile_features(features), {"as_of": micros(AS_OF)}), features)


def test_late_events_count_unless_only_the_known_is_asked_for() -> None:
    """An event that happened before the moment but was received after it counts only without `known`."""
    events = {
        "order": [dict(random_events(1)["order"][0], subject_id="c1", ts=AS_OF - timedelta(days=1), received_ts=AS_OF)]
    }
    features = named(["orders_30d"], {"order"})
    assert run(events, features).to_pylist() == [{"subject_id": "c1", "orders_30d": 1.0}]
    assert run(events, features, known=True).num_rows == 0


def test_an_unknown_subject_gets_zeros_and_nulls() -> None:
    """A subject without events has zero orders, and nothing is known of the last one."""
    features = named(["orders_30d", "revenue_365d", "days_since_last_order", "average_order_value"], {"order"})
    row = run({"order": []}, features, whom="one", subject_id="nobody").to_pylist()[0]
    assert row == {
        "subject_id": "nobody", "orders_30d": 0.0, "revenue_365d": 0.0,
        "days_since_last_order": None, "average_order_value": None,
    }  # fmt: skip


def test_sqlite_gives_the_same_results() -> None:
    """The query compiled for SQLite gives DuckDB's numbers for all aggregates that it can compute."""
    events = random_events(15)
    features = tuple(f for f in every_aggregate() if f.aggregate not in ("first", "last", "attribute"))
    connection = sqlite3.connect(":memory:")
    for name, rows in events.items():
        columns = table(name, rows)
        names = ", ".join(f'"{c}"' for c in columns.column_names)
        connection.execute(f'CREATE TABLE "{name}" ({names})')
        values = [[micros(v) if isinstance(v, datetime) else v for v in row.values()] for row in columns.to_pylist()]
        connection.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * columns.num_columns)})', values)
    query = compile_features(features, dialect="sqlite").sql(dialect="sqlite")
    cursor = connection.execute(query, {"as_of": micros(AS_OF)})
    got = [dict(zip([c[0] for c in cursor.description], row, strict=True)) for row in cursor]
    for one, two in zip(got, run(events, features).to_pylist(), strict=True):
        assert one == {k: pytest.approx(v, rel=1e-9, abs=1e-9) if isinstance(v, float) else v for k, v in two.items()}
    connection.close()


@pytest.mark.parametrize("dialect", ["postgres", "spark"])
def test_the_others_are_compiled_not_run(dialect: str) -> None:
    """PostgreSQL and Spark queries are built, but for the aggregates that need ordering, and are marked as untested."""
    features = tuple(f for f in every_aggregate() if f.aggregate not in ("first", "last", "attribute"))
    assert "FILTER" in compile_features(features, dialect=dialect).sql(dialect=dialect)
    assert not DIALECTS[dialect].tested
    with pytest.raises(UsageError, match=f"not compiled for {dialect} yet"):
        compile_features([Feature(name="x", kind="order", aggregate="last", column="revenue")], dialect=dialect)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aggregate": "median", "kind": "order"}, r"no aggregate 'median'\. Did you mean 'mean'"),
        ({"aggregate": "count", "kind": "order", "column": "revenue"}, "takes no column"),
        ({"aggregate": "sum", "kind": "order"}, "takes a column"),
        ({"aggregate": "sum", "kind": "order", "column": "country"}, "needs a number or boolean; 'country' is a text"),
        ({"aggregate": "sum", "kind": "order", "column": "revenu"}, r"no column 'revenu'\. Did you mean 'revenue'"),
        ({"aggregate": "sum", "kind": "order", "column": "refunded"}, "known only after the outcome"),
        ({"aggregate": "count", "kind": "order", "where": "cancelled_ts is null"}, "known only after the outcome"),
        ({"aggregate": "distinct", "kind": "review", "column": "text"}, "it is personal"),
        ({"aggregate": "attribute", "kind": "subjects", "column": "birthday"}, "it is personal"),
        ({"aggregate": "count", "kind": "order", "where": "subject_id = 'c1'"}, "it names the subject"),
        ({"aggregate": "count", "kind": "order", "where": "revenue + 1"}, "wanted a boolean, got a sum or product"),
        ({"aggregate": "count", "kind": "order", "window_days": 0}, "must be from 1"),
        ({"aggregate": "trend", "kind": "page_view"}, "set window_days"),
        ({"aggregate": "open", "kind": "ticket", "column": "status"}, "needs a timestamp column"),
        ({"aggregate": "count", "kind": "subjects"}, "goes with the kind"),
        ({"aggregate": "count", "kind": "items"}, "not a kind of event"),
        ({"aggregate": "ratio"}, "pair of features"),
    ],
)
def test_impossible_features_are_refused(settings: dict[str, Any], message: str) -> None:
    """A feature that cannot be, or that would leak, is refused when it is written."""
    with pytest.raises(ConfigError, match=message):
        Feature(name="x", **settings)


def test_names_of_features_are_checked() -> None:
    """A name that is no column name, two features of one name, and an unknown kind are refused."""
    with pytest.raises(ConfigError, match="cannot name a feature"):
        Feature(name="Orders 30", kind="order", aggregate="count")
    with pytest.raises(UnknownNameError, match="Did you mean 'order'"):
        Feature(name="x", kind="orders", aggregate="count")
    one, two = (Feature(name="x", kind="order", aggregate="count", window_days=d) for d in (1, 2))
    with pytest.raises(ConfigError, match="Two different features are named 'x'"):
        compile_features([one, two])
    with pytest.raises(UnknownNameError, match="Did you mean 'orders_30d'"):
        named(["orders_30"], {"order"})
    with pytest.raises(UsageError, match="has no time zone"):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 (that is the point)


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Give the chance that a positive scores above a negative, ties counting half."""
    from scipy.stats import rankdata

    ranks = rankdata(score)
    positives = int(label.sum())
    return float((ranks[label].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives)))


def test_a_label_from_the_future_cannot_be_read() -> None:
    """T21: with labels drawn after the moment and written as events and columns, no feature separates them."""
    rng = np.random.default_rng(21)
    n = 8000
    label = rng.random(n) < 0.5
    ids = [f"c{i:05}" for i in range(n)]
    past = AS_OF - timedelta(days=40)
    rows = [
        {"event_id": f"p{i}", "subject_id": ids[i], "ts": past, "received_ts": past, "revenue": 10.0} for i in range(n)
    ]
    for i in np.flatnonzero(label):
        moment = AS_OF + timedelta(microseconds=int(rng.integers(0, 10**12)))
        rows.append({"event_id": f"f{i}", "subject_id": ids[i], "ts": moment, "received_ts": past, "revenue": 999.0})
    for row in rows:
        row["ts"] -= timedelta(microseconds=int(rng.integers(10**10)) if row["ts"] < AS_OF else 0)
    features = default_features({"order"})
    found = run({"order": rows}, features)
    assert found["subject_id"].to_pylist() == ids
    columns = {c: np.nan_to_num(found[c].to_numpy().astype(float)) for c in found.column_names[1:]}
    varied = [c for c, v in columns.items() if v.std() > 0]
    assert varied, "the past itself must differ between subjects"
    for name in varied:
        assert auc(columns[name], label) == pytest.approx(0.5, abs=0.02), name
    train = np.arange(n) % 2 == 0
    design = np.column_stack([np.ones(n), *[(columns[c] - columns[c].mean()) / columns[c].std() for c in varied]])
    weights, *_ = np.linalg.lstsq(design[train], label[train].astype(float), rcond=None)
    assert auc(design[~train] @ weights, label[~train]) == pytest.approx(0.5, abs=0.02)
    shifted = run({"order": rows}, features, as_of=AS_OF + timedelta(days=30))
    assert auc(shifted["revenue_30d"].to_numpy().astype(float), label) > 0.9, "the canary does sing when it is let out"
