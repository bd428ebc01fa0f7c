"""A commit that hangs: the answer comes when it is due, and what becomes durable later is marked as not told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from nextbest import operations
from nextbest.ledger import analysis, faults, feedback
from nextbest.serve import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

HUNG_S = 1.0
CONFIG = """
[consent]
regime = "opt_out"
[server]
rate = 0
[plays.banner]
value = "1"
response = "0.5"
holdout = 0.0
default = "plain"
deadline_ms = 500
actions = [{ id = "plain", class = "content" }, { id = "loud", class = "content", assumed_log_odds = 1.0 }]
[plays.mail]
value = "1"
response = "0.5"
holdout = 0.0
deadline_ms = 500
actions = [{ id = "letter", class = "outbound", channel = "email", assumed_log_odds = 1.0 }]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace with a play on a page and one that sends."""
    with operations.create(tmp_path / "shop", config_text=CONFIG) as made:
        yield made


@pytest.fixture
def client(ledger: Ledger) -> Iterator[TestClient]:
    """Give a client whose first decisions are made."""
    _, key = operations.create_key(ledger, "admin")
    with TestClient(create_app(ledger), base_url="http://localhost", headers={"Authorization": f"Bearer {key}"}) as c:
        for i in range(8):
            for play in ("banner", "mail"):
                c.post("/v1/decide", json={"play": play, "subject_id": f"warm{i}"})
        yield c


def hang(_: object) -> None:
    """Commit late."""
    time.sleep(HUNG_S)


def logged(ledger: Ledger, subject: str) -> list[str]:
    """Give the ids of a subject's decisions in the log, once the writing thread has come to rest."""
    ledger.journal.write(lambda _: None)
    table = analysis.table(ledger, "decisions", columns=("decision_id", "subject_id"))
    return [
        i for i, s in zip(*(table[n].to_pylist() for n in ("decision_id", "subject_id")), strict=True) if s == subject
    ]


def verdicts(ledger: Ledger, decision_id: str) -> list[tuple[str, str]]:
    """Give who judged a decision how, waiting a moment for the first."""
    until, found = time.monotonic() + 5, []
    while not found and time.monotonic() < until:
        time.sleep(0.02)
        with ledger.journal.read() as connection:
            found = [(f.by, f.verdict) for f in feedback.of_decision(connection, decision_id)]
    return found


def test_a_page_is_answered_when_it_is_due(ledger: Ledger, client: TestClient) -> None:
    """While the commit hangs a page gets its default, said not to be logged; the row that comes later is rejected."""
    with faults.injected("commit", hang):
        begun = time.perf_counter()
        told = client.post("/v1/decide", json={"play": "banner", "subject_id": "v1"}).json()
        took = time.perf_counter() - begun
        rows = logged(ledger, "v1")
    assert (told["action_id"], told["logged"], told["degraded"]) == ("plain", False, True)
    assert took < HUNG_S
    assert told["decision_id"] not in rows
    assert [verdicts(ledger, row) for row in rows] == [[("deadline", "reject")]]


def test_a_message_waits_for_its_log(ledger: Ledger, client: TestClient) -> None:
    """What reaches a person is told only once it is durable, however late; nothing is rejected then."""
    with faults.injected("commit", hang):
        told = client.post("/v1/decide", json={"play": "mail", "subject_id": "v2"}).json()
    assert (told["action_id"], told["logged"]) == ("letter", True)
    assert logged(ledger, "v2") == [told["decision_id"]]


def test_a_key_waits_for_its_log(ledger: Ledger, client: TestClient) -> None:
    """A request with an idempotency key is answered by its log, and so is its repetition."""
    body, head = {"play": "banner", "subject_id": "v3"}, {"Idempotency-Key": "k1"}
    with faults.injected("commit", hang):
        told = client.post("/v1/decide", json=body, headers=head).json()
    assert told["logged"]
    assert client.post("/v1/decide", json=body, headers=head).json() == told
    assert logged(ledger, "v3") == [told["decision_id"]]


def test_what_fell_back_is_counted_and_explained(ledger: Ledger, client: TestClient) -> None:
    """The fallback stands in the metrics by what failed; a decision of the log comes with its explanation."""
    with faults.injected("commit", hang):
        client.post("/v1/decide", json={"play": "banner", "subject_id": "v4"})
    ledger.journal.write(lambda _: None)  # the commit that hung is done
    assert 'nextbest_fallbacks_total{failure="log"} 1' in client.get("/metrics").text
    made = client.post("/v1/decide", json={"play": "banner", "subject_id": "v5"}).json()["decision_id"]
    row = client.get(f"/v1/decisions/{made}").json()
    assert "v5" in row["explanation"]["sentences"][0]
    assert row["explanation"]["details"]["decision_id"] == made
