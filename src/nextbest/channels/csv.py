"""The one writer of CSV files: no cell that came from a person can run as a formula where the file is opened.

A text that a spreadsheet might run starts with = + - @, a tab or a return, also in their full-width forms and after
spaces. Such a text gets an apostrophe in front, and loses it again when the file is read here. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from nextbest.channels import RECEIPT
from nextbest.errors import ChannelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Apostrophes in front count as part of the danger, so that adding one and taking one away are each other's inverse.
_SPACES = r"[\s\x00-\x1f\x{00a0}\x{1680}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]*"
_START = r"[=+\-@\t\r\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}\x{2212}\x{fe62}\x{fe63}\x{fe66}\x{fe6b}]"
_BLANK_START = r"[\t\r\n]"
DANGEROUS = f"^'*(?:{_SPACES}{_START}|{_BLANK_START})"
GUARDED = f"^'+(?:{_SPACES}{_START}|{_BLANK_START})"
ENDINGS = (".csv", ".parquet")
LATER = ("list_unsubscribe", "list_unsubscribe_post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """A file of messages for a person or a mailing tool; what it already holds is not written twice.

    `contacts_now` says that nobody is reached by writing a list: quiet hours are kept by whoever works through it.
    """

    path: str = "messages.csv"
    contacts_now: bool = False

    def read(self, location: str) -> Iterator[pa.RecordBatch]:
        """Give the rows of a file, every column text, guards taken off; raises `ChannelError` when there is none."""
        yield from read_csv(location).to_batches()

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Add the messages to the file in one step: after a crash it holds all of them or none."""
        path = Path(self.path)
        ids = messages["decision_id"]
        written = read_csv(path) if path.is_file() else None
        fresh = messages if written is None else messages.filter(pc.invert(pc.is_in(ids, written["decision_id"])))
        if written is None or fresh.num_rows:
            plain = as_text(fresh)
            write_csv(path, plain if written is None else pa.concat_tables([_as(written, plain.schema, path), plain]))
        n = messages.num_rows
        return pa.table(
            [ids, pa.repeat("sent", n), pa.repeat(f"written to {path.name}", n)],
            schema=RECEIPT,
        )


def write_table(path: str | Path, table: pa.Table) -> Path:
    """Write a table as CSV or Parquet by the path's ending, and give the path; the file appears whole or not at all."""
    target = Path(path)
    if target.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        _in_one_step(target, lambda file: pq.write_table(table, file))
    elif target.suffix.lower() == ".csv":
        write_csv(target, table)
    else:
        raise UsageError(f"'{target.name}' has no ending that says how to write it. Use one of: {', '.join(ENDINGS)}.")
    return target


def write_csv(path: str | Path, table: pa.Table) -> None:
    """Write a table as CSV with every dangerous text guarded."""
    safe = neutralised(table)
    _in_one_step(Path(path), lambda file: arrow_csv.write_csv(safe, file))


def read_csv(path: str | Path) -> pa.Table:
    """Give a CSV file that was written here, every column text, guards taken off, empty cells null."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
        kinds = dict.fromkeys(header, pa.string())
        convert = arrow_csv.ConvertOptions(
            column_types=kinds, strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False
        )
        table = arrow_csv.read_csv(
            path, parse_options=arrow_csv.ParseOptions(newlines_in_values=True), convert_options=convert
        )
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise ChannelError(f"{Path(path).name} cannot be read as CSV: {type(error).__name__}.") from error
    return pa.table({_unguard_text(name): unguarded(table[name]) for name in table.column_names})


def neutralised(table: pa.Table) -> pa.Table:
    """Give the table as it may be written: texts guarded, headers too; numbers and booleans as they are."""
    texts = as_text(table)
    columns = [guarded(c) if pa.types.is_string(c.type) else c for c in texts.columns]
    return pa.table(columns, names=[guard_text(name) for name in texts.column_names])


def guarded(column: Any) -> Any:  # noqa: ANN401 (an Arrow array)
    """Give a text column with an apostrophe before every dangerous text."""
    return pc.if_else(pc.match_substring_regex(column, DANGEROUS), pc.binary_join_element_wise("'", column, ""), column)


def unguarded(column: Any) -> Any:  # noqa: ANN401 (an Arrow array)
    """Give a text column without the apostrophes that `guarded` added."""
    return pc.if_else(pc.match_substring_regex(column, GUARDED), pc.utf8_slice_codeunits(column, 1), column)


def guard_text(text: str) -> str:
    """Give one text as it may be written into a cell."""
    return str(guarded(pa.array([text]))[0].as_py())


def _unguard_text(text: str) -> str:
    return str(unguarded(pa.array([text]))[0].as_py())


def as_text(table: pa.Table) -> pa.Table:
    """Give moments as ISO 8601 and lists and structs as JSON; numbers stay numbers, and what is not finite is empty."""
    return pa.table([_plain(c) for c in table.columns], names=table.column_names)


def _plain(column: pa.ChunkedArray) -> Any:  # noqa: ANN401 (an Arrow array)
    kind = column.type
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return column
    if pa.types.is_timestamp(kind):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ" if kind.tz else "%Y-%m-%dT%H:%M:%S")
    if pa.types.is_nested(kind):
        import msgspec

        texts = [None if v is None else msgspec.json.encode(v).decode() for v in column.to_pylist()]
        return pa.array(texts, pa.string())
    return column.cast(pa.string())


def _as(written: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """Give what a file already holds in the types of what is added; raises `ChannelError` for another kind of file."""
    late = [name for name in LATER if name in schema.names and name not in written.column_names]
    for name in late:  # a file of an earlier version: what it had no column for is empty
        written = written.append_column(name, pa.nulls(written.num_rows, pa.string()))
    try:
        return written.select(schema.names).cast(schema)
    except (KeyError, pa.ArrowInvalid) as error:
        raise ChannelError(f"{path.name} holds something other than messages. Choose another path.") from error


def _in_one_step(path: Path, write: Callable[[Any], None]) -> None:
    """Write beside the path, bring it to the disk, and rename: a reader never sees half a file."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ChannelError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
