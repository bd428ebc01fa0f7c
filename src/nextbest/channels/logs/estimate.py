"""The chance of every choice, where the log does not say it: estimated from the choices themselves, and cross-fitted.

    by frequency   how often an action was chosen where it could be, per position and arm
    by logistic    multinomial logistic regression on the context, ridge, within the actions that could be chosen

Each row gets the estimate of a model that did not see its subject (5 folds by subject). One temperature calibrates the
logistic one (Guo et al., On Calibration of Modern Neural Networks, 2017, eq. 9). Whichever has the lower log loss out
of fold is taken. An estimate is no record: what the engine knew and the log lacks is confounding that stays.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.channels.logs.seen import Seen

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

FOLDS = 5
MOST_ACTIONS = 100  # more of them, and a regression has too few choices of each to learn from
LEAST_ROWS = 200  # fewer, and which of the two predicts better out of fold is mostly luck
MOST_ROWS = 10_000  # to learn a fold from: the estimate of a coefficient is then good to a few hundredths
MOST_COLUMNS = 40
MOST_LEVELS = 12
STEPS = 120
RIDGE = 1.0  # one row's worth of doubt per coefficient
LEAST = 1e-6
_TEMPERATURES = np.exp(np.linspace(-1.5, 1.5, 61))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Estimated weights of actions per decision: shape (decisions, actions); normalise them over what was possible.

    `actions` in order of their index; `how` is `frequency` or `logistic`; losses are mean log losses out of fold.
    """

    actions: tuple[str, ...]
    weights: Floats
    how: str
    log_loss: float
    frequency_log_loss: float

    def index(self) -> dict[str, int]:
        """Give the place of every action."""
        return {action: i for i, action in enumerate(self.actions)}


def estimate(decisions: Sequence[Seen]) -> Chances:
    """Give the weights of all actions that were chosen; the most frequent `MOST_ACTIONS` where there are more."""
    actions, chosen = _actions(decisions)
    could = _could(decisions, actions)
    folds = np.array([zlib.crc32((d.subject_id or "\x1f".join(d.key)).encode()) % FOLDS for d in decisions])
    common = _by_frequency(decisions, chosen, could, folds, len(actions))
    plain = _log_loss(common, could, chosen)
    how, weights, loss = "frequency", common, plain
    design = _design(decisions)
    enough = len(decisions) >= LEAST_ROWS and len(set(folds.tolist())) > 1
    if enough and 1 < len(actions) < MOST_ACTIONS and design.shape[1] > 1:
        fitted = _by_logistic(design, chosen, could, folds)
        ours = _log_loss(fitted, could, chosen)
        if ours < plain:
            how, weights, loss = "logistic", fitted, ours
    return Chances(actions=actions, weights=weights, how=how, log_loss=loss, frequency_log_loss=plain)


