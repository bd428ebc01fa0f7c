from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tests.policies.conftest import NOW, subjects

from nextbest.errors import LedgerError, UnknownNameError, UsageError
from nextbest.ledger import consent, decisions, identities, published, switches
from nextbest.ledger.permits import Permits
from nextbest.policies import single
from nextbest.policies.decide import decide_bulk, decide_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clocks import Clock

    from nextbest.ledger import Ledger
    from nextbest.types import Decision

REACHING = {"mail", "call", "coupon"}


@pytest.fixture
def served(workspace: Callable[..., Ledger]) -> Callable[..., Ledger]:
    """Give a maker of workspaces whose predictions are published."""

    def make(play: str = "holdout = 0.0", **settings: Any) -> Ledger:
        ledger = workspace(play, **settings)
        published.publish(ledger, "churn", "m1", NOW, subjects())
        return ledger

    return make


def decide(ledger: Ledger, subject: str = "s0000001", **settings: Any) -> Decision:
    """Decide the play for one subject."""
    return decide_one(ledger, ledger.config.plays["win_back"], subject, **settings)


def removed(decision: Decision) -> dict[str, str | None]:
    """Give the rule per action."""
    return {c.action_id: c.removed_by for c in decision.candidates}


def test_one_decides_as_the_list_does(served: Callable[..., Ledger]) -> None:
    """Arm, probabilities, choice and draw equal those of the bulk run of the same day."""
    ledger = served('random = 0.2\npolicy = { name = "greedy", explore = 0.3 }')
    rows = decide_bulk(ledger, ledger.config.plays["win_back"], subjects(), as_of=NOW, mode="replay").table.to_pylist()
    for i in range(0, 400, 23):
        one = decide(ledger, rows[i]["subject_id"], mode="replay")
        assert (one.action_id, one.arm, one.seed) == (rows[i]["action_id"], rows[i]["arm"], rows[i]["seed"])
        assert one.choice_probability == pytest.approx(rows[i]["choice_probability"])
        assert one.reason == rows[i]["reason"]


def test_what_is_answered_is_on_record(served: Callable[..., Ledger]) -> None:
    """The reply is the row of the log, whole."""
    ledger = served()
    one = decide(ledger, context={"page": "home"}, request_id="r1")
    assert decisions.get(ledger, one.decision_id) == one
    assert one.context == {"page": "home"}
    assert one.features["churn_probability"] > 0
    assert one.model_versions["churn"] == "m1"
    assert one.latency_us > 0
    assert not one.degraded


def test_context_adds_but_never_replaces_a_prediction(served: Callable[..., Ledger]) -> None:
    """A caller may say where the subject is, not how likely it is to leave."""
    actions = """[{ id = "banner", class = "content", eligibility = "page = 'home'" }]"""
    ledger = served('holdout = 0.0\npolicy = { name = "greedy", explore = 0.0 }', actions=actions)
    assert removed(decide(ledger))["banner"] == "eligibility"
    assert removed(decide(ledger, context={"page": "home"}))["banner"] is None
    plain, forged = (decide(ledger, context=c) for c in ({}, {"churn_probability": 0.0, "subject_id": "x"}))
    assert forged.subject_id == "s0000001"
    assert forged.candidates == plain.candidates


def test_outside_the_audience_nothing_is_done(served: Callable[..., Ledger]) -> None:
    """Everything but `none` is removed by `audience`, and the decision is logged."""
    ledger = served('audience = "churn_probability > 2"')
    one = decide(ledger)
    assert one.action_id == "none"
    assert set(removed(one).values()) == {"audience", None}
    assert decisions.get(ledger, one.decision_id).reason == "Nothing: the subject is not in the audience of 'win_back'."


def test_a_stranger_gets_nothing_that_needs_a_prediction(served: Callable[..., Ledger]) -> None:
    """Someone unknown is answered: degraded, without money, without chance."""
    one = decide(served(), "nobody")
    assert one.degraded
    assert one.action_id == "none"
    assert removed(one)["coupon"] in {"failsafe:features", "eligibility"}
    assert one.choice_probability == 1.0


def test_caps_bind_the_next_call(served: Callable[..., Ledger], clock: Clock) -> None:
    """After one contact the cap removes every contact until its days are over, whatever id is used."""
    ledger = served('holdout = 0.0\ncaps = [{ count = 1, days = 7 }]\npolicy = { name = "greedy", explore = 0.0 }')
    assert decide(ledger).action_id in REACHING
    identities.merge(ledger, "twin", "s0000001", why="same e-mail")
    for name in ("s0000001", "twin"):
        again = decide(ledger, name)
        assert again.subject_id == "s0000001"
        assert removed(again)["mail"] == removed(again)["call"] == "cap:1 in 7 days"
        assert again.action_id not in REACHING
    clock.now += timedelta(days=8)
    assert removed(decide(ledger))["mail"] is None


