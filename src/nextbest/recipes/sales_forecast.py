"""What will the quarter bring? The total of the deals that will be won, with an interval, by rep and by segment.

    nb.fit(ledger, SalesForecast(), as_of="2026-01-01")
    nb.predict(ledger, fitted, as_of="2026-01-01")["sales_forecast"]

Open deals are simulated through their stages, deals that are not there yet arrive as they did before. The last periods,
each forecast from what was known before it, say how good that is, beside what people use instead.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import deal_rates
from nextbest.models.deal_history import NEVER
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_periods import baselines_of, forecast, missing_in
from nextbest.recipes.fitting import not_enough, settings_of
from nextbest.recipes.sales_forecast_judged import judge
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals

    Floats = NDArray[np.float64]

QUARTER_DAYS = 91


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesForecast:
    """The coming total over `period_days` (None: the calendar quarter of `as_of`), for so many `periods` in a row.

    `segment` is the column that cuts deals into segments (empty: the first of product, pipeline, deal_type, lead_source
    that tells any apart). `won_stages`, `lost_stages` name stages whose names do not say so. `level`: of the intervals.
    """

    name: str = field(default="sales_forecast", init=False)
    per_subject: bool = field(default=False, init=False)
    period_days: int | None = None
    periods: int = 1
    segment: str = ""
    won_stages: tuple[str, ...] = ()
    lost_stages: tuple[str, ...] = ()
    level: float = 0.8
    paths: int = 1000
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the deals before `as_of`; `report.status` says when there are too few."""
        return self.fit_deals(shared.rows(ledger, as_of=as_of), as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per period and level (total, rep, segment); columns as in `predict_deals`."""
        return self.predict_deals(shared.rows(ledger, as_of=as_of), fitted, as_of=as_of)

    def fit_deals(self, table: pa.Table, *, as_of: datetime) -> Fitted:
        """Learn from rows of `deal_stage` before `as_of`."""
        began = time.perf_counter()
        deals = self.deals(table, as_of)
        report = Report(recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=len(deals.ids),
                        positives=int((deals.won & (deals.closed < NEVER)).sum()))  # fmt: skip
        missing = missing_in(deals)
        if missing:
            return not_enough(self.name, settings_of(self), replace(report, why=missing))
        facts = deal_rates.learn(
            deals, segment=deal_rates.segment_of(deals, self.segment), period_days=self.days, seed=self.seed
        )
        report = judge(self, table, deals, report)
        report = replace(report, seconds=round(time.perf_counter() - began, 3))
        return Fitted(
            model_id=shared.facts_id(self.name, facts, as_of.isoformat()), recipe=self.name, settings=settings_of(self),
            as_of=as_of.isoformat(), parts={}, report=report, extra=facts,
        )  # fmt: skip

    def predict_deals(self, table: pa.Table, fitted: Fitted, *, as_of: datetime) -> pa.Table:
        """Give `period_start, period_end, level, name, sales_forecast` with `_low` and `_high`, `won_so_far`,
        `from_open_deals`, `from_new_deals`, and for the total `weighted_pipeline` and `closing_dates`.

        The forecast holds what was won in the period before `as_of`. `name` is the rep or the segment.
        """  # noqa: D205 (the columns are the summary)
        deals = self.deals(table, as_of)
        if not fitted.extra or not len(deals.ids):
            return pa.table(_columns([]))
        now, ends = shared.moment_of(deals.now), self.spans(as_of)
        lead = (ends[0] - now) / timedelta(days=1)
        # Where the data end before the period begins, the time between is simulated too, and not counted.
        bounds = [(end - now) / timedelta(days=1) for end in (ends if lead > 0 else ends[1:])]
        paths, names = forecast(fitted.extra, deals, bounds, paths=self.paths, seed=self.seed)
        won, amounts = deal_rates.won_amounts(deals, _seconds(ends[0]), deals.now)
        rows: list[dict[str, Any]] = []
        for period in range(self.periods):
            so_far = amounts if period == 0 else np.zeros_like(amounts)
            at = period + (lead > 0)
            span = {"period_start": ends[period].date(), "period_end": ends[period + 1].date()}
            beside = baselines_of(deals, fitted.extra, bounds[at]) if period == 0 else {}
            parts = paths.from_open[at], paths.from_new[at]
            means = {"from_open_deals": float(parts[0].mean()), "from_new_deals": float(parts[1].mean())}
            rows.append(
                {**span, "level": "total", "name": "", **self._said(so_far.sum(), sum(parts)), **means, **beside}
            )
            for g, (level, column) in enumerate((("rep", deal_rates.REP), ("segment", fitted.extra["segment"]))):
                code = deals.text[column][deals.last_row(won)]
                for k, name in enumerate(names[g]):
                    said = self._said(so_far[code == k].sum(), paths.groups[g][at, :, k])
                    rows += [{**span, "level": level, "name": name, **said}] * (said["sales_forecast_high"] > 0)
        return pa.table(_columns(rows))

    @property
    def days(self) -> int:
        """The length of a period."""
        return self.period_days or QUARTER_DAYS

    def deals(self, table: pa.Table, as_of: datetime) -> Deals:
        """Give the deals as of a moment."""
        return shared.read(table, as_of=as_of, won_stages=self.won_stages, lost_stages=self.lost_stages)

    def spans(self, as_of: datetime) -> list[datetime]:
        """Give the start of the first period and the end of each."""
        if self.period_days is not None:
            return [as_of + timedelta(days=self.period_days * k) for k in range(self.periods + 1)]
        first = as_of.astimezone(UTC)
        months = [first.year * 12 + 3 * ((first.month - 1) // 3 + k) for k in range(self.periods + 1)]
        return [datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in months]

    def _said(self, so_far: float, coming: Floats) -> dict[str, float]:
        low, high = np.quantile(coming, [(1 - self.level) / 2, (1 + self.level) / 2]) + so_far
        return {
            "sales_forecast": float(coming.mean() + so_far), "sales_forecast_low": float(low),
            "sales_forecast_high": float(high), "won_so_far": float(so_far),
        }  # fmt: skip


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Give the rows as columns of fixed types, whatever is missing in them."""
    text, dates = ("level", "name"), ("period_start", "period_end")
    numbers = ("sales_forecast", "sales_forecast_low", "sales_forecast_high", "won_so_far", "from_open_deals",
               "from_new_deals", "weighted_pipeline", "closing_dates")  # fmt: skip
    types = {
        **dict.fromkeys(dates, pa.date32()),
        **dict.fromkeys(text, pa.string()),
        **dict.fromkeys(numbers, pa.float64()),
    }
    return {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
