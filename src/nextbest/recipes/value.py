"""What is each customer worth from here on? Orders and money in the next months, and when the next order is due.

    fitted = nb.fit(ledger, Value(), as_of="2026-01-01")
    nb.predict(ledger, fitted, as_of="2026-01-01")["predicted_clv"]

Needs orders only, or subscriptions. Learnt before a cut and judged on the time after it, then learnt again from
everything; the numbers that are taken from windows (total, weight, spread) come from windows before the judged one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import unknown
from nextbest.models import clv, contributions
from nextbest.models.clv_windows import inner_cut
from nextbest.models.order_history import day_of, purchases, summary
from nextbest.recipes import value_contracts, value_orders
from nextbest.recipes.fitting import model_id, not_enough, settings_of
from nextbest.recipes.value_judged import day, judge, unsettled
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.models.order_history import Purchases

WAYS = ("auto", "orders", "subscriptions")
HORIZONS_DAYS = (365, 180, 90, 60, 30, 14)
FEWEST_REPEATERS = 30  # customers with two purchase days before the first cut that is learnt from
FEWEST_HISTORY_DAYS = 28  # before the judged window: an inner window of two weeks and two weeks before it
_LATEST_DAYS = 3650  # a next order further away than ten years is no date


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Customer lifetime value over `horizon_days` (None: the longest that fits three times into the history).

    `level` is the share of customers whose outcome the intervals should hold. `by` is "orders", "subscriptions" or
    "auto": subscriptions where at least as many customers have one as have ordered. `discount_rate` a year is what
    later revenue of subscriptions counts less.
    """

    name: str = field(default="value", init=False)
    horizon_days: int | None = None
    level: float = 0.9
    by: str = "auto"
    discount_rate: float = 0.0
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from what is known before `as_of`; `report.status` says when it is too little."""
        if self._way(ledger, as_of) == "subscriptions":
            return self.fit_subscriptions(value_contracts.read(ledger, as_of), as_of=as_of)
        return self.fit_orders(value_orders.read(ledger, as_of), as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per customer known before `as_of`; columns as in `predict_orders`, `predict_subscriptions`."""
        if fitted.extra.get("by") == "subscriptions":
            return self.predict_subscriptions(value_contracts.read(ledger, as_of), fitted, as_of=as_of)
        return self.predict_orders(value_orders.read(ledger, as_of), fitted, as_of=as_of)

    def fit_subscriptions(self, states: pa.Table, *, as_of: datetime) -> Fitted:
        """Learn from a table of states of subscriptions (the columns of the kind `subscription`)."""
        terms = value_contracts.Terms(
            horizon_days=self.horizon_days,
            discount_rate=self.discount_rate,
            level=self.level,
            seed=self.seed,
            settings=settings_of(self),
        )
        return value_contracts.fit(states, terms, as_of=as_of)

    def predict_subscriptions(self, states: pa.Table, fitted: Fitted, *, as_of: datetime) -> pa.Table:
        """Give `subject_id`, `predicted_clv` with `_low`, `_high`, `mrr`, `probability_staying` to the end of the
        horizon, `running_subscriptions`, `historic_clv`.
        """  # noqa: D205 (the columns are the summary)
        return value_contracts.predict(states, fitted, as_of=as_of, level=self.level)

    def fit_orders(self, orders: pa.Table, *, as_of: datetime) -> Fitted:
        """Learn from a table of orders (`subject_id, ts, revenue`), all before `as_of`."""
        began = time.perf_counter()
        used = value_orders.usable(orders)
        missing = value_orders.without_revenue(used.orders)
        if missing:
            return self._unfitted(as_of, missing)
        bought = purchases(used.orders, before_day=day_of(as_of))
        # However late the moment is, what is known of orders ends with the day of the last: the rest is not silence.
        cut = min(day_of(as_of), int(bought.day.max()) + 1)
        horizon = self.horizon_days or _horizon(bought, cut)
        missing = _missing(bought, cut, horizon)
        if missing:
            return self._unfitted(as_of, missing)
        report = judge(bought, cut, horizon, level=self.level, seed=self.seed, cautions=used.cautions)
        learnt = clv.learn(bought, cut, horizon_days=horizon, level=self.level, seed=self.seed)
        cautions = [*used.cautions, *unsettled(learnt.facts)]
        return Fitted(
            model_id=model_id(self.name, learnt.parts, as_of.isoformat()),
            recipe=self.name,
            settings=settings_of(self),
            as_of=as_of.isoformat(),
            parts=learnt.parts,
            report=replace(
                report,
                as_of=as_of.isoformat(),
                seconds=time.perf_counter() - began,
                top_features=_top_features(learnt, bought, cut, horizon),
                details={**report.details, "cautions": list(dict.fromkeys([*report.details["cautions"], *cautions]))},
            ),
            extra={**learnt.facts, "horizon_days": horizon, "by": "orders", "currency": used.currency},
        )

    def predict_orders(self, orders: pa.Table, fitted: Fitted, *, as_of: datetime) -> pa.Table:
        """Give `subject_id`, `predicted_clv`, `predicted_number_of_orders` and `expected_next_order_date` with `_low`
        and `_high`, `median_number_of_orders`, `probability_alive`, `historic_clv`, `average_order_value`,
        `average_days_between_orders`.

        Orders are purchase days. The date is the median of the wait of one who is still a customer, null for those
        who more likely are not.
        """  # noqa: D205 (the columns are the summary)
        cut = day_of(as_of)
        used = value_orders.usable(orders, currency=fitted.extra.get("currency") or None)
        bought = purchases(used.orders, before_day=cut)
        learnt = clv.Learnt(parts=fitted.parts, facts=fitted.extra)
        seen = clv.foresee(learnt, bought, cut, horizon_days=int(fitted.extra["horizon_days"]))
        table = seen["table"]
        repeats = table["frequency"].to_numpy()
        gaps = np.where(repeats > 0, table["recency"].to_numpy() / np.maximum(repeats, 1), np.nan)
        return pa.table(
            {
                "subject_id": bought.subject_ids.take(table["subject"].combine_chunks()),
                "predicted_clv": seen["value"],
                "predicted_clv_low": seen["value_low"],
                "predicted_clv_high": seen["value_high"],
                "predicted_number_of_orders": seen["orders"],
                "predicted_number_of_orders_low": seen["orders_low"],
                "predicted_number_of_orders_high": seen["orders_high"],
                "median_number_of_orders": seen["median_orders"],
                **_next_dates(seen, cut, self.level),
                "probability_alive": seen["alive"],
                "historic_clv": table["revenue"],
                "average_order_value": np.asarray(table["revenue"]) / np.asarray(table["orders"]),
                "average_days_between_orders": pa.array(gaps, from_pandas=True),
            }
        )

    def _way(self, ledger: Any, as_of: datetime) -> str:  # noqa: ANN401 (see types.Recipe)
        if self.by not in WAYS:
            raise unknown("way to value customers", self.by, WAYS)
        if self.by != "auto":
            return self.by
        subscribers = value_contracts.subscribers(value_contracts.read(ledger, as_of))
        ordered = len(pc.unique(value_orders.read(ledger, as_of)["subject_id"])) if subscribers else 0
        return "subscriptions" if subscribers and subscribers >= ordered else "orders"

    def _unfitted(self, as_of: datetime, why: str) -> Fitted:
        report = Report(recipe=self.name, status="not_enough_data", why=why, as_of=as_of.isoformat())
        return not_enough(self.name, settings_of(self), report)


# --- what is known --------------------------------------------------------------------------------------------------


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
    first, _ = inner_cut(bought, cut - horizon, horizon)
    early = summary(bought, first)
    repeaters = int(((early["frequency"].to_numpy() > 0) & (early["revenue"].to_numpy() > 0)).sum())
    if repeaters < FEWEST_REPEATERS:
        return (
            f"Only {repeaters} customers had ordered on two days before {day(first)}; at least {FEWEST_REPEATERS} "
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


def _top_features(learnt: clv.Learnt, bought: Purchases, cut: int, horizon: int) -> tuple[Mapping[str, Any], ...]:
    """Give what moves boosting's money most; () without boosting."""
    if "spend_trees" not in learnt.parts:
        return ()
    seen = clv.boosted_sees(learnt, bought.between(-(2**62), cut), cut, horizon_days=horizon)
    return contributions.top_features(learnt.parts["spend_trees"], seen)
