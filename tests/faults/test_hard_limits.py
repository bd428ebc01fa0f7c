"""Hard limits: amounts within their bounds, money within its budgets, uses within their places."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextbest.errors import DataError, UsageError
from nextbest.ledger import create, spent
from nextbest.policies.live import approvals
from nextbest.policies.live.limits import Priced, Till, amount_of, hard_limits, outside
from nextbest.types import Action, Play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PRICE = Action(id="price", action_class="money", amount=10.0, floor=8.0, ceiling=12.0, max_change=0.1)
CONFIG = """
[plays.p]
actions = [
  { id = "price", class = "money", amount = 10.0, floor = 8.0, ceiling = 12.0, max_change = 0.1 },
  { id = "mail", channel = "email" },
]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace with one price."""
    with create(tmp_path / "w", config_text=CONFIG, clock=lambda: NOW) as opened:
        yield opened


def play(**settings: Any) -> Play:
    """Give a play of one mail and one price."""
    return Play(name="p", actions=(Action(id="mail", cost=1.0), PRICE), **settings)


def in_till(ledger: Ledger, steps: Any, now: datetime = NOW) -> Any:
    """Run steps with a till inside one write transaction, and close it."""

    def write(connection: Any) -> Any:
        till = Till(connection, now, BERLIN)
        result = steps(till)
        till.close()
        return result

    return ledger.journal.write(write)


@given(
    amount=st.one_of(st.none(), st.floats()),
    reference=st.one_of(st.none(), st.floats(1, 100)),
    bounds=st.tuples(*[st.one_of(st.none(), st.floats(0.01, 50))] * 3),
)
def test_what_is_let_through_lies_within_every_bound(amount: Any, reference: Any, bounds: Any) -> None:
    """Whatever amount comes, one that passes is a number within floor, ceiling and the day's change."""
    floor, ceiling, change = bounds
    action = Action(id="price", action_class="money", floor=floor, ceiling=ceiling, max_change=change)
    if outside(action, amount, reference=reference) is not None:
        return
    if amount is None:
        assert bounds == (None, None, None)
        return
    assert floor is None or amount >= floor
    assert ceiling is None or amount <= ceiling
    assert change is None or reference is None or abs(amount - reference) <= change * reference + 1e-6


def test_an_amount_that_is_no_number_is_outside() -> None:
    """A text, a truth value or a missing amount cannot be checked, so it does not pass."""
    for features in ({"amount": "9"}, {"amount": True}):
        assert outside(PRICE, amount_of(PRICE, features), reference=None) == "limit:amount"
    assert outside(Action(id="x", floor=1.0), None, reference=None) == "limit:amount"
    assert amount_of(PRICE, {}) == 10.0


def test_a_price_moves_by_its_share_of_what_the_day_began_with(ledger: Ledger) -> None:
    """Ten per cent a day is ten per cent of this morning's price, however often it is set, and more tomorrow."""
    hard = hard_limits(play())

    def ask(amount: float, now: datetime) -> dict[str, str]:
        def steps(till: Till) -> dict[str, str]:
            removed = till.removed(hard, [Priced("price", PRICE, 0.0, amount)])
            if not removed:
                till.book("p", PRICE, cost=0.0, amount=amount)
            return removed

        return in_till(ledger, steps, now)

    assert ask(10.9, NOW) == {}
    assert ask(11.5, NOW) == {"price": "limit:max_change"}
    tomorrow = NOW + timedelta(days=1)
    assert ask(11.9, tomorrow) == {}
    assert ask(12.1, tomorrow + timedelta(days=1)) == {"price": "limit:ceiling"}
    assert ask(7.9, tomorrow) == {"price": "limit:floor"}


