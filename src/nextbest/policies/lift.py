"""What an action adds: an assumption at first, and what randomised decisions showed from then on.

    logit P(response | action) = logit base + calibration + lift[action]          lift[none] = 0

Each lift has a Gaussian prior at the action's `assumed_log_odds` with standard deviation `PRIOR_SD`; the calibration of
the base has one at 0. An action is compared with `none` among those alone who could have got it, with a calibration of
its own: whoever may not be mailed can differ from those who may by more than the base knows. The posterior is the mode
with its Laplace approximation, found by Newton's method (Bishop 2006, Pattern Recognition and Machine Learning,
sections 4.3.3 and 4.5.1). The calibration only keeps a base that is off everywhere from passing for a lift: it is
reported, not applied, because the base is the model's business.

Rows count by 1 / choice probability, so that who got an action does not matter, scaled within each action to its
effective number (Kish 1965: squared sum of the weights over the sum of their squares), so that a few heavy rows do
not pass for many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action

Flags = np.ndarray[Any, np.dtype[np.bool_]]
PRIOR_SD = 0.5
CALIBRATION_SD = 1.0
_STEPS = 100
_LONGEST_STEP = 2.0
_CONVERGED = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Decisions of known choice probability that are old enough to have an answer; one entry per decision.

    `could` are the actions that could have been drawn, besides `none`; None: every action, for everyone.
    """

    action_ids: tuple[str, ...]
    base: Numbers
    choice_probability: Numbers
    responded: Numbers
    could: tuple[tuple[str, ...], ...] | None = None

    @property
    def base_rate(self) -> float | None:
        """The share that responded without an action, weighted to everyone; None when nothing is known."""
        none = np.array([a == NO_ACTION for a in self.action_ids], dtype=bool)
        if not none.any():
            return None
        return float(np.average(self.responded[none], weights=1 / self.choice_probability[none]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """What one action adds to the log-odds of a response: mean, standard deviation, and the rows it was seen on.

    It counts as assumed until the evidence has halved the prior's standard deviation.
    """

    log_odds: float
    sd: float = PRIOR_SD
    n: int = 0

    @property
    def assumed(self) -> bool:
        """Whether this is still mostly what somebody assumed."""
        return self.sd > PRIOR_SD / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifts:
    """The lifts of a play's actions, how far the base is off, and the base rate of the log where there is one."""

    by_action: Mapping[str, Lift]
    calibration: float = 0.0
    base_rate: float | None = None


def assumed(actions: tuple[Action, ...]) -> Lifts:
    """Give what the play assumes, before anything was measured."""
    return Lifts(by_action={a.id: Lift(log_odds=a.assumed_log_odds) for a in actions if a.id != NO_ACTION})


def learn(actions: tuple[Action, ...], evidence: Evidence | None) -> Lifts:
    """Give the lifts after the evidence; without any, what was assumed."""
    prior = assumed(actions)
    if evidence is None or not evidence.action_ids:
        return prior
    seen = np.array(evidence.action_ids)
    usable = evidence.choice_probability > 0
    none = usable & (seen == NO_ACTION)
    lifts = {}
    for action_id, before in prior.by_action.items():
        taken = usable & (seen == action_id)
        mode, sd = _beside_none(evidence, taken, none & _could(evidence, action_id), before.log_odds)
        lifts[action_id] = Lift(log_odds=float(mode[1]), sd=float(sd[1]), n=int(taken.sum()))
    alone, _ = _beside_none(evidence, np.zeros_like(none), none, 0.0)
    return Lifts(by_action=lifts, calibration=float(alone[0]), base_rate=evidence.base_rate)


def _could(evidence: Evidence, action_id: str) -> Flags:
    if evidence.could is None:
        return np.ones(len(evidence.action_ids), dtype=bool)
    return np.array([action_id in could for could in evidence.could], dtype=bool)


def _beside_none(evidence: Evidence, taken: Flags, left: Flags, mean: float) -> tuple[Numbers, Numbers]:
    """Give mode and standard deviations of (calibration, lift) from those who got an action and those who got none."""
    rows = taken | left
    group = taken[rows].astype(np.intp)
    weights = _weights(group, evidence.choice_probability[rows], 2)
    offset = logit(evidence.base[rows])
    return _posterior(group, offset, evidence.responded[rows], weights, np.array([0.0, mean]))


def _weights(group: np.ndarray[Any, Any], choice_probability: Numbers, groups: int) -> Numbers:
    raw = 1.0 / choice_probability
    total = np.bincount(group, raw, groups)
    squares = np.bincount(group, raw**2, groups)
    # Times total / squares, the weights of a group sum to its effective number total^2 / squares.
    return np.asarray(raw * np.divide(total, squares, out=np.zeros(groups), where=squares > 0)[group])


def _posterior(
    group: np.ndarray[Any, Any], offset: Numbers, responded: Numbers, weights: Numbers, means: Numbers
) -> tuple[Numbers, Numbers]:
    """Give mode and standard deviations of (calibration, lift 1, lift 2 ...); group 0 is none."""
    precision = np.full(len(means), PRIOR_SD**-2.0)
    precision[0] = CALIBRATION_SD**-2.0
    mode = means.copy()
    hessian = np.diag(precision)
    for _ in range(_STEPS):
        shift = np.where(group > 0, mode[group], 0.0) + mode[0]
        p = sigmoid(offset + shift)
        gradient = np.asarray(np.bincount(group, weights * (responded - p), len(means)), dtype=np.float64)
        curvature = np.asarray(np.bincount(group, weights * p * (1 - p), len(means)), dtype=np.float64)
        gradient[0], total = gradient.sum(), curvature.sum()
        gradient = gradient - precision * (mode - means)
        hessian = np.diag(curvature + precision)
        hessian[0, 1:] = hessian[1:, 0] = curvature[1:]
        hessian[0, 0] = total + precision[0]
        step = np.linalg.solve(hessian, gradient)
        mode = mode + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        if np.abs(step).max() < _CONVERGED:
            break
    return mode, np.sqrt(np.diag(np.linalg.inv(hessian)))


def logit(p: Numbers) -> Numbers:
    """Give the log-odds; certainty is taken as one in a million."""
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def sigmoid(x: Numbers) -> Numbers:
    """Give the probability of log-odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
