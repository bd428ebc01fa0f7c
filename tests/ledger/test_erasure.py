"""An erased person is nowhere in the workspace, and nobody else is touched."""

from __future__ import annotations

import csv
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ledger.makers import NOW, decision, event

from nextbest.ledger import (
    Ledger,
    analysis,
    archive,
    catalogue,
    chain,
    consent,
    create,
    decisions,
    erasure,
    events,
    feedback,
    idempotency,
    identities,
    intake,
    lists,
    marks,
    outbox,
    outcomes,
    places,
    published,
)
from nextbest.ledger.kinds import KINDS
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping
from nextbest.ledger.workspace import new_id
from nextbest.types import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.clocks import Clock

PERSON = "cnrysubject"
SECOND = "crm:cnrysecond"  # the same person under another id
EMAIL = "cnrymail@example.com"
PHONE = "+49 170 5550001"
NAME = "Cnryfirst Cnrylast"
OTHER = "other"
LOGGED = {"cnry": "d1", "keep": "d2"}  # ids of decisions are opaque: they stay in the audit chain
VALUES: dict[str, Any] = {"number": 1.5, "integer": 2, "boolean": True, "timestamp": NOW}
LEAVE = {"ts", "ts_offset_min", "received_ts", "event_id"}


def rows_of(kind: str, subject: str, mark: str) -> pa.Table:
    """Give one row of a kind with a canary of its own in every text column."""
    columns = KINDS[kind].columns
    row = {c.name: f"{mark}{kind}{c.name}" if c.type == "text" else VALUES[c.type] for c in columns}
    return pa.Table.from_pylist([row | {"subject_id": subject} | _known(kind, mark)], schema=KINDS[kind].schema())


def _known(kind: str, mark: str) -> dict[str, str]:
    if mark != "cnry" or kind not in {"subjects", "identities"}:
        return {}
    if kind == "identities":
        return {"identity": EMAIL}
    return {"email": EMAIL, "phone": PHONE, "first_name": "Cnryfirst", "last_name": "Cnrylast", "name": NAME}


def fill(ledger: Ledger, subject: str, mark: str) -> None:
    """Put a person into every place that the ledger has."""
    for kind in KINDS:
        if kind != "items":
            archive.append(ledger, kind, rows_of(kind, subject, mark), source="file")
    for kind in ("order", "review", "custom"):
        texts = {c.name: f"{mark}live{c.name}" for c in KINDS[kind].columns if c.type == "text" and c.name not in LEAVE}
        own = {k: v for k, v in texts.items() if k not in {"subject_id", "source", "subject_type"}}
        live = {"kind": kind, "message_id": f"{mark}message{kind}", "subject_id": subject, "ts": NOW, **own}
        (receipt,) = events.ingest(ledger, [live], source="api")
        assert receipt.status == "stored", receipt.why
    consent.record(ledger, subject, allow=True, proof=f"{mark}proof", source=f"{mark}form")
    identities.link(ledger, subject, identity_type="email", identity=EMAIL if mark == "cnry" else f"{mark}@example.org")
    made = decision(
        len(mark), subject_id=subject, decision_id=LOGGED[mark], context={"page": f"{mark}page"}, reason=f"{mark}reason"
    )
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [made]))
    _bulk(ledger, subject, mark)
    feedback.record(ledger, LOGGED[mark], verdict="reject", by="operator", note=f"{mark}note")
    message = outbox.Message(
        key=f"{mark}key", decision_id=LOGGED[mark], play="win_back", subject_id=subject, channel="email",
        action_id="coupon", due=NOW, payload={"to": f"{mark}payload"},
    )  # fmt: skip
    ledger.journal.write(lambda connection: outbox.enqueue(connection, [message]))
    outcomes.record(ledger, [
        Outcome(outcome_id=f"{mark}1", subject_id=subject, ts=NOW, name="order", source=f"{mark}till"),
        Outcome(outcome_id=f"{mark}2", subject_id=f"{mark}alias", decision_id=LOGGED[mark], ts=NOW, name="order"),
    ])  # fmt: skip
    predictions = pa.table({"subject_id": [subject], "churn_probability": [0.5], "segment": [f"{mark}segment"]})
    published.publish(ledger, f"churn{len(mark)}", "m1", NOW, predictions)
    ledger.journal.write(
        lambda connection: idempotency.store(
            connection, f"{mark}idem", "d", f'{{"who": "{subject}"}}'.encode(), now=NOW
        )
    )


