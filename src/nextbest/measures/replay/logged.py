"""What a log says about each decision, as arrays, and what is left of it once another policy is laid over it.

`Batch` is a stretch of the log with a column per action; `Rows` are plain vectors, all that estimators read. A log is
given as something that gives its batches anew each time, so that a million decisions need no more than one in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nextbest.errors import DataError

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some decisions (n), with k actions in a fixed order.

    `chosen` is the column of the action taken, `probability` its logged chance; `logged` the chances of all actions
    (n, k), or None where only the taken one is known; `eligible` (n, k) what could have been taken at all. `subject`
    numbers subjects from 0. `facts` (n, d) describe the subject, `cell_facts` (n, k, e) subject and action.
    `request` and `position` tell the places of one page apart; `group` is what results are split by; `place` is the
    number of the first row in the log.
    """

    reward: Numbers
    chosen: Codes
    probability: Numbers
    eligible: Flags
    subject: Codes
    facts: Numbers
    cell_facts: Numbers
    logged: Numbers | None = None
    request: Codes | None = None
    position: Codes | None = None
    group: Codes | None = None
    place: int = 0

    def __len__(self) -> int:
        """Give the number of decisions."""
        return len(self.reward)


Log = Callable[[], Iterator[Batch]]
Target = Callable[[Batch], Numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One number per decision: all that the estimators need once the other policy is known.

    `weight` is the other policy's chance of what was taken over the logged one; `fitted` the reward expected of what
    was taken, `value` that expected under the other policy; `unsupported` the other policy's chance of what the log
    could never take; `marginal` the weight of the taken action's category.
    """

    reward: Numbers
    weight: Numbers
    fitted: Numbers
    value: Numbers
    unsupported: Numbers
    subject: Codes
    marginal: Numbers
    request: Codes
    position: Codes
    group: Codes

    def __len__(self) -> int:
        """Give the number of decisions."""
        return len(self.reward)

    def where(self, keep: Flags) -> Rows:
        """Give the marked rows."""
        return Rows(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


def joined(parts: list[Rows]) -> Rows:
    """Give the rows of several batches as one."""
    return Rows(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)})


def reduced(batch: Batch, target: Numbers, expected: Numbers, *, start: int, categories: Codes | None = None) -> Rows:
    """Lay a policy's chances (n, k) and the expected rewards (n, k) over a batch; `start` numbers its first row.

    Raises `DataError` when the chances are no probabilities over what was eligible.
    """
    _checked(batch, target)
    at = np.arange(len(batch))
    supported = batch.eligible if batch.logged is None else batch.logged > 0
    weight = target[at, batch.chosen] / batch.probability
    zeros = np.zeros(len(batch), dtype=np.int64)
    return Rows(
        reward=batch.reward,
        weight=weight,
        fitted=expected[at, batch.chosen],
        value=(target * expected).sum(axis=1),
        unsupported=np.where(supported, 0.0, target).sum(axis=1),
        subject=batch.subject,
        marginal=_marginal(batch, target, categories) if categories is not None else weight,
        request=start + at if batch.request is None else batch.request,
        position=zeros + 1 if batch.position is None else batch.position,
        group=zeros if batch.group is None else batch.group,
    )


def _checked(batch: Batch, target: Numbers) -> None:
    if target.shape != batch.eligible.shape:
        raise DataError(f"The policy gave chances of shape {target.shape} for decisions of {batch.eligible.shape}.")
    sums = target.sum(axis=1)
    if not (np.isfinite(target).all() and (target >= 0).all() and np.allclose(sums, 1.0, atol=1e-6)):
        worst = float(np.nanmax(np.abs(sums - 1.0)))
        raise DataError(
            f"The policy's chances must be 0 or more and sum to 1 per decision; they are off by {worst:.3g}."
        )


def _marginal(batch: Batch, target: Numbers, categories: Codes) -> Numbers:
    """Give the weight of the category of what was taken (Saito and Joachims 2022, section 3.1): sums over its actions.

    Actions of one category that have the same effect need not have been taken one by one.
    """
    if batch.logged is None:
        return target[np.arange(len(batch)), batch.chosen] / batch.probability
    taken = categories[batch.chosen]
    alike = categories[None, :] == taken[:, None]
    ours, theirs = (np.where(alike, p, 0.0).sum(axis=1) for p in (target, batch.logged))
    return np.asarray(ours / theirs, dtype=np.float64)
