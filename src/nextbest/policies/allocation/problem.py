"""What is to be allocated: gains per (subject, action), costs, and the limits that tie subjects together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = np.ndarray[Any, np.dtype[Any]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]

BLOCK = 1 << 13  # rows at a time: a block of 20 actions stays in the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Rows sorted by group: `order` of the rows, where each group `starts` in it, and the `code` of each row."""

    order: Rows
    starts: Rows
    code: Rows

    @property
    def sizes(self) -> Rows:
        """How many rows each group has."""
        return np.diff(np.append(self.starts, len(self.order)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """At most one action per subject, for the highest sum of gains within the limits; no action is always free.

    `gain` (subjects, actions), float32 or float64: money more than doing nothing, minus infinity where not eligible.
    `cost` of one use, `capacity` (most uses, infinity for none) and `quota` (least uses) per action. `budget` bounds
    the sum of costs, `total` all uses together. Of each group at most `per_group` members get an action that `contacts`
    its subject.
    """

    gain: Floats
    cost: Floats
    capacity: Floats
    quota: Floats
    contacts: Flags
    budget: float = np.inf
    total: float = np.inf
    groups: Groups | None = None
    per_group: int = 1

    @property
    def rows(self) -> int:
        """How many subjects there are."""
        return int(self.gain.shape[0])

    @property
    def actions(self) -> int:
        """How many actions there are, doing nothing not among them."""
        return int(self.gain.shape[1])

    def blocks(self) -> Iterator[slice]:
        """Give the rows in pieces that fit the processor's cache."""
        return (slice(start, start + BLOCK) for start in range(0, self.rows, BLOCK))

    def net(self, prices: Floats, block: slice | Rows, *, exact: bool = True) -> Floats:
        """Give gain less price, shape (actions, rows of the block), so that sums over actions run along memory."""
        kind = np.float64 if exact else np.float32
        return np.subtract(self.gain[block].T, prices[:, None], dtype=kind, order="C")


def problem(  # noqa: PLR0913 (the limits, one each)
    gain: Floats,
    *,
    cost: Floats | None = None,
    capacity: Floats | None = None,
    quota: Floats | None = None,
    contacts: Flags | None = None,
    budget: float | None = None,
    total: float | None = None,
    group: Floats | None = None,
    per_group: int = 1,
) -> Problem:
    """Give a checked problem; `group` holds one whole number per subject, negative where there is no group.

    Raises `DataError` for shapes that do not fit, a gain that is NaN or plus infinity, and negative costs or limits.
    """
    if gain.ndim != 2:
        raise DataError(f"Gains have {gain.ndim} dimensions; give a matrix (subjects, actions).")
    k = gain.shape[1]
    made = Problem(
        gain=gain if gain.dtype in (np.float32, np.float64) else gain.astype(np.float64),
        cost=_row("cost", cost, k, 0.0),
        capacity=np.floor(_row("capacity", capacity, k, np.inf)),
        quota=np.ceil(_row("quota", quota, k, 0.0)),
        contacts=np.ones(k, dtype=bool) if contacts is None else np.asarray(contacts, dtype=bool),
        budget=_limit("budget", budget),
        total=np.floor(_limit("total", total)),
        groups=None if group is None else _grouped(group, gain.shape[0]),
        per_group=per_group,
    )
    for block in made.blocks():
        if not (made.gain[block] < np.inf).all():  # NaN is not below either
            raise DataError("A gain is NaN or infinite; give minus infinity where an action is not eligible.")
    return made


def part(whole: Problem, rows: Rows) -> Problem:
    """Give a smaller problem of some rows, its limits smaller in proportion; groups must be taken whole."""
    share = len(rows) / max(1, whole.rows)
    return replace(
        whole,
        gain=whole.gain[rows],
        capacity=whole.capacity * share,
        quota=whole.quota * share,
        budget=whole.budget * share,
        total=whole.total * share,
        groups=None if whole.groups is None else _grouped(whole.groups.code[rows], len(rows)),
    )


def _row(name: str, values: Floats | None, k: int, default: float) -> Floats:
    if values is None:
        return np.full(k, default)
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (k,):
        raise DataError(f"There are {k} actions and {given.size} numbers of {name}; give one per action.")
    if not (given >= 0).all():
        raise DataError(f"A {name} is {given[~(given >= 0)][0]}; it is a number from 0 up.")
    return given


def _limit(name: str, value: float | None) -> float:
    if value is None:
        return np.inf
    if not value >= 0:
        raise DataError(f"The {name} is {value}; it is a number from 0 up.")
    return float(value)


def _grouped(group: Floats, n: int) -> Groups:
    """Number the groups without gaps; who has none is a group of one."""
    codes = np.array(group, dtype=np.int64)
    if codes.shape != (n,):
        raise DataError(f"There are {n} subjects and {codes.size} groups; give one number per subject.")
    alone = np.flatnonzero(codes < 0)
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(len(alone))
    order = np.argsort(codes, kind="stable")
    first = np.append(True, np.diff(codes[order]) != 0)[: len(order)]
    dense = np.empty(n, dtype=np.int64)
    dense[order] = np.cumsum(first) - 1
    return Groups(order=order, starts=np.flatnonzero(first), code=dense)
