"""Events and outcomes: strict at the door, each kept once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from tests.ledger.makers import NOW, event

from nextbest.errors import DataError
from nextbest.ledger import chain, consent, events, outcomes
from nextbest.types import Outcome

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


def rows(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Give the stored events."""
    with ledger.journal.read() as connection:
        return connection.execute("SELECT message_id, ts, ts_offset_min, received_ts, body FROM event").fetchall()


def test_an_event_is_stored_with_both_times(ledger: Ledger) -> None:
    """The row keeps when it happened (UTC), the local offset, when it came, and the columns of its kind."""
    local = datetime(2026, 2, 28, 23, 30, tzinfo=timezone(timedelta(hours=2)))
    (receipt,) = events.ingest(ledger, [event(1, ts=local, coupon=None)], source="shop")
    assert receipt.status == "stored"
    ((message_id, ts, offset, received, body),) = rows(ledger)
    assert message_id == "m1"
    assert (ts, offset) == (int(local.timestamp() * 1e6), 120)
    assert received == int(NOW.timestamp() * 1e6)
    assert json.loads(body) == {"order_id": "o1", "revenue": 12.5}


def test_a_repeated_message_counts_once(ledger: Ledger) -> None:
    """The same id with the same content is a duplicate, in one call or two; with other content it is a conflict."""
    first, second = events.ingest(ledger, [event(1), event(1)], source="shop")
    again = events.ingest(ledger, [event(1), event(1, revenue=99.0)], source="other")
    assert [first.status, second.status] == ["stored", "duplicate"]
    assert [r.status for r in again] == ["duplicate", "rejected"]
    assert "taken before with other content" in again[1].why
    assert len(rows(ledger)) == 1


@pytest.mark.parametrize("ts", ["2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", NOW])
def test_a_time_may_be_written_in_several_ways(ledger: Ledger, ts: object) -> None:
    """A time without an offset is UTC; an offset is applied."""
    assert events.ingest(ledger, [event(1, ts=ts)], source="s")[0].status == "stored"
    assert rows(ledger)[0][1] == int(NOW.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "ordr"}, "Did you mean 'order'"),
        ({"kind": "subjects"}, "is a table"),
        ({"kind": None}, "'kind' must be a text"),
        ({"revnue": 1.0}, "no column 'revnue'. Did you mean 'revenue'"),
        ({"received_ts": NOW}, "is given by the ledger"),
        ({"message_id": ""}, "'message_id' is empty"),
        ({"message_id": "x" * 600}, "longer than 512"),
        ({"subject_id": " "}, "'subject_id' is empty"),
        ({"subject_id": 7}, "'subject_id' must be a text, got int"),
        ({"subject_id": "a\0b"}, "NUL"),
        ({"order_id": "\ud800"}, "lone surrogate"),
        ({"order_id": "x" * 70_000}, "at most 65,536"),
        ({"order_id": 5}, "'order_id' must be a text"),
        ({"revenue": float("nan")}, "only finite"),
        ({"revenue": float("inf")}, "only finite"),
        ({"revenue": 10**400}, "too large"),
        ({"revenue": "12"}, "must be a number, got str"),
        ({"revenue": True}, "must be a number, got bool"),
        ({"ts": datetime(1899, 12, 31, tzinfo=UTC)}, "between 1900"),
        ({"ts": NOW + timedelta(days=1, seconds=1)}, "near future"),
        ({"ts": "yesterday"}, "is not a time"),
        ({"ts": 1_700_000_000}, "must be a datetime"),
        ({"ts": None}, "must be a datetime"),
    ],
)
def test_a_bad_event_is_rejected_with_its_reason_and_alone(ledger: Ledger, changes: dict[str, Any], why: str) -> None:
    """What is wrong is said, nothing of the event is kept, and its neighbours are stored."""
    receipts = events.ingest(ledger, [event(1), event(2) | changes, event(3)], source="s")
    assert [r.status for r in receipts] == ["stored", "rejected", "stored"]
    assert why in receipts[1].why
    assert [row[0] for row in rows(ledger)] == ["m1", "m3"]


def test_a_column_of_another_kind_is_refused_even_when_empty(ledger: Ledger) -> None:
    """An unknown column is a mistake whatever its value."""
    (receipt,) = events.ingest(ledger, [event(1, kind="reading", revenue=None)], source="s")
    assert "Kind 'reading' has no column" in receipt.why


def test_a_truth_value_is_true_or_false(ledger: Ledger) -> None:
    """A boolean column takes no other spelling of yes."""
    opened = {"kind": "message_open", "subject_id": "c1", "ts": NOW}
    given = [opened | {"message_id": f"m{v}", "machine": v} for v in (True, "yes", 1)]
    receipts = events.ingest(ledger, given, source="s")
    assert [r.status for r in receipts] == ["stored", "rejected", "rejected"]
    assert "true or false" in receipts[1].why


def test_an_unsubscribe_binds_with_its_own_commit(ledger: Ledger) -> None:
    """An unsubscribe event is a recorded no for its channel from the moment it is stored."""
    consent.record(ledger, "c1", channel="email", allow=True, proof="form")
    stop = {"kind": "unsubscribe", "message_id": "u1", "subject_id": "c1", "ts": NOW, "channel": "email"}
    assert [r.status for r in events.ingest(ledger, [stop, stop], source="mail")] == ["stored", "duplicate"]
    with ledger.journal.read() as connection:
        rule = consent.removed(connection, ledger.config, ledger.secret, "c1", purpose="marketing", channel="email")
        assert connection.execute("SELECT count(*) FROM consent").fetchone() == (2,)
    assert rule == "consent:denied"
    assert chain.verify(ledger).ok


def test_outcomes_are_kept_once(ledger: Ledger) -> None:
    """The same outcome id is stored once, whatever comes with it later."""
    first = Outcome(outcome_id="x1", subject_id="c1", ts=NOW, name="order", value=9.0, decision_id="d1")
    assert outcomes.record(ledger, [first, Outcome(outcome_id="x2", subject_id="c1", ts=NOW, name="order")]) == 2
    assert outcomes.record(ledger, [first]) == 0
    with pytest.raises(DataError, match="only finite"):
        outcomes.record(ledger, [Outcome(outcome_id="x3", subject_id="c1", ts=NOW, name="o", value=float("nan"))])