def _bulk(ledger: Ledger, subject: str, mark: str) -> None:
    """Log a decision in bulk, beside one of somebody else in the same segment."""
    rows = [
        {
            **dict.fromkeys(decisions.DECISION_SCHEMA.names, ""), "decision_id": new_id("d"), "play": "win_back",
            "mode": "live", "arm": "policy", "subject_id": who, "ts": NOW, "context": f'{{"page": "{who}page"}}',
            "candidates": [{"action_id": "coupon"}], "action_id": "coupon", "choice_probability": 1.0, "seed": 1,
            "features": "{}", "model_versions": "{}", "consent_version": 0, "degraded": False, "latency_us": 1,
        }
        for who in (subject, f"beside{len(mark)}")
    ]  # fmt: skip
    with ledger.journal.read() as connection:
        version = consent.version(connection)
    table = pa.Table.from_pylist(rows, schema=decisions.DECISION_SCHEMA)
    assert lists.log_table(ledger, "win_back", table, consent_version=version)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Give a workspace where two people are in every place, one of them under two ids and in rejected lines."""
    from tests.ledger.makers import CONFIG

    with create(tmp_path / "acme", config_text=CONFIG, clock=clock) as made:
        fill(made, OTHER, "keep")
        fill(made, PERSON, "cnry")
        archive.append(made, "order", pa.table({"subject_id": [SECOND, "third"], "ts": [NOW] * 2}), source="crm")
        identities.merge(made, SECOND, PERSON, why="cnrywhy")
        _reject(made)
        for model, people in (("m1", [PERSON, OTHER]), ("m2", [OTHER])):
            (made.path / "models" / model).mkdir()
            (made.path / "models" / model / marks.SUBJECTS).write_bytes(marks.subjects_bytes(made, people))
        yield made


def _reject(ledger: Ledger) -> None:
    (ledger.path / "rejects").mkdir()
    with (ledger.path / "rejects" / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([
            ["line", "column", "subject", "value", "reason", "remedy"],
            ["1", "Created at", "", "cnryunowned", "not a date", "write a date"],
            ["2", "Email", OTHER, "keptvalue", "not an address", "write one"],
            ["3", "Email", PERSON, "cnryvalue", "not an address", "write one"],
            ["4", "Raw", "someone", f"a;cnrysecond;b\n{EMAIL.upper()}", "no", "no"],
            ["5", "Phone", "someone", "0049 (170) 555 0001", "no", "no"],
            ["6", "Name", "someone", f"dear {NAME}, cnrytext", "no", "no"],
        ])  # fmt: skip


def residue(folder: Path, canaries: Iterable[str]) -> list[str]:
    """Give every file that still holds one of the texts, as bytes in three encodings or as a Parquet value."""
    wanted = [(c, [c.encode(e) for e in ("utf-8", "utf-16-le", "utf-16-be")]) for c in canaries]
    hits = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes().lower()
        values = str(pq.read_table(path).to_pylist()).lower().encode() if path.suffix == ".parquet" else b""
        for canary, spellings in wanted:
            if any(s.lower() in data for s in spellings) or canary.lower().encode() in values:
                hits.append(f"{path.relative_to(folder)}: {canary}")
    return hits


CANARIES = ("cnry", "5550001", "555 0001", "1705550001")


def test_the_scan_finds_what_is_there(ledger: Ledger) -> None:
    """Before the erasure, the scan finds the person in the journal, in every kind's segments and in the rejects."""
    hit = {h.partition(":")[0].rpartition("/")[0] or h.partition(":")[0] for h in residue(ledger.path, CANARIES)}
    expected = {f"archive/{kind}" for kind in KINDS if kind != "items"} | {"archive/decision", "rejects"}
    assert expected <= hit
    assert "ledger.sqlite-wal" in hit


def test_nothing_of_an_erased_person_is_left(ledger: Ledger) -> None:
    """A scan of all bytes and all Parquet values finds none of the person's texts, and everything verifies."""
    receipt = erasure.erase(ledger, PERSON)
    assert residue(ledger.path, CANARIES) == []
    assert receipt.notes == ()
    verified = chain.verify(ledger)
    assert verified.ok, verified.problems
    assert archive.verify(ledger) == []
    assert receipt.models_marked == ("m1",)
    ledger.journal.close()
    assert residue(ledger.path, CANARIES) == []


