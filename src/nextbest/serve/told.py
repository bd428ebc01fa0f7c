"""How a decision is told to whoever asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from nextbest.serve import bodies
from nextbest.types import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextbest.deciding import Made


def decided(made: Sequence[Made], *, token: Callable[[str, str], str]) -> bodies.DecideReply:
    """Give the reply for the positions of one request, in their order.

    `token` gives, for a decision and its subject, what a web page needs to say what came of it.
    """
    first = made[0]
    chosen = first.chosen if isinstance(first, Decision) else first
    return bodies.DecideReply(
        decision_id=first.decision_id,
        action_id=first.action_id,
        choice_probability=first.choice_probability,
        response_probability=chosen.response_probability,
        expected_value=chosen.expected_value,
        reason=first.reason,
        arm=first.arm,
        degraded=first.degraded,
        policy_version=first.policy_version,
        model_versions=dict(first.model_versions),
        logged=not isinstance(first, Decision) or bool(first.context.get("logged", True)),
        outcome_token=token(first.decision_id, first.subject_id),
        decisions=[_place(d, token) for d in made] if len(made) > 1 else UNSET,
    )


def _place(made: Made, token: Callable[[str, str], str]) -> bodies.PlaceReply:
    chosen = made.chosen if isinstance(made, Decision) else made
    return bodies.PlaceReply(
        position=made.position,
        decision_id=made.decision_id,
        action_id=made.action_id,
        choice_probability=made.choice_probability,
        response_probability=chosen.response_probability,
        expected_value=chosen.expected_value,
        reason=made.reason,
        degraded=made.degraded,
        outcome_token=token(made.decision_id, made.subject_id),
    )
