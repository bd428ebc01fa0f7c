"""The lift learner: a base chance for everyone, and what each action adds to its log-odds.

What is learnt is in `policies.lift`; the engine reads it from the log once a day, for plays in bulk and live alike.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftLearner:
    """The settings of the lift learner: none."""
