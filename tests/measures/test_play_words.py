"""What a play's measure says when it cannot tell, in words that are true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nextbest import operations, verbs
from nextbest.types import Outcome

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_old_decisions_without_known_outcomes_are_not_called_young(tmp_path: Path) -> None:
    """Forty days after deciding, with outcomes known for ten of them, the answer names the day they are known up to."""
    now = [NOW]
    play = '[plays.hello]\ngoal_days = 30\nactions = [{ id = "banner", class = "content" }]'
    with operations.create(tmp_path / "w", config_text=play, clock=lambda: now[0]) as ledger:
        verbs.ingest(ledger, [{"kind": "page_view", "message_id": "m", "subject_id": "s", "ts": NOW.isoformat()}])
        verbs.decide(ledger, "hello")
        now[0] = NOW + timedelta(days=40)
        seen = NOW + timedelta(days=10, hours=1)
        verbs.record(ledger, [Outcome(outcome_id="o", subject_id="s", ts=seen, name="bought")])
        effect = verbs.measure(ledger, "hello", outcome="bought")
    assert effect.status == "not_enough_data"
    assert "outcomes are known up to 2026-03-12" in effect.why
    assert "Load or record what came since" in effect.why
