"""API keys: shown once, stored only as a hash, with scopes and an end; every change is chained."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nextbest.errors import UsageError, unknown
from nextbest.ledger import chain
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nextbest.ledger.workspace import Ledger

_FILE = "keys.sql"
PREFIX = "nbk_"
SCOPES = ("decide", "ingest", "read", "admin")
_CHECK = 6  # hex digits that tell a mistyped key from an unknown one without asking the store
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What is known of a key: never the key."""

    key_id: str
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None

    def valid(self, now: datetime) -> bool:
        """Say whether the key may be used now."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def create(ledger: Ledger, scope: str | Sequence[str], days: float | None = None) -> tuple[str, str]:
    """Make a key with one scope or several, for so many days or for ever; gives its id and the key, shown only now."""
    scopes = (scope,) if isinstance(scope, str) else tuple(scope)
    for name in scopes or ("",):
        if name not in SCOPES:
            raise unknown("scope", name, SCOPES)
    if days is not None and not days > 0:
        raise UsageError(f"A key must last longer than {days} days.")
    body = secrets.token_hex(32)
    key = f"{PREFIX}{body}{_check(body)}"
    now = ledger.clock()
    expires = None if days is None else to_micros(now + timedelta(days=days))
    row = (new_id("key"), _hash(key), " ".join(scopes), to_micros(now), expires)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(load(_FILE, "insert"), row)
        chain.add(connection, "key", str(row[0]), chain.row_bytes(row))

    ledger.journal.write(write)
    return str(row[0]), key


def find(connection: sqlite3.Connection, key: str, *, now: datetime | None = None) -> KeyInfo | None:
    """Give what is known of a key that may be used now; None for an unknown, mistyped, revoked or expired one."""
    body = key.removeprefix(PREFIX)
    if not key.startswith(PREFIX) or body[-_CHECK:] != _check(body[:-_CHECK]):
        return None
    row = connection.execute(load(_FILE, "find"), (_hash(key),)).fetchone()
    info = None if row is None else _info(row)
    return info if info is not None and info.valid(now or datetime.now(UTC)) else None


def used(ledger: Ledger, info: KeyInfo) -> None:
    """Remember that a key was used now, at most once a minute, without making the caller wait."""
    now = ledger.clock()
    if info.last_used is None or now - info.last_used > _MINUTE:
        row = (info.key_id, to_micros(now))
        ledger.journal.submit(lambda connection: connection.execute(load(_FILE, "used"), row).rowcount)


def revoke(ledger: Ledger, key_id: str) -> None:
    """End a key from now on; raises `UnknownNameError` for one that does not exist or has ended before."""

    def write(connection: sqlite3.Connection) -> None:
        known = [row[0] for row in connection.execute(load(_FILE, "ids"))]
        if key_id not in known:
            raise unknown("key", key_id, known)
        connection.execute(load(_FILE, "revoke"), (key_id, to_micros(ledger.clock())))
        chain.add_stored(connection, "key_revoked", key_id)

    ledger.journal.write(write)


def listing(ledger: Ledger) -> list[KeyInfo]:
    """Give all keys, oldest first, revoked and expired ones too."""
    with ledger.journal.read() as connection:
        return [_info(row) for row in connection.execute(load(_FILE, "listing"))]


def _info(row: tuple[Any, ...]) -> KeyInfo:
    key_id, scopes, *moments = row
    created, expires, revoked, last_used = (None if m is None else from_micros(m) for m in moments)
    return KeyInfo(
        key_id=key_id,
        scopes=tuple(scopes.split()),
        created=created or from_micros(0),
        expires=expires,
        revoked=revoked,
        last_used=last_used,
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _check(body: str) -> str:
    return _hash(body)[:_CHECK]
