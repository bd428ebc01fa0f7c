"""How much of each product will be asked for, by day, week or month? With intervals.

    nb.fit(ledger, Demand(period="week", horizon_days=91))                              from the ledger's order lines
    nb.fit(ledger, Demand(table="sales.csv", series="sku", time="week", value="units", drivers=("price",),
                          known=("price",)))                                            from a long table

Statistical methods per series and one model of trees over all, weighed by how they did at rolling origins; products,
categories and the total add up. Needs the extra `forecast`.
"""

from __future__ import annotations

import json
import time as clock
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import ConfigError
from nextbest.models.forecasting import extra, periods
from nextbest.models.forecasting.hierarchy import summed, tree
from nextbest.models.forecasting.learn import Learnt, foreseen, learn
from nextbest.models.forecasting.origins import ENSEMBLE, TREES, Base, base, moments
from nextbest.models.forecasting.periods import Period  # noqa: TC001 (settings are checked by their annotations)
from nextbest.models.forecasting.statistical import ETS, NAIVE, SEASONAL_NAIVE
from nextbest.models.forecasting.trend import trend
from nextbest.models.order_history import day_of
from nextbest.recipes import demand_judged as judged_by
from nextbest.recipes.demand_panel import EXTRA_PERIODS, Seen, Wanted, see, shorter
from nextbest.recipes.demand_rows import Sold, from_ledger, from_table
from nextbest.recipes.fitting import model_id, not_enough
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.models.forecasting.hierarchy import Hierarchy
    from nextbest.recipes.demand_judged import Floats, Judged

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Demand per series and period for `horizon_days` (None: as far as the history holds twice).

    `period` is day, week, month, quarter or year (None: weeks for order lines, what the dates say for a table).
    `interval` is the share of what comes that intervals should hold. Of a flat `table`, `series`, `time`, `value` and
    `category` name columns; `drivers` are columns that move demand, and those in `known` are known in advance.
    """

    name: str = field(default="demand", init=False)
    per_subject: bool = field(default=False, init=False)
    horizon_days: int | None = None
    period: Period | None = None
    season: int | None = None
    interval: float = 0.9
    table: Any = None
    series: str | None = None
    time: str = "ts"
    value: str = "value"
    category: str | None = None
    drivers: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    gaps: str = "auto"
    total: bool | None = None
    most_series: int = 500
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from what was sold before `as_of`; raises `MissingExtraError` without the extra `forecast`."""
        began = clock.perf_counter()
        extra.methods()
        seen = self.look(ledger, as_of=as_of)
        missing = missing_in(seen)
        if seen is None or missing:
            report = Report(recipe=self.name, status="not_enough_data", why=missing, as_of=as_of.isoformat())
            return not_enough(self.name, self.settings(), report)
        hierarchy, bases = self.origins(seen)
        of = judged_by.groups(hierarchy, summed(hierarchy, seen.panel.values))
        positive = bool(np.nanmin(seen.panel.values) >= 0)
        judged = judged_by.judge(bases, hierarchy, of, horizon=seen.horizon, interval=self.interval, positive=positive)
        learnt = learn(bases, hierarchy, positive=positive)
        facts = {
            "weight": learnt.weight,
            "positive": positive,
            "horizon": seen.horizon,
            "quantiles": {g: q.tolist() for g, q in judged_by.spread(learnt, of).items()},
        }
        report = self._report(seen, judged, learnt, as_of, clock.perf_counter() - began)
        return Fitted(
            model_id=model_id(self.name, {}, as_of.isoformat() + json.dumps(facts, sort_keys=True)),
            recipe=self.name,
            settings=self.settings(),
            as_of=as_of.isoformat(),
            parts={},
            report=report,
            extra=facts,
        )

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per series (items, categories, the total) and period to come.

        Columns: `series, level, ts` (first day of the period), `demand, demand_low, demand_high`, `demand_q10` to
        `demand_q99`, and the popularity `trend, trend_low, trend_high` (share of change) with `direction`.
        """
        seen = self.look(ledger, as_of=as_of) if fitted.extra else None
        if seen is None:
            return _rows_of({})
        seen = shorter(seen, int(fitted.extra["horizon"]))
        hierarchy = self.hierarchy(seen)
        latest = base(seen.panel, hierarchy, seen.panel.length, seen.horizon, seed=self.seed)
        ours = foreseen(latest, hierarchy, fitted.extra["weight"], positive=fitted.extra["positive"])
        return self._table(seen, hierarchy, latest, ours, fitted.extra)

    def look(self, ledger: Any, *, as_of: datetime) -> Seen | None:  # noqa: ANN401
        """Give the series side by side as known before `as_of`, None when nothing was sold."""
        sold = self._sold(ledger, as_of)
        known = self.known if not sold.events else ()
        return see(
            sold,
            Wanted(
                period=self.period,
                horizon_days=self.horizon_days,
                season=self.season,
                known=known,
                most_series=self.most_series,
                gaps=self.gaps,
            ),
            end=day_of(as_of),
        )

    def origins(self, seen: Seen) -> tuple[Hierarchy, list[Base]]:
        """Give the hierarchy and the forecasts made again as of moments in the past."""
        hierarchy, panel = self.hierarchy(seen), seen.panel
        found = moments(panel.length, panel.season, seen.horizon, len(hierarchy.names))
        return hierarchy, [base(panel, hierarchy, m, seen.horizon, seed=self.seed) for m in found]

    def hierarchy(self, seen: Seen) -> Hierarchy:
        """Give what adds up; a total makes sense for products of a shop or a categorised table, not for any series."""
        total = self.total if self.total is not None else self.table is None or bool(seen.panel.categories)
        return tree(seen.panel, total=total)

    def settings(self) -> dict[str, Any]:
        """Give the settings as plain values; a table that was handed over in memory is not one of them."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}
        return {**said, "table": None if self.table is None or isinstance(self.table, pa.Table) else str(self.table)}

    def _sold(self, ledger: Any, as_of: datetime) -> Sold:  # noqa: ANN401
        drivers = tuple(dict.fromkeys([*self.drivers, *self.known]))
        if self.table is not None:
            return from_table(
                self.table, series=self.series, time=self.time, value=self.value, category=self.category,
                drivers=drivers,
            )  # fmt: skip
        if drivers:
            raise ConfigError(
                "`drivers` and `known` name columns of a flat `table`; price and discount of order lines are read by "
                "themselves. Leave them out, or give a table."
            )
        return from_ledger(ledger, as_of)

    def _report(self, seen: Seen, judged: Judged | None, learnt: Learnt, as_of: datetime, seconds: float) -> Report:
        if judged is None:  # `missing_in` asks for two horizons and a little, so that there is one
            return Report(recipe=self.name, status="not_enough_data", why="No origin could be judged.")
        theirs = (NAIVE, SEASONAL_NAIVE, ETS, ENSEMBLE, TREES)
        leads = {kind: judged_by.lead(judged, kind, seed=self.seed) for kind in theirs}
        starts = periods.starts(
            np.array([seen.panel.first, seen.panel.first + seen.panel.length - 1]), seen.panel.period,
            anchor=seen.panel.anchor,
        )  # fmt: skip
        return Report(
            recipe=self.name,
            status="ok",
            why=judged_by.against(judged, leads),
            as_of=as_of.isoformat(),
            rows=int(np.isfinite(seen.panel.values).sum()),
            seconds=seconds,
            evaluation=(
                f"{_count(len(judged.origins), 'rolling origin')}, {_count(seen.horizon, seen.panel.period)} ahead "
                "each, judged with what origins had taught that were over by then"
            ),
            metrics={**judged_by.metrics(judged, judged_by.OURS), "interval_held": judged_by.held(judged)},
            intervals={f"mase below {k}": (low, high) for k, (_, low, high) in leads.items() if np.isfinite(low)},
            baselines={kind: judged_by.metrics(judged, kind) for kind in theirs},
            details={
                "forecast_value_added": judged_by.value_added(judged),
                "preparation": [dict(step) for step in seen.preparation],
                "cautions": [*seen.cautions, *_cautions(seen, judged, self.known)],
                "dates": {"from": str(starts[0]), "to": str(starts[1])},
                "series": len(seen.panel.series),
                "weight_of_trees": learnt.weight,
            },
        )

    def _table(
        self, seen: Seen, hierarchy: Hierarchy, latest: Base, ours: Floats, facts: Mapping[str, Any]
    ) -> pa.Table:
        panel, steps = seen.panel, seen.horizon
        nodes = summed(hierarchy, panel.values)
        of = judged_by.groups(hierarchy, nodes)
        quantiles = {g: np.asarray(q) for g, q in facts["quantiles"].items()}
        floor = 0.0 if facts["positive"] else -np.inf

        def at(chance: float) -> Floats:
            return np.maximum(judged_by.bound(ours, latest.scale, quantiles, of, chance), floor).ravel()

        moved = [trend(row, season=panel.season, periods=steps, level=self.interval) for row in nodes]
        numbers = np.arange(panel.first + panel.length, panel.first + panel.length + steps)
        begins = periods.starts(numbers, panel.period, anchor=panel.anchor)
        columns = {
            "series": np.repeat(np.array(hierarchy.names, dtype=object), steps),
            "level": np.repeat(np.array(hierarchy.levels, dtype=object), steps),
            "ts": np.tile(begins, len(hierarchy.names)),
            "demand": ours.ravel(),
            "demand_low": np.minimum(at((1 - self.interval) / 2), ours.ravel()),
            "demand_high": np.maximum(at((1 + self.interval) / 2), ours.ravel()),
            **{f"demand_q{round(100 * q)}": at(q) for q in QUANTILES},
            **{n: np.repeat([m[i] for m in moved], steps) for i, n in enumerate(("trend", "trend_low", "trend_high"))},
            "direction": np.repeat(np.array([m[3] for m in moved], dtype=object), steps),
        }
        return _rows_of(columns)


