from __future__ import annotations

import numpy as np
import pytest

from nextbest.policies.limits import BUDGET, PER_DAY, PER_GROUP, PER_PLAY, Left, apply
from nextbest.policies.removals import Removals
from nextbest.types import NONE, Action

ACTIONS = (Action(id="a"), Action(id="b"), NONE)


@pytest.mark.parametrize("seed", range(20))
def test_places_are_never_exceeded_and_nobody_eligible_is_left_out_needlessly(seed: int) -> None:
    """After the limit an action has exactly its places, or all who were eligible when they were fewer."""
    draw = np.random.default_rng(seed)
    worth = np.column_stack([draw.normal(1, 1, (50, 2)), np.zeros(50)])
    removals = Removals(50, 3)
    removals.remove(0, draw.random(50) < 0.3, "eligibility")
    before = removals.eligible.sum(axis=0)
    apply(removals, worth, ACTIONS, 2, Left(places={"a": 7, "b": 60}))
    after = removals.eligible.sum(axis=0)
    assert after.tolist() == [min(7, before[0]), before[1], 50]


def test_those_who_gain_most_keep_the_action() -> None:
    """With one action and three places, the three with the highest gain over nothing keep it."""
    worth = np.array([[5.0, 4.5], [3.0, 0.0], [9.0, 8.9], [2.0, 0.0], [1.5, 0.0]])
    removals = Removals(5, 2)
    apply(removals, worth, (ACTIONS[0], NONE), 1, Left(places={"a": 3}))
    assert removals.eligible[:, 0].tolist() == [False, True, False, True, True]
    assert removals.counts() == {PER_DAY: 2}


def test_those_for_whom_it_is_best_come_before_those_with_something_better() -> None:
    """A place goes to whom it suits best, though another would gain more by it and even more by something else."""
    worth = np.array([[5.0, 9.0, 0.0], [1.0, 0.5, 0.0]])
    removals = Removals(2, 3)
    apply(removals, worth, ACTIONS, 2, Left(places={"a": 1}))
    assert removals.eligible[:, 0].tolist() == [False, True]


def test_a_limit_on_the_whole_play_keeps_the_best_subjects() -> None:
    """Two places in all leave every action to the two who gain most by any, and nothing to the others."""
    worth = np.array([[1.0, 0.2, 0.0], [0.1, 3.0, 0.0], [2.0, 0.0, 0.0], [-1.0, -2.0, 0.0]])
    removals = Removals(4, 3)
    apply(removals, worth, ACTIONS, 2, Left(places={}, in_all=2))
    assert removals.eligible[:, :2].any(axis=1).tolist() == [False, True, True, False]
    assert removals.eligible[:, 2].all()
    assert removals.counts() == {PER_PLAY: 4}


def test_no_places_left_means_nothing() -> None:
    """Zero places remove the action from everyone."""
    removals = Removals(3, 3)
    apply(removals, np.ones((3, 3)), ACTIONS, 2, Left(places={"a": 0, "b": 0}, in_all=0))
    assert removals.eligible.tolist() == [[False, False, True]] * 3


def drawn_at_worst(removals: Removals, costs: np.ndarray) -> float:
    """Give what a list costs when everyone draws the dearest action left to them."""
    return float(np.where(removals.eligible, costs, 0.0).max(axis=1).sum())


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_drawn_no_limit_is_exceeded(seed: int) -> None:
    """With money, places and households short, even the worst draw from what is left stays within all of them."""
    draw = np.random.default_rng(seed)
    n = 400
    actions = (Action(id="a", cost=1.0), Action(id="b", cost=5.0), Action(id="c", action_class="content"), NONE)
    worth = np.column_stack([draw.lognormal(0, 1, (n, 2)) * 3, draw.normal(0, 1, n), np.zeros(n)])
    removals, group = Removals(n, 4), draw.integers(-1, 150, n)
    left = Left(places={"b": 20}, least={"b": 15}, budget=120.0, group=group, contacts=(True, True, False, False))
    found = apply(removals, worth, actions, 3, left)
    assert drawn_at_worst(removals, np.array([a.cost for a in actions])) <= 120.0
    assert removals.eligible[:, 1].sum() <= 20
    reached = group[removals.eligible[:, :2].any(axis=1)]
    assert np.bincount(reached[reached >= 0]).max() <= 1
    assert removals.eligible[:, 2:].all()
    top = np.where(removals.eligible, found.worth, -np.inf).argmax(axis=1)
    assert (top == np.where(found.plan.action == 3, top, found.plan.action)).all()
    assert (top == 1).sum() >= 15
    assert set(removals.counts()) == {PER_DAY, PER_GROUP, BUDGET}


def test_prices_say_what_is_short() -> None:
    """A budget that is short has a price per money, a place that is short one per use, and what abounds has none."""
    worth = np.column_stack([np.linspace(0, 9, 100), np.linspace(0, 4, 100), np.zeros(100)])
    actions = (Action(id="a", cost=1.0), Action(id="b", cost=0.0), NONE)
    money = apply(Removals(100, 3), worth, actions, 2, Left(budget=10.0)).prices
    assert money.budget > 0
    assert not money.per_action
    places = apply(Removals(100, 3), worth, actions, 2, Left(places={"a": 10}, budget=1000.0)).prices
    assert places.budget == 0
    assert places.per_action["a"] > 0
    assert set(places.per_action) == {"a"}


def test_what_ties_is_decided_by_the_plan() -> None:
    """Where all gain alike, those who are planned still have their action above nothing in what the policy compares."""
    actions = (Action(id="a", cost=1.0), NONE)
    worth = np.column_stack([np.ones(50), np.zeros(50)])
    found = apply(Removals(50, 2), worth, actions, 1, Left(budget=20.0))
    assert (found.worth[:, 0] > found.worth[:, 1]).sum() == 20
