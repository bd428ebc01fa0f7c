"""The life of every deal, read from rows of `deal_stage`: what was known of it at any moment, and what came of it.

A history has one row per stage entered. An export alone has one row per deal, as it stands on the day of the export:
when it was opened, and, if it is over, when and how. Then the stage and the amount of a deal that is over are known
only from afterwards, and all open time counts as one stage called "open".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

NEVER = 2**33 - 1  # seconds since 1970: the year 2242
DAY = 86_400
OPEN = "open"
UNKNOWN = -1
TEXT = ("owner_id", "account_id", "product", "pipeline", "lead_source", "deal_type")
COLUMNS = ("subject_id", "deal_id", "ts", "stage", "amount", "won", "closed", "expected_close_ts", "closed_ts", *TEXT)
WON = frozenset({"won", "closedwon", "win", "signed", "gewonnen", "gagne", "ganada"})
LOST = frozenset({"lost", "closedlost", "lose", "disqualified", "abandoned", "verloren", "perdu", "perdida"})
_SHIFT = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Deals:
    """Deals as known before `now` (seconds since 1970), by place in `ids`; rows are sorted by deal and time.

    `closed` is `NEVER` for an open deal; `amount_won` is the amount at its end, missing while it is open. Row values
    are carried forward; `row_stage` is a place in `stages`, -1 where nobody knows, and the same for `text` in `words`.
    """

    now: int
    history: bool
    ids: pa.Array
    keys: pa.Array
    opened: Ints
    closed: Ints
    won: Flags
    amount_won: Floats
    row_deal: Ints
    row_ts: Ints
    row_stage: Ints
    row_amount: Floats
    row_expected: Floats
    row_over: Flags
    text: Mapping[str, Ints]
    words: Mapping[str, pa.Array]
    stages: tuple[str, ...]
    unclear: int = 0

    def rows_at(self, deal: Ints, moment: Ints) -> Ints:
        """Give the last row of each deal at a moment not before its opening."""
        keys = (self.row_deal << _SHIFT) + self.row_ts
        return np.asarray(np.searchsorted(keys, (deal << _SHIFT) + np.clip(moment, 0, NEVER), side="right") - 1)

    def last_row(self, deal: Ints) -> Ints:
        """Give the last row of each deal."""
        return np.asarray(np.searchsorted(self.row_deal, deal, side="right") - 1)

    def open_at(self, moment: int) -> Ints:
        """Give the deals that are open at a moment."""
        return np.flatnonzero((self.opened <= moment) & (self.closed > moment))

    def over(self) -> Ints:
        """Give the deals whose end is known."""
        return np.flatnonzero(self.closed < NEVER)


def read(rows: pa.Table, *, now: int, won_stages: Sequence[str] = (), lost_stages: Sequence[str] = ()) -> Deals:
    """Give the deals told by rows of `deal_stage`; an end at or after `now` is not known yet."""
    rows = rows.filter(pc.and_(pc.is_valid(rows["ts"]), pc.is_valid(rows["subject_id"])))
    ids = pc.unique(rows["subject_id"].combine_chunks().cast(pa.string()))
    ids = ids.take(pc.sort_indices(ids))
    deal, ts = _integers(pc.index_in(rows["subject_id"].cast(pa.string()), ids)), seconds(rows["ts"])
    won, lost = _results(rows, won_stages, lost_stages)
    told = _integers(pc.is_valid(rows["won"])) + _integers(pc.is_valid(rows["closed"]))
    order = np.lexsort((told == 0, ts, deal))  # at one moment the row of a history, which tells no result, comes last
    rows, deal, ts, won, lost = rows.take(order), deal[order], ts[order], won[order], lost[order]
    single = np.bincount(deal, minlength=len(ids))[deal] == 1
    ends = _ends(deal, won | lost, single)
    end = np.maximum(_end_moment(rows, ts, single), ts)
    known = ends & (end < now)
    closed, place = np.full(len(ids), NEVER), np.full(len(ids), -1)
    for at in np.flatnonzero(known)[::-1]:  # the first end of a deal counts
        closed[deal[at]], place[deal[at]] = end[at], at
    history = _has_history(deal, ends, closed)
    stage, stages = _stages(rows["stage"], won | lost, deal, ts, history=history)
    after = ends & single  # told by an export: stage and amount of a deal that is over are from afterwards
    amount, expected = _floats(rows["amount"]), seconds_or_nan(rows["expected_close_ts"])
    final = np.where(place >= 0, _carried(amount, deal)[place], np.nan)
    codes = {name: _coded(rows[name]) for name in TEXT}
    ended = closed < NEVER
    return Deals(
        now=now, history=history, ids=ids, keys=_keys(rows["deal_id"], deal, ids),
        opened=ts[np.searchsorted(deal, np.arange(len(ids)))] if len(ids) else np.zeros(0, np.int64),
        closed=closed, won=ended & won[place] if len(won) else ended, amount_won=final, row_deal=deal, row_ts=ts,
        row_stage=_carried_codes(stage, deal), row_amount=_carried(np.where(after, np.nan, amount), deal),
        row_expected=_carried(np.where(after, np.nan, expected), deal), row_over=ends & ~single,
        text={n: _carried_codes(c, deal) for n, (c, _) in codes.items()}, words={n: w for n, (_, w) in codes.items()},
        stages=stages, unclear=_unclear(rows, won | lost),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Spells:
    """Times that deals spent in a stage: from `start` to `end` (seconds); `leaves`: see the names below, or a stage."""

    deal: Ints
    stage: Ints
    start: Ints
    end: Ints
    leaves: Ints

    @property
    def days(self) -> Floats:
        """How long each lasted."""
        return (self.end - self.start) / DAY


STAYS, TO_WON, TO_LOST = -1, -2, -3


def spells(deals: Deals) -> Spells:
    """Give every time a deal spent in a stage; one that lasts until now `STAYS`. Unknown stages are left out."""
    closed = deals.closed[deals.row_deal]
    use = ~deals.row_over & (deals.row_ts < np.minimum(closed, deals.now))
    deal, ts, stage = deals.row_deal[use], deals.row_ts[use], deals.row_stage[use]
    last = np.append((deal[1:] != deal[:-1]) | (ts[1:] != ts[:-1]), True)[: len(deal)]
    deal, ts, stage = deal[last], ts[last], stage[last]  # of several rows of one moment the last
    new = np.ones(len(deal), np.bool_)
    new[1:] = (deal[1:] != deal[:-1]) | (stage[1:] != stage[:-1])
    deal, ts, stage = deal[new], ts[new], stage[new]
    goes_on = np.zeros(len(deal), np.bool_)
    goes_on[:-1] = deal[1:] == deal[:-1]
    following, moves = np.append(ts[1:], 0)[: len(ts)], np.append(stage[1:], 0)[: len(ts)]
    result = np.where(deals.closed[deal] == NEVER, STAYS, np.where(deals.won[deal], TO_WON, TO_LOST))
    # A deal that goes on in a stage that nobody knows is seen to stay until then, and no further.
    leaves = np.where(goes_on, np.where(moves == UNKNOWN, STAYS, moves), result)
    end = np.where(goes_on, following, np.minimum(deals.closed[deal], deals.now))
    known = stage != UNKNOWN
    return Spells(deal=deal[known], stage=stage[known], start=ts[known], end=end[known], leaves=leaves[known])


def word(stage: str) -> str:
    """Give the letters of a stage's name, small: "Closed - Won" is "closedwon"."""
    return re.sub(r"[^a-z0-9]+", "", stage.casefold())


