"""The loop closed on a simulator: decide, let the world answer, record, measure, learn. Streams never meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import UnknownNameError
from nextbest.ledger import create, outcomes
from nextbest.measures.play import measure_play
from nextbest.policies import evidence
from nextbest.policies.decide import decide_bulk
from nextbest.policies.lift import logit, sigmoid
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
N = 12_000
TRUE = {"mail": 0.6, "call": 0.1, "none": 0.0}
TOML = """
[consent]
regime = "opt_out"
[plays.win_back]
holdout = 0.3
random = 0.3
goal = "bought"
goal_days = 10
value = "predicted_clv"
actions = [
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8 },
]
"""


class World:
    """A ledger in which the play was decided once, and the world has answered."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.ledger: Ledger = create(folder, config_text=TOML, clock=lambda: self.now)
        self.play = self.ledger.config.plays["win_back"]
        people, responses = (np.random.default_rng(s) for s in np.random.SeedSequence(5).spawn(2))
        churn = people.uniform(0.1, 0.9, N)
        self.ids = [f"c{i:05d}" for i in range(N)]
        self.people = pa.table({"subject_id": self.ids, "churn_probability": churn, "predicted_clv": [60.0] * N})
        rows = decide_bulk(self.ledger, self.play, self.people, as_of=START, salt="truth").table
        lift = np.array([TRUE[a] for a in rows["action_id"].to_pylist()])
        chance, alone = sigmoid(logit(1 - churn) + lift), 1 - churn
        answered = responses.random(N) < chance
        policy = np.array(rows["arm"].to_pylist()) == "policy"
        self.true_effect = float((chance - alone)[policy].mean())
        self.now += timedelta(days=3)
        moment = START + timedelta(days=2)
        self.record([(s, moment) for s, yes in zip(self.ids, answered, strict=True) if yes])

    def wait(self) -> None:
        """Let the outcomes come due, in a world that is watched until then."""
        self.now = START + timedelta(days=15)
        self.record([("somebody else", self.now)])

    def record(self, answers: list[tuple[str, datetime]]) -> None:
        """Record that subjects bought."""
        rows = [Outcome(outcome_id=f"{s}-{ts:%d}", subject_id=s, ts=ts, name="bought") for s, ts in answers]
        outcomes.record(self.ledger, rows)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give the world after the answers."""
    made = World(tmp_path_factory.mktemp("truth") / "w")
    yield made
    made.ledger.journal.close()


def test_pending_is_not_no(world: World) -> None:
    """Three days after the decisions nothing is due, so nothing is told and nothing is learnt."""
    effect = measure_play(world.ledger, world.play, outcome="bought")
    assert (effect.status, effect.n) == ("not_enough_data", 0)
    assert "has the 10 days behind it" in effect.why
    assert evidence.read(world.ledger, world.play, as_of=world.now) is None


def test_the_loop_finds_the_truth(world: World) -> None:
    """Once due, the play's effect, each action's effect and each lift are the true ones within their error."""
    world.wait()
    effect = measure_play(world.ledger, world.play, outcome="bought")
    assert effect.status == "ok"
    assert effect.baseline == "holdout"
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < world.true_effect < effect.high
    actions = effect.details["actions"]
    assert actions["mail"]["low"] > 0
    assert actions["mail"]["estimate"] > actions["call"]["estimate"]
    assert effect.details["sample_ratio_p"] > 0.001
    lifts = evidence.lifts(world.ledger, world.play, world.play.actions, as_of=world.now)
    for name, lift in lifts.by_action.items():
        assert abs(lift.log_odds - TRUE[name]) < 4 * lift.sd
        assert not lift.assumed


def test_what_was_learnt_decides_the_next_time(world: World) -> None:
    """The call, assumed strong and found weak and dear, loses to the mail; the reason says that it was measured."""
    world.wait()
    decided = decide_bulk(world.ledger, world.play, world.people, as_of=world.now, mode="replay", salt="truth")
    likely = [r for r in decided.listing().to_pylist() if r["choice_probability"] > 0.3 and r["action_id"] != "none"]
    assert {r["action_id"] for r in likely} == {"mail"}
    assert decided.assumed == ()
    assert "(effect measured)" in next(r for r in likely if r["arm"] == "policy")["reason"]


def test_lost_subjects_hide_the_result(world: World) -> None:
    """A play whose design says another holdout than was drawn cannot be told."""
    from dataclasses import replace

    world.wait()
    other = replace(world.play, holdout=0.1)
    effect = measure_play(world.ledger, other, outcome="bought")
    assert (effect.status, effect.estimate) == ("cannot_tell", None)
    assert "lost unevenly" in effect.why


def test_an_unknown_outcome_is_refused_with_the_near_word(world: World) -> None:
    """A misspelt outcome names the recorded one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'bought'"):
        measure_play(world.ledger, world.play, outcome="boughd")
