"""One sentence per decision: what was chosen and what it earns, or what ruled it out. Vectorised over subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.arms import ARMS
from nextbest.policies.weighing import top

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
DRAWN = ": drawn by chance, to learn what it does."
ASSUMED, MEASURED = " (effect assumed, not measured yet).", " (effect measured)."
MISSING = " Predictions were missing, so the default was taken."
_PERCENT = [f"{t // 10}.{t % 10}%" for t in range(1001)]
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
    best, wanted = top(allowed, none), top(ranking.worth, none)
    cases = np.select(
        [
            (arms == ARMS.index("holdout")) | ((arms == ARMS.index("business_as_usual")) & (chosen == none)),
            arms == ARMS.index("business_as_usual"),
            (chosen != none) & (chosen == best),
            chosen != none,
            best != none,
            wanted != none,
        ],
        [_HELD, _USUAL, _PAYS, _DRAWN, _NOTHING_DRAWN, _RULED_OUT],
        default=_NOTHING_PAYS,
    )
    told = _Told(len(cases))
    told.same(cases == _HELD, HELD_OUT)
    told.same(cases == _NOTHING_PAYS, NOTHING_PAYS)
    told.same(cases == _NOTHING_DRAWN, NOTHING_DRAWN)
    told.each(cases == _DRAWN, pa.array([f"{name}{DRAWN}" for name in ids]), chosen)
    told.each(cases == _USUAL, pa.array([f"{name}{USUAL}" for name in ids]), chosen)
    rows = told.rows(cases == _PAYS)
    told.own(rows, _pays(ranking, ids, chosen[rows], none, rows))
    rows = told.rows(cases == _RULED_OUT)
    told.own(rows, _ruled_out(removals, pa.array(ids), wanted[rows], rows))
    sentence = told.sentences()
    if not ranking.degraded.any():
        return sentence
    late = pc.binary_join_element_wise(sentence, pa.scalar(MISSING), "")
    return pc.if_else(pa.array(ranking.degraded), late, sentence)


class _Told:
    """Sentences by their place among a few arrays of texts, so that each text is made once."""

    def __init__(self, n: int) -> None:
        self._place = np.zeros(n, dtype=np.int64)
        self._texts: list[pa.Array] = []
        self._next = 0

    def rows(self, where: np.ndarray[Any, Any]) -> Positions:
        return np.flatnonzero(where)

    def same(self, where: np.ndarray[Any, Any], text: str) -> None:
        """Give one text to the marked rows."""
        self._place[where] = self._next
        self._add(pa.array([text]))

    def each(self, where: np.ndarray[Any, Any], texts: pa.Array, of: Positions) -> None:
        """Give the marked rows one of a few texts, by its position."""
        self._place[where] = self._next + of[where]
        self._add(texts)

    def own(self, rows: Positions, texts: pa.Array) -> None:
        """Give each of the rows a text of its own."""
        self._place[rows] = self._next + np.arange(len(rows))
        self._add(texts)

    def sentences(self) -> pa.Array:
        """Give one text per row."""
        return pa.concat_arrays(self._texts).take(pa.array(self._place))

    def _add(self, texts: pa.Array) -> None:
        self._texts.append(texts)
        self._next += len(texts)


def _pays(ranking: Ranking, ids: list[str], chosen: Positions, none: int, rows: Positions) -> pa.Array:
    gain = ranking.worth[rows, chosen] - ranking.worth[rows, none]
    sign, whole, cents = _money(gain)
    ends = pa.array([f"{p}{end}" for end in (MEASURED, ASSUMED) for p in _PERCENT])
    assumed = np.array(ranking.assumed)[chosen]
    return pc.binary_join_element_wise(
        pa.array([f"{name}: worth " for name in ids]).take(pa.array(chosen)),
        sign,
        whole,
        pa.array([f".{c:02d} more than doing nothing, as a response becomes " for c in range(100)]).take(cents),
        pa.array([f"{p} likely instead of " for p in _PERCENT]).take(pa.array(_tenths(ranking.response[rows, chosen]))),
        ends.take(pa.array(_tenths(ranking.response[rows, none]) + len(_PERCENT) * assumed)),
        "",
    )


def _ruled_out(removals: Removals, names: pa.Array, wanted: Positions, rows: Positions) -> pa.Array:
    rules = removals.names(removals.codes[rows, wanted])
    return pc.binary_join_element_wise("Nothing: ", names.take(pa.array(wanted)), " was ruled out by ", rules, ".", "")


def _money(amounts: Numbers) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Give sign and whole part of amounts as texts, and their cents as numbers."""
    cents = np.abs(np.nan_to_num(amounts) * 100).round().astype(np.int64)
    sign = pa.array(["", "-"]).take(pa.array(((amounts < 0) & (cents > 0)).astype(np.int8)))
    return sign, pc.cast(pa.array(cents // 100), pa.string()), pa.array(cents % 100)


def _tenths(shares: Numbers) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Give shares in tenths of a percent, which are the positions of their texts."""
    return np.asarray((np.clip(np.nan_to_num(shares), 0.0, 1.0) * 1000).round().astype(np.int64))
