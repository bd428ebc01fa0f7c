"""Orders as people count them: one purchase per customer and day, then histories and features as of a day.

All functions see only purchases before the day they are given, so deleting the future changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

WINDOWS_DAYS = (7, 30, 90, 180, 365)
HALF_LIVES_DAYS = (15, 45, 135)  # how fast an order is forgotten: weeks, a quarter, most of a year
_DAY_US = 86_400_000_000


def _nothing_returned() -> tuple[Ints, Ints, Floats]:
    none = np.empty(0, dtype=np.int64)
    return none, none, np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchases:
    """One row per customer and day with a purchase, sorted by both: customer's place in `subject_ids`, day, value.

    `day` counts from 1970-01-01 in the customer's local time where the offset is known; `orders` is how many orders
    fell on that day; `value` is their revenue in the currency of the ledger. `returned` has what was given back, on
    the day that it was: a row of `subject`, `day` and `value` each.
    """

    subject_ids: pa.Array
    subject: Ints
    day: Ints
    orders: Floats
    value: Floats
    returned: tuple[Ints, Ints, Floats] = field(default_factory=_nothing_returned)

    def between(self, start: int, end: int) -> Purchases:
        """Give the purchases and returns of the days from `start` to before `end`, of the same list of customers."""
        back = (self.returned[1] >= start) & (self.returned[1] < end)
        chosen = self._rows((self.day >= start) & (self.day < end))
        return replace(chosen, returned=_taken(self.returned, back))

    def of(self, customers: NDArray[np.bool_]) -> Purchases:
        """Give the purchases and returns of some customers; the list of customers stays as it is."""
        return replace(self._rows(customers[self.subject]), returned=_taken(self.returned, customers[self.returned[0]]))

    def _rows(self, use: NDArray[np.bool_]) -> Purchases:
        return replace(
            self, subject=self.subject[use], day=self.day[use], orders=self.orders[use], value=self.value[use]
        )

    def spent(self) -> Floats:
        """Give per customer the revenue less what was given back on these days, never below 0."""
        who, _, back = self.returned
        gross = self.sums(self.value)
        return np.maximum(gross - np.bincount(who, back, minlength=len(gross)), 0.0) if len(who) else gross

    def sums(self, values: Floats | None = None) -> Floats:
        """Give per customer the number of purchase days, or the sum of `values` over them."""
        return np.bincount(self.subject, values, minlength=len(self.subject_ids)).astype(np.float64)


def _taken(returned: tuple[Ints, Ints, Floats], use: NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
    return returned[0][use], returned[1][use], returned[2][use]


def day_of(moment: datetime) -> int:
    """Give the first day that is not wholly before a moment: what happened on it is not known yet."""
    return int(-(-moment.timestamp() * 1_000_000 // _DAY_US))


def purchases(orders: pa.Table, *, before_day: int) -> Purchases:
    """Give the purchase days in `subject_id, ts, revenue` (and `ts_offset_min`, `cancelled_ts` where they are there).

    A negative total is money given back on its day, and an order is given back on the day it was cancelled: neither
    is known, or taken off, earlier. Orders without a revenue get the mean of the others: they are known to have
    happened. Raises `DataError` when no order has a revenue, or a column is missing.
    """
    for name in ("subject_id", "ts", "revenue"):
        if name not in orders.column_names:
            raise DataError(f"Orders need the column {name}; got: {', '.join(orders.column_names)}.")
    refunds = orders.filter(pc.less(orders["revenue"], 0.0))
    orders = orders.filter(pc.fill_null(pc.greater_equal(orders["revenue"], 0.0), True))  # noqa: FBT003 (a value)
    revenue = np.asarray(orders["revenue"].to_numpy(zero_copy_only=False), dtype=np.float64)
    if len(revenue) and np.isnan(revenue).all():
        raise DataError("No order has a revenue, so their value cannot be predicted. Map the column with the totals.")
    revenue = np.where(np.isnan(revenue), np.nanmean(revenue) if len(revenue) else 0.0, revenue)
    ids, codes = _codes(orders["subject_id"])
    day = np.minimum(_days(orders["ts"], orders), before_day - 1)
    bought = _collapse(ids, codes, day, revenue)
    given_back = (_refunded(refunds, ids, before_day), _cancelled(orders, codes, revenue, before_day))
    who, when, money = (np.concatenate(parts) for parts in zip(*given_back, strict=True))
    return replace(bought, returned=(who, when, money))


def _refunded(refunds: pa.Table, ids: pa.Array, before_day: int) -> tuple[Ints, Ints, Floats]:
    """Give the negative totals of customers who have ordered."""
    place = pc.index_in(refunds["subject_id"].combine_chunks(), ids)
    refunds, place = refunds.filter(pc.is_valid(place)), place.drop_null()
    day = np.minimum(_days(refunds["ts"], refunds), before_day - 1)
    return place.to_numpy().astype(np.int64), day, -refunds["revenue"].to_numpy()


def _cancelled(orders: pa.Table, codes: Ints, revenue: Floats, before_day: int) -> tuple[Ints, Ints, Floats]:
    """Give the orders cancelled before a day, as money given back on the day of the cancellation."""
    if "cancelled_ts" not in orders.column_names or orders["cancelled_ts"].null_count == orders.num_rows:
        return _nothing_returned()
    known = pc.is_valid(orders["cancelled_ts"]).to_numpy(zero_copy_only=False)
    some = orders.filter(pa.array(known))
    day = np.maximum(_days(some["cancelled_ts"], some), _days(some["ts"], some))
    return _taken((codes[known], day, revenue[known]), day < before_day)


def _codes(subject_ids: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """Give the sorted distinct ids, and each row's place among them."""
    encoded = subject_ids.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    place = np.empty(len(order), dtype=np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    return encoded.dictionary.take(order), place[encoded.indices.to_numpy(zero_copy_only=False)]


def _days(moments: pa.ChunkedArray, orders: pa.Table) -> Ints:
    moment = pc.cast(pc.cast(moments, pa.timestamp("us", tz="UTC")), pa.int64())
    if "ts_offset_min" in orders.column_names:
        minutes = pc.fill_null(pc.cast(orders["ts_offset_min"], pa.int64()), 0)
        moment = pc.add(moment, pc.multiply(minutes, 60_000_000))
    return np.asarray(moment.to_numpy() // _DAY_US)


def _collapse(ids: pa.Array, codes: Ints, day: Ints, revenue: Floats) -> Purchases:
    start = int(day.min(initial=0))
    days = int(day.max(initial=0)) - start + 1
    keys, inverse = np.unique(codes * days + (day - start), return_inverse=True)
    return Purchases(
        subject_ids=ids,
        subject=keys // days,
        day=keys % days + start,
        orders=np.bincount(inverse, minlength=len(keys)).astype(np.float64),
        value=np.bincount(inverse, revenue, minlength=len(keys)).astype(np.float64),
    )


def summary(bought: Purchases, cut: int) -> pa.Table:
    """Give one row per customer who bought before day `cut`: `subject` (place in the list) and their history.

    `frequency`: repeat purchase days; `recency`: days from the first to the last; `T`: days from the first to the
    cut; `purchases`: frequency + 1; `orders`; `revenue` less what was given back; `mean_value` of it per purchase day;
    `first_value`, `last_value`.
    """
    known = bought.between(-(2**62), cut)
    first_row = np.flatnonzero(np.diff(known.subject, prepend=-1))
    last_row = np.append(first_row[1:], len(known.subject)) - 1 if len(first_row) else first_row
    count = (last_row - first_row + 1).astype(np.float64)
    subject = known.subject[first_row]
    revenue = known.spent()[subject]
    return pa.table(
        {
            "subject": subject,
            "frequency": count - 1,
            "recency": (known.day[last_row] - known.day[first_row]).astype(np.float64),
            "T": (cut - known.day[first_row]).astype(np.float64),
            "purchases": count,
            "orders": known.sums(known.orders)[subject],
            "revenue": revenue,
            "mean_value": revenue / count,
            "first_value": known.value[first_row],
            "last_value": known.value[last_row],
        }
    )


def behaviour(bought: Purchases, cut: int, *, window_days: int) -> dict[str, Floats]:
    """Give features as of day `cut` for the rows of `summary`, over windows no longer than `window_days`.

    A window longer than the label's would mean something else at the cut the features are learnt at, where history
    is shorter, than at the cut they are used at; the customer's age is left out for the same reason.
    """
    table = summary(bought, cut)
    column = {name: np.asarray(table[name].to_numpy()) for name in table.column_names}
    idle = column["T"] - column["recency"]
    repeats = np.where(column["frequency"] > 0, column["frequency"], np.nan)
    gap = column["recency"] / repeats
    features = {
        "orders": column["purchases"],
        "revenue": column["revenue"],
        "revenue_per_day": column["revenue"] / column["T"],
        "days_since_last_order": idle,
        "share_of_time_since_last_order": idle / column["T"],
        "average_order_value": column["mean_value"],
        "first_order_value": column["first_value"],
        "last_order_value": column["last_value"],
        "average_days_between_orders": gap,
        "gaps_since_last_order": idle / np.maximum(gap, 1.0),
    }
    for days in WINDOWS_DAYS:
        if days <= window_days:
            recent = bought.between(cut - days, cut)
            features[f"orders_{days}d"] = recent.sums()[column["subject"]]
            features[f"revenue_{days}d"] = recent.spent()[column["subject"]]
    known = bought.between(-(2**62), cut)
    return features | {
        name: values[column["subject"]] for name, values in (_faded(known, cut) | _rhythm(known)).items()
    }


def _faded(known: Purchases, cut: int) -> dict[str, Floats]:
    """Give orders and money weighted by how recent they are: windows have edges, habits have none."""
    found, age = {}, cut - known.day
    for days in HALF_LIVES_DAYS:
        weight = 0.5 ** (age / days)
        found[f"orders_faded_{days}d"] = known.sums(weight)
        found[f"revenue_faded_{days}d"] = known.sums(weight * known.value)
    return found


def _rhythm(known: Purchases) -> dict[str, Floats]:
    """Give how regular a customer is and how the last order compares; NaN where there are too few to tell."""
    size = len(known.subject_ids)
    repeats = np.diff(known.subject, prepend=-1) == 0
    who, gap = known.subject[repeats], np.diff(known.day, prepend=0)[repeats].astype(np.float64)
    count = np.bincount(who, minlength=size).astype(np.float64)
    mean = np.bincount(who, gap, size) / np.where(count > 0, count, np.nan)
    square = np.bincount(who, gap**2, size) / np.where(count > 0, count, np.nan)
    spread = np.where(count > 1, np.sqrt(np.maximum(square - mean**2, 0)), np.nan)
    last_gap, longest, largest = np.full(size, np.nan), np.zeros(size), np.zeros(size)
    last_gap[who] = gap  # rows are sorted by day: the last one stays
    np.maximum.at(longest, who, gap)
    np.maximum.at(largest, known.subject, known.value)
    return {
        "spread_of_days_between_orders": spread,
        "irregularity_of_orders": spread / np.maximum(mean, 1.0),
        "longest_days_between_orders": np.where(count > 0, longest, np.nan),
        "last_days_between_orders": last_gap,
        "largest_order_value": largest,
    }
