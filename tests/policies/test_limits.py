from __future__ import annotations

import numpy as np
import pytest

from nextbest.policies.limits import PER_DAY, PER_PLAY, apply_capacity
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
    apply_capacity(removals, worth, ACTIONS, 2, per_action={"a": 7, "b": 60}, in_all=None)
    after = removals.eligible.sum(axis=0)
    assert after.tolist() == [min(7, before[0]), before[1], 50]


def test_those_who_gain_most_keep_the_action() -> None:
    """With one action and three places, the three with the highest gain over nothing keep it."""
    worth = np.array([[5.0, 4.5], [3.0, 0.0], [9.0, 8.9], [2.0, 0.0], [1.5, 0.0]])
    removals = Removals(5, 2)
    apply_capacity(removals, worth, (ACTIONS[0], NONE), 1, per_action={"a": 3}, in_all=None)
    assert removals.eligible[:, 0].tolist() == [False, True, False, True, True]
    assert removals.counts() == {PER_DAY: 2}


def test_those_for_whom_it_is_best_come_before_those_with_something_better() -> None:
    """A place goes to whom it suits best, though another would gain more by it and even more by something else."""
    worth = np.array([[5.0, 9.0, 0.0], [1.0, 0.5, 0.0]])
    removals = Removals(2, 3)
    apply_capacity(removals, worth, ACTIONS, 2, per_action={"a": 1}, in_all=None)
    assert removals.eligible[:, 0].tolist() == [False, True]


def test_a_limit_on_the_whole_play_keeps_the_best_subjects() -> None:
    """Two places in all leave every action to the two who gain most by any, and nothing to the others."""
    worth = np.array([[1.0, 0.2, 0.0], [0.1, 3.0, 0.0], [2.0, 0.0, 0.0], [-1.0, -2.0, 0.0]])
    removals = Removals(4, 3)
    apply_capacity(removals, worth, ACTIONS, 2, per_action={}, in_all=2)
    assert removals.eligible[:, :2].any(axis=1).tolist() == [False, True, True, False]
    assert removals.eligible[:, 2].all()
    assert removals.counts() == {PER_PLAY: 4}


def test_no_places_left_means_nothing() -> None:
    """Zero places remove the action from everyone."""
    removals = Removals(3, 3)
    apply_capacity(removals, np.ones((3, 3)), ACTIONS, 2, per_action={"a": 0, "b": 0}, in_all=0)
    assert removals.eligible.tolist() == [[False, False, True]] * 3
