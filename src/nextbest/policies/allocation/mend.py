"""From prices to a plan within every limit: release what is too much, pull what quotas want, fill what is left.

At good prices only those move who are nearly indifferent, so that little is lost. Money and places are hard; a quota is
tried for, and what it lacks is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.allocation.plan import least, rank_within

if TYPE_CHECKING:
    from nextbest.policies.allocation.plan import Plan
    from nextbest.policies.allocation.problem import Floats, Problem, Rows

_ROUNDS = 32  # of filling; each looks at everyone once, and mostly the second finds nothing more to give
_POOL = 1 << 14  # rows that a round considers, at least
_SLIVER = 1e-12  # money that rounding can make; no one is moved for it


def mend(plan: Plan) -> None:
    """Bring a plan within the limits, quotas first, then fill what is left over."""
    release(plan)
    for action in np.flatnonzero(plan.it.quota > 0).tolist():
        pull(plan, action)
    drop_beyond_total(plan)
    drop_beyond_budget(plan)
    for _ in range(_ROUNDS):
        if not fill(plan):
            break


def release(plan: Plan) -> None:
    """Take what exceeds a capacity from those who lose least, and give them their next best that is still open."""
    closed: set[int] = set()
    for _ in range(plan.none):
        over = [j for j in range(plan.none) if plan.used[j] > plan.it.capacity[j]]
        if not over:
            return
        closed.update(over)
        for action in over:
            rows = np.flatnonzero(plan.action == action)
            other, second = _next_best(plan, rows, closed)
            gone = least(
                np.arange(len(rows)), plan.net(rows, action) - second, len(rows) - int(plan.it.capacity[action])
            )
            plan.move(rows[gone], other[gone])


def _next_best(plan: Plan, rows: Rows, closed: set[int]) -> tuple[Rows, Floats]:
    """Give the best action that is not closed, and its net gain; none where nothing else pays."""
    other, best = np.full(len(rows), plan.none), np.zeros(len(rows))
    for j in range(plan.none):
        if j not in closed:
            net = np.where(plan.open_to(rows, j), plan.net(rows, j), -np.inf)
            better = net > best
            other[better], best[better] = j, net[better]
    return other, best


def pull(plan: Plan, action: int, closed: frozenset[int] = frozenset()) -> None:
    """Give an action what its quota lacks, from those who lose least; who is needed elsewhere is replaced there."""
    closed = closed | {action}
    _pull_from(plan, action, [d for d in range(plan.none + 1) if d not in closed and plan.surplus(d) > 0])
    if plan.surplus(action) < 0 and plan.it.groups is not None:
        _swap_in_groups(plan, action)
    for donor in range(plan.none):
        lacking = -plan.surplus(action)
        if lacking <= 0:
            return
        if donor in closed or plan.it.quota[donor] == 0 or not plan.used[donor]:
            continue
        # The donor is at its quota: it gives, and is then made whole by others, or takes back what nobody replaces.
        taken = _pull_rows(plan, action, [donor], {donor: int(plan.used[donor])}, lacking)
        pull(plan, donor, closed)
        back = taken[: max(0, -plan.surplus(donor))]
        plan.move(back, donor)


def _pull_from(plan: Plan, action: int, donors: list[int]) -> None:
    lacking = -plan.surplus(action)
    if lacking > 0 and donors:
        _pull_rows(plan, action, donors, {d: plan.surplus(d) for d in donors}, lacking)


def _pull_rows(plan: Plan, action: int, donors: list[int], spare: dict[int, int], lacking: int) -> Rows:
    """Move up to *lacking* rows of the donors to an action, least loss first, no donor below what it can spare."""
    rows = np.flatnonzero(np.isin(plan.action, donors))
    rows = rows[plan.open_to(rows, action)]
    loss = plan.net(rows, plan.action[rows].astype(np.int64)) - plan.net(rows, action)
    if any(spare[d] < plan.used[d] for d in donors) or plan.reached is not None:
        rows = rows[np.lexsort((rows, loss))]
        limit = np.zeros(plan.none + 1, dtype=np.int64)
        limit[donors] = [spare[d] for d in donors]
        held = plan.action[rows].astype(np.int64)
        rows = rows[(rank_within(held) < limit[held]) & plan.first_of_groups(rows, action)][:lacking]
    else:
        rows = least(rows, loss, lacking)
    plan.move(rows, action)
    return rows


def _swap_in_groups(plan: Plan, action: int) -> None:
    """Where a group has no place left, let its member with the least net gain give way to one whom a quota needs."""
    groups = plan.it.groups
    if groups is None or not plan.contacts[action]:
        return
    free = np.array([plan.surplus(d) > 0 for d in range(plan.none)] + [False]) & plan.contacts
    holding = np.flatnonzero(free[plan.action])
    worth = plan.net(holding, plan.action[holding].astype(np.int64))
    holding = holding[np.lexsort((holding, worth))]
    holding = holding[rank_within(groups.code[holding]) == 0]
    holder = np.full(len(groups.starts), -1)
    holder[groups.code[holding]] = holding
    rows = np.flatnonzero(plan.action == plan.none)
    rows = rows[(plan.it.gain[rows, action] > -np.inf) & (holder[groups.code[rows]] >= 0)]
    givers = holder[groups.code[rows]]
    loss = plan.net(givers, plan.action[givers].astype(np.int64)) - plan.net(rows, action)
    order = np.lexsort((rows, loss))
    order = order[rank_within(groups.code[rows[order]]) == 0]
    held = plan.action[givers[order]].astype(np.int64)
    spare = np.array([max(0, plan.surplus(d)) for d in range(plan.none + 1)])
    order = order[rank_within(held) < spare[held]][: -plan.surplus(action)]
    plan.move(givers[order], plan.none)
    plan.move(rows[order], action)


def _spendable(plan: Plan) -> Rows:
    """Give the rows with an action whose loss breaks no quota, least net gain first."""
    rows = np.flatnonzero(plan.action < plan.none)
    held = plan.action[rows].astype(np.int64)
    order = np.lexsort((rows, plan.net(rows, held)))
    rows, held = rows[order], held[order]
    spare = np.array([max(0, plan.surplus(d)) for d in range(plan.none + 1)])
    return rows[rank_within(held) < spare[held]]


def drop_beyond_total(plan: Plan) -> None:
    """Let those who gain least go without, until no more rows act than may."""
    beyond = plan.acting - plan.it.total
    if beyond > 0:
        plan.move(_spendable(plan)[: int(beyond)], plan.none)


def drop_beyond_budget(plan: Plan) -> None:
    """Let those who gain least per money go without, until the plan costs no more than there is."""
    if plan.spent <= plan.it.budget:
        return
    rows = _spendable(plan)
    held = plan.action[rows].astype(np.int64)
    rows, held = rows[plan.cost[held] > 0], held[plan.cost[held] > 0]
    order = np.lexsort((rows, plan.net(rows, held) / plan.cost[held]))
    saved = np.cumsum(plan.cost[held[order]])
    needed = int(np.searchsorted(saved, plan.spent - plan.it.budget)) + 1
    plan.move(rows[order[:needed]], plan.none)
    while plan.spent > plan.it.budget and needed < len(order):  # what rounding of the sum left
        plan.move(rows[order[needed : needed + 1]], plan.none)
        needed += 1


def fill(plan: Plan) -> bool:
    """Give what is left to those who gain most by it beyond its price; tell whether anything was given."""
    given, full, nearest = 0, set[int](), _nearest(plan)
    for _ in range(plan.none):
        open_now = [j for j in range(plan.none) if j not in full and room(plan, j) > 0]
        if not open_now:
            break
        action = max(open_now, key=lambda j: (plan.it.capacity[j] < np.inf, -j))
        given += _fill_one(plan, nearest, action)
        full.add(action)
    return given > 0


def room(plan: Plan, action: int) -> int:
    """Give how many more uses of an action its capacity allows (its rows at most)."""
    return int(min(plan.it.capacity[action] - plan.used[action], plan.it.rows))


def _nearest(plan: Plan) -> Rows:
    """Give the rows that lose least beyond the prices by their best other action: what is left is for them."""
    it, most = plan.it, max(_POOL, plan.it.rows // 16)
    loss = np.empty(it.rows, dtype=np.float32)
    for block in it.blocks():
        net = it.net(plan.prices, block)
        held = plan.action[block].astype(np.int64)
        rows = np.flatnonzero(held < plan.none)
        now = np.zeros(len(held))
        now[rows] = net[held[rows], rows]
        net[held[rows], rows] = -np.inf
        loss[block] = now - net.max(axis=0)
    if it.rows <= most:
        return np.flatnonzero(loss < np.inf)
    return np.flatnonzero(loss <= np.partition(loss, most)[most])


def _fill_one(plan: Plan, nearest: Rows, action: int) -> int:
    """Move rows to an action while each move gains money and stays within what is left."""
    better = plan.it.gain[nearest, action] > plan.gain(nearest, plan.action[nearest].astype(np.int64)) + _SLIVER
    rows = nearest[better]
    rows = rows[plan.open_to(rows, action)]
    held = plan.action[rows].astype(np.int64)
    gained = plan.gain(rows, action) - plan.gain(rows, held)
    extra = plan.cost[action] - plan.cost[held]
    # Who gives up a place frees it only after this round; order by what is gained beyond the prices.
    order = np.lexsort((rows, -(plan.net(rows, action) - plan.net(rows, held)), gained <= _SLIVER))
    order = order[gained[order] > _SLIVER]
    rows, held, extra = rows[order], held[order], extra[order]
    spare = np.array([max(0, plan.surplus(d)) for d in range(plan.none)] + [plan.it.rows])
    keep = (rank_within(held) < spare[held]) & plan.first_of_groups(rows, action)
    rows, held, extra = rows[keep], held[keep], extra[keep]
    taken = _affordable(plan, held, extra, room(plan, action))
    plan.move(rows[taken], action)
    return len(taken)


def _affordable(plan: Plan, held: Rows, extra: Floats, places: int) -> Rows:
    """Give the positions of the moves that fit one after another into places, total and money."""
    left = plan.it.budget - plan.spent
    acting = plan.it.total - plan.acting
    fresh = np.cumsum(held == plan.none)
    fits = np.flatnonzero(fresh <= acting) if np.isfinite(acting) else np.arange(len(held))
    fits = fits[:places]
    if not np.isfinite(left):
        return fits
    taken: list[Rows] = []
    while len(fits):  # the longest run that can be paid for, then what is cheaper behind the one that cannot
        paid = np.cumsum(extra[fits])
        over = np.flatnonzero(paid > left)
        run = fits if not len(over) else fits[: over[0]]
        taken.append(run)
        left -= float(extra[run].sum())
        rest = fits[len(run) + 1 :]
        fits = rest[extra[rest] <= left]
    return np.concatenate(taken) if taken else fits


def short(plan: Plan) -> dict[int, tuple[int, int, int]]:
    """Give for each action below its quota: what was asked, how many are eligible, how many were given."""
    it: Problem = plan.it
    return {
        int(j): (int(it.quota[j]), int((it.gain[:, j] > -np.inf).sum()), int(plan.used[j]))
        for j in np.flatnonzero(plan.used[: plan.none] < it.quota)
    }
