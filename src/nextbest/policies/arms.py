"""Arms: who is held out, who gets a random action, who gets the policy; a subject stays in its arm for the play.

The probability that is logged for an action is over *all* that is drawn, the arm included:

    P(a) = holdout x [a = none] + random x 1/k + business_as_usual x b(a) + policy x pi(a)      over k eligible actions

so it sums to 1 over the eligible actions and is what off-policy evaluation divides by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.draw import seed_of, uniforms

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers, Words
    from nextbest.types import Arm, Play

Positions = np.ndarray[Any, np.dtype[np.intp]]
ARMS: tuple[Arm, ...] = ("policy", "random", "business_as_usual", "holdout")
LEAST_HOLDOUT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The share of subjects in each arm; they sum to 1."""

    holdout: float
    random: float
    business_as_usual: float = 0.0

    @property
    def policy(self) -> float:
        """The share that is left for the policy."""
        return 1.0 - self.holdout - self.random - self.business_as_usual


def shares(play: Play) -> Shares:
    """Give the shares a play asks for; raises `ConfigError` when they leave nothing for the policy."""
    wanted = Shares(holdout=play.holdout, random=play.random, business_as_usual=play.business_as_usual)
    if min(wanted.holdout, wanted.random, wanted.business_as_usual, wanted.policy) < 0:
        asked = ", ".join(f"{n} {getattr(play, n)}" for n in ("holdout", "random", "business_as_usual"))
        message = "shares are between 0 and 1 and leave something for the policy"
        raise ConfigError(f"Play '{play.name}' has {asked}: {message}.")
    return wanted


def warning(play: Play) -> str:
    """Say that a play gives up its proof, or give ''."""
    if play.holdout >= LEAST_HOLDOUT:
        return ""
    return (
        f"Play '{play.name}' holds out {play.holdout:.1%} of its subjects; below {LEAST_HOLDOUT:.0%} nobody can say "
        "later what it earned. Set holdout = 0.05 to be able to measure it."
    )


def assign(play: Play, subjects: Words, salt: str) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Give the arm of each subject as an index into `ARMS`: by (play, subject, salt), so without the time."""
    u = uniforms(seed_of("arm", play.name, salt), subjects)
    share = shares(play)
    arms = np.zeros(len(subjects), dtype=np.int8)
    edge = share.holdout
    arms[u < edge] = ARMS.index("holdout")
    for name, width in (("random", share.random), ("business_as_usual", share.business_as_usual)):
        arms[(u >= edge) & (u < edge + width)] = ARMS.index(name)
        edge += width
    return arms


def usual(ids: list[str], habit: str, eligible: np.ndarray[Any, Any], none: int) -> Positions:
    """Give what business as usual takes per subject: the habit where it is eligible, else `none`."""
    at = ids.index(habit) if habit in ids else none
    return np.where(eligible[:, at], at, none)


def within(
    arms: np.ndarray[Any, Any],
    policy: Numbers,
    eligible: np.ndarray[Any, Any],
    none: int,
    usual: Positions | None = None,
) -> Numbers:
    """Give the probabilities each subject's own arm draws from, shape (subjects, actions); `usual` as of `usual`."""
    inside = policy.copy()
    random = arms == ARMS.index("random")
    inside[random] = (eligible / eligible.sum(axis=1, keepdims=True))[random]
    every = np.eye(policy.shape[1])
    inside[arms == ARMS.index("holdout")] = every[none]
    business = arms == ARMS.index("business_as_usual")
    inside[business] = every[none if usual is None else usual[business]]
    return inside


def overall(
    share: Shares, policy: Numbers, eligible: np.ndarray[Any, Any], none: int, usual: Positions | None = None
) -> Numbers:
    """Give the probability of each action over all that is drawn, the arm included: shape (subjects, actions)."""
    mixed = share.policy * policy + share.random * eligible / eligible.sum(axis=1, keepdims=True)
    mixed[:, none] += share.holdout
    mixed[np.arange(len(mixed)), none if usual is None else usual] += share.business_as_usual
    return np.asarray(mixed, dtype=np.float64)
