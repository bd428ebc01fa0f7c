"""The outbox: what is to be carried out, written with its decision, checked again when it is handed over.

A message has one key for life, so a sink can tell a second attempt from a second message. `claim` reads consent and the
kill switch in the transaction that hands the message over: after an opt-out is acknowledged nothing more is claimed.
A claim that is not marked within its lease is due again: a killed dispatcher loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import permits, switches
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

_FILE = "outbox.sql"
LEASE = timedelta(minutes=5)
_HOLD = timedelta(seconds=30)  # a stopped message steps back, so that it does not keep others from being seen
Mark = Literal["sent", "retry", "failed", "removed", "expired"]
Also = Callable[["sqlite3.Connection", "Message"], tuple[Literal["claim", "held", "removed"], str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to carry out. An empty `purpose` needs no permission (content on a page, an internal task)."""

    key: str
    decision_id: str
    play: str
    subject_id: str
    channel: str
    action_id: str
    due: datetime
    purpose: str = "marketing"
    payload: Mapping[str, Any] = field(default_factory=dict)
    valid_until: datetime | None = None
    attempts: int = 0


def enqueue(connection: sqlite3.Connection, rows: Sequence[Message], *, now: datetime | None = None) -> int:
    """Put messages in, inside the transaction that logs their decisions; a key that is there stays. Gives the new."""
    new = 0
    for message in rows:
        row = asdict(message) | {
            "payload": msgspec.json.encode(message.payload).decode(),
            "due_ts": to_micros(message.due),
            "valid_until": None if message.valid_until is None else to_micros(message.valid_until),
            "now": to_micros(now or message.due),
        }
        del row["due"], row["attempts"]
        new += connection.execute(load(_FILE, "insert"), row).rowcount
    return new


def due(ledger: Ledger, channel: str, limit: int, now: datetime) -> list[Message]:
    """Give the messages of a channel that are due, oldest first, without claiming them."""
    with ledger.journal.read() as connection:
        return _due(connection, channel, limit, now)


def claim(
    ledger: Ledger,
    channel: str,
    limit: int,
    now: datetime,
    *,
    only: Sequence[str] | None = None,
    also: Also | None = None,
) -> list[Message]:
    """Give due messages to be handed over at once, each allowed at this moment; the others get their mark.

    No longer permitted: `removed` with the rule. Past `valid_until`: `expired`. Stopped by the kill switch: held.
    `only` narrows to these keys; `also` asks a further rule (caps, quiet hours) in the same transaction.
    """

    def write(connection: sqlite3.Connection) -> list[Message]:
        claimed = []
        for message in _due(connection, channel, limit, now, only):
            mark_as, detail = _at_dispatch(connection, ledger, message, now)
            if mark_as == "claim" and also is not None:
                mark_as, detail = also(connection, message)
            if mark_as == "claim":
                lease = {"key": message.key, "lease_ts": to_micros(now + LEASE), "now": to_micros(now)}
                connection.execute(load(_FILE, "claim"), lease)
                claimed.append(replace(message, attempts=message.attempts + 1))
            else:
                held = mark_as == "held"
                status, again = ("pending", now + _HOLD) if held else (mark_as, None)
                _mark(connection, now, message.key, status, detail=detail, retry_ts=again)
        return claimed

    return ledger.journal.write(write)


def mark(ledger: Ledger, key: str, status: Mark, detail: str = "", retry_ts: datetime | None = None) -> None:
    """Say what became of a message: `sent`, `failed` (never again), or `retry` at a moment."""
    if (status == "retry") != (retry_ts is not None):
        raise DataError("A retry has a time, and only a retry does: set `retry_ts` accordingly.")
    now = ledger.clock()

    def write(connection: sqlite3.Connection) -> None:
        if not _mark(connection, now, key, status, detail=detail, retry_ts=retry_ts):
            raise UnknownNameError(f"There is no message '{key}' in the outbox.")

    ledger.journal.write(write)


def mark_many(ledger: Ledger, marks: Sequence[tuple[str, Mark, str, datetime | None]]) -> None:
    """Say what became of many messages in one commit: (key, status, detail, when to retry)."""
    now = ledger.clock()

    def write(connection: sqlite3.Connection) -> None:
        for key, status, detail, retry_ts in marks:
            _mark(connection, now, key, status, detail=detail, retry_ts=retry_ts)

    ledger.journal.write(write)


def status(connection: sqlite3.Connection, key: str) -> tuple[str, str, int] | None:
    """Give status, detail and attempts of one message; None when it was never put in."""
    found: tuple[str, str, int] | None = connection.execute(load(_FILE, "status"), (key,)).fetchone()
    return found


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Give the number of messages per status."""
    return dict(connection.execute(load(_FILE, "counts")).fetchall())


class Stuck(NamedTuple):
    """What failed and waits on one channel: how many, and since when (microseconds) nothing has gone out."""

    waiting: int
    since: int


def stuck(connection: sqlite3.Connection) -> dict[str, Stuck]:
    """Give the channels on which messages failed and wait for another try."""
    found = {}
    for channel, waiting in connection.execute(load(_FILE, "waiting")).fetchall():
        since = connection.execute(load(_FILE, "failing_since"), {"channel": channel}).fetchone()[0]
        if since is not None:
            found[channel] = Stuck(waiting, since)
    return found


def _due(
    connection: sqlite3.Connection, channel: str, limit: int, now: datetime, only: Sequence[str] | None = None
) -> list[Message]:
    keys = None if only is None else msgspec.json.encode(list(only)).decode()
    asked = {"channel": channel, "now": to_micros(now), "limit": limit, "only": keys}
    return [_message(row) for row in connection.execute(load(_FILE, "due"), asked).fetchall()]


def _message(row: tuple[Any, ...]) -> Message:
    key, decision_id, play, subject_id, channel, action_id, purpose, payload, due_ts, valid_until, attempts = row
    return Message(
        key=key,
        decision_id=decision_id,
        play=play,
        subject_id=subject_id,
        channel=channel,
        action_id=action_id,
        due=from_micros(due_ts),
        purpose=purpose,
        payload=msgspec.json.decode(payload),
        valid_until=None if valid_until is None else from_micros(valid_until),
        attempts=attempts,
    )


def _at_dispatch(
    connection: sqlite3.Connection, ledger: Ledger, message: Message, now: datetime
) -> tuple[Literal["claim", "held"] | Mark, str]:
    if message.valid_until is not None and now > message.valid_until:
        return "expired", "its time had passed"
    scope = {"play": message.play, "channel": message.channel, "action": message.action_id}
    if switches.stopped(connection, **scope):
        return "held", "held by the kill switch"
    rule = message.purpose and permits.removed(
        connection,
        ledger.config,
        ledger.secret,
        message.subject_id,
        purpose=message.purpose,
        channel=message.channel,
    )
    return ("removed", rule) if rule else ("claim", "")


def _mark(
    connection: sqlite3.Connection, now: datetime, key: str, status: str, *, detail: str, retry_ts: datetime | None
) -> int:
    due_ts = None if retry_ts is None else to_micros(retry_ts)
    row = {"key": key, "status": status, "detail": detail, "due_ts": due_ts, "now": to_micros(now)}
    return connection.execute(load(_FILE, "mark"), row).rowcount
