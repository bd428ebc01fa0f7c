"""May we, for one subject after the other, inside the transaction that logs: the same answers as `gate.removed`.

A `Permits` lasts for one write transaction. What holds for everybody (is anybody merged, suppressed, erased?) is read
once; a subject then costs one statement where nothing of that is so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nextbest.ledger import contacts
from nextbest.ledger.gate import ANY, Answer, digests, verdict
from nextbest.ledger.identities import cluster, normalise
from nextbest.ledger.statements import load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from nextbest.config import Config

_FILE = "consent.sql"


class Permits:
    """Permissions and contacts as one transaction sees them; used by one thread."""

    def __init__(self, connection: sqlite3.Connection, config: Config, secret: bytes) -> None:
        self._connection, self._secret = connection, secret
        self._regime = config.consent.regime
        self._merged, self._suppressed, self._erased = connection.execute(load(_FILE, "anybody")).fetchone()
        self.version: int = connection.execute(load(_FILE, "version")).fetchone()[0]

    def ids(self, subject_id: str) -> list[str]:
        """Give every id of a subject, the canonical one first."""
        return cluster(self._connection, subject_id) if self._merged else [subject_id]

    def removed(self, ids: list[str], *, purpose: str, channels: Iterable[str]) -> list[str | None]:
        """Give per channel None when a contact is allowed now, else the rule that removes it."""
        everywhere = self._everywhere(ids)
        if everywhere is not None:
            return [everywhere for _ in channels]
        rows = self._answers(ids, purpose)
        return [verdict([a for a in rows if a.channel in (channel, ANY)], self._regime) for channel in channels]

    def agreed(self, ids: list[str], *, purpose: str, channels: Iterable[str]) -> bool:
        """Say whether a subject has said yes to any of the channels, so that it would count where silence is a no."""
        rows = self._answers(ids, purpose)
        return any(verdict([a for a in rows if a.channel in (c, ANY)], "opt_in") is None for c in channels)

    def _answers(self, ids: list[str], purpose: str) -> list[Answer]:
        rows: list[Answer] = []
        for one in ids:
            rows += [Answer(*row) for row in self._connection.execute(load(_FILE, "latest_of_one"), (one, purpose))]
        return rows

    def contacts(self, ids: list[str], *, since: int, channel: str = "") -> int:
        """Give how often a subject was contacted since a moment (microseconds), on one channel or on all."""
        return contacts.count_of(self._connection, ids, since=since, channel=channel)

    def _everywhere(self, ids: list[str]) -> str | None:
        """Give the rule that forbids every channel."""
        if self._erased:
            asked = {"digests": digests(self._secret, ids)}
            if self._connection.execute(load(_FILE, "erased_any"), asked).fetchone():
                return "consent:erased"
        if self._suppressed:
            subjects = msgspec.json.encode(ids).decode()
            asked = {"digests": digests(self._secret, map(normalise, ids)), "subjects": subjects}
            if self._connection.execute(load(_FILE, "suppressed_any"), asked).fetchone():
                return "suppressed"
        return None
