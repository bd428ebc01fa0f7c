"""Analysis sees all that is visible, under canonical ids, as of a moment, and nothing outside the workspace."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlglot

from nextbest.errors import IntegrityError, LedgerError, UnknownNameError
from nextbest.ledger import (
    Ledger,
    analysis,
    archive,
    catalogue,
    compaction,
    consent,
    create,
    decisions,
    events,
    identities,
    lists,
    published,
)
from nextbest.ledger.kinds import EVENTS, KINDS
from nextbest.types import NONE, Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace at a fixed moment."""
    with create(tmp_path / "w", clock=lambda: NOW) as made:
        yield made


def states(*rows: dict[str, Any]) -> pa.Table:
    """Give states of subjects in the schema of the kind."""
    return pa.Table.from_pylist(list(rows), schema=KINDS["subjects"].schema())


def event(kind: str, message_id: str, subject_id: str, **columns: Any) -> dict[str, Any]:
    """Give one live event."""
    return {"kind": kind, "message_id": message_id, "subject_id": subject_id, "ts": NOW, **columns}


def test_every_view_has_its_types_without_any_row(ledger: Ledger) -> None:
    """Every view of an empty workspace is empty and has the columns of its kind."""
    for name in analysis.NAMES:
        table = analysis.table(ledger, name)
        assert table.num_rows == 0, name
        if name in KINDS:
            schema = KINDS[name].schema()
            assert {n: table.schema.field(n).type for n in schema.names} == dict(
                zip(schema.names, schema.types, strict=True)
            )


@pytest.mark.parametrize("kind", EVENTS)
def test_live_rows_have_the_types_of_stored_rows(ledger: Ledger, kind: str) -> None:
    """A live event reads like a segment of its kind: the same columns, the same types, the same values."""
    values = {"text": "x", "number": 1.5, "integer": 3, "boolean": True, "timestamp": NOW - DAY}
    given = {"event_id", "subject_id", "subject_type", "ts", "ts_offset_min", "received_ts", "source"}
    own = {c.name: values[c.type] for c in KINDS[kind].columns if c.name not in given}
    (receipt,) = events.ingest(ledger, [event(kind, "m1", "a", **own)], source="api")
    assert receipt.status == "stored", receipt.why
    live = analysis.table(ledger, kind)
    archive.append(ledger, kind, live, source="copy")
    both = analysis.table(ledger, kind).to_pylist()
    assert both[0] == both[1]
    assert {k: both[0][k] for k in own} == own


def test_stored_and_live_rows_stand_together(ledger: Ledger) -> None:
    """The view of a kind is the union of its segments and the journal, and the counts agree."""
    for subject in ("a", "b"):
        archive.append(ledger, "order", pa.table({"subject_id": [subject], "ts": [NOW]}), source="file")
    events.ingest(ledger, [event("order", "m1", "c", revenue=5.0)], source="api")
    assert sorted(analysis.table(ledger, "order")["subject_id"].to_pylist()) == ["a", "b", "c"]
    assert analysis.kinds_present(ledger) == {"order": 3}


def test_merges_apply_to_every_view_and_can_be_undone(ledger: Ledger) -> None:
    """A chain of merges gives one id in stored rows, live rows and links; undoing it gives the ids back."""
    archive.append(ledger, "order", pa.table({"subject_id": ["a", "b", "c"], "ts": [NOW] * 3}), source="file")
    archive.append(ledger, "links", pa.table({"subject_id": ["b"], "to_subject_id": ["c"]}), source="file")
    events.ingest(ledger, [event("order", "m1", "b")], source="api")
    first = identities.merge(ledger, "b", "a", why="test")
    second = identities.merge(ledger, "a", "z", why="test")
    assert sorted(analysis.table(ledger, "order")["subject_id"].to_pylist()) == ["c", "z", "z", "z"]
    (link,) = analysis.table(ledger, "links").to_pylist()
    assert (link["subject_id"], link["to_subject_id"]) == ("z", "c")
    for merge_id in (second, first):
        identities.undo_merge(ledger, merge_id)
    assert sorted(analysis.table(ledger, "order")["subject_id"].to_pylist()) == ["a", "b", "b", "c"]


