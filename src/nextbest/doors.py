"""What the doors of a service need beside the verbs: requests that come twice, links that object, visitors with a name.

The HTTP service uses this file as it uses `verbs.py` and `operations.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest.ledger.idempotency import Also, Repeated
from nextbest.ledger.keys import KeyInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nextbest.ledger import Ledger
    from nextbest.ledger.unsubscribe import Link

__all__ = [
    "Also",
    "KeyInfo",
    "Repeated",
    "follow",
    "identify",
    "link",
    "may_tell",
    "objected",
    "once",
    "outcome_token",
    "reply_before",
    "separate",
]

GPC = "Sec-GPC"
OUTCOME = "outcome"


# --- the same request twice -----------------------------------------------------------------------------------------


def reply_before(ledger: Ledger, key: str, request: bytes) -> bytes | None:
    """Give the reply that this key had before; raises `ConflictError` when it came with another request."""
    from nextbest.ledger import idempotency
    from nextbest.ledger.workspace import digest

    with ledger.journal.read() as connection:
        return idempotency.lookup(connection, digest(ledger, key), digest(ledger, request.hex()))


def once(
    ledger: Ledger, key: str, request: bytes, word: Callable[[Any], bytes], *, subject_id: str | None = None
) -> Also:
    """Give what keeps the reply to a request inside the transaction that does what it says, for 30 days.

    Hand it to a verb as `also`. `word` makes the reply of the verb's result; erasing the subject erases it. It raises
    `Repeated`, and nothing is done, when another process answered this key meanwhile.
    """
    from nextbest.ledger import idempotency
    from nextbest.ledger.workspace import digest

    return idempotency.Once(
        key=digest(ledger, key),
        body_digest=digest(ledger, request.hex()),
        now=ledger.clock(),
        word=word,
        subject_id=subject_id,
    )


# --- objections -----------------------------------------------------------------------------------------------------


def link(ledger: Ledger, token: str) -> Link | None:
    """Give what an unsubscribe link of this workspace is about; None for a token that it did not seal."""
    from nextbest.ledger import unsubscribe

    return unsubscribe.read(ledger.secret, token)


def follow(ledger: Ledger, token: str) -> bool:
    """Record the no of an unsubscribe link, durable before this returns; gives False for a link that is not ours."""
    from nextbest.ledger import unsubscribe

    found = unsubscribe.read(ledger.secret, token)
    if found is not None:
        unsubscribe.follow(ledger, found)
    return found is not None


def objected(ledger: Ledger, subject_ids: Iterable[str]) -> int:
    """Record what `Sec-GPC: 1` says of these subjects where `[consent] gpc` is `record`; gives how many were new."""
    from nextbest.ledger import consent, unsubscribe

    if ledger.config.consent.gpc != "record":
        return 0
    who = [(s, consent.MARKETING, consent.ANY) for s in dict.fromkeys(subject_ids)]
    return unsubscribe.refuse(ledger, who, proof=GPC, source="gpc")


# --- visitors -------------------------------------------------------------------------------------------------------


def identify(ledger: Ledger, anonymous_id: str, subject_id: str, *, also: Also | None = None) -> str:
    """Join an anonymous visitor to the person who turned out to be behind it; gives the id of the merge.

    Raises `ConflictError` when the id is another person's already, or is not anonymous.
    """
    from nextbest.ledger import identities, joining

    return joining.join(ledger, anonymous_id, identities.resolve_or_expect(ledger, subject_id), also=also)


def separate(ledger: Ledger, merge_id: str) -> None:
    """Undo a merge: the two ids are separate subjects again, with what each of them had."""
    from nextbest.ledger import identities

    identities.undo_merge(ledger, merge_id)


# --- what a web page may say ----------------------------------------------------------------------------------------


def outcome_token(ledger: Ledger, decision_id: str, subject_id: str) -> str:
    """Give the token with which a web page may say what came of one decision."""
    from nextbest.ledger import links

    return links.sign(ledger.secret, OUTCOME, f"{decision_id}\n{subject_id}")


def may_tell(ledger: Ledger, decision_id: str, subject_id: str, token: str) -> bool:
    """Say whether a token is of this decision and subject."""
    from nextbest.ledger import links

    return links.signed(ledger.secret, OUTCOME, f"{decision_id}\n{subject_id}", token)
