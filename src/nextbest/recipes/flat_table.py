"""A table as people have it: one row per subject, some columns, one of them the label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, UsageError, nearest, unknown
from nextbest.models import encode_values
from nextbest.models.encode import SUBJECT
from nextbest.models.encode_values import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_YES = frozenset({"yes", "y", "true", "t", "1", "1.0", "churned", "churn", "left", "lost", "cancelled", "canceled"})
_NO = frozenset({"no", "n", "false", "f", "0", "0.0", "stayed", "active", "retained", "current", "none"})
_PARQUET = (".parquet", ".pq")
_DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A flat table made ready: who, what is known of them, what came of it; `note` says which rows were set aside."""

    subject_ids: tuple[str, ...]
    features: pa.Table
    actual: NDArray[np.float64]
    positive: str
    note: str = ""


def read(table: str | Path | pa.Table) -> pa.Table:
    """Give the table in a CSV (any usual delimiter, also gzip) or Parquet file, all CSV columns as text."""
    if isinstance(table, pa.Table):
        return table
    path = Path(table)
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give the path of a CSV or Parquet file.")
    if path.suffix.lower() in _PARQUET:
        from pyarrow import parquet

        try:
            return parquet.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path.name} is not a Parquet file that can be read: {error}.") from error
    return _read_csv(path)


def column(table: pa.Table, name: str, what: str) -> pa.Array:
    """Give a column by its name; *what* says which setting named it, for the error."""
    if name not in table.column_names:
        raise UsageError(
            f"The table has no column '{name}', which {what} names.{nearest(name, table.column_names)}"
            f" It has: {', '.join(table.column_names)}."
        )
    return plain(table[name])


def subject_ids(table: pa.Table, name: str | None) -> tuple[str, ...]:
    """Give the ids as text, or row numbers from 1 when no column holds them; raises for missing or repeated ids."""
    if name is None:
        return tuple(str(i) for i in range(1, table.num_rows + 1))
    ids = column(table, name, "id").cast(pa.string())
    if ids.null_count:
        raise DataError(f"The id column '{name}' is empty in {ids.null_count} rows. Every row needs its subject.")
    if (distinct := pc.count_distinct(ids).as_py()) < len(ids):
        raise DataError(
            f"The id column '{name}' repeats: {len(ids)} rows, {distinct} ids. A flat table has one row per subject."
        )
    return tuple(ids.to_pylist())


def labelled(table: pa.Table, *, label: str, positive: str | None, id_column: str | None) -> Labelled:
    """Give ids, features and the label as 0 and 1; rows without a label are set aside, and said so."""
    raw = column(table, label, "label").cast(pa.string())
    known = pc.is_valid(raw)
    aside = raw.null_count
    ids = np.array(subject_ids(table, id_column), dtype=object)
    kept, values = table.filter(known), _one_spelling(raw.filter(known))
    yes = _positive(values, label, positive)
    actual = pc.equal(values, yes).cast(pa.float64()).to_numpy(zero_copy_only=False)
    drop = [label] if id_column is None else [label, id_column]
    features = kept.drop_columns([c for c in dict.fromkeys(drop) if c in kept.column_names])
    if SUBJECT in features.column_names:
        features = features.drop_columns([SUBJECT])
    note = f"{aside} rows without a label were set aside" if aside else ""
    chosen = tuple(ids[known.to_numpy(zero_copy_only=False)])
    return Labelled(subject_ids=chosen, features=features, actual=actual, positive=yes, note=note)


def order(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Give numbers that put the rows in order of their time column; raises when it holds neither dates nor numbers."""
    values = column(table, name, "time")
    found = encode_values.days(values)
    found = encode_values.numbers(values) if found is None else found
    if found is None or not np.isfinite(found).all():
        raise DataError(f"The time column '{name}' has values that are neither dates nor numbers, or none at all.")
    return found


def _one_spelling(values: pa.Array) -> pa.Array:
    """Give labels that differ only in case, as 'Yes' and 'yes', the more frequent of their spellings.

    Left as they are when nothing but case tells two labels apart: then it may be meant.
    """
    counted = sorted(pc.value_counts(values).to_pylist(), key=lambda found: (-found["counts"], found["values"]))
    first: dict[str, str] = {}
    for found in counted:
        first.setdefault(found["values"].casefold(), found["values"])
    if len(first) in (1, len(counted)):
        return values
    spelt = {found["values"]: first[found["values"].casefold()] for found in counted}
    return pc.take(pa.array(spelt.values()), pc.index_in(values, pa.array(spelt)))


def _positive(values: pa.Array, label: str, positive: str | None) -> str:
    """Give the value that counts as positive, spelt as in the table."""
    found: list[str] = sorted(pc.unique(values).to_pylist())
    if positive is not None:
        match = [v for v in found if v.lower() == str(positive).strip().lower()]
        if str(positive) in found or len(match) == 1:
            return str(positive) if str(positive) in found else match[0]
        raise unknown(f"value of the label '{label}'", str(positive), found[:50])
    yes = [v for v in found if v.lower() in _YES]
    if len(found) == 2 and len(yes) == 1 and {v.lower() for v in found} - _YES <= _NO | {v.lower() for v in yes}:
        return yes[0]
    if set(found) <= {"0", "1"} or set(found) <= {"true", "false"}:
        return "1" if set(found) <= {"0", "1"} else "true"
    shown = _listed(found)
    raise UsageError(f"Which value of '{label}' is the one to predict? Give positive. The values are: {shown}.")


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(f"'{v}'" for v in values[:_SHOWN]) + more


def _read_csv(path: Path) -> pa.Table:
    from pyarrow import csv

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            head = stream.read(65_536)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path.name} cannot be read: {error}.") from error
    encoding = _encoding(head)
    first = head.decode(encoding, errors="replace").lstrip("\ufeff").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    names = _names(path, delimiter, encoding)
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(encoding=encoding),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=convert,
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path.name} cannot be read as a table: {error}.") from error


def _names(path: Path, delimiter: str, encoding: str) -> list[str]:
    from pyarrow import csv

    try:
        with csv.open_csv(
            path,
            read_options=csv.ReadOptions(encoding=encoding),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        ) as reader:
            names: list[str] = reader.schema.names
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path.name} cannot be read as a table: {error}.") from error
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise DataError(f"{path.name} has more than one column named {_listed(twice)}. Rename one of them.")
    return names


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head[:-4].decode("utf-8") if len(head) > 4 else head.decode("utf-8")
    except UnicodeDecodeError as error:
        return "utf-8" if error.start >= len(head) - 8 else "cp1252"
    return "utf-8"
