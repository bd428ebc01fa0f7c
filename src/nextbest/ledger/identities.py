"""Who is who: identifiers of subjects, and merges that are rows and can be undone."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from nextbest.errors import ConflictError, UnknownNameError
from nextbest.ledger import catalogue
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import keyed, new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    import pyarrow as pa

    from nextbest.ledger.workspace import Ledger

_FILE = "identities.sql"
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]+")
_PHONE = re.compile(r"\+?[\d\s().\-/]{7,24}")
_NOT_DIGIT = re.compile(r"\D")
EXPECTED = "p_"  # how the id of somebody starts who is known by an address only; loading a file gives the same id
PSEUDONYM_DIGITS = 20
MOST_SHARED = 20  # an address that more subjects share is a placeholder (0000000, info@), not a person


def normalise(identity: str) -> str:
    """Give the one spelling of an e-mail (lower case), a phone (digits, + for 00) or another identifier (trimmed)."""
    text = identity.strip()
    if "@" in text:
        return text.lower()
    if _PHONE.fullmatch(text):
        digits = _NOT_DIGIT.sub("", text)
        international = text.startswith("+") or digits.startswith("00")
        return f"+{digits.lstrip('0')}" if international else digits
    return text


def link(ledger: Ledger, subject_id: str, *, identity_type: str, identity: str, source: str = "") -> None:
    """Say that an identifier belongs to a subject."""
    rows = [(subject_id, identity_type, identity, to_micros(ledger.clock()), source)]
    ledger.journal.write(lambda connection: add(connection, ledger.secret, rows))


def add_table(connection: sqlite3.Connection, ledger: Ledger, table: pa.Table) -> None:
    """Store a table of kind `identities` inside the caller's transaction."""
    now = to_micros(ledger.clock())
    rows = (
        (row["subject_id"], row["identity_type"], row["identity"], _ts(row.get("ts"), now), row.get("source") or "")
        for batch in table.to_batches()
        for row in batch.to_pylist()
    )
    add(connection, ledger.secret, rows)


def add(connection: sqlite3.Connection, secret: bytes, rows: Iterable[tuple[str, str, str, int, str]]) -> None:
    """Store (subject_id, identity_type, identity, ts, source) rows inside the caller's transaction."""

    def stored() -> Iterable[tuple[str, str, str, str, int, str]]:
        for subject_id, identity_type, identity, ts, source in rows:
            text = normalise(identity)
            yield subject_id, identity_type, text, keyed(secret, text), ts, source

    connection.executemany(load(_FILE, "insert"), stored())
    if connection.execute(load("consent.sql", "suppressions")).fetchone():
        _touch(connection)  # a new identifier may be a suppressed one


def merge(ledger: Ledger, from_id: str, into_id: str, *, why: str) -> str:
    """Make two ids one subject, known as *into_id*; gives the id of the merge. Undo it with `undo_merge`."""

    def write(connection: sqlite3.Connection) -> str:
        source, target = canonical(connection, from_id), canonical(connection, into_id)
        if source == target:
            raise ConflictError(f"'{from_id}' and '{into_id}' are one subject already.")
        return _merge(connection, source, target, why, to_micros(ledger.clock()))

    return ledger.journal.write(write)


def undo_merge(ledger: Ledger, merge_id: str) -> None:
    """Make the two ids of a merge separate subjects again."""

    def write(connection: sqlite3.Connection) -> None:
        if not connection.execute(load(_FILE, "undo_merge"), (to_micros(ledger.clock()), merge_id)).rowcount:
            raise UnknownNameError(f"There is no merge '{merge_id}' in force; it may have been undone before.")
        _touch(connection)

    ledger.journal.write(write)


def canonical(connection: sqlite3.Connection, subject_id: str) -> str:
    """Give the id that a subject is known by now; an id that was never merged is its own."""
    found: str = connection.execute(load(_FILE, "canonical"), {"id": subject_id}).fetchone()[0]
    return found


def cluster(connection: sqlite3.Connection, subject_id: str) -> list[str]:
    """Give every id of the subject, the canonical one first."""
    root = canonical(connection, subject_id)
    return [row[0] for row in connection.execute(load(_FILE, "members"), {"id": root})]


def merge_map(connection: sqlite3.Connection) -> dict[str, str]:
    """Give every merged id with its canonical id, through any number of merges."""
    into: dict[str, str] = dict(connection.execute(load(_FILE, "merges")).fetchall())
    return {start: _root(into, start) for start in into}


