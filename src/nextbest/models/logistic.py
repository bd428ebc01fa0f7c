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
_SHRINK = 3.0
_MOST_ROWS = 200_000  # beyond this, more rows move the coefficients less than the shrinkage does
_MOST_LEVELS = 50
_LEAST_SPREAD = 0.1  # a column that is 1 for under 1% of rows is not blown up to unit spread, hence shrunk more
_CHUNK = 65_536
_ROUNDS = 50
_FAR = 8.0  # standard deviations: a straight line is not followed further out than this
_LOG_REACH = 20.0


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


def fit(matrix: Matrix, actual: Vector, *, task: str, levels: Mapping[int, int], seed: int = 0) -> Linear:
    """Give the linear predictor of log-odds (classification), amount (regression) or log amount (tweedie).

    *levels* gives, for each column that holds category codes, how many codes there are.
    """
    if len(actual) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(actual), _MOST_ROWS, replace=False))
        matrix, actual = matrix[rows], actual[rows]
    terms = _standardised(matrix, [t for i in range(matrix.shape[1]) for t in _terms(matrix[:, i], i, levels.get(i))])
    design = _design(matrix, terms)
    coefficients = _solved(design, actual, task)
    weighed = [_with(t, weight=float(w)) for t, w in zip(terms, coefficients[1:], strict=True)]
    return Linear(intercept=float(coefficients[0]), terms=tuple(weighed))


def scores(linear: Linear, matrix: Matrix) -> Vector:
    """Give the linear predictor per row of the encoded matrix."""
    weights = np.array([t.weight for t in linear.terms])
    found = np.empty(len(matrix))
    for start in range(0, len(matrix), _CHUNK):
        part = slice(start, start + _CHUNK)
        # A sum per row, not a matrix product: the result for a row must not depend on how many rows come with it.
        found[part] = linear.intercept + (_design(matrix[part], linear.terms) * weights).sum(axis=1)
    return found


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
        unit = float(np.quantile(sizes, 0.05)) if len(sizes) else 1.0
        terms.append(Term(source=source, form="log", fill=middle, unit=unit or 1.0))
    return terms


def _column(matrix: Matrix, term: Term) -> Vector:
    raw = matrix[:, term.source]
    if term.form == "missing":
        return np.asarray(~np.isfinite(raw), np.float64)
    if term.form == "level":
        return np.asarray(raw == term.fill, np.float64)
    filled: Vector = np.where(np.isfinite(raw), raw, term.fill)
    if term.form == "value":
        return filled
    bent: Vector = np.clip(np.sign(filled) * np.log1p(np.abs(filled) / term.unit), -_LOG_REACH, _LOG_REACH)
    return bent


def _standardised(matrix: Matrix, terms: Sequence[Term]) -> list[Term]:
    found = []
    for term in terms:
        column = _column(matrix, term)
        spread = float(column.std())
        floor = _LEAST_SPREAD if term.form in {"level", "missing"} else 1e-12
        if spread > 0:
            found.append(_with(term, mean=float(column.mean()), spread=max(spread, floor)))
    return found


def _design(matrix: Matrix, terms: Sequence[Term]) -> Matrix:
    design = np.empty((len(matrix), len(terms)))
    for place, term in enumerate(terms):
        design[:, place] = np.clip((_column(matrix, term) - term.mean) / term.spread, -_FAR, _FAR)
    return design


def _with(term: Term, **changed: float) -> Term:
    values = {name: getattr(term, name) for name in ("source", "form", "fill", "unit", "mean", "spread", "weight")}
    return Term(**{**values, **changed})


# --- iteratively reweighted least squares ---------------------------------------------------------------------------


def _solved(design: Matrix, actual: Vector, task: str) -> Vector:
    """Give what `_solve` gives; with more columns than rows, in the space that the rows span.

    All columns are shrunk alike, so the solution is a sum of rows, and a rotation changes neither fit nor shrinkage:
    the work grows with the columns, not with their cube.
    """
    if design.shape[1] <= len(design):
        return _solve(design, actual, task)
    basis, rows = np.linalg.qr(design.T)
    found = _solve(rows.T, actual, task)
    return np.concatenate([found[:1], product(basis, found[1:])])


def _solve(design: Matrix, actual: Vector, task: str) -> Vector:
    """Give intercept and coefficients that minimise deviance / 2 + shrink / 2 * squared coefficients."""
    full = np.column_stack([np.ones(len(design)), design])
    scale = float(actual.var()) or 1.0 if task == "regression" else 1.0
    penalty = np.full(full.shape[1], _SHRINK * scale if task == "regression" else _SHRINK)
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
