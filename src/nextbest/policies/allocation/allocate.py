"""Allocate: the plan, what it is worth, the bound that no plan exceeds, and the prices that led to it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (a field of a public dataclass)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.allocation import dual, mend
from nextbest.policies.allocation.balance import Torn, balance
from nextbest.policies.allocation.plan import Plan
from nextbest.policies.allocation.small import exact

if TYPE_CHECKING:
    from nextbest.policies.allocation.problem import Floats, Problem, Rows

SMALL = 600  # (subject, action) pairs up to which whole numbers are solved exactly; beyond, prices lose next to nothing
_TORN = 1 << 16  # of those who are torn, so many are enough to even out what rounding missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A quota that could not be met: what was asked, how many are eligible at all, and how many were given."""

    action: int
    asked: int
    eligible: int
    given: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Who gets what (`action` per subject; the number of actions means none), and how good that is known to be.

    `value` is the sum of gains, `bound` what no allocation within the same limits exceeds (quotas that cannot be met
    count with what was given). `price` is what one use of each action costs beyond its own cost, all limits together;
    `multipliers` say it per limit: (kind, action or -1) to money per unit.
    """

    action: Rows
    value: float
    bound: float
    spent: float
    used: Rows
    price: Floats
    multipliers: Mapping[tuple[str, int], float] = field(default_factory=dict)
    short: tuple[Shortfall, ...] = ()

    @property
    def gap(self) -> float:
        """Give the share of the bound that is not proven to be reached."""
        return max(0.0, self.bound - self.value) / max(abs(self.bound), 1e-12) if self.bound > self.value else 0.0


def allocate(it: Problem) -> Allocation:
    """Give an allocation that is always within budget, capacities, total and groups, near the best there is."""
    asked = it.quota
    it = _payable(it)
    limits = dual.limits_of(it)
    free = np.zeros(len(limits.most))
    plan = Plan(it, limits.prices(free))
    y = free
    if not _within(plan):
        y, temperature = dual.solve(it)
        plan = Plan(it, limits.prices(y), temperature)
        even_out(plan, limits, y, temperature)
        mend.mend(plan)
    below = mend.short(plan)
    if below:
        given = it.quota.copy()
        given[list(below)] = [now for *_, now in below.values()]
        plan.it = it = replace(it, quota=given)
        limits = _lowered(limits, given)
    value, best = plan.value(), dual.bound(it, limits, y)
    if it.rows * it.actions <= SMALL and best - value > 1e-9 * max(1.0, abs(best)):
        better = exact(it)
        if better is not None:
            plan.move(np.arange(it.rows), better)
            value = max(value, plan.value())
    return Allocation(
        action=plan.action.astype(np.int64),
        value=value,
        bound=max(best, value) if best < value * (1 + 1e-12) else best,
        spent=plan.spent,
        used=plan.used[: plan.none],
        price=limits.prices(y),
        multipliers=dict(zip(limits.names, y.tolist(), strict=True)),
        short=_short(plan, asked),
    )


def even_out(plan: Plan, limits: dual.Limits, y: Floats, temperature: float) -> None:
    """Use limits that have a price to the last place, by moves of those who are torn."""
    it, rows = plan.it, plan.torn[:: 1 + len(plan.torn) // _TORN]
    target = np.full(it.actions + 1, np.nan)
    for (name, j), price in zip(limits.names, y, strict=True):
        if price > 0 and name in ("capacity", "quota"):
            target[j] = it.capacity[j] if name == "capacity" else it.quota[j]
    net = np.column_stack([it.net(plan.prices, rows).T, np.zeros(len(rows))])
    if plan.holds is not None:
        net[~plan.holds[rows]] = np.where(plan.contacts, -np.inf, net[~plan.holds[rows]])
    balance(plan, Torn(rows=rows, net=net, tolerance=temperature), target)


def _within(plan: Plan) -> bool:
    """Tell whether a plan keeps every limit as it is (groups are kept from the start)."""
    it, used = plan.it, plan.used[: plan.none]
    kept = (used <= it.capacity) & (used >= it.quota)
    return bool(kept.all() and plan.spent <= it.budget and plan.acting <= it.total)


def _payable(it: Problem) -> Problem:
    """Lower quotas to what capacity, eligibility, money and total allow, the first declared first."""
    if not it.quota.any():
        return it
    able = (it.gain > -np.inf).sum(axis=0)
    wanted = np.minimum(np.minimum(it.quota, it.capacity), able)
    money, places = it.budget, it.total
    for j in range(it.actions):
        paid = wanted[j] if it.cost[j] == 0 else min(wanted[j], np.floor(money / it.cost[j] + 1e-9))
        wanted[j] = max(0.0, min(paid, places))
        money, places = money - wanted[j] * it.cost[j], places - wanted[j]
    return replace(it, quota=wanted)


def _lowered(limits: dual.Limits, given: Floats) -> dual.Limits:
    most = limits.most.copy()
    for i, (name, j) in enumerate(limits.names):
        if name == "quota":
            most[i] = -given[j]
    return replace(limits, most=most)


def _short(plan: Plan, asked: Floats) -> tuple[Shortfall, ...]:
    able = [int((plan.it.gain[:, j] > -np.inf).sum()) for j in range(plan.none)] if asked.any() else []
    return tuple(
        Shortfall(action=int(j), asked=int(asked[j]), eligible=able[j], given=int(plan.used[j]))
        for j in np.flatnonzero(plan.used[: plan.none] < asked)
    )