def _actions(decisions: Sequence[Seen]) -> tuple[tuple[str, ...], Places]:
    """Give the actions by how often they were chosen, and each decision's; -1 where it is a rare one."""
    names, codes, counts = np.unique([d.action_id for d in decisions], return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_ACTIONS]
    place = np.full(len(names), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return tuple(str(n) for n in names[order]), place[codes.ravel()]


def _could(decisions: Sequence[Seen], actions: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Give what could be chosen: what the log lists and no rule removed, or all that no earlier position took."""
    index = {a: i for i, a in enumerate(actions)}
    could = np.ones((len(decisions), len(actions)), dtype=bool)
    for row, seen in enumerate(decisions):
        if seen.listed or seen.known:
            could[row] = False
            open_ = [c.action_id for c in seen.listed if c.removed_by is None]
            could[row, [index[a] for a in (*open_, seen.action_id) if a in index]] = True
        for action in seen.above:
            if action in index:
                could[row, index[action]] = False
        if seen.action_id in index:
            could[row, index[seen.action_id]] = True
    return could


def _by_frequency(
    decisions: Sequence[Seen], chosen: Places, could: np.ndarray[Any, Any], folds: Places, k: int
) -> Floats:
    """Give how often an action was chosen where it could be, in its cell, drawn towards all cells; other folds only."""
    cells = np.unique([f"{d.position}\x1f{d.arm}" for d in decisions], return_inverse=True)[1].ravel()
    taken = np.zeros(could.shape)
    rows = np.flatnonzero(chosen >= 0)
    taken[rows, chosen[rows]] = 1.0
    weights = np.empty(could.shape)
    for fold in range(FOLDS):
        others, mine = folds != fold, folds == fold
        overall = (taken[others].sum(axis=0) + 1.0 / k) / (could[others].sum(axis=0) + 1.0)
        for cell in np.unique(cells[mine]):
            here = others & (cells == cell)
            # What is known of all cells counts as much as k rows of this one: about one per action.
            share = (taken[here].sum(axis=0) + k * overall) / (could[here].sum(axis=0) + k)
            weights[mine & (cells == cell)] = share
    return np.maximum(weights, LEAST)


# --- logistic ---------------------------------------------------------------------------------------------------------


def _design(decisions: Sequence[Seen]) -> Floats:
    """Give a column of ones, then the context: numbers standardised, words as marks of their frequent levels."""
    texts: list[dict[str, Any]] = [{"\x1fposition": str(d.position), "\x1farm": d.arm, **d.context} for d in decisions]
    names = sorted({name for row in texts for name in row})
    columns = [np.ones(len(texts))]
    for name in names:
        values = [row.get(name) for row in texts]
        columns += _numeric(values) if _is_number(values) else _marks(values)
        if len(columns) > MOST_COLUMNS:
            break
    return np.column_stack(columns[: MOST_COLUMNS + 1])


def _is_number(values: Sequence[Any]) -> bool:
    return all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values)


def _numeric(values: Sequence[Any]) -> list[Floats]:
    given = np.array([np.nan if v is None else float(v) for v in values])
    missing = np.isnan(given)
    centre = given[~missing].mean() if (~missing).any() else 0.0
    spread = given[~missing].std() if (~missing).any() else 0.0
    if spread == 0:
        return [missing.astype(float)] if missing.any() and not missing.all() else []
    scaled = np.clip(np.where(missing, 0.0, (given - centre) / spread), -4.0, 4.0)
    return [scaled, missing.astype(float)] if missing.any() else [scaled]


def _marks(values: Sequence[Any]) -> list[Floats]:
    names, codes, counts = np.unique([str(v) for v in values], return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    return [(codes.ravel() == level).astype(float) for level in frequent] if len(names) > 1 else []


def _by_logistic(design: Floats, chosen: Places, could: np.ndarray[Any, Any], folds: Places) -> Floats:
    """Give cross-fitted and calibrated weights."""
    scores = np.empty(could.shape)
    for fold in range(FOLDS):
        learnt = np.flatnonzero((folds != fold) & (chosen >= 0))
        if len(learnt):
            learnt = learnt[:: max(1, -(-len(learnt) // MOST_ROWS))]
            beta = _fit(design[learnt], chosen[learnt], could[learnt])
            scores[folds == fold] = design[folds == fold] @ beta
        else:
            scores[folds == fold] = 0.0
    losses = [_log_loss(_exp(scores / t, could), could, chosen) for t in _TEMPERATURES]
    return _exp(scores / _TEMPERATURES[int(np.argmin(losses))], could)


def _fit(design: Floats, chosen: Places, could: np.ndarray[Any, Any]) -> Floats:
    """Give the coefficients, shape (columns, actions), by accelerated gradient steps (Nesterov 1983)."""
    n, d = design.shape
    target = np.zeros(could.shape)
    target[np.arange(n), chosen] = 1.0
    largest = float(np.linalg.eigvalsh(design.T @ design / n)[-1])
    step = 1.0 / (0.5 * largest + RIDGE / n)  # the curvature of a softmax is at most a half (Boehning 1992)
    beta, ahead, momentum = np.zeros((d, could.shape[1])), np.zeros((d, could.shape[1])), 1.0
    for _ in range(STEPS):
        p = _exp(design @ ahead, could)
        slope = design.T @ (p / p.sum(axis=1, keepdims=True) - target) / n + RIDGE / n * ahead
        after = ahead - step * slope
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = after + (momentum - 1) / following * (after - beta)
        beta, momentum = after, following
    return beta


def _exp(scores: Floats, could: np.ndarray[Any, Any]) -> Floats:
    """Give exp(score) with the highest possible action of a row at 1, and 0 for what could not be chosen."""
    open_ = np.where(could, scores, -np.inf)
    top = np.max(open_, axis=1, keepdims=True)
    return np.where(could, np.maximum(np.exp(open_ - np.where(np.isfinite(top), top, 0.0)), LEAST), 0.0)


def _log_loss(weights: Floats, could: np.ndarray[Any, Any], chosen: Places) -> float:
    rows = np.flatnonzero(chosen >= 0)
    if not len(rows):
        return 0.0
    open_ = np.where(could[rows], weights[rows], 0.0)
    p = open_[np.arange(len(rows)), chosen[rows]] / open_.sum(axis=1)
    return float(-np.log(np.maximum(p, LEAST)).mean())