def resolve(ledger: Ledger, id_or_identity: str) -> str:
    """Give the canonical subject id of an id, e-mail, phone or other identifier; raises `UnknownNameError`."""
    found = _by_journal(ledger, id_or_identity)
    if found is not None:
        return found
    if _in_segments(ledger, id_or_identity):
        return id_or_identity
    raise UnknownNameError(f"There is no subject with the id, e-mail or phone '{id_or_identity}'.")


def resolve_or_expect(ledger: Ledger, id_or_identity: str) -> str:
    """Give the same for somebody who may not have come yet: what is said of them now must bind when they come.

    An e-mail or an international phone number that nobody has gets the id and the identity that its owner will be
    loaded under; any other unknown text is taken for an id.
    """
    text = id_or_identity.strip()
    found = _by_journal(ledger, text)
    address = normalise(text)
    kind = "email" if _EMAIL.fullmatch(address) else "phone" if address.startswith("+") else None
    if found is not None or kind is None or _in_segments(ledger, text):
        return found or text
    subject_id = EXPECTED + keyed(ledger.secret, address)[:PSEUDONYM_DIGITS]
    link(ledger, subject_id, identity_type=kind, identity=address, source="consent")
    return subject_id


def known_as(connection: sqlite3.Connection, secret: bytes, id_or_identity: str) -> str:
    """Give the canonical id of a subject by its id, e-mail or phone; what is not one subject's is taken for an id."""
    try:
        return _known_as(connection, secret, id_or_identity) or id_or_identity
    except UnknownNameError:
        return id_or_identity


def _by_journal(ledger: Ledger, id_or_identity: str) -> str | None:
    with ledger.journal.read() as connection:
        return _known_as(connection, ledger.secret, id_or_identity)


def _known_as(connection: sqlite3.Connection, secret: bytes, id_or_identity: str) -> str | None:
    if connection.execute(load(_FILE, "known"), {"id": id_or_identity}).fetchone()[0]:
        return canonical(connection, id_or_identity)
    owners = connection.execute(load(_FILE, "subjects_of"), (keyed(secret, normalise(id_or_identity)),))
    subjects = sorted({canonical(connection, subject_id) for (subject_id,) in owners.fetchall()})
    if len(subjects) > 1:
        raise UnknownNameError(f"Several subjects share this identifier: {', '.join(subjects[:5])}. Give one of these.")
    return subjects[0] if subjects else None


def join_duplicates(ledger: Ledger) -> int:
    """Merge subjects that share exactly one normalised e-mail or phone; gives how many were joined to another.

    A merge that was undone is not made again; an address shared by more than 20 subjects joins nobody.
    """

    def write(connection: sqlite3.Connection) -> int:
        into: dict[str, str] = dict(connection.execute(load(_FILE, "merges")).fetchall())
        undone = set(connection.execute(load(_FILE, "undone")).fetchall())
        now, joined = to_micros(ledger.clock()), 0
        for (sharing,) in connection.execute(load(_FILE, "shared"), {"most": MOST_SHARED}).fetchall():
            roots = sorted({_root(into, s) for s in msgspec.json.decode(sharing, type=list[str])}, key=_preference)
            for other in roots[1:]:
                if (other, roots[0]) not in undone:
                    _merge(connection, other, roots[0], "same e-mail or phone", now)
                    into[other] = roots[0]
                    joined += 1
        return joined

    return ledger.journal.write(write)


def _merge(connection: sqlite3.Connection, from_id: str, into_id: str, why: str, now: int) -> str:
    merge_id = new_id("mrg")
    connection.execute(load(_FILE, "merge"), (merge_id, from_id, into_id, why, now))
    _touch(connection)  # a denial of one is now a denial of both
    return merge_id


def _root(into: dict[str, str], start: str) -> str:
    while start in into:
        start = into[start]
    return start


def _preference(subject_id: str) -> tuple[bool, str]:
    """Prefer a real id to one made from an address, then the first by name, so that every run joins alike."""
    return subject_id.startswith(EXPECTED), subject_id


def _touch(connection: sqlite3.Connection) -> None:
    connection.execute(load("consent.sql", "touch"), (1,)).fetchone()


def _ts(value: object, now: int) -> int:
    return to_micros(value) if isinstance(value, datetime) else now


def _in_segments(ledger: Ledger, subject_id: str) -> bool:
    import pyarrow.dataset as ds  # brings in pandas where there is one: not for those who only serve

    with ledger.journal.read() as connection:
        paths = [segment.path for segment in catalogue.segments(connection)]
    for path in paths:
        data = ds.dataset(ledger.path / path, format="parquet")
        if "subject_id" in data.schema.names and data.head(1, filter=ds.field("subject_id") == subject_id).num_rows:
            return True
    return False
