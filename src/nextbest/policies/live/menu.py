"""The candidates of one request as arrays: which declared action each comes from, costs, levers, classes.

An action `*` of the play stands for items that a request brings: each takes its class, channel, cost and limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.ledger import candidates
from nextbest.policies.gates import FALLS_BACK_TO_NONE
from nextbest.types import ANY_ITEM, NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.ask import Offers
    from nextbest.types import Action

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Menu:
    """The candidates by position; `kinds[i]` is the position of the declared action that candidate i comes from.

    `safe` marks what may be taken without a sound model; `items` counts those that the request brought. `head` is how
    the log begins to tell of them; `everything` marks them all; `plain` says that the play describes none of them.
    """

    ids: tuple[str, ...]
    index: Mapping[str, int]
    kinds: np.ndarray[Any, np.dtype[np.intp]]
    none: int
    cost: Numbers
    costs: tuple[float, ...]
    lever: Numbers | None
    safe: Flags
    everything: Flags
    head: bytes
    plain: bool
    items: int = 0


def menu(declared: tuple[Action, ...], items: tuple[str, ...] = ()) -> Menu:
    """Give the menu of a play's actions, with the items in the place of `*`, then the other actions."""
    fixed = [(i, a.id) for i, a in enumerate(declared) if a.id != ANY_ITEM]
    star = next((i for i, a in enumerate(declared) if a.id == ANY_ITEM), -1)
    pairs = [*((star, item) for item in items), *fixed]
    ids = tuple(name for _, name in pairs)
    kinds = np.array([kind for kind, _ in pairs], dtype=np.intp)
    of = [declared[kind] for kind, _ in pairs]
    levers = np.array([a.lever for a in of])
    costs, everything = tuple(float(a.cost) for a in of), np.ones(len(of), dtype=bool)
    everything.flags.writeable = False
    return Menu(
        ids=ids,
        index={name: i for i, name in enumerate(ids)},
        kinds=kinds,
        none=ids.index(NO_ACTION),
        cost=np.array([a.cost for a in of], dtype=np.float64),
        costs=costs,
        lever=None if (levers == 1.0).all() else levers,
        safe=np.array([a.action_class not in FALLS_BACK_TO_NONE or a.id == NO_ACTION for a in of]),
        everything=everything,
        head=candidates.head(ids, costs),
        plain=not any(a.features for a in declared),
        items=len(items),
    )


def actions(declared: tuple[Action, ...], shown: Menu) -> tuple[Action, ...]:
    """Give the menu as actions, for policies that ask for them."""
    pairs = zip(shown.ids, shown.kinds.tolist(), strict=True)
    return tuple(a if (a := declared[kind]).id == name else replace(a, id=name) for name, kind in pairs)


def described(declared: tuple[Action, ...], shown: Menu, brought: Offers | None) -> tuple[tuple[str, ...], Numbers]:
    """Give the names and values of what describes the candidates, in their order: the request's words come first."""
    if brought is not None and shown.plain and shown.items == len(brought.ids):
        values = np.empty((len(shown.ids), len(brought.names)))
        values[: shown.items] = brought.values
        values[shown.items :] = np.nan
        return brought.names, values
    names = {name: i for i, name in enumerate(brought.names)} if brought is not None else {}
    cells, marks = _declared(declared, shown, names, _texts(shown, brought))
    values = np.full((len(shown.ids), len(names)), np.nan)
    values[:, sorted(marks)] = 0.0
    for i, column, number in cells:
        values[i, column] = number
    if brought is not None and len(brought.names):
        rows = [shown.index[name] for name in brought.ids]
        own = values[rows, : len(brought.names)]
        values[rows, : len(brought.names)] = np.where(np.isnan(brought.values), own, brought.values)
    return tuple(names), values


def _texts(shown: Menu, brought: Offers | None) -> set[tuple[int, str]]:
    """Give the rows and features of which a request says a text itself: what the play says of them does not hold."""
    if brought is None:
        return set()
    marks = [(j, name.partition("=")[0]) for j, name in enumerate(brought.names) if "=" in name]
    rows = [shown.index[name] for name in brought.ids]
    return {(rows[at], name) for j, name in marks for at in np.flatnonzero(brought.values[:, j] == 1.0).tolist()}


def _declared(
    declared: tuple[Action, ...], shown: Menu, names: dict[str, int], texts: set[tuple[int, str]]
) -> tuple[list[tuple[int, int, float]], set[int]]:
    """Give (row, column, value) of what the play says of its actions, adding to *names*, and the columns of texts.

    `texts` are those that a request says itself.
    """
    cells: list[tuple[int, int, float]] = []
    marks: set[int] = set()
    for i, kind in enumerate(shown.kinds.tolist()):
        for name, value in declared[kind].features.items():
            text = isinstance(value, str)
            column = names.setdefault(f"{name}={value}" if text else name, len(names))
            if text:
                marks.add(column)
            if not text or (i, name) not in texts:
                cells.append((i, column, 1.0 if isinstance(value, str) else float(value)))
    return cells, marks
