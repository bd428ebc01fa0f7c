"""The audit chain: every row that must not change in silence adds a link, and `verify` recomputes them all.

    digest = SHA-256(salt || what || 0 || ref || 0 || row)        link = SHA-256(previous link || digest)

Decisions that are logged together share a link: its digest is SHA-256 of the list of their digests (`chain_group`), and
each salt stands in its row.

Erasing a person deletes the row and its salt; the digest stays, so the chain still verifies and says nothing about the
person. What was erased is itself stated by a link (`forget`), so a row cannot vanish by other means unnoticed. A chain
cannot show by itself that its tail was cut: keep `head(ledger)` elsewhere and give it to `verify`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.errors import LedgerError
from nextbest.ledger.statements import load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

_START = bytes(32)
_SALT_BYTES = 16
_MOST_PROBLEMS = 100
_DIGEST_BYTES = 32
# Columns that came later stand at the end and are left out while they are NULL, so that older digests still hold.
_FIRST_COLUMNS = {"decision": 19, "forget": 2}
_GROUPED_COLUMNS = 21  # of a decision, when groups came
# What a link may vouch for; `chain.sql` has a `row_` and an `unlinked_` statement for each.
GROUP = "decisions"
ROWS = (
    *("decision", "segment", "feedback", "consent", "suppression", "erase", "forget"),
    *("key", "key_terms", "key_revoked", "switch", "config", "rollout", "serving", "approved_amount", "alarm"),
)
_ENCODE = msgspec.json.Encoder().encode
_PACK = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What recomputing the chain found; `head` is `<links>:<hex>`, to be kept outside."""

    links: int
    ok: bool
    problems: tuple[str, ...]
    head: str


def row_bytes(values: Iterable[Any]) -> bytes:
    """Give the canonical bytes of a row: its stored values, in the order of its `row_` statement, as JSON."""
    return _ENCODE(list(values))


def row_of(what: str, values: Sequence[Any]) -> bytes:
    """Give the canonical bytes of a row without the columns at its end that came later and hold nothing."""
    return _ENCODE(_held(values, _FIRST_COLUMNS.get(what, len(values))))


def packed_row(values: Sequence[Any]) -> bytes:
    """Give the same for a decision of a group, as MessagePack: numbers and bytes need not become text to be vouched."""
    return _PACK(values if len(values) == _GROUPED_COLUMNS else _held(values, _GROUPED_COLUMNS))


def _held(values: Sequence[Any], first: int) -> Sequence[Any]:
    end = len(values)
    while end > first and values[end - 1] is None:
        end -= 1
    return values[:end]


def add(connection: sqlite3.Connection, what: str, ref: str, row: bytes) -> None:
    """Add the link of one row (`row_bytes` of what is stored), inside the caller's transaction."""
    add_many(connection, what, ((ref, row),))


def add_stored(connection: sqlite3.Connection, what: str, ref: str) -> None:
    """Add the link of a row that has just been stored, reading it back."""
    row = connection.execute(load("chain.sql", f"row_{what}"), (ref,)).fetchone()
    if row is None:
        raise LedgerError(f"There is no stored {what} '{ref}' to add to the audit chain.")
    add(connection, what, ref, row_of(what, row))


def add_many(connection: sqlite3.Connection, what: str, rows: Iterable[tuple[str, bytes]]) -> None:
    """Add one link per (ref, row), in order, inside the caller's transaction."""
    last = connection.execute(load("chain.sql", "last")).fetchone()
    seq, link = last or (0, _START)
    links, salts = [], []
    for ref, row in rows:
        seq += 1
        salt = secrets.token_bytes(_SALT_BYTES)
        digest = _digest(salt, what, ref, row)
        link = hashlib.sha256(link + digest).digest()
        links.append((seq, what, ref, digest, link))
        salts.append((seq, salt))
    connection.executemany(load("chain.sql", "insert"), links)
    connection.executemany(load("chain.sql", "insert_salt"), salts)


def add_group(connection: sqlite3.Connection, what: str, rows: Sequence[tuple[str, bytes]]) -> tuple[int, list[bytes]]:
    """Add one link for many rows (ref, `packed_row`); gives its number and a salt per row, to be kept with the rows."""
    seq, before = connection.execute(load("chain.sql", "last")).fetchone() or (0, _START)
    random, tag, sha256 = secrets.token_bytes(_SALT_BYTES * len(rows)), what.encode(), hashlib.sha256
    salts = [random[i : i + _SALT_BYTES] for i in range(0, len(random), _SALT_BYTES)]
    digests = b"".join([
        sha256(b"%b%b\0%b\0%b" % (salt, tag, ref.encode(), row)).digest()
        for salt, (ref, row) in zip(salts, rows, strict=True)
    ])  # fmt: skip
    digest = sha256(digests).digest()
    link = (seq + 1, GROUP, str(seq + 1), digest, sha256(before + digest).digest())
    connection.execute(load("chain.sql", "insert"), link)
    connection.execute(load("chain.sql", "insert_group"), (seq + 1, digests))
    return seq + 1, salts


def forget(connection: sqlite3.Connection, forget_id: str, rows: Sequence[tuple[str, str]]) -> int:
    """Erase the salts of rows (what, ref) and state so in a link; gives how many links that concerned.

    The caller deletes the rows themselves afterwards, in the same transaction.
    """
    seqs = [connection.execute(load("chain.sql", "seq"), pair).fetchone() for pair in rows]
    known = [seq for seq in seqs if seq is not None]
    decided = [ref for what, ref in rows if what == "decision"]
    found = [connection.execute(load("chain.sql", "place"), (ref,)).fetchone() for ref in decided]
    places = [place for place in found if place is not None]
    if known or places:
        connection.executemany(load("chain.sql", "delete_salt"), known)
        connection.executemany(load("chain.sql", "insert_forgotten"), [(seq, forget_id) for (seq,) in known])
        connection.executemany(load("chain.sql", "insert_erased"), [(*place, forget_id) for place in places])
        add_stored(connection, "forget", forget_id)
    return len(known) + len(places)