def test_quiet_hours_hold_contacts_only(served: Callable[..., Ledger], clock: Clock) -> None:
    """At night contacts are removed by `quiet_hours`; a banner is not, and the caller's time zone counts."""
    ledger = served('holdout = 0.0\nquiet_hours = { start = "21:00", end = "08:00", timezone = "Europe/Berlin" }')
    assert removed(decide(ledger))["mail"] is None
    assert removed(decide(ledger, context={"timezone": "America/Los_Angeles"}))["mail"] == "quiet_hours"
    clock.now = NOW.replace(hour=22)
    night = removed(decide(ledger))
    assert night["mail"] == night["call"] == "quiet_hours"
    assert night["banner"] is None


def test_candidates_narrow_the_choice(served: Callable[..., Ledger]) -> None:
    """What the caller does not offer is removed by `not_offered`; an unknown action is refused with the near word."""
    ledger = served()
    rules = removed(decide(ledger, candidates=["mail"]))
    assert rules == {"mail": None, "none": None} | dict.fromkeys(("call", "coupon", "banner", "task"), "not_offered")
    with pytest.raises(UnknownNameError, match="Did you mean 'mail'"):
        decide(ledger, candidates=["mial"])
    with pytest.raises(UsageError, match="needs a subject_id"):
        decide(ledger, "")


def raising(error: Exception) -> Callable[..., Any]:
    """Give a function that fails."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), LedgerError("damaged")])
def test_unreadable_consent_is_a_no(
    served: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """When permission cannot be read, nobody is contacted and no money is spent; a banner may be shown."""
    ledger = served('holdout = 0.0\ndefault = "banner"')
    monkeypatch.setattr(Permits, "removed", raising(error))
    one = decide(ledger)
    assert {a for a, rule in removed(one).items() if rule == "consent:unreadable"} >= {"mail", "call"}
    assert one.action_id not in REACHING
    assert removed(one)["banner"] is None


def test_unreadable_caps_are_full(served: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """When contacts cannot be counted, nobody is contacted."""
    ledger = served("holdout = 0.0\ncaps = [{ count = 3, days = 7 }]")
    monkeypatch.setattr(Permits, "contacts", raising(sqlite3.OperationalError("no such table")))
    assert removed(decide(ledger))["mail"] == "cap:unreadable"


def test_an_unreadable_switch_is_off(served: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the stop switch cannot be read, everything is stopped."""
    ledger = served()
    monkeypatch.setattr(switches, "stops", raising(sqlite3.OperationalError("locked")))
    assert decide(ledger).action_id == "none"


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk is full"), LedgerError("full"), OSError("no space")])
def test_nothing_that_cannot_be_logged_is_done(
    served: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A full disk gives a valid answer: `none`, degraded, and said not to be on record."""
    ledger = served()
    monkeypatch.setattr(decisions, "log_rows", raising(error))
    one = decide(ledger)
    assert (one.action_id, one.degraded, one.choice_probability) == ("none", True, None)
    assert one.context == {"logged": False}
    with pytest.raises(UnknownNameError, match="There is no decision"):
        decisions.get(ledger, one.decision_id)


def test_an_unreadable_ledger_still_answers(served: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """When predictions cannot be read at all, the answer is `none` with the reason."""
    ledger = served()
    monkeypatch.setattr(published, "fresh", raising(sqlite3.DatabaseError("malformed")))
    one = decide(ledger)
    assert (one.action_id, one.reason) == ("none", single.UNREADABLE)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "high"])
def test_a_prediction_that_is_none_fails_soft(workspace: Callable[..., Ledger], bad: object) -> None:
    """NaN, infinity, null or a text where a probability should be gives a valid, degraded decision."""
    ledger = workspace("holdout = 0.0")
    kind = pa.string() if isinstance(bad, str) else pa.float64()
    row = {"subject_id": ["a"], "churn_probability": pa.array([bad], kind), "predicted_clv": [50.0]}
    published.publish(ledger, "churn", "m1", NOW, pa.table(row))
    one = decide(ledger, "a")
    assert one.degraded
    assert one.choice_probability == pytest.approx(1.0)
    assert sum(c.choice_probability for c in one.candidates) == pytest.approx(1.0)


def test_an_opt_out_binds_the_next_decision(served: Callable[..., Ledger]) -> None:
    """With six threads deciding, no contact is logged after an opt-out was acknowledged."""
    ledger = served('holdout = 0.0\npolicy = { name = "greedy", explore = 0.0 }')
    acknowledged, stop = [0], threading.Event()  # the number of the opt-out in force, 0 for none
    late: list[str] = []

    def keep_deciding() -> None:
        while not stop.is_set():
            before = acknowledged[0]
            action = decide(ledger).action_id
            if before and acknowledged[0] == before and action in REACHING:
                late.append(action)

    threads = [threading.Thread(target=keep_deciding) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(1, 11):
        consent.record(ledger, "s0000001", allow=False, proof="unsubscribe")
        acknowledged[0] = number
        stop.wait(0.05)
        acknowledged[0] = 0
        consent.record(ledger, "s0000001", allow=True, proof="again")
    stop.set()
    for thread in threads:
        thread.join()
    assert not late
