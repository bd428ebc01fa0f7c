from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.policies.conftest import NOW, subjects

from nextbest.ledger import decisions, identities, outcomes, published
from nextbest.policies.decide import decide_bulk, decide_one
from nextbest.policies.learners import learn
from nextbest.policies.learners.loop import Learning
from nextbest.policies.learners.many import responses
from nextbest.policies.live.ask import Ask, Offers
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.memory import Memory
from nextbest.types import Candidate, Decision, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clocks import Clock

    from nextbest.ledger import Ledger

COUNTED = """[
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2, weight = "1 + contacts_30d" },
  { id = "call", channel = "phone", cost = 1.0, assumed_log_odds = 0.8, eligibility = "contacts_7d < 2" },
  { id = "banner", class = "content", assumed_log_odds = 0.05, eligibility = "decisions_1d < 1" },
]"""
LEARNT = """[
  { id = "mail", channel = "email", cost = 0.01, features = { warm = 1.0, tone = "kind" } },
  { id = "call", channel = "phone", cost = 0.5, weight = "orders_365d / 2", lever = 0.8, features = { warm = 2.0 } },
  { id = "banner", class = "content" },
]"""


def logged(i: int, subject: str, action: str, *, days: float, **changes: Any) -> Decision:
    """Give one decision of the past."""
    both = tuple(Candidate(action_id=a, choice_probability=0.5) for a in (action, "none"))
    made = Decision(
        decision_id=f"past{i}", play="win_back", subject_id=subject, ts=NOW - timedelta(days=days), action_id=action,
        choice_probability=0.5, candidates=both,
    )  # fmt: skip
    return replace(made, **changes)


def agree(ledger: Ledger, engine: Engine, table: pa.Table, *, step: int = 1) -> list[dict[str, Any]]:
    """Check that every row of the list is what the engine decides for that subject; gives the rows."""
    play = ledger.config.plays["win_back"]
    rows: list[dict[str, Any]] = decide_bulk(ledger, play, table, as_of=NOW, mode="replay").table.to_pylist()
    for row in rows[::step]:
        (one,) = engine.decide(Ask(play="win_back", subject_id=row["subject_id"], mode="replay"))
        assert (one.arm, one.action_id, one.seed) == (row["arm"], row["action_id"], row["seed"])
        assert one.policy_version == row["policy_version"]
        assert one.reason == row["reason"]
        listed = {c["action_id"]: c for c in row["candidates"]}
        for c in one.candidates:
            assert c.removed_by == listed[c.action_id]["removed_by"]
            for name in ("response_probability", "expected_value", "choice_probability"):
                assert getattr(c, name) == pytest.approx(listed[c.action_id][name])
    return rows


@pytest.mark.parametrize("memory", [False, True])
def test_counters_count_the_same_in_lists(workspace: Callable[..., Ledger], memory: bool) -> None:  # noqa: FBT001
    """Audience, eligibility and weight by counters agree for a list and for one, merged ids and old rows included."""
    play = 'holdout = 0.0\nrandom = 0.2\naudience = "contacts_1d < 1 or decisions_30d > 2"'
    ledger = workspace(play, actions=COUNTED)
    published.publish(ledger, "churn", "m1", NOW, subjects(30))
    identities.merge(ledger, "twin", "s0000003", why="same e-mail")
    past = [(1, 0.5), (2, 3.0), (3, 3.0), (3, 6.0), (3, 8.0), (4, 0.1), (4, 0.2), (4, 20.0), (5, 31.0), (6, 7.0)]
    made = [logged(i, f"s{n:07d}", "mail", days=d) for i, (n, d) in enumerate(past)]
    made += [logged(90, "twin", "call", days=2.0), logged(91, "s0000007", "banner", days=0.0)]
    made += [logged(92, "s0000008", "mail", days=0.2, mode="shadow")]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, made))
    rows = agree(ledger, Engine(ledger, know=Memory(ledger)) if memory else Engine(ledger), subjects(30))
    rules = {r["subject_id"]: {c["action_id"]: c["removed_by"] for c in r["candidates"]} for r in rows}
    assert "s0000001" not in rules  # contacted within a day
    assert "s0000004" in rules  # so was this one, but decided for three times within a month
    assert [s for s, by in rules.items() if by["call"] == "eligibility"] == ["s0000003", "s0000004"]
    assert [s for s, by in rules.items() if by["banner"] == "eligibility"] == ["s0000004", "s0000007"]


def test_a_counter_of_the_past_leaves_out_what_came_later(workspace: Callable[..., Ledger]) -> None:
    """A list as of an earlier day counts what was logged until then."""
    ledger = workspace('holdout = 0.0\naudience = "contacts_7d < 1"', actions=COUNTED)
    past = [logged(0, "s0000001", "mail", days=9.0), logged(1, "s0000002", "mail", days=1.0)]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, past))
    play = ledger.config.plays["win_back"]
    for days, absent in ((0, "s0000002"), (5, "s0000001")):
        decided = decide_bulk(ledger, play, subjects(5), as_of=NOW - timedelta(days=days), mode="replay")
        assert set(subjects(5)["subject_id"].to_pylist()) - set(decided.table["subject_id"].to_pylist()) == {absent}


