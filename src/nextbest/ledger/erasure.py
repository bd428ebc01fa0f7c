"""Erase a person: out of the journal, the archive, predictions, outbox, caches and rejected lines, with a receipt.

What may hold a person's data, and what happens there, is said in `places.py`. Everything goes in one commit; the audit
chain still verifies, because it holds salted digests only. What stays: keyed hashes, so that the person is never
contacted again and a restored backup erases the person again; and the mark on models that learnt from the person.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.errors import LedgerError
from nextbest.ledger import archive, catalogue, chain, consent, identities, marks, mentions, rewriting
from nextbest.ledger.files import sync
from nextbest.ledger.places import DELETED
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import digest, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextbest.ledger.catalogue import Segment
    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.mentions import Mentions
    from nextbest.ledger.workspace import Ledger

_FILE = "erasure.sql"
REASON = "erased"
REJECTS = "rejects"
_ATTEMPTS = 8  # others may load or erase while segments are being rewritten
_WAIT_S = 30.0
_SHORTEST_TERM = 6  # a shorter text stands in replies that are not about the person
_CHAINED = ("consent", "decision", "feedback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The receipt: rows removed per place, models that learnt from the person; `notes` say what is still to come."""

    subject_id: str
    removed: Mapping[str, int]
    models_marked: tuple[str, ...]
    receipt_id: str
    dry_run: bool = False
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """All that tells a person's data from other people's, as of one state of the catalogue."""

    ids: tuple[str, ...]
    identities: frozenset[str]
    names: frozenset[str]
    decisions: frozenset[str]
    messages: frozenset[str]
    segments: Mapping[str, Segment]
    rows: Mapping[str, int]

    def parameters(self) -> dict[str, str]:
        """Give the parameters of the statements of `erasure.sql`."""
        terms = {*self.ids, *self.identities, *self.names, *self.decisions, *self.messages}
        lists = {
            "ids": self.ids,
            "decisions": sorted(self.decisions),
            "terms": sorted(t for t in terms if len(t) >= _SHORTEST_TERM),
        }
        return {name: msgspec.json.encode(values).decode() for name, values in lists.items()}


class _DryRun(Exception):  # noqa: N818 (not an error: it undoes the step and carries what it counted)
    def __init__(self, removed: dict[str, int]) -> None:
        super().__init__()
        self.removed = removed


