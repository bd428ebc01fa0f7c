"""The two halves of the house model, learnt over and over on different rows of one table that was read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import DataError, UsageError, nearest
from nextbest.models import encode, encode_read, logistic, selection, trees

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.cross_fit import Places, Split
    from nextbest.models.presets import Preset

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]
    Halves = tuple[encode.Encoder, logistic.Linear, bytes]
    Scores = tuple[Places, Vector, Vector]

_ROWS_PER_LEVEL = 1_000
_SIGNS = {"up": 1, "down": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Rows that teach, encoded (and with columns chosen, where that was asked for)."""

    encoder: encode.Encoder
    matrix: Matrix
    actual: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that was read, its label, and how halves are learnt from its rows."""

    task: str
    seed: int
    threads: int
    actual: Vector
    columns: tuple[encode_read.Read, ...]
    salt: str
    groups: list[str] | None
    size: Preset
    select: bool = False
    monotone: Mapping[str, str] = field(default_factory=dict)

    def taught(self, rows: Places | None) -> Taught:
        """Give some rows, or all, ready to teach."""
        groups, actual, columns = self.groups, self.actual, self.columns
        if rows is not None:
            actual, columns = actual[rows], tuple(c.taken(rows) for c in columns)
            groups = None if groups is None else [groups[i] for i in rows]
        encoder, matrix = encode.learn_from(columns, salt=self.salt, seed=self.seed, actual=actual, groups=groups)
        if rows is None and not encoder.columns:  # a part may lack what the whole has: then it says the base rate
            raise DataError(f"No column can be learnt from. Left out: {_reasons(encoder)}.")
        if self.select:
            encoder, matrix = selection.only_telling(
                encoder, matrix, actual, task=self.task, size=self.size, seed=self.seed
            )
        return Taught(encoder=encoder, matrix=matrix, actual=actual)

    def halves(self, taught: Taught) -> Halves:
        """Give encoder, line and trees learnt from these rows."""
        encoder, matrix, actual = taught.encoder, taught.matrix, taught.actual
        rising = self._rising(encoder)
        linear = logistic.fit(
            matrix, actual, task=self.task, levels=encoder.categories, seed=self.seed, shrink=self.size.line,
            rising=rising,
        )  # fmt: skip
        grown = trees.grow(
            matrix, actual, task=self.task, rounds=self.size.rounds,
            parameters={**self.size.parameters, **trees.never_falling(rising, matrix.shape[1])},
            categories=_as_sets(encoder, len(actual)), seed=self.seed, num_threads=self.threads,
        )  # fmt: skip
        return encoder, linear, grown

    def split(self, split: Split) -> tuple[Halves, Scores]:
        """Give the halves of the learning rows, and the judging rows with their scores."""
        learning, judging = split
        taught = self.taught(learning)
        halves = self.halves(taught)
        return halves, (judging, *self.scores(halves, self.seen(taught.encoder, judging)))

    def seen(self, encoder: encode.Encoder, rows: Places) -> Matrix:
        """Give the matrix of some rows by the encoder of others."""
        return encode.apply(encoder, [c.taken(rows) for c in self.columns])

    def scores(self, halves: Halves, matrix: Matrix) -> tuple[Vector, Vector]:
        """Give the score of either half per row of a matrix."""
        _, linear, grown = halves
        return logistic.scores(linear, matrix), trees.scores(grown, matrix, num_threads=self.threads)

    def _rising(self, encoder: encode.Encoder) -> dict[int, int]:
        """Give the columns of the matrix that have a direction: 1 up, -1 down; of a date its days."""
        starts = np.cumsum([0, *(c.width for c in encoder.columns)])
        named = zip(starts[:-1], encoder.columns, strict=True)
        return {int(at): _SIGNS[self.monotone[c.name]] for at, c in named if c.name in self.monotone}


def in_order(columns: Sequence[encode_read.Read], monotone: Mapping[str, str]) -> tuple[encode_read.Read, ...]:
    """Give the columns, those with a direction first; raises `UsageError` for a direction that cannot be kept.

    First, because of columns that say the same the first is kept: the direction must not get lost with an echo.
    """
    by_name = {c.name: c for c in columns}
    for name, way in monotone.items():
        if name not in by_name:
            raise UsageError(
                f"The table has no column '{name}', which monotone names.{nearest(name, by_name)}"
                f" It has: {', '.join(by_name)}."
            )
        if way not in _SIGNS:
            raise UsageError(f"monotone for '{name}' is 'up' or 'down'. Got '{way}'.")
        if by_name[name].form not in {"number", "date"}:
            raise UsageError(
                f"'{name}' holds words: they have no order, so no direction can be kept. Leave it out of monotone, or"
                " give numbers instead of the words."
            )
    return tuple(sorted(columns, key=lambda c: c.name not in monotone))


def _as_sets(encoder: encode.Encoder, rows: int) -> list[int]:
    """Give the categories that trees may cut into free sets: many rows per level, else free sets fit noise.

    The others are cut by their code, hence by how frequent a level is.
    """
    return [place for place, codes in encoder.categories.items() if rows / codes >= _ROWS_PER_LEVEL]


def _reasons(encoder: encode.Encoder) -> str:
    return "; ".join(f"{x['column']} ({x['why']})" for x in encoder.left_out) or "nothing, the table has no columns"
