"""What is known of the subject of one request: its canonical id, what is published of it, and by which models."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nextbest.errors import LedgerError
from nextbest.policies.counters import counted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from nextbest.ledger import Ledger

Said = tuple[str, dict[str, Any], dict[str, str], tuple[str, ...]]
Glance = tuple[tuple[int, str], Said | None]
_log = logging.getLogger("nextbest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One subject as served: `features` by name, `versions` by recipe; `stale` names features that are too old."""

    subject_id: str
    features: Mapping[str, Any]
    versions: Mapping[str, str]
    stale: tuple[str, ...] = ()


def known(ledger: Ledger, subject_id: str, wanted: Collection[str], context: Mapping[str, Any]) -> Known:
    """Give what is known now; *wanted* is what the play asks for. Raises `LedgerError`, `sqlite3.Error`."""
    now = ledger.clock()
    with ledger.journal.read() as connection:
        subject, features, versions, stale = said(connection, ledger, subject_id, now)
        features |= counted(connection, subject, wanted, now)
    missing = {name for name in wanted if name not in features and name not in context}
    if missing:
        features = {**_computed(ledger, subject, missing), **features}
    return Known(subject_id=subject, features=features, versions=versions, stale=stale)


def said(connection: sqlite3.Connection, ledger: Ledger, subject_id: str, now: datetime) -> Said:
    """Give the subject's canonical id, what is published of it, by which models, and what is too old to be served."""
    from nextbest.ledger import identities, published

    subject = identities.known_as(connection, ledger.secret, subject_id)
    return subject, *published.fresh(connection, subject, oldest=_oldest(ledger, now))


def at_a_glance(connection: sqlite3.Connection, ledger: Ledger, subject_id: str, now: datetime) -> Glance:
    """Give the stamp of what is published, and what `said` gives where one statement can tell, else None."""
    from nextbest.ledger import published

    stamp, found = published.at_a_glance(connection, subject_id, oldest=_oldest(ledger, now))
    return stamp, None if found is None else (subject_id, *found)


def _oldest(ledger: Ledger, now: datetime) -> datetime:
    return now - timedelta(days=ledger.config.server.stale_after_days)


def _computed(ledger: Ledger, subject: str, missing: set[str]) -> dict[str, float | None]:
    """Give the subject's features as of now; nothing when they cannot be computed (missing, not an error)."""
    from nextbest.features.build import vector
    from nextbest.features.sets import feature_set

    try:
        features = feature_set(ledger)
        if missing.isdisjoint(f.name for f in features):
            return {}
        return vector(ledger, features, subject, as_of=ledger.clock())
    except LedgerError as error:
        _log.error("decide: features are missing: %s", type(error).__name__)
        return {}