def erase(ledger: Ledger, subject_id: str, *, dry_run: bool = False, also: Also | None = None) -> Erasure:
    """Remove everything about a subject, under all its merged ids, and give the receipt; a dry run changes nothing.

    `also` gets the receipt in the transaction of the removal, before there is anything to note.
    Raises `LedgerError` when the archive kept changing meanwhile; nothing was removed then.
    """
    archive.tidy(ledger)
    receipt_id = new_id("era")
    for _ in range(_ATTEMPTS):
        person = _find(ledger, subject_id)
        models = marks.trained_on(ledger, person.ids)
        rejected = _rejected(ledger, person)
        removed = _segment_counts(person) | {f"{REJECTS}/{p.name}": n for p, n in rejected.items()}
        receipt = _Receipt(receipt_id=receipt_id, person=person, models=models, removed=removed)
        if dry_run:
            return receipt.erasure(_would_remove(ledger, receipt), dry_run=True)
        done = _remove(ledger, receipt, rejected, also)
        if done is not None:
            return receipt.erasure(done, notes=_overwrite(ledger))
    raise LedgerError(f"The archive changed {_ATTEMPTS} times while '{subject_id}' was being erased. Try again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receipt:
    receipt_id: str
    person: _Person
    models: tuple[str, ...]
    removed: Mapping[str, int]

    def erasure(self, removed: Mapping[str, int], *, dry_run: bool = False, notes: tuple[str, ...] = ()) -> Erasure:
        return Erasure(
            subject_id=self.person.ids[0],
            removed={**self.removed, **removed},
            models_marked=self.models,
            receipt_id=self.receipt_id,
            dry_run=dry_run,
            notes=notes,
        )


def _find(ledger: Ledger, subject_id: str) -> _Person:
    """Collect the person's ids, identifiers, names and decisions from the journal and the archive."""
    with ledger.journal.read() as connection:
        ids = tuple(identities.cluster(connection, subject_id))
        asked = {"ids": msgspec.json.encode(ids).decode()}
        known, decided, messages = (
            {row[0] for row in connection.execute(load(_FILE, name), asked)}
            for name in ("identities", "decisions", "messages")
        )
        segments = catalogue.segments(connection)
    traces = rewriting.trace(ledger, segments, ids, decided)
    return _Person(
        ids=ids,
        identities=traces.identities | known,
        names=traces.names,
        decisions=traces.decisions,
        messages=frozenset(messages),
        segments={s.segment_id: s for s in segments},
        rows=traces.rows,
    )


def _segment_counts(person: _Person) -> dict[str, int]:
    counts: dict[str, int] = {}
    for segment_id, rows in person.rows.items():
        place = f"{archive.FOLDER}/{person.segments[segment_id].kind}"
        counts[place] = counts.get(place, 0) + rows
    return counts


def _remove(
    ledger: Ledger, receipt: _Receipt, rejected: Mapping[Path, int], also: Also | None
) -> dict[str, int] | None:
    """Rewrite the files and commit everything at once; gives None when the archive changed meanwhile."""
    person, removed = receipt.person, dict[str, int]()
    with archive.pending(ledger) as folder:
        replacements = {
            segment_id: rewriting.rewrite(
                ledger, person.segments[segment_id], person.ids, person.decisions, folder / f"{segment_id}.parquet"
            )
            for segment_id in person.rows
        }
        lines = {path: folder / f"{number}.csv" for number, path in enumerate(rejected)}
        for path, target in lines.items():
            mentions.drop(path, _mentions(person), target)
            sync(target)

        def extra(connection: sqlite3.Connection) -> None:
            removed.update(_delete(connection, ledger, receipt))
            if also is not None:
                also(connection, receipt.erasure(removed))
            for path, target in lines.items():
                target.replace(path)
                sync(path.parent)

        if not archive.replace(ledger, replacements, seen=frozenset(person.segments), extra=extra):
            return None
    return removed


def _would_remove(ledger: Ledger, receipt: _Receipt) -> dict[str, int]:
    """Count what would go, by doing it and undoing it in one step."""

    def count(connection: sqlite3.Connection) -> None:
        raise _DryRun(_delete(connection, ledger, receipt))

    try:
        ledger.journal.write(count)
    except _DryRun as counted:
        return counted.removed
    return {}


def _delete(connection: sqlite3.Connection, ledger: Ledger, receipt: _Receipt) -> dict[str, int]:
    """Delete the journal's rows, with their salts, and add what stays: suppression, marks and receipt."""
    person, now = receipt.person, to_micros(ledger.clock())
    parameters = person.parameters()
    chained = [
        (what, ref)
        for what in _CHAINED
        for (ref,) in connection.execute(load(_FILE, f"chained_{what}"), parameters).fetchall()
    ]
    rewritten = [("segment", s) for s in person.rows if person.segments[s].kind == archive.DECISION]
    chain.forget(connection, receipt.receipt_id, [*chained, *rewritten])  # the rows say which links they have
    for text in sorted({*person.ids, *person.identities}):
        consent.suppress_digest(connection, digest(ledger, identities.normalise(text)), REASON, now)
    counts = {name: connection.execute(load(_FILE, f"delete_{name}"), parameters).rowcount for name in DELETED}
    for model_id in receipt.models:
        connection.execute(load(_FILE, "mark_model"), (model_id, receipt.receipt_id, REASON, now))
    removed = {name: rows for name, rows in counts.items() if rows}
    _keep_receipt(connection, ledger, receipt, removed, now)
    consent.touch(connection)  # whoever decided with the permissions of a moment ago must ask again
    return removed


def _keep_receipt(
    connection: sqlite3.Connection, ledger: Ledger, receipt: _Receipt, removed: Mapping[str, int], now: int
) -> None:
    """Keep the receipt under the keyed hash of every id the person had, and chain it; the ids themselves are gone."""
    said: dict[str, Any] = {"removed": {**receipt.removed, **removed}, "models_marked": receipt.models}
    text = msgspec.json.encode(said, order="sorted").decode()
    for number, one in enumerate(receipt.person.ids):
        key = receipt.receipt_id if number == 0 else f"{receipt.receipt_id}-{number}"
        connection.execute(load(_FILE, "add_receipt"), (key, digest(ledger, one), now, text))
        chain.add_stored(connection, "erase", key)


def _rejected(ledger: Ledger, person: _Person) -> dict[Path, int]:
    """Give the files of rejected lines that mention the person, with how many lines do."""
    who = _mentions(person)
    files = sorted(p for p in (ledger.path / REJECTS).glob("**/*") if p.is_file())
    return {path: n for path in files if (n := mentions.count(path, who))}


def _mentions(person: _Person) -> Mentions:
    return mentions.mentions(person.ids, person.identities, person.names)


def _overwrite(ledger: Ledger) -> tuple[str, ...]:
    """Write the journal anew and empty its log, so that deleted bytes are nowhere; waits a while for readers.

    `secure_delete` alone is not enough: when pages are rebalanced, SQLite leaves copies of cells in their gaps, and a
    later deletion does not reach those (seen in 1 of some 30 deletions among much-changed rows).
    """
    notes = []
    connection = sqlite3.connect(ledger.journal.file, timeout=_WAIT_S, isolation_level=None)
    try:
        for name in ("temporary_in_memory", "secure_delete", "vacuum"):
            connection.execute(load(_FILE, name)).fetchall()
    except sqlite3.OperationalError as error:
        notes.append(f"The journal could not be written anew ({error}): erase again when nobody else is writing.")
    finally:
        connection.close()
    until = time.monotonic() + _WAIT_S
    while not ledger.journal.checkpoint():
        if time.monotonic() > until:
            notes.append(
                "Another process is reading the journal: its write-ahead log empties when that process closes."
            )
            break
        time.sleep(0.05)
    return tuple(notes)
