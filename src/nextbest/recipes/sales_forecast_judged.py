"""Forecast the last periods from what was known before each, beside what people use instead of a forecast."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import deal_rates
from nextbest.models.curves import wilson
from nextbest.models.deal_history import DAY
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_periods import baselines_of, forecast, missing_in

if TYPE_CHECKING:
    from nextbest.models.deal_history import Deals
    from nextbest.recipes.sales_forecast import SalesForecast
    from nextbest.types import Report

MOST_PERIODS = 8
YEAR_DAYS = 364  # whole weeks, so that the same days of the week are compared
FEWEST_TO_TELL = 4  # periods; fewer say nothing about how often an interval holds


def judge(recipe: SalesForecast, table: pa.Table, deals: Deals, report: Report) -> Report:
    """Give the report of every past period that can be forecast, the latest first."""
    judged = [_period(recipe, table, deals, deals.now - k * recipe.days * DAY) for k in range(1, MOST_PERIODS + 1)]
    periods = [p for p in judged if p is not None]
    cautions = [] if deals.history else [shared.EXPORT_ONLY]
    if not len(deals.open_at(deals.now)):
        cautions.append("No deal is open: all of the forecast is deals that are not there yet.")
    if len(periods) < FEWEST_TO_TELL:
        cautions.append(f"Only {len(periods)} past periods could be forecast: how often intervals hold is not known.")
    dates = {"from": shared.day_of(int(deals.opened.min())), "to": shared.day_of(deals.now)}
    details = {"periods": [{k: _round(v) for k, v in p.items()} for p in periods], "cautions": cautions, "dates": dates}
    if not periods:
        why = f"No past period of {recipe.days} days could be forecast from what was known before it."
        return replace(report, evaluation="not judged: the history is too short", why=why, details=details)
    names = [n for n in ("last_period", "same_period_last_year", "weighted_pipeline", "closing_dates")
             if all(n in p for p in periods) or (n != "closing_dates" and any(n in p for p in periods))]  # fmt: skip
    scores = {name: _score([p for p in periods if name in p], name) for name in names}
    ours = _score(periods, "forecast")
    held = float(np.mean([p["low"] <= p["actual"] <= p["high"] for p in periods]))
    low, high = wilson(held, len(periods))
    return replace(
        report,
        why=_against(ours, scores, periods),
        evaluation=f"out of time: the last {len(periods)} periods of {recipe.days} days, from what was known by then",
        metrics={**ours, "interval_held": round(held, 4)},
        intervals={"interval_held": (round(low, 4), round(high, 4)), **_leads(scores, periods)},
        baselines=scores,
        details=details,
    )


def _period(recipe: SalesForecast, table: pa.Table, deals: Deals, cut: int) -> dict[str, Any] | None:
    """Give forecast, baselines and actual of the period that begins at a cut; None when it cannot be forecast."""
    moment = shared.moment_of(cut)
    known = table.filter(pc.less(table["ts"], pa.scalar(moment, pa.timestamp("us", tz="UTC"))))
    before = recipe.deals(known, moment) if known.num_rows else None
    # A period is judged only when deals were seen all through it: the first event lies a period before it.
    if before is None or int(deals.opened.min()) > cut - recipe.days * DAY or missing_in(before):
        return None
    days = float(recipe.days)
    segment = deal_rates.segment_of(before, recipe.segment)
    facts = deal_rates.learn(before, segment=segment, period_days=days, seed=recipe.seed)
    paths, _ = forecast(facts, before, [days], paths=recipe.paths, seed=recipe.seed)
    total = paths.total[0]
    low, high = np.quantile(total, [(1 - recipe.level) / 2, (1 + recipe.level) / 2])
    span = recipe.days * DAY
    found = {"from": shared.day_of(cut), "actual": _won(deals, cut, cut + span), "forecast": float(total.mean()),
             "low": float(low), "high": float(high), "last_period": _won(deals, cut - span, cut),
             **baselines_of(before, facts, days)}  # fmt: skip
    if int(deals.opened.min()) <= cut - YEAR_DAYS * DAY - span // 2:
        found["same_period_last_year"] = _won(deals, cut - YEAR_DAYS * DAY, cut - YEAR_DAYS * DAY + span)
    return found


def _won(deals: Deals, start: int, end: int) -> float:
    return float(deal_rates.won_amounts(deals, start, end)[1].sum())


def _score(periods: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Give the mean absolute error, that as a share of what came, and how far the sum was off."""
    said, actual = np.array([p[name] for p in periods]), np.array([p["actual"] for p in periods])
    error, total = np.abs(said - actual), float(actual.sum())
    found = {"mae": round(float(error.mean()), 2), "periods": float(len(periods))}
    if total > 0:
        found |= {"wape": round(float(error.sum()) / total, 4), "total_error": round(float(said.sum()) / total - 1, 4)}
    return found


def _against(ours: dict[str, float], scores: dict[str, dict[str, float]], periods: list[dict[str, Any]]) -> str:
    """Say whether it was nearer than each thing people use instead, over the periods that both could be told for."""
    if "wape" not in ours:
        return "Nothing was won in the judged periods."
    lines = []
    leads = _leads(scores, periods)
    for name, theirs in scores.items():
        same = _score([p for p in periods if name in p], "forecast")
        sure = leads.get(f"error minus {name}", (0.0, 0.0))[1] < 0
        nearer = "was nearer, not surely, than" if same["mae"] < theirs["mae"] else "was no nearer than"
        off = f"{same.get('wape', 0):.0%} off against {theirs.get('wape', 0):.0%}"
        lines.append(f"It {'beats' if sure else nearer} {name.replace('_', ' ')} ({off}).")
    return " ".join([*lines, *(["Few periods: this may be chance."] * (len(periods) < FEWEST_TO_TELL))])


def _leads(scores: dict[str, dict[str, float]], periods: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Give the 95% interval of our absolute error less another's, by Student's t over the periods that both have."""
    from scipy.special import stdtrit

    found = {}
    for name in scores:
        both = [p for p in periods if name in p]
        gap = np.array([abs(p["forecast"] - p["actual"]) - abs(p[name] - p["actual"]) for p in both])
        if len(gap) >= FEWEST_TO_TELL:
            reach = float(stdtrit(len(gap) - 1, 0.975)) * float(gap.std(ddof=1) / np.sqrt(len(gap)))
            found[f"error minus {name}"] = round(float(gap.mean()) - reach, 2), round(float(gap.mean()) + reach, 2)
    return found


def _round(value: Any) -> Any:  # noqa: ANN401 (text or a number)
    return round(float(value), 2) if isinstance(value, float) else value
