"""Checks of a play's decisions: silence over healthy logs, alarms over planted faults."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nextbest import verbs
from nextbest.ledger import create, decisions, outcomes
from nextbest.types import Candidate, Decision, Outcome
from nextbest.watching import choices, rewards
from nextbest.watching.checked import Taken
from nextbest.watching.decisions import degraded, latency, watch_play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = NOW.timestamp()
DAY = 86_400.0
ARMS = {"policy": 0.85, "random": 0.05, "business_as_usual": 0.05, "holdout": 0.05}
LOOKS = 400


def world(seed: int, *, subjects: int = 1_500, each: float = 2.0, days: float = 28.0, sharp: float = 1.0) -> Taken:
    """Give a healthy log: a subject decides several times, stays in its arm, and is drawn as logged.

    The policy is a softmax over three actions and none; `sharp` is how far it prefers one. The stream of the world and
    that of the draws are separate.
    """
    of_world, of_draws = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    subject = np.repeat(np.arange(subjects), 1 + of_world.poisson(each - 1, subjects))
    n = len(subject)
    order = of_world.permutation(n)
    subject = subject[order]
    scores = sharp * of_world.normal(size=(n, 4)) + sharp * np.array([0.0, 1.0, 0.5, 0.0])
    policy = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    none, shares = np.eye(4)[3], np.array(list(ARMS.values()))
    arm = np.searchsorted(np.cumsum(shares), of_draws.uniform(size=subjects))[subject]
    inside = np.where((arm == 0)[:, None], policy, np.where((arm == 1)[:, None], 0.25, none))
    logged = shares[0] * policy + shares[1] / 4 + (shares[2] + shares[3]) * none
    chosen = (of_draws.uniform(size=(n, 1)) > np.cumsum(inside, axis=1)).sum(axis=1).clip(0, 3)
    return Taken(
        subject=subject,
        ts=np.sort(END - days * DAY * of_world.uniform(size=n)),
        arm=np.array(list(ARMS), dtype=object)[arm],
        degraded=np.zeros(n, dtype=bool),
        single=np.ones(n, dtype=bool),
        latency_us=of_world.gamma(4, 500, n),
        row=np.repeat(np.arange(n), 4),
        action=np.tile(np.arange(4), n),
        chance=logged.ravel(),
        chosen=(np.arange(4) == chosen[:, None]).ravel(),
        actions=("a", "b", "c", "none"),
    )


def answers(log: Taken, seed: int, *, rates: tuple[float, ...] = (0.1, 0.15, 0.12, 0.05)) -> np.ndarray[Any, Any]:
    """Give what each decision earned: clicks of 0 or 1, likelier from some subjects than from others."""
    draw = np.random.default_rng(np.random.SeedSequence([seed, 77]))
    liking = draw.gamma(4, 0.25, int(log.subject.max()) + 1)[log.subject]
    rate = np.array(rates)[log.action[log.chosen]]
    return (draw.uniform(size=log.n) < np.minimum(rate * liking, 1)).astype(float)


@pytest.mark.slow
def test_healthy_logs_raise_few_alarms_per_look() -> None:
    """Over 400 healthy logs all checks together raise an alarm in at most 5% of looks."""
    alarms = 0
    for seed in range(LOOKS):
        log = world(seed)
        cut = END - 7 * DAY
        value = answers(log, seed)
        came = log.ts[value > 0] + 600.0
        found = [
            choices.shares(log),
            choices.impossible(log),
            choices.arms(log, ARMS),
            choices.entropy(log.where(log.ts < cut), log.where(log.ts >= cut)),
            rewards.reward(log.subject, log.action[log.chosen], log.ts, value, since=cut),
            rewards.silence(came, log.ts, now=END),
            *degraded(log, now=END),
            latency(log, 50.0, now=END),
        ]
        assert {c.status for c in found[:6]} == {"ok"}
        alarms += not all(c.ok for c in found)
        assert not any(c.stops for c in found)
    assert alarms <= 0.05 * LOOKS


@pytest.mark.slow
def test_daily_looks_at_healthy_plays_warn_now_and_then_and_stop_none() -> None:
    """Over 60 healthy plays that are looked at daily for a month some looks warn, and none stops learning."""
    warned = stopped = 0
    for seed in range(5_000, 5_060):
        log = world(seed, days=65.0)
        value, action = answers(log, seed), log.action[log.chosen]
        for day in range(30):
            now = END - day * DAY
            keep = (log.ts <= now) & (log.ts > now - 35 * DAY)
            part = log.where(keep)
            found = [
                choices.shares(part),
                choices.arms(part, ARMS),
                rewards.reward(part.subject, action[keep], part.ts, value[keep], since=now - 7 * DAY),
                rewards.silence(log.ts[(value > 0) & keep] + 600.0, part.ts, now=now),
            ]
            warned += not all(c.ok for c in found)
            stopped += any(c.stops for c in found)
    assert 0 < warned <= 0.05 * 60 * 30
    assert stopped == 0


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_policy_that_draws_otherwise_than_it_logs_is_found(seed: int) -> None:
    """When every fifth choice is the first action whatever was logged, the shares give it away."""
    log = world(seed)
    assert choices.shares(log).ok
    wrong = np.random.default_rng(seed).uniform(size=log.n) < 0.2
    chosen = log.chosen.reshape(-1, 4).copy()
    chosen[wrong] = np.eye(4, dtype=bool)[0]
    fault = _with(log, chosen=chosen.ravel())
    found = choices.shares(fault)
    assert not found.ok
    assert found.stops
    assert found.figure is not None
    assert found.limit is not None
    assert found.figure > found.limit
    assert "not what was drawn" in found.what_to_do


def test_one_subject_that_asks_all_day_is_no_fault() -> None:
    """A subject that gets the same draw two hundred times counts once: its repetitions are no evidence."""
    log = world(9, subjects=300, each=1.0)
    heavy = np.zeros(log.n, dtype=int) + 1
    heavy[log.subject == 7] = 200
    rows = np.repeat(np.arange(log.n), heavy)
    again = Taken(
        subject=log.subject[rows], ts=log.ts[rows], arm=log.arm[rows], degraded=log.degraded[rows],
        single=log.single[rows], latency_us=log.latency_us[rows], row=np.repeat(np.arange(len(rows)), 4),
        action=np.tile(np.arange(4), len(rows)), chance=log.chance.reshape(-1, 4)[rows].ravel(),
        chosen=log.chosen.reshape(-1, 4)[rows].ravel(), actions=log.actions,
    )  # fmt: skip
    assert choices.shares(again).ok


def test_a_choice_without_a_chance_is_found() -> None:
    """One decision that chose what had probability 0 is one too many."""
    log = world(3)
    chance = log.chance.copy()
    chance[np.flatnonzero(log.chosen)[0]] = 0.0
    assert choices.impossible(log).ok
    assert not choices.impossible(_with(log, chance=chance)).ok


def test_a_lost_part_of_an_arm_is_found() -> None:
    """When a third of the held-out subjects is missing, the arms no longer have their sizes; repeats do not matter."""
    log = world(4, subjects=6_000)
    lost = (log.arm == "holdout") & (log.subject % 3 == 0)
    assert choices.arms(log, ARMS).ok
    found = choices.arms(log.where(~lost), ARMS)
    assert not found.ok
    assert "holdout" in found.why


def test_a_collapse_is_told_from_a_slow_narrowing() -> None:
    """A policy that suddenly puts all on one action alarms; one that narrows a little does not."""
    wide, narrower, shut = world(5), world(6, sharp=1.3), world(7, sharp=30.0)
    assert choices.entropy(wide, narrower).ok
    found = choices.entropy(wide, shut)
    assert not found.ok
    assert found.limit == 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rewards_that_halve_are_found_and_another_mix_is_none(seed: int) -> None:
    """Rates that halve in the last week alarm; more choices of the best action with the same rates do not."""
    log = world(seed, subjects=4_000)
    cut = END - 7 * DAY
    action = log.action[log.chosen]
    steady, halved = answers(log, seed), answers(log, seed, rates=(0.05, 0.075, 0.06, 0.025))
    late = log.ts >= cut
    assert rewards.reward(log.subject, action, log.ts, steady, since=cut).ok
    assert not rewards.reward(log.subject, action, log.ts, np.where(late, halved, steady), since=cut).ok
    mixed = late & (action != 1) & (np.random.default_rng(seed).uniform(size=log.n) < 0.7)
    kept = ~mixed
    assert rewards.reward(log.subject[kept], action[kept], log.ts[kept], steady[kept], since=cut).ok


def test_outcomes_that_stop_are_missed() -> None:
    """Two days without an outcome, where they came every hour, alarm while decisions go on, and not after they stop."""
    came = END - 2 * DAY - 3600.0 * np.arange(200)
    deciding = END - 600.0 * np.arange(4_000)
    found = rewards.silence(came, deciding, now=END)
    assert not found.ok
    assert found.figure == pytest.approx(48.0)
    assert rewards.silence(came + 2 * DAY - 60, deciding, now=END).ok
    assert rewards.silence(came, deciding - 10 * DAY, now=END).ok
    assert rewards.silence(came[:10], deciding, now=END).status == "cannot_tell"


def test_degraded_and_slow_decisions_pass_their_limits() -> None:
    """Two degraded of a hundred in five minutes alarm for the minutes; slow single requests alarm for the deadline."""
    log = world(8)
    recent = _with(log, ts=np.linspace(END - 290, END - 1, log.n))
    bad = np.zeros(log.n, dtype=bool)
    bad[::50] = True
    assert [c.ok for c in degraded(recent, now=END)] == [True, True]
    assert [c.ok for c in degraded(_with(recent, degraded=bad), now=END)] == [False, False]
    assert latency(recent, 50.0, now=END).ok
    assert not latency(recent, 1.0, now=END).ok


def test_outcomes_of_unknown_decisions_are_counted() -> None:
    """More than one in a hundred outcomes that name a decision nobody logged is too many."""
    assert rewards.unlogged(1_000, 5).ok
    assert rewards.unlogged(3, 1).ok
    assert not rewards.unlogged(3, 2).ok
    assert not rewards.unlogged(1_000, 20).ok
    assert rewards.unlogged(0, 0).status == "cannot_tell"


def _with(log: Taken, **values: Any) -> Taken:
    from dataclasses import replace

    return replace(log, **values)


# --- from the ledger --------------------------------------------------------------------------------------------------

TOML = """
[plays.p]
holdout = 0.5
goal = "click"
goal_days = 0.01
actions = [{ id = "a", class = "content" }]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace with one play."""
    made = create(tmp_path / "w", config_text=TOML, clock=lambda: NOW)
    yield made
    made.close()


def log_some(ledger: Ledger, n: int, *, faulty: bool) -> None:
    """Log n decisions at even odds, the last of them degraded where *faulty*; every fifth is answered."""
    draw = np.random.default_rng(3).uniform(size=n) < 0.5
    rows, came = [], []
    for i in range(n):
        ts = NOW - timedelta(minutes=1 + (n - 1 - i) * 30)
        taken = "a" if draw[i] else "none"
        both = tuple(Candidate(action_id=name, choice_probability=0.5) for name in ("a", "none"))
        rows.append(
            Decision(
                decision_id=f"d_{i:05d}", request_id=f"r{i}", play="p", subject_id=f"s{i}", ts=ts, action_id=taken,
                choice_probability=0.5, candidates=both, arm="policy" if draw[i] else "holdout", latency_us=900,
                degraded=faulty and i > n - 40, policy_version="v",
            )
        )  # fmt: skip
        if i % 5 == 0:
            answered = timedelta(minutes=5)
            came.append(
                Outcome(
                    outcome_id=f"o{i}", decision_id=f"d_{i:05d}", subject_id=f"s{i}", ts=ts + answered, name="click"
                )
            )
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    outcomes.record(ledger, came)


def test_a_healthy_play_is_watched_from_its_log(ledger: Ledger) -> None:
    """Every check that has enough to go by is within its limit, and says its figure; nothing drifts."""
    log_some(ledger, 1_000, faulty=False)
    found = watch_play(ledger, ledger.config.plays["p"])
    assert not found.drifted
    assert found.decisions == 1_000
    by_name = {c.name: c for c in found.checks}
    told = {"choice_shares", "impossible_choices", "sample_ratio", "entropy", "reward", "silence", "unlogged"}
    assert {name for name, c in by_name.items() if c.status == "ok"} >= told
    assert by_name["degraded_5_minutes"].status == "ok"


def test_a_fault_makes_the_play_drift_and_says_what_to_do(ledger: Ledger) -> None:
    """Degraded decisions of today make the whole play drift, as data that fits into JSON and in words."""
    log_some(ledger, 1_000, faulty=True)
    (found,) = [w for w in verbs.watch(ledger, "p") if hasattr(w, "play")]
    assert found.drifted
    assert "degraded" in found.why
    assert "Look at the reasons in the log" in found.why
    from nextbest.cli.render import plain

    assert json.loads(json.dumps(plain(found)))["checks"]


def test_a_play_that_has_decided_nothing_says_so(ledger: Ledger) -> None:
    """Without decisions there is nothing to check, and nothing drifts; unnamed, the play is left out."""
    found = watch_play(ledger, ledger.config.plays["p"])
    assert not found.drifted
    assert "has decided nothing" in found.why
    assert verbs.watch(ledger) == ()


@pytest.mark.parametrize(("rate", "before", "now"), [(0.003, 20_000, 5_000), (0.02, 4_000, 1_000)])
def test_rare_answers_raise_no_more_alarms_than_they_should(rate: float, before: int, now: int) -> None:
    """Where one decision in fifty to three hundred is answered, an unchanged world alarms in at most 1.5% of looks."""
    draw = np.random.default_rng(np.random.SeedSequence([before, 313]))
    n, alarms = before + now, 0
    ts = np.repeat([0.0, 1.0], [before, now])
    for _ in range(LOOKS):
        action = draw.choice(3, n, p=[0.7, 0.2, 0.1])
        value = (draw.random(n) < rate).astype(float)
        found = rewards.reward(np.arange(n), action, ts, value, since=0.5)
        assert found.status == "ok"
        alarms += not found.ok
    assert alarms <= 0.015 * LOOKS
    fallen = np.where(ts > 0, value * (draw.random(n) < 0.2), value)
    found = rewards.reward(np.arange(n), action, ts, fallen, since=0.5)
    assert (found.ok, found.stops) == (False, False)  # so few answers warn; they are not enough to stop learning
    often = np.where(ts > 0, 0.2, 1.0) * 0.1 > draw.random(n)
    assert rewards.reward(np.arange(n), action, ts, often.astype(float), since=0.5).stops


def test_a_handful_of_answers_tells_nothing_of_drift() -> None:
    """With three answers expected on the smaller side nobody can tell a drift from chance, and it is said."""
    draw = np.random.default_rng(4711)
    value = (draw.random(5_000) < 0.003).astype(float)
    ts = np.repeat([0.0, 1.0], [4_000, 1_000])
    found = rewards.reward(np.arange(5_000), np.zeros(5_000, dtype=int), ts, value, since=0.5)
    assert (found.status, found.ok) == ("cannot_tell", True)
    assert "answers are expected" in found.why