def test_subjects_are_the_last_known_value_of_every_column(ledger: Ledger) -> None:
    """A later state without a value does not hide an earlier one, as the plain loop over the states says."""
    rng = random.Random(3)
    rows = [
        {
            "subject_id": f"s{rng.randrange(20)}",
            "valid_from": NOW - rng.randrange(1000) * timedelta(hours=1),
            "email": rng.choice([None, f"{rng.randrange(9)}@example.com"]),
            "order_count": rng.choice([None, float(rng.randrange(9))]),
        }
        for _ in range(300)
    ]
    for part in (rows[:100], rows[100:]):
        archive.append(ledger, "subjects", states(*part), source="test")
    for before in (None, NOW - 20 * DAY):
        expected: dict[str, dict[str, Any]] = {}
        chosen = [r for r in rows if before is None or r["valid_from"] < before]
        for row in sorted(chosen, key=lambda r: (r["valid_from"], r["email"] or "", r["order_count"] or 0)):
            expected.setdefault(row["subject_id"], {}).update({k: v for k, v in row.items() if v is not None})
        found = analysis.table(ledger, "subjects", before=before, columns=["subject_id", "email", "order_count"])
        assert found.num_rows == len(expected)
        for row in found.to_pylist():
            want = expected[row["subject_id"]]
            assert row["email"] == want.get("email")
            ties = {r["order_count"] for r in chosen if r["subject_id"] == row["subject_id"]}
            assert row["order_count"] in ties
    assert analysis.table(ledger, "subjects_history").num_rows == 300


def test_the_latest_state_is_the_same_in_every_order_of_the_rows(ledger: Ledger, tmp_path: Path) -> None:
    """Two states of the same moment give the same latest state whichever was stored first."""
    rows = [{"subject_id": "a", "valid_from": NOW, "email": f"{i}@example.com"} for i in range(5)]
    archive.append(ledger, "subjects", states(*rows), source="test")
    with create(tmp_path / "other", clock=lambda: NOW) as other:
        archive.append(other, "subjects", states(*reversed(rows)), source="test")
        emails = [analysis.table(w, "subjects")["email"].to_pylist() for w in (ledger, other)]
    assert emails[0] == emails[1]


def test_a_table_as_of_a_moment_ignores_what_came_later(ledger: Ledger) -> None:
    """Rows at or after the moment are left out, and so are corrections that were received later, when asked."""
    table = pa.table({
        "event_id": ["1", "2", "3"], "subject_id": ["a", "b", "c"],
        "ts": [NOW - 2 * DAY, NOW - DAY, NOW - 2 * DAY], "received_ts": [NOW - 2 * DAY, NOW - DAY, NOW],
    })  # fmt: skip
    archive.append(ledger, "order", table, source="test")
    cut = NOW - DAY
    assert analysis.table(ledger, "order", before=cut, columns=["subject_id"])["subject_id"].to_pylist() == ["a", "c"]
    known = analysis.table(ledger, "order", before=cut, known_before=cut, columns=["subject_id"])
    assert known["subject_id"].to_pylist() == ["a"]
    assert analysis.table(ledger, "order", since=cut, columns=["subject_id"])["subject_id"].to_pylist() == ["b"]
    rows = [{"subject_id": "a", "valid_from": NOW - n * DAY, "received_ts": NOW - DAY, "city": f"{n}"} for n in (9, 5)]
    rows.append(rows[0] | {"valid_from": NOW - 4 * DAY, "received_ts": NOW, "city": "correction"})
    archive.append(ledger, "subjects", states(*rows), source="test")
    cities = [
        analysis.table(ledger, "subjects", columns=["city"], **limits)["city"].to_pylist()
        for limits in ({}, {"before": NOW - 5 * DAY}, {"before": NOW, "known_before": NOW})
    ]
    assert cities == [["correction"], ["9"], ["5"]]


