"""What each candidate of a decision was worth, taken apart again from the row of the log alone.

    expected value = [P(none) + (P(action) - P(none)) x weight x lever] x value - cost

`none` costs nothing, so its expected value over its response is the value of a response; the factor weight x lever
follows from the action's own expected value. What the log of another engine does not hold cannot be taken apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from nextbest.types import Candidate, Decision

_CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one candidate's worth; `without` is the response when nothing is done, `factor` weight x lever.

    `factor` is None where the response without the action is the same, so that it cannot show.
    """

    action_id: str
    response: float
    without: float
    value: float
    factor: float | None
    cost: float
    expected_value: float

    @property
    def gain(self) -> float:
        """Money over doing nothing."""
        return self.expected_value - self.without * self.value

    def response_worth(self, expected_value: float) -> float | None:
        """Give the response at which the action would be worth so much; None where no response would do."""
        if not self.factor or self.value <= 0:
            return None
        wanted = self.without + ((expected_value + self.cost) / self.value - self.without) / self.factor
        return wanted if 0 < wanted < 1 else None


def parts(decision: Decision) -> dict[str, Parts]:
    """Give the parts of every candidate whose chance and worth are on record; {} where `none` does not tell a value."""
    none = next((c for c in decision.candidates if c.action_id == NO_ACTION), None)
    if none is None or not _known(none) or not none.response_probability:
        return {}
    value = ((none.expected_value or 0.0) + none.cost) / none.response_probability
    found = (_parts(c, none.response_probability, value) for c in decision.candidates if _known(c))
    return {p.action_id: p for p in found}


def best(decision: Decision) -> Candidate | None:
    """Give the candidate of highest worth that no rule removed; `none` wins ties, as it does when deciding."""
    standing = [c for c in decision.candidates if c.removed_by is None and c.expected_value is not None]
    return max(standing, key=lambda c: (c.expected_value or 0.0, c.action_id == NO_ACTION), default=None)


def by_value(decision: Decision) -> bool:
    """Tell whether the chosen action is the one of highest worth among those that were allowed."""
    top, mine = best(decision), decision.chosen.expected_value
    return top is not None and mine is not None and mine >= (top.expected_value or 0.0) - _CLOSE


def _known(candidate: Candidate) -> bool:
    given = (candidate.response_probability, candidate.expected_value)
    return all(v is not None and math.isfinite(v) for v in given)


def _parts(candidate: Candidate, without: float, value: float) -> Parts:
    response, worth = candidate.response_probability or 0.0, candidate.expected_value or 0.0
    added = (response - without) * value
    factor = (worth + candidate.cost - without * value) / added if abs(added) > _CLOSE else None
    return Parts(
        action_id=candidate.action_id,
        response=response,
        without=without,
        value=value,
        factor=factor,
        cost=candidate.cost,
        expected_value=worth,
    )
