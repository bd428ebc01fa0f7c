"""A play that is rolled out acts for more and more subjects, keeps its holdout, and says so in its probabilities."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from nextbest.ledger import chain, rollout, workspace
from nextbest.policies.arms import ARMS, assign, shares
from nextbest.policies.draw import fingerprints
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.policies.rollout import LOOK_SECONDS, Staged, staged
from nextbest.types import NONE, Action, Play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
TOML = """
[consent]
regime = "opt_out"
[plays.banner]
holdout = 0.05
value = "1"
response = "0.5"
actions = [{ id = "new", class = "content", assumed_log_odds = 2.0 }, { id = "old", class = "content" }]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace with a play on a page."""
    with workspace.create(tmp_path / "acme", config_text=TOML, clock=lambda: NOW) as ledger:
        yield ledger


def play() -> Play:
    """Give a play with every arm."""
    return Play(name="p", actions=(Action(id="a"), NONE), holdout=0.1, random=0.2, business_as_usual=0.1)


def test_whoever_is_in_stays_in() -> None:
    """With every growing share the policy and random arms only grow, and the holdout stays the same subjects."""
    subjects = fingerprints([f"c{i}" for i in range(20_000)])
    before: dict[str, set[int]] = {}
    for share in (0.0, 0.01, 0.1, 0.5, 1.0):
        arms = assign(staged(play(), "live", share), subjects, "salt")
        members = {name: {i for i, a in enumerate(arms) if ARMS[a] == name} for name in ARMS}
        if before:
            assert before["policy"] <= members["policy"]
            assert before["random"] <= members["random"]
            assert before["holdout"] == members["holdout"]
        before = members
    assert len(before["policy"]) == pytest.approx(12_000, rel=0.03)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.37, 1.0])
def test_shares_sum_to_one(share: float) -> None:
    """A tenth of the way the acting arms have a tenth of their shares, and business as usual has the rest."""
    found = shares(staged(play(), "live", share))
    assert found.policy == pytest.approx(0.6 * share)
    assert found.random == pytest.approx(0.2 * share)
    assert found.holdout == 0.1
    assert found.policy + found.random + found.holdout + found.business_as_usual == pytest.approx(1.0)


def test_observe_serves_what_the_caller_does(ledger: Ledger) -> None:
    """At the stage observe everybody gets the caller's own choice, logged live with probability 1."""
    rollout.take(ledger, "banner", "observe", 0.0, why="begin", evidence={})
    engine = Engine(ledger, plays=Staged(ledger))
    made = [engine.decide(Ask(play="banner", subject_id=f"c{i}", chosen="old"))[0] for i in range(30)]
    assert {(d.arm, d.action_id, d.choice_probability, d.mode) for d in made} == {
        ("business_as_usual", "old", 1.0, "live")
    }


def test_shadow_decides_beside_the_caller(ledger: Ledger) -> None:
    """At the stage shadow the decision is logged as shadow, with what the caller does in its context."""
    rollout.take(ledger, "banner", "shadow", 0.0, why="evidence of observing", evidence={"decisions": 30})
    made = Engine(ledger, plays=Staged(ledger)).decide(Ask(play="banner", subject_id="c1", chosen="old"))[0]
    assert made.mode == "shadow"
    assert made.context["chosen"] == "old"


def test_a_step_binds_a_running_service_and_is_on_the_chain(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is running follows a step within the time between two looks; steps are chained."""
    seconds = [0.0]
    monkeypatch.setattr("nextbest.policies.rollout.time.monotonic", lambda: seconds[0])
    rollout.take(ledger, "banner", "observe", 0.0, why="begin", evidence={})
    engine = Engine(ledger, plays=Staged(ledger))
    asked = [Ask(play="banner", subject_id=f"c{i}", chosen="old") for i in range(40)]
    assert {engine.decide(a)[0].arm for a in asked} == {"business_as_usual"}
    rollout.take(ledger, "banner", "live", 1.0, why="it earns more", evidence={"estimate": 1.0})
    seconds[0] += LOOK_SECONDS
    arms = [engine.decide(a)[0].arm for a in asked]
    assert arms.count("policy") > 30
    with ledger.journal.read() as connection:
        assert [(s.stage, s.share, s.why) for s in rollout.steps(connection, "banner")] == [
            ("observe", 0.0, "begin"),
            ("live", 1.0, "it earns more"),
        ]
    assert chain.verify(ledger).ok
