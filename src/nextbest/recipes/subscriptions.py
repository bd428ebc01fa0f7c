"""Subscriptions as time spent: who subscribed from when to when, and whether the customer or the payment ended it.

What is read are the states of subscriptions (`subscription` events) and attempts to be paid (`payment` events). A
subject has left on the day notice was given, or else on the day it ended; several subscriptions are one stay as long as
one of them runs. Sight ends with the last day on which anything is known, however late the moment that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.ledger import analysis

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Truth = NDArray[np.bool_]

KIND, PAYMENT = "subscription", "payment"
STAYED, VOLUNTARY, INVOLUNTARY = 0, 1, 2
ENDED = ("canceled", "cancelled", "ended", "expired", "incomplete_expired", "terminated", "churned", "inactive")
UNPAID = ("past_due", "unpaid")
FAILED = ("failed", "failure", "declined")
_NOT_STATES = ("invoiced",)  # a line of an invoice names a subscription, it does not say how it stands
_SAME_STAY_DAYS = 1.0  # a change of plan may end one subscription and begin the next
_DUNNING_DAYS = 60.0  # attempts to be paid go on for weeks before a subscription is ended for lack of payment
DAY_US = 86_400_000_000
_COLUMNS = (
    "subject_id", "ts", "subscription_id", "status", "started_ts", "ended_ts", "cancelled_ts", "cancel_at_period_end",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """Stays in order of subject and begin, in days since 1970: `subject` is the place in `subject_ids`.

    `entry` is the age at which a stay came into sight. `leave` is infinite for who is still there at `until`; `notice`
    marks those who gave notice and whose paid time is not over yet. `cause` is 0, 1 (voluntary), 2 (involuntary);
    `apart` says whether the data tell 1 from 2. `undated` counts subscriptions that ended nobody knows when.
    """

    subject_ids: pa.Array
    subject: Whole
    begin: Vector
    entry: Vector
    leave: Vector
    cause: Whole
    notice: Truth
    apart: bool
    until: float
    undated: int


def suits(ledger: Any, as_of: datetime) -> bool:  # noqa: ANN401 (a ledger)
    """Tell whether subscriptions are what churn is to be told by: some ended, or there are no orders to fall silent."""
    present = {} if ledger is None else analysis.kinds_present(ledger)
    if KIND not in present:
        return False
    no_orders = not present.get("order") and not present.get("order_line")
    return no_orders or bool((read(ledger, as_of).cause > 0).any())


def read(ledger: Any, as_of: datetime) -> Stays:  # noqa: ANN401 (a ledger)
    """Give the stays that are known before a moment."""
    rows = analysis.table(ledger, KIND, columns=_COLUMNS, before=as_of)
    rows = rows.filter(pc.invert(pc.is_in(rows["status"], pa.array(_NOT_STATES))))
    ids = pc.unique(rows["subject_id"].cast(pa.string()))
    ids = ids.take(pc.sort_indices(ids))
    until = _until(rows, as_of)
    one = _subscriptions(rows, ids, until)
    return _stays(one, ids, until, _unpaid(ledger, rows, ids, as_of))


def days(column: pa.ChunkedArray | pa.Array) -> Vector:
    """Give moments as days since 1970; NaN where there is none."""
    micros = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.float64(), safe=False)
    found: Vector = np.asarray(micros, dtype=np.float64) / DAY_US
    return found


# --- one subscription -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subscriptions:
    """One row per subscription: whose, from when, since when in sight, when left (infinite: not yet), if in notice."""

    subject: Whole
    begin: Vector
    sight: Vector
    leave: Vector
    notice: Truth
    undated: int


def _until(rows: pa.Table, as_of: datetime) -> float:
    """Give the end of the last day on which anything of subscriptions is known, at most the moment itself."""
    moment = as_of.timestamp() / 86_400
    known = np.concatenate([days(rows[name]) for name in ("ts", "started_ts", "ended_ts", "cancelled_ts")])
    known = known[np.isfinite(known) & (known < moment)]
    return float(min(moment, np.floor(known.max()) + 1)) if len(known) else moment


def _subscriptions(rows: pa.Table, ids: pa.Array, until: float) -> _Subscriptions:
    subject = pc.index_in(rows["subject_id"].cast(pa.string()), ids).to_numpy().astype(np.int64)
    named = pc.fill_null(rows["subscription_id"], "").combine_chunks().dictionary_encode()
    key = subject * (len(named.dictionary) + 1) + named.indices.to_numpy().astype(np.int64)
    order = np.lexsort((days(rows["ts"]), key))
    rows, subject = rows.take(pa.array(order)), subject[order]
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    ts, started = days(rows["ts"]), days(rows["started_ts"])
    begin = np.fmin.reduceat(np.where(np.isfinite(started), started, ts), first)
    leave, notice, undated = _leaving(rows, ts, first, begin, until)
    # Rows that were written after the end look back: then nobody is missing for having left before the first row.
    sight = ts[first]
    looks_back = bool((leave < sight)[~undated].any())
    keep = ~undated & (begin < until)
    return _Subscriptions(
        subject=subject[first][keep],
        begin=begin[keep],
        sight=begin[keep] if looks_back else np.clip(sight, begin, leave)[keep],
        leave=leave[keep],
        notice=notice[keep],
        undated=int(undated.sum()),
    )


def _leaving(rows: pa.Table, ts: Vector, first: Whole, begin: Vector, until: float) -> tuple[Vector, Truth, Truth]:
    """Give, per subscription, when it was left, whether it runs out after notice, and whether its end has no date.

    The last state counts. Without a date of its own a subscription ended when it was first said to have.
    """
    last = np.append(first[1:], len(ts))[: len(first)] - 1
    over = np.isin(lower(rows), ENDED)
    end, notice = days(rows["ended_ts"])[last], days(rows["cancelled_ts"])[last]
    said = np.minimum.reduceat(np.where(over, ts, np.inf), first)
    unsaid = over[last] & ~np.isfinite(end)
    undated = unsaid & ~np.isfinite(notice) & (said <= begin)
    end = np.where(unsaid & (said > begin), said, end)
    leave = np.fmin(end, notice)
    leave = np.where(np.isfinite(leave) & (leave < until), np.maximum(leave, begin), np.inf)
    asked = pc.fill_null(rows["cancel_at_period_end"], fill_value=False).to_numpy()[last]
    runs_out = np.isfinite(leave) & ~over[last] & np.where(np.isfinite(end), end >= until, asked)
    return leave, runs_out, undated


def lower(rows: pa.Table) -> NDArray[np.str_]:
    """Give the statuses in small letters; empty where there is none."""
    return np.asarray(pc.utf8_lower(pc.fill_null(rows["status"], "")).to_pylist(), dtype=np.str_)


# --- stays ------------------------------------------------------------------------------------------------------------


def _stays(one: _Subscriptions, ids: pa.Array, until: float, unpaid: tuple[Whole, Vector, Truth]) -> Stays:
    """Give stays: subscriptions of a subject that overlap, or follow each other within a day, are one."""
    order = np.lexsort((one.begin, one.subject))
    subject, begin, leave = one.subject[order], one.begin[order], one.leave[order]
    # The latest leave so far of the same subject: subjects are set so far apart that none reaches into the next.
    capped = np.minimum(leave, until + 2 * _SAME_STAY_DAYS)
    reach = float(until - begin.min(initial=until)) + 10 * _SAME_STAY_DAYS
    shift = subject * reach
    so_far = np.maximum.accumulate(capped - until + shift)
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(subject) != 0) | (begin[1:] - until + shift[1:] > so_far[:-1] + _SAME_STAY_DAYS)
    first = np.flatnonzero(new)
    ends = np.maximum.reduceat(leave, first)
    left = np.isfinite(ends)
    failed = _failed_before(unpaid, subject[first], np.where(left, ends, until))
    return Stays(
        subject_ids=ids, subject=subject[first], begin=begin[first], leave=ends,
        entry=(one.sight[order] - begin)[first],
        cause=np.where(left, np.where(failed, INVOLUNTARY, VOLUNTARY), STAYED),
        notice=left & np.maximum.reduceat(one.notice[order], first), apart=bool(unpaid[2].any()), until=until,
        undated=one.undated,
    )  # fmt: skip


def _unpaid(ledger: Any, rows: pa.Table, ids: pa.Array, as_of: datetime) -> tuple[Whole, Vector, Truth]:  # noqa: ANN401
    """Give subject, day and whether it failed of every sign of being paid or not, in order of subject and day."""
    status = lower(rows)
    sign = ~np.isin(status, ENDED) & (status != "")
    subject = pc.index_in(rows["subject_id"].cast(pa.string()), ids).to_numpy().astype(np.int64)[sign]
    ts, failed = days(rows["ts"])[sign], np.isin(status, UNPAID)[sign]
    if PAYMENT in analysis.kinds_present(ledger):
        paid = analysis.table(ledger, PAYMENT, columns=("subject_id", "ts", "status", "failure_code"), before=as_of)
        whose = pc.index_in(paid["subject_id"].cast(pa.string()), ids)
        ours = pc.is_valid(whose).to_numpy()
        wrong = np.isin(lower(paid), FAILED) | pc.is_valid(paid["failure_code"]).to_numpy()
        subject = np.concatenate([subject, pc.fill_null(whose, 0).to_numpy().astype(np.int64)[ours]])
        ts, failed = np.concatenate([ts, days(paid["ts"])[ours]]), np.concatenate([failed, wrong[ours]])
    order = np.lexsort((failed, ts, subject))
    return subject[order], ts[order], failed[order]


def _failed_before(unpaid: tuple[Whole, Vector, Truth], subject: Whole, end: Vector) -> Truth:
    """Tell whether the last sign of payment before an end, within the time of dunning, was a failure."""
    whose, ts, failed = unpaid
    if not len(ts):
        return np.zeros(len(subject), bool)
    place = last_before(whose, ts, subject, end + _SAME_STAY_DAYS)
    return (place >= 0) & failed[place] & (end - ts[place] <= _DUNNING_DAYS)


def last_before(whose: Whole, ts: Vector, subject: Whole, moment: Vector) -> Whole:
    """Give the place of each subject's last row before a moment, -1 where it has none; rows are sorted by both."""
    low = min(float(ts.min(initial=0.0)), float(moment.min(initial=0.0)))
    width = max(float(ts.max(initial=0.0)), float(moment.max(initial=0.0))) - low + 1
    place = np.searchsorted(whose * width + (ts - low), subject * width + (moment - low), side="left") - 1
    return np.where((place >= 0) & (whose[np.maximum(place, 0)] == subject), place, -1)