def test_the_receipt_counts_every_place(ledger: Ledger) -> None:
    """The receipt names every place with the rows that went, and a table or kind without any is not named."""
    removed = dict(erasure.erase(ledger, PERSON).removed)
    assert removed.pop("rejects/orders.csv") == 5
    assert {k: v for k, v in removed.items() if k.startswith("archive/")} == {
        **{f"archive/{kind}": 1 for kind in KINDS if kind != "items"}, "archive/order": 2, "archive/decision": 1,
    }  # fmt: skip
    assert {k: v for k, v in removed.items() if not k.startswith("archive/")} == {
        "event": 3, "outcome": 2, "consent": 1, "identity": 1, "merge": 1, "decision": 1, "contact": 2, "feedback": 1,
        "outbox": 1, "published": 1, "idempotency": 1,
    }  # fmt: skip


def test_other_people_are_untouched(ledger: Ledger) -> None:
    """Every row of everybody else reads as before, and their decisions still verify."""
    names = [n for n in analysis.NAMES if n != "predictions"]

    def others() -> dict[str, list[dict[str, Any]]]:
        mine = {PERSON, "cnryalias"}
        found = {n: analysis.table(ledger, n).to_pylist() for n in names}
        return {n: [r for r in rows if r.get("subject_id") not in mine] for n, rows in found.items()}

    before = others()
    erasure.erase(ledger, PERSON)
    after = others()
    for name in names:
        assert sorted(map(str, after[name])) == sorted(map(str, before[name])), name
    with (ledger.path / "rejects" / "orders.csv").open(newline="", encoding="utf-8") as file:
        assert [row[:4] for row in csv.reader(file)] == [
            ["line", "column", "subject", "value"], ["1", "Created at", "", ""], ["2", "Email", OTHER, "keptvalue"],
        ]  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    """Give the bytes of every file but the journal's own."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "ledger.sqlite" not in p.name}


def dump(ledger: Ledger) -> list[str]:
    """Give the journal as text."""
    with ledger.journal.read() as connection:
        return list(connection.iterdump())


def test_a_dry_run_lists_the_same_and_changes_nothing(ledger: Ledger) -> None:
    """The dry run gives the counts of the erasure that follows, and every file and row is as it was."""
    files, rows = snapshot(ledger.path), dump(ledger)
    planned = erasure.erase(ledger, PERSON, dry_run=True)
    assert planned.dry_run
    assert snapshot(ledger.path) == files
    assert dump(ledger) == rows
    done = erasure.erase(ledger, PERSON)
    assert (done.removed, done.models_marked) == (planned.removed, planned.models_marked)


def test_an_erased_person_is_never_contacted_again(ledger: Ledger) -> None:
    """The erased ids and the same e-mail under a new id stay closed to contact, though only hashes are kept."""
    erasure.erase(ledger, PERSON)
    identities.link(ledger, "newcomer", identity_type="email", identity=EMAIL)
    consent.record(ledger, "newcomer", allow=True, proof="form")
    with ledger.journal.read() as connection:
        gate = consent.gate(connection, ledger.config, purpose="marketing", channels=["email"])
    assert gate.removed([PERSON, SECOND, OTHER, "newcomer"], "email") == [
        "consent:erased", "consent:erased", None, "suppressed",
    ]  # fmt: skip


def test_a_loader_beside_an_erasure_makes_it_look_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment about the person that becomes visible while others are being rewritten is erased too."""
    original, done = erasure._remove, []

    def slow(*given: Any) -> Any:
        if not done:
            done.append(archive.append(ledger, "order", rows_of("order", PERSON, "cnry"), source="late"))
        return original(*given)

    monkeypatch.setattr(erasure, "_remove", slow)
    assert erasure.erase(ledger, PERSON).removed["archive/order"] == 3
    assert residue(ledger.path, CANARIES) == []


def test_every_table_of_the_journal_has_its_place(ledger: Ledger) -> None:
    """Whoever adds a table must say in places.py what erasure does there."""
    with ledger.journal.read() as connection:
        asked = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        tables = {row[0] for row in connection.execute(asked)}
    assert tables == {p.name for p in places.TABLES}
    assert set(places.DELETED) <= tables


def test_every_file_of_a_workspace_has_its_place(ledger: Ledger) -> None:
    """Whoever adds a file to the workspace must say in places.py what erasure does there."""
    found = [str(p.relative_to(ledger.path)) for p in ledger.path.rglob("*") if p.is_file()]
    assert len(found) > 10
    assert [p for p in found if places.place_of(p) is None] == []


def test_a_place_that_erasure_leaves_says_why() -> None:
    """Every place that erasure does not empty has its reason."""
    kept = [p for p in (*places.TABLES, *places.FILES) if p.how in {"keyed_hash", "nothing_personal", "kept", "mark"}]
    assert [p.name for p in kept if not p.why] == []


