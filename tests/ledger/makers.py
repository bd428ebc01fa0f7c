"""Small made-up facts for the ledger's tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nextbest.types import Candidate, Decision

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONFIG = """
name = "acme"

[plays.win_back]
actions = [
  { id = "coupon", channel = "email", cost = 0.5 },
  { id = "banner", channel = "web", class = "content" },
]
"""


def event(i: int | str, **changes: Any) -> dict[str, Any]:
    """Give one order."""
    return {
        "kind": "order",
        "message_id": f"m{i}",
        "subject_id": f"c{i}",
        "ts": NOW,
        "order_id": f"o{i}",
        "revenue": 12.5,
    } | changes


def decision(i: int | str, *, action: str = "coupon", **changes: Any) -> Decision:
    """Give one decision between a coupon and nothing."""
    given: dict[str, Any] = {
        "decision_id": f"d{i}",
        "play": "win_back",
        "subject_id": f"c{i}",
        "ts": NOW,
        "action_id": action,
        "choice_probability": 0.9,
        "candidates": (
            Candidate(action_id="none", choice_probability=0.1),
            Candidate(action_id="banner", removed_by="audience", cost=0.1),
            Candidate(action_id="coupon", response_probability=0.2, expected_value=1.5, choice_probability=0.9),
        ),
        "context": {"page": "home"},
        "features": {"orders_30d": 3.0, "age": None},
        "model_versions": {"churn": "churn_1"},
        "policy_version": "p1",
        "seed": 7,
    }
    return Decision(**given | changes)
