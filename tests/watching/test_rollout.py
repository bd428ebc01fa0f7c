"""Rollout: forward with evidence, back always, and measures that know which shares were in force when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.clocks import Clock

from nextbest import operations, verbs
from nextbest.errors import UnknownNameError, UsageError
from nextbest.ledger import create
from nextbest.ledger import rollout as steps
from nextbest.policies import rollout as staging
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.recipes.replayed_usual import against_usual
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.types import Decision

START = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)  # what came within a day is known when the day is over
TOML = """
[consent]
regime = "opt_out"
[plays.banner]
holdout = 0.1
random = 0.2
habit = "old"
goal = "click"
goal_days = 0.02
value = "1"
response = "0.2"
deadline_ms = 60000
policy = { name = "greedy", explore = 0.2 }
actions = [{ id = "new", class = "content", assumed_log_odds = 1.0 }, { id = "old", class = "content" }]
"""
RATES = {"new": 0.5, "old": 0.1, "none": 0.05}


@pytest.fixture
def clock() -> Clock:
    """Give a clock at the start."""
    return Clock(START)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Give a workspace with a play on a page."""
    with create(tmp_path / "acme", config_text=TOML, clock=clock) as ledger:
        yield ledger


def visits(
    ledger: Ledger, clock: Clock, many: int, *, start: int = 0, rates: Mapping[str, float] = RATES, seed: int = 5
) -> list[Decision]:
    """Decide for some visitors, let some click by a stream of its own, and let an hour pass."""
    of_world = np.random.default_rng(np.random.SeedSequence([seed, start]))
    clock.now += timedelta(minutes=1)
    engine = Engine(ledger, plays=staging.Staged(ledger))
    asks = [Ask(play="banner", subject_id=f"v{i}", request_id=f"r{i}") for i in range(start, start + many)]
    made = [chosen.decision() for (chosen,) in engine.submit(asks).result()]
    clock.now += timedelta(minutes=1)
    clicks = [d for d in made if of_world.random() < rates[d.action_id]]
    verbs.record(
        ledger,
        [
            Outcome(outcome_id=d.decision_id, subject_id=d.subject_id, ts=clock.now, name="click",
                    decision_id=d.decision_id)
            for d in clicks
        ],
    )  # fmt: skip
    clock.now += timedelta(hours=1)
    return made


def test_a_play_without_steps_acts_for_all_and_may_begin(ledger: Ledger) -> None:
    """A play that never took a step stands at 100%, and going back to observe needs no evidence."""
    before = operations.rollout(ledger, "banner")
    assert (before.step, before.next, before.since) == ("100%", None, "")
    after = operations.rollout(ledger, "banner", to="observe")
    assert (after.taken, after.step, after.next, after.ready) == ("observe", "observe", "shadow", False)


def test_forward_without_evidence_is_refused_with_what_is_missing(ledger: Ledger) -> None:
    """Without decisions the next step is refused, says which checks lack, and nothing is stored."""
    operations.rollout(ledger, "banner", to="observe")
    found = operations.rollout(ledger, "banner", to="shadow")
    assert found.taken is None
    assert found.step == "observe"
    assert {text.split(":")[0] for text in found.missing} == {"decisions", "degraded", "latency"}
    with ledger.journal.read() as connection:
        assert [s.stage for s in steps.steps(connection, "banner")] == ["observe"]


def test_steps_are_not_skipped(ledger: Ledger) -> None:
    """From observe to 10% is refused, whatever the evidence."""
    operations.rollout(ledger, "banner", to="observe")
    assert operations.rollout(ledger, "banner", to="10%").missing == (
        "The step after observe is shadow; 10% comes later.",
    )


def test_force_needs_a_reason_and_is_on_record(ledger: Ledger) -> None:
    """A forced step keeps its reason, what was missing, and the figures; without a reason it is refused."""
    operations.rollout(ledger, "banner", to="observe")
    with pytest.raises(UsageError, match="--why"):
        operations.rollout(ledger, "banner", to="1%", force=True)
    assert operations.rollout(ledger, "banner", to="1%", force=True, why="fair on Monday").taken == "1%"
    with ledger.journal.read() as connection:
        last = steps.steps(connection, "banner")[-1]
    assert (last.share, last.why, last.evidence["forced"]) == (0.01, "fair on Monday", True)
    assert last.evidence["missing"]
    assert operations.verify(ledger).ok


def test_unknown_names_get_the_near_word(ledger: Ledger) -> None:
    """A step or play that does not exist is refused with the one that was meant."""
    with pytest.raises(UnknownNameError, match="shadow"):
        operations.rollout(ledger, "banner", to="shado")
    with pytest.raises(UnknownNameError, match="banner"):
        operations.rollout(ledger, "baner")


