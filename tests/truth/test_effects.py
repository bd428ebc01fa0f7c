"""Simulators whose truth is known: assignment and outcomes never share a stream."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.measures.always_valid import always_valid
from nextbest.measures.randomised import Randomised, variance
from nextbest.measures.weighted import weighted_effects
from nextbest.policies.arms import ARMS, assign, overall, shares, within
from nextbest.policies.choose import _draw
from nextbest.policies.draw import fingerprints, seed_of, uniforms
from nextbest.policies.greedy import Greedy
from nextbest.policies.lift import logit, sigmoid
from nextbest.policies.matrix import as_matrix
from nextbest.types import NONE, Action, Play, Statistics

RUNS = 600
ACTIONS = (Action(id="mail"), Action(id="call"), NONE)
PLAY = Play(name="sim", actions=ACTIONS, holdout=0.3, random=0.2)
TRUE = np.array([0.5, -0.2, 0.0])


class World:
    """One run: people, the engine's own draws, and responses from a stream of their own."""

    def __init__(self, run: int, *, n: int = 3000, effects: np.ndarray = TRUE, rare: float = 0.0) -> None:
        people, responses = (np.random.default_rng(s) for s in np.random.SeedSequence([11, run]).spawn(2))
        base = people.beta(2, 3, n) if not rare else rare * people.uniform(0.5, 1.5, n)
        believed = np.column_stack([sigmoid(logit(base) + b) for b in (0.3, 0.3, 0.0)]) * 50 - [0.1, 2.0, 0.0]
        subjects = fingerprints([f"r{run}-{i}" for i in range(n)])
        table = pa.table({f"expected_value:{a.id}": believed[:, j] for j, a in enumerate(ACTIONS)})
        policy = as_matrix(Greedy(explore=0.3).probabilities(table, ACTIONS), ACTIONS)
        eligible = np.ones((n, 3), dtype=bool)
        self.arms = assign(PLAY, subjects, "salt")
        self.p = overall(shares(PLAY), policy, eligible, 2)
        own = within(self.arms, policy, eligible, 2)
        self.action = _draw(own, uniforms(seed_of("action", "sim", str(run)), subjects))
        chances = sigmoid(logit(base)[:, None] + effects)
        self.y = (responses.random(n) < chances[np.arange(n), self.action]).astype(float)
        self.policy_effect = float(((policy * chances).sum(axis=1) - chances[:, 2]).mean())
        self.action_effects = (chances - chances[:, [2]]).mean(axis=0)

    def arm(self, name: str) -> Statistics:
        """Give the sums of an arm."""
        y = self.y[self.arms == ARMS.index(name)]
        return Statistics(n=len(y), total=y.sum(), total_squares=(y**2).sum())

    def weighted(self) -> dict[str, dict[str, float]]:
        """Give each action's effect by the weighted sums that SQL would give."""
        rows = []
        for j, action in enumerate(ACTIONS[:2]):
            for taken, column in ((True, j), (False, 2)):
                mine = self.action == column
                w, y = 1 / self.p[mine, column], self.y[mine]
                sums = {
                    "n": int(mine.sum()),
                    "answered": int(y.sum()),
                    "w": w.sum(),
                    "wy": (w * y).sum(),
                    "ww": (w * w).sum(),
                }
                sums |= {"wwy": (w * w * y).sum(), "wwyy": (w * w * y * y).sum()}
                rows.append({"action_id": action.id, "taken": taken, **sums})
        return weighted_effects(rows)


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    """Give many runs of the same world."""
    return [World(run) for run in range(RUNS)]


def held(low: float | None, truth: float, high: float | None) -> bool:
    """Tell whether an interval holds the truth."""
    return low is not None and high is not None and low <= truth <= high


@pytest.mark.slow
def test_the_plays_interval_covers_its_true_effect(worlds: list[World]) -> None:
    """The 95% interval of policy against holdout holds the true effect in 93 to 97 of 100 runs, without bias."""
    effects = [(Randomised().effect(w.arm("policy"), w.arm("holdout")), w.policy_effect) for w in worlds]
    coverage = np.mean([held(e.low, truth, e.high) for e, truth in effects])
    errors = np.array([e.estimate - truth for e, truth in effects])
    assert 0.93 <= coverage <= 0.97
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["mail", "call"])
def test_an_actions_interval_covers_its_true_effect(worlds: list[World], action: str) -> None:
    """The weighted 95% interval of one action against none holds its true effect in 93 to 97 of 100 runs."""
    j = [a.id for a in ACTIONS].index(action)
    found = [(w.weighted()[action], float(w.action_effects[j])) for w in worlds]
    assert 0.93 <= np.mean([held(e["low"], truth, e["high"]) for e, truth in found]) <= 0.97
    errors = np.array([e["estimate"] - truth for e, truth in found])
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(RUNS)


