from __future__ import annotations

import numpy as np
import pytest

from nextbest.errors import ConfigError
from nextbest.policies.greedy import Greedy
from nextbest.policies.linucb import LinUCB
from nextbest.policies.pacing import Pacing, charge
from nextbest.policies.squarecb import SquareCB
from nextbest.policies.thompson import Thompson, chance_of_best
from nextbest.policies.top_two import TopTwo
from nextbest.policies.uplift import UpliftCut
from nextbest.policies.weighing import Weighing, weighed
from nextbest.testing import check_policy, sample_predictions
from nextbest.types import NONE, Action

POLICIES = (Greedy(), SquareCB(), SquareCB(gamma=10.0), LinUCB(), Thompson(), TopTwo(), UpliftCut())


def worths(rows: int = 40, actions: int = 7, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Give worths and spreads; a fifth of the actions is removed, the last never."""
    draw = np.random.default_rng(seed)
    worth, spread = draw.normal(size=(rows, actions)), draw.gamma(1.0, 0.5, (rows, actions))
    worth[:, :-1][draw.random((rows, actions - 1)) < 0.2] = -np.inf
    return worth, spread


def by_draws(worth: np.ndarray, spread: np.ndarray, draws: int, seed: int = 9) -> np.ndarray:
    """Give how often each action is the best of so many draws."""
    draw, best = np.random.default_rng(seed), np.zeros(len(worth))
    for _ in range(draws // 50_000):
        values = worth + spread * draw.standard_normal((50_000, len(worth)))
        best += np.bincount(values.argmax(axis=1), minlength=len(worth))
    return best / (draws // 50_000 * 50_000)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_probabilities_are_probabilities(policy: Weighing) -> None:
    """Every row sums to 1, nothing removed has any, and a row of its own gets what it gets among others."""
    worth, spread = worths()
    p = policy.weigh(worth, spread)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert (p[worth == -np.inf] == 0).all()
    alone = np.concatenate([policy.weigh(worth[i : i + 1], spread[i : i + 1]) for i in range(len(worth))])
    np.testing.assert_allclose(p, alone, atol=1e-9)


@pytest.mark.parametrize("policy", [*POLICIES, Pacing(price=0.5)], ids=repr)
def test_a_policy_keeps_the_contract_with_spreads(policy: Weighing) -> None:
    """With columns of spreads beside the worths a policy passes the public contract suite."""
    actions = (Action(id="mail", cost=1.0), Action(id="call", cost=2.0), NONE)
    table = sample_predictions(actions)
    for action in actions:
        table = table.append_column(f"spread:{action.id}", [np.linspace(0.1, 1.0, table.num_rows)])
    check_policy(policy, table, actions)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_without_anything_eligible_nothing_is_weighed(policy: Weighing) -> None:
    """A row whose actions were all removed has no probability: the engine does nothing."""
    assert policy.weigh(np.full((2, 3), -np.inf), np.zeros((2, 3))).sum() == 0


@pytest.mark.parametrize("scale", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("actions", [2, 5, 30])
def test_thompson_agrees_with_a_million_draws(actions: int, scale: float) -> None:
    """The computed chance of being best is that of a million draws, within four standard errors and 0.0003."""
    draw = np.random.default_rng([actions, int(scale * 100)])
    worth, spread = draw.normal(size=actions), draw.gamma(2.0, 0.5, actions) * scale
    spread[0] = 0.0  # an action whose worth is known
    wanted = by_draws(worth, spread, 1_000_000)
    error = np.abs(chance_of_best(worth[None], spread[None])[0] - wanted)
    assert (error <= 4 * np.sqrt(np.maximum(wanted * (1 - wanted), 1e-6) / 1e6) + 0.0003).all()


def test_thompson_of_two_is_the_normal_distribution() -> None:
    """Of two actions the first is best with probability Phi(difference / root of the summed variances)."""
    from scipy.special import ndtr

    worth, spread = np.array([[1.0, 0.4], [5.0, 0.0]]), np.array([[0.3, 0.8], [1e-3, 2.0]])
    wanted = ndtr((worth[:, 0] - worth[:, 1]) / np.hypot(spread[:, 0], spread[:, 1]))
    np.testing.assert_allclose(chance_of_best(worth, spread)[:, 0], wanted, atol=3e-4)


def test_equal_actions_are_equally_often_best() -> None:
    """Ties are split evenly, with a spread and without."""
    for spread in (0.0, 1.0):
        np.testing.assert_allclose(chance_of_best(np.ones((1, 4)), np.full((1, 4), spread)), 0.25, atol=1e-9)


def test_squarecb_is_its_formula() -> None:
    """With gamma given, the others get 1 / (k + gamma gap) and the best what is left, over the eligible actions."""
    worth = np.array([[0.9, 0.5, -np.inf, 0.7]])
    p = SquareCB(gamma=20.0).weigh(worth, np.zeros((1, 4)))[0]
    assert p[1] == pytest.approx(1 / (3 + 20 * 0.4))
    assert p[3] == pytest.approx(1 / (3 + 20 * 0.2))
    assert p.tolist()[2] == 0


def test_squarecb_does_not_depend_on_the_currency() -> None:
    """Worths and spreads in cents give the probabilities that they give in euros."""
    worth, spread = worths()
    for known in (spread, np.zeros_like(spread)):
        np.testing.assert_allclose(
            SquareCB().weigh(worth, known), SquareCB().weigh(worth * 100, known * 100), atol=1e-9
        )


def test_squarecb_explores_less_the_more_it_knows() -> None:
    """A tenth of the spread leaves the actions behind the best about a tenth of their probability."""
    worth = np.array([[1.0, 0.5, 0.0]])
    wide, narrow = (SquareCB().weigh(worth, np.full((1, 3), s))[0] for s in (0.1, 0.01))
    assert (narrow[1:] < wide[1:] / 5).all()


def test_top_two_draws_the_best_and_its_rival() -> None:
    """Its probabilities are those of drawing a best action and, half of the time, another until it differs."""
    worth, spread = np.array([1.0, 0.8, 0.2, -0.5]), np.array([0.3, 0.4, 0.5, 0.6])
    draw = np.random.default_rng(3)
    first, second = ((worth + spread * draw.standard_normal((400_000, 4))).argmax(axis=1) for _ in range(2))
    differs = first != second
    shares = np.bincount(first, minlength=4) / len(first)
    rival = np.array([np.bincount(second[differs & (first == i)], minlength=4) for i in range(4)], dtype=float)
    rival /= rival.sum(axis=1, keepdims=True)
    wanted = 0.5 * shares + 0.5 * shares @ rival
    np.testing.assert_allclose(TopTwo(explore=0.0).weigh(worth[None], spread[None])[0], wanted, atol=0.004)


def test_linucb_prefers_the_unknown() -> None:
    """Of two equal worths the one that is less known is taken."""
    assert LinUCB(explore=0.0).weigh(np.ones((1, 2)), np.array([[0.1, 0.5]])).tolist() == [[0.0, 1.0]]


def test_uplift_cut_leaves_small_gains_alone() -> None:
    """An action whose gain over none does not exceed the cut is not taken; caution asks for more."""
    worth, spread = np.array([[2.0, 1.6, 1.0]]), np.array([[0.5, 0.0, 0.0]])
    assert UpliftCut(cut=0.5, explore=0.0).weigh(worth, spread).tolist() == [[1.0, 0.0, 0.0]]
    assert UpliftCut(cut=0.5, caution=1.0, explore=0.0).weigh(worth, spread).tolist() == [[0.0, 1.0, 0.0]]
    assert UpliftCut(cut=1.0, explore=0.0).weigh(worth, spread).tolist() == [[0.0, 0.0, 1.0]]


def test_pacing_charges_what_is_short() -> None:
    """A price of money turns a dear action down; a price of its place does so too."""
    actions = (Action(id="call", cost=3.0), Action(id="mail", cost=0.1), NONE)
    worth = np.array([[2.0, 1.0, 0.0]])
    assert charge(worth, np.array([3.0, 0.1, 0.0]), price=0.5).tolist() == [[0.5, 0.95, 0.0]]
    import pyarrow as pa

    table = pa.table({f"expected_value:{a.id}": worth[:, j] for j, a in enumerate(actions)})
    chosen = [
        max(row, key=lambda name: row[name])
        for policy in (Pacing(explore=0.0), Pacing(price=0.5, explore=0.0), Pacing(prices={"call": 1.5}, explore=0.0))
        for row in policy.probabilities(table, actions).to_pylist()
    ]
    assert chosen == ["call", "mail", "mail"]


def test_exploration_gives_everything_eligible_a_chance() -> None:
    """With `explore` no eligible action is without probability, whatever the worths."""
    worth, spread = worths()
    for policy in (
        Thompson(explore=0.05),
        TopTwo(explore=0.05),
        LinUCB(),
        UpliftCut(),
        Greedy(),
        SquareCB(explore=0.05),
    ):
        p = policy.weigh(worth * 1000, spread)
        eligible = worth > -np.inf
        assert (p[eligible] >= 0.05 / 7 - 1e-12).all()


def test_none_wins_ties_wherever_it_stands() -> None:
    """Doing nothing is preferred to something that is worth as much."""
    import pyarrow as pa

    actions = (NONE, Action(id="a"), Action(id="b"))
    table = pa.table({f"expected_value:{a.id}": [1.0] for a in actions})
    for policy in (Greedy(explore=0.0), LinUCB(explore=0.0), UpliftCut(explore=0.0)):
        assert weighed(policy, table, actions)["none"].to_pylist() == [1.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SquareCB(gamma=0.0), "gamma 0.0; it is a number above 0"),
        (lambda: LinUCB(optimism=-1.0), "optimism -1.0"),
        (lambda: Thompson(explore=2.0), "between 0 and 1"),
        (lambda: TopTwo(favour=-0.1), "favour -0.1"),
        (lambda: UpliftCut(caution=-1.0), "caution -1.0"),
        (lambda: Pacing(price=-1.0), "a price is a number from 0 up"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make: object, said: str) -> None:
    """A policy names the setting that is off, and what it has to be."""
    with pytest.raises(ConfigError, match=said):
        make()  # type: ignore[operator]
