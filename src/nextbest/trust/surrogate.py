"""A small tree that imitates a model, for people to read, and how well it does.

Craven and Shavlik (1996): learn a tree from what the model says, not from the label, and report its fidelity: the R² to
the model's predictions on rows that the tree did not learn from. A low fidelity means that no such simple story holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import columns
from nextbest.trust.seen import predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.columns import Column
    from nextbest.types import Model

    Vector = NDArray[np.float64]
    Rows = NDArray[np.int64]

DEPTH = 3
_LEAST_LEAF = 20
_LEARN = 0.7
_LEAST_GAIN = 1e-3  # of all variation: a split that explains less is not worth a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A yes/no question: whether a number is at most `most` (missing counts as lowest), or a value is `level`."""

    column: str
    most: float | None = None
    level: str | None = None
    dated: bool = False

    def holds(self, column: Column) -> NDArray[np.bool_]:
        """Tell, per row, whether the answer is yes."""
        if self.level is not None:
            at = column.levels.index(self.level) if self.level in column.levels else -2
            return np.asarray(column.codes == at)
        numbers = np.where(column.missing, -np.inf, np.nan_to_num(np.asarray(column.numbers)))
        return np.asarray(numbers <= self.most)

    def words(self, *, yes: bool) -> str:
        """Give the answer in words."""
        if self.level is not None:
            return f"{self.column} is {'' if yes else 'not '}{self.level}"
        if self.most == -np.inf:
            return f"{self.column} is {'missing' if yes else 'known'}"
        edge = str(np.datetime64(int(self.most or 0), "D")) if self.dated else columns.short(float(self.most or 0))
        return f"{self.column} {'at most' if yes else 'above'} {edge}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A leaf, or a split with what follows from yes and from no; `rows` that came here and their mean prediction."""

    prediction: float
    rows: int
    split: Split | None = None
    yes: Node | None = None
    no: Node | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One leaf in words: its conditions, the mean prediction, and the share of rows it covers."""

    when: tuple[str, ...]
    prediction: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """The tree as rules, lowest prediction first, and its R² to the model on held-out rows (None: too few)."""

    rules: tuple[Rule, ...]
    fidelity: float | None
    tree: Node


def surrogate(model: Model, features: pa.Table, *, seed: int = 0, depth: int = DEPTH) -> Surrogate | None:
    """Give the tree that imitates the model on these rows; None when there are too few of them to tell."""
    rows = np.random.default_rng(seed).permutation(features.num_rows)
    cut = int(len(rows) * _LEARN)
    learning, judging = np.sort(rows[:cut]), np.sort(rows[cut:])
    if len(judging) < _LEAST_LEAF:
        return None
    said = predictions(model, features)
    # Dates and codes alike are read once over all rows, so that both sides speak of the same levels.
    known = columns.read_all(features, features.column_names)
    tree = _grow(known, said, learning, depth, float(((said[learning] - said[learning].mean()) ** 2).sum()))
    told = follow(tree, known, len(said))[judging]
    spread = float(((said[judging] - said[judging].mean()) ** 2).sum())
    missed = float(((said[judging] - told) ** 2).sum())
    fidelity = round(1 - missed / spread, 4) if spread > 0 else None
    rules = sorted(_rules(tree, (), len(learning)), key=lambda r: r.prediction)
    return Surrogate(rules=tuple(rules), fidelity=fidelity, tree=tree)


def follow(tree: Node, known: Mapping[str, Column], count: int) -> Vector:
    """Give the tree's prediction for each of *count* rows."""
    if tree.split is None or tree.yes is None or tree.no is None:
        return np.full(count, tree.prediction)
    holds = tree.split.holds(known[tree.split.column])
    return np.where(holds, follow(tree.yes, known, count), follow(tree.no, known, count))


def _grow(known: Mapping[str, Column], said: Vector, rows: Rows, depth: int, whole: float) -> Node:
    leaf = Node(prediction=float(said[rows].mean()), rows=len(rows))
    if depth == 0 or len(rows) < 2 * _LEAST_LEAF:
        return leaf
    gain, split = max((_best(c, said, rows) for c in known.values()), key=lambda found: found[0], default=(0.0, None))
    if split is None or gain <= _LEAST_GAIN * whole:
        return leaf
    holds = split.holds(known[split.column])[rows]
    sides = (_grow(known, said, rows[side], depth - 1, whole) for side in (holds, ~holds))
    yes, no = sides
    return Node(prediction=leaf.prediction, rows=leaf.rows, split=split, yes=yes, no=no)


def _best(column: Column, said: Vector, rows: Rows) -> tuple[float, Split | None]:
    """Give the split of a column that lowers the squared error most, and by how much."""
    return _best_cut(column, said, rows) if column.numbers is not None else _best_level(column, said, rows)


def _best_cut(column: Column, said: Vector, rows: Rows) -> tuple[float, Split | None]:
    values = np.where(column.missing[rows], -np.inf, np.nan_to_num(np.asarray(column.numbers)[rows]))
    order = np.argsort(values, kind="stable")
    values, answers = values[order], said[rows][order]
    first = np.arange(1, len(values))
    fits = (values[1:] != values[:-1]) & (first >= _LEAST_LEAF) & (len(values) - first >= _LEAST_LEAF)
    if not fits.any():
        return 0.0, None
    gains = np.where(fits, _gains(np.cumsum(answers)[:-1], first, float(answers.sum()), len(values)), -1.0)
    at = int(gains.argmax())
    below, above = values[at], values[at + 1]
    most = float(below) if not np.isfinite(below) else float(below + (above - below) / 2)
    return float(gains[at]), Split(column=column.name, most=most, dated=column.dated)


def _best_level(column: Column, said: Vector, rows: Rows) -> tuple[float, Split | None]:
    shown = [c for c, n in enumerate(column.counts) if n >= columns.FEWEST_ROWS]
    if not shown:
        return 0.0, None
    codes = column.codes[rows]
    known = codes >= 0
    counts = np.bincount(codes[known], minlength=len(column.levels))[shown]
    sums = np.bincount(codes[known], weights=said[rows][known], minlength=len(column.levels))[shown]
    fits = (counts >= _LEAST_LEAF) & (len(rows) - counts >= _LEAST_LEAF)
    if not fits.any():
        return 0.0, None
    found = _gains(sums.astype(np.float64), np.maximum(counts, 1), float(said[rows].sum()), len(rows))
    gains = np.where(fits, found, -1.0)
    at = int(gains.argmax())
    return float(gains[at]), Split(column=column.name, level=column.levels[shown[at]])


def _gains(sums: Vector, counts: NDArray[Any], total: float, rows: int) -> Vector:
    """Give by how much the squared error falls when so many rows with such sums are set apart."""
    others = np.maximum(rows - counts, 1)
    found: Vector = sums**2 / counts + (total - sums) ** 2 / others - total**2 / rows
    return found


def _rules(node: Node, when: Sequence[str], whole: int) -> Iterator[Rule]:
    if node.split is None or node.yes is None or node.no is None:
        yield Rule(when=tuple(when), prediction=round(node.prediction, 6), share=round(node.rows / whole, 4))
        return
    yield from _rules(node.yes, (*when, node.split.words(yes=True)), whole)
    yield from _rules(node.no, (*when, node.split.words(yes=False)), whole)
