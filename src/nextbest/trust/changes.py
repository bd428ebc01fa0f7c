"""What would change a prediction: the fewest changes, at most two, that carry it across a threshold.

Wachter, Mittelstadt and Russell (2018) call it a counterfactual. It is about the model, not about the world: the
model's prediction would change; what the customer would do, only a trial can tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.models import columns
from nextbest.trust.seen import predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nextbest.models.columns import Column
    from nextbest.types import Model

    Vector = NDArray[np.float64]

    Step = tuple[str, int]  # the column, and the row of the background whose value it gets

_SHOWN = 3
_STRONGEST, _PER_COLUMN = 60, 3  # single changes that are paired: at most 1,770 pairs, scored at once
# What a person is or has been cannot be changed: neither by a seller nor by the person.
_FIXED = frozenset({
    "age", "gender", "sex", "birth", "born", "birthday", "race", "ethnicity", "nationality", "citizen", "citizenship",
    "marital", "married", "senior", "religion", "disability", "since", "tenure", "first", "ever", "historic", "date",
    "month", "year", "weekday", "dependents", "partner", "children", "education", "country", "city", "region", "state",
})  # fmt: skip
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One column, what it is, and what it would be."""

    column: str
    value: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A set of changes, and the model's prediction with them."""

    changes: tuple[Change, ...]
    prediction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The prediction, the threshold, and up to three smallest sets of changes that cross it; `why` when there is none.

    `changeable` are the columns that were tried.
    """

    prediction: float
    threshold: float
    found: tuple[Alternative, ...]
    changeable: tuple[str, ...]
    why: str = ""


def changeable_of(names: Sequence[str], chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the columns that can be changed: the chosen ones, else all that do not say what somebody is or has been."""
    if chosen:
        return tuple(n for n in names if n in set(chosen))
    return tuple(n for n in names if not _FIXED & {w.lower() for w in _WORDS.findall(n)})


def changes(
    model: Model, row: pa.Table, background: pa.Table, *, changeable: Sequence[str], threshold: float | None = None
) -> Changes:
    """Give the smallest sets of changes that carry the prediction of the one row of *row* to the other side.

    Values come from *background*; without a *threshold* it is the average prediction there.
    """
    own = float(predictions(model, row)[0])
    line = float(predictions(model, background).mean()) if threshold is None else threshold
    names = [n for n in changeable if n in row.column_names]
    both = pa.concat_tables([row.select(background.column_names), background], promote_options="permissive")
    seen = columns.read_all(both, names)
    singles = [(name, int(at)) for name in names for at in columns.places(seen[name]) if _differs(seen[name], int(at))]
    sought = -1.0 if own > line else 1.0
    answers = _answers(model, row, both, [(s,) for s in singles])
    found = _crossing([(s,) for s in singles], answers, line, sought)
    if not found:
        pairs = list(_pairs(singles, sought * answers, seen))
        answers = _answers(model, row, both, pairs)
        found = _crossing(pairs, answers, line, sought)
    best = _smallest(found, seen)
    told = tuple(_told(steps, prediction, seen) for steps, prediction in best[:_SHOWN])
    why = "" if told else f"No one or two changes among {len(names)} columns carry the prediction across."
    return Changes(prediction=own, threshold=line, found=told, changeable=tuple(names), why=why)


def _answers(model: Model, row: pa.Table, both: pa.Table, sets: Sequence[tuple[Step, ...]]) -> Vector:
    """Give the prediction of the row under each set of changes."""
    if not sets:
        return np.empty(0)
    many = row.take(pa.array(np.zeros(len(sets), dtype=np.int64)))
    touched = dict.fromkeys(name for steps in sets for name, _ in steps)
    # Place 0 of *both* is the row itself: what a set does not touch stays as it is.
    values = {name: np.array([dict(steps).get(name, 0) for steps in sets], dtype=np.int64) for name in touched}
    many = pa.concat_tables([many.select(both.column_names), both.slice(0, 0)], promote_options="permissive")
    return predictions(model, columns.holding(many, both, values))


def _crossing(
    sets: Sequence[tuple[Step, ...]], answers: Vector, line: float, sought: float
) -> list[tuple[tuple[Step, ...], float]]:
    return [(s, float(a)) for s, a in zip(sets, answers, strict=True) if sought * (float(a) - line) > 0]


def _pairs(singles: Sequence[Step], gains: Vector, seen: dict[str, Column]) -> Iterator[tuple[Step, ...]]:
    """Give pairs of the steps that moved the prediction most (of those alike the longest), some of every column."""
    most = max(_PER_COLUMN, _STRONGEST // max(1, len({name for name, _ in singles})))
    reach = np.array([_effort(seen[name], at) for name, at in singles])
    kept: list[Step] = []
    for at in np.lexsort((-reach, -gains)):
        step = singles[int(at)]
        if sum(name == step[0] for name, _ in kept) < most:
            kept.append(step)
    return (pair for pair in combinations(kept[:_STRONGEST], 2) if pair[0][0] != pair[1][0])


def _smallest(
    found: Sequence[tuple[tuple[Step, ...], float]], seen: dict[str, Column]
) -> list[tuple[tuple[Step, ...], float]]:
    """Give the sets by effort, the easiest of every set of columns only."""
    ranked = sorted(found, key=lambda f: (sum(_effort(seen[n], at) for n, at in f[0]), f[0]))
    easiest: dict[tuple[str, ...], tuple[tuple[Step, ...], float]] = {}
    for steps, prediction in ranked:
        easiest.setdefault(tuple(sorted(n for n, _ in steps)), (steps, prediction))
    return list(easiest.values())


def _effort(column: Column, at: int) -> float:
    """Give how far a change reaches: on a scale the share of rows between, else one half."""
    if not column.graded or column.numbers is None or column.missing[0]:
        return 0.5
    known = np.sort(column.numbers[1:][~column.missing[1:]])
    ends = np.searchsorted(known, [column.numbers[0], column.numbers[at]])
    return abs(float(ends[1] - ends[0])) / max(1, len(known))


def _differs(column: Column, at: int) -> bool:
    if column.missing[0]:
        return True
    return columns.text(column, at) != columns.text(column, 0)


def _told(steps: Sequence[Step], prediction: float, seen: dict[str, Column]) -> Alternative:
    made = tuple(Change(column=n, value=columns.text(seen[n], 0), to=columns.text(seen[n], at)) for n, at in steps)
    return Alternative(changes=made, prediction=prediction)
