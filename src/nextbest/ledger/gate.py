"""May we? One answer per subject, purpose and channel, from consent, suppression, erasure and merges.

The most specific answer counts (purpose and channel, then one of them, then '*'), and the later of equal ones. A no for
'*' that came after a specific yes wins over it, because a person who says "stop" means all of it. Among the ids of a
merged subject one no is enough. Where nothing is known, `opt_in` means no and `opt_out` means yes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nextbest.errors import LedgerError
from nextbest.ledger.identities import merge_map, normalise
from nextbest.ledger.journal import Connection
from nextbest.ledger.statements import load
from nextbest.ledger.workspace import keyed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from nextbest.config import Config

_FILE = "consent.sql"
ANY = "*"


class Answer(NamedTuple):
    """The latest answer of one subject id for one purpose and channel."""

    subject_id: str
    purpose: str
    channel: str
    allowed: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What was permitted at consent version `version`, for many subjects at once."""

    version: int
    regime: str
    secret: bytes = field(repr=False)
    answers: Mapping[str, list[Answer]] = field(repr=False)
    canonical: Mapping[str, str] = field(repr=False)
    members: Mapping[str, list[str]] = field(repr=False)
    suppressed: frozenset[str] = field(repr=False)
    suppressed_digests: frozenset[str] = field(repr=False)
    erased_digests: frozenset[str] = field(repr=False)

    def removed(self, subject_ids: Sequence[str], channel: str) -> list[str | None]:
        """Give per subject None when a contact on the channel is allowed, else the rule that removes it."""
        return [self._rule(self.canonical.get(s, s), channel) for s in subject_ids]

    def _rule(self, subject_id: str, channel: str) -> str | None:
        ids = (subject_id, *self.members.get(subject_id, ()))
        if self.erased_digests and any(keyed(self.secret, i) in self.erased_digests for i in ids):
            return "consent:erased"
        if subject_id in self.suppressed or self._id_suppressed(ids):
            return "suppressed"
        given = [a for a in self.answers.get(subject_id, ()) if a.channel in (channel, ANY)]
        return verdict(given, self.regime)

    def _id_suppressed(self, ids: Sequence[str]) -> bool:
        return bool(self.suppressed_digests) and any(
            keyed(self.secret, normalise(i)) in self.suppressed_digests for i in ids
        )


def gate(connection: sqlite3.Connection, config: Config, *, purpose: str, channels: Sequence[str]) -> Gate:
    """Give the permissions of everyone for a purpose and some channels, as one snapshot."""
    canonical = merge_map(connection)
    members: dict[str, list[str]] = {}
    for merged, root in canonical.items():
        members.setdefault(root, []).append(merged)
    answers: dict[str, list[Answer]] = {}
    wanted = {*channels, ANY}
    for row in connection.execute(load(_FILE, "latest"), {"purpose": purpose}):
        if row[2] in wanted:
            answers.setdefault(canonical.get(row[0], row[0]), []).append(Answer(*row))
    suppressed = _column(connection, "suppressed_subjects")
    return Gate(
        version=version(connection),
        regime=config.consent.regime,
        secret=_secret(connection),
        answers=answers,
        canonical=canonical,
        members=members,
        suppressed=frozenset(canonical.get(s, s) for s in suppressed),
        suppressed_digests=_column(connection, "suppressions"),
        erased_digests=_column(connection, "erased"),
    )


def version(connection: sqlite3.Connection) -> int:
    """Give the consent version: it grows with everything that may change a permission."""
    found: int = connection.execute(load(_FILE, "version")).fetchone()[0]
    return found


def verdict(answers: Sequence[Answer], regime: str) -> str | None:
    """Give None for yes, else the rule of the no: of a subject's ids one no is enough, one yes needed in `opt_in`."""
    by_id: dict[str, list[Answer]] = {}
    for answer in answers:
        by_id.setdefault(answer.subject_id, []).append(answer)
    said = [_allowed(given) for given in by_id.values()]
    if not all(said):
        return "consent:denied"
    return None if said or regime == "opt_out" else "consent:unknown"


def _allowed(given: Sequence[Answer]) -> bool:
    """Give the answer of one id: the most specific one, unless a broader no came later."""
    top = max(map(_specific, given))
    deciding = [a for a in given if _specific(a) == top]
    since = min(a.version for a in deciding)
    later_no = any(not a.allowed and a.version > since for a in given)
    return all(a.allowed for a in deciding) and not later_no


def _specific(answer: Answer) -> int:
    return (answer.purpose != ANY) + (answer.channel != ANY)


def digests(secret: bytes, texts: Iterable[str]) -> str:
    """Give the keyed hashes of texts as a JSON array."""
    return msgspec.json.encode([keyed(secret, t) for t in texts]).decode()


def _column(connection: sqlite3.Connection, statement: str) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute(load(_FILE, statement)))


def _secret(connection: sqlite3.Connection) -> bytes:
    if not isinstance(connection, Connection):
        raise LedgerError("Permission can be checked only on a connection of the journal: use `ledger.journal.read()`.")
    return connection.secret
