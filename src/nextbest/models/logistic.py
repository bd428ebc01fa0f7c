"""The linear half of a model: logistic, least squares or Tweedie regression on a standardised design, in numpy.

Each number enters twice, as it is and on a signed log scale, because effects of money, counts and time mostly fade as
they grow; a category enters as one column per frequent level; a missing value is a column of its own. All are
standardised and shrunk alike. Fitted by iteratively reweighted least squares (McCullagh and Nelder 1989, section 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.sums import gram, product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

TWEEDIE_POWER = 1.5
SHRINK = 3.0
# A mean log loss is worse by half a coefficient per row than with endless rows: beyond 500 rows for each coefficient
# that is a thousandth, and beyond 200,000 rows memory is what counts.
_ROWS_PER_TERM, _FEWEST_ROWS, _MOST_ROWS = 500, 50_000, 200_000
_CHUNK = 16_384  # rows whose columns stay in the processor's cache
_MOST_LEVELS = 50
_LEAST_SPREAD = 0.1  # a column that is 1 for under 1% of rows is not blown up to unit spread, hence shrunk more
_ROUNDS = 50
_NO_SPAN = 1e-10
_FAR = 8.0  # standard deviations: a straight line is not followed further out than this
_LOG_REACH = 20.0
_HUGE = 1e100  # squares of larger numbers are no numbers any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One column of the design: which column of the matrix, what is done to it, and its coefficient."""

    source: int
    form: str  # "value" | "log" | "missing" | "level"
    fill: float = 0.0  # stands in for a missing value; for "level" the code that makes it 1
    unit: float = 1.0  # for "log": the size around which the scale bends
    mean: float = 0.0
    spread: float = 1.0
    weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A fitted linear predictor: `intercept + sum of weight * (form(column) - mean) / spread`."""

    intercept: float
    terms: tuple[Term, ...]

    def document(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        rows = [[t.source, t.form, t.fill, t.unit, t.mean, t.spread, t.weight] for t in self.terms]
        return {"intercept": self.intercept, "terms": rows}


def restore(document: Mapping[str, Any]) -> Linear:
    """Give the linear predictor written by `document`."""
    names = ("source", "form", "fill", "unit", "mean", "spread", "weight")
    terms = tuple(Term(**dict(zip(names, row, strict=True))) for row in document["terms"])
    return Linear(intercept=float(document["intercept"]), terms=terms)


def fit(
    matrix: Matrix,
    actual: Vector,
    *,
    task: str,
    levels: Mapping[int, int],
    seed: int = 0,
    shrink: float = SHRINK,
    rising: Mapping[int, int] | None = None,
) -> Linear:
    """Give the linear predictor of log-odds (classification), amount (regression) or log amount (tweedie).

    *levels* gives, for each column that holds category codes, how many codes there are; *shrink* is the penalty on
    half the squared coefficients of the standardised columns. *rising* gives columns in which the predictor never
    falls (1) or never rises (-1).
    """
    matrix, actual = _some(matrix, actual, _MOST_ROWS, seed)
    terms = _standardised(matrix, [t for i in range(matrix.shape[1]) for t in _terms(matrix[:, i], i, levels.get(i))])
    matrix, actual = _some(matrix, actual, max(_FEWEST_ROWS, _ROWS_PER_TERM * len(terms)), seed)
    design = _design(matrix, terms)
    coefficients = _solved(design, actual, task, shrink)
    while wrong := _wrongly_signed(terms, coefficients[1:], rising or {}):
        terms, design = [t for i, t in enumerate(terms) if i not in wrong], np.delete(design, wrong, axis=1)
        coefficients = _solved(design, actual, task, shrink)
    weighed = [_with(t, weight=float(w)) for t, w in zip(terms, coefficients[1:], strict=True)]
    return Linear(intercept=float(coefficients[0]), terms=tuple(weighed))


def _wrongly_signed(terms: Sequence[Term], weights: Vector, rising: Mapping[int, int]) -> list[int]:
    """Give the places of terms that go against the direction of their column: of each column the one that does most.

    Value and logarithm both rise with the column, so signs that agree with its direction keep it. Whether it is
    missing has no place in the order of values, and stays free.
    """
    found: dict[int, tuple[float, int]] = {}
    for place, (term, weight) in enumerate(zip(terms, weights, strict=True)):
        against = -float(weight) * rising.get(term.source, 0)
        if term.form in {"value", "log"} and against > found.get(term.source, (0.0, 0))[0]:
            found[term.source] = (against, place)
    return sorted(place for _, place in found.values())


def scores(linear: Linear, matrix: Matrix) -> Vector:
    """Give the linear predictor per row of the encoded matrix.

    A sum term by term, not a matrix product: the result for a row must not depend on how many rows come with it.
    """
    found = np.full(len(matrix), linear.intercept)
    parts = by_source(linear)
    for start in range(0, len(matrix), _CHUNK):
        part = matrix[start : start + _CHUNK]
        sums = found[start : start + _CHUNK]
        for source, table, terms in parts:
            column = np.ascontiguousarray(part[:, source])
            if table is not None:
                sums += looked_up(table, column)
            for term in terms:
                sums += term.weight * scaled(column, term)
    return found


def by_source(linear: Linear) -> list[tuple[int, Vector | None, list[Term]]]:
    """Give per column of the matrix, in the order of summing: what its codes add, if it has any, and its other terms.

    The table holds what each code adds, and last what a code without a term of its own or a gap adds.
    """
    sources: dict[int, list[Term]] = {}
    for term in linear.terms:
        sources.setdefault(term.source, []).append(term)
    return [(s, _level_table(terms), [t for t in terms if t.form != "level"]) for s, terms in sources.items()]


def looked_up(table: Vector, column: Vector) -> Vector:
    """Give what each code of a column adds."""
    found: Vector = table[np.where(np.isfinite(column) & (column < len(table)), column, -1.0).astype(np.int64)]
    return found


def _level_table(terms: Sequence[Term]) -> Vector | None:
    levels = [t for t in terms if t.form == "level"]
    if not levels:
        return None
    codes = np.append(np.arange(max(t.fill for t in levels) + 1), -1.0)
    return np.asarray(sum(t.weight * scaled(codes, t) for t in levels))


def _some(matrix: Matrix, actual: Vector, most: int, seed: int) -> tuple[Matrix, Vector]:
    """Give all rows, or so many drawn ones when there are more."""
    if len(actual) <= most:
        return matrix, actual
    rows = np.sort(np.random.default_rng(seed).choice(len(actual), most, replace=False))
    return matrix[rows], actual[rows]


def contributions(linear: Linear, matrix: Matrix) -> Matrix:
    """Give per row what each column of the matrix adds to the average row's predictor, and that average last."""
    shares = np.zeros((len(matrix), matrix.shape[1] + 1))
    design = _design(matrix, linear.terms)
    for place, term in enumerate(linear.terms):
        shares[:, term.source] += term.weight * design[:, place]
    shares[:, -1] = linear.intercept
    return shares


