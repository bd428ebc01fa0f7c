"""Choose: a policy's probabilities over what is eligible, mixed with the arms, and one draw per subject."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from nextbest import registry
from nextbest.errors import NextbestError
from nextbest.policies import arms as arms_of
from nextbest.policies.draw import seed_of, uniforms
from nextbest.policies.gates import FALLS_BACK_TO_NONE
from nextbest.policies.matrix import SPREAD, VALUE, as_matrix
from nextbest.policies.weighing import none_of, top
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.policies.draw import Numbers, Words
    from nextbest.policies.removals import Flags, Removals
    from nextbest.policies.response import Ranking
    from nextbest.types import Action, Play, Policy

# What a stranger's policy may raise on data it did not expect; the engine then falls back, and says so.
POLICY_FAULTS = (NextbestError, ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The arm and the chosen action per subject, and the overall probability of every action."""

    arms: np.ndarray[Any, np.dtype[np.int8]]
    action: np.ndarray[Any, np.dtype[np.intp]]
    probability: Numbers
    seed: int
    degraded: Flags

    def part(self, rows: slice) -> Choice:
        """Give the choices for some subjects."""
        return Choice(
            arms=self.arms[rows],
            action=self.action[rows],
            probability=self.probability[rows],
            seed=self.seed,
            degraded=self.degraded[rows],
        )


def together(parts: Sequence[Choice]) -> Choice:
    """Give the choices of the parts of a list as one."""
    if len(parts) == 1:
        return parts[0]
    return Choice(
        arms=np.concatenate([p.arms for p in parts]),
        action=np.concatenate([p.action for p in parts]),
        probability=np.concatenate([p.probability for p in parts]),
        seed=parts[0].seed,
        degraded=np.concatenate([p.degraded for p in parts]),
    )


def policy_of(play: Play) -> Policy:
    """Construct the play's policy from its name and settings."""
    settings = {k: v for k, v in play.policy.items() if k != "name"}
    if isinstance(settings.get("when"), list):
        settings["when"] = tuple(tuple(rule) for rule in settings["when"])
    made: Policy = registry.make("policies", play.policy.get("name", "greedy"), settings)
    return made


def weighs(play: Play) -> bool:
    """Tell whether the policy looks at one subject at a time, so that a list may be drawn in parts."""
    try:
        return hasattr(policy_of(play), "weigh")
    except POLICY_FAULTS:
        return False


def policy_version(play: Play, *, margin: float, lifts: Any) -> str:  # noqa: ANN401 (a dataclass of numbers)
    """Give 16 hex digits that change with anything that changes what the policy would choose."""
    text = msgspec.json.encode([asdict(play), margin, asdict(lifts)], order="deterministic")
    return blake2b(text, digest_size=8).hexdigest()


def choose(
    play: Play,
    table: pa.Table,
    actions: tuple[Action, ...],
    *,
    ranking: Ranking,
    removals: Removals,
    subjects: Words,
    key: tuple[str, str, str],
) -> Choice:
    """Draw one eligible action per subject; `key` is (policy version, time, salt)."""
    version, when, salt = key
    none = [a.id for a in actions].index("none")
    eligible = removals.eligible
    wanted, degraded = _policy(play, table, actions, ranking, eligible)
    arms = arms_of.assign(play, subjects, salt)
    # Where predictions are missing nothing is explored: the random arm gets the default too.
    explored = np.where(degraded[:, None], wanted > 0, eligible)
    usual = arms_of.usual([a.id for a in actions], play.habit, eligible, none)
    mixed = arms_of.overall(arms_of.shares(play), wanted, explored, none, usual)
    own = arms_of.within(arms, wanted, explored, none, usual)
    seed = seed_of("action", play.name, version, when, salt)
    action = _draw(own, uniforms(seed, subjects))
    return Choice(arms=arms, action=action, probability=mixed, seed=seed, degraded=degraded)


def _policy(
    play: Play, table: pa.Table, actions: tuple[Action, ...], ranking: Ranking, eligible: Flags
) -> tuple[Numbers, Flags]:
    """Give the policy's probabilities over what is eligible; where it cannot be trusted, the best without chance."""
    degraded = ranking.degraded.copy()
    try:
        p = asked(policy_of(play), table, actions, ranking.worth, eligible, spread=ranking.spread)
    except POLICY_FAULTS:
        p = np.full(eligible.shape, np.nan)
    sound = np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (p.sum(axis=1) > 0)
    degraded |= ~sound
    fallback = np.zeros(eligible.shape)
    # Money and grave matters do not rest on a fallback; `none` is always left.
    safe = np.array([a.action_class not in FALLS_BACK_TO_NONE or a.id == NO_ACTION for a in actions])
    best = top(np.where(eligible & safe, ranking.worth, -np.inf), none_of(actions))
    fallback[np.arange(len(best)), best] = 1.0
    p = np.where(degraded[:, None], fallback, np.where(eligible, p, 0.0))
    total = p.sum(axis=1, keepdims=True)
    return np.where(total > 0, p / np.where(total > 0, total, 1.0), fallback), degraded


def asked(
    policy: Policy,
    table: pa.Table,
    actions: tuple[Action, ...],
    worth: Numbers,
    eligible: Flags,
    *,
    spread: Numbers | None = None,
) -> Numbers:
    """Give a policy's answer as a matrix, asked by arrays where it can be and by a table where it must."""
    weigh, charged = getattr(policy, "weigh", None), getattr(policy, "charged", None)
    if weigh is not None:
        if charged is not None:
            worth = charged(worth, np.array([a.cost for a in actions]), [a.id for a in actions])
        masked, wide = np.where(eligible, worth, -np.inf), np.zeros_like(worth) if spread is None else spread
        p = np.asarray(weigh(masked, wide, none=[a.id for a in actions].index(NO_ACTION)))
    else:
        for j, action in enumerate(actions):
            table = table.append_column(VALUE + action.id, pa.array(worth[:, j], mask=~eligible[:, j]))
            if spread is not None:
                table = table.append_column(SPREAD + action.id, pa.array(spread[:, j]))
        p = as_matrix(policy.probabilities(table, actions), actions)
    if p.shape != eligible.shape:
        raise ValueError(f"A policy gave {p.shape[0]} rows for {eligible.shape[0]} subjects.")
    return p


def _draw(probabilities: Numbers, u: Numbers) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Give the position drawn from each row; an action without probability is never drawn."""
    edges = probabilities.cumsum(axis=1)
    index = (u[:, None] >= edges).sum(axis=1)
    # Rounding may leave the last edge a hair under 1: the last action that has any probability takes the rest.
    last = probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0).argmax(axis=1)
    return np.asarray(np.minimum(index, last), dtype=np.intp)
