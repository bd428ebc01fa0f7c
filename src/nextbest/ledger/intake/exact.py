"""The careful reader of CSV-like text: every record of the file comes out, whole or with the reason why not.

Slower than the database's reader, it is asked when that one cannot account for every line. A record that cannot be
understood costs its first line only: reading resumes on the line after it, so one open quote does not eat the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa

from nextbest.ledger.intake.lines import LINE_LIMIT, Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextbest.ledger.mapping import TextFile

BATCH_ROWS = 20_000
ROW = "_row"
_GZIP = b"\x1f\x8b"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line it starts on, its fields, and, when it is broken, why (then `fields` is what was there)."""

    line: int
    fields: tuple[str, ...]
    problem: str = ""


def is_gzip(file: TextFile) -> bool:
    """Tell whether the file is packed, by its first two bytes."""
    with file.path.open("rb") as handle:
        return handle.read(2) == _GZIP


def records(file: TextFile, *, at_byte: Callable[[int], None] | None = None) -> Iterator[Record]:
    """Give every record after the header in the order of the file; blank lines are no records."""
    with file.path.open("rb") as raw:
        opened = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if is_gzip(file) else raw)
        # A byte that is not UTF-8 becomes a lone surrogate, which no valid text holds: found again per record.
        text = io.TextIOWrapper(opened, encoding="utf-8", errors="surrogateescape", newline="")
        lines = Lines(text)
        for _ in zip(range(file.skip_lines), lines, strict=False):
            lines.begin()
        if file.header:
            _record(_csv(lines, file), lines, 0)
        for number, record in enumerate(_records(lines, file)):
            if at_byte is not None and number % BATCH_ROWS == 0:
                at_byte(raw.tell())
            yield record


def batches(
    found: Iterator[Record], names: Sequence[str], broken: Callable[[Record], None]
) -> Iterator[pa.RecordBatch]:
    """Give the whole records as text columns *names* after their line number `_row`; hand *broken* the others."""
    schema = pa.schema([pa.field(ROW, pa.int64()), *(pa.field(n, pa.string()) for n in names)])
    lines: list[int] = []
    rows: list[tuple[str, ...]] = []
    for record in found:
        if record.problem:
            broken(record)
            continue
        lines.append(record.line)
        rows.append(record.fields)
        if len(rows) >= BATCH_ROWS:
            yield _batch(schema, lines, rows)
            lines, rows = [], []
    yield _batch(schema, lines, rows)


def _batch(schema: pa.Schema, lines: list[int], rows: list[tuple[str, ...]]) -> pa.RecordBatch:
    values = zip(*rows, strict=True) if rows else [()] * (len(schema) - 1)
    columns = [pa.array([v or None for v in column], pa.string()) for column in values]
    return pa.RecordBatch.from_arrays([pa.array(lines, pa.int64()), *columns], schema=schema)


def _records(lines: Lines, file: TextFile) -> Iterator[Record]:
    width = len(file.columns)
    special = {file.quote, file.escape} - {""}
    reader = _csv(lines, file)
    while True:
        lines.begin()
        line = next(lines, "")
        if line == "":
            return
        if not any(c in line for c in special):
            fields = line.rstrip("\r\n").split(file.delimiter)
            if len(fields) == width and line.isascii() and "\0" not in line and len(line) < LINE_LIMIT:
                yield Record(lines.number, tuple(fields))  # what nearly every line is, at a third of the cost
            elif fields != [""]:
                yield _checked(Record(lines.number, tuple(fields)), width)
        else:
            lines.give_back(0)
            record = _record(reader, lines, width)
            if record.fields:
                yield record
            if record.problem:
                reader = _csv(lines, file)


def _csv(lines: Lines, file: TextFile) -> Iterator[list[str]]:
    escape = file.escape if file.escape not in {"", file.quote} else None
    return csv.reader(
        lines,
        delimiter=file.delimiter,
        quotechar=file.quote or None,
        quoting=csv.QUOTE_MINIMAL if file.quote else csv.QUOTE_NONE,
        doublequote=escape is None,
        escapechar=escape,
        skipinitialspace=True,
        strict=True,
    )


def _record(reader: Iterator[list[str]], lines: Lines, width: int) -> Record:
    """Read one record; a broken one is its first line, and the lines after that are given back."""
    start = lines.number + 1
    lines.begin()
    try:
        return _checked(Record(start, tuple(next(reader, []))), width)
    except csv.Error as error:
        first = lines.taken[0]
        lines.give_back(1)
        return Record(start, (first.rstrip("\r\n"),), _reason(str(error)))


def _reason(message: str) -> str:
    if "field limit" in message:
        return "a field is larger than 128 KB"
    if "unexpected end" in message:
        return "a quote is opened and never closed"
    return "a quote stands in the wrong place"


def _checked(record: Record, width: int) -> Record:
    """Give the record with the first reason that makes it unusable, if there is one."""
    fields, problem = record.fields, ""
    if len(fields) > width > 0 and not any(fields[width:]):
        fields = fields[:width]  # delimiters too many at the end of the line, nothing between them: nothing is lost
    joined = "\x1f".join(fields)
    if len(joined) >= LINE_LIMIT:
        problem = "the record is longer than 1 MB"
    elif "\0" in joined:
        problem = "the record holds a NUL character"
    elif not joined.isascii() and _LONE_SURROGATE.search(joined):
        problem = "the record is not valid UTF-8"
    elif width and fields and len(fields) != width:
        problem = f"the record has {len(fields)} fields instead of {width}"
    return Record(record.line, fields, problem)
