"""JSON Lines and JSON arrays: one object per row, one column per key of any object, nested values as JSON text.

The file is read twice, first for the keys, then for the values, because the last object may bring a new key.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.channels.files import plain as raw
from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_COLUMNS = 5_000
MOST_CHARACTERS = 16 << 20
NOT_AN_OBJECT = "not a JSON object"
_SPACE = re.compile(r"[\s,]*")
_LISTS = ("data", "results", "records", "items", "rows", "events", "value")
_Fields = dict[str, msgspec.Raw]


def write(path: Path, target: Path) -> tuple[str, ...]:
    """Write the objects of a file to *target* as CSV without a header, and give the columns.

    A line that is no JSON object becomes a record with one field too many, its text first and what is wrong last, so
    that whoever reads the file refuses and counts it.
    """
    columns: dict[str, None] = {}
    for _, fields in _rows(path):
        columns.update(dict.fromkeys(fields or ()))
        if len(columns) > MOST_COLUMNS:
            raise DataError(
                f"{path.name} has more than {MOST_COLUMNS} different keys. Put varying keys inside a value."
            )
    if not columns:
        raise DataError(f"{path.name} holds no JSON object. Give one object per line, or a list of objects.")
    with target.open("w", encoding="utf-8", newline="", errors="replace") as out:
        writer = csv.writer(out, lineterminator="\n")
        for text, fields in _rows(path):
            if fields is None:
                writer.writerow([text, *[""] * (len(columns) - 1), NOT_AN_OBJECT])
            else:
                writer.writerow([cell(fields.get(c)) for c in columns])
    return tuple(columns)


def cell(value: msgspec.Raw | None) -> str:
    """Give one value as text: strings bare, null empty, the rest as written in JSON."""
    if value is None:
        return ""
    text = bytes(value)
    if text.startswith(b'"'):
        return str(msgspec.json.decode(text))
    return "" if text == b"null" else text.decode()


def _rows(path: Path) -> Iterator[tuple[str, _Fields | None]]:
    """Give the text and the fields of every object, or None for the fields of what is none."""
    decoder = msgspec.json.Decoder(_Fields)
    for text in _documents(path):
        try:
            yield text, decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            yield text, None


def _documents(path: Path) -> Iterator[str]:
    """Give the text of every object: line by line, or one by one from a list."""
    text = _text(path)
    head = ""
    for piece in text:
        head += piece
        if head.strip():
            break
    start = head.lstrip("\ufeff \r\n\t")
    if start.startswith("["):
        yield from _of_list(start[1:], text)
    elif _is_whole(start):
        yield from _of_lines(start, text)
    else:
        yield from _inside(path, start, text)


def _text(path: Path) -> Iterator[str]:
    with raw.opened(path) as file:
        first = file.read(4)
    encoding = "utf-16" if first[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8"
    yield from raw.decoded(path, encoding)


def _is_whole(start: str) -> bool:
    """Tell whether the first line is a document of its own: then every line is."""
    line = start.split("\n", 1)[0].strip()
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return "\n{" in start
    return not _nested_list(line) or "\n{" in start


def _of_lines(start: str, rest: Iterator[str]) -> Iterator[str]:
    held = start
    while True:
        *lines, held = held.split("\n")
        yield from (line.strip() for line in lines if line.strip())
        piece = next(rest, None)
        if piece is None:
            break
        held += piece
    if held.strip():
        yield held.strip()


def _of_list(start: str, rest: Iterator[str]) -> Iterator[str]:
    """Give the objects of a list as they come; what cannot be understood ends the reading as one broken object."""
    decoder = json.JSONDecoder()
    held = start
    while True:
        held = held[_end(_SPACE, held) :]
        if held.startswith("]"):
            return
        try:
            _, end = decoder.raw_decode(held)
        except (json.JSONDecodeError, RecursionError):
            piece = next(rest, None)
            if piece is None or len(held) > MOST_CHARACTERS:
                if held.strip():
                    yield held[:1000]
                return
            held += piece
            continue
        yield held[:end]
        held = held[end:]


def _end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def _inside(path: Path, start: str, rest: Iterator[str]) -> Iterator[str]:
    """Give the objects of the list inside an object, as interfaces answer: {"data": [...]}; else the object."""
    text = start
    for piece in rest:
        text += piece
        if len(text) > MOST_CHARACTERS:
            raise DataError(f"{path.name} is one large JSON object. Give one object per line, or a list of objects.")
    found = _nested_list(text)
    if found is None:
        yield text.strip()
    else:
        for row in found:
            yield msgspec.json.encode(row).decode()


def _nested_list(text: str) -> list[Any] | None:
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    if not isinstance(whole, dict):
        return None
    for name in _LISTS:
        rows = whole.get(name)
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and len(whole) <= 8:
            return rows
    return None