def test_an_event_without_a_category_has_that_of_its_product_when_it_happened(ledger: Ledger) -> None:
    """The category is its own, else what a loop over the product's states finds: stored or live, merged, none later."""
    rng = random.Random(5)
    items = [
        {
            "item_id": f"p{rng.randrange(8)}",
            "valid_from": rng.choice([None, NOW - rng.randrange(60) * DAY]),
            "category": rng.choice([None, "a", "b", "c"]),
        }
        for _ in range(40)
    ]
    lines: list[dict[str, Any]] = [
        {
            "event_id": f"e{n}",
            "subject_id": f"s{n % 3}",
            "ts": NOW - rng.randrange(1, 60) * DAY,
            "received_ts": NOW,
            "product_id": rng.choice([None, *(f"p{i}" for i in range(10))]),
            "category": rng.choice([None, None, "own"]),
        }
        for n in range(120)
    ]
    rows = pa.Table.from_pylist(lines[::2], schema=KINDS["order_line"].schema())
    archive.append(ledger, "order_line", rows, source="test")
    for row in lines[1::2]:
        given = {k: row[k] for k in ("subject_id", "ts", "product_id", "category") if row[k] is not None}
        events.ingest(ledger, [{"kind": "order_line", "message_id": row["event_id"], **given}], source="api")
    alone = analysis.table(ledger, "order_line", columns=["event_id", "category"]).to_pylist()
    assert {r["event_id"]: r["category"] for r in alone} == {r["event_id"]: r["category"] for r in lines}
    archive.append(ledger, "items", pa.Table.from_pylist(items, schema=KINDS["items"].schema()), source="test")
    identities.merge(ledger, "s1", "s2", why="the same person")
    for columns in (["event_id", "category"], None):
        found = analysis.table(ledger, "order_line", columns=columns).to_pylist()
        assert {r["event_id"]: r["category"] for r in found} == {r["event_id"]: said_of(r, items) for r in lines}
    count = sqlglot.parse_one("SELECT count(*) AS n FROM order_line WHERE category = 'a'", dialect="duckdb")
    assert analysis.fetch(ledger, count)["n"].to_pylist() == [sum(said_of(r, items) == "a" for r in lines)]


def said_of(line: dict[str, Any], items: list[dict[str, Any]]) -> str | None:
    """Give the category of a line: its own, or the last that its product had by then."""
    then = [
        (i["valid_from"] or NOW - 999 * DAY, i["category"])
        for i in items
        if i["item_id"] == line["product_id"]
        and i["category"]
        and (i["valid_from"] is None or i["valid_from"] <= line["ts"])
    ]
    own: str | None = line["category"]
    return own or max(then, default=(NOW, None))[1]


def decision(decision_id: str, subject_id: str) -> Decision:
    """Give a live decision between an action and none, a rule having removed a third."""
    return Decision(
        decision_id=decision_id, play="p", subject_id=subject_id, ts=NOW, action_id="mail", choice_probability=0.9,
        candidates=(
            Candidate(action_id="mail", response_probability=0.2, expected_value=3.0, choice_probability=0.9),
            Candidate(action_id=NONE.id, choice_probability=0.1),
            Candidate(action_id="call", removed_by="quiet_hours"),
        ),
        features={"orders_30d": 2.0}, model_versions={"churn": "m1"},
    )  # fmt: skip


def test_decisions_and_their_candidates_are_views(ledger: Ledger) -> None:
    """The log reads alike from the journal and from a bulk segment, one row per decision, and one per candidate."""
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [decision("d1", "a")]))
    rows = analysis.table(ledger, "decisions").select(decisions.DECISION_SCHEMA.names).cast(decisions.DECISION_SCHEMA)
    bulk = rows.set_column(0, "decision_id", pa.array(["d2"]))
    with ledger.journal.read() as connection:
        version = consent.version(connection)
    assert lists.log_table(ledger, "p", bulk, consent_version=version)
    one, two = analysis.table(ledger, "decisions").sort_by("decision_id").to_pylist()
    assert {k: v for k, v in one.items() if k != "decision_id"} == {k: v for k, v in two.items() if k != "decision_id"}
    found = analysis.table(ledger, "candidates").to_pylist()
    assert [(c["action_id"], c["is_chosen"], c["removed_by"]) for c in found[:3]] == [
        ("mail", True, None),
        ("none", False, None),
        ("call", False, "quiet_hours"),
    ]
    assert len(found) == 6
    assert analysis.kinds_present(ledger) == {"decisions": 2}


def test_published_predictions_are_a_view(ledger: Ledger) -> None:
    """Published predictions read as one row per subject, recipe and name; a text has no number."""
    table = pa.table({"subject_id": ["a"], "churn_probability": [0.25], "segment": ["loyal"]})
    published.publish(ledger, "churn", "m1", NOW, table)
    found = {r["name"]: (r["value"], r["model_id"]) for r in analysis.table(ledger, "predictions").to_pylist()}
    assert found == {"churn_probability": (0.25, "m1"), "segment": (None, "m1")}


