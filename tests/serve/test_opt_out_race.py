"""T19 of reliability.md, over HTTP: no reply that contacts anybody follows an acknowledged opt-out."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.faults.test_race import Race, after_opt_out, told

from nextbest.ledger import open_ledger

if TYPE_CHECKING:
    from tests.serve.conftest import Started


def http_race(started: Started, subjects: range) -> Race:
    """Race over HTTP: eight clients decide while one opts out."""
    head = {"Authorization": f"Bearer {started.key}"}
    local, clients = threading.local(), []

    def client() -> httpx2.Client:
        if not hasattr(local, "client"):
            local.client = httpx2.Client(base_url=started.url, headers=head, timeout=30)
            clients.append(local.client)
        return local.client

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = client().post(path, json=body)
        assert reply.status_code in {200, 201}, reply.text
        return reply.json()

    def answer(subject: str, *, allow: bool) -> None:
        post("/v1/consent", {"subject_id": subject, "channel": "*", "allow": allow, "proof": "race"})

    for i in range(subjects.start - 2, subjects.stop + 2):
        answer(f"c{i}", allow=True)
    race = Race(
        lambda s: {"coupon": "mail", "note": "mail"}.get(
            post("/v1/decide", {"play": "win_back", "subject_id": s})["action_id"], "none"
        ),
        subjects,
    )
    race.run(lambda subject: answer(subject, allow=False))
    for one in clients:
        one.close()
    return race


@pytest.mark.slow
def test_no_reply_of_the_service_follows_an_opt_out(started: Started) -> None:
    """With eight clients deciding over HTTP, no contact is replied or logged after the opt-out's acknowledgement."""
    race = http_race(started, range(2, 10))
    assert race.late == []
    told(sorted(race.waits))
    with open_ledger(started.folder) as ledger:
        assert after_opt_out(ledger) == 0