def test_a_segment_with_nobody_left_is_gone(ledger: Ledger) -> None:
    """A segment that held only the person leaves no file and no catalogue row."""
    before = len(catalogue.listing(ledger, "order"))
    erasure.erase(ledger, PERSON)
    assert len(catalogue.listing(ledger, "order")) == before - 1
    assert len(list((ledger.path / "archive" / "order").iterdir())) == before - 1


def test_erasing_twice_gives_an_empty_second_receipt(ledger: Ledger) -> None:
    """A second erasure finds nothing, and still gives a receipt of its own."""
    first = erasure.erase(ledger, PERSON)
    second = erasure.erase(ledger, PERSON)
    assert (dict(second.removed), second.receipt_id != first.receipt_id) == ({}, True)
    assert chain.verify(ledger).ok


def test_live_rows_alone_are_erased_too(ledger: Ledger) -> None:
    """A person known only by live events leaves no trace and the rest stays."""
    events.ingest(ledger, [event("x", subject_id="cnrzalone"), event("y", subject_id="stays")], source="api")
    (ledger.path / "rejects" / "orders.csv").unlink()
    assert erasure.erase(ledger, "cnrzalone").removed == {"event": 1}
    assert residue(ledger.path, ["cnrzalone"]) == []
    assert "stays" in analysis.table(ledger, "order")["subject_id"].to_pylist()


def test_rows_deleted_long_ago_leave_no_copies(ledger: Ledger) -> None:
    """Copies of deleted rows, which SQLite leaves behind when it rebalances pages, are gone after any erasure."""
    rng, there, gone = random.Random(2), set[str](), set[str]()

    def churn(connection: sqlite3.Connection) -> None:
        for i in range(12000):
            who = f"churned{rng.randrange(400):06d}x"
            if rng.random() < 0.8:
                row = (who, f"{who}{rng.random()}" * rng.randrange(1, 5), str(i))
                connection.execute("INSERT OR IGNORE INTO identity VALUES (?, 'email', ?, ?, 0, '')", row)
                there.add(who)
                gone.discard(who)
            else:
                connection.execute("DELETE FROM identity WHERE subject_id = ?", [who])
                there.discard(who)
                gone.add(who)

    ledger.journal.write(churn)
    ledger.journal.checkpoint()
    assert residue(ledger.path, gone) != []  # else this test shows nothing
    erasure.erase(ledger, min(there))
    assert residue(ledger.path, gone | {min(there)}) == []


def test_a_person_who_came_by_import_is_erased(ledger: Ledger) -> None:
    """What intake stored, linked and rejected about a person is gone; the load itself stays on record."""
    rules = ("email", "first_name", "last_name", "phone", "city", "address")
    emit = Emit(
        kind="subjects",
        columns=(
            *(ColumnRule(to=n, source=n) for n in rules),
            ColumnRule(to="created_ts", source="made", parse="timestamp"),
        ),
        subject=(
            ColumnRule(to="subject_id", source="id", parse="id"),
            ColumnRule(to="email", source="email", parse="email"),
        ),
    )
    mapping = FileMapping(system="generic", table="people", confidence=1.0, emits=(emit,), namespace="shop")
    data = pa.table({
        "id": ["zcnr1", "zcnr1", "kept1", "", "zcnr1"],
        "email": ["zcnr1@example.com", "", "kept1@example.com", "zcnrnobody@example.com", "zcnr1@example.com"],
        "first_name": ["Zcnrfirst", "", "Kept", "Zcnrsecond", "Zcnrfirst"],
        "last_name": ["Zcnrlast", "", "Kept", "", "Zcnrlast"],
        "phone": ["", "+49 170 7777777", "", "", ""],
        "city": ["zcnrcity", "", "keptcity", "", ""],
        "address": ["zcnrstreet 1", "", "", "zcnrlane", ""],
        "made": ["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04", "zcnr 45/13/2025"],
    })  # fmt: skip
    loaded = intake.import_table(ledger, data, mapping, name="people.csv", digest="abc12345")
    assert (loaded.rows_read, loaded.rows_rejected) == (5, 1)
    assert residue(ledger.path, ["zcnr1", "zcnr 45"]) != []
    erasure.erase(ledger, identities.resolve(ledger, "zcnr1@example.com"))
    erasure.erase(ledger, identities.resolve(ledger, "zcnrnobody@example.com"))
    assert residue(ledger.path, ["zcnr", "7777777", "777 7777"]) == []
    assert "shop:kept1" in analysis.table(ledger, "subjects")["subject_id"].to_pylist()
    assert intake.import_table(ledger, data, mapping, name="people.csv", digest="abc12345").already_loaded
    assert chain.verify(ledger).ok