def test_fetch_takes_parameters_and_tables(ledger: Ledger) -> None:
    """An expression reads views, given tables and bound parameters together."""
    archive.append(
        ledger, "order", pa.table({"subject_id": ["a", "b"], "ts": [NOW] * 2, "revenue": [3.0, 4.0]}), source="f"
    )
    query = sqlglot.parse_one(
        'SELECT o.subject_id, revenue * weight AS v FROM "order" AS o JOIN weights USING (subject_id) WHERE v > $low',
        dialect="duckdb",
    )
    weights = pa.table({"subject_id": ["a", "b"], "weight": [1.0, 10.0]})
    assert analysis.fetch(ledger, query, parameters={"low": 5}, tables={"weights": weights}).to_pylist() == [
        {"subject_id": "b", "v": 40.0}
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('{workspace}/.secret')",
        "COPY (SELECT 1) TO '{workspace}/out.csv'",
        "INSTALL httpfs",
        "ATTACH '{workspace}/x.db'",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
    ],
)
def test_the_connection_is_locked(ledger: Ledger, statement: str) -> None:
    """Files outside the archive, extensions, other databases and settings are out of reach."""
    import duckdb

    with analysis.connect(ledger) as connection, pytest.raises(duckdb.Error, match=r"disabled|locked"):
        connection.execute(statement.replace("{workspace}", str(ledger.path)))


def test_a_python_variable_is_not_a_table(ledger: Ledger) -> None:
    """A query never reads a variable of the calling code."""
    secret_table = pa.table({"a": [1]})
    query = sqlglot.parse_one("SELECT * FROM secret_table", dialect="duckdb")
    with pytest.raises(LedgerError, match="secret_table"):
        analysis.fetch(ledger, query)
    assert secret_table.num_rows == 1


def test_an_unknown_table_names_the_near_one(ledger: Ledger) -> None:
    """A mistyped table is refused with the word that was meant."""
    with pytest.raises(UnknownNameError, match="Did you mean 'order'"):
        analysis.table(ledger, "oder")


def test_temporary_files_go_with_the_connection(tmp_path: Path) -> None:
    """What a large sort puts on disk is inside the workspace and gone when the connection closes."""
    text = 'name = "w"\n[limits]\nmemory_mb = 100\n'
    query = "CREATE TEMP TABLE t AS SELECT i, 'padding ' || i AS s FROM range(4000000) AS r(i)"
    with create(tmp_path / "w", config_text=text, clock=lambda: NOW) as ledger:
        with analysis.connect(ledger, []) as connection:
            connection.execute(query)
            assert any(p.is_file() for p in (ledger.path / ".tmp").rglob("*"))
        assert list((ledger.path / ".tmp").iterdir()) == []


def test_compaction_moves_live_rows_and_changes_no_view(ledger: Ledger) -> None:
    """Live events become one segment per kind with the same rows, and a message sent again is still a duplicate."""
    sent = [event("order", f"m{i}", f"c{i % 7}", revenue=float(i), cancelled_ts=NOW) for i in range(50)]
    events.ingest(ledger, [*sent, event("page_view", "v1", "a", url="/")], source="api")
    before = analysis.table(ledger, "order")
    assert compaction.compact(ledger, least=10) == 50
    assert analysis.table(ledger, "order").equals(before)
    assert analysis.kinds_present(ledger) == {"order": 50, "page_view": 1}
    (segment,) = catalogue.listing(ledger)
    assert (segment.kind, segment.rows) == ("order", 50)
    assert {r.status for r in events.ingest(ledger, sent[:3], source="api")} == {"duplicate"}
    assert compaction.compact(ledger, least=10) == 0


def test_an_analysis_never_loses_rows_to_a_compaction(ledger: Ledger) -> None:
    """An analysis that listed its segments before a compaction refuses to read live rows after it."""
    events.ingest(ledger, [event("order", f"m{i}", "a") for i in range(20)], source="api")
    query = sqlglot.parse_one('SELECT count(*) AS n FROM "order"', dialect="duckdb")
    with analysis.connect(ledger) as connection:
        assert analysis.run(connection, query).to_pylist() == [{"n": 20}]
        assert compaction.compact(ledger, least=10) == 20
        with pytest.raises(LedgerError, match="Live rows became segments during this analysis"):
            analysis.run(connection, query)
    assert analysis.fetch(ledger, query).to_pylist() == [{"n": 20}]


def test_a_segment_that_is_gone_is_an_error_with_a_remedy(ledger: Ledger) -> None:
    """Where a file of the archive is missing, an analysis says so and names the command that tells which."""
    archive.append(ledger, "subjects", states({"subject_id": "c1"}), source="s")
    (segment,) = (ledger.path / "archive").rglob("*.parquet")
    segment.unlink()
    with pytest.raises(IntegrityError, match="nextbest verify"), analysis.connect(ledger, ["subjects"]):
        pass