@pytest.mark.parametrize(("limit", "rule"), [("budget", "limit:budget"), ("budget_per_hour", "limit:budget_per_hour")])
def test_a_budget_is_never_exceeded_within_and_across_transactions(ledger: Ledger, limit: str, rule: str) -> None:
    """Of ten mails at 1.00 under 3.50, three go, whether they are decided in one transaction or in ten."""
    limited = play(**{limit: 3.5})
    hard, mail = hard_limits(limited), limited.actions[0]

    def five(till: Till) -> list[str]:
        found = []
        for _ in range(5):
            removed = till.removed(hard, [Priced("mail", mail, 1.0, None)])
            found.append(removed.get("mail", ""))
            if not removed:
                till.book("p", mail, cost=1.0)
        return found

    assert in_till(ledger, five) == ["", "", "", rule, rule]
    assert in_till(ledger, five, NOW + timedelta(minutes=30)) == [rule] * 5
    again = in_till(ledger, five, NOW + timedelta(minutes=80))
    assert again[:3] == ([rule] * 3 if limit == "budget" else ["", "", ""])


def test_the_day_is_the_workspaces_own(ledger: Ledger) -> None:
    """A budget of a day begins anew at midnight in the zone of the workspace, and not at midnight UTC."""
    limited = play(budget=1.0)
    hard, mail = hard_limits(limited), limited.actions[0]
    late = datetime(2026, 3, 2, 22, 50, tzinfo=UTC)  # ten to twelve in Berlin
    in_till(ledger, lambda till: till.book("p", mail, cost=1.0), late)
    offer = [Priced("mail", mail, 1.0, None)]
    assert in_till(ledger, lambda till: till.removed(hard, offer), late) == {"mail": "limit:budget"}
    assert in_till(ledger, lambda till: till.removed(hard, offer), late + timedelta(minutes=15)) == {}


def test_places_of_an_action_and_of_the_play(ledger: Ledger) -> None:
    """An action with two places a day is used twice, and a play with three is done after three."""
    actions = (Action(id="a", max_per_day=2), Action(id="b"))
    hard = hard_limits(Play(name="p", actions=actions, max_actions=3))
    offers = [Priced(a.id, a, 0.0, None) for a in actions]

    def steps(till: Till) -> list[dict[str, str]]:
        seen = []
        for action in (actions[0], actions[0], actions[1]):
            seen.append(till.removed(hard, offers))
            till.book("p", action, cost=0.0)
        return [*seen, till.removed(hard, offers)]

    expected = [{}, {}, {"a": "max_per_day"}, {"a": "max_per_day", "b": "max_actions"}]
    assert in_till(ledger, steps) == expected


def test_a_clock_that_goes_back_gives_no_money_back(ledger: Ledger) -> None:
    """What was spent an hour ago by the log still counts when the clock is set back a day."""
    limited = play(budget=1.0)
    hard, mail = hard_limits(limited), limited.actions[0]
    in_till(ledger, lambda till: till.book("p", mail, cost=1.0))
    offer = [Priced("mail", mail, 1.0, None)]
    back = in_till(ledger, lambda till: till.removed(hard, offer), NOW - timedelta(days=1))
    assert back == {"mail": "limit:budget"}


def test_limits_bind_people(ledger: Ledger) -> None:
    """A person cannot approve an amount outside the bounds, nor move it further in a day than a model could."""
    approvals.approve(ledger, "p", "price", amount=10.5, by="Kim")
    with pytest.raises(DataError, match=r"below its floor of 8"):
        approvals.approve(ledger, "p", "price", amount=5.0, by="Kim")
    with pytest.raises(DataError, match=r"further from the amount that today began with"):
        approvals.approve(ledger, "p", "price", amount=12.0, by="Kim")
    with pytest.raises(UsageError, match="no money action 'mail'"):
        approvals.approve(ledger, "p", "mail", amount=1.0, by="Kim")
    with ledger.journal.read() as connection:
        assert spent.amount(connection, "p", "price") == 10.5


def test_a_play_without_limits_has_none() -> None:
    """Nothing is asked of a play that declares no limit."""
    assert hard_limits(Play(name="p", actions=(Action(id="mail"),))) is None
