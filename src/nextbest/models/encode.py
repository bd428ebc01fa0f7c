"""A flat table as people have it, to a matrix of numbers: learnt once, written down, applied the same way ever after.

Numbers stay numbers (missing stays missing), booleans become 0 and 1, dates become days, month and weekday, categories
become codes by how frequent a level is; one with very many levels also becomes the mean label of its level. The
learnt encoding holds no value of a category in clear text, only a keyed hash of it, because a value may be personal.
Columns that cannot or must not be used are left out, each with its reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError, nearest
from nextbest.models import encode_identity, encode_rates, encode_read, encode_values
from nextbest.models.encode_alike import alike

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.encode_read import Read

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

SUBJECT = "subject_id"
Form = Literal["number", "date", "category"]
_DATE_PARTS = ("days", "month", "weekday")
_MOST_LEVELS = 200
_RATE_DIGITS = 6
_RARE = 10  # a level seen less often shares the code of all rare and unseen ones
_MADE_UP_GAPS = 0.2
_DAY_OF_EPOCH = 3  # 1970-01-01 was a Thursday, day 3 of a week that starts on Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column that is used: how it is read, and the hashes of the levels of a category by code, from 1.

    `rates` are the mean labels of the rare and unseen (place 0) and of the levels, when there are very many.
    """

    name: str
    form: Form
    levels: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the matrix that it fills."""
        if self.form == "date":
            return len(_DATE_PARTS)
        return 2 if self.rates else 1

    @property
    def codes(self) -> int:
        """Codes of a category: its most frequent levels, and 0 for all others."""
        return min(len(self.levels), _MOST_LEVELS) + 1


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
        return {int(at): c.codes for at, c in found if c.form == "category"}

    def document(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {"salt": self.salt, "columns": [asdict(c) for c in self.columns], "left_out": list(self.left_out)}


def restore(document: Mapping[str, Any]) -> Encoder:
    """Give the encoder written by `document`."""
    columns = tuple(
        Column(name=c["name"], form=c["form"], levels=tuple(c["levels"]), rates=tuple(c.get("rates", ())))
        for c in document["columns"]
    )
    return Encoder(salt=document["salt"], columns=columns, left_out=tuple(document["left_out"]))


def learn(table: pa.Table, *, seed: int = 0) -> tuple[Encoder, Matrix]:
    """Give the encoder of a table and the table's own matrix; looks at no label, so nothing can leak through it."""
    return learn_from(encode_read.read(table, without=(SUBJECT,)), salt=salt_of(table, seed), seed=seed)


def learn_from(
    columns: Sequence[Read],
    *,
    salt: str,
    seed: int = 0,
    actual: Vector | None = None,
    groups: Sequence[str] | None = None,
) -> tuple[Encoder, Matrix]:
    """Give the encoder of columns that were read, and their matrix.

    With *actual*, the label, levels of long lists get their rates, each row's learnt on other rows (of other *groups*).
    """
    taught = Taught(salt=salt, seed=seed, actual=actual, groups=groups)
    used: list[Column] = []
    parts: list[Matrix] = []
    left_out: list[Mapping[str, str]] = []
    for column in columns:
        found = _learn_column(column, taught)
        if isinstance(found, str):
            left_out.append({"column": column.name, "why": found})
            continue
        used.append(found[0])
        parts.append(found[1])
    for place, why in sorted(alike([c.name for c in used], parts).items(), reverse=True):
        left_out.append({"column": used[place].name, "why": why})
        del used[place], parts[place]
    rows = len(columns[0].values) if columns else 0
    full = np.empty((rows, sum(c.width for c in used)))
    _fill(full, parts)
    return Encoder(salt=salt, columns=tuple(used), left_out=tuple(left_out)), full


def apply(encoder: Encoder, columns: Sequence[Read]) -> Matrix:
    """Give the matrix of columns that were read: other rows of the table that the encoder learnt from."""
    by_name = {c.name: c for c in columns}
    rows = len(columns[0].values) if columns else 0
    full = np.empty((rows, len(encoder.sources)))
    _fill(full, (_applied(c, by_name[c.name], encoder.salt) for c in encoder.columns))
    return full


def _fill(full: Matrix, parts: Iterable[Matrix]) -> None:
    place = 0
    for part in parts:
        full[:, place : place + part.shape[1]] = part
        place += part.shape[1]


