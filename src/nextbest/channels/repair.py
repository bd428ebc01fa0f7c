"""Exports that leave out what the line above says: Shopify names an order's customer on the order's first line only."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

from nextbest.channels.files.opened import fresh
from nextbest.channels.headers import normalised
from nextbest.channels.systems import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextbest.channels.files import Opened
    from nextbest.ledger.mapping import FileMapping, TextFile


def repaired(opened: Opened, mapping: FileMapping, scratch: Path) -> Opened:
    """Give the table with every line of a group saying what its first line says, where the dictionary asks for it."""
    entry = table(mapping.system, mapping.table)
    if entry is None or not entry.fill_down or opened.text is None:
        return opened
    places = {normalised(c): i for i, c in enumerate(opened.columns)}
    by = places.get(normalised(entry.fill_down["by"]))
    filled = [places[n] for c in entry.fill_down["columns"] if (n := normalised(c)) in places]
    if by is None or not filled:
        return opened
    target = fresh(scratch, "filled.csv")
    _fill(opened.text, target, by, filled)
    text = replace(opened.text, path=target, delimiter=",", quote='"', escape='"', skip_lines=0)
    return replace(opened, text=text)


def _fill(text: TextFile, target: Path, by: int, filled: Sequence[int]) -> None:
    """Copy record by record; a blank field takes the value of the record above when both have the same group."""
    last: list[str] = []
    with (
        text.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        for _ in range(text.skip_lines):
            out.write(source.readline() if text.skip_lines < 0 else "")
        escape = None if text.escape == text.quote else text.escape
        reader = csv.reader(
            source, delimiter=text.delimiter, quotechar=text.quote, doublequote=escape is None, escapechar=escape
        )
        writer = csv.writer(out, lineterminator="\n")
        for record in reader:
            if len(record) == len(last) and record[by] and record[by] == last[by]:
                for place in filled:
                    record[place] = record[place] or last[place]
            writer.writerow(record)
            last = record
