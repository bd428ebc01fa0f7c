"""What is known of a deal at a moment: its stage and age, what changed, what was done, and how those alike ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import deal_history, shrink
from nextbest.models.deal_history import DAY, NEVER, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

WINDOWS = (14, 30)
RATED = ("owner_id", "account_id", "product")  # how deals of the same rep, account, product ended
AS_TEXT = ("product", "pipeline", "lead_source", "deal_type")
ACCOUNT = ("industry", "country", "employees", "annual_revenue")
_SHIFT = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """What was done about deals, sorted: place of the deal and when, as one number; empty when nothing is known."""

    keys: Ints
    deal: Ints
    ts: Ints


def activities(table: pa.Table, deals: Deals) -> Activities:
    """Give the rows of `activity` that belong to a deal."""
    named = pa.array([deal_history.short(k) if k else None for k in table["deal_id"].to_pylist()], pa.string())
    place = pc.fill_null(pc.index_in(named, deals.keys), UNKNOWN)
    deal = np.asarray(place.cast(pa.int64()).to_numpy(zero_copy_only=False))
    ts = deal_history.seconds(table["ts"])
    known = (deal >= 0) & (ts >= 0) & (ts < deals.now)
    deal, ts = deal[known], ts[known]
    order = np.lexsort((ts, deal))
    deal, ts = deal[order], ts[order]
    return Activities(keys=(deal << _SHIFT) + ts, deal=deal, ts=ts)


def features(
    deals: Deals, deal: Ints, moment: Ints, *, done: Activities | None = None, accounts: pa.Table | None = None
) -> pa.Table:
    """Give one row per (deal, moment): `subject_id`, and what was known then. No moment is before its opening."""
    at = deals.rows_at(deal, moment)
    known: dict[str, pa.Array | Floats] = {
        "subject_id": deals.ids.take(pa.array(deal)),
        "deal_age_days": (moment - deals.opened[deal]) / DAY,
    }
    for name in AS_TEXT:
        known[name] = _words(deals.words[name], deals.text[name][at])
    for name in RATED:
        # The rate alone: how many deals it rests on grows with the calendar, and would tell the date, not the deal.
        rate = past_rates(deals, deals.text[name], deals.text[name][at], moment)
        known[f"{name.removesuffix('_id')}_win_rate"] = rate
    if deals.history:
        known |= _of_history(deals, deal, moment, at)
    if done is not None and len(done.keys):
        known |= _of_activities(done, deal, moment)
    if accounts is not None and accounts.num_rows:
        known |= _of_accounts(deals, at, accounts)
    return pa.table(known)


def past_rates(deals: Deals, codes: Ints, mine: Ints, moment: Ints) -> Floats:
    """Give the shrunken win rate of deals of the same group that were over before each moment."""
    over = np.flatnonzero(deals.closed < NEVER)
    group = codes[deals.last_row(over)]
    order = np.lexsort((deals.closed[over], group))
    over, group = over[order], group[order]
    keys = (group << _SHIFT) + deals.closed[over]
    won = np.concatenate([[0.0], np.cumsum(deals.won[over])])
    first = np.searchsorted(keys, mine << _SHIFT)
    last = np.searchsorted(keys, (mine << _SHIFT) + moment)
    count = np.where(mine == UNKNOWN, 0, last - first).astype(np.float64)
    wins = np.where(mine == UNKNOWN, 0.0, won[last] - won[first])
    ended = np.sort(deals.closed[over])
    all_won = np.concatenate([[0.0], np.cumsum(deals.won[over][np.argsort(deals.closed[over], kind="stable")])])
    before = np.searchsorted(ended, moment)
    common = (all_won[before] + 1) / (before + 2)
    size = int(group.max(initial=0)) + 1
    known = group >= 0
    weights = deals.won[over][known].astype(np.float64), np.ones(int(known.sum()))
    totals = [np.asarray(np.bincount(group[known], weights=w, minlength=size), np.float64) for w in weights]
    weight = shrink.rate_weight(totals[0], totals[1])
    return np.asarray((wins + weight * common) / (count + weight))


def _of_history(deals: Deals, deal: Ints, moment: Ints, at: Ints) -> dict[str, pa.Array | Floats]:
    first = np.searchsorted(deals.row_deal, deal)
    stage, amount, due = deals.row_stage, deals.row_amount, deals.row_expected
    same = np.concatenate([[False], deals.row_deal[1:] == deals.row_deal[:-1]])
    moved = same & (np.diff(stage, prepend=UNKNOWN) != 0)
    changes = {
        "stage_changes": moved,
        "stage_steps_back": same & (np.diff(stage, prepend=UNKNOWN) < 0),
        "amount_changes": same & (np.abs(np.diff(amount, prepend=np.nan)) > 0),
        "closing_date_pushes": same & (np.diff(due, prepend=np.nan) >= DAY),
    }
    entered = np.maximum.accumulate(np.where(moved | ~same, np.arange(len(stage)), 0))
    start = amount[first]
    change = np.divide(amount[at], start, out=np.full(len(at), np.nan), where=start > 0)
    return {
        "stage": _words(pa.array(deals.stages, pa.string()), stage[at]),
        "stage_age_days": (moment - deals.row_ts[entered[at]]) / DAY,
        **{name: _within(flags, first, at) for name, flags in changes.items()},
        "amount": amount[at],
        "amount_change": change,
        "days_to_closing_date": (due[at] - moment) / DAY,
    }


def _of_activities(done: Activities, deal: Ints, moment: Ints) -> dict[str, pa.Array | Floats]:
    last = np.searchsorted(done.keys, (deal << _SHIFT) + moment)
    first = np.searchsorted(done.keys, deal << _SHIFT)
    found: dict[str, pa.Array | Floats] = {"activities": (last - first).astype(np.float64)}
    for days in WINDOWS:
        since = np.searchsorted(done.keys, (deal << _SHIFT) + np.maximum(moment - days * DAY, 0))
        found[f"activities_{days}d"] = (last - since).astype(np.float64)
    latest = done.ts[np.maximum(last - 1, 0)]
    found["days_since_activity"] = np.where(last > first, (moment - latest) / DAY, np.nan)
    return found


def _of_accounts(deals: Deals, at: Ints, accounts: pa.Table) -> dict[str, pa.Array | Floats]:
    """Give what is known of the deal's account; none of it changes with the deal."""
    names = deals.words["account_id"]
    short = pa.array([deal_history.short(n) for n in accounts["subject_id"].to_pylist()], pa.string())
    place = pc.index_in(pa.array([deal_history.short(n) for n in names.to_pylist()], pa.string()), short)
    code = deals.text["account_id"][at]
    mine = pc.if_else(pa.array(code >= 0), place.take(pa.array(np.maximum(code, 0))), None) if len(names) else None
    if mine is None or mine.null_count == len(mine):
        return {}
    return {f"account_{name}": accounts[name].combine_chunks().take(mine) for name in ACCOUNT}


def _within(flags: NDArray[np.bool_], first: Ints, at: Ints) -> Floats:
    """Give how many flags stand in the rows after `first` up to `at`."""
    summed = np.cumsum(flags)
    return (summed[at] - summed[first]).astype(np.float64)


def _words(words: pa.Array | Sequence[str], codes: Ints) -> pa.Array:
    """Give codes as text, null for -1."""
    if not len(words):
        return pa.nulls(len(codes), pa.string())
    return pc.if_else(pa.array(codes >= 0), pa.array(words).take(pa.array(np.maximum(codes, 0))), None)
