"""Hard limits outside the model, inside the transaction that logs: amounts, money, uses. They bind people and models.

A `Till` lasts for one write transaction. It reads once per play what was spent, adds what the transaction itself
decides, and writes the sums at the end: neither two workers nor two decisions of one group spend the same money.

    till = Till(connection, now, zone)
    removed = till.removed(hard, offers)        # before each draw; None for a play without limits costs nothing
    till.book(play, action, cost=..., amount=...)   # after each draw of mode "live"
    till.close()                                    # before the transaction ends
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from nextbest.ledger import spent
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from nextbest.types import Action, Play

AMOUNT, FLOOR, CEILING, CHANGE = "limit:amount", "limit:floor", "limit:ceiling", "limit:max_change"
BUDGET, PER_HOUR, PER_DAY, IN_ALL = "limit:budget", "limit:budget_per_hour", "max_per_day", "max_actions"
_HOUR = timedelta(hours=1)
_SLACK = 1e-9  # a change of exactly the share allowed must not fail on the last bit


class Priced(NamedTuple):
    """One candidate as the limits see it: its declared action, what it costs, and the amount it would set."""

    action_id: str
    action: Action
    cost: float
    amount: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hard:
    """The limits of one play: money a day and in any hour, uses a day in all and per action, bounded actions."""

    play: str
    budget: float | None
    budget_per_hour: float | None
    max_actions: int | None
    places: Mapping[str, int]
    bounded: frozenset[str]

    @property
    def counts(self) -> bool:
        """Whether anything has to be counted."""
        return bool(self.places) or any(v is not None for v in (self.budget, self.budget_per_hour, self.max_actions))


def hard_limits(play: Play) -> Hard | None:
    """Give the limits of a play, or None when it has none."""
    hard = Hard(
        play=play.name,
        budget=play.budget,
        budget_per_hour=play.budget_per_hour,
        max_actions=play.max_actions,
        places={a.id: a.max_per_day for a in play.actions if a.max_per_day is not None and a.id != NO_ACTION},
        bounded=frozenset(a.id for a in play.actions if is_bounded(a)),
    )
    return hard if hard.counts or hard.bounded else None


def is_bounded(action: Action) -> bool:
    """Tell whether an action's amount has bounds."""
    return any(v is not None for v in (action.floor, action.ceiling, action.max_change))


def amount_of(action: Action, features: Mapping[str, object]) -> float | None:
    """Give the amount that a candidate sets: its feature `amount`, else the declared one; nan for what is no number."""
    given = features.get("amount", action.amount)
    if given is None:
        return None
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else math.nan


def outside(action: Action, amount: float | None, *, reference: float | None) -> str | None:
    """Give the rule that an amount breaks, or None; *reference* is the amount that the day began with.

    An amount that has bounds and is missing or no number cannot be checked, so it is outside.
    """
    if amount is None or not math.isfinite(amount):
        return AMOUNT if is_bounded(action) or amount is not None else None
    if action.floor is not None and amount < action.floor:
        return FLOOR
    if action.ceiling is not None and amount > action.ceiling:
        return CEILING
    if action.max_change is None or reference is None:
        return None
    return CHANGE if abs(amount - reference) > action.max_change * abs(reference) + _SLACK else None


@dataclass(slots=True, kw_only=True)
class _Sums:
    """Money since midnight and in the last hour, and uses since midnight by action id.

    Slots begin on the quarter, so up to a quarter more than an hour counts: never more than the budget in any hour.
    """

    day: float = 0.0
    hour: float = 0.0
    uses: Counter[str] = field(default_factory=Counter)

    def add(self, action_id: str, uses: int, cost: float, in_hour: float | None = None) -> None:
        """Add uses and cost; *in_hour* is the part of the cost that lies in the last hour, all of it unless given."""
        self.uses[action_id] += uses
        self.day += cost
        self.hour += cost if in_hour is None else in_hour


