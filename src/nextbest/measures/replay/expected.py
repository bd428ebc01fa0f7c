"""What reward to expect of each action: a small ridge regression, cross-fitted by subject.

    q(x, a) = (shared + own_a) . [1, facts(x), cell_facts(x, a)]

`shared` is fitted on all decisions, `own_a` on what `shared` leaves unexplained where *a* was taken, so that an action
taken seldom is expected to do what the others do. A subject's rewards never judge itself: it is scored by coefficients
fitted on the other folds (Chernozhukov et al. 2018, section 3), without which a doubly robust interval is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextbest.measures.replay.logged import Batch, Codes, Log, Numbers

FOLDS = 5
SHARED_ROWS, OWN_ROWS = 1.0, 20.0  # how many rows' worth of belief in "no difference" each step begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Fitted coefficients per fold and action (folds, k, p), with the scale of the facts and the range of rewards."""

    coefficients: Numbers
    centre: Numbers
    scale: Numbers
    low: float
    high: float

    def of(self, batch: Batch) -> Numbers:
        """Give the reward expected of every action (n, k), by coefficients that have not seen the subject."""
        d = batch.facts.shape[1]
        out = np.zeros(batch.eligible.shape)
        facts = (batch.facts - self.centre[:d]) / self.scale[:d]
        cells = (batch.cell_facts - self.centre[d:]) / self.scale[d:]
        fold = batch.subject % FOLDS
        for f in range(FOLDS):
            own, mine = self.coefficients[f], fold == f
            out[mine] = own[:, 0] + facts[mine] @ own[:, 1 : d + 1].T
            out[mine] += np.einsum("nke,ke->nk", cells[mine], own[:, d + 1 :])
        return np.clip(out, self.low, self.high)


def fit(log: Log) -> Expected:
    """Fit from a log in two passes: the scale of the facts, then the sums from which all folds are solved."""
    centre, scale, low, high, k = _scale(log)
    p = len(centre) + 1
    gram, moment = np.zeros((FOLDS, k, p, p)), np.zeros((FOLDS, k, p))
    for batch in log():
        design = np.column_stack([np.ones(len(batch)), (_taken(batch) - centre) / scale])
        where = (batch.subject % FOLDS) * k + batch.chosen
        _add(gram, moment, where, design, batch.reward)
    coefficients = np.stack([_solved(gram.sum(axis=0) - gram[f], moment.sum(axis=0) - moment[f]) for f in range(FOLDS)])
    return Expected(coefficients=coefficients, centre=centre, scale=scale, low=low, high=high)


def _taken(batch: Batch) -> Numbers:
    cells = batch.cell_facts[np.arange(len(batch)), batch.chosen]
    return np.column_stack([batch.facts, cells])


def _scale(log: Log) -> tuple[Numbers, Numbers, float, float, int]:
    """Give mean and deviation of the facts as taken, the least and greatest reward, and the number of actions."""
    n, total, squares, low, high, k = 0, np.zeros(0), np.zeros(0), np.inf, -np.inf, 1
    for batch in log():
        taken, k = _taken(batch), batch.eligible.shape[1]
        total, squares = (taken.sum(axis=0) + (total if n else 0)), ((taken**2).sum(axis=0) + (squares if n else 0))
        n += len(batch)
        low, high = min(low, float(batch.reward.min())), max(high, float(batch.reward.max()))
    centre = total / max(n, 1)
    spread = np.sqrt(np.maximum(squares / max(n, 1) - centre**2, 0.0))
    return centre, np.where(spread > 1e-9, spread, 1.0), low, high, k


def _add(gram: Numbers, moment: Numbers, where: Codes, design: Numbers, reward: Numbers) -> None:
    """Add the sums of a batch, fold by fold and action by action."""
    folds, k, p, _ = gram.shape
    flat_gram, flat_moment = gram.reshape(folds * k, p, p), moment.reshape(folds * k, p)
    order = np.argsort(where, kind="stable")
    edges = np.flatnonzero(np.diff(where[order])) + 1
    for rows in np.split(order, edges):
        part, cell = design[rows], where[rows[0]]
        flat_gram[cell] += part.T @ part
        flat_moment[cell] += part.T @ reward[rows]


def _solved(gram: Numbers, moment: Numbers) -> Numbers:
    """Give shared plus own coefficients per action (k, p); the first column, the level of all, is not shrunk."""
    p = moment.shape[1]
    free = np.eye(p)
    free[0, 0] = 1e-9
    shared = np.linalg.solve(gram.sum(axis=0) + SHARED_ROWS * free, moment.sum(axis=0))
    left = moment - gram @ shared
    own = np.linalg.solve(gram + OWN_ROWS * np.eye(p), left[..., None])[..., 0]
    return np.asarray(shared + own, dtype=np.float64)
