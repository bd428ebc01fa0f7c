"""What the key of a web page may say, which everybody can read: few kinds of events, outcomes with a token, no money.

A page may say that something happened, not what it was worth: outcomes count 1, and their source is `web`, so that what
the shop's own server says can be told from it. A token belongs to one decision and its subject; the reply to a decision
carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest import doors
from nextbest.serve import bodies
from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from nextbest.serve.service import Asked, Service

SOURCE = "web"
WRITE = "write"


def check_events(asked: Asked) -> str:
    """Give the source of a page's events, '' for callers of other kinds; refuses kinds that the key does not name."""
    if WRITE not in asked.who.scopes:
        return ""
    for event in asked.body.events:
        if event.get("kind") not in asked.who.kinds:
            raise Refusal(403, "kind", f"This key may hand in: {', '.join(asked.who.kinds)}.")
    return SOURCE


def check_outcomes(service: Service, asked: Asked) -> str:
    """Give the source of a page's outcomes, '' for callers of other kinds; refuses those without a decision's token."""
    if WRITE not in asked.who.scopes:
        return ""
    for outcome in asked.body.outcomes:
        known = outcome.decision_id is not None and doors.may_tell(
            service.ledger, outcome.decision_id, outcome.subject_id, outcome.token
        )
        if not known or outcome.value != 1:
            raise Refusal(403, "token", "A page's outcome has the token of its decision, and the value 1.")
    return SOURCE


def subjects(body: Any) -> list[str]:  # noqa: ANN401 (a body of any route)
    """Give the subjects of whom a request speaks with their own browser: of a decision, events, outcomes, a visitor."""
    if isinstance(body, bodies.EventsBody):
        return [s for e in body.events if isinstance(s := e.get("subject_id"), str)]
    if isinstance(body, bodies.OutcomesBody):
        return [o.subject_id for o in body.outcomes]
    named = body if isinstance(body, bodies.DecideBody) else None
    return [named.subject_id] if named is not None else []
