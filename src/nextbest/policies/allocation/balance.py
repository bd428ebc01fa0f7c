"""Even out a plan among those who are torn: chains of moves from where there is too much to where there is too little.

At the best prices a limit with a price is used to the last place. Rounding shares to whole rows misses that by a few.
A row that is (nearly) indifferent between two actions can move for (nearly) nothing; a chain of such moves carries a
place from one end to the other. Chains are shortest paths over actions, the loss of the cheapest mover as the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nextbest.policies.allocation.plan import Plan
    from nextbest.policies.allocation.problem import Flags, Floats, Rows

_CHAINS = 400  # more than that and mending by other means is quicker


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """Rows that hesitate, and what each would lose by each move: shape (rows, actions and none)."""

    rows: Rows
    net: Floats
    tolerance: float


def balance(plan: Plan, torn: Torn, target: Floats) -> None:
    """Bring uses to their targets (NaN where an action has no price, so that any number will do) by chains of moves."""
    if not len(torn.rows):
        return
    stuck: set[int] = set()
    for _ in range(_CHAINS):
        off = np.nan_to_num(plan.used - target)
        off[list(stuck)] = 0
        worst = int(np.abs(off).argmax())
        if off[worst] == 0 or not _one_chain(plan, torn, target, worst):
            if off[worst] == 0:
                return
            stuck.add(worst)


def _one_chain(plan: Plan, torn: Torn, target: Floats, worst: int) -> bool:
    """Move rows along the cheapest chain that mends an action; tell whether there was one."""
    now = plan.action[torn.rows].astype(np.int64)
    loss = torn.net[np.arange(len(now)), now][:, None] - torn.net
    lengths = _lengths(loss, now, plan.none + 1)
    off = plan.used - target
    too_many = bool(off[worst] > 0)
    ends = _ends(plan, off, too_many=too_many)
    ends[worst] = False
    path = _shortest(lengths if too_many else lengths.T, worst, ends, float(plan.price.max()))
    if path is None:
        return False
    if not too_many:
        path.reverse()
    count = int(abs(off[worst]))
    end = path[-1] if too_many else path[0]
    if np.isfinite(target[end]):
        count = min(count, int(abs(off[end])))
    return _carry(plan, torn, (loss, now, lengths), path, count)


def _ends(plan: Plan, off: Floats, *, too_many: bool) -> Flags:
    """Mark where a chain may end: actions with the opposite fault, and those without a price that have room."""
    loose = np.isnan(off)
    most = np.append(np.minimum(plan.it.capacity, plan.it.rows), np.inf)
    least = np.append(plan.it.quota, 0.0)
    if too_many:
        return np.asarray((off < 0) | (loose & (plan.used < most)))
    ends = (off > 0) | (loose & (plan.used > least))
    if plan.acting >= plan.it.total:
        ends[plan.none] = False
    return np.asarray(ends)


def _carry(plan: Plan, torn: Torn, known: tuple[Floats, Rows, Floats], path: list[int], count: int) -> bool:
    """Move rows along a chain, as many as its narrowest place lets through; tell whether any moved."""
    loss, now, lengths = known
    movers = []
    for here, there in pairwise(path):
        able = np.flatnonzero((now == here) & (loss[:, there] <= lengths[here, there] + torn.tolerance))
        movers.append(able[np.lexsort((able, loss[able, there]))])
    count = min([count, *map(len, movers)])
    if _is_needed(plan, path[0], count):
        return False
    for able, there in zip(movers, path[1:], strict=True):
        plan.move(torn.rows[able[:count]], there)
    return count > 0


def _is_needed(plan: Plan, first: int, count: int) -> bool:
    """Tell whether the first action of a chain cannot give that many without breaking its quota."""
    return first < plan.none and plan.surplus(first) < count


def _lengths(loss: Floats, now: Rows, nodes: int) -> Floats:
    """Give the least loss of a move from each action to each other, infinity where nobody can: (nodes, nodes)."""
    out = np.full((nodes, nodes), np.inf)
    order = np.argsort(now, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(now[order]) != 0))
    out[now[order][first]] = np.minimum.reduceat(loss[order], first, axis=0)
    np.fill_diagonal(out, np.inf)
    return np.asarray(np.maximum(out, 0.0))


def _shortest(lengths: Floats, start: int, ends: Flags, longest: float) -> list[int] | None:
    """Give the nodes of the shortest path from a start to any end (Bellman and Ford), or None when none pays."""
    nodes = len(lengths)
    distance, came = np.full(nodes, np.inf), np.full(nodes, -1)
    distance[start] = 0.0
    for _ in range(nodes):
        through = distance[:, None] + lengths
        better = through.min(axis=0)
        closer = better < distance
        if not closer.any():
            break
        came[closer] = through.argmin(axis=0)[closer]
        distance = np.minimum(distance, better)
    reach = np.where(ends, distance, np.inf)
    end = int(reach.argmin())
    if not reach[end] <= longest:
        return None
    path = [end]
    while path[-1] != start:
        path.append(int(came[path[-1]]))
    return path[::-1]
