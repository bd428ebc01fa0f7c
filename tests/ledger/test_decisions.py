"""The decision log: whole rows, singly and in bulk, with their contacts; and what people say to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ledger.makers import NOW, decision

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import analysis, catalogue, chain, consent, contacts, decisions, feedback, identities, lists
from nextbest.types import Candidate

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.types import Decision


def log(ledger: Ledger, *made: Decision) -> None:
    """Log decisions as the engine does."""
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, made))


def as_table(*made: Decision) -> pa.Table:
    """Give decisions as a play decided in bulk has them."""
    rows: list[dict[str, Any]] = []
    for one in made:
        row = {name: getattr(one, name) for name in decisions.DECISION_SCHEMA.names}
        row |= {name: chain.row_bytes([row[name]])[1:-1].decode() for name in ("context", "features", "model_versions")}
        rows.append(row | {"candidates": [{f: getattr(c, f) for f in c.__slots__} for c in one.candidates]})
    return pa.Table.from_pylist(rows, schema=decisions.DECISION_SCHEMA)


def test_a_decision_comes_back_as_it_was_logged(ledger: Ledger) -> None:
    """The journal gives back every field, singly logged or in bulk; an unknown id is an error."""
    single, bulk = decision(1, degraded=True, choice_probability=None), decision(2, arm="random", latency_us=12)
    log(ledger, single)
    assert lists.log_table(ledger, "win_back", as_table(bulk), consent_version=0)
    assert decisions.get(ledger, "d1") == single
    assert decisions.get(ledger, "d2") == bulk
    with pytest.raises(UnknownNameError, match="no decision 'd3'"):
        decisions.get(ledger, "d3")


def test_how_sure_the_learner_was_is_kept_and_older_files_lack_it(ledger: Ledger) -> None:
    """Spreads come back singly, from lists and in an analysis, also beside segments from before they were kept."""
    sure = decision(1)
    wide = replace(sure, candidates=tuple(replace(c, spread=0.25 * i) for i, c in enumerate(sure.candidates)))
    made = {name: replace(wide, decision_id=name, subject_id=name) for name in ("single", "older", "list")}
    log(ledger, made["single"])
    for name in ("older", "list"):
        assert lists.log_table(ledger, "win_back", as_table(made[name]), consent_version=0)
    with ledger.journal.read() as connection:
        (first, _) = catalogue.segments(connection, decisions.KIND)
    table = pq.read_table(ledger.path / first.path)
    old = pa.list_(pa.struct([f for f in decisions.CANDIDATE if f.name != "spread"]))
    told = [[{k: v for k, v in c.items() if k != "spread"} for c in row] for row in table["candidates"].to_pylist()]
    place = table.column_names.index("candidates")
    pq.write_table(table.set_column(place, "candidates", pa.array(told, old)), ledger.path / first.path)
    assert [decisions.get(ledger, name).candidates == wide.candidates for name in made] == [True, False, True]
    assert {c.spread for c in decisions.get(ledger, "older").candidates} == {0.0}
    rows = analysis.table(ledger, "candidates", columns=("decision_id", "spread")).to_pylist()
    spreads = {name: [row["spread"] for row in rows if row["decision_id"] == name] for name in made}
    assert spreads == {"single": [0.0, 0.25, 0.5], "older": [None] * 3, "list": [0.0, 0.25, 0.5]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"choice_probability": None}, "choice probability"),
        ({"choice_probability": 0.0}, "choice probability"),
        ({"choice_probability": 1.2}, "choice probability"),
        ({"choice_probability": float("nan")}, "choice probability"),
        ({"action_id": "banner"}, "removed"),
        ({"action_id": "letter"}, "candidate"),
        ({"candidates": ()}, "candidate"),
    ],
)
def test_what_cannot_be_learnt_from_is_not_logged(ledger: Ledger, changes: dict[str, Any], problem: str) -> None:
    """A decision without its probability, or for an action that was ruled out, is refused singly and in bulk."""
    bad = replace(decision(1), **changes)
    with pytest.raises(DataError, match=problem):
        log(ledger, decision(0), bad)
    with pytest.raises(DataError, match=problem):
        lists.log_table(ledger, "win_back", as_table(decision(0), bad), consent_version=0)
    with pytest.raises(UnknownNameError, match="d0"):
        decisions.get(ledger, "d0")
    assert chain.verify(ledger).links == 1


def test_a_bulk_log_is_void_when_a_permission_moved(ledger: Ledger) -> None:
    """After an opt-out the play must be decided again: nothing is kept, no file, no contact."""
    consent.record(ledger, "c1", allow=False, proof="mail")
    assert lists.log_table(ledger, "win_back", as_table(decision(1)), consent_version=0) is None
    with ledger.journal.read() as connection:
        assert contacts.recent(connection, since=NOW).num_rows == 0
    assert list((ledger.path / "archive").rglob("*.parquet")) == []


def test_an_empty_play_is_a_segment_of_nothing(ledger: Ledger) -> None:
    """A play that reached nobody is still on record, and verifies."""
    assert lists.log_table(ledger, "win_back", as_table(), consent_version=0)
    assert chain.verify(ledger).problems == ()


def test_a_table_without_a_column_is_refused(ledger: Ledger) -> None:
    """A missing column is named."""
    with pytest.raises(DataError, match="lack the columns seed"):
        lists.log_table(ledger, "win_back", as_table(decision(1)).drop_columns("seed"), consent_version=0)


def test_contacts_are_what_reached_a_person(ledger: Ledger) -> None:
    """Outbound live decisions count against the caps; content, none, shadow and replay do not; unknown plays do."""
    shown = tuple(replace(c, removed_by=None) for c in decision(0).candidates)
    log(
        ledger,
        decision(1),
        decision(2, action="none"),
        decision(3, action="banner", candidates=shown),
        decision(4, mode="shadow"),
        decision(5, mode="replay"),
        decision(6, play="by_hand", candidates=(Candidate(action_id="letter"),), action="letter"),
    )
    lists.log_table(ledger, "win_back", as_table(decision(7), decision(8, action="none")), consent_version=0)
    with ledger.journal.read() as connection:
        found = contacts.recent(connection, since=NOW).to_pylist()
    assert [(r["subject_id"], r["channel"]) for r in found] == [("c1", "email"), ("c6", ""), ("c7", "email")]
    assert found[0] == {
        "subject_id": "c1", "ts": NOW, "channel": "email", "play": "win_back", "action_id": "coupon",
    }  # fmt: skip


def test_contacts_are_counted_over_all_ids_of_a_subject(ledger: Ledger) -> None:
    """The count covers merged ids, the time since a moment, and one channel or all."""
    log(ledger, decision(1), decision(2, ts=NOW - timedelta(days=8)))
    identities.merge(ledger, "c1", "c2", why="same person")
    with ledger.journal.read() as connection:
        week, month = NOW - timedelta(days=7), NOW - timedelta(days=30)
        assert contacts.count(connection, "c1", since=month) == contacts.count(connection, "c2", since=month) == 2
        assert contacts.count(connection, "c2", since=week) == 1
        assert contacts.count(connection, "c2", since=month, channel="sms") == 0
        assert contacts.recent(connection, since=month)["subject_id"].to_pylist() == ["c2", "c2"]


def test_a_person_may_approve_change_or_reject(ledger: Ledger) -> None:
    """Judgements are appended, chained and given back in order; a change names a candidate."""
    log(ledger, decision(1))
    feedback.record(ledger, "d1", verdict="reject", by="ann", note="customer is angry")
    feedback.record(ledger, "d1", verdict="change", by="bob", action_id="none")
    with ledger.journal.read() as connection:
        given = feedback.of_decision(connection, "d1")
    assert [(f.verdict, f.by, f.action_id) for f in given] == [("reject", "ann", None), ("change", "bob", "none")]
    assert chain.verify(ledger).ok


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"verdict": "aprove"}, "Did you mean 'approve'"),
        ({"by": " "}, "name of the person"),
        ({"verdict": "change"}, "names the new action"),
        ({"action_id": "none"}, "only a change does"),
        ({"verdict": "change", "action_id": "lettre"}, "candidate of decision 'd1' 'lettre'"),
        ({"decision_id": "d9"}, "no decision 'd9'"),
    ],
)
def test_a_wrong_judgement_is_refused(ledger: Ledger, changes: dict[str, Any], problem: str) -> None:
    """What is missing or misspelt in a judgement is said."""
    log(ledger, decision(1))
    call = {"decision_id": "d1", "verdict": "approve", "by": "ann"} | changes
    with pytest.raises((DataError, UnknownNameError), match=problem):
        feedback.record(ledger, **call)
