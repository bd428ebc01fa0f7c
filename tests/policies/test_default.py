"""The play of a workspace without plays: sensible for a shop, harmless elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nextbest import operations, verbs

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_shop_writes_to_those_silent_for_longer_than_usual(tmp_path: Path) -> None:
    """Of two weekly customers, the one without an order for a month is in the audience, and not the other."""
    with operations.create(tmp_path / "shop", clock=lambda: NOW) as ledger:
        last = {"away": 30, "here": 1}
        orders = [
            {"kind": "order", "message_id": f"{who}{n}", "subject_id": who, "ts": NOW - timedelta(days=ago + 7 * n)}
            for who, ago in last.items()
            for n in range(8)
        ]
        verbs.ingest(ledger, [{**o, "ts": o["ts"].isoformat(), "revenue": 40.0} for o in orders])
        operations.consent(ledger, "away", allow=True, proof="form")
        decided = verbs.decide(ledger, "win_back")
    assert decided.table["subject_id"].to_pylist() == ["away"]
    assert decided.outside_audience == 1


def test_without_orders_nobody_is_contacted(tmp_path: Path) -> None:
    """Visits alone give decisions, all of them to do nothing, and no error."""
    with operations.create(tmp_path / "site", clock=lambda: NOW) as ledger:
        seen = {
            "kind": "page_view",
            "message_id": "m1",
            "subject_id": "v1",
            "ts": (NOW - timedelta(days=1)).isoformat(),
        }
        verbs.ingest(ledger, [seen])
        assert verbs.decide(ledger, "win_back").by_action == {"none": 1}


def test_a_list_made_now_is_dated_now_however_old_the_data(tmp_path: Path) -> None:
    """Without as_of, decisions carry the time at which they were made: outcomes and caps count from then."""
    play = "[plays.everyone]\nactions = []"
    with operations.create(tmp_path / "stale", config_text=play, clock=lambda: NOW) as ledger:
        old = {"kind": "order", "message_id": "m1", "subject_id": "c1", "ts": (NOW - timedelta(days=90)).isoformat()}
        verbs.ingest(ledger, [{**old, "revenue": 40.0}])
        assert verbs.decide(ledger, "everyone").table["ts"].to_pylist() == [NOW]
        back = NOW - timedelta(days=60)
        assert verbs.decide(ledger, "everyone", as_of=back).table["ts"].to_pylist() == [back]
