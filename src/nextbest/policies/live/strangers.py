"""Policies that are not ours and know no arrays (`weigh`): asked before the transaction, within the deadline.

Permissions and caps are read later, so such a policy is asked again without what it would choose, until `none` is among
it: what the transaction then removes is taken out, and the next answer counts where nothing of one is left.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.policies.choose import POLICY_FAULTS, asked
from nextbest.policies.live.menu import actions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.ask import Ask
    from nextbest.policies.live.compiled import Compiled
    from nextbest.policies.live.failsafe import Failure
    from nextbest.policies.live.guard import Guard
    from nextbest.policies.live.menu import Flags, Menu
    from nextbest.policies.live.proposal import Ranks

MOST_ANSWERS = 8  # beyond the places of a page: a policy that goes through its actions one by one is slow
_log = logging.getLogger("nextbest")
Told = tuple["Numbers", ...]


def is_stranger(policy: object) -> bool:
    """Say whether a policy is not of this package and cannot be asked by arrays."""
    return not hasattr(policy, "weigh") and not type(policy).__module__.startswith("nextbest.")


def told(
    compiled: Compiled,
    ask: Ask,
    row: Mapping[str, Any],
    shown: Menu,
    ranks: Ranks,
    *,
    removed: Sequence[str | None],
    guard: Guard,
    started: int,
) -> tuple[Told, tuple[Failure, ...]]:
    """Give a stranger's answers, the first for what is open now, and what failed; the deadline counts from *started*.

    *removed* holds the rule per declared action of the gates that need no transaction.
    """
    seconds = (compiled.play.deadline_ms if ask.deadline_ms is None else ask.deadline_ms) / 1000
    left = seconds - (time.perf_counter_ns() - started) / 1e9
    open_ = np.array([removed[kind] is None for kind in shown.kinds.tolist()])
    name = f"{compiled.play.name} policy {compiled.version}"
    try:
        found = guard.run(
            name, left, lambda: _answers(compiled, row, shown, ranks, open_, most=MOST_ANSWERS + ask.count)
        )
    except POLICY_FAULTS as error:
        _log.error("decide %s: the policy failed: %s", ask.play, type(error).__name__)
        return (), ("model",)
    return ((), ("deadline",)) if found is None else (found, ())


def _answers(compiled: Compiled, row: Mapping[str, Any], shown: Menu, ranks: Ranks, open_: Flags, *, most: int) -> Told:
    table = pa.table({name: [value] for name, value in row.items()})
    offered = actions(compiled.actions, shown)
    spread = None if ranks.spread is None else ranks.spread[None, :]
    answers: list[Numbers] = []
    while len(answers) < most:
        eligible, worth = open_[None, :], ranks.worth[None, :]
        p = np.asarray(asked(compiled.policy, table, offered, worth, eligible, spread=spread)[0], dtype=np.float64)
        if not (np.isfinite(p).all() and (p >= 0).all() and float(p[open_].sum()) > 0):
            raise ValueError("the policy gave something other than one probability per action")
        answers.append(np.where(open_, p, 0.0))
        if p[shown.none] > 0:
            break
        open_ = open_ & ~(p > 0)
    return tuple(answers)


def standing(answers: Told, allowed: Flags) -> Numbers:
    """Give the first answer of which something is allowed; raises `ValueError` where there is none."""
    for p in answers:
        if bool((p * allowed).any()):
            return p
    raise ValueError("nothing that the policy named is allowed")
