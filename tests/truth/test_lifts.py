"""What an action adds, learnt from decisions as the engine takes them: rare explorations, permission that matters."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.policies.lift import Evidence, Lifts, learn, logit, sigmoid
from nextbest.types import NONE, Action

ACTIONS = (Action(id="mail", assumed_log_odds=0.5), Action(id="call", assumed_log_odds=0.0), NONE)
NAMES = ("mail", "call", "none")
TRUE = np.array([0.6, -0.1, 0.0])


def learnt(run: int, n: int) -> Lifts:
    """Give the lifts of one world: who may be mailed is better than the base says, and few get what is not best."""
    people, assignment, answers = (np.random.default_rng(s) for s in np.random.SeedSequence([33, run]).spawn(3))
    base, hidden = people.beta(2, 5, n), people.normal(size=n)
    eligible = np.ones((n, 3), dtype=bool)
    eligible[:, 0] = people.random(n) < sigmoid(2 * hidden)
    eligible[:, 1] = people.random(n) < 0.5
    policy = 0.05 * eligible / eligible.sum(axis=1, keepdims=True)
    policy[np.arange(n), eligible.argmax(axis=1)] += 0.95
    p = 0.9 * policy
    p[:, 2] += 0.1
    chosen = (assignment.random(n)[:, None] >= p.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    chance = sigmoid(logit(base) + 0.5 * hidden + TRUE[chosen])
    return learn(
        ACTIONS,
        Evidence(
            action_ids=tuple(NAMES[a] for a in chosen),
            base=base,
            choice_probability=p[np.arange(n), chosen],
            responded=(answers.random(n) < chance).astype(float),
            could=tuple(tuple(np.array(NAMES[:2])[row[:2]]) for row in eligible),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("n", "runs"), [(4000, 120), pytest.param(4000, 600, marks=pytest.mark.nightly)])
def test_a_lifts_deviation_is_honest(n: int, runs: int) -> None:
    """Each 90% interval of a lift holds the truth in 83 to 97 of 100 worlds; none is off by half a deviation."""
    # Compared with everybody who got nothing, the mail's held it in 25 of 100. The assumption pulls a little.
    worlds = [learnt(run, n) for run in range(runs)]
    for name, truth in zip(NAMES[:2], TRUE[:2], strict=True):
        z = np.array([(w.by_action[name].log_odds - truth) / w.by_action[name].sd for w in worlds])
        assert 0.83 <= np.mean(np.abs(z) < 1.645) <= 0.97
        assert abs(z.mean()) < 0.5
