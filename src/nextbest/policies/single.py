"""Decide for one subject, now: the gates, the draw and the log are one transaction; nothing unlogged is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest.policies.live.ask import Ask, Offer
from nextbest.policies.live.engine import UNLOGGED, UNREADABLE, Engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.ledger import Ledger
    from nextbest.types import Decision, Mode, Play

__all__ = ["UNLOGGED", "UNREADABLE", "decide_one"]


def decide_one(
    ledger: Ledger,
    play: Play,
    subject_id: str,
    *,
    context: Mapping[str, Any] | None = None,
    candidates: Sequence[str] | None = None,
    mode: Mode = "live",
    salt: str | None = None,
    request_id: str = "",
) -> Decision:
    """Choose one action for one subject from published predictions, and log it durably before answering.

    `context` adds what is known only now; it cannot replace a published prediction. `candidates` narrows the actions.
    Always gives a decision: what cannot be read or logged ends in `none`, marked degraded. Raises `UsageError` only
    for a call that is off (no subject, an action that the play does not have).
    """
    ask = Ask(
        play=play.name,
        subject_id=subject_id,
        context=dict(context or {}),
        candidates=None if candidates is None else tuple(Offer(action_id=name) for name in candidates),
        mode=mode,
        request_id=request_id,
    )
    return Engine(ledger, plays={play.name: play}, salt=salt).decide(ask)[0]
