"""What is each customer worth from here on? Orders and money in the next months, and when the next order is due.

    fitted = nb.fit(ledger, Value(), as_of="2026-01-01")
    nb.predict(ledger, fitted, as_of="2026-01-01")["predicted_clv"]

Needs orders only. Learnt before a cut and judged on the time after it, then learnt again from everything; the numbers
that are taken from a window (total, weight, spread) come from a window before the judged one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import clv
from nextbest.models.evaluate import bootstrap_interval, normalised_gini, total_error
from nextbest.models.order_history import day_of, purchases, summary
from nextbest.recipes.fitting import model_id, not_enough
from nextbest.recipes.value_baselines import baselines, told
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases

    Floats = NDArray[np.float64]

HORIZONS_DAYS = (365, 180, 90, 60, 30, 14)
FEWEST_REPEATERS = 30  # customers with two purchase days before the first cut that is learnt from
FEWEST_HISTORY_DAYS = 28  # before the judged window: an inner window of two weeks and two weeks before it
_LATEST_DAYS = 3650  # a next order further away than ten years is no date
_ORDER_METRICS = ("mae", "correlation", "total_error")
_COLUMNS = ("subject_id", "ts", "ts_offset_min", "revenue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Customer lifetime value over `horizon_days` (None: the longest that fits three times into the history).

    `level` is the share of customers whose outcome the intervals should hold.
    """

    name: str = field(default="value", init=False)
    horizon_days: int | None = None
    level: float = 0.9
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the orders before `as_of`; `report.status` says when there are too few."""
        return self.fit_orders(_orders(ledger, as_of), as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per customer who ordered before `as_of`; columns as in `predict_orders`."""
        return self.predict_orders(_orders(ledger, as_of), fitted, as_of=as_of)

    def fit_orders(self, orders: pa.Table, *, as_of: datetime) -> Fitted:
        """Learn from a table of orders (`subject_id, ts, revenue`), all before `as_of`."""
        began = time.perf_counter()
        cut = day_of(as_of)
        missing = _without_revenue(orders)
        if missing:
            return self._unfitted(as_of, missing)
        bought = purchases(orders, before_day=cut)
        # However late the moment is, what is known of orders ends with the day of the last: the rest is not silence.
        cut = min(cut, int(bought.day.max()) + 1)
        horizon = self.horizon_days or _horizon(bought, cut)
        missing = _missing(bought, cut, horizon)
        if missing:
            return self._unfitted(as_of, missing)
        report = self._judged(bought, cut, horizon, as_of)
        learnt = clv.learn(bought, cut, horizon_days=horizon, level=self.level, seed=self.seed)
        return Fitted(
            model_id=model_id(self.name, learnt.parts, as_of.isoformat()),
            recipe=self.name,
            settings={"horizon_days": self.horizon_days, "level": self.level, "seed": self.seed},
            as_of=as_of.isoformat(),
            parts=learnt.parts,
            report=replace(report, seconds=time.perf_counter() - began),
            extra={**learnt.facts, "horizon_days": horizon},
        )

    def predict_orders(self, orders: pa.Table, fitted: Fitted, *, as_of: datetime) -> pa.Table:
        """Give `subject_id`, `predicted_clv`, `predicted_number_of_orders` and `expected_next_order_date` with `_low`
        and `_high`, `probability_alive`, `historic_clv`, `average_order_value`, `average_days_between_orders`.

        Orders are purchase days. The date is the median of the wait of one who is still a customer, null for those
        who more likely are not.
        """  # noqa: D205 (the columns are the summary)
        cut = day_of(as_of)
        bought = purchases(orders, before_day=cut)
        learnt = clv.Learnt(parts=fitted.parts, facts=fitted.extra)
        seen = clv.foresee(learnt, bought, cut, horizon_days=int(fitted.extra["horizon_days"]))
        table = seen["table"]
        repeats = table["frequency"].to_numpy()
        gaps = np.where(repeats > 0, table["recency"].to_numpy() / np.maximum(repeats, 1), np.nan)
        return pa.table(
            {
                "subject_id": bought.subject_ids.take(table["subject"].combine_chunks()),
                "predicted_clv": seen["value"],
                "predicted_clv_low": seen["low"],
                "predicted_clv_high": seen["high"],
                "predicted_number_of_orders": seen["orders"],
                "predicted_number_of_orders_low": seen["orders_low"],
                "predicted_number_of_orders_high": seen["orders_high"],
                **_next_dates(seen, cut, self.level),
                "probability_alive": seen["alive"],
                "historic_clv": table["revenue"],
                "average_order_value": np.asarray(table["revenue"]) / np.asarray(table["orders"]),
                "average_days_between_orders": pa.array(gaps, from_pandas=True),
            }
        )

    def _judged(self, bought: Purchases, cut: int, horizon: int, as_of: datetime) -> Report:
        """Give the report of what is learnt before the judged window and seen in it."""
        judged = cut - horizon
        learnt = clv.learn(bought, judged, horizon_days=horizon, level=self.level, seed=self.seed)
        seen = clv.foresee(learnt, bought, judged, horizon_days=horizon)
        window = bought.between(judged, cut)
        subject = seen["table"]["subject"].to_numpy()
        spent, days = window.sums(window.value)[subject], window.sums()[subject]
        orders = told(days, seen["orders"])
        held = np.mean((spent >= seen["low"]) & (spent <= seen["high"]))
        return Report(
            recipe=self.name,
            status="ok",
            as_of=as_of.isoformat(),
            rows=len(subject),
            positives=int((spent > 0).sum()),
            evaluation=f"out of time: learnt before {_date(judged)}, judged on the {horizon} days from there",
            metrics={
                **told(spent, seen["value"]),
                "interval_held": float(held),
                **{f"orders_{name}": orders[name] for name in _ORDER_METRICS if name in orders},
            },
            intervals={
                "normalised_gini": bootstrap_interval(normalised_gini, spent, seen["value"], draws=50, seed=self.seed),
                "total_error": bootstrap_interval(total_error, spent, seen["value"], draws=50, seed=self.seed),
            },
            baselines=baselines(bought, judged, horizon, seen, spent),
        )

    def _unfitted(self, as_of: datetime, why: str) -> Fitted:
        settings = {"horizon_days": self.horizon_days, "level": self.level, "seed": self.seed}
        report = Report(recipe=self.name, status="not_enough_data", why=why, as_of=as_of.isoformat())
        return not_enough(self.name, settings, report)


