"""Subscriptions as contracts as of a day: since when, until when, renewed how often, worth how much a month.

A subscription is known by its states, one row per moment. What lies after the day is not seen: an end, a cancellation
or a price that was not there yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MONTH_DAYS = 365.25 / 12
MONTHS = {
    "day": 1 / MONTH_DAYS, "daily": 1 / MONTH_DAYS, "week": 7 / MONTH_DAYS, "weekly": 7 / MONTH_DAYS, "month": 1.0,
    "monthly": 1.0, "quarter": 3.0, "quarterly": 3.0, "half-year": 6.0, "semiannual": 6.0, "year": 12.0, "yearly": 12.0,
    "annual": 12.0, "annually": 12.0,
}  # fmt: skip
ENDED = ("canceled", "cancelled", "ended", "expired", "incomplete_expired", "churned", "inactive")
_INVOICED = "invoiced"  # a line of an invoice, which tells the amount and nothing about the state
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """One row per subscription that had begun: whose, and days since 1970; `end` is infinite for one that runs.

    `months` is the length of the billing period, `mrr` the amount per month last seen, `leaving` whether an end at the
    next renewal was announced. `change` and `exposure` are by how much `mrr` changed while it ran, and the sum of
    `mrr` over its months. `unknown_interval` is how many had none of the known ones and are taken as monthly.
    """

    subject_ids: pa.Array
    subject: Ints
    key: pa.Array
    start: Floats
    end: Floats
    months: Floats
    mrr: Floats
    leaving: NDArray[np.bool_]
    change: Floats
    exposure: Floats
    unknown_interval: int


def contracts(states: pa.Table, cut: float) -> Contracts:
    """Give the contracts as of day `cut` from states (`subject_id, subscription_id, ts, ...` as in the ledger)."""
    day = _days(states["ts"])
    states, day = states.filter(pa.array(day < cut)), day[day < cut]
    key = pc.coalesce(states["subscription_id"], states["subject_id"]).combine_chunks().dictionary_encode()
    order = np.lexsort((day, key.indices.to_numpy()))
    states, day, group = states.take(pa.array(order)), day[order], key.indices.to_numpy()[order].astype(np.int64)
    size = len(key.dictionary)
    invoiced = np.asarray(pc.fill_null(pc.equal(states["status"], _INVOICED), False))  # noqa: FBT003 (a value)
    owner = np.zeros(size, dtype=np.int64)
    for rows in (np.flatnonzero(invoiced), np.flatnonzero(~invoiced)):  # who holds it, rather than who is billed
        owner[group[rows]] = rows
    ids = states["subject_id"].combine_chunks().take(pa.array(owner)).dictionary_encode()
    months, unknown = _months(states, group, size)
    worth = _worth(states, invoiced, months[group])
    change, exposure = _changes(group, day, worth, size)
    cancelled = _last(_days(states["cancelled_ts"]), group, size)
    tells = ~invoiced
    end = _end(states.filter(pa.array(tells)), day[tells], group[tells], size, cut)
    return Contracts(
        subject_ids=ids.dictionary,
        subject=ids.indices.to_numpy().astype(np.int64),
        key=key.dictionary,
        start=np.fmin(_first(_days(states["started_ts"]), group, size), _first(day, group, size)),
        end=end,
        months=months,
        mrr=np.nan_to_num(_last(worth, group, size)),
        leaving=np.isinf(end) & (cancelled < cut),
        change=change,
        exposure=exposure,
        unknown_interval=unknown,
    )


def _days(moments: pa.ChunkedArray) -> Floats:
    """Give days since 1970 with their fraction, NaN where missing."""
    micros = pc.cast(pc.cast(moments, pa.timestamp("us", tz="UTC")), pa.int64())
    return np.asarray(micros.to_numpy(zero_copy_only=False), dtype=np.float64) / _DAY_US


def _last(values: Floats, group: Ints, size: int) -> Floats:
    """Give each group's last known value; rows are in order of time."""
    found, known = np.full(size, np.nan), ~np.isnan(values)
    found[group[known]] = values[known]
    return found


def _first(values: Floats, group: Ints, size: int) -> Floats:
    return _last(values[::-1], group[::-1], size)


def _months(states: pa.Table, group: Ints, size: int) -> tuple[Floats, int]:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(states["interval"], pa.string()))).to_pylist()
    months = _last(np.array([MONTHS.get(word, np.nan) for word in words], dtype=np.float64), group, size)
    return np.where(np.isnan(months), 1.0, months), int(np.isnan(months).sum())


def _worth(states: pa.Table, invoiced: NDArray[np.bool_], months: Floats) -> Floats:
    """Give the amount per month of each state that tells one: price times quantity; an invoice line is the product."""
    amount = np.asarray(states["amount"].to_numpy(zero_copy_only=False), dtype=np.float64)
    quantity = np.asarray(states["quantity"].to_numpy(zero_copy_only=False), dtype=np.float64)
    times = np.where(invoiced | np.isnan(quantity), 1.0, np.maximum(quantity, 0.0))
    return np.where(amount > 0, amount * times / months, np.nan)


def _changes(group: Ints, day: Floats, worth: Floats, size: int) -> tuple[Floats, Floats]:
    """Give per contract the sum of changes between states that tell an amount, and amount times months up to them."""
    known = ~np.isnan(worth)
    group, day, worth = group[known], day[known], worth[known]
    same = np.diff(group) == 0
    who, months = group[1:][same], np.diff(day)[same] / MONTH_DAYS
    change = np.bincount(who, np.diff(worth)[same], size).astype(np.float64)
    return change, np.bincount(who, worth[:-1][same] * months, size).astype(np.float64)


def _end(states: pa.Table, day: Floats, group: Ints, size: int, cut: float) -> Floats:
    """Give the end that had come by day `cut`: the one on record, else the day of a last state that says so."""
    on_record = _last(_days(states["ended_ts"]), group, size)
    status = pc.utf8_lower(pc.cast(states["status"], pa.string()))
    over = np.asarray(pc.fill_null(pc.is_in(status, pa.array(ENDED)), False))  # noqa: FBT003 (a value)
    last_over = np.nan_to_num(_last(over.astype(np.float64), group, size)) > 0
    # A single state was written at the beginning and brought up to date later: its word is younger than its moment.
    cancelled = _last(_days(states["cancelled_ts"]), group, size)
    single = np.bincount(group, minlength=size) < 2
    told = np.where(single, np.where(np.isnan(cancelled), np.inf, cancelled), _last(day, group, size))
    end = np.where(np.isnan(on_record), np.where(last_over, told, np.inf), on_record)
    return np.asarray(np.where(end < cut, end, np.inf))
