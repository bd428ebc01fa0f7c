"""May we, for one subject after the other, inside the transaction that logs: the answers of the `Gate` for everybody.

A `Permits` lasts for one write transaction. What holds for everybody (is anybody merged, suppressed, erased?) is read
once, and so are the answers and contacts of many subjects where they are foreseen: every statement is a moment in which
another thread may run, and this one waits for it.
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
    from collections.abc import Iterable, Sequence

    from nextbest.config import Config
    from nextbest.ledger.contacts import Asked

_FILE = "consent.sql"
_ANSWERS = msgspec.json.Decoder(list[Answer])


class Permits:
    """Permissions and contacts as one transaction sees them; used by one thread."""

    def __init__(self, connection: sqlite3.Connection, config: Config, secret: bytes) -> None:
        self._connection, self._secret = connection, secret
        self._regime = config.consent.regime
        self._merged, self._suppressed, self._erased = connection.execute(load(_FILE, "anybody")).fetchone()
        self._ids: dict[str, tuple[str, ...]] = {}
        self._answers: dict[str, list[Answer]] = {}
        self._counts: dict[Asked, int] = {}
        self.version: int = connection.execute(load(_FILE, "version")).fetchone()[0]

    def foresee(self, subject_ids: Iterable[str]) -> None:
        """Read together what will be asked of many subjects."""
        self._read([one for subject_id in dict.fromkeys(subject_ids) for one in self.ids(subject_id)])

    def foresee_contacts(self, asked: Iterable[Asked]) -> None:
        """Count together what will be asked of many subjects."""
        fresh = [one for one in dict.fromkeys(asked) if one not in self._counts]
        if fresh:
            self._counts.update(zip(fresh, contacts.count_many(self._connection, fresh), strict=True))

    def ids(self, subject_id: str) -> tuple[str, ...]:
        """Give every id of a subject, the canonical one first."""
        if not self._merged:
            return (subject_id,)
        if subject_id not in self._ids:
            self._ids[subject_id] = tuple(cluster(self._connection, subject_id))
        return self._ids[subject_id]

    def removed(self, ids: Sequence[str], *, purpose: str, channels: Iterable[str]) -> list[str | None]:
        """Give per channel None when a contact is allowed now, else the rule that removes it."""
        everywhere = self._everywhere(ids)
        if everywhere is not None:
            return [everywhere for _ in channels]
        rows = self._of(ids, purpose)
        return [verdict([a for a in rows if a.channel in (channel, ANY)], self._regime) for channel in channels]

    def agreed(self, ids: Sequence[str], *, purpose: str, channels: Iterable[str]) -> bool:
        """Say whether a subject has said yes to any of the channels, so that it would count where silence is a no."""
        rows = self._of(ids, purpose)
        return any(verdict([a for a in rows if a.channel in (c, ANY)], "opt_in") is None for c in channels)

    def contacts(self, asked: Asked) -> int:
        """Give how often a subject was contacted."""
        self.foresee_contacts((asked,))
        return self._counts[asked]

    def _of(self, ids: Sequence[str], purpose: str) -> list[Answer]:
        self._read([one for one in ids if one not in self._answers])
        return [a for one in ids for a in self._answers[one] if a.purpose in (purpose, ANY)]

    def _read(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        found = self._connection.execute(load(_FILE, "latest_of"), (_json(ids),)).fetchone()[0]
        self._answers |= {one: [] for one in ids}
        for answer in _ANSWERS.decode(found):
            self._answers[answer.subject_id].append(answer)

    def _everywhere(self, ids: Sequence[str]) -> str | None:
        """Give the rule that forbids every channel."""
        if self._erased:
            asked = {"digests": digests(self._secret, ids)}
            if self._connection.execute(load(_FILE, "erased_any"), asked).fetchone():
                return "consent:erased"
        if self._suppressed:
            asked = {"digests": digests(self._secret, map(normalise, ids)), "subjects": _json(ids)}
            if self._connection.execute(load(_FILE, "suppressed_any"), asked).fetchone():
                return "suppressed"
        return None


def removed(
    connection: sqlite3.Connection, config: Config, secret: bytes, subject_id: str, *, purpose: str, channel: str
) -> str | None:
    """Give None when a contact is allowed now, else the rule that removes it; use it inside the logging transaction."""
    permits = Permits(connection, config, secret)
    return permits.removed(permits.ids(subject_id), purpose=purpose, channels=(channel,))[0]


def _json(ids: Sequence[str]) -> str:
    return msgspec.json.encode(ids).decode()