def seconds(column: pa.ChunkedArray) -> Ints:
    """Give moments as seconds since 1970; a missing one is -1."""
    whole = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return _integers(pc.fill_null(whole, -1_000_000)) // 1_000_000


def seconds_or_nan(column: pa.ChunkedArray) -> Floats:
    """Give moments as seconds since 1970; a missing one is NaN."""
    found = seconds(column).astype(np.float64)
    return np.where(_integers(pc.is_null(column)) == 1, np.nan, found)


# --- reading ----------------------------------------------------------------------------------------------------------


def _results(rows: pa.Table, won_stages: Sequence[str], lost_stages: Sequence[str]) -> tuple[Flags, Flags]:
    """Tell, per row, whether it says that the deal was won, and whether that it was lost."""
    wins, losses = {*WON, *map(word, won_stages)}, {*LOST, *map(word, lost_stages)}
    names = pc.fill_null(rows["stage"].cast(pa.string()), "").combine_chunks().dictionary_encode()
    said = [word(name) for name in names.dictionary.to_pylist()]
    code = names.indices.to_numpy()
    by_name = np.array([1 if w in wins else -1 if w in losses else 0 for w in said] or [0])[code]
    flag = {name: _integers(pc.fill_null(rows[name], fill_value=False)) == 1 for name in ("won", "closed")}
    denied = _integers(pc.fill_null(pc.invert(rows["won"]), fill_value=False)) == 1
    won = flag["won"] | (by_name > 0)
    over = flag["closed"] | (denied & (_integers(pc.is_valid(rows["closed_ts"])) == 1))
    return won, ~won & ((by_name < 0) | over)


