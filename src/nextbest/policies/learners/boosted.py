"""The settings of the learner `boosted`: a fitted model answers, and the policies ask no further.

Whoever may load models gives its states to the engine (`recipes.action_live`). A boosted model does not say how sure it
is: the spread is what its calibration left over, the same for everyone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosted:
    """The settings: the id of a fitted model, and the standard deviation of its chances (0: not known)."""

    model: str = ""
    spread: float = 0.0
