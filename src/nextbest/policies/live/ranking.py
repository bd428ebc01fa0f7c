"""Rank one request within its deadline; where the model fails, by the lifts alone, and the failure is named."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from nextbest.ledger import faults
from nextbest.policies.choose import POLICY_FAULTS
from nextbest.policies.live.proposal import Ranks, finite, ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextbest.policies.live.ask import Ask, Offers
    from nextbest.policies.live.compiled import Compiled
    from nextbest.policies.live.failsafe import Failure
    from nextbest.policies.live.guard import Guard
    from nextbest.policies.live.learning import State
    from nextbest.policies.live.menu import Menu

_log = logging.getLogger("nextbest")
Ranked = tuple["State | None", Ranks, "tuple[Failure, ...]"]


def ranked(
    compiled: Compiled,
    ask: Ask,
    row: Mapping[str, Any],
    shown: Menu,
    brought: Offers,
    *,
    state: Callable[[Compiled], State | None],
    guard: Guard,
    started: int,
) -> Ranked:
    """Give the learnt state, what it ranks, and what failed; the deadline counts from *started* (nanoseconds)."""
    seconds = (compiled.play.deadline_ms if ask.deadline_ms is None else ask.deadline_ms) / 1000
    left = seconds - (time.perf_counter_ns() - started) / 1e9
    failure: Failure = "model"
    try:
        known = faults.at("model", state(compiled))
        if known is None:
            found: Ranks | None = ranks(compiled, row, shown, None, brought)
        else:
            name = f"{compiled.play.name} {known.version}"
            found = guard.run(name, left, lambda: ranks(compiled, row, shown, known, brought))
        if found is None:
            failure = "deadline"
        elif finite(faults.at("score", found.worth)):
            return known, found, ()
    except POLICY_FAULTS as error:
        _log.error("decide %s: the model failed: %s", ask.play, type(error).__name__)
    return None, ranks(compiled, row, shown, None, brought), (failure,)
