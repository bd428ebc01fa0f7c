"""A flat table with a column of how long: one row per subject, or several, each from its start to its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, UsageError, unknown
from nextbest.models import encode_values
from nextbest.models.person_periods import Spells
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.hazard import Known

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
_WORDS = {"day": "days", "week": "weeks", "month": "months", "mo": "months", "year": "years"}
_MARGIN = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a table in order of subject and time: `subject` is the place in `subject_ids`.

    `start` and `stop` are how long the subject had been there as the row began and ended to hold, `left` whether it
    left at its end; `first` and `last` are the places of each subject's first and last row.
    """

    subject_ids: tuple[str, ...]
    features: pa.Table
    subject: Whole
    start: Vector
    stop: Vector
    left: NDArray[np.bool_]
    first: Whole
    last: Whole
    positive: str
    changes: bool
    note: str

    @property
    def spells(self) -> Spells:
        """One per subject, in order of `subject_ids`."""
        return Spells(
            entry=self.start[self.first], exit=self.stop[self.last], cause=self.left[self.last].astype(np.int64)
        )

    def known(self, features: pa.Table) -> Known:
        """Give what is known of a subject as an age is reached: the row that held until then, of these columns."""
        reach = float(self.stop.max(initial=0.0)) + _MARGIN
        key = self.subject * reach + self.start

        def look_up(spell: Whole, age: Vector) -> pa.Table:
            place = np.searchsorted(key, spell * reach + age, side="left") - 1
            return features.take(np.clip(place, self.first[spell], self.last[spell]))

        return look_up


def read(recipe: Any) -> Rows:  # noqa: ANN401 (a recipe with table, id, label, positive, duration, start)
    """Give the rows of a recipe's table; those without a label or a duration are set aside, and said so."""
    if recipe.label is None:
        raise UsageError("Which column says who left? Give label (on the command line: --label COLUMN).")
    table = flat_table.read(recipe.table)
    found = flat_table.labelled(table, label=recipe.label, positive=recipe.positive, id_column=None)
    kept = np.array([int(number) - 1 for number in found.subject_ids], np.int64)
    ids = _ids(recipe, table).take(kept)
    stop = lengths(table, recipe.duration, "duration")[kept]
    start = np.zeros(len(stop)) if recipe.start is None else lengths(table, recipe.start, "start")[kept]
    usable = np.isfinite(stop) & np.isfinite(start) & (stop >= start) & (start >= 0)
    aside = len(usable) - int(usable.sum())
    notes = [found.note, f"{aside} rows without a usable '{recipe.duration}' were set aside." if aside else ""]
    rows = np.flatnonzero(usable)
    features = columns(recipe, found.features).take(rows)
    left = found.actual[rows] > 0
    return _sorted(
        ids.take(rows), features, (start[rows], stop[rows], left), found.positive, " ".join(n for n in notes if n),
        changes=recipe.start is not None,
    )  # fmt: skip


def columns(recipe: Any, table: pa.Table) -> pa.Table:  # noqa: ANN401
    """Give the columns to learn from: neither the id nor the label nor the times."""
    settings = {"id": recipe.id, "label": recipe.label, "duration": recipe.duration, "start": recipe.start}
    named = {name if name in table.column_names else _by_place(table, name) for name in settings.values() if name}
    return table.drop_columns([name for name in table.column_names if name in named])


def lengths(table: pa.Table, name: str, what: str) -> Vector:
    """Give a column of how long as numbers, NaN where it is missing; raises when it holds anything else."""
    found = encode_values.numbers(flat_table.column(table, name, what))
    if found is None:
        raise DataError(
            f"The column '{name}', which {what} names, holds no numbers. It has to say how long: 0, 1, 2.5."
        )
    return found


def latest(
    recipe: Any,  # noqa: ANN401
    table: pa.Table,
    positive: str,
) -> tuple[pa.Array, pa.Table, Vector, NDArray[np.bool_]]:
    """Give ids, columns, how long so far, and who is gone, from the latest row of everyone in a table."""
    ids = _ids(recipe, table)
    stop = lengths(table, recipe.duration, "duration")
    gone = np.zeros(len(stop), bool)
    label = _by_place(table, recipe.label or "")
    if label in table.column_names:  # a table to be scored need not have it
        text = pc.utf8_lower(encode_values.plain(table[label]).cast(pa.string()))
        gone = pc.equal(text.fill_null(""), positive.lower()).to_numpy(zero_copy_only=False)
    if recipe.start is not None:
        place = pc.index_in(ids, pc.unique(ids)).to_numpy(zero_copy_only=False)
        order = np.lexsort((stop, place))
        last = order[np.flatnonzero(np.diff(place[order], append=-1))]
        ids, stop, gone, table = ids.take(last), stop[last], gone[last], table.take(last)
    return ids, columns(recipe, table), stop, gone


def unit_of(recipe: Any) -> str:  # noqa: ANN401
    """Give the unit of the durations: as set, or as the column's name says (`tenure_months`); '' when neither does."""
    if recipe.unit:
        if recipe.unit not in DAYS:
            raise unknown("unit of time", recipe.unit, DAYS)
        return str(recipe.unit)
    words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", recipe.duration).lower())
    found = {_WORDS[w.removesuffix("s")] for w in words if w.removesuffix("s") in _WORDS}
    return found.pop() if len(found) == 1 else ""


def _sorted(
    ids: pa.Array, features: pa.Table, times: tuple[Vector, Vector, NDArray[np.bool_]], positive: str, note: str, *,
    changes: bool,
) -> Rows:  # fmt: skip
    start, stop, left = times
    names = pc.unique(ids)
    subject = pc.index_in(ids, names).to_numpy(zero_copy_only=False).astype(np.int64)
    order = np.lexsort((stop, start, subject))
    subject = subject[order]
    return Rows(
        subject_ids=tuple(names.to_pylist()), features=features.take(order), subject=subject, start=start[order],
        stop=stop[order], left=left[order], first=np.flatnonzero(np.diff(subject, prepend=-1)),
        last=np.flatnonzero(np.diff(subject, append=len(names))), positive=positive, changes=changes, note=note,
    )  # fmt: skip


def _ids(recipe: Any, table: pa.Table) -> pa.Array:  # noqa: ANN401
    if recipe.start is None:
        return pa.array(flat_table.subject_ids(table, recipe.id), pa.string())
    if recipe.id is None:
        raise UsageError(
            "Several rows may belong to one subject when start is given. Give id, the column that says whose."
        )
    ids = flat_table.column(table, recipe.id, "id").cast(pa.string())
    if ids.null_count:
        raise DataError(f"The id column '{recipe.id}' is empty in {ids.null_count} rows. Every row needs its subject.")
    return ids


def _by_place(table: pa.Table, name: str) -> str:
    return str(table.column_names[int(name)]) if name.isdecimal() and int(name) < table.num_columns else name
