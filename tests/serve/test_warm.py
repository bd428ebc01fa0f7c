"""A service is ready before it answers: nobody's request pays for reading plays and loading code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from nextbest import operations
from nextbest.ledger import analysis, create
from nextbest.serve import create_app

if TYPE_CHECKING:
    from pathlib import Path

PLAYS = """
[plays.banner]
goal = "click"
policy = { name = "squarecb" }
learner = { name = "linear" }
actions = [{ id = "spring", class = "content" }, { id = "sale", class = "content" }]
[plays.items]
goal = "click"
policy = { name = "thompson" }
actions = [{ id = "*", class = "content" }]
[plays.mail]
actions = [{ id = "coupon", channel = "email", cost = 0.5 }]
"""


def test_a_service_tries_every_play_before_it_answers(tmp_path: Path) -> None:
    """Starting decides once per play, in time however slow, and logs and counts nothing of it."""
    with create(tmp_path / "acme", config_text=PLAYS) as ledger:
        _, key = operations.create_key(ledger, "admin")
        head = {"Authorization": f"Bearer {key}"}
        with TestClient(create_app(ledger), base_url="http://localhost", headers=head) as client:
            assert analysis.table(ledger, "decisions").num_rows == 0
            assert "nextbest_degraded_total 0" in client.get("/metrics").text
            reply = client.post("/v1/decide", json={"play": "banner", "subject_id": "v1"}).json()
        assert (reply["logged"], reply["degraded"]) == (True, False)
        assert analysis.table(ledger, "decisions").num_rows == 1
