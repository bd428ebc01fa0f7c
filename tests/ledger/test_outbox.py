"""The outbox and the kill switch: one key per message, checked again at dispatch, nothing lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.ledger.makers import NOW

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import chain, consent, outbox, switches

if TYPE_CHECKING:
    from tests.clocks import Clock

    from nextbest.ledger import Ledger


def message(i: int, **changes: Any) -> outbox.Message:
    """Give one mail that is due now."""
    given: dict[str, Any] = {
        "key": f"k{i}", "decision_id": f"d{i}", "play": "win_back", "subject_id": f"c{i}", "channel": "email",
        "action_id": "coupon", "due": NOW, "payload": {"text": "Hello"},
    }  # fmt: skip
    return outbox.Message(**given | changes)


def put(ledger: Ledger, *messages: outbox.Message, allow: bool = True) -> int:
    """Enqueue messages for subjects who have agreed."""
    for one in messages:
        if allow:
            consent.record(ledger, one.subject_id, allow=True, proof="form")
    return ledger.journal.write(lambda c: outbox.enqueue(c, messages))


def counts(ledger: Ledger) -> dict[str, int]:
    """Give the messages per status."""
    with ledger.journal.read() as connection:
        return outbox.counts(connection)


def test_a_key_is_enqueued_once(ledger: Ledger) -> None:
    """A message whose key is there already stays as it is."""
    assert put(ledger, message(1), message(2)) == 2
    assert put(ledger, message(1, payload={"text": "Other"})) == 0
    assert [m.payload for m in outbox.due(ledger, "email", 10, NOW)] == [{"text": "Hello"}] * 2


def test_due_messages_come_oldest_first_and_on_their_channel(ledger: Ledger) -> None:
    """Only what is due on the channel is given, the oldest first, up to the limit."""
    early = message(3, due=NOW - timedelta(hours=1))
    put(ledger, message(1), message(2, channel="sms"), early, message(4, due=NOW + timedelta(hours=1)))
    assert [m.key for m in outbox.due(ledger, "email", 10, NOW)] == ["k3", "k1"]
    assert outbox.due(ledger, "email", 1, NOW) == [early]


def test_a_claim_is_exclusive_until_its_lease_ends(ledger: Ledger) -> None:
    """A claimed message is not given again, unless nobody said what became of it; sent is for ever."""
    put(ledger, message(1), message(2))
    first = outbox.claim(ledger, "email", 10, NOW)
    assert [(m.key, m.attempts) for m in first] == [("k1", 1), ("k2", 1)]
    assert outbox.claim(ledger, "email", 10, NOW) == []
    outbox.mark(ledger, "k1", "sent")
    later = NOW + outbox.LEASE
    assert [(m.key, m.attempts) for m in outbox.claim(ledger, "email", 10, later)] == [("k2", 2)]


def test_retry_failed_and_sent(ledger: Ledger) -> None:
    """A retry comes back at its time under its key; failed and sent do not."""
    put(ledger, message(1), message(2), message(3))
    outbox.claim(ledger, "email", 10, NOW)
    outbox.mark(ledger, "k1", "sent")
    outbox.mark(ledger, "k2", "failed", "410 Gone")
    outbox.mark(ledger, "k3", "retry", "503", retry_ts=NOW + timedelta(minutes=1))
    assert outbox.due(ledger, "email", 10, NOW) == []
    assert [m.key for m in outbox.due(ledger, "email", 10, NOW + timedelta(days=1))] == ["k3"]
    with pytest.raises(DataError, match="A retry has a time"):
        outbox.mark(ledger, "k3", "retry")
    with pytest.raises(UnknownNameError, match="no message 'k9'"):
        outbox.mark(ledger, "k9", "sent")


def test_dispatch_reads_permission_again(ledger: Ledger) -> None:
    """After an opt-out, an unknown answer or too long a time a message is never claimed; without purpose it is."""
    put(ledger, message(1), message(2), message(4, valid_until=NOW - timedelta(seconds=1)))
    put(ledger, message(3), message(5, purpose=""), allow=False)
    consent.record(ledger, "c1", allow=False, proof="unsubscribe")
    assert [m.key for m in outbox.claim(ledger, "email", 10, NOW)] == ["k2", "k5"]
    assert counts(ledger) == {"expired": 1, "removed": 2, "sending": 2}
    with ledger.journal.read() as connection:
        row = connection.execute("SELECT status, detail FROM outbox WHERE key = 'k1'").fetchone()
    assert row == ("removed", "consent:denied")


def test_the_kill_switch_holds_messages(ledger: Ledger, clock: Clock) -> None:
    """A stopped message is held, not lost, lets others pass, and goes out after the stop is lifted."""
    put(ledger, message(1), message(2, play="other"))
    switches.stop(ledger, play="win_back", why="wrong price")
    assert [m.key for m in outbox.claim(ledger, "email", 1, NOW)] == []
    assert [m.key for m in outbox.claim(ledger, "email", 1, NOW)] == ["k2"]
    switches.start(ledger, play="win_back", why="price is right")
    assert [m.key for m in outbox.claim(ledger, "email", 10, NOW + timedelta(minutes=1))] == ["k1"]


def test_a_further_rule_is_asked_in_the_claim(ledger: Ledger) -> None:
    """What the further rule removes is over, what it holds comes back later, what it lets go is claimed."""
    put(ledger, message(1), message(2), message(3))
    said: dict[str, Any] = {"k1": ("removed", "cap"), "k2": ("held", "quiet hours"), "k3": ("claim", "")}
    claimed = outbox.claim(ledger, "email", 10, NOW, also=lambda _, one: said[one.key])
    assert [m.key for m in claimed] == ["k3"]
    assert counts(ledger) == {"pending": 1, "removed": 1, "sending": 1}
    assert [m.key for m in outbox.claim(ledger, "email", 10, NOW + timedelta(minutes=1))] == ["k2"]


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ({}, True),
        ({"play": "win_back"}, True),
        ({"channel": "email"}, True),
        ({"action": "coupon"}, True),
        ({"play": "win_back", "channel": "email", "action": "coupon"}, True),
        ({"play": "other"}, False),
        ({"channel": "sms"}, False),
        ({"play": "win_back", "action": "letter"}, False),
    ],
)
def test_a_switch_stops_its_scope(ledger: Ledger, scope: dict[str, str], stopped: bool) -> None:  # noqa: FBT001
    """A stop binds what it names and nothing else, and is lifted by naming the same."""
    asked = {"play": "win_back", "channel": "email", "action": "coupon"}
    switches.stop(ledger, why="test", **scope)
    with ledger.journal.read() as connection:
        assert switches.stopped(connection, **asked) is stopped
        assert len(switches.listing(connection)) == 1
    switches.start(ledger, why="test", **scope)
    with ledger.journal.read() as connection:
        assert not switches.stopped(connection, **asked)
        assert switches.listing(connection) == []
    assert chain.verify(ledger).ok


def test_lifting_everything_does_not_lift_one_stop(ledger: Ledger) -> None:
    """A start for all leaves the stop of one play in force."""
    switches.stop(ledger, play="win_back", why="x")
    switches.start(ledger, why="x")
    with ledger.journal.read() as connection:
        assert switches.stopped(connection, play="win_back", channel="email", action="coupon")


def test_a_file_stops_everything(ledger: Ledger) -> None:
    """A file named stop in the workspace holds all, with no program needed to write it."""
    asked = {"play": "p", "channel": "c", "action": "a"}
    with ledger.journal.read() as connection:
        assert not switches.stopped(connection, **asked)
        (ledger.path / "stop").touch()
        assert switches.stopped(connection, **asked)
    assert ledger.journal.write(lambda c: switches.stopped(c, **asked))
