"""One readable table out of a file: its columns, a sample, and the way to read the rest."""

from __future__ import annotations

import csv
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from nextbest.channels.files import objects, packed, parquet, spreadsheet
from nextbest.channels.files import plain as raw
from nextbest.channels.files.discover import BOOK_ENDINGS, JSON_ENDINGS
from nextbest.channels.files.sniff import SPACES, Dialect, sniff
from nextbest.errors import DataError
from nextbest.ledger.mapping import TextFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SAMPLE_ROWS = 1_000
SAMPLE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A table found in a file: `text` says how to read it as lines, `table` (Parquet) as record batches.

    `name` tells people which table it is (the file, and the member or sheet within); `sample` is all text.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    unnamed: bool
    sample: pa.Table
    digest: str
    text: TextFile | None = None
    table: Callable[[], pa.RecordBatchReader] | None = None
    notes: tuple[str, ...] = ()


@contextmanager
def open_file(path: Path, *, scratch: Path) -> Iterator[tuple[Opened, ...]]:
    """Give the tables of a file: one, or one per member of a zip and per sheet of a workbook.

    What had to be rewritten lies in *scratch*, which must outlive the reading. Raises `DataError` with what to do.
    """
    try:
        yield tuple(_tables(path, path.name, scratch))
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _tables(path: Path, name: str, scratch: Path) -> Iterator[Opened]:
    with path.open("rb") as file:
        first = file.read(4)
    ending = path.suffix.lower()
    if first == raw.PARQUET:
        yield _parquet(path, name)
    elif ending in BOOK_ENDINGS:
        yield from _book(path, name, scratch)
    elif first == raw.ZIP:
        for member in packed.members(path, scratch):
            yield from _tables(member.path, f"{name}/{member.name}", scratch)
    elif _is_json(path):
        yield _objects(path, name, scratch)
    else:
        yield _text(path, name, scratch)


def _is_json(path: Path) -> bool:
    """Tell JSON by the ending, or by a first line that is an object."""
    if any(e.lower() in JSON_ENDINGS for e in path.suffixes[-2:]):
        return True
    with raw.opened(path) as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t[").startswith(b'{"')


# --- text -------------------------------------------------------------------------------------------------------------


def _text(path: Path, name: str, scratch: Path) -> Opened:
    measured = raw.measure(path)
    plain = path
    with path.open("rb") as file:
        is_packed = file.read(2) == raw.GZIP
    if is_packed or measured.encoding not in {"utf-8", "utf-8-sig"}:
        plain = fresh(scratch, "plain.csv")
        raw.rewrite(path, measured.encoding, plain)
    return _from_plain(plain, name, path, measured, scratch)


def _from_plain(plain: Path, name: str, path: Path, measured: raw.Measured, scratch: Path) -> Opened:
    """Give the table of a plain UTF-8 file, after a look at its first lines."""
    dialect = sniff(_head(plain))
    if not dialect.columns:
        raise DataError(f"{name} is empty: no line holds a value.")
    if dialect.delimiter == SPACES:
        plain = _tabbed(plain, dialect, fresh(scratch, "tabbed.tsv"))
        dialect = replace(dialect, delimiter="\t", skip_lines=0)
    notes = (measured.note,) if measured.note else ()
    return replace(_opened(plain, name, path, measured.digest, dialect), notes=notes)


def _opened(plain: Path, name: str, path: Path, digest: str, dialect: Dialect) -> Opened:
    text = TextFile(
        path=plain,
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        escape=dialect.escape,
        header=dialect.header,
        columns=dialect.columns,
        skip_lines=dialect.skip_lines,
        decimal=dialect.decimal,
        original=name,
        digest=digest,
    )
    return Opened(
        path=path,
        name=name,
        columns=dialect.columns,
        unnamed=not dialect.header,
        sample=_sample(dialect),
        digest=digest,
        text=text,
    )


def _sample(dialect: Dialect) -> pa.Table:
    width = len(dialect.columns)
    rows = [r for r in dialect.records[:SAMPLE_ROWS] if len(r) == width]
    cells = [pa.array([r[i].strip() or None for r in rows], pa.string()) for i in range(width)]
    return pa.Table.from_arrays(cells, names=list(dialect.columns))


def _head(plain: Path) -> str:
    """Give the beginning of a UTF-8 file up to its last whole line."""
    with plain.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    if len(head) == SAMPLE_BYTES and (end := head.rfind(b"\n")) > 0:
        head = head[: end + 1]
    return head.decode("utf-8", errors="replace").replace("\0", "")


def _tabbed(plain: Path, dialect: Dialect, target: Path) -> Path:
    """Rewrite a table set in spaces as one of tabs, line by line."""
    width = len(dialect.columns)
    with plain.open(encoding="utf-8", errors="replace") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            words = line.split()
            out.write("\t".join(words) if len(words) == width else line.strip())
            out.write("\n")
    return target


# --- the others -------------------------------------------------------------------------------------------------------


def _parquet(path: Path, name: str) -> Opened:
    measured = raw.digest(path)
    columns = parquet.columns(path)
    return Opened(
        path=path,
        name=name,
        columns=columns,
        unnamed=False,
        sample=parquet.sample(path, SAMPLE_ROWS),
        digest=measured,
        table=lambda: parquet.reader(path),
    )


def _book(path: Path, name: str, scratch: Path) -> Iterator[Opened]:
    digest = raw.digest(path)
    sheets = list(spreadsheet.sheets(path, lambda: fresh(scratch, "sheet.csv")))
    if not sheets:
        raise DataError(f"{name} has no sheet with a table in it.")
    for title, plain in sheets:
        own = digest if len(sheets) == 1 else hashlib.sha256(f"{digest}\n{title}".encode()).hexdigest()
        dialect = sniff(_head(plain), delimiter=",")
        yield _opened(plain, name if len(sheets) == 1 else f"{name}/{title}", path, own, dialect)


def _objects(path: Path, name: str, scratch: Path) -> Opened:
    digest = raw.digest(path)
    plain = fresh(scratch, "objects.csv")
    columns = objects.write(path, plain)
    with plain.open(encoding="utf-8", newline="") as file:
        records = tuple(tuple(r) for r in _first(file, SAMPLE_ROWS))
    dialect = Dialect(
        delimiter=",", quote='"', escape='"', header=False, columns=columns, skip_lines=0, decimal=".", records=records
    )
    return replace(_opened(plain, name, path, digest, dialect), unnamed=False)


def _first(file: IO[str], rows: int) -> Iterator[list[str]]:
    for _, record in zip(range(rows), csv.reader(file), strict=False):
        yield record


def fresh(scratch: Path, name: str) -> Path:
    """Give a path in the scratch folder that no other table uses."""
    folder = scratch / f"t{sum(1 for _ in scratch.iterdir()):05d}"
    folder.mkdir(parents=True)
    return folder / name