# --- the design -----------------------------------------------------------------------------------------------------


def _terms(column: Vector, source: int, codes: int | None) -> list[Term]:
    missing = ~np.isfinite(column)
    terms = [Term(source=source, form="missing")] if missing.any() else []
    present = column[~missing]
    if not len(present):
        return terms
    if codes is not None:
        # Code 0 is "any other"; with two levels one column says it all.
        used = [c for c in range(min(codes, _MOST_LEVELS + 1)) if (present == c).any()]
        return terms + [Term(source=source, form="level", fill=float(c)) for c in used[1:] or used]
    middle = float(np.median(present))
    terms.append(Term(source=source, form="value", fill=middle))
    if len(np.unique(present)) > 2:
        sizes = np.abs(present[present != 0])
        unit = max(float(np.quantile(sizes, 0.05)), 1 / _HUGE) if len(sizes) else 1.0
        terms.append(Term(source=source, form="log", fill=middle, unit=unit or 1.0))
    return terms


def _column(raw: Vector, term: Term) -> Vector:
    if term.form == "missing":
        return np.asarray(~np.isfinite(raw), np.float64)
    if term.form == "level":
        return np.asarray(raw == term.fill, np.float64)
    filled: Vector = np.where(np.isfinite(raw), raw, term.fill)
    if term.form == "value":
        return np.asarray(np.clip(filled, -_HUGE, _HUGE))
    bent: Vector = np.clip(np.sign(filled) * np.log1p(np.abs(filled) / term.unit), -_LOG_REACH, _LOG_REACH)
    return bent


def scaled(raw: Vector, term: Term) -> Vector:
    """Give a column as its term has it: bent, standardised, and followed only so far."""
    found: Vector = np.clip((_column(raw, term) - term.mean) / term.spread, -_FAR, _FAR)
    return found


def _standardised(matrix: Matrix, terms: Sequence[Term]) -> list[Term]:
    found = []
    for term in terms:
        column = _column(matrix[:, term.source], term)
        spread = float(column.std())
        floor = _LEAST_SPREAD if term.form in {"level", "missing"} else 1e-12
        if spread > 0:
            found.append(_with(term, mean=float(column.mean()), spread=max(spread, floor)))
    return found


