"""The keys of the HTTP service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.ledger import Ledger
    from nextbest.ledger.keys import KeyInfo


def create_key(
    ledger: Ledger,
    scope: str,
    *,
    days: float | None = None,
    expires: str | None = None,
    rate: float | None = None,
    kinds: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> tuple[str, str]:
    """Give (id, key) of a new API key; the key is shown once and stored only as its SHA-256.

    `expires` is a date or "30d"; `rate` requests per second instead of `[server] rate`; `kinds` and `origins` are for
    the scope `write`: which events a page may hand in, and which pages.
    """
    from nextbest.ledger import keys

    if expires is not None:
        days = keys.days_until(expires, ledger.clock())
    terms = keys.Terms(rate=rate, kinds=tuple(kinds), origins=tuple(origins))
    return keys.create(ledger, scope, days=days, terms=terms)


def list_keys(ledger: Ledger) -> list[KeyInfo]:
    """Give all API keys, without the keys themselves."""
    from nextbest.ledger import keys

    return keys.listing(ledger)


def find_key(ledger: Ledger, key: str) -> KeyInfo | None:
    """Give what a presented key may do, or None when it is unknown, revoked or past its days."""
    from nextbest.ledger import keys

    with ledger.journal.read() as connection:
        found = keys.find(connection, key, now=ledger.clock())
    if found is not None:
        keys.used(ledger, found)
    return found


def revoke_key(ledger: Ledger, key_id: str) -> None:
    """End an API key now."""
    from nextbest.ledger import keys

    keys.revoke(ledger, key_id)
