"""A table as people have it: one row per subject, some columns, one of them the label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.channels.files import parquet
from nextbest.channels.files.rows import read_all
from nextbest.errors import DataError, UsageError, nearest, unknown
from nextbest.models import encode_values
from nextbest.models.encode import SUBJECT
from nextbest.models.encode_read import numbered
from nextbest.models.encode_values import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_YES = frozenset({"yes", "y", "true", "t", "1", "1.0", "churned", "churn", "left", "lost", "cancelled", "canceled"})
_NO = frozenset({"no", "n", "false", "f", "0", "0.0", "stayed", "active", "retained", "current", "none"})
_PARQUET = (".parquet", ".pq")
_NUMBERED = re.compile(r"(.*) \(\d+\)", re.DOTALL)
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
    """Give the one table of a file of any kind that can be loaded: all as text, Parquet with the types it has."""
    if isinstance(table, pa.Table):
        return table.rename_columns(numbered(table.column_names))
    path = Path(table)
    if path.is_dir():
        raise DataError(f"{path.resolve()} is a folder. Give the path of one file: CSV, XLSX or Parquet.")
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give the path of a CSV, XLSX or Parquet file.")
    return parquet.reader(path).read_all() if path.suffix.lower() in _PARQUET else read_all(path)


def named(table: pa.Table, name: str, what: str) -> str:
    """Give the column that is called so, or that stands at that position from 0; *what* names the setting."""
    if name in table.column_names:
        return name
    if name.isdecimal() and int(name) < table.num_columns:
        return str(table.column_names[int(name)])
    raise UsageError(
        f"The table has no column '{name}', which {what} names.{nearest(name, table.column_names)}"
        f" It has: {', '.join(table.column_names)}."
    )


def column(table: pa.Table, name: str, what: str) -> pa.Array:
    """Give a column by its name or position; *what* says which setting named it, for the error."""
    return plain(table[named(table, name, what)])


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
            " Keep one row of each, or leave out id: then rows are counted."
        )
    return tuple(ids.to_pylist())


def labelled(table: pa.Table, *, label: str, positive: str | None, id_column: str | None) -> Labelled:
    """Give ids, features and the label as 0 and 1; rows without a label are set aside, and said so."""
    label = named(table, label, "label")
    raw = plain(table[label]).cast(pa.string())
    known = pc.is_valid(raw)
    aside = raw.null_count
    ids = np.array(subject_ids(table, id_column), dtype=object)
    kept, values = table.filter(known), _one_spelling(raw.filter(known))
    yes = _positive(values, label, positive) if len(values) else str(positive or "")
    actual = pc.equal(values, yes).cast(pa.float64()).to_numpy(zero_copy_only=False)
    drop = [label] if id_column is None else [label, named(table, id_column, "id")]
    features = kept.drop_columns(list(dict.fromkeys(drop)))
    if SUBJECT in features.column_names:
        features = features.drop_columns([SUBJECT])
    note = " ".join([*_naming(table.column_names), *([f"{aside} rows without a label were set aside."] * (aside > 0))])
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


def dates(table: pa.Table, name: str) -> dict[str, str]:
    """Give `from` and `to` of a column of dates as ISO days; {} when it holds none."""
    found = encode_values.days(column(table, name, "time"))
    if found is None or not np.isfinite(found).any():
        return {}
    first, last = (str(np.datetime64(int(np.floor(d)), "D")) for d in (np.nanmin(found), np.nanmax(found)))
    return {"from": first, "to": last}


def _naming(names: Sequence[str]) -> Iterator[str]:
    """Say how columns were named that had no name, or one that another has."""
    if all(name == f"column_{position}" for position, name in enumerate(names)):
        yield f"The file has no header: its columns are called column_0 to column_{len(names) - 1}."
    numbered = [n for n in names if (found := _NUMBERED.fullmatch(n)) and found[1] in names]
    if numbered:
        yield f"Columns of the same name were numbered: {_listed(numbered)}."


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
    if len(found) == 1:
        return found[0] if positive is None else str(positive)  # one kind of row is too little, whichever it is
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
    raise UsageError(
        f"Which value of '{label}' is the one to predict? Give positive (on the command line: --positive). The values"
        f" are: {_listed(found)}."
    )


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(f"'{v}'" for v in values[:_SHOWN]) + more
