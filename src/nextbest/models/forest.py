"""A LightGBM model as arrays: each cut knows which leaves it leaves over, so that nobody has to walk down a tree.

The leaves of a tree are bits, numbered from the left. A row that is not below a cut cannot reach the leaves on the left
of it; after all cuts of the tree, the lowest bit that is left is the row's leaf (QuickScorer, Lucchese et al. 2015).
What is missing is treated as in LightGBM's `Tree::NumericalDecision`.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_LEAVES = 64  # the bits of the wider mask
# A de Bruijn sequence: times a power of two, modulo 2 to the 64, its top six bits tell which power it was.
UNIQUE, TOP = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
SAME, LOGISTIC, EXP = range(3)
_OBJECTIVES = {
    "regression": SAME, "regression_l1": SAME, "huber": SAME, "fair": SAME, "quantile": SAME, "mape": SAME,
    "poisson": EXP, "gamma": EXP, "tweedie": EXP,
}  # fmt: skip
LEFT, RIGHT = -math.inf, math.nan  # below every threshold, and not below any
# What stands for a missing value and for zero, by LightGBM's `decision_type`: bit 1 says that a cut is a set of
# categories, bit 2 that the default is left, the bits above what is missing (nothing, zero, or NaN; else NaN is zero).
_CATEGORIES = 1
_STAND = {
    0: (0.0, 0.0), 4: (RIGHT, RIGHT), 8: (RIGHT, 0.0),
    2: (0.0, 0.0), 6: (LEFT, LEFT), 10: (LEFT, 0.0),
}  # fmt: skip
_COLUMN = np.dtype([("feature", "i8"), ("if_missing", "f8"), ("if_zero", "f8")])
_SET = np.dtype([("feature", "i8"), ("start", "i8"), ("stop", "i8")])


class Forest(NamedTuple):
    """Trees as arrays. A column is a feature with one way to treat what is missing, so a feature can have several.

    `columns`: feature, and what stands for a missing value and for zero. `sets`: feature, and where in `words` the bits
    of its categories stand that go left; a set is a column too, counted from the last one backwards: `LEFT` for its
    members, else `RIGHT`. `cuts`: threshold, column, and the mask of the leaves `kept` by a row that is not below it;
    tree t has those from `first[t]` to `first[t + 1]`. `everything`: the mask of all leaves. `leaves` (trees, 64):
    values, each at the place of its bit. `transform`, `scale`: of the sum.
    """

    columns: Array
    sets: Array
    words: Array
    cuts: Array
    first: Array
    everything: Any
    leaves: Array
    transform: int
    scale: float


class _Cut(NamedTuple):
    """A cut: of numbers at a threshold in one `way` to treat what is missing, or between a set and all else."""

    feature: int
    way: int
    words: tuple[int, ...]
    threshold: float
    left: int  # the mask of the leaves on its left


def forest(text: str, *, raw: bool) -> Forest | None:
    """Give the arrays of `Booster.model_to_string()`, None for a model that they cannot say.

    They say sums of one tree per round, with 1 to 64 constant leaves, and the transformation (none when *raw*) of the
    objectives that have one number per row. (`Booster.dump_model` would not do: it has no infinite thresholds.)
    """
    head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    model, trees = _fields(head), [_fields(block) for block in blocks]
    most = max((int(tree["num_leaves"]) for tree in trees), default=0)
    transform = (SAME, 0.0) if raw else _transform(model.get("objective", "regression"))
    summed = model.get("num_tree_per_iteration") == "1" and "average_output" not in model
    constant = all(tree.get("is_linear", "0") == "0" for tree in trees)
    if transform is None or not (summed and constant and 0 < most <= MOST_LEAVES):
        return None
    leaves = np.zeros((len(trees), MOST_LEAVES))
    cuts = [list(_cuts(tree, values)) for tree, values in zip(trees, leaves, strict=True)]
    if any(cut.way not in _STAND for tree in cuts for cut in tree if not cut.words):
        return None
    return Forest(**_columns(cuts, 32 if most <= 32 else 64), leaves=leaves, transform=transform[0], scale=transform[1])


def _columns(trees: list[list[_Cut]], bits: int) -> dict[str, Any]:
    """Give the arrays that cuts make. The fewer bits a mask has, the more rows share an instruction."""
    columns: dict[tuple[int, int], int] = {}
    sets: dict[tuple[int, tuple[int, ...]], int] = {}
    mask, everything, rows = f"u{bits // 8}", 2**bits - 1, []
    for cut in chain.from_iterable(trees):
        if cut.words:
            column = ~sets.setdefault((cut.feature, cut.words), len(sets))
        else:
            column = columns.setdefault((cut.feature, cut.way), len(columns))
        rows.append((cut.threshold, column, everything ^ cut.left))
    stops = np.cumsum([0, *(len(words) for _, words in sets)])
    features = [feature for feature, _ in sets]
    return {
        "columns": np.array([(feature, *_STAND[way]) for feature, way in columns], _COLUMN),
        "sets": np.array(list(zip(features, stops[:-1], stops[1:], strict=True)), _SET),
        "words": np.array([word for _, words in sets for word in words], np.uint32),
        "cuts": np.array(rows, np.dtype([("threshold", "f8"), ("column", "i4"), ("kept", mask)], align=True)),
        "first": np.cumsum([0, *(len(tree) for tree in trees)]),
        "everything": np.dtype(mask).type(everything),
    }


def place(leaf: int) -> int:
    """Give where the value of a leaf is kept, of 64 places."""
    return (int(UNIQUE) << leaf) % 2**64 >> int(TOP)


def _fields(lines: str) -> dict[str, str]:
    """Give what stands in lines of `name=value`."""
    return {name: value for name, _, value in (line.partition("=") for line in lines.splitlines())}


def _transform(objective: str) -> tuple[int, float] | None:
    """Give kind and scale of the transformation by an objective as the model names it, None where it is not known."""
    name, _, setting = objective.partition(" ")
    if name == "binary":
        return LOGISTIC, -float(setting.removeprefix("sigmoid:"))
    return None if name not in _OBJECTIVES or setting == "sqrt" else (_OBJECTIVES[name], 1.0)


def _cuts(tree: Mapping[str, str], values: Array) -> Iterator[_Cut]:
    """Give every cut, and write the values of the leaves to their places in *values* on the way, left ones first."""
    known = ("split_feature", "decision_type", "threshold", "left_child", "right_child", "leaf_value")
    feature, way, threshold, left, right, leaf = (tree.get(name, "").split() for name in known)
    bounds, words = ([int(x) for x in tree.get(name, "").split()] for name in ("cat_boundaries", "cat_threshold"))
    found = 0

    def visit(node: int) -> Iterator[_Cut]:
        nonlocal found
        if node < 0:  # a leaf, by its complement
            values[place(found)] = float(leaf[~node])
            found += 1
            return
        start = found
        yield from visit(int(left[node]))
        members: tuple[int, ...] = ()
        at = float(threshold[node])
        if int(way[node]) & _CATEGORIES:
            members, at = tuple(words[bounds[int(at)] : bounds[int(at) + 1]]), 0.0
        yield _Cut(int(feature[node]), int(way[node]), members, at, 2**found - 2**start)
        yield from visit(int(right[node]))

    return visit(0 if feature else ~0)
