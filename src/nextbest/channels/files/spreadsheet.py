"""Workbooks: every sheet that holds a table, written as text; whole numbers without '.0', dates in ISO 8601."""

from __future__ import annotations

import csv
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


def sheets(path: Path, fresh: Callable[[], Path]) -> Iterator[tuple[str, Path]]:
    """Give the title of every sheet with at least two rows, and the CSV file it was written to."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        for title in book.sheet_names:
            rows = iter(book.get_sheet_by_name(title).iter_rows())
            target = fresh()
            if _write(rows, target) > 1:
                yield title, target
    except CalamineError as error:
        raise DataError(f"{path.name} is not a readable workbook: {error}. Save it as XLSX or CSV.") from error


def _write(rows: Iterator[Sequence[object]], target: Path) -> int:
    """Write the rows that hold a value, and give their number."""
    count = 0
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        for row in rows:
            cells = [cell(v) for v in row]
            writer.writerow(cells)
            count += any(cells)
    return count


def cell(value: object) -> str:
    """Give a cell as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        midnight = value.time() == time(0)
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value.total_seconds()) if isinstance(value, timedelta) else str(value)
