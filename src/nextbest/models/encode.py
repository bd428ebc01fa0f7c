"""A flat table as people have it, to a matrix of numbers: learnt once, written down, applied the same way ever after.

Numbers stay numbers (missing stays missing), booleans become 0 and 1, dates become days, month and weekday, categories
become codes. The learnt encoding holds no value of a category in clear text, only a keyed hash of it, because a value
may be personal. Columns that cannot or must not be used are left out, each with its reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, nearest
from nextbest.models import encode_identity, encode_values
from nextbest.models.encode_alike import alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

SUBJECT = "subject_id"
Form = Literal["number", "date", "category"]
_DATE_PARTS = ("days", "month", "weekday")
_MOST_LEVELS = 200
_RARE = 10  # a level seen less often shares the code of all rare and unseen ones
_MADE_UP_GAPS = 0.2
_DAY_OF_EPOCH = 3  # 1970-01-01 was a Thursday, day 3 of a week that starts on Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column that is used: how it is read, and the hashes of the levels of a category by code, from 1."""

    name: str
    form: Form
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the matrix that it fills."""
        return len(_DATE_PARTS) if self.form == "date" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What was learnt about a table: the columns used, in order, and those left out, each with why."""

    salt: str
    columns: tuple[Column, ...]
    left_out: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def sources(self) -> list[str]:
        """The user's column behind every column of the matrix."""
        return [c.name for c in self.columns for _ in range(c.width)]

    @property
    def categories(self) -> dict[int, int]:
        """The columns of the matrix that hold codes, and how many codes each has (0 is rare, unseen)."""
        places = np.cumsum([0, *(c.width for c in self.columns)])
        found = zip(places[:-1], self.columns, strict=True)
        return {int(at): len(c.levels) + 1 for at, c in found if c.form == "category"}

    def document(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {"salt": self.salt, "columns": [asdict(c) for c in self.columns], "left_out": list(self.left_out)}


def restore(document: Mapping[str, Any]) -> Encoder:
    """Give the encoder written by `document`."""
    columns = tuple(Column(name=c["name"], form=c["form"], levels=tuple(c["levels"])) for c in document["columns"])
    return Encoder(salt=document["salt"], columns=columns, left_out=tuple(document["left_out"]))


def learn(table: pa.Table, *, seed: int = 0) -> tuple[Encoder, Matrix]:
    """Give the encoder of a table and the table's own matrix; looks at no label, so nothing can leak through it."""
    salt = _salt(table, seed)
    used: list[Column] = []
    parts: list[Matrix] = []
    left_out: list[Mapping[str, str]] = []
    for name in table.column_names:
        if name == SUBJECT:
            continue
        found = _learn_column(name, table[name], salt)
        if isinstance(found, str):
            left_out.append({"column": name, "why": found})
            continue
        used.append(found[0])
        parts.append(found[1])
    for place, why in sorted(alike([c.name for c in used], parts).items(), reverse=True):
        left_out.append({"column": used[place].name, "why": why})
        del used[place], parts[place]
    matrix = np.column_stack(parts) if parts else np.empty((table.num_rows, 0))
    return Encoder(salt=salt, columns=tuple(used), left_out=tuple(left_out)), matrix


def matrix(encoder: Encoder, table: pa.Table) -> Matrix:
    """Give the matrix of another table: float64, one row per row; raises `DataError` when a column is missing."""
    full = np.empty((table.num_rows, len(encoder.sources)))
    place = 0
    for column in encoder.columns:
        if column.name not in table.column_names:
            known = table.column_names
            raise DataError(
                f"The table lacks the column '{column.name}' that the model learnt from.{nearest(column.name, known)}"
                f" Got: {', '.join(known)}."
            )
        array = encode_values.plain(table[column.name])
        full[:, place : place + column.width] = read_column(column, array, encoder.salt)
        place += column.width
    return full


def made_up(encoder: Encoder, *, rows: int = 8, seed: int = 0) -> pa.Table:
    """Give drawn rows with the columns of the encoder, missing values among them; categories get unseen levels."""
    chance = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for column in encoder.columns:
        gaps = chance.random(rows) < _MADE_UP_GAPS
        if column.form == "number":
            columns[column.name] = pa.array(np.round(chance.lognormal(2.0, 2.0, rows), 3), mask=gaps)
        elif column.form == "date":
            days = chance.integers(0, 20_000, rows).astype("datetime64[D]").astype(str)
            columns[column.name] = pa.array(days, pa.string(), mask=gaps)
        else:
            columns[column.name] = pa.array([f"made up {i}" for i in range(rows)], pa.string(), mask=gaps)
    return pa.table(columns)


# --- learning one column --------------------------------------------------------------------------------------------


def _learn_column(name: str, raw: pa.ChunkedArray, salt: str) -> tuple[Column, Matrix] | str:
    """Give the column and its matrix, or why it is left out."""
    array = encode_values.plain(raw)
    why = encode_identity.by_name(name) or encode_identity.by_value(array)
    if why is not None:
        return why
    if array.null_count == len(array):
        return "empty: every value is missing"
    values = encode_values.numbers(array)
    if values is not None:
        return _constant(values) or encode_identity.counter(values) or (_number(name), values[:, None])
    values = encode_values.days(array)
    if values is not None:
        column = Column(name=name, form="date")
        return _constant(values) or (column, _date_parts(values))
    if not encode_values.is_text(array.type):
        return f"values of type {array.type} are not read; give numbers, text or dates"
    return _learn_category(name, array, salt)


def _number(name: str) -> Column:
    return Column(name=name, form="number")


def _learn_category(name: str, array: pa.Array, salt: str) -> tuple[Column, Matrix] | str:
    why = encode_identity.own_value(array)
    if why is not None:
        return why
    counted = pc.value_counts(array.drop_null())
    counts = counted.field("counts").to_numpy()
    values = counted.field("values").to_pylist()
    if len(values) == 1 and not array.null_count:
        return "constant: one value in every row"
    least = min(_RARE, max(1, len(array) // 100))
    # By frequency, then by hash: codes must not depend on the order of rows.
    ranked = sorted(((-int(n), _hash(v, salt)) for v, n in zip(values, counts, strict=True) if n >= least))
    if not ranked:
        return f"every one of its {len(values):,} values is rare (fewer than {least} rows)"
    column = Column(name=name, form="category", levels=tuple(h for _, h in ranked[:_MOST_LEVELS]))
    return column, _codes(column, array, salt)[:, None]


def _constant(values: Vector) -> str | None:
    present = values[np.isfinite(values)]
    if not len(present):
        return "empty: no value can be read"
    return "constant: one value in every row" if len(present) == len(values) and np.ptp(present) == 0 else None


# --- reading one column ---------------------------------------------------------------------------------------------


def read_column(column: Column, array: pa.Array, salt: str) -> Matrix:
    """Give what a column holds as its part of the matrix; what cannot be read is NaN."""
    if column.form == "category":
        return _codes(column, array, salt)[:, None]
    if column.form == "date":
        values = encode_values.days(array)
        return _date_parts(np.full(len(array), np.nan) if values is None else values)
    if encode_values.is_text(array.type):
        return encode_values.read_numbers(array)[:, None]
    values = encode_values.numbers(array)
    return np.full((len(array), 1), np.nan) if values is None else values[:, None]


def _codes(column: Column, array: pa.Array, salt: str) -> Vector:
    """Give codes from 1 by frequency, 0 for rare and unseen levels, NaN for missing ones."""
    text = array if encode_values.is_text(array.type) else array.cast(pa.string())
    packed = text.dictionary_encode()
    code = {h: float(i) for i, h in enumerate(column.levels, start=1)}
    known = np.array([code.get(_hash(v, salt), 0.0) for v in packed.dictionary.to_pylist()] or [0.0])
    indices = packed.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(text.is_valid().to_numpy(zero_copy_only=False), known[indices], np.nan)


def _date_parts(values: Vector) -> Matrix:
    """Give days since 1970, month 1 to 12, weekday 0 (Monday) to 6; NaN where missing."""
    good = np.isfinite(values)
    whole = np.floor(np.where(good, values, 0)).astype(np.int64)
    month = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    parts = np.column_stack([values, month.astype(np.float64), ((whole + _DAY_OF_EPOCH) % 7).astype(np.float64)])
    parts[~good] = np.nan
    return parts


def _hash(value: str, salt: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=8, key=bytes.fromhex(salt)).hexdigest()


def _salt(table: pa.Table, seed: int) -> str:
    """Give the model's own key for category hashes: from seed and table shape, so that the same fit gives it again."""
    text = "\n".join([str(seed), str(table.num_rows), *table.column_names])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
