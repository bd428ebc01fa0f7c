"""Rows that were not stored: line, column, value, reason and remedy, in a CSV file that is safe to open."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = "rejects"
HEADER = ("line", "column", "value", "reason", "remedy")
_LONGEST = 120
_FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # the full-width forms count too
_NUMBER = re.compile(r"\s*[+-]?\d[\d.,]*\s*")


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that was not stored."""

    line: int
    column: str
    value: str
    reason: str
    remedy: str


def file_name(name: str, digest: str) -> str:
    """Give the name of the rejects of a file: its own name made safe, and the start of its digest."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "file"
    return f"{safe}-{digest[:8]}.csv"


def write(path: Path, rejects: Iterable[Reject]) -> int:
    """Write the rejects to a new CSV file; gives how many there were, and leaves no file when there were none."""
    rows = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for r in rejects:
            writer.writerow((r.line, safe_cell(r.column), safe_cell(shorten(r.value)), r.reason, r.remedy))
            rows += 1
    if rows:
        partial.replace(path)
    else:
        partial.unlink()
    return rows


def safe_cell(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula: an apostrophe goes before one that could be."""
    bare = text.lstrip(" \u00a0\u3000")
    if bare[:1] and bare[0] in _FORMULA and not _NUMBER.fullmatch(bare):
        return "'" + text
    return text


def shorten(value: str) -> str:
    """Give the start of a value on one line, with what cannot be shown written out."""
    cut = value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
    return cut.replace("\0", "\\0").replace("\r", "\\r").replace("\n", "\\n")