def missing_in(seen: Seen | None) -> str:
    """Give what is missing for forecasting and judging, or '' when nothing is."""
    if seen is None:
        return "There is nothing that was sold. Load order lines with product, date and quantity, or give a table."
    if not np.nansum(np.abs(seen.panel.values)):
        return "Every value is 0: nothing was sold in all that time. Load the periods in which something was."
    needed = 2 * seen.horizon + EXTRA_PERIODS
    if seen.panel.length < needed:
        name = seen.panel.period
        return (
            f"The history holds {seen.panel.length} {name}s; to forecast {seen.horizon} ahead, and to judge that, at "
            f"least {needed} are needed. Load a longer history, or ask for a shorter horizon_days."
        )
    return ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cautions(seen: Seen, judged: Judged, known: tuple[str, ...]) -> list[str]:
    said = []
    nought = judged_by.without_scale(judged)
    if nought:
        said.append(
            f"{nought} of {judged.scale.shape[1]} series were only nought before an origin: they have no usual change "
            "there, and mase leaves them out."
        )
    begun = np.isfinite(seen.panel.values).sum(axis=1)
    short = int((begun < 2 * min(seen.panel.season, seen.panel.length)).sum())
    if short:
        said.append(f"{short} of {len(begun)} series have less than two seasons: their own season cannot be seen well.")
    if known and seen.panel.known:
        said.append(f"Taken as known in advance, also when judged: {', '.join(known)}.")
    return said


def _rows_of(columns: Mapping[str, Any]) -> pa.Table:
    """Give the table, with its columns also when it has no rows; rows of series that have not begun are left out."""
    texts = ("series", "level", "direction")
    numbers = ("demand", "demand_low", "demand_high", *(f"demand_q{round(100 * q)}" for q in QUANTILES))
    order = ("series", "level", "ts", *numbers, "trend", "trend_low", "trend_high", "direction")
    kinds = {n: pa.string() if n in texts else pa.date32() if n == "ts" else pa.float64() for n in order}
    if not columns:
        return pa.table({n: pa.array([], kinds[n]) for n in order})
    table = pa.table({n: pa.array(columns[n], kinds[n], from_pandas=True) for n in order})
    return table.filter(pc.is_valid(table["demand"]))
