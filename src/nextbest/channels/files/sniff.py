"""How a text file is written: its delimiter, quotes, junk above the table, header, and decimal mark.

The rule, on a sample of whole lines: split it by every delimiter; the best one gives most records the same number of
fields (`share`), starts at the first line (`start`), and gives many fields:

    score = (share + start) / 2 * log2(1 + width)       start: 1 at the first line, 0.2 below junk lines

A header is there when its cells are unlike the cells below them: words above numbers or dates, no cell repeated below.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITERS = (",", ";", "\t", "|", "^")
SPACES = " "
JUNK_LIMIT = 30
BELOW_JUNK = 0.2
_NUMBER = re.compile(r"[-+(]?\s*[$€£]?\s*\d[\d.,\s]*\s*[%€)]?|[-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{8}")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DECIMAL_COMMA = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")
_DECIMAL_POINT = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)\.\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:[.,]\d{3})+")
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the sample told; `records` are those of the sample from the table's first line on."""

    delimiter: str
    quote: str
    escape: str
    header: bool
    columns: tuple[str, ...]
    skip_lines: int
    decimal: Literal[".", ","]
    records: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Split:
    delimiter: str
    score: float
    start: int
    width: int
    records: list[list[str]]
    lines: list[int]


def sniff(sample: str, *, delimiter: str | None = None) -> Dialect:
    """Give how the text is written; *delimiter* fixes it where it is known. An empty text has no columns."""
    text = sample.removeprefix("\ufeff")
    quote = _quote(text)
    choices = (delimiter,) if delimiter else DELIMITERS
    tried = [_split(text, d, quote, e) for d in choices for e in _escapes(text, quote)]
    best, escape = max(tried, key=lambda found: (round(found[0].score, 6), found[1] != "\\"))
    if not delimiter and best.width < 2 and (spaced := _spaced(text)) is not None:
        best, escape = spaced, '"'
    rows = best.records[best.start :]
    header = bool(rows) and _has_header(rows[0], rows[1:])
    skipped = best.lines[best.start] if best.start < len(best.lines) else 0
    return Dialect(
        delimiter=best.delimiter,
        quote=quote,
        escape=escape,
        header=header,
        columns=names(rows[0], header=header) if rows else (),
        skip_lines=skipped,
        decimal=_decimal(rows),
        records=tuple(tuple(r) for r in rows[1 if header else 0 :]),
    )


def names(first: Sequence[str], *, header: bool) -> tuple[str, ...]:
    """Give every column its own name: its header, or `column_<position>`; a repeated header gets a number."""
    seen: Counter[str] = Counter()
    found = []
    for position, cell in enumerate(first):
        name = (cell.strip() if header else "") or f"column_{position}"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


# --- splitting --------------------------------------------------------------------------------------------------------


def _quote(text: str) -> str:
    """Give the quotation mark: the single one only where fields begin and end with it and none does with the double."""
    double = text.count('"')
    single = len(re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|\r\n])", text, re.MULTILINE))
    return "'" if single > 5 and double == 0 else '"'


def _escapes(text: str, quote: str) -> tuple[str, ...]:
    return (quote, "\\") if f"\\{quote}" in text else (quote,)


def _split(text: str, delimiter: str, quote: str, escape: str) -> tuple[_Split, str]:
    records, lines = _records(text, delimiter, quote, escape)
    widths = Counter(len(r) for r in records)
    if not widths:
        return _Split(delimiter, 0.0, 0, 0, [], []), escape
    width = max(widths, key=lambda w: (widths[w] * math.log2(1 + w), w))
    start = next(i for i, r in enumerate(records) if len(r) == width)
    if start > JUNK_LIMIT:
        start = 0
    share = widths[width] / max(len(records) - start, 1)
    score = (min(share, 1.0) + (1.0 if start == 0 else BELOW_JUNK)) / 2 * math.log2(1 + width)
    return _Split(delimiter, score if width > 1 else 0.0, start, width, records, lines), escape


def _records(text: str, delimiter: str, quote: str, escape: str) -> tuple[list[list[str]], list[int]]:
    """Give the records that are not blank, and how many lines stand before each."""
    reader = csv.reader(
        text.splitlines(keepends=True),
        delimiter=delimiter,
        quotechar=quote,
        doublequote=escape == quote,
        escapechar=None if escape == quote else escape,
        skipinitialspace=True,
    )
    records, lines, before = [], [], 0
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                records.append(record)
                lines.append(before)
            before = reader.line_num
    except csv.Error:
        pass  # a field larger than the module takes: what was read so far is sample enough
    return records, lines


def _spaced(text: str) -> _Split | None:
    """Split by runs of spaces, where every line has the same number of words: tables written to be looked at."""
    lines = [line for line in text.splitlines() if line.strip()]
    widths = {len(line.split()) for line in lines}
    if len(widths) != 1 or widths == {1} or len(lines) < 2:
        return None
    return _Split(SPACES, 1.0, 0, widths.pop(), [line.split() for line in lines], list(range(len(lines))))


# --- header and numbers -----------------------------------------------------------------------------------------------


def _has_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first record names the columns: the sum of what its cells say, one by one."""
    cells = [c.strip() for c in first]
    if not rest:
        return not any(_class(c) in {"number", "date", "address"} for c in cells)
    return sum(_vote(cell, [r[i].strip() for r in rest if i < len(r)]) for i, cell in enumerate(cells)) > 0


def _vote(cell: str, below: Sequence[str]) -> float:
    filled = [b for b in below if b]
    if not cell or not filled:
        return 0.25 if cell and _class(cell) == "text" else 0.0
    kind = _class(cell)
    usual, count = Counter(_class(b) for b in filled).most_common(1)[0]
    if kind != "text":
        return -1.0 if kind == usual else -0.25
    if cell in filled:
        return -1.0
    if usual != "text":
        return 1.0 if count > len(filled) / 2 else 0.25
    return 0.25 if len(cell) <= _NAME_LENGTH else -0.25


def _class(cell: str) -> str:
    if _DATE.fullmatch(cell):
        return "date"
    if _NUMBER.fullmatch(cell):
        return "number"
    if _ADDRESS.fullmatch(cell):
        return "address"
    return "text" if cell else "empty"


def _decimal(records: Sequence[Sequence[str]]) -> Literal[".", ","]:
    """Give the mark before the cents; 1.234 and 1,234 may be either and do not count."""
    commas = points = 0
    for cell in (c.strip() for r in records for c in r):
        if not cell or not (cell[0].isdigit() or cell[0] in "+-") or _THOUSANDS.fullmatch(cell):
            continue
        commas += _DECIMAL_COMMA.fullmatch(cell) is not None
        points += _DECIMAL_POINT.fullmatch(cell) is not None
    return "," if commas > points else "."
