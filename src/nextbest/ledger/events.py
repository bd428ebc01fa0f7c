"""Live events: one at a time or in batches, each checked, each kept once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import checks, consent, kinds
from nextbest.ledger.idempotency import together
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger

_FILE = "events.sql"
_PER_COMMIT = 10_000
_COMMON = frozenset({"kind", "message_id", "subject_id", "subject_type", "ts", "ts_offset_min"})
_GIVEN_BY_US = frozenset({"event_id", "received_ts", "source"})
_NOT_OWN = _COMMON | _GIVEN_BY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one event; `why` says what was wrong with a rejected one."""

    message_id: str
    status: Literal["stored", "duplicate", "rejected"]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    message_id: str
    row: tuple[Any, ...]
    id_digest: bytes
    content_digest: bytes
    opt_out: consent.Row | None


def ingest(
    ledger: Ledger, events: Sequence[Mapping[str, Any]], *, source: str, also: Also | None = None
) -> list[Receipt]:
    """Store events durably; gives one receipt per event, in order.

    An event is `{"kind", "message_id", "subject_id", "ts", ...columns of the kind}`; `ts` is a datetime or an ISO 8601
    text, and is UTC when it names no offset. A message id that comes again with the same content is a duplicate, with
    other content it is rejected. An `unsubscribe` records a no for its channel in the same commit. `also` gets the
    receipts of the last 10,000 events.
    """
    receipts: list[Receipt] = []
    for start in range(0, len(events), _PER_COMMIT):
        now = to_micros(ledger.clock())
        read = [_read(ledger, event, source, now) for event in events[start : start + _PER_COMMIT]]
        last = start + _PER_COMMIT >= len(events)
        receipts += ledger.journal.write(together(partial(_store, read=read, now=now), also if last else None))
    return receipts


def _read(ledger: Ledger, event: Mapping[str, Any], source: str, now: int) -> _Event | Receipt:
    """Check one event; what is wrong with it becomes its receipt."""
    given = event.get("message_id")
    try:
        return _checked(ledger, event, source, now)
    except (DataError, UnknownNameError) as error:
        message_id = given if isinstance(given, str) and given.isprintable() else ""
        return Receipt(message_id=message_id[: checks.MOST_ID_BYTES], status="rejected", why=str(error))


def _checked(ledger: Ledger, event: Mapping[str, Any], source: str, now: int) -> _Event:
    kind = _kind(event)
    message_id = checks.identifier("message_id", event.get("message_id"))
    subject_id = checks.identifier("subject_id", event.get("subject_id"))
    subject_type = checks.plain_text("subject_type", event.get("subject_type") or "")
    latest = checks.latest_moment(ledger.clock(), ledger.config.limits.future_days)
    ts, offset = checks.moment("ts", event.get("ts"), latest=latest)
    if event.get("ts_offset_min") is not None:
        offset = checks.integer("ts_offset_min", event["ts_offset_min"])
    body = checks.body(kind, event, common=_NOT_OWN)
    content = msgspec.json.encode((kind.name, subject_id, subject_type, ts, body), order="sorted")
    opt_out = None
    if kind.name == "unsubscribe":
        channel = body.get("channel") or consent.ANY
        opt_out = (subject_id, consent.MARKETING, channel, 0, ts, f"event {message_id}", source)
    encoded = msgspec.json.encode(body).decode()
    return _Event(
        message_id=message_id,
        row=(kind.name, message_id, subject_id, subject_type or None, ts, offset, now, source, encoded),
        id_digest=hmac.digest(ledger.secret, message_id.encode(), "sha256")[:16],
        content_digest=hmac.digest(ledger.secret, content, "sha256")[:16],
        opt_out=opt_out,
    )


def _kind(event: Mapping[str, Any]) -> kinds.Kind:
    kind = kinds.kind(checks.identifier("kind", event.get("kind")))
    if not kind.event:
        raise DataError(f"'{kind.name}' is a table, not a kind of event. Load it as a file.")
    for name in _GIVEN_BY_US & event.keys():
        raise DataError(f"'{name}' is given by the ledger. Send `message_id`, `ts` and the columns of the kind.")
    return kind


def _store(connection: sqlite3.Connection, read: Sequence[_Event | Receipt], now: int) -> list[Receipt]:
    insert, remember, known = (load(_FILE, name) for name in ("insert", "insert_message", "message"))
    receipts: list[Receipt] = []
    for event in read:
        if isinstance(event, Receipt):
            receipts.append(event)
        elif connection.execute(remember, (event.id_digest, event.content_digest, now)).rowcount:
            connection.execute(insert, event.row)
            if event.opt_out is not None:
                consent.add(connection, [event.opt_out], now)
            receipts.append(Receipt(message_id=event.message_id, status="stored"))
        else:
            before = connection.execute(known, (event.id_digest,)).fetchone()[0]
            receipts.append(_repeated(event, same=before == event.content_digest))
    return receipts


def _repeated(event: _Event, *, same: bool) -> Receipt:
    if same:
        return Receipt(message_id=event.message_id, status="duplicate")
    why = f"The message id '{event.message_id}' was taken before with other content. Give every event its own id."
    return Receipt(message_id=event.message_id, status="rejected", why=why)
