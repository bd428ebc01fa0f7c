"""What would have changed a decision: another response, another rule, another cost; each as data and as a sentence.

Only a decision that was a choice can be changed so. Where chance, a holdout or business as usual decided, the answer is
another draw, and nothing about the person.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from nextbest.trust.decision_value import by_value, parts
from nextbest.trust.rules import without_rule
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from nextbest.trust.decision_value import Parts
    from nextbest.types import Candidate, Decision

MOST = 3
ABOVE = "chosen_above"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that would have made *action_id* the choice; from what it was to what it would have to be."""

    action_id: str
    what: Literal["response", "rule", "cost"]
    was: float | str
    needed: float | str
    sentence: str

    def plain(self) -> dict[str, Any]:
        """Give the change as plain values."""
        return asdict(self)


def changes(decision: Decision, *, currency: str) -> tuple[Change, ...]:
    """Give the nearest changes, at most three: rules that stood in the way of more worth, then what rivals lacked."""
    mine = decision.chosen.expected_value
    if decision.arm != "policy" or decision.degraded or mine is None or not by_value(decision):
        return ()
    known = parts(decision)
    rivals = sorted(
        (c for c in decision.candidates if c.action_id != decision.action_id and c.expected_value is not None),
        key=lambda c: -(c.expected_value or 0.0),
    )
    found = [_rule(c, mine, currency) for c in rivals if _in_the_way(c, mine)]
    for rival in rivals:
        if rival.removed_by is None and rival.action_id != NO_ACTION and rival.action_id in known:
            found += _lacked(known[rival.action_id], mine, currency)
    own = known.get(decision.action_id)
    second = next((c.expected_value for c in rivals if c.removed_by is None), None)
    if own is not None and second is not None and decision.action_id != NO_ACTION:
        found += _falls(own, second)
    return tuple(found[:MOST])


def _in_the_way(candidate: Candidate, mine: float) -> bool:
    more = (candidate.expected_value or 0.0) > mine
    return bool(candidate.removed_by) and candidate.removed_by != ABOVE and more


def _rule(candidate: Candidate, mine: float, currency: str) -> Change:
    """Say what a rule cost: the candidate that it removed was worth more than what was chosen."""
    more = (candidate.expected_value or 0.0) - mine
    rule = candidate.removed_by or ""
    return Change(
        action_id=candidate.action_id,
        what="rule",
        was=rule,
        needed="",
        sentence=f"{without_rule(rule)} {candidate.action_id} would have been first, worth {more:.2f} {currency} more.",
    )


def _lacked(rival: Parts, mine: float, currency: str) -> list[Change]:
    """Say at which response, else at which cost, a rival would have been first."""
    wanted = rival.response_worth(mine)
    if wanted is not None and wanted > rival.response:
        told = f"{rival.action_id} would have been first had the response to it been {_pair(wanted, rival.response)}."
        change = Change(
            action_id=rival.action_id, what="response", was=rival.response, needed=wanted, sentence=told
        )  # fmt: skip
        return [change]
    cost = rival.cost - (mine - rival.expected_value)
    if rival.cost <= 0 or cost < 0:
        return []
    told = f"{rival.action_id} would have been first had it cost {cost:.2f} {currency} instead of {rival.cost:.2f}."
    return [Change(action_id=rival.action_id, what="cost", was=rival.cost, needed=cost, sentence=told)]


def _falls(own: Parts, second: float) -> list[Change]:
    """Say at which response the choice would no longer have been first."""
    wanted = own.response_worth(second)
    if wanted is None or wanted >= own.response:
        return []
    told = f"{own.action_id} would not have been first had the response to it been {_pair(wanted, own.response)}."
    return [Change(action_id=own.action_id, what="response", was=own.response, needed=wanted, sentence=told)]


def _pair(wanted: float, was: float) -> str:
    """Give two shares with as many digits as tell them apart: '3.1% instead of 2.4%'."""
    digits = next((d for d in range(1, 6) if f"{wanted:.{d}%}" != f"{was:.{d}%}"), 6)
    return f"{wanted:.{digits}%} instead of {was:.{digits}%}"
