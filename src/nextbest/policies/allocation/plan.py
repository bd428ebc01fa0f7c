"""A whole-number plan while it is being mended: who has what, what is used, and the moves that keep the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.allocation import dual

if TYPE_CHECKING:
    from nextbest.policies.allocation.problem import Flags, Floats, Problem, Rows


class Plan:
    """One action per row (`none` is the number of actions), with uses per action and contacts per group kept up."""

    def __init__(self, it: Problem, prices: Floats, temperature: float = 0.0) -> None:
        """Start from what everyone takes at the prices; a temperature shares out those who are torn."""
        self.it, self.prices, self.none = it, prices, it.actions
        self.action = np.empty(it.rows, dtype=np.int16)
        self.holds = dual.holders(it, prices)
        torn = []
        for block in it.blocks():
            if temperature > 0:
                self.action[block], hesitant = dual.share_out(it, prices, block, self.holds, temperature)
                torn.append(hesitant + block.start)
            else:
                self.action[block] = dual.top(it, prices, block, self.holds)[0]
        self.torn = np.concatenate(torn) if torn else np.zeros(0, dtype=np.int64)
        self.cost = np.append(it.cost, 0.0)
        self.price = np.append(prices, 0.0)
        self.contacts = np.append(it.contacts, False)
        self.used = np.bincount(self.action, minlength=self.none + 1)
        self.reached = None if it.groups is None else self._reached()

    @property
    def spent(self) -> float:
        """What the plan costs."""
        return float(self.used @ self.cost)

    @property
    def acting(self) -> int:
        """How many rows have an action."""
        return int(self.used[: self.none].sum())

    def surplus(self, action: int) -> int:
        """How many uses an action can give up without falling below its quota."""
        return int(self.used[action] - (self.it.quota[action] if action < self.none else 0))

    def gain(self, rows: Rows, action: int | Floats) -> Floats:
        """Give what an action gains each row in money; 0 for none."""
        wanted = np.broadcast_to(np.asarray(action), rows.shape)
        found = self.it.gain[rows, np.minimum(wanted, self.none - 1)].astype(np.float64)
        return np.asarray(np.where(wanted == self.none, 0.0, found))

    def net(self, rows: Rows, action: int | Floats) -> Floats:
        """Give the gain less the price."""
        return np.asarray(self.gain(rows, action) - self.price[action])

    def value(self) -> float:
        """Give the sum of gains."""
        return float(sum(self.gain(np.arange(b.start, min(b.stop, self.it.rows)), self.action[b]).sum()
                         for b in self.it.blocks()))  # fmt: skip

    def reachable(self, rows: Rows) -> Flags:
        """Tell which rows could be contacted: those who are, and those whose group has a place left."""
        if self.reached is None or self.it.groups is None:
            return np.ones(len(rows), dtype=bool)
        room = self.reached[self.it.groups.code[rows]] < self.it.per_group
        return np.asarray(room | self.contacts[self.action[rows]])

    def open_to(self, rows: Rows, action: int) -> Flags:
        """Tell which rows could have an action as far as eligibility and their group go."""
        if action == self.none:
            return np.ones(len(rows), dtype=bool)
        able = np.asarray(self.it.gain[rows, action] > -np.inf)
        return able & self.reachable(rows) if self.contacts[action] else able

    def move(self, rows: Rows, action: int | Rows) -> None:
        """Give rows another action."""
        before = self.action[rows]
        self.action[rows] = action
        after = self.action[rows]
        k = self.none + 1
        self.used += np.bincount(after, minlength=k) - np.bincount(before, minlength=k)
        if self.reached is not None and self.it.groups is not None:
            change = self.contacts[after].astype(np.int64) - self.contacts[before]
            np.add.at(self.reached, self.it.groups.code[rows], change)

    def first_of_groups(self, rows: Rows, action: int) -> Flags:
        """Mark, in the order given, the rows whose move to an action leaves no group with too many contacts."""
        if self.reached is None or self.it.groups is None or not self.contacts[action]:
            return np.ones(len(rows), dtype=bool)
        code = self.it.groups.code[rows]
        fresh = ~self.contacts[self.action[rows]]
        place = rank_within(np.where(fresh, code, -1))
        return np.asarray(~fresh | (place < self.it.per_group - self.reached[code]))

    def _reached(self) -> Rows:
        groups = self.it.groups
        if groups is None:
            return np.zeros(0, dtype=np.int64)
        return np.bincount(groups.code[self.contacts[self.action]], minlength=len(groups.starts))


def rank_within(keys: Rows) -> Rows:
    """Give each entry's place (from 0) among the entries with the same key, in the order given."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.append(True, np.diff(ordered) != 0)[: len(keys)])
    sizes = np.diff(np.append(first, len(keys)))
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys)) - np.repeat(first, sizes)
    return places


def least(rows: Rows, loss: Floats, count: int) -> Rows:
    """Give the *count* rows with the least loss, the first ones on a tie."""
    if count >= len(rows):
        return rows[np.lexsort((rows, loss))]
    edge = np.partition(loss, count - 1)[count - 1] if count > 0 else -np.inf
    near = np.flatnonzero(loss <= edge)  # so that only these are sorted
    return rows[near[np.lexsort((rows[near], loss[near]))][: max(0, count)]]
