"""What a list may use of money, places and contacts: allocated by prices, and kept whatever is drawn afterwards.

Limits are applied before anything is drawn, so they can never be exceeded and the choice probabilities stay exact. The
plan of `allocation` says who should get what; a subject then keeps what could not overrun a limit if it were drawn: its
planned action, what costs no more and needs no place, and places that the plan leaves free. An eligible set thus
depends on who else is in the list, and what the draw gives to nothing (holdout, exploration) is not used up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.allocation.allocate import Allocation, allocate
from nextbest.policies.allocation.problem import Groups, problem
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.removals import Flags, Removals
    from nextbest.types import Action

PER_DAY = "max_per_day"
PER_PLAY = "max_actions"
BUDGET = "limit:budget"
PER_GROUP = "per_group"
_NUDGE = 1e-9  # the plan decides between what its prices make equal

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a play's limits: places and least uses per action, in all, money, and contacts per group.

    `group` numbers the groups (negative: none), `contacts` marks the actions that reach their subject.
    """

    places: Mapping[str, int] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    in_all: int | None = None
    budget: float | None = None
    group: Positions | None = None
    per_group: int = 1
    contacts: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What short things cost beyond their own cost: per use of an action, and per money of a budget."""

    per_action: Mapping[str, float] = field(default_factory=dict)
    budget: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """The plan of a list: worth after prices (what the policy compares), the prices, and how good the plan is."""

    worth: Numbers
    prices: Prices
    plan: Allocation


@dataclass(slots=True, kw_only=True)
class _Cells:
    """One list while its limits are applied; columns are the actions without `none`, `plan` is -1 for nothing."""

    removals: Removals
    net: Numbers
    columns: Positions
    cost: Numbers
    contacts: Flags
    plan: Positions

    def remove(self, column: int, where: Flags, rule: str) -> None:
        self.removals.remove(int(self.columns[column]), where, rule)

    def open(self, column: int) -> Flags:
        return np.asarray(self.removals.codes[:, self.columns[column]] == 0)

    def best(self, columns: Positions) -> Numbers:
        """Give the highest net gain among what is still open in some columns, minus infinity where nothing is."""
        best = np.full(len(self.net), -np.inf)
        for c in columns.tolist():
            best = np.where(self.open(c), np.maximum(best, self.net[:, c]), best)
        return best


def apply(removals: Removals, worth: Numbers, actions: tuple[Action, ...], none: int, left: Left) -> Allocated:
    """Allocate, remove what could overrun a limit, and give the plan with the prices that led to it."""
    columns = np.array([j for j in range(len(actions)) if j != none], dtype=np.int64)
    chosen = [actions[j] for j in columns]
    gain = _gains(removals, worth, columns, none)
    it = problem(
        gain,
        cost=np.array([a.cost for a in chosen]),
        capacity=np.array([left.places.get(a.id, np.inf) for a in chosen]),
        quota=np.array([float(left.least.get(a.id, 0)) for a in chosen]),
        contacts=np.array(left.contacts or [True] * len(actions), dtype=bool)[columns],
        budget=left.budget,
        total=left.in_all,
        group=left.group,
        per_group=left.per_group,
    )
    plan = allocate(it)
    gain -= plan.price.astype(np.float32)
    planned = np.where(plan.action < it.actions, plan.action, -1)
    cells = _Cells(removals=removals, net=gain, columns=columns, cost=it.cost, contacts=it.contacts, plan=planned)
    _in_all(cells, left)
    _groups(cells, it.groups, left)
    for column, action in enumerate(chosen):
        if action.id in left.places:
            _places(cells, column, left.places[action.id])
    if left.budget is not None:
        _budget(cells, left.budget)
    return Allocated(worth=_priced(cells, worth, plan.price, none), prices=_prices(plan, chosen, it.cost), plan=plan)


def _gains(removals: Removals, worth: Numbers, columns: Positions, none: int) -> np.ndarray[Any, Any]:
    """Give what each action gains over nothing, float32, minus infinity where a gate said no."""
    gain: np.ndarray[Any, Any] = np.empty((len(worth), len(columns)), dtype=np.float32)
    for c, j in enumerate(columns.tolist()):
        more = worth[:, j] - worth[:, none]
        gain[:, c] = np.where((removals.codes[:, j] == 0) & np.isfinite(more), more, -np.inf)
    return gain


def _in_all(cells: _Cells, left: Left) -> None:
    """Keep those who are planned, then those who gain most, up to what the play may do in all."""
    if left.in_all is None:
        return
    best = cells.best(np.arange(len(cells.columns)))
    rows = np.flatnonzero(best > -np.inf)
    beyond = _beyond(rows, best[rows], cells.plan[rows] >= 0, left.in_all)
    _remove_all(cells, np.arange(len(cells.columns)), beyond, PER_PLAY)


def _groups(cells: _Cells, groups: Groups | None, left: Left) -> None:
    """Keep contacts for the planned members of each group, then for those who gain most, up to its places."""
    if groups is None:
        return
    reaching = np.flatnonzero(cells.contacts)
    best = cells.best(reaching)
    rows = np.flatnonzero(best > -np.inf)
    planned = np.isin(cells.plan[rows], reaching)
    order = np.lexsort((rows, -best[rows], ~planned, groups.code[rows]))
    code = groups.code[rows[order]]
    first = np.searchsorted(code, code)
    beyond = rows[order[np.arange(len(code)) - first >= left.per_group]]
    _remove_all(cells, reaching, beyond, PER_GROUP)


def _places(cells: _Cells, column: int, places: int) -> None:
    """Keep the places of an action for those who are planned for it, then for those who gain most by it."""
    rows = np.flatnonzero(cells.open(column))
    beyond = _beyond(rows, cells.net[rows, column], cells.plan[rows] == column, places)
    _remove_all(cells, np.array([column]), beyond, PER_DAY)


def _budget(cells: _Cells, budget: float) -> None:
    """Let everyone keep what costs no more than planned, and more where the money left over covers the dearest."""
    worst = np.append(cells.cost, 0.0)[cells.plan]
    rest = budget - float(worst.sum())
    for column in np.lexsort((np.arange(len(cells.cost)), cells.cost)).tolist():
        dearer = np.flatnonzero(cells.open(column) & (cells.cost[column] > worst))
        dearer = dearer[np.lexsort((dearer, -cells.net[dearer, column]))]
        extra = np.cumsum(cells.cost[column] - worst[dearer])
        paid = int(np.searchsorted(extra, rest, side="right"))
        if paid:
            worst[dearer[:paid]] = cells.cost[column]
            rest -= float(extra[paid - 1])
        _remove_all(cells, np.array([column]), dearer[paid:], BUDGET)


def _beyond(rows: Positions, gain: Numbers, planned: Flags, places: int) -> Positions:
    """Give the rows that are left without a place: the planned come first, then who gains most."""
    if len(rows) <= places:
        return rows[:0]
    return np.asarray(rows[np.lexsort((rows, -gain, ~planned))[max(0, places) :]])


def _remove_all(cells: _Cells, columns: Positions, rows: Positions, rule: str) -> None:
    if len(rows):
        mask = np.zeros(len(cells.plan), dtype=bool)
        mask[rows] = True
        for column in columns.tolist():
            cells.remove(column, mask, rule)


def _priced(cells: _Cells, worth: Numbers, price: Numbers, none: int) -> Numbers:
    """Give the worth after prices; what is planned is just above whatever else is left, where prices tie."""
    priced = worth.copy()
    priced[:, cells.columns] -= price
    rows = np.flatnonzero(cells.plan >= 0)
    at = cells.columns[cells.plan[rows]]
    eligible = cells.removals.codes[rows] == 0
    eligible[np.arange(len(rows)), at] = False
    others = np.where(eligible, priced[rows], -np.inf).max(axis=1)
    others = np.maximum(others, priced[rows, none])
    priced[rows, at] = np.maximum(priced[rows, at], others + _NUDGE * (1.0 + np.abs(others)))
    return priced


def _prices(plan: Allocation, actions: list[Action], cost: Numbers) -> Prices:
    money = plan.multipliers.get(("budget", -1), 0.0)
    own = plan.price - money * cost
    return Prices(budget=float(money), per_action={a.id: float(p) for a, p in zip(actions, own, strict=True) if p})


def binds(left: Left) -> bool:
    """Tell whether there is any limit to apply."""
    asked = (left.in_all, left.budget, left.group)
    return bool(left.places or left.least) or any(limit is not None for limit in asked)


def remarks(allocated: Allocated | None, actions: tuple[Action, ...], play: str) -> list[str]:
    """Say which least uses a list could not give, one sentence each."""
    ids = [a.id for a in actions if a.id != NO_ACTION]
    return [
        f"Play '{play}' asks for at least {s.asked:,} uses of '{ids[s.action]}' today; {s.given:,} were planned, as "
        f"{s.eligible:,} subjects may have it and other limits hold."
        for s in (allocated.plan.short if allocated else ())
    ]


def facts(allocated: Allocated, actions: tuple[Action, ...], left: Left) -> dict[str, Any]:
    """Give what a person or a replay wants to know of a plan, as plain JSON values."""
    plan, ids = allocated.plan, [a.id for a in actions if a.id != NO_ACTION]
    return {
        "value": round(plan.value, 6),
        "bound": round(plan.bound, 6),
        "gap": round(plan.gap, 8),
        "planned_spend": round(plan.spent, 6),
        "budget": left.budget,
        "uses": {ids[j]: int(n) for j, n in enumerate(plan.used) if n},
        "prices": {"budget": allocated.prices.budget, "per_action": dict(allocated.prices.per_action)},
        "short": [
            {"action_id": ids[s.action], "asked": s.asked, "eligible": s.eligible, "given": s.given} for s in plan.short
        ],
    }
