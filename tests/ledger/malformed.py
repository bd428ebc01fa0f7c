"""Over three hundred small broken files, the same every time, and a slow reader that says what each holds.

The reader is a loop over characters after RFC 4180, with the one rule that the product adds: a record that cannot be
understood is its first line only. It shares nothing with the readers it judges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COLUMNS = ("id", "ts", "price", "note")
LONGEST_FIELD, LONGEST_LINE = 131_072, 1 << 20


@dataclass(frozen=True)
class Case:
    """One file: its bytes and its dialect."""

    name: str
    data: bytes
    delimiter: str = ","
    escape: str = '"'
    header: bool = True


@dataclass
class Row:
    """What the slow reader found: the line a record starts on, its fields, and whether it is whole."""

    line: int
    fields: list[str] = field(default_factory=list)
    whole: bool = True


def cases() -> Iterator[Case]:
    """Give every file of the corpus."""
    for number, (name, damage) in enumerate(_LINES.items()):
        for end_name, end in (("lf", "\n"), ("crlf", "\r\n")):
            for place in ("first", "middle", "last"):
                lines = [_good(number, i) for i in range(7)]
                at = {"first": 0, "middle": 3, "last": 6}[place]
                lines[at] = damage(lines[at])
                text = end.join([",".join(COLUMNS), *lines]) + ("" if place == "last" else end)
                yield Case(f"{name}-{end_name}-{place}", text.encode("utf-8", "surrogateescape"))
    yield from _whole_files()


def _good(number: int, i: int) -> str:
    return f"k{number}_{i},2025-0{i % 9 + 1}-1{i}T08:00:00Z,{i}.50,note {i}"


def _with(position: int, value: str) -> Callable[[str], str]:
    def damage(line: str) -> str:
        fields = line.split(",")
        fields[position] = value
        return ",".join(fields)

    return damage


_LINES: dict[str, Callable[[str], str]] = {
    "few": lambda line: line.rsplit(",", 1)[0],
    "one": lambda line: line.split(",", maxsplit=1)[0],
    "many": lambda line: line + ",surplus",
    "many-empty": lambda line: line + ",,",
    "open-quote": _with(3, '"never closed'),
    "open-quote-early": _with(0, '"never closed'),
    "stray-quote": _with(3, '"closed" too early'),
    "inner-quote": _with(3, '5" pipe'),
    "doubled-quote": _with(3, '"he said ""no"""'),
    "embedded-lf": _with(3, '"two\nlines"'),
    "embedded-crlf": _with(3, '"two\r\nlines"'),
    "embedded-cr": _with(3, '"two\rlines"'),
    "embedded-delimiter": _with(3, '"a, b"'),
    "bad-utf8": _with(3, "caf\udce9"),
    "surrogate-bytes": _with(3, "\udced\udca0\udc80"),
    "surrogate-escape": _with(3, "\\ud800"),
    "nul": _with(3, "a\0b"),
    "long-text": _with(3, "x" * 70_000),
    "longer-text": _with(3, "x" * 140_000),
    "blank-line": lambda line: line + "\n",
    "spaces-line": lambda line: line + "\n   ",
    "lone-cr": lambda line: line + "\r" + line.replace("k", "j", 1),
    "leading-zeros": _with(0, "007"),
    "big-id": _with(0, "9007199254740993"),
    "no-id": _with(0, ""),
    "space-id": _with(0, "  "),
    "null-id": _with(0, "NULL"),
    "apostrophe-id": _with(0, "'901"),
    "nan": _with(2, "nan"),
    "inf": _with(2, "-inf"),
    "infinity": _with(2, "Infinity"),
    "overflow": _with(2, "1e999"),
    "negative": _with(2, "-3.50"),
    "no-number": _with(2, "twelve"),
    "empty-number": _with(2, ""),
    "day-first": _with(1, "13/02/2025"),
    "month-first": _with(1, "02/13/2025"),
    "impossible": _with(1, "2025-02-30"),
    "year-1": _with(1, "0001-01-01"),
    "year-9999": _with(1, "9999-12-31"),
    "far-year": _with(1, "99999-01-01"),
    "summer-gap": _with(1, "2025-03-30T02:30:00"),
    "no-date": _with(1, ""),
    "epoch-word": _with(1, "epoch"),
    "infinite-date": _with(1, "infinity"),
    "formula": _with(3, "=HYPERLINK(1)"),
    "formula-number": _with(2, "=1+1"),
    "unicode": _with(3, "žluťoučký 🐎"),
}


