"""API keys: shown once, stored only as a hash, with scopes and an end; every change is chained.

A key is `nbk_`, 256 random bits and a checksum: a mistyped key is refused without a look-up. A key with the scope
`write` may stand in a web page, where everybody can read it: it only appends events of the kinds that it names, and
outcomes of decisions whose token it shows, and only from the origins that it names.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.errors import UsageError, unknown
from nextbest.ledger import chain, kinds
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nextbest.ledger.workspace import Ledger

_FILE = "keys.sql"
PREFIX = "nbk_"
WRITE = "write"
SCOPES = ("decide", "ingest", "read", "admin", WRITE)
PUBLIC_KINDS = ("page_view",)  # what a page may say by itself; an order is said by the shop's own server
_CHECK = 6  # hex digits that tell a mistyped key from an unknown one without asking the store
_MINUTE = timedelta(minutes=1)
_DAYS = re.compile(r"(\d{1,5})d")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What is known of a key: never the key."""

    key_id: str
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None
    rate: float | None = None
    kinds: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def valid(self, now: datetime) -> bool:
        """Say whether the key may be used now."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a key may beside its scopes: requests per second; for a public key kinds of events and origins."""

    rate: float | None = None
    kinds: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def row(self, key_id: str) -> tuple[str, float | None, str, str]:
        """Give the row that is stored."""
        kinds, origins = (msgspec.json.encode(texts).decode() for texts in (self.kinds, self.origins))
        return key_id, self.rate, kinds, origins


def create(
    ledger: Ledger, scope: str | Sequence[str], days: float | None = None, *, terms: Terms | None = None
) -> tuple[str, str]:
    """Make a key with one scope or several, for so many days or for ever; gives its id and the key, shown only now."""
    scopes = (scope,) if isinstance(scope, str) else tuple(scope)
    for name in scopes or ("",):
        if name not in SCOPES:
            raise unknown("scope", name, SCOPES)
    if days is not None and not days > 0:
        raise UsageError(f"A key must last longer than {days} days.")
    said = _checked(terms or Terms(), scopes)
    body = secrets.token_hex(32)
    key = f"{PREFIX}{body}{_check(body)}"
    now = ledger.clock()
    expires = None if days is None else to_micros(now + timedelta(days=days))
    row = (new_id("key"), _hash(key), " ".join(scopes), to_micros(now), expires)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(load(_FILE, "insert"), row)
        chain.add(connection, "key", str(row[0]), chain.row_bytes(row))
        if said != Terms():
            connection.execute(load(_FILE, "insert_terms"), said.row(str(row[0])))
            chain.add_stored(connection, "key_terms", str(row[0]))

    ledger.journal.write(write)
    return str(row[0]), key


def days_until(end: str, now: datetime) -> float:
    """Give the days to an end such as "30d" or "2027-01-31" (its midnight, UTC); raises `UsageError` for others."""
    if match := _DAYS.fullmatch(end.strip()):
        return float(match[1])
    try:
        moment = datetime.fromisoformat(end)
    except ValueError as error:
        raise UsageError(f"A key ends at a date such as 2027-01-31 or after days such as 30d. Got '{end}'.") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise UsageError(f"A key must end in the future; {end} is past.")
    return (moment - now) / timedelta(days=1)


def _checked(terms: Terms, scopes: tuple[str, ...]) -> Terms:
    """Give the terms of a key, those of a public one filled in; raises `UsageError` for what makes no sense."""
    if terms.rate is not None and not (terms.rate > 0 and math.isfinite(terms.rate)):
        raise UsageError(f"A key's rate is a number of requests per second above 0. Got {terms.rate}.")
    if WRITE not in scopes:
        if terms.kinds or terms.origins:
            raise UsageError("Only a key with the scope write names kinds of events and origins.")
        return terms
    if len(scopes) > 1:
        raise UsageError("A key with the scope write can be read by everybody: give it no other scope.")
    if not terms.origins:
        raise UsageError("A key with the scope write names the pages that may use it: --origin https://shop.example.")
    for kind in terms.kinds:
        if not kinds.kind(kind).event:
            raise UsageError(f"'{kind}' is a table, not a kind of event.")
    return Terms(rate=terms.rate, kinds=terms.kinds or PUBLIC_KINDS, origins=terms.origins)


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
    key_id, scopes, *moments = row[:6]
    rate, *lists = row[6:]
    created, expires, revoked, last_used = (None if m is None else from_micros(m) for m in moments)
    kinds_, origins = (() if text is None else msgspec.json.decode(text, type=tuple[str, ...]) for text in lists)
    return KeyInfo(
        key_id=key_id,
        scopes=tuple(scopes.split()),
        created=created or from_micros(0),
        expires=expires,
        revoked=revoked,
        last_used=last_used,
        rate=rate,
        kinds=kinds_,
        origins=origins,
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _check(body: str) -> str:
    return _hash(body)[:_CHECK]
