"""One request in which a part has failed: what the fail-safe table leaves of its candidates, and what is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.gates import CAPS_UNREADABLE, CONSENT_UNREADABLE, GPC
from nextbest.policies.live.failsafe import RULE, Amounts, Answer, answer, closes, effects
from nextbest.policies.live.menu import actions
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextbest.policies.live.failsafe import Failure
    from nextbest.policies.live.proposal import Proposal
    from nextbest.types import Action

_SEEN: Mapping[str, Failure] = {CONSENT_UNREADABLE: "consent", CAPS_UNREADABLE: "caps", GPC: "signals"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """What failed, and the amounts that stand in for those a request brought, by candidate."""

    failures: tuple[Failure, ...]
    amounts: Mapping[int, float | None] = field(default_factory=dict)
    approved: Mapping[str, float] = field(default_factory=dict)


def failing(
    proposal: Proposal, removed: Sequence[str | None], group: Sequence[Failure], *, disagreed: bool = False
) -> tuple[Failure, ...]:
    """Give all failures of a request: of ranking, of the gates as they were read, and of the transaction's *group*.

    *disagreed* says that a browser objects although a yes is on record; an objection alone is no failure.
    """
    seen = [failure for rule, failure in _SEEN.items() if rule in removed and (rule != GPC or disagreed)]
    return tuple(dict.fromkeys((*proposal.failures, *group, *seen)))


def fall(
    proposal: Proposal,
    removed: list[str | None],
    failures: tuple[Failure, ...],
    approved: Callable[[str], float | None],
) -> Fallen:
    """Remove in place what the table takes away, and give the amounts at which money actions may stand.

    *approved* gives the amount last approved for an action id, or None.
    """
    default, amounts, known = proposal.compiled.play.default, {}, {}
    # Nothing is learnt under an alarm (`ledger.learning.publish`), so what has ranked is what was learnt before it.
    previous = not proposal.ranks.degraded
    for at, action in enumerate(_actions(proposal)):
        if removed[at] is not None or action.id == NO_ACTION:
            continue
        removed[at] = closes(failures, action, default=default, previous=previous)
        if removed[at] is None and not {"approved", "listed"}.isdisjoint(effects(failures, action)):
            stands = None if "listed" in effects(failures, action) else approved(proposal.shown.ids[at])
            if stands is not None:
                known[proposal.shown.ids[at]] = stands
            amounts[at] = action.amount if stands is None else stands
    return Fallen(failures=failures, amounts=amounts, approved=known)


def taken(proposal: Proposal, removed: Sequence[str | None], fallen: Fallen, *, turn: int) -> tuple[int, Answer]:
    """Give the position of what is taken instead, and the answer that says why."""
    shown, offered = proposal.shown, _actions(proposal)
    standing = {shown.ids[at]: action for at, action in enumerate(offered) if removed[at] is None}
    gone = {
        shown.ids[at]: (action, rule)
        for at, action in enumerate(offered)
        if (rule := _failsafe(removed[at])) is not None
    }
    is_none = np.arange(len(shown.ids)) == shown.none
    order = np.lexsort((~is_none, -proposal.ranks.worth))  # by worth; `none` wins ties
    told = answer(
        fallen.failures,
        standing,
        default=proposal.compiled.play.default,
        ranked=[shown.ids[at] for at in order],
        removed=gone,
        amounts=Amounts(approved=fallen.approved),
        turn=turn,
    )
    return shown.index[told.action_id], told


def _failsafe(rule: str | None) -> str | None:
    """Give the rule of the table behind a removal, None where it was another."""
    if rule is None or rule.startswith(RULE):
        return rule
    return RULE + _SEEN[rule] if rule in _SEEN else None


def _actions(proposal: Proposal) -> tuple[Action, ...]:
    """Give every candidate as an action under its own id."""
    return actions(proposal.compiled.actions, proposal.shown)