def _whole_files() -> Iterator[Case]:
    good = [_good(99, i) for i in range(5)]
    head = ",".join(COLUMNS)
    text = "\n".join([head, *good]) + "\n"
    yield Case("empty", b"")
    yield Case("header-only", head.encode() + b"\n")
    yield Case("header-open", head.encode())
    yield Case("blank-lines-only", head.encode() + b"\n\n\n\n")
    yield Case("bom", b"\xef\xbb\xbf" + text.encode())
    yield Case("bom-no-header", b"\xef\xbb\xbf" + "\n".join(good).encode(), header=False)
    yield Case("cr-only", text.replace("\n", "\r").encode())
    yield Case("mixed-ends", "\r\n".join(good[:2]).join([head + "\n", "\r"]).encode() + "\n".join(good[2:]).encode())
    yield Case("huge-field", f"{head}\nk,2025-01-01,1,{'x' * 3_000_000}\n{good[0]}\n".encode())
    yield Case("huge-quoted", f'{head}\nk,2025-01-01,1,"{"x" * 3_000_000}"\n{good[0]}\n'.encode())
    yield Case("quote-to-the-end", (text + 'k,2025-01-01,1,"open\n' + "\n".join(good) * 50).encode())
    yield Case("all-broken", (head + "\n" + '"a\n' * 60).encode())
    yield Case("all-uneven", (head + "\n" + "a,b\n" * 60).encode())
    yield Case("binary", head.encode() + b"\n" + bytes(range(256)) * 4)
    yield Case("no-end", text.rstrip("\n").encode())
    yield Case("trailing-delimiters", text.replace("\n", ",\n").encode())
    for name, delimiter in (("tab", "\t"), ("semicolon", ";"), ("pipe", "|"), ("broken-bar", "¦"), ("arrow", "→")):
        yield Case(f"delimiter-{name}", text.replace(",", delimiter).encode(), delimiter=delimiter)
        broken = text.replace(",", delimiter) + delimiter.join(("k", "2025-01-01", "x", '"open')) + "\n"
        yield Case(f"delimiter-{name}-broken", broken.encode(), delimiter=delimiter)
    for body in ('a \\"quoted\\" word', "back\\\\slash"):
        line = f'k,2025-01-01,1,"{body}"\n'
        yield Case(f"escaped-{len(body)}", (text + line + text.split("\n", 1)[1]).encode(), escape="\\")


def read(case: Case) -> list[Row]:
    """Give what a file holds, character by character."""
    text = case.data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = _physical(text)
    found: list[Row] = []
    at = 0
    while at < len(lines):
        row, taken = _record(lines, at, case)
        if row.fields != [""]:
            found.append(row)
        at += taken
    return found[1:] if case.header else found


def _physical(text: str) -> list[str]:
    lines, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\n" or (text[i] == "\r" and text[i + 1 : i + 2] != "\n"):
            lines.append(text[start : i + 1])
            start = i + 1
        i += 1
    return [*lines, text[start:]] if start < len(text) else lines


def _record(lines: list[str], at: int, case: Case) -> tuple[Row, int]:
    for taken in range(1, min(len(lines) - at, 2_000) + 1):
        fields = _fields("".join(lines[at : at + taken]), case)
        if fields is not None:
            return Row(at + 1, fields, _sound(fields)), taken
        if '"' not in lines[at]:
            break
    return Row(at + 1, [lines[at].rstrip("\r\n")], whole=False), 1


def _fields(text: str, case: Case) -> list[str] | None:
    """Give the fields of one record, or None when it ends inside a quote or a quote stands in the wrong place."""
    body = text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith(("\n", "\r")) else text
    fields, i = [], 0
    while True:
        value, i = _quoted(body, i, case) if body[i : i + 1] == '"' else _bare(body, i, case.delimiter)
        if value is None or (i < len(body) and body[i] != case.delimiter):
            return None
        fields.append(value)
        if i >= len(body):
            return fields
        i += 1


def _bare(body: str, i: int, delimiter: str) -> tuple[str | None, int]:
    end = body.find(delimiter, i)
    end = len(body) if end < 0 else end
    value = body[i:end]
    return (None if "\n" in value or "\r" in value else value), end


def _quoted(body: str, i: int, case: Case) -> tuple[str | None, int]:
    value, i = [], i + 1
    while i < len(body):
        if case.escape == "\\" and body[i] == "\\" and i + 1 < len(body):
            value.append(body[i + 1])
            i += 2
        elif body[i] == '"' and case.escape == '"' and body[i + 1 : i + 2] == '"':
            value.append('"')
            i += 2
        elif body[i] == '"':
            return "".join(value), i + 1
        else:
            value.append(body[i])
            i += 1
    return None, i


def _sound(fields: list[str]) -> bool:
    while len(fields) > len(COLUMNS) and fields[-1] == "":
        fields.pop()
    joined = "".join(fields)
    strange = "\0" in joined or any("\ud800" <= c <= "\udfff" for c in joined)
    long = any(len(f) > LONGEST_FIELD for f in fields) or len(joined) > LONGEST_LINE
    return len(fields) == len(COLUMNS) and not strange and not long


def acceptable(row: Row, latest: datetime) -> bool:
    """Tell whether a record may be stored: a known subject, a possible date, a finite number, a text of 64 KB."""
    if not row.whole:
        return False
    who, when, price, note = (f.strip() for f in row.fields)
    try:
        moment = datetime.fromisoformat(when)
        number = float(price or 0)
    except ValueError:
        return False
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    in_time = datetime(1900, 1, 1, tzinfo=UTC) <= moment <= latest
    return who not in {"", "NULL"} and in_time and math.isfinite(number) and len(note.encode()) <= 65_536
