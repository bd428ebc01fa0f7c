"""Orders become purchase days, and nothing after the cut is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import DataError
from nextbest.models.order_history import behaviour, day_of, purchases, summary

START = datetime(2025, 1, 1, tzinfo=UTC)
FIRST = day_of(START)


def orders(*rows: tuple[str, float, float | None], offset: int | None = None) -> pa.Table:
    """Give orders from (subject, days after the start, revenue)."""
    table = pa.table(
        {
            "subject_id": [r[0] for r in rows],
            "ts": pa.array([START + timedelta(days=r[1]) for r in rows], pa.timestamp("us", tz="UTC")),
            "revenue": pa.array([r[2] for r in rows], pa.float64()),
        }
    )
    return table if offset is None else table.append_column("ts_offset_min", pa.array([offset] * len(rows), pa.int64()))


def test_orders_of_one_day_are_one_purchase() -> None:
    """Two orders on a day are one purchase day with both orders and both revenues; a refund row is none."""
    bought = purchases(
        orders(("b", 0.2, 5.0), ("b", 0.9, 7.0), ("a", 3.5, 1.0), ("b", 4.0, 2.0), ("b", 4.1, -2.0)),
        before_day=FIRST + 9,
    )
    assert bought.subject_ids.to_pylist() == ["a", "b"]
    assert bought.subject.tolist() == [0, 1, 1]
    assert (bought.day - FIRST).tolist() == [3, 0, 4]
    assert bought.orders.tolist() == [1, 2, 1]
    assert bought.value.tolist() == [1, 12, 2]


def test_the_day_is_the_customers_own() -> None:
    """An order at 23:30 UTC by someone two hours ahead belongs to the next day, but never to one after the cut."""
    late = orders(("a", 23.5 / 24, 5.0), offset=120)
    assert purchases(late, before_day=FIRST + 9).day.tolist() == [FIRST + 1]
    assert purchases(late, before_day=FIRST + 1).day.tolist() == [FIRST]


def test_summary_is_the_history_as_the_papers_count() -> None:
    """Frequency, recency and T equal those counted by hand."""
    bought = purchases(orders(("a", 2, 10.0), ("a", 5, 20.0), ("a", 9, 60.0), ("b", 4, 7.0)), before_day=FIRST + 30)
    rows = summary(bought, FIRST + 12).to_pylist()
    assert rows[0] == {
        "subject": 0, "frequency": 2, "recency": 7, "T": 10, "purchases": 3, "orders": 3,
        "revenue": 90, "mean_value": 30, "first_value": 10, "last_value": 60,
    }  # fmt: skip
    assert rows[1]["frequency"] == rows[1]["recency"] == 0
    assert rows[1]["T"] == 8


def test_deleting_the_future_changes_nothing() -> None:
    """Summary and behaviour at a cut are the same with and without what came later, for random orders."""
    random = np.random.default_rng(0)
    rows = [(f"s{random.integers(40)}", random.uniform(0, 200), random.gamma(2, 20)) for _ in range(600)]
    cut = FIRST + 120
    whole = purchases(orders(*rows), before_day=FIRST + 200)
    past = whole.between(FIRST, cut)
    assert summary(whole, cut).equals(summary(past, cut))
    seen, alone = behaviour(whole, cut, window_days=90), behaviour(past, cut, window_days=90)
    assert seen.keys() == alone.keys()
    assert all(np.array_equal(seen[name], alone[name], equal_nan=True) for name in seen)
    assert "orders_90d" in seen
    assert "orders_180d" not in seen


def test_an_order_without_revenue_still_happened() -> None:
    """A missing revenue takes the mean of the others; none at all is refused with what to map."""
    bought = purchases(orders(("a", 1, 10.0), ("a", 2, None), ("b", 3, 30.0)), before_day=FIRST + 9)
    assert bought.value.tolist() == [10, 20, 30]
    with pytest.raises(DataError, match="No order has a revenue"):
        purchases(orders(("a", 1, None)), before_day=FIRST + 9)
    with pytest.raises(DataError, match="need the column revenue"):
        purchases(orders(("a", 1, 1.0)).drop_columns("revenue"), before_day=FIRST + 9)


def test_nobody_gives_empty_tables() -> None:
    """No orders, and no orders before the cut, give empty summaries instead of errors."""
    nobody = purchases(orders(("a", 1, 1.0)).slice(0, 0), before_day=FIRST + 9)
    assert summary(nobody, FIRST + 9).num_rows == 0
    later = purchases(orders(("a", 5, 1.0)), before_day=FIRST + 9)
    assert summary(later, FIRST + 2).num_rows == 0


def test_what_is_given_back_counts_from_its_day_on() -> None:
    """A refund and a cancellation lower what was spent from their own day on, and in no window before it."""
    table = orders(("a", 1, 50.0), ("a", 20, 30.0), ("a", 25, -40.0), ("b", 2, 10.0), ("z", 3, -5.0))
    cancelled = [None, START + timedelta(days=30), None, None, None]
    table = table.append_column("cancelled_ts", pa.array(cancelled, pa.timestamp("us", tz="UTC")))
    bought = purchases(table, before_day=FIRST + 60)
    assert bought.subject_ids.to_pylist() == ["a", "b"]
    assert bought.between(FIRST, FIRST + 22).spent().tolist() == [80, 10]
    assert bought.between(FIRST, FIRST + 28).spent().tolist() == [40, 10]
    assert bought.between(FIRST, FIRST + 60).spent().tolist() == [10, 10]
    assert bought.between(FIRST + 22, FIRST + 60).spent().tolist() == [0, 0]
    assert summary(bought, FIRST + 28)["revenue"].to_pylist() == [40, 10]
    assert purchases(table, before_day=FIRST + 28).spent().tolist() == [40, 10]


def test_some_customers_are_those_and_nobody_else() -> None:
    """The purchases and returns of chosen customers keep their places in the list; others have none."""
    bought = purchases(orders(("a", 1, 5.0), ("b", 2, 7.0), ("a", 3, -1.0), ("b", 4, -2.0)), before_day=FIRST + 9)
    assert bought.of(np.array([False, True])).spent().tolist() == [0, 5]


def test_rhythm_is_what_anyone_would_count() -> None:
    """Gaps of 3 and 5 days spread by 1 around 4, the longest is 5 and so is the last; one order has no rhythm."""
    bought = purchases(orders(("a", 0, 5.0), ("a", 3, 9.0), ("a", 8, 7.0), ("b", 2, 7.0)), before_day=FIRST + 20)
    found = behaviour(bought, FIRST + 20, window_days=30)
    for name, value in (
        ("spread_of_days_between_orders", 1.0),
        ("irregularity_of_orders", 0.25),
        ("longest_days_between_orders", 5.0),
        ("last_days_between_orders", 5.0),
        ("largest_order_value", 9.0),
        ("orders_faded_15d", 0.5 ** (20 / 15) + 0.5 ** (17 / 15) + 0.5 ** (12 / 15)),
    ):
        assert found[name][0] == pytest.approx(value)
    assert np.isnan(found["irregularity_of_orders"][1])
    assert np.isnan(found["longest_days_between_orders"][1])
