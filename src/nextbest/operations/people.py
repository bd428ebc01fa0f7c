"""What people set over what was decided: a judgement, an amount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.operations.looking import decision

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.ledger.feedback import Verdict
    from nextbest.ledger.idempotency import Also


def feedback(
    ledger: Ledger,
    decision_id: str,
    *,
    verdict: Verdict,
    by: str,
    action_id: str | None = None,
    also: Also | None = None,
) -> str:
    """Store what a person said of a decision: approve, change (to `action_id`) or reject.

    Raises `DataError` for a change to an action whose amount is outside its limits: they bind people too.
    """
    from nextbest.ledger import feedback as given
    from nextbest.policies.live import approvals

    if verdict == "change" and action_id is not None:
        approvals.check_change(ledger, decision(ledger, decision_id), action_id)
    return given.record(ledger, decision_id, verdict=verdict, action_id=action_id, by=by, also=also)


def approve_amount(ledger: Ledger, play: str, action: str, *, amount: float, by: str) -> None:
    """Put the amount that stands for a money action on record; raises `DataError` when it is outside the limits."""
    from nextbest.policies.live import approvals

    approvals.approve(ledger, play, action, amount=amount, by=by)
