"""An anonymous visitor turns out to be a person: a merge, so that the log stays as it was written.

Decisions and events keep the id under which they came; whoever reads them sees one subject. A no of either is a no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import ConflictError
from nextbest.ledger import consent
from nextbest.ledger.idempotency import together
from nextbest.ledger.identities import canonical
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger

_FILE = "identities.sql"
WHY = "an anonymous visitor gave a name"


def join(ledger: Ledger, anonymous_id: str, subject_id: str, *, also: Also | None = None) -> str:
    """Make an anonymous id and a person one subject; gives the id of the merge, also when they were joined before.

    Raises `ConflictError` when the id was joined to somebody else (two people use one browser), or has an e-mail or
    phone of its own: then it is not anonymous, and joining it would give one person what belongs to another.
    """

    def write(connection: sqlite3.Connection) -> str:
        source, target = canonical(connection, anonymous_id), canonical(connection, subject_id)
        before = connection.execute(load(_FILE, "merge_of"), (anonymous_id,)).fetchone()
        if source == target:
            return str(before[0]) if before else ""
        if before is not None:
            raise ConflictError("The anonymous id belongs to another person already. Give a new visitor a new id.")
        if connection.execute(load(_FILE, "has_identity"), (anonymous_id,)).fetchone():
            raise ConflictError("The id has an e-mail or phone of its own, so it is not anonymous.")
        merge_id = new_id("mrg")
        row = (merge_id, source, target, WHY, to_micros(ledger.clock()))
        connection.execute(load(_FILE, "merge"), row)
        consent.touch(connection)  # a no of one is now a no of both
        return merge_id

    return ledger.journal.write(together(write, also))