class Till:
    """What is spent and which amounts stand, as one write transaction sees and changes them; used by one thread."""

    def __init__(self, connection: sqlite3.Connection, now: datetime, zone: ZoneInfo) -> None:
        self._connection, self._now = connection, now
        local = now.astimezone(zone)
        self._midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        self._slot = spent.slot_of(now)
        self._sums: dict[str, _Sums] = {}
        self._references: dict[tuple[str, str], float | None] = {}
        self._booked: list[tuple[str, str, int, float]] = []
        self._amounts: dict[tuple[str, str], float] = {}

    def removed(self, hard: Hard | None, offers: Iterable[Priced]) -> dict[str, str]:
        """Give the rule per action id that a limit removes; empty where all may be chosen."""
        if hard is None:
            return {}
        left = self._left(hard) if hard.counts else ()
        found: dict[str, str] = {}
        for offer in offers:
            rule = None if offer.action_id == NO_ACTION else self._rule(hard, offer, left)
            if rule is not None:
                found[offer.action_id] = rule
        return found

    def book(self, play: str, action: Action, *, action_id: str = "", cost: float, amount: float | None = None) -> None:
        """Count one live decision; *action_id* is the item's own where the action is `*`."""
        if action.id == NO_ACTION:
            return
        name = action_id or action.id
        self._booked.append((play, name, self._slot, cost))
        if play in self._sums:
            self._sums[play].add(name, 1, cost)
        if action.action_class == "money" and amount is not None and math.isfinite(amount):
            self._amounts[play, name] = amount

    def approved(self, play: str, action_id: str) -> float | None:
        """Give the amount last approved for an action, or None."""
        here = self._amounts.get((play, action_id))
        return spent.amount(self._connection, play, action_id) if here is None else here

    def close(self) -> None:
        """Write what was booked, once."""
        if self._booked:
            spent.add(self._connection, self._booked)
        for (play, action_id), amount in self._amounts.items():
            if spent.amount(self._connection, play, action_id) != amount:
                spent.approve(self._connection, play, action_id, amount=amount, by="policy", ts=self._now)
        self._booked, self._amounts = [], {}

    def _left(self, hard: Hard) -> Sequence[tuple[str, float]]:
        """Give what is left of each budget."""
        sums = self._of(hard.play)
        budgets = ((BUDGET, hard.budget, sums.day), (PER_HOUR, hard.budget_per_hour, sums.hour))
        return [(rule, most - used) for rule, most, used in budgets if most is not None]

    def _rule(self, hard: Hard, offer: Priced, left: Sequence[tuple[str, float]]) -> str | None:
        action = offer.action
        if action.id in hard.bounded or offer.amount is not None:
            reference = self._reference(hard.play, offer) if action.max_change is not None else None
            rule = outside(action, offer.amount, reference=reference)
            if rule is not None:
                return rule
        for name, rest in left:
            if offer.cost > rest + _SLACK:
                return name
        return self._full(hard, offer) if hard.places or hard.max_actions is not None else None

    def _full(self, hard: Hard, offer: Priced) -> str | None:
        """Give the rule by which today's places are taken."""
        sums = self._of(hard.play)
        most = hard.places.get(offer.action.id)
        if most is not None and sums.uses[offer.action_id] >= most:
            return PER_DAY
        return IN_ALL if hard.max_actions is not None and sums.uses.total() >= hard.max_actions else None

    def _of(self, play: str) -> _Sums:
        """Give the sums of a play, read once per transaction."""
        if play not in self._sums:
            today, hour = spent.slot_of(self._midnight), spent.slot_of(self._now - _HOUR)
            sums = self._sums[play] = _Sums()
            for (action_id, slot), (uses, cost) in spent.since(self._connection, play, min(today, hour)).items():
                sums.add(action_id, uses if slot >= today else 0, cost if slot >= today else 0.0, cost * (slot >= hour))
        return self._sums[play]

    def _reference(self, play: str, offer: Priced) -> float | None:
        """Give the amount that the day began with: approved, else declared, else the first of this transaction."""
        key = (play, offer.action_id)
        if key not in self._references:
            self._references[key] = spent.amount_of_day(
                self._connection, key, self._midnight, declared=offer.action.amount
            )
        found = self._references[key]
        return self._amounts.get(key) if found is None else found
