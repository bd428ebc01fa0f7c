"""Journals of older versions: what stands in them is read, vouched for and erased as what came later is."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from tests.clocks import Clock
from tests.ledger.makers import CONFIG, NOW, decision

from nextbest.ledger import analysis, candidates, chain, create, decisions, erasure, open_ledger
from nextbest.ledger.statements import script
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import JOURNAL
from nextbest.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

OLD = [
    {"action_id": "none", "choice_probability": 0.1},
    {"action_id": "banner", "removed_by": "audience", "cost": 0.1},
    {"action_id": "coupon", "response_probability": 0.2, "expected_value": 1.5, "choice_probability": 0.9},
]


def old_row(i: int) -> tuple[Any, ...]:
    """Give the nineteen columns of a decision as the second schema had them."""
    shown = json.dumps(OLD)
    head = (f"d{i}", "", "win_back", "live", "policy", f"c{i}", to_micros(NOW), '{"page": "home"}', shown, "coupon")
    return (*head, 0.9, 7, '{"age": null, "orders_30d": 3.0}', 0, "p1", '{"churn": "churn_1"}', "", 0, 0)


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace whose journal was written at the second schema: three decisions, each with a link of its own."""
    with create(tmp_path / "acme", config_text=CONFIG, clock=Clock(NOW)):
        pass
    file = tmp_path / "acme" / JOURNAL
    for part in (file, *tmp_path.glob(f"acme/{JOURNAL}-*")):
        part.unlink()
    connection = sqlite3.connect(file, isolation_level=None)
    for step in ("schema/001_journal.sql", "schema/002_corrections.sql"):
        for statement in script(step):
            connection.execute(statement)
    for i in (1, 2, 3):
        connection.execute(f"INSERT INTO decision VALUES ({', '.join('?' * 19)})", old_row(i))
        chain.add(connection, "decision", f"d{i}", chain.row_bytes(old_row(i)))
    connection.close()
    with open_ledger(tmp_path / "acme", clock=Clock(NOW)) as ledger:
        yield ledger


def test_older_decisions_are_read_as_they_were(upgraded: Ledger) -> None:
    """A decision of an older journal comes back whole, alone and in an analysis, beside one that is logged now."""
    upgraded.journal.write(lambda c: decisions.log(c, upgraded, [decision(4)]))
    old, new = decisions.get(upgraded, "d1"), decisions.get(upgraded, "d4")
    assert old.candidates == new.candidates == decision(4).candidates
    assert (old.subject_id, old.position, old.action_features) == ("c1", 1, {})
    found = analysis.table(upgraded, "decisions").sort_by("decision_id").to_pylist()
    assert [row["decision_id"] for row in found] == ["d1", "d2", "d3", "d4"]
    assert all(row["candidates"] == found[3]["candidates"] for row in found)


def test_older_links_still_verify(upgraded: Ledger) -> None:
    """After the upgrade every old row is vouched for by its old link, and a change of one is named."""
    upgraded.journal.write(lambda c: decisions.log(c, upgraded, [decision(4)]))
    assert chain.verify(upgraded).problems == ()
    upgraded.journal.write(lambda c: c.execute("UPDATE decision SET candidates = '[]' WHERE decision_id = 'd2'"))
    assert chain.verify(upgraded).problems == ("decision 'd2' is not what was written",)


def test_an_older_decision_can_be_erased(upgraded: Ledger) -> None:
    """Erasing a subject of an older journal takes its decision, and the chain says so and verifies."""
    erasure.erase(upgraded, "c2")
    with upgraded.journal.read() as connection:
        rows = connection.execute("SELECT decision_id FROM decision ORDER BY rowid").fetchall()
    assert rows == [("d1",), ("d3",)]
    assert chain.verify(upgraded).problems == ()


def test_candidates_come_back_from_their_packed_form() -> None:
    """Names with line breaks, rules, missing numbers and exact floats survive packing; its JSON leaves nothing out."""
    told = (
        Candidate(action_id="a\nb", removed_by="cap:3/7d", response_probability=0.1 + 0.2, expected_value=-1e-300),
        Candidate(action_id="ü", cost=1 / 3, choice_probability=1.0),
        Candidate(action_id="none", removed_by="cap:3/7d"),
    )
    stored = candidates.packed(
        candidates.head([c.action_id for c in told], [c.cost for c in told]),
        [c.removed_by for c in told],
        candidates.little(c.response_probability for c in told),
        candidates.little(c.expected_value for c in told),
        candidates.little(c.choice_probability for c in told),
    )
    assert candidates.unpacked(stored) == told
    assert candidates.unpacked(candidates.as_json(stored)) == told
