"""How much of each product to order now? The quantity at which a full shelf costs as much as an empty one.

    nb.fit(ledger, Restock(unit_cost=6.0, margin=4.0, lead_time_days=7, review_days=7))

The newsvendor's order (Arrow, Harris and Marschak 1951, Econometrica 19): up to the quantile of demand until the next
delivery at which one more piece costs as much to hold as it costs to be without. Needs the extra `forecast`.
"""

from __future__ import annotations

import json
import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models.forecasting.learn import foreseen
from nextbest.models.forecasting.origins import base
from nextbest.models.forecasting.periods import Period  # noqa: TC001 (settings are checked by their annotations)
from nextbest.recipes import restock_replay as replay
from nextbest.recipes.demand import Demand, missing_in
from nextbest.recipes.demand_judged import CHANCES, groups
from nextbest.recipes.fitting import model_id, not_enough, settings_of
from nextbest.recipes.restock_costs import costs_of, stock_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.recipes.demand_panel import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Restock:
    """Order quantities per item, reviewed every `review_days` and delivered `lead_time_days` later.

    `unit_cost` is what a piece costs, `margin` what is lost when one is asked for and not there (None: from the items
    of the ledger, price less unit cost), `holding_rate` the share of the cost that a year in stock costs. `stock` names
    the column of a flat table with what is there now; the ledger's items have it themselves. The rest as in `Demand`.
    """

    name: str = field(default="restock", init=False)
    per_subject: bool = field(default=False, init=False)
    lead_time_days: int = 7
    review_days: int = 7
    unit_cost: float | None = None
    margin: float | None = None
    holding_rate: float = 0.25
    period: Period | None = None
    season: int | None = None
    table: Any = None
    series: str | None = None
    time: str = "ts"
    value: str = "value"
    stock: str | None = None
    drivers: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    gaps: str = "auto"
    most_series: int = 500
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn how far demand strays from its forecast, and replay orders over history against a naive rule."""
        began = clock.perf_counter()
        demand = self._demand()
        seen = _items_alone(demand.look(ledger, as_of=as_of))
        why = missing_in(seen)
        costs = None if seen is None or why else costs_of(self, ledger, seen.panel.series, as_of)
        if seen is None or costs is None or why:
            report = Report(recipe=self.name, status="not_enough_data", why=why or _COSTS, as_of=as_of.isoformat())
            return not_enough(self.name, settings_of(self), report)
        hierarchy, bases = demand.origins(seen)
        of = groups(hierarchy, seen.panel.values)
        told = replay.replay(bases, hierarchy, of, seen, costs, seed=self.seed)
        facts = {"weight": told.weight, "horizon": seen.horizon, "quantiles": told.quantiles}
        report = Report(
            recipe=self.name,
            status="ok",
            why=told.why,
            as_of=as_of.isoformat(),
            rows=told.orders,
            seconds=clock.perf_counter() - began,
            evaluation=(
                f"replayed: {told.orders} orders at {told.origins} past moments, {seen.horizon} {seen.panel.period}s "
                "covered each, with what was known by then"
            ),
            metrics=told.metrics,
            intervals={"saved": told.saved_interval},
            baselines={replay.NAIVE_RULE: told.naive},
            details={
                "costs": costs.said(),
                "cautions": [*seen.cautions, *costs.cautions],
                "preparation": [dict(step) for step in seen.preparation],
            },
        )
        return Fitted(
            model_id=model_id(self.name, {}, as_of.isoformat() + json.dumps(facts, sort_keys=True)),
            recipe=self.name,
            settings=settings_of(self),
            as_of=as_of.isoformat(),
            parts={},
            report=report,
            extra=facts,
        )

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per item: `series, demand` until the next delivery, `order_up_to, stock, order_quantity`.

        `covered` is the chance that the stock lasts. Without a known stock `order_quantity` is null.
        """
        demand = self._demand()
        seen = _items_alone(demand.look(ledger, as_of=as_of)) if fitted.extra else None
        costs = None if seen is None else costs_of(self, ledger, seen.panel.series, as_of)
        if seen is None or costs is None:
            return _rows((), {})
        hierarchy = demand.hierarchy(seen)
        latest = base(seen.panel, hierarchy, seen.panel.length, seen.horizon, seed=self.seed)
        ours = foreseen(latest, hierarchy, fitted.extra["weight"], positive=True).sum(axis=1)
        of = groups(hierarchy, seen.panel.values)
        chance = costs.chance
        margin = np.array(
            [np.interp(c, CHANCES, fitted.extra["quantiles"][g]) for c, g in zip(chance, of, strict=True)]
        )
        up_to = np.maximum(np.ceil(ours + latest.scale * margin - 1e-9), 0.0)
        stock = stock_of(self, ledger, seen.panel.series, as_of)
        return _rows(
            seen.panel.series,
            {
                "demand": ours,
                "order_up_to": up_to,
                "stock": stock,
                "order_quantity": np.maximum(up_to - stock, 0.0),
                "covered": chance,
            },
        )

    def _demand(self) -> Demand:
        return Demand(
            horizon_days=self.lead_time_days + self.review_days, period=self.period, season=self.season,
            table=self.table, series=self.series, time=self.time, value=self.value, drivers=self.drivers,
            known=self.known, gaps=self.gaps, total=False, most_series=self.most_series, seed=self.seed,
        )  # fmt: skip


_COSTS = (
    "What a piece costs, and what is lost without one, is not known. Give unit_cost and margin, or load items with "
    "price and unit_cost."
)


def _items_alone(seen: Seen | None) -> Seen | None:
    """Give the panel without categories: what is ordered is an item."""
    return None if seen is None else replace(seen, panel=replace(seen.panel, categories=()))


def _rows(series: tuple[str, ...], columns: Mapping[str, Any]) -> pa.Table:
    names = ("demand", "order_up_to", "stock", "order_quantity", "covered")
    numbers = {n: pa.array(columns.get(n, ()), pa.float64(), from_pandas=True) for n in names}
    return pa.table({"series": pa.array(series, pa.string()), **numbers})
