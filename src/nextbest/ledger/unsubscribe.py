"""One-click unsubscribe (RFC 8058): a link says who, of which play, purpose and channel; following it is a no.

The link is sealed, so it shows nothing about the person and nobody can make one; it needs no login and does not expire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.ledger import consent, links
from nextbest.ledger.consent import ANY
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger.workspace import Ledger

__all__ = ["ANY", "Link", "follow", "headers", "read", "refuse", "token"]

_USE = "unsubscribe"
PATH = "/u/"
POST = "List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one link is about."""

    subject_id: str
    play: str
    purpose: str
    channel: str


def token(secret: bytes, link: Link) -> str:
    """Give the token of a link; the same link has the same token."""
    return links.seal(secret, _USE, (link.subject_id, link.play, link.purpose, link.channel))


def read(secret: bytes, token: str) -> Link | None:
    """Give what a token is about; None when this workspace did not make it."""
    found = links.unseal(secret, _USE, token)
    if found is None:
        return None
    subject_id, play, purpose, channel = found
    return Link(subject_id=subject_id, play=play, purpose=purpose, channel=channel)


def headers(secret: bytes, public_url: str, link: Link) -> tuple[str, str]:
    """Give the values of the headers `List-Unsubscribe` and `List-Unsubscribe-Post` of a message."""
    return f"<{public_url.rstrip('/')}{PATH}{token(secret, link)}>", POST


def follow(ledger: Ledger, link: Link) -> bool:
    """Record the no of a link, durable before this returns; gives whether it was new. The next decision is bound.

    Whoever said no already, or was erased, needs no other row: following a link twice is following it once.
    """
    proof = f"one-click unsubscribe (RFC 8058), play {link.play}"
    return refuse(ledger, [(link.subject_id, link.purpose, link.channel)], proof=proof, source="unsubscribe") > 0


def refuse(ledger: Ledger, who: list[tuple[str, str, str]], *, proof: str, source: str) -> int:
    """Record a no for each subject, purpose and channel whose last answer is not a no; gives how many were new."""
    now = to_micros(ledger.clock())

    def write(connection: sqlite3.Connection) -> int:
        fresh = [one for one in who if not _refused(connection, ledger, one)]
        consent.add(connection, [(*one, 0, now, proof, source) for one in fresh], now)
        return len(fresh)

    with ledger.journal.read() as connection:
        if all(_refused(connection, ledger, one) for one in who):
            return 0
    return ledger.journal.write(write)


def _refused(connection: sqlite3.Connection, ledger: Ledger, who: tuple[str, str, str]) -> bool:
    subject_id, purpose, channel = who
    rule = consent.removed(connection, ledger.config, ledger.secret, subject_id, purpose=purpose, channel=channel)
    if rule in {"consent:erased", "suppressed"}:
        return True
    asked = {"subject_id": subject_id, "purpose": purpose, "channel": channel}
    last = connection.execute(load("consent.sql", "last_answer"), asked).fetchone()
    return last is not None and not last[0] and rule is not None
