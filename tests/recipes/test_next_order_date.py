"""The date of the next order: intervals hold simulated orders, censoring is counted, too little is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models import waiting
from nextbest.models.order_history import purchases, summary
from nextbest.recipes.next_order_date import AVERAGE_GAP, LAST_GAP, NextOrderDate

START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 360
AS_OF = START + timedelta(days=DAYS)


def _orders(customers: int = 600, seed: int = 0, days: int = DAYS, shape: float = 3.0) -> pa.Table:
    """Give orders with gamma gaps (regular when the shape is above 1) at paces of their own; a tenth leave for good."""
    draw = np.random.default_rng([seed, 3])
    who, when = [], []
    for number in range(customers):
        pace = draw.gamma(4.0, 5.0)
        moments = draw.uniform(0, 120) + np.cumsum(draw.gamma(shape, pace / shape, 200))
        stay = draw.uniform(60, days) if draw.random() < 0.1 else days
        kept = moments[moments < min(days, stay)]
        who += [f"c{number}"] * len(kept)
        when += list(kept)
    ts = pa.array([START + timedelta(days=float(d)) for d in when], pa.timestamp("us", tz="UTC"))
    return pa.table({"subject_id": who, "ts": ts, "revenue": [10.0] * len(who)})


def test_intervals_hold_the_share_they_promise_and_beat_the_gaps() -> None:
    """On buyers without memory 90% intervals hold 86 to 94%, and both simple rules are beaten."""
    report = NextOrderDate(horizon_days=60).fit_orders(_orders(1500, shape=1.0), as_of=AS_OF).report
    assert report.status == "ok", report.why
    assert 0.86 <= report.metrics["interval_held"] <= 0.94
    ours = report.metrics["median_absolute_error_days"]
    assert ours < report.baselines[LAST_GAP]["median_absolute_error_days"]
    assert ours < report.baselines[AVERAGE_GAP]["median_absolute_error_days"]
    assert report.why.startswith("It beats the simple rules")


def test_the_quantiles_are_those_of_kaplan_and_meier() -> None:
    """On the remission times of Freireich et al. (1963, 6-MP) the median is 23 weeks, as in the textbooks."""
    came = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    left = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    wait = np.array([*came, *left], dtype=np.float64)
    found = waiting.quantiles(wait, np.arange(len(wait)) < len(came), (0.5, 0.1, 0.9))
    assert found == [23.0, 6.0, np.inf]


def test_who_has_not_come_by_the_end_is_still_waiting() -> None:
    """Waits are counted from the first day of the window; without an order they last to its end and are open."""
    days = {"a": (1, 12), "b": (1, 10), "c": (2,)}
    rows = [(who, START + timedelta(days=d)) for who, when in days.items() for d in when]
    names, moments = zip(*rows, strict=True)
    table = {"subject_id": list(names), "ts": pa.array(moments, pa.timestamp("us", tz="UTC")), "revenue": [1.0] * 5}
    first = int(START.timestamp() // 86_400)
    bought = purchases(pa.table(table), before_day=first + 30)
    wait, came = waiting.waits(bought, summary(bought, first + 10), first + 10, first + 30)
    assert wait.tolist() == [3.0, 1.0, 21.0]
    assert came.tolist() == [True, True, False]


def test_dates_are_in_order_and_not_before_the_moment() -> None:
    """Low <= median <= high, none before the moment, null together where too few alike came back."""
    orders = _orders()
    recipe = NextOrderDate(horizon_days=60)
    fitted = recipe.fit_orders(orders, as_of=AS_OF)
    said = recipe.predict_orders(orders, fitted, as_of=AS_OF)
    assert said.num_rows == len(set(orders["subject_id"].to_pylist()))
    for row in said.to_pylist():
        low, date, high = (row[f"next_order_date{e}"] for e in ("_low", "", "_high"))
        if date is None:
            assert low is None
            assert row["days_to_next_order"] is None
            continue
        assert AS_OF.date() <= low <= date
        assert high is None or date <= high


def test_deleting_the_future_changes_no_date() -> None:
    """What is learnt as of a moment is the same whether or not later orders are known."""
    orders = _orders()
    earlier = START + timedelta(days=270)
    known = orders.filter(pa.array([t < earlier for t in orders["ts"].to_pylist()]))
    fitted = NextOrderDate(horizon_days=60).fit_orders(known, as_of=earlier)
    again = NextOrderDate(horizon_days=60).fit_orders(known.take(np.arange(known.num_rows)[::-1]), as_of=earlier)
    assert fitted.model_id == again.model_id
    later = NextOrderDate(horizon_days=60).fit_orders(orders, as_of=AS_OF)
    assert later.model_id != fitted.model_id


def test_too_little_is_told() -> None:
    """No orders, a short history and few customers who came twice are answers that say what is missing."""
    recipe = NextOrderDate(horizon_days=60)
    assert "There are no orders" in recipe.fit_orders(_orders(1).slice(0, 0), as_of=AS_OF).report.why
    short = recipe.fit_orders(_orders(days=100), as_of=AS_OF).report
    assert short.status == "not_enough_data"
    assert "needs at least 180" in short.why
    few = recipe.fit_orders(_orders(20), as_of=AS_OF)
    assert "at least 30 are needed" in few.report.why
    said = recipe.predict_orders(_orders(20), few, as_of=AS_OF)
    assert said["next_order_date"].null_count == said.num_rows


def test_money_is_not_needed() -> None:
    """Orders without any revenue give the same dates as orders with it."""
    orders = _orders(200)
    bare = orders.set_column(2, "revenue", pa.nulls(orders.num_rows, pa.float64()))
    models = [NextOrderDate(horizon_days=60).fit_orders(o, as_of=AS_OF).model_id for o in (orders, bare)]
    assert models[0] == models[1]


@pytest.mark.parametrize("shape", [1.0, 6.0])
def test_intervals_hold_for_irregular_and_regular_buyers(shape: float) -> None:
    """Whether gaps are memoryless or nearly fixed, the 80% interval holds 74 to 86% of the next orders."""
    report = NextOrderDate(horizon_days=60, level=0.8).fit_orders(_orders(1200, shape=shape), as_of=AS_OF).report
    assert 0.74 <= report.metrics["interval_held"] <= 0.86
