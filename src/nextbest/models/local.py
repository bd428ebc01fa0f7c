"""Why one row is scored as it is, for a model that has no parts to look at: a straight line that holds near the row.

Ribeiro, Singh and Guestrin (2016, section 3.4): disturb the row, score what comes out, weigh it by how near it is, and
fit a linear model. Here a disturbed value is one that another row holds, so that nothing impossible is scored. How well
the line follows the model is part of the answer: a low `fidelity` says that the reasons are not to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.models import columns
from nextbest.models.encode import SUBJECT
from nextbest.models.sums import gram, product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nextbest.models.columns import Column

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

    Score = Callable[[pa.Table], Vector]

_DRAWS = 1_000
_WIDTH = 0.75  # of the kernel, times the root of the number of columns, as the authors' own program has it
_SHRINK = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The line near one row: what each column adds there to the average (`base`), in the unit of the score.

    `weights` are slopes per unit of a number, and of a category what having the row's own value adds; `fidelity` is the
    weighted R² of the line against the model on the disturbed rows.
    """

    names: tuple[str, ...]
    contributions: Vector
    base: float
    weights: Vector
    fidelity: float


def explain(
    score: Score, row: pa.Table, background: pa.Table, *, names: Sequence[str], seed: int = 0, draws: int = _DRAWS
) -> Local:
    """Give the line near the one row of *row*; *background* lends the values, *names* are the columns to look at."""
    draw = np.random.default_rng(seed)
    both = pa.concat_tables([row.select(names), background.select(names)], promote_options="permissive")
    seen = columns.read_all(both, names)
    taken = draw.integers(1, both.num_rows, (draws, len(names)))
    taken[draw.random(taken.shape) < 0.5] = 0
    taken[0] = 0
    answers = score(_disturbed(both, taken, names))
    means, forms = _forms(seen, names)
    design = np.column_stack([forms[name][taken[:, at]] for at, name in enumerate(names)])
    spread = np.array([max(float(forms[n][1:].std()), 1e-12) for n in names])
    own = np.array([forms[n][0] for n in names])
    near = np.exp(-(((design - own) / spread) ** 2).sum(axis=1) / (_WIDTH**2 * max(1, len(names))))
    slopes, intercept = _ridge((design - own) / spread, answers, near)
    fitted = intercept + ((design - own) / spread * slopes).sum(axis=1)
    parts = slopes * (own - means) / spread
    return Local(
        names=tuple(names),
        contributions=parts,
        base=float(intercept - parts.sum()),
        weights=slopes / spread,
        fidelity=_fidelity(answers, fitted, near),
    )


def usable(table: pa.Table) -> list[str]:
    """Give the columns that can be disturbed: all but the subject."""
    return [n for n in table.column_names if n != SUBJECT]


def _disturbed(both: pa.Table, taken: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
    return pa.table({name: both[name].take(pa.array(taken[:, at])) for at, name in enumerate(names)})


def _forms(seen: dict[str, Column], names: Sequence[str]) -> tuple[Vector, dict[str, Vector]]:
    """Give, per column, what the line sees of every row (the row itself first), and its mean over the others."""
    forms = {name: _form(seen[name]) for name in names}
    return np.array([float(forms[n][1:].mean()) for n in names]), forms


def _form(column: Column) -> Vector:
    """Give numbers as they are when the row has one, else 1 where a value is the row's own (missing like it)."""
    if column.numbers is not None and not column.missing[0]:
        known = column.numbers[~column.missing]
        return np.where(column.missing, float(known.mean()), column.numbers)
    own = column.missing if column.missing[0] else column.codes == column.codes[0]
    return np.asarray(own, dtype=np.float64)


def _ridge(design: Matrix, answers: Vector, near: Vector) -> tuple[Vector, float]:
    """Give slopes and intercept of the weighted least squares line, the slopes shrunk a little."""
    wide = np.column_stack([design, np.ones(len(design))])
    penalty = np.diag([_SHRINK * 1e-3] * design.shape[1] + [0.0])
    found = np.linalg.solve(gram(wide * near[:, None], wide) + penalty, product((wide * near[:, None]).T, answers))
    return np.asarray(found[:-1], dtype=np.float64), float(found[-1])


def _fidelity(answers: Vector, fitted: Vector, near: Vector) -> float:
    middle = float((near * answers).sum() / near.sum())
    whole = float((near * (answers - middle) ** 2).sum())
    return 1.0 - float((near * (answers - fitted) ** 2).sum()) / whole if whole > 0 else 1.0
