"""A whole flat file as one Arrow table of text: for tables that are learnt from or measured, not loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from nextbest.channels.files.opened import Opened, open_file
from nextbest.channels.files.parquet import as_text
from nextbest.errors import DataError
from nextbest.ledger.intake.exact import batches, records

if TYPE_CHECKING:
    from nextbest.ledger.intake.exact import Record

_ROW = "_row"


def read_all(path: Path) -> pa.Table:
    """Give a file's one table as text, empty cells null; raises `DataError` for several tables or a broken line."""
    if not path.is_file():
        raise DataError(f"There is no file '{path}'.")
    with tempfile.TemporaryDirectory() as folder, open_file(path, scratch=Path(folder)) as tables:
        if len(tables) != 1:
            names = ", ".join(t.name for t in tables)
            raise DataError(f"{path.name} holds {len(tables)} tables: {names}. Give a file with one.")
        return table_of(tables[0])


def table_of(opened: Opened) -> pa.Table:
    """Give all rows of an opened table as text."""
    if opened.text is None:
        if opened.table is None:
            raise DataError(f"{opened.name} has nothing to read.")
        return as_text(opened.table().read_all())
    found = list(batches(records(opened.text), opened.columns, lambda record: _refuse(opened.name, record)))
    return pa.Table.from_batches(found).drop_columns([_ROW])


def _refuse(name: str, record: Record) -> None:
    raise DataError(f"{name}, line {record.line}: {record.problem}. Correct the line, or remove it.")
