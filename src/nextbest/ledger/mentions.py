"""Rejected lines hold what people sent, as it came: the ones that mention a person go.

A record whose `subject` nobody knows may be about anybody: it keeps line, column and reason, and loses its value.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CELLS = re.compile(r"[,;\t|\"'{}\[\]:\r\n]")
_NOT_DIGIT = re.compile(r"\D")
SUBJECT, VALUE = "subject", "value"  # columns of a file of rejected lines
_PHONE_DIGITS = 7
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentions:
    """How a person may be named in a raw line: ids as whole cells, other texts anywhere, phones by their digits."""

    ids: frozenset[str]
    texts: frozenset[str]
    phones: frozenset[str]

    def within(self, text: str) -> bool:
        """Tell whether the text mentions the person."""
        folded = text.casefold()
        if any(t in folded for t in self.texts):
            return True
        if any(cell.strip() in self.ids for cell in _CELLS.split(text)):
            return True
        digits = _NOT_DIGIT.sub("", text) if self.phones else ""
        return any(p in digits for p in self.phones)


def mentions(ids: Iterable[str], identities: Iterable[str], names: Iterable[str]) -> Mentions:
    """Give the ways in which a person may be named; an id with a namespace counts without it too."""
    known = frozenset(i for one in ids for i in (one, one.partition(":")[2]) if i)
    texts, phones = set(), set()
    for identity in identities:
        digits = _NOT_DIGIT.sub("", identity).lstrip("0")
        texts.add(identity.strip().casefold())
        if "@" not in identity and len(digits) >= _PHONE_DIGITS:
            phones.add(digits)
    texts |= {n.strip().casefold() for n in names}
    return Mentions(ids=known, texts=frozenset(t for t in texts if t), phones=frozenset(phones))


def count(file: Path, who: Mentions) -> int:
    """Give the number of records of a file of rejected lines that go or lose their value."""
    return sum(kept != record for record, kept in _kept(file, who))


def drop(file: Path, who: Mentions, target: Path) -> None:
    """Write the file of rejected lines to *target* without what is, or may be, about the person."""
    with target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        writer = csv.writer(out)
        writer.writerows(kept for _, kept in _kept(file, who) if kept is not None)


def _kept(file: Path, who: Mentions) -> Iterator[tuple[list[str], list[str] | None]]:
    """Give every record and what stays of it: all, nothing, or all but the value when nobody knows whose it is."""
    header: list[str] = []
    for record in _records(file):
        if who.within("\n".join(record)):
            yield record, None
        elif not header:
            header = record
            yield record, record
        else:
            yield record, record if _owned(header, record) else _without_value(header, record)


def _owned(header: list[str], record: list[str]) -> bool:
    """Tell whether the record says whose it is; a value of an unknown person may be this person's."""
    return SUBJECT in header and len(record) > header.index(SUBJECT) and bool(record[header.index(SUBJECT)])


def _without_value(header: list[str], record: list[str]) -> list[str]:
    return ["" if name == VALUE else cell for name, cell in zip_longest(header, record, fillvalue="")][: len(record)]


def _records(file: Path) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST)
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        yield from csv.reader(lines)