def head(ledger: Ledger) -> str:
    """Give the newest link as `<number of links>:<hex>`; kept outside, it shows a cut tail."""
    with ledger.journal.read() as connection:
        seq, link = connection.execute(load("chain.sql", "last")).fetchone() or (0, _START)
        return f"{seq}:{link.hex()}"


def verify(ledger: Ledger, *, expected_head: str | None = None) -> Verification:
    """Recompute every link, row and bulk segment; `expected_head` is an earlier `head` that must still be there."""
    with ledger.journal.read() as connection:
        links, newest, problems = _walk(connection)
        for what in ROWS:
            problems += _rows(connection, what)
            unlinked = connection.execute(load("chain.sql", f"unlinked_{what}"))
            problems += [f"{what} '{ref}' stands without a link" for (ref,) in unlinked]
        problems += _groups(connection)
        problems += _segments(connection, ledger.path)
        if expected_head is not None:
            problems += _expected(connection, expected_head)
    return Verification(links=links, ok=not problems, problems=tuple(problems[:_MOST_PROBLEMS]), head=newest)


def _digest(salt: bytes, what: str, ref: str, row: bytes) -> bytes:
    return hashlib.sha256(b"%b%b\0%b\0%b" % (salt, what.encode(), ref.encode(), row)).digest()


def _walk(connection: sqlite3.Connection) -> tuple[int, str, list[str]]:
    """Recompute every link from the one before; a gap or a change shows at its place."""
    problems: list[str] = []
    count, before = 0, _START
    for seq, digest, link in connection.execute(load("chain.sql", "all")):
        count += 1
        if seq != count:
            problems.append(f"a link is missing before link {seq}")
            count = seq
        if hashlib.sha256(before + digest).digest() != link:
            problems.append(f"link {seq} does not follow from the link before it")
        before = link
    return count, f"{count}:{before.hex()}", problems


def _rows(connection: sqlite3.Connection, what: str) -> Iterator[str]:
    """Find rows that changed since they were linked, and rows or salts that went without an erasure."""
    one = load("chain.sql", f"row_{what}")
    for ref, digest, salt, forget_id in connection.execute(load("chain.sql", "links"), (what,)):
        row = connection.execute(one, (ref,)).fetchone()
        if forget_id is not None:
            if row is not None:
                yield f"{what} '{ref}' is stated as erased and is still there"
        elif row is None or salt is None:
            yield f"{what} '{ref}' is gone without an erasure"
        elif _digest(salt, what, ref, row_of(what, row)) != digest:
            yield f"{what} '{ref}' is not what was written"


def _groups(connection: sqlite3.Connection) -> Iterator[str]:
    """Find decisions of a group that changed, are gone without an erasure, or are stated as erased and still there."""
    rows = _Grouped(connection)
    for seq, digest, digests in connection.execute(load("chain.sql", "groups")):
        if digests is None or hashlib.sha256(digests).digest() != digest:
            yield f"the list of link {seq} is not what was written"
        missing = set(range(len(digests or b"") // _DIGEST_BYTES))
        erased = {place for (place,) in connection.execute(load("chain.sql", "erased"), (seq,))}
        for place, ref, found in rows.take(seq):
            missing.discard(place)
            if place in erased:
                yield f"decision '{ref}' is stated as erased and is still there"
            elif found != (digests or b"")[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES]:
                yield f"decision '{ref}' is not what was written"
        yield from (f"decision {place + 1} of link {seq} is gone without an erasure" for place in missing - erased)
    yield from (f"decision '{ref}' stands out of its place" for ref in rows.rest())


class _Grouped:
    """The decisions that have a place in a group, in the order of their writing, digested as they are read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.execute(load("chain.sql", "grouped"))
        self._next = self._cursor.fetchone()
        self._stray: list[str] = []

    def take(self, seq: int) -> Iterator[tuple[int, str, bytes]]:
        """Give place, id and digest of the rows of one link."""
        while self._next is not None and self._next[0] < seq:
            self._stray.append(self._next[3])
            self._next = self._cursor.fetchone()
        while self._next is not None and self._next[0] == seq:
            _, place, salt, *values = self._next
            yield place, values[0], _digest(salt or b"", "decision", values[0], packed_row(values))
            self._next = self._cursor.fetchone()

    def rest(self) -> Iterator[str]:
        """Give the ids of the rows that no link took."""
        yield from self._stray
        while self._next is not None:
            yield self._next[3]
            self._next = self._cursor.fetchone()


def _segments(connection: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """Find bulk decision segments whose file is gone or changed."""
    for segment_id, path, sha256 in connection.execute(load("chain.sql", "segments")):
        try:
            with (folder / path).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield f"segment '{segment_id}' cannot be read: {error.strerror}"
            continue
        if found != sha256:
            yield f"segment '{segment_id}' is not the file that was written"


def _expected(connection: sqlite3.Connection, expected: str) -> Iterator[str]:
    seq, _, link = expected.partition(":")
    row = connection.execute(load("chain.sql", "at_seq"), (int(seq),)).fetchone() if seq.isdecimal() else None
    found = _START.hex() if seq == "0" else row[0].hex() if row else None
    if found is None or found != link:
        yield f"the head {expected[:24]}... that was kept outside is not in the chain: its tail was cut or rewritten"
