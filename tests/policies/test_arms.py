from __future__ import annotations

import numpy as np
import pytest

from nextbest.errors import ConfigError
from nextbest.policies.arms import ARMS, assign, overall, shares, warning, within
from nextbest.policies.draw import fingerprints
from nextbest.types import NONE, Action, Play

PLAY = Play(name="p", actions=(Action(id="mail"), NONE), holdout=0.1, random=0.2)
PEOPLE = fingerprints([f"c{i}" for i in range(50_000)])


def test_arms_have_the_shares_of_the_play() -> None:
    """Each arm's share is within three standard errors of its design."""
    arms = assign(PLAY, PEOPLE, "salt")
    for name, share in (("holdout", 0.1), ("random", 0.2), ("policy", 0.7)):
        seen = (arms == ARMS.index(name)).mean()
        assert abs(seen - share) < 3 * np.sqrt(share * (1 - share) / len(arms))


def test_arms_differ_between_plays_and_salts() -> None:
    """Who is held out from one play is held out from another only by chance."""
    arms = assign(PLAY, PEOPLE, "salt") == ARMS.index("holdout")
    for play, salt in ((Play(name="q", actions=PLAY.actions, holdout=0.1, random=0.2), "salt"), (PLAY, "pepper")):
        other = assign(play, PEOPLE, salt) == ARMS.index("holdout")
        assert abs((arms & other).mean() - 0.01) < 0.002


def test_a_larger_holdout_keeps_those_who_were_held_out() -> None:
    """Changing the share moves as few subjects between arms as can be."""
    small = assign(PLAY, PEOPLE, "salt") == ARMS.index("holdout")
    wide = Play(name="p", actions=PLAY.actions, holdout=0.2, random=0.2)
    assert (assign(wide, PEOPLE, "salt")[small] == ARMS.index("holdout")).all()


def test_overall_probability_mixes_the_arms() -> None:
    """The logged probability is holdout, random and policy mixed, by hand for one subject."""
    policy, eligible = np.array([[0.95, 0.05]]), np.array([[True, True]])
    got = overall(shares(PLAY), policy, eligible, 1)
    assert got[0].tolist() == pytest.approx([0.7 * 0.95 + 0.2 / 2, 0.7 * 0.05 + 0.2 / 2 + 0.1])


def test_drawing_within_arms_gives_the_overall_probability() -> None:
    """Averaged over arms, what each arm draws from is what is logged."""
    arms = assign(PLAY, PEOPLE, "salt")
    policy = np.tile([0.6, 0.3, 0.1], (len(arms), 1))
    eligible = np.tile([True, False, True], (len(arms), 1))
    policy[:, 1] = 0.0
    policy /= policy.sum(axis=1, keepdims=True)
    mixed = overall(shares(PLAY), policy, eligible, 2)
    assert within(arms, policy, eligible, 2).mean(axis=0) == pytest.approx(mixed[0], abs=0.006)
    assert mixed.sum(axis=1) == pytest.approx(1.0)
    assert (mixed[:, 1] == 0).all()


def test_a_play_without_proof_says_so() -> None:
    """A holdout below one percent is allowed, and named; impossible shares are refused."""
    assert not warning(PLAY)
    assert "nobody can say later" in warning(Play(name="p", actions=PLAY.actions, holdout=0.0))
    with pytest.raises(ConfigError, match="shares are between 0 and 1"):
        shares(Play(name="p", actions=PLAY.actions, holdout=0.6, random=0.6))