def taught(workspace: Callable[..., Ledger], clock: Clock, policy: str) -> tuple[Ledger, pa.Table]:
    """Give a workspace whose linear learner has seen answers, and subjects with a city, some without."""
    learner = 'goal = "click"\ngoal_days = 1\nlearner = { name = "linear" }\nholdout = 0.05\nrandom = 0.1'
    ledger = workspace(f"{learner}\npolicy = {policy}", actions=LEARNT)
    cities = [("rome", "oslo", None)[i % 3] for i in range(60)]
    table = subjects(60).append_column("city", pa.array(cities))
    published.publish(ledger, "churn", "m1", NOW, table)
    said = table.drop_columns(["subject_id"]).to_pylist()
    past = [
        logged(i, f"s{i:07d}", ("mail", "call", "banner")[i % 3], days=5.0, features=said[i] if i % 7 else {})
        for i in range(60)
    ]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, past))
    clicks = [
        Outcome(
            outcome_id=f"o{i}", subject_id=f"s{i:07d}", ts=NOW - timedelta(days=4.9), name="click",
            decision_id=f"past{i}", value=1.0,
        )
        for i in range(0, 60, 4)
    ]  # fmt: skip
    outcomes.record(ledger, clicks)
    assert learn.advance(ledger, ledger.config.plays["win_back"]) is not None
    assert clock.now == NOW
    return ledger, table


@pytest.mark.parametrize("policy", ['{ name = "greedy", explore = 0.3 }', '{ name = "squarecb" }'])
def test_a_learner_decides_lists_too(workspace: Callable[..., Ledger], clock: Clock, policy: str) -> None:
    """By a linear learner with weights, levers and features of actions, a list decides what the engine decides."""
    ledger, table = taught(workspace, clock, policy)
    rows = agree(ledger, Engine(ledger, states=Learning(ledger).state), table)
    assert len({c["response_probability"] for r in rows for c in r["candidates"]}) > 60
    assert "learner" in rows[0]["model_versions"]


def test_many_responses_are_those_one_by_one(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """A table gives the mean and spread that its rows give, with texts, unheard ones, missing and not finite values."""
    ledger, table = taught(workspace, clock, '{ name = "squarecb" }')
    found = learn.newest(ledger, ledger.config.plays["win_back"])
    assert found is not None
    odd = pa.table({
        "subject_id": ["x", "y", "z"], "city": ["paris", "rome", None], "orders_365d": [None, float("inf"), 3.0],
        "new": [1.0, 2.0, 3.0],
    })  # fmt: skip
    offers = Offers(ids=("mail", "new", "none"), names=("warm",), values=np.array([[1.0], [np.nan], [np.nan]]))
    for some in (table, odd):
        mean, sd = responses(found.state, some, offers)
        for i, row in enumerate(some.to_pylist()):
            one = found.state.response(row, offers)
            np.testing.assert_allclose(mean[i], one[0], atol=1e-12)
            np.testing.assert_allclose(sd[i], one[1], atol=1e-12)


def test_limits_used_up_bind_lists_and_one(workspace: Callable[..., Ledger]) -> None:
    """Once a day's places and money are used up, a list and a single decision remove the same."""
    ledger = workspace("holdout = 0.0\nbudget = 6.0\nmax_actions = 12\npolicy = { name = 'greedy', explore = 0.0 }")
    published.publish(ledger, "churn", "m1", NOW, subjects())
    play = ledger.config.plays["win_back"]
    first = decide_bulk(ledger, play, subjects(200), as_of=NOW)
    assert sum(n for a, n in first.by_action.items() if a != "none") == 12
    rest = subjects().slice(200)
    listed = decide_bulk(ledger, play, rest, as_of=NOW, mode="replay").table
    assert set(listed["action_id"].to_pylist()) == {"none"}
    for subject in rest["subject_id"].to_pylist()[::20]:
        assert decide_one(ledger, play, subject, mode="replay").action_id == "none"


@pytest.mark.parametrize("policy", ["rules", "greedy", "squarecb"])
def test_a_first_play_serves_a_stranger(workspace: Callable[..., Ledger], policy: str) -> None:
    """A play of clicks that writes neither response nor value decides for somebody unknown without being degraded."""
    ledger = workspace(f'goal = "click"\nvalue = "average_order_value"\npolicy = {{ name = "{policy}" }}')
    for subject in ("somebody", "somebody else"):
        assert not decide_one(ledger, ledger.config.plays["win_back"], subject).degraded


def test_an_order_of_unknown_size_is_not_worth_one(workspace: Callable[..., Ledger]) -> None:
    """Where the goal is money, a subject whose orders are unknown stays one whose prediction is missing."""
    ledger = workspace('goal = "order"\nvalue = "average_order_value"')
    assert decide_one(ledger, ledger.config.plays["win_back"], "somebody").degraded