def _ends(deal: Ints, says_over: Flags, single: Flags) -> Flags:
    """Tell which rows end their deal: those that say so, and after which it never stood in an open stage again."""
    at = np.arange(len(deal))
    last_open = np.full(int(deal.max(initial=-1)) + 1, -1)
    np.maximum.at(last_open, deal[~says_over], at[~says_over])
    return says_over & (single | (at > last_open[deal] if len(deal) else single))


def _end_moment(rows: pa.Table, ts: Ints, single: Flags) -> Ints:
    """Give when a row that ends its deal says it ended; an export tells it by the closing date."""
    closed, expected = seconds_or_nan(rows["closed_ts"]), seconds_or_nan(rows["expected_close_ts"])
    told = np.where(np.isfinite(closed), closed, np.where(single & (expected >= ts), expected, ts))
    return told.astype(np.int64)


def _has_history(deal: Ints, ends: Flags, closed: Ints) -> bool:
    """Tell whether most deals that are over were seen in an open stage before."""
    seen = np.bincount(deal[~ends], minlength=len(closed)) > 0
    over = closed < NEVER
    return bool(seen[over].mean() > 0.5) if over.any() else bool(np.any(np.bincount(deal, minlength=1) > 1))


def _stages(
    column: pa.ChunkedArray, over: Flags, deal: Ints, ts: Ints, *, history: bool
) -> tuple[Ints, tuple[str, ...]]:
    """Give the stage of every row, and the stages by how late in their lives deals come to them."""
    if not history:
        return np.zeros(len(deal), np.int64), (OPEN,)
    code, words = _coded(column)
    code = np.where(over, UNKNOWN, code)
    first = ts[np.searchsorted(deal, deal)]
    used = [(float(np.median((ts - first)[code == k])), str(w)) for k, w in enumerate(words.to_pylist()) if k in code]
    stages = tuple(name for _, name in sorted(used))
    places = np.array([stages.index(w) if w in stages else UNKNOWN for w in words.to_pylist()] or [UNKNOWN])
    return np.where(code == UNKNOWN, UNKNOWN, places[code]), stages


def _keys(column: pa.ChunkedArray, deal: Ints, ids: pa.Array) -> pa.Array:
    """Give what other events call each deal: its own id without the system before it, else the subject's."""
    given = column.cast(pa.string()).to_pylist()
    found = {int(d): k for d, k in zip(deal, given, strict=True) if k}
    return pa.array([short(found.get(i) or name) for i, name in enumerate(ids.to_pylist())], pa.string())


def short(key: str) -> str:
    """Give an id without the name of the system before it."""
    return key.rpartition(":")[2]


def _unclear(rows: pa.Table, over: Flags) -> int:
    return int(((_integers(pc.is_valid(rows["closed_ts"])) == 1) & ~over).sum())


def _coded(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Give the place of every value among the sorted distinct ones, -1 for none, and those."""
    values = column.cast(pa.string())
    words = pc.unique(values.drop_null())
    words = words.take(pc.sort_indices(words)) if len(words) else pa.array([], pa.string())
    return _integers(pc.fill_null(pc.index_in(values, words), UNKNOWN)), words


def _carried_codes(codes: Ints, deal: Ints) -> Ints:
    found = _carried(np.where(codes == UNKNOWN, np.nan, codes.astype(np.float64)), deal)
    return np.where(np.isfinite(found), found, UNKNOWN).astype(np.int64)


def _carried(values: Floats, deal: Ints) -> Floats:
    """Give the last known value of the same deal at every row."""
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1)) if len(values) else deal
    same = (at >= 0) & (deal[at] == deal) if len(values) else np.zeros(0, np.bool_)
    return np.where(same, values[at], np.nan) if len(values) else values


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _integers(column: pa.ChunkedArray | pa.Array) -> Ints:
    whole = column.cast(pa.int64())
    return np.asarray(whole.to_numpy(zero_copy_only=False) if isinstance(whole, pa.Array) else whole.to_numpy())
