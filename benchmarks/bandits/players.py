"""Who plays: nextbest's live parts, and Vowpal Wabbit, on the same rounds with the same features."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.learners.linear import Lesson, Linear
from nextbest.policies.live.ask import Offers
from nextbest.policies.squarecb import SquareCB

if TYPE_CHECKING:
    from collections.abc import Callable

VW_SETTINGS = ("-q sa", "-q sa --gamma_scale 100", "-q sa -l 2", "-q sa --power_t 0 -l 0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How it went: whether each round's action was wrong, and the milliseconds per round."""

    wrong: np.ndarray
    ms: float


def play(rows: list[dict[str, Any]], rewards: Callable[[int, str], float], actions: list[str], **chosen: Any) -> Played:  # noqa: ANN401
    """Play rounds with nextbest's learner and policy; every outcome is learnt before the next round."""
    learner, policy = chosen.get("learner", Linear()), chosen.get("policy", SquareCB())
    state, draw = learner.start(), np.random.default_rng([chosen["seed"], 5])
    offers = Offers(ids=tuple(actions), names=(), values=np.zeros((len(actions), 0)))
    wrong = np.zeros(len(rows))
    started = time.perf_counter()
    for i, row in enumerate(rows):
        mean, spread = state.response(row, offers)
        p = policy.weigh(mean[None, :], spread[None, :])[0]
        action = actions[min(int((p.cumsum() < draw.random()).sum()), len(actions) - 1)]
        reward = rewards(i, action)
        wrong[i] = 1 - reward
        state = state.learnt([Lesson(row, action, reward, i / 1000)])
    return Played(wrong=wrong, ms=(time.perf_counter() - started) / len(rows) * 1000)


def play_vw(
    rows: list[dict[str, Any]], rewards: Callable[[int, str], float], actions: list[str], setting: str, *, seed: int
) -> Played:
    """Play the same rounds with Vowpal Wabbit's SquareCB over action-dependent features."""
    import vowpalwabbit

    vw = vowpalwabbit.Workspace(f"--cb_explore_adf --squarecb --quiet --random_seed {seed} {setting}")
    draw = np.random.default_rng([seed, 5])
    wrong = np.zeros(len(rows))
    started = time.perf_counter()
    for i, row in enumerate(rows):
        shared = "shared |s " + " ".join(_said(n, v) for n, v in row.items())
        p = np.array(vw.predict([shared, *(f"|a a={a}" for a in range(len(actions)))]))
        chosen = min(int((p.cumsum() / p.sum() < draw.random()).sum()), len(actions) - 1)
        reward = rewards(i, actions[chosen])
        wrong[i] = 1 - reward
        label = f"{chosen}:{1 - reward}:{p[chosen]} "
        vw.learn([shared, *(f"{label if a == chosen else ''}|a a={a}" for a in range(len(actions)))])
    vw.finish()
    return Played(wrong=wrong, ms=(time.perf_counter() - started) / len(rows) * 1000)


def _said(name: str, value: Any) -> str:  # noqa: ANN401
    clean = name.replace(" ", "_").replace(":", "_").replace("|", "_")
    if value is None:
        return f"{clean}=missing"
    if isinstance(value, str):
        return f"{clean}={value.replace(' ', '_').replace(':', '_').replace('|', '_')}"
    return f"{clean}:{value}"