def matrix(encoder: Encoder, table: pa.Table) -> Matrix:
    """Give the matrix of another table: float64, one row per row; raises `DataError` when a column is missing."""
    known = {name: place for place, name in enumerate(encode_read.numbered(table.column_names))}
    for column in encoder.columns:
        if column.name not in known:
            raise DataError(
                f"The table lacks the column '{column.name}' that the model learnt from.{nearest(column.name, known)}"
                f" Got: {', '.join(known)}."
            )
    full = np.empty((table.num_rows, len(encoder.sources)))
    _fill(full, (read_column(c, table.column(known[c.name]), encoder.salt) for c in encoder.columns))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What columns are learnt with: the key of the hashes, the seed, and the label where there is one."""

    salt: str
    seed: int
    actual: Vector | None
    groups: Sequence[str] | None


def _learn_column(read: Read, taught: Taught) -> tuple[Column, Matrix] | str:
    """Give the column and its matrix, or why it is left out."""
    if read.refused:
        return read.refused
    if not read.present.any():
        return "empty: every value is missing"
    if read.form == "words":
        return _learn_category(read, taught)
    values = read.values.astype(np.float64, copy=False)
    if read.present.all() and np.ptp(values) == 0:
        return "constant: one value in every row"
    if read.form == "date":
        return Column(name=read.name, form="date"), _date_parts(values)
    why = encode_identity.running_number(read.name, values, taught.actual)
    return why or (Column(name=read.name, form="number"), values[:, None])


def _learn_category(read: Read, taught: Taught) -> tuple[Column, Matrix] | str:
    codes = read.values.astype(np.int64, copy=False)
    counts = np.bincount(codes[codes >= 0], minlength=len(read.words))
    why = encode_identity.own_value(counts)
    if why is not None:
        return why
    if (counts > 0).sum() == 1 and read.present.all():
        return "constant: one value in every row"
    least = min(_RARE, max(1, len(codes) // 100))
    frequent = np.flatnonzero(counts >= least)
    if not len(frequent):
        return f"every one of its {int((counts > 0).sum()):,} values is rare (fewer than {least} rows)"
    # By frequency, then by hash: codes must not depend on the order of rows.
    ranked = sorted((-int(counts[i]), _hash(read.words[i], taught.salt), int(i)) for i in frequent)
    if taught.actual is None or len(ranked) <= _MOST_LEVELS:
        ranked = ranked[:_MOST_LEVELS]
    place = np.zeros(len(read.words) + 1, np.int64)
    place[[i for _, _, i in ranked]] = np.arange(1, len(ranked) + 1)
    place[-1] = -1
    levels = tuple(h for _, h, _ in ranked)
    among = place[codes]
    column = Column(name=read.name, form="category", levels=levels)
    if len(levels) <= _MOST_LEVELS or taught.actual is None:
        return column, _coded(column, among)
    means, own = encode_rates.learn(among, taught.actual, len(levels) + 1, seed=taught.seed, groups=taught.groups)
    column = replace(column, rates=tuple(np.round(means, _RATE_DIGITS).tolist()))
    return column, np.column_stack([_coded(column, among)[:, 0], own])


# --- reading one column ---------------------------------------------------------------------------------------------


def read_column(column: Column, array: pa.Array | pa.ChunkedArray, salt: str) -> Matrix:
    """Give what a column holds as its part of the matrix; what cannot be read is NaN."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if column.form == "category":
        words = encode_read.words_of(array)
        return _of_words(column, words.distinct.to_pylist(), words.codes, salt)
    if encode_values.is_text(kind):
        words = encode_read.words_of(array)
        by_word = _read_words(column, words)
        values = encode_read.spread(by_word, words.codes)
    else:
        plain = encode_values.plain(array)
        found = encode_values.days(plain) if column.form == "date" else encode_values.numbers(plain)
        values = np.full(len(plain), np.nan) if found is None else found
    return _date_parts(values) if column.form == "date" else values[:, None]


def _read_words(column: Column, words: encode_read.Words) -> Vector:
    if column.form == "number":
        return encode_values.read_numbers(words.distinct)
    found = encode_values.days(words.distinct, words.counts)
    return np.full(len(words.distinct), np.nan) if found is None else found


def _applied(column: Column, read: Read, salt: str) -> Matrix:
    """Give the part of the matrix that other rows of the column it learnt from fill."""
    if column.form == "category":
        return _of_words(column, read.words, read.values.astype(np.int64, copy=False), salt)
    values = read.values.astype(np.float64, copy=False)
    return _date_parts(values) if column.form == "date" else values[:, None]


def _of_words(column: Column, words: Sequence[str], codes: NDArray[np.int64], salt: str) -> Matrix:
    known = {h: i for i, h in enumerate(column.levels, start=1)}
    place = np.array([known.get(_hash(w, salt), 0) for w in words] + [-1], np.int64)
    return _coded(column, place[codes])


def _coded(column: Column, among: NDArray[np.int64]) -> Matrix:
    """Give codes from 1 by frequency, 0 for rare and unseen levels, NaN for missing ones; then the rate, if there."""
    top = min(len(column.levels), _MOST_LEVELS)
    codes = np.where(among > top, 0.0, among.astype(np.float64))
    codes[among < 0] = np.nan
    if not column.rates:
        return codes[:, None]
    return np.column_stack([codes, encode_rates.apply(np.array(column.rates), among)])


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


def salt_of(table: pa.Table, seed: int) -> str:
    """Give the model's own key for category hashes: from seed and table shape, so that the same fit gives it again."""
    text = "\n".join([str(seed), str(table.num_rows), *table.column_names])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
