"""The trees of a model as machine code: every cut is asked of many rows at once, and nothing branches.

These are more cuts than a way from the root to a leaf has, but eight rows and more share an instruction, and no step
waits for the one before it. The sums are LightGBM's to the last bit: leaves are added in the order of the trees.

numba (the extra `fast`) compiles once per process and width of the masks. Nothing compiled is kept on disk: numba would
write a pickle.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.forest import EXP, LEFT, RIGHT, SAME, TOP, UNIQUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextbest.models.forest import Forest

    Array = NDArray[Any]
    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]
    Scorer = Callable[[Matrix], Vector]

_ROWS = 64  # that are asked together: their values stay in the fastest cache
_WHOLE = 16  # rows are filled up to a multiple of it, so that no instruction is half empty
_TINY = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what is no further from zero is zero
_ONE = np.uint64(1)


def compiled(trees: Forest) -> Scorer | None:
    """Give a function from C-ordered float64 rows to scores as *trees* says; thread-safe. None without numba."""
    ask = _asking()
    if ask is None:
        return None

    def score(rows: Matrix) -> Vector:
        out = np.empty(len(rows))
        ask(rows, trees, out)
        return out

    return score


@lru_cache(maxsize=1)
def _asking() -> Any:  # noqa: ANN401 (numba's function, or None)
    """Give the compiled function, None where numba is not installed or not made for this NumPy."""
    try:
        import numba
    except ImportError:
        return None
    compile_ = numba.njit(nogil=True)
    read, sort, add, transform = (compile_(part) for part in (_read, _sort, _add, _transform))

    def ask(rows: Matrix, trees: Forest, out: Vector) -> None:
        for start in range(0, len(rows), _ROWS):
            block = rows[start : start + _ROWS]
            values = read(block, trees.columns, trees.sets)
            sort(block, trees.sets, trees.words, values)
            sums = add(values, trees.cuts, trees.first, trees.everything, trees.leaves)
            transform(sums, trees.transform, trees.scale, out[start : start + _ROWS])

    return compile_(ask)


def _read(rows: Matrix, columns: Array, sets: Array) -> Matrix:
    """Give values (columns and sets, rows), with what stands for missing and for zero in each column."""
    values = np.zeros((len(columns) + len(sets), -(-len(rows) // _WHOLE) * _WHOLE))
    for c in range(len(columns)):
        feature, if_missing, if_zero = columns[c]["feature"], columns[c]["if_missing"], columns[c]["if_zero"]
        for r in range(len(rows)):
            value = rows[r, feature]
            values[c, r] = if_missing if math.isnan(value) else if_zero if abs(value) <= _TINY else value
    return values


def _sort(rows: Matrix, sets: Array, words: Array, values: Matrix) -> None:
    """Fill in the sets: a category is the whole part of a number, and only of one for which there is a bit."""
    for s in range(len(sets)):
        feature, start, end = sets[s]["feature"], sets[s]["start"], 32 * (sets[s]["stop"] - sets[s]["start"])
        for r in range(len(rows)):
            value = rows[r, feature]
            code = int(value) if -1.0 < value < end else -1  # NaN is in no set
            inside = code >= 0 and (words[start + (code >> 5)] >> (code & 31)) & 1
            values[-1 - s, r] = LEFT if inside else RIGHT


def _add(values: Matrix, cuts: Array, first: Array, everything: Any, leaves: Matrix) -> Vector:  # noqa: ANN401 (a mask)
    """Give each row's sum of its leaves, one per tree."""
    rows = values.shape[1]
    sums, left = np.zeros(rows), np.empty(rows, cuts["kept"].dtype)
    for t in range(len(leaves)):
        left[:] = everything
        for k in range(first[t], first[t + 1]):
            threshold, kept, column = cuts[k]["threshold"], cuts[k]["kept"], values[cuts[k]["column"]]
            for r in range(rows):
                left[r] &= everything if column[r] <= threshold else kept
        leaf = leaves[t]
        for r in range(rows):
            mask = np.uint64(left[r])
            lowest = mask & (~mask + _ONE)
            sums[r] += leaf[(lowest * UNIQUE) >> TOP]
    return sums


def _transform(sums: Vector, transform: int, scale: float, out: Vector) -> None:
    """Write the sums to *out* as the objective means them, by LightGBM's own formulas."""
    for r in range(len(out)):
        if transform == SAME:
            out[r] = sums[r]
        else:
            power = math.exp(scale * sums[r])
            out[r] = power if transform == EXP else 1.0 / (1.0 + power)