@pytest.mark.slow
def test_nothing_is_found_where_there_is_nothing() -> None:
    """With no effect at all, one run in twenty gives an interval without zero: between 3% and 7%."""
    runs = [World(10_000 + run, effects=np.zeros(3)) for run in range(RUNS)]
    effects = [Randomised().effect(w.arm("policy"), w.arm("holdout")) for w in runs]
    assert 0.03 <= np.mean([not held(e.low, 0.0, e.high) for e in effects]) <= 0.07


@pytest.mark.slow
def test_rare_answers_are_not_told_with_false_confidence() -> None:
    """With one in fifty answering, nine in the holdout, the 95% intervals hold the truth in 93 of 100 runs."""
    # Welch's interval and the weighted one fail where a side happens to have no answer, hence no variance of its own.
    runs = [World(20_000 + run, n=1500, rare=0.02) for run in range(RUNS)]
    plays = [(Randomised().effect(w.arm("policy"), w.arm("holdout")), w.policy_effect) for w in runs]
    assert np.mean([held(e.low, truth, e.high) for e, truth in plays]) >= 0.93
    for j, action in enumerate(("mail", "call")):
        found = [(w.weighted()[action], float(w.action_effects[j])) for w in runs]
        told = [held(e["low"], truth, e["high"]) for e, truth in found if e["status"] == "ok"]
        assert len(told) > 100
        assert np.mean(told) >= 0.93


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_a_small_holdout_covers_a_share(rate: float) -> None:
    """A holdout of 60 beside 900: the interval of a yes-or-no outcome covers in 93 of 100 trials, whatever the rate."""
    rng = np.random.default_rng(int(rate * 1000))
    held_in = 0
    for _ in range(1000):
        treated, control = rng.binomial(900, 1.5 * rate), rng.binomial(60, rate)
        sides = [Statistics(n=n, total=k, total_squares=k, answered=k) for n, k in ((900, treated), (60, control))]
        effect = Randomised().effect(*sides)
        held_in += held(effect.low, 0.5 * rate, effect.high)
    assert held_in >= 930


def test_amounts_of_a_handful_are_not_told() -> None:
    """Seven spenders in a holdout decide its mean: money is told from 30 on, where the interval covers nine in ten."""
    rng = np.random.default_rng(4)
    spent = rng.lognormal(4, 1, 400)

    def arm(n: int, buyers: int) -> Statistics:
        y = spent[:buyers]
        return Statistics(n=n, total=float(y.sum()), total_squares=float((y**2).sum()), answered=buyers)

    few = Randomised().effect(arm(2000, 300), arm(100, 7))
    assert (few.status, few.estimate) == ("not_enough_data", None)
    assert "Only 7 of the 100 subjects of the control arm" in few.why
    assert Randomised().effect(arm(2000, 300), arm(100, 30)).status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("runs", [500, pytest.param(2000, marks=pytest.mark.nightly)])
def test_looking_every_day_finds_nothing_where_there_is_nothing(runs: int) -> None:
    """Over 60 daily looks at an A/A play the usual interval errs in over 15 of 100, the any-time one in 6 at most."""
    rng = np.random.default_rng(runs)
    usual, any_time = 0, 0
    for _ in range(runs):
        counts = [np.cumsum(rng.binomial(n, 0.1, 60)) for n in (90, 30)]
        looks = [
            [Statistics(n=n * (d + 1), total=k[d], total_squares=k[d]) for n, k in zip((90, 30), counts, strict=True)]
            for d in range(60)
        ]
        found = [(Randomised().effect(*sides), sides) for sides in looks]
        told = [(e, sides) for e, sides in found if e.estimate is not None]
        usual += any(not held(e.low, 0.0, e.high) for e, _ in told)
        wide = (
            always_valid(e.estimate, e.details["standard_error"], variance(s[0]) ** 0.5, level=0.95) for e, s in told
        )
        any_time += any(not held(pair[0], 0.0, pair[1]) for pair in wide if pair)
    assert usual > 0.15 * runs
    assert any_time <= 0.06 * runs
