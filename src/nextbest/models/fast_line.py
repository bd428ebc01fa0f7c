"""The linear half of a model as a plain function of arrays, for one request at a time.

`logistic.scores` takes term after term, which is quick for many rows. Here the terms of one form are taken at once, by
the same steps (`logistic.scaled`), and summed in the same order: the result is the same to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import logistic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from nextbest.models.logistic import Linear, Term

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]


def scorer(linear: Linear) -> Callable[[Matrix], Vector]:
    """Give a function from an encoded matrix (rows, columns) to what `logistic.scores` gives of it (rows,)."""
    by_form: dict[str, list[tuple[int, Term]]] = {}
    tables: list[tuple[int, int, Vector]] = []
    count = 1
    for source, table, terms in logistic.by_source(linear):
        if table is not None:
            tables.append((count, source, table))
            count += 1
        for term in terms:
            by_form.setdefault(term.form, []).append((count, term))
            count += 1
    forms = [(_places(p for p, _ in found), _stacked([t for _, t in found])) for found in by_form.values()]

    def score(matrix: Matrix) -> Vector:
        added = np.empty((count, len(matrix)))
        added[0] = linear.intercept
        columns = np.ascontiguousarray(matrix.T)
        for places, term in forms:
            added[places] = term.weight * logistic.scaled(columns[term.source], term)
        for place, source, table in tables:
            added[place] = logistic.looked_up(table, columns[source])
        total: Vector = np.add.accumulate(added, axis=0)[-1]  # one after the other, as for any number of rows
        return total

    return score


def _stacked(terms: Sequence[Term]) -> Term:
    """Give terms of one form as a term whose numbers are columns of numbers."""
    values: dict[str, Any] = {
        name: np.array([getattr(t, name) for t in terms])[:, None]
        for name in ("fill", "unit", "mean", "spread", "weight")
    }
    sources: Any = _places(t.source for t in terms)
    return logistic.Term(source=sources, form=terms[0].form, **values)


def _places(numbers: Iterable[int]) -> NDArray[np.intp]:
    return np.fromiter(numbers, dtype=np.intp)
