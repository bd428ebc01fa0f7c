"""The records of one file as a relation the database can read again and again, and where each stands in the file.

Three ways in: a text file as it is (`direct`), a text file that the careful reader has cleaned (`careful`), and an
Arrow table (`table`). The last two, and files that several steps read, are staged as Parquet in the pending folder.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from nextbest.ledger.intake import exact, scan
from nextbest.ledger.intake.scan import ROW
from nextbest.ledger.parsing import call, trimmed
from nextbest.ledger.rejects import Reject, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import duckdb

    from nextbest.ledger.mapping import TextFile

_STAGE = "stage.parquet"
_BROKEN = "broken.csv"
_GLOB = frozenset("*?[]{}")
_REMEDY = "Correct the line in the file, or export it again."


@dataclass(frozen=True, slots=True)
class Source:
    """`relation` has columns c0, c1 ... (and `_row` when `numbered`); `rows` counts its records, -1 when not known.

    `lines` gives, for record numbers in ascending order, the lines they start on. `broken` are the records that no
    reader understood; they are counted in `broken_rows` and not in `rows`. `first_line` is where the first record
    stands when every record is one line.
    """

    relation: exp.Expr
    numbered: bool
    rows: int
    lines: Callable[[Iterator[int]], Iterator[int]]
    first_line: int = 1
    broken: Path | None = None
    broken_rows: int = 0

    def with_rows(self) -> exp.Expr:
        """Give the relation with the number of each record as `_row`, in the order of the file."""
        if self.numbered:
            return self.relation
        number = exp.Window(this=exp.Anonymous(this="row_number"))
        counted = exp.alias_(exp.Sub(this=number, expression=exp.Literal.number(1)), ROW)
        return exp.select("*", counted).from_(self.relation.copy()).subquery("n")

    def line_by_line(self) -> Source:
        """Give the source of a file whose every record is one line: where a record stands takes no reading."""
        return replace(self, lines=lambda rows: (self.first_line + row for row in rows))

    def broken_records(self) -> Iterator[Reject]:
        """Give the records that could not be understood, in the order of the file."""
        if self.broken is None:
            return
        with self.broken.open(encoding="utf-8", newline="") as file:
            for line, value, reason in csv.reader(file):
                yield Reject(int(line), "", value, reason, _REMEDY)


def direct(file: TextFile, folder: Path) -> Source:
    """Give the records of a text file read by the database, which raises an error at a line that does not fit."""
    path = file.path
    if _GLOB & set(str(path)):
        path = folder / "input"
        path.symlink_to(file.path.resolve())
    return Source(
        scan.text_relation(file, path),
        numbered=False,
        rows=-1,
        lines=lambda rows: _walk(file, rows),
        first_line=1 + file.skip_lines + file.header,
    )


def staged(connection: duckdb.DuckDBPyConnection, source: Source, folder: Path) -> Source:
    """Give the same records written down once as Parquet, numbered."""
    path = folder / _STAGE
    query = exp.select("*").from_(source.relation)
    rows = scan.count(connection, scan.copy_to(query, path))
    return replace(source, relation=_numbered(path), numbered=True, rows=rows)


def filled(
    connection: duckdb.DuckDBPyConnection, source: Source, key: exp.Expr, columns: Sequence[str], folder: Path
) -> Source:
    """Give the records with empty cells of some columns filled from the first line of their group that has one."""
    path = folder / "filled.parquet"
    known = exp.not_(trimmed(key).is_(exp.null()))
    changed = []
    for name in columns:
        column = exp.column(name)
        found = exp.Window(this=call("arg_min", column, exp.column(ROW)), partition_by=[trimmed(key)])
        value = exp.case().when(known.copy(), call("coalesce", column, found)).else_(column.copy())
        changed.append(exp.alias_(value, name))
    query = exp.select(exp.Star(replace=changed)).from_(source.relation)
    scan.run(connection, scan.copy_to(query, path))
    return replace(source, relation=scan.parquet_relation([path]))


def careful(
    connection: duckdb.DuckDBPyConnection, file: TextFile, folder: Path, at_byte: Callable[[int], None] | None
) -> Source:
    """Give the whole records of a text file read line by line, and the broken ones aside with line and reason."""
    names, broken, path = [f"c{i}" for i in range(len(file.columns))], folder / _BROKEN, folder / _STAGE
    with broken.open("w", encoding="utf-8", errors="backslashreplace", newline="") as spool:
        writer, counted = csv.writer(spool), 0

        def note(record: exact.Record) -> None:
            nonlocal counted
            counted += 1
            writer.writerow((record.line, shorten(file.delimiter.join(record.fields)), record.problem))

        schema = pa.schema([pa.field(ROW, pa.int64()), *(pa.field(n, pa.string()) for n in names)])
        found = exact.batches(exact.records(file, at_byte=at_byte), names, note)
        connection.register("careful", pa.RecordBatchReader.from_batches(schema, found))
        query = exp.select("*").from_(scan.named("careful"))
        rows = scan.count(connection, scan.copy_to(query, path))
        connection.unregister("careful")
    relation = scan.parquet_relation([path])
    return Source(relation, numbered=True, rows=rows, lines=iter, broken=broken, broken_rows=counted)


def table(connection: duckdb.DuckDBPyConnection, data: pa.Table | pa.RecordBatchReader, folder: Path) -> Source:
    """Give the rows of an Arrow table as text columns; lists and structs become JSON."""
    connection.register("given", data)
    columns = [exp.alias_(_as_text(f), f"c{i}") for i, f in enumerate(data.schema)]
    path = folder / _STAGE
    query = exp.select(*columns).from_(scan.named("given"))
    rows = scan.count(connection, scan.copy_to(query, path))
    connection.unregister("given")
    return Source(_numbered(path), numbered=True, rows=rows, lines=lambda found: (row + 1 for row in found))


def _as_text(field: pa.Field) -> exp.Expr:
    column = exp.column(field.name, quoted=True)
    text = exp.cast(column, "VARCHAR")
    if pa.types.is_nested(field.type):
        return exp.cast(call("to_json", column), "VARCHAR")
    if pa.types.is_floating(field.type):  # an id that became a float because another row lacks it: 7.0 is 7
        whole = exp.TryCast(this=column.copy(), to=exp.DataType.build("BIGINT"))
        return exp.case().when(whole.eq(column.copy()), exp.cast(whole.copy(), "VARCHAR")).else_(text)
    return call("nullif", text, exp.Literal.string(""))


def _numbered(path: Path) -> exp.Expr:
    renamed = exp.Star(except_=[exp.column("file_row_number")])
    rows = scan.parquet_relation([path], numbered=True)
    return exp.select(renamed, exp.alias_(exp.column("file_row_number"), ROW)).from_(rows).subquery("s")


def _walk(file: TextFile, rows: Iterator[int]) -> Iterator[int]:
    """Give the lines of records by reading the file once more, line by line, only as far as the last one asked for."""
    found = enumerate(exact.records(file))
    for wanted in rows:
        for number, record in found:
            if number == wanted:
                yield record.line
                break