def _design(matrix: Matrix, terms: Sequence[Term]) -> Matrix:
    design = np.empty((len(matrix), len(terms)))
    for start in range(0, len(matrix), _CHUNK):
        part = np.ascontiguousarray(matrix[start : start + _CHUNK].T)
        for place, term in enumerate(terms):
            design[start : start + _CHUNK, place] = scaled(part[term.source], term)
    return design


def _with(term: Term, **changed: float) -> Term:
    values = {name: getattr(term, name) for name in ("source", "form", "fill", "unit", "mean", "spread", "weight")}
    return Term(**{**values, **changed})


# --- iteratively reweighted least squares ---------------------------------------------------------------------------


def _solved(design: Matrix, actual: Vector, task: str, shrink: float = SHRINK) -> Vector:
    """Give what `_solve` gives; with more columns than rows, in the space that the rows span.

    All columns are shrunk alike, so the solution is a sum of rows, and a rotation changes neither fit nor shrinkage:
    the work grows with the columns, not with their cube.
    """
    if design.shape[1] <= len(design):
        return _solve(design, actual, task, shrink)
    # The rows span what the eigenvectors of their products span: `design = turned * size @ directions`.
    squares, turned = np.linalg.eigh(design @ design.T)
    kept = squares > _NO_SPAN * float(squares[-1])
    size = np.sqrt(squares[kept])
    found = _solve(turned[:, kept] * size, actual, task, shrink)
    return np.concatenate([found[:1], design.T @ (turned[:, kept] @ (found[1:] / size))])


def _solve(design: Matrix, actual: Vector, task: str, shrink: float = SHRINK) -> Vector:
    """Give intercept and coefficients that minimise deviance / 2 + shrink / 2 * squared coefficients."""
    full = np.column_stack([np.ones(len(design)), design])
    scale = float(actual.var()) or 1.0 if task == "regression" else 1.0
    penalty = np.full(full.shape[1], shrink * scale if task == "regression" else shrink)
    penalty[0] = 1e-9
    coefficients = np.zeros(full.shape[1])
    coefficients[0] = _start(actual, task)
    loss = _objective(full, actual, coefficients, penalty, task)
    for _ in range(_ROUNDS):
        mean, weight = _mean_and_weight(product(full, coefficients), task)
        slope = product(full.T, _residual(actual, mean, task)) - penalty * coefficients
        curve = gram(full * weight[:, None], full) + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        coefficients, better = _line_search(full, actual, coefficients, step, (penalty, task, loss))
        if loss - better <= 1e-9 * (abs(better) + 1e-9):
            break
        loss = better
    return coefficients


def _line_search(
    full: Matrix, actual: Vector, coefficients: Vector, step: Vector, state: tuple[Vector, str, float]
) -> tuple[Vector, float]:
    """Halve the step until it helps, so that separable labels and huge amounts cannot make it run away."""
    penalty, task, loss = state
    for halving in range(12):
        trial = coefficients + step / 2**halving
        better = _objective(full, actual, trial, penalty, task)
        if better <= loss:
            return trial, better
    return coefficients, loss


def _start(actual: Vector, task: str) -> float:
    mean = float(actual.mean())
    if task == "classification":
        inside = min(max(mean, 1e-6), 1 - 1e-6)
        return float(np.log(inside / (1 - inside)))
    return float(np.log(max(mean, 1e-9))) if task == "tweedie" else mean


def _mean_and_weight(linear: Vector, task: str) -> tuple[Vector, Vector]:
    if task == "classification":
        mean = 1 / (1 + np.exp(-np.clip(linear, -35, 35)))
        return mean, np.maximum(mean * (1 - mean), 1e-9)
    if task == "tweedie":
        mean = np.exp(np.clip(linear, -30, 30))
        return mean, mean ** (2 - TWEEDIE_POWER)
    return linear, np.ones(len(linear))


def _residual(actual: Vector, mean: Vector, task: str) -> Vector:
    difference: Vector = actual - mean
    return difference * mean ** (1 - TWEEDIE_POWER) if task == "tweedie" else difference


def _objective(full: Matrix, actual: Vector, coefficients: Vector, penalty: Vector, task: str) -> float:
    linear = product(full, coefficients)
    shrunk = float((penalty * coefficients**2).sum()) / 2
    if task == "classification":
        return float((np.logaddexp(0, linear) - actual * linear).sum()) + shrunk
    if task == "tweedie":
        at = np.clip(linear, -30, 30)
        left, right = np.exp(at * (1 - TWEEDIE_POWER)) / (TWEEDIE_POWER - 1), np.exp(at * (2 - TWEEDIE_POWER))
        return float((actual * left + right / (2 - TWEEDIE_POWER)).sum()) + shrunk
    return float(((actual - linear) ** 2).sum()) / 2 + shrunk