# --- what is known --------------------------------------------------------------------------------------------------


def _orders(ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
    from nextbest.ledger import analysis

    found: pa.Table = analysis.table(ledger, "order", columns=_COLUMNS, before=as_of)
    return found


def _without_revenue(orders: pa.Table) -> str:
    if not orders.num_rows:
        return "There are no orders. Load a file of orders with customer, date and total first."
    if orders["revenue"].null_count == orders.num_rows:
        return "No order has a revenue, so value cannot be predicted. Map the column with the order totals."
    return ""


def _horizon(bought: Purchases, cut: int) -> int:
    """Give the longest usual horizon of which the history holds three: to learn from, to learn, and to judge."""
    third = (cut - int(bought.day.min(initial=cut))) // 3
    return next((days for days in HORIZONS_DAYS if days <= third), HORIZONS_DAYS[-1])


def _missing(bought: Purchases, cut: int, horizon: int) -> str:
    """Give what is missing for learning and judging, or '' when nothing is."""
    span = cut - int(bought.day.min(initial=cut))
    needed = horizon + FEWEST_HISTORY_DAYS
    if span < needed:
        return (
            f"The orders span {span} days; a horizon of {horizon} days needs at least {needed}. "
            "Load a longer history, or ask for a shorter horizon_days."
        )
    first, _ = clv.inner_cut(bought, cut - horizon, horizon)
    early = summary(bought, first)
    repeaters = int(((early["frequency"].to_numpy() > 0) & (early["revenue"].to_numpy() > 0)).sum())
    if repeaters < FEWEST_REPEATERS:
        return (
            f"Only {repeaters} customers had ordered on two days before {_date(first)}; at least {FEWEST_REPEATERS} "
            "are needed. Load a longer history or more customers."
        )
    if not len(bought.between(cut - horizon, cut).day):
        return f"There are no orders in the last {horizon} days, on which predictions would be judged."
    return ""


# --- how it is given ------------------------------------------------------------------------------------------------


def _next_dates(seen: Mapping[str, Any], cut: int, level: float) -> dict[str, pa.Array]:
    """Give the expected next order date with its interval as date32, null for who more likely is gone."""
    gone = seen["alive"] < 0.5
    names = ("expected_next_order_date", "expected_next_order_date_low", "expected_next_order_date_high")
    chances = (0.5, (1 - level) / 2, (1 + level) / 2)
    dates = {}
    for name, chance in zip(names, chances, strict=True):
        wait = np.minimum(seen["wait"](chance), _LATEST_DAYS)
        dates[name] = pa.array((cut + wait).astype(np.int32), mask=gone).cast(pa.date32())
    return dates


def _date(day: int) -> date:
    return datetime.fromtimestamp(0, tz=UTC).date() + timedelta(days=day)