def test_evidence_carries_a_play_from_observe_to_ten_per_cent_and_back(ledger: Ledger, clock: Clock) -> None:
    """With enough sound decisions every step is taken; a step back needs none."""
    operations.rollout(ledger, "banner", to="observe")
    assert {d.action_id for d in visits(ledger, clock, 320)} == {"old"}
    assert operations.rollout(ledger, "banner", to="shadow").taken == "shadow"
    visits(ledger, clock, 320)
    found = operations.rollout(ledger, "banner", to="1%")
    assert found.taken == "1%", found.missing
    assert operations.rollout(ledger, "banner", to="50%", force=True, why="a small shop").taken == "50%"
    visits(ledger, clock, 1_500)
    ready = operations.rollout(ledger, "banner")
    assert {c.name for c in ready.checks} == {
        "decisions", "degraded", "latency", "sample_ratio", "overlap", "replay"
    }  # fmt: skip
    assert ready.ready, ready.checks
    assert operations.rollout(ledger, "banner", to="100%").taken == "100%"
    assert operations.rollout(ledger, "banner", to="shadow").taken == "shadow"


def test_a_play_that_does_harm_stays_where_it_is(ledger: Ledger, clock: Clock) -> None:
    """Where the new action surely brings less than business as usual, the next step is refused."""
    steps.take(ledger, "banner", "live", 0.5, why="test", evidence={})
    visits(ledger, clock, 1_500, rates={"new": 0.02, "old": 0.4, "none": 0.05})
    found = operations.rollout(ledger, "banner", to="100%")
    assert found.taken is None
    assert [text.split(":")[0] for text in found.missing] == ["replay"]


@pytest.mark.slow
def test_the_effect_against_business_as_usual_holds_the_truth(ledger: Ledger, clock: Clock) -> None:
    """The interval of the play for all less business as usual holds what the stated rates say, in 19 of 20 worlds."""
    truth = 0.7 * (0.9 * 0.5 + 0.05 * 0.1 + 0.05 * 0.05) + 0.2 * (0.5 + 0.1 + 0.05) / 3 + 0.1 * 0.05 - 0.1
    held, last = 0, None
    for seed in range(20):
        steps.take(ledger, "banner", "live", 0.5, why=f"world {seed}", evidence={})
        with ledger.journal.read() as connection:
            since = steps.steps(connection, "banner")[-1].ts
        visits(ledger, clock, 800, start=10_000 * seed, seed=seed)
        last = against_usual(ledger, ledger.config.plays["banner"], since=since)
        assert last.low is not None
        assert last.high is not None
        held += last.low <= truth <= last.high
    assert held >= 16  # binomial(20, 0.95): fewer happen once in 400
    assert last is not None
    assert last.baseline == "business_as_usual"


def at_two_shares(ledger: Ledger, clock: Clock) -> tuple[Counter[str], dict[str, float]]:
    """Decide for 1,200 visitors at a share of 10% and as many at 50%; give the arms' sizes and their expected mix."""
    counted: Counter[str] = Counter()
    for start, share in ((0, 0.1), (1_200, 0.5)):
        steps.take(ledger, "banner", "live", share, why="test", evidence={})
        counted.update(d.arm for d in visits(ledger, clock, 1_200, start=start))
    return counted, staging.design(ledger, "banner", staging.first_times(ledger, "banner"))


def test_the_sizes_of_arms_are_held_against_the_shares_in_force(ledger: Ledger, clock: Clock) -> None:
    """After steps from 10% to 50% the arms pass the check by the mix of shares, which those of now alone would fail."""
    counted, mix = at_two_shares(ledger, clock)
    assert mix["policy"] == pytest.approx(0.7 * 0.3)
    assert mix["business_as_usual"] == pytest.approx(0.9 * 0.7)
    assert sum(mix.values()) == pytest.approx(1.0)
    assert counted["policy"] / 2_400 == pytest.approx(mix["policy"], abs=0.04)
    found = verbs.measure(ledger, "banner", outcome="click")
    assert found.status == "ok", found.why
    assert found.details["sample_ratio_p"] > 0.001
    replayed = verbs.measure(ledger, "banner", outcome="click", method="replay", policy="greedy")
    assert "sizes" not in replayed.why
    watched = verbs.watch(ledger, "banner")[0]
    ratio = next(c for c in watched.checks if c.name == "sample_ratio")  # type: ignore[union-attr]
    assert ratio.ok
    assert ratio.figure is not None


def test_the_check_still_sees_subjects_that_were_lost(ledger: Ledger, clock: Clock) -> None:
    """When half of the policy arm is lost on the way, the mix of shares gives the alarm."""
    from nextbest.measures.sample_ratio import sample_ratio

    counted, mix = at_two_shares(ledger, clock)
    assert sample_ratio(counted, mix).ok
    lost = {**counted, "policy": counted["policy"] // 2}
    assert not sample_ratio(lost, mix).ok


def test_before_the_first_step_the_declared_shares_hold(ledger: Ledger) -> None:
    """Subjects that came before a play took its first step count with the shares of the configuration."""
    steps.take(ledger, "banner", "live", 0.5, why="test", evidence={})
    early = np.array([START.timestamp() - 60.0])
    mix = staging.design(ledger, "banner", early)
    assert mix == pytest.approx({"policy": 0.7, "random": 0.2, "business_as_usual": 0.0, "holdout": 0.1})
    assert staging.design(ledger, "another", early) == {}


def test_a_share_between_steps_counts_as_the_step_reached(ledger: Ledger) -> None:
    """A play at 30% stands at 10%, and its next step is 50%."""
    steps.take(ledger, "banner", "live", 0.3, why="test", evidence={})
    found = operations.rollout(ledger, "banner")
    assert (found.step, found.next) == ("10%", "50%")
    assert replace(found, checks=()).missing == ()
