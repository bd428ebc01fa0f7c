"""One sentence per decision: what was chosen and what it earns, or what ruled it out. Vectorised over subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.arms import ARMS
from nextbest.policies.greedy import best

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.policies.removals import Removals
    from nextbest.policies.response import Ranking
    from nextbest.types import Action

Positions = np.ndarray[Any, np.dtype[np.intp]]

HELD_OUT = "Held out: nothing is done, so that the effect of this play can be measured."
NOTHING_PAYS = "Nothing: no action that is allowed earns more than it costs."
NOTHING_DRAWN = "Nothing: drawn by chance, to learn what happens without an action."
USUAL = ": business as usual, so that the effect of this play can be measured."
MISSING = " Predictions were missing, so the default was taken."
_PAYS, _DRAWN, _HELD, _NOTHING_PAYS, _NOTHING_DRAWN, _RULED_OUT, _USUAL = range(7)


def sentences(
    ranking: Ranking,
    removals: Removals,
    actions: tuple[Action, ...],
    arms: np.ndarray[Any, Any],
    chosen: Positions,
    *,
    charged: Numbers | None = None,
) -> pa.Array:
    """Give the reason of each decision; `charged` is the worth after prices, where limits gave things a price."""
    ids = [a.id for a in actions]
    none = ids.index("none")
    allowed = np.where(removals.eligible, ranking.worth if charged is None else charged, -np.inf)
    top, wanted = best(allowed, actions), best(ranking.worth, actions)
    cases = np.select(
        [
            (arms == ARMS.index("holdout")) | ((arms == ARMS.index("business_as_usual")) & (chosen == none)),
            arms == ARMS.index("business_as_usual"),
            (chosen != none) & (chosen == top),
            chosen != none,
            top != none,
            wanted != none,
        ],
        [_HELD, _USUAL, _PAYS, _DRAWN, _NOTHING_DRAWN, _RULED_OUT],
        default=_NOTHING_PAYS,
    )
    names = pa.array(ids)
    pays = _where(cases == _PAYS, lambda rows: _pays(ranking, names, chosen[rows], none, rows), len(cases))
    ruled = _where(cases == _RULED_OUT, lambda rows: _ruled_out(removals, names, wanted[rows], rows), len(cases))
    drawn = pc.binary_join_element_wise(
        names.take(pa.array(chosen)), pa.scalar(": drawn by chance, to learn what it does."), ""
    )
    business = pc.binary_join_element_wise(names.take(pa.array(chosen)), pa.scalar(USUAL), "")
    order = {
        _PAYS: pays,
        _DRAWN: drawn,
        _HELD: HELD_OUT,
        _NOTHING_PAYS: NOTHING_PAYS,
        _NOTHING_DRAWN: NOTHING_DRAWN,
        _RULED_OUT: ruled,
        _USUAL: business,
    }
    told = pc.choose(pa.array(cases.astype(np.int64)), *[order[i] for i in range(len(order))])
    late = pc.binary_join_element_wise(told, pa.scalar(MISSING), "")
    return pc.if_else(pa.array(ranking.degraded), late, told)


def _where(mask: np.ndarray[Any, Any], make: Any, n: int) -> pa.Array:  # noqa: ANN401 (a small function of row numbers)
    """Give texts for the marked rows only, null elsewhere."""
    rows = np.flatnonzero(mask)
    places = np.full(n, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return make(rows).take(pa.array(places, mask=~mask))


def _pays(ranking: Ranking, names: pa.Array, chosen: Positions, none: int, rows: Positions) -> pa.Array:
    gain = ranking.worth[rows, chosen] - ranking.worth[rows, none]
    assumed = pa.array(np.array(ranking.assumed)[chosen])
    return pc.binary_join_element_wise(
        names.take(pa.array(chosen)),
        ": worth ",
        money(gain),
        " more than doing nothing, as a response becomes ",
        percent(ranking.response[rows, chosen]),
        " likely instead of ",
        percent(ranking.response[rows, none]),
        pc.if_else(assumed, " (effect assumed, not measured yet).", " (effect measured)."),
        "",
    )


def _ruled_out(removals: Removals, names: pa.Array, wanted: Positions, rows: Positions) -> pa.Array:
    rules = removals.names(removals.codes[rows, wanted])
    return pc.binary_join_element_wise("Nothing: ", names.take(pa.array(wanted)), " was ruled out by ", rules, ".", "")


def money(amounts: Numbers) -> pa.Array:
    """Give amounts as texts with two decimals."""
    cents = np.abs(np.nan_to_num(amounts) * 100).round().astype(np.int64)
    sign = pa.array(np.where((np.nan_to_num(amounts) < 0) & (cents > 0), "-", ""))
    whole = pc.cast(pa.array(cents // 100), pa.string())
    part = pc.utf8_lpad(pc.cast(pa.array(cents % 100), pa.string()), 2, "0")
    return pc.binary_join_element_wise(sign, whole, ".", part, "")


def percent(shares: Numbers) -> pa.Array:
    """Give shares as texts such as 12.3%."""
    tenths = (np.nan_to_num(shares) * 1000).round().astype(np.int64)
    whole, part = pc.cast(pa.array(tenths // 10), pa.string()), pc.cast(pa.array(tenths % 10), pa.string())
    return pc.binary_join_element_wise(whole, ".", part, "%", "")
