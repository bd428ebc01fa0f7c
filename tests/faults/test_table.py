"""The fail-safe table, cell by cell, against the one of the threat model, written out again here."""

from __future__ import annotations

from typing import Any

import pytest

from nextbest.errors import UnknownNameError
from nextbest.ledger import faults
from nextbest.policies.live.failsafe import (
    CLASSES,
    FAILURES,
    QUEUED,
    RULE,
    TABLE,
    Amounts,
    answer,
    closes,
    effects,
)
from nextbest.types import NONE, Action

# What may come of a candidate that is not the play's default; `default` itself is asked below.
STAYS = {
    "model": {"internal"},
    "features": {"content", "outbound"},
    "signals": {"content", "outbound", "internal"},
    "timezone": {"content", "money", "significant", "internal"},
    "outbox": {"content"},
}
DEFAULT_STAYS = {
    **{f: {"content", "money", "internal"} for f in ("deadline", "consent", "caps", "clock", "log", "restored")},
    "model": {"content", "outbound", "money", "internal"},
    "features": {"content", "outbound", "money", "internal"},
    "signals": {"content", "outbound", "money", "internal"},
    "timezone": {"content", "money", "significant", "internal"},
    "outbox": {"content"},
    "alarm": {"content", "outbound", "money", "internal"},
    "config": set(CLASSES),
}


def act(name: str, kind: Any, **settings: Any) -> Action:
    """Give an action of a class."""
    return Action(id=name, action_class=kind, **settings)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", CLASSES)
def test_only_what_the_table_leaves_stands(failure: Any, kind: Any) -> None:
    """For every failure and class the default stays, or another candidate stays, exactly where the table says so."""
    other, default = act("other", kind), act("default", kind)
    assert (closes([failure], other, default="default") is None) == (kind in STAYS.get(failure, set()))
    assert (closes([failure], default, default="default") is None) == (kind in DEFAULT_STAYS[failure])
    assert closes([failure], NONE, default="default") is None
    assert (failure, kind) in TABLE


@pytest.mark.parametrize("kind", CLASSES)
def test_a_verified_version_of_before_goes_on_ranking(kind: Any) -> None:
    """With the last verified configuration in use, every class goes on as before."""
    assert closes(["config"], act("other", kind), default="", previous=True) is None


def test_the_strictest_of_several_failures_counts() -> None:
    """A candidate stays only if it stays under each failure, and the first that closes it is the rule on record."""
    mail = act("mail", "outbound")
    assert closes(["features", "caps", "log"], mail, default="mail") == RULE + "caps"
    assert effects(["features", "caps"], mail) == ("rank", "none")


def test_money_that_goes_over_a_channel_waits_where_a_message_would() -> None:
    """A coupon by e-mail is not sent while the clock or the log fails; without a model it is the default's turn."""
    coupon = act("coupon", "money", channel="email")
    assert closes(["clock"], coupon, default="coupon") == RULE + "clock"
    assert closes(["log"], coupon, default="coupon") == RULE + "log"
    assert closes(["model"], coupon, default="coupon") is None


def test_money_falls_back_to_the_last_approved_value_and_without_one_to_the_list_price() -> None:
    """The default price is taken at the approved amount; where approvals cannot be relied on, at the declared one."""
    price = act("price", "money", amount=10.0)
    told = answer(["model"], {"price": price}, default="price", amounts=Amounts(approved={"price": 9.5}))
    assert (told.action_id, told.amount) == ("price", 9.5)
    assert answer(["model"], {"price": price}, default="price").amount == 10.0
    unlogged = answer(["log"], {"price": price}, default="price", amounts=Amounts(approved={"price": 9.5}))
    assert (unlogged.amount, unlogged.logged, unlogged.context["logged"]) == (10.0, False, False)


def test_grave_matters_wait_for_a_person_unless_that_cannot_be_written_down() -> None:
    """A significant action is queued with its name; when nothing can be logged it is refused."""
    limit = act("credit_limit", "significant")
    told = answer(["model"], {"none": NONE}, default="", removed={"credit_limit": (limit, RULE + "model")})
    assert (told.action_id, told.queued) == ("none", ("credit_limit",))
    assert told.reason.startswith(QUEUED)
    refused = answer(["log"], {"none": NONE}, default="", removed={"credit_limit": (limit, RULE + "log")})
    assert (refused.action_id, refused.queued, refused.logged) == ("none", (), False)


def test_internal_tasks_go_round() -> None:
    """Without a model tasks are given in turn: each of three once in three decisions."""
    tasks = {name: act(name, "internal") for name in ("ann", "bob", "cem")}
    given = [answer(["model"], {**tasks, "none": NONE}, default="", turn=turn).action_id for turn in range(6)]
    assert given == ["ann", "bob", "cem"] * 2


def test_what_may_still_be_ranked_comes_before_the_default() -> None:
    """With features missing, the best of what is left is taken without chance; with the model gone, the default."""
    page = {name: act(name, "content") for name in ("a", "b")}
    assert answer(["features"], page, default="b", ranked=("a", "b")).action_id == "a"
    assert answer(["model"], {"b": page["b"]}, default="b", ranked=("a", "b")).action_id == "b"
    assert answer(["features"], page, default="b", ranked=("none", "a", "b")).action_id == "b"


def test_what_is_held_says_that_it_may_be_asked_again() -> None:
    """A contact that must wait for the clock ends in none now, and says so."""
    mail = act("mail", "outbound")
    told = answer(["clock"], {"none": NONE}, default="mail", removed={"mail": (mail, RULE + "clock")})
    assert (told.action_id, told.held) == ("none", True)
    assert told.reason.endswith("nothing is done now; ask again later.")


def test_a_fault_hangs_only_while_its_block_lasts() -> None:
    """A point passes values through but for the block in which something hangs on it; a misspelt point is refused."""
    assert faults.at("score", 1.0) == 1.0
    with faults.injected("score", lambda worth: -worth):
        assert faults.at("score", 1.0) == -1.0
        with faults.injected("score", lambda _: 7.0):
            assert faults.at("score", 1.0) == 7.0
        assert faults.at("score", 1.0) == -1.0
    assert faults.at("score", 1.0) == 1.0
    with pytest.raises(UnknownNameError, match="Did you mean 'score'"), faults.injected("scor", abs):
        pass
