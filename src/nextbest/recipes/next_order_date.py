"""When is the next order due? A date per customer with an interval, or none for who more likely does not come.

    fitted = nb.fit(ledger, NextOrderDate())
    nb.predict(ledger, fitted)["next_order_date"]

The buying process of the value recipe gives each customer's pace; an earlier window tells how waits spread around it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.ledger import analysis
from nextbest.models import waiting
from nextbest.models.order_history import day_of, purchases, summary
from nextbest.models.pareto_nbd import ParetoNBD
from nextbest.recipes import wait_words
from nextbest.recipes.fitting import model_id, not_enough, settings_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases

    Floats = NDArray[np.float64]

HORIZONS_DAYS = (365, 180, 90, 60, 30, 14)
FEWEST_REPEATERS = 30  # customers with two purchase days before the first cut that is learnt from
LAST_GAP, AVERAGE_GAP = "last gap again", "average gap again"
_LATEST_DAYS = 3650  # a next order further away than ten years is no date
_COLUMNS = ("subject_id", "ts", "ts_offset_min", "revenue")
_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NextOrderDate:
    """The median date of the next order and its interval, learnt from windows of `horizon_days`.

    Without `horizon_days`: the longest of 365, 180, 90, 60, 30 and 14 of which the history holds three. `level` is the
    share of next orders that the interval should hold.
    """

    name: str = field(default="next_order_date", init=False)
    horizon_days: int | None = None
    level: float = 0.9
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the orders before `as_of`; `report.status` says when there are too few."""
        return self.fit_orders(_orders(ledger, as_of), as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per customer who ordered before `as_of`; columns as in `predict_orders`."""
        return self.predict_orders(_orders(ledger, as_of), fitted, as_of=as_of)

    def words(self, ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
        """Give a customer's own pace, and what customers with such a pace did."""
        orders = _orders(ledger, as_of)
        own = orders.filter(pc.equal(orders["subject_id"], subject_id))
        said = self.predict_orders(own, fitted, as_of=as_of).to_pylist()[0]
        cut = day_of(as_of)
        history = summary(purchases(_counted(own), before_day=cut), cut).to_pylist()[0]
        return wait_words.words(history, said, level=self.level)

    def fit_orders(self, orders: pa.Table, *, as_of: datetime) -> Fitted:
        """Learn from a table of orders (`subject_id, ts, revenue`), all before `as_of`."""
        began = time.perf_counter()
        settings = settings_of(self)
        bought = purchases(_counted(orders), before_day=day_of(as_of))
        # However late the moment is, what is known of orders ends with the day of the last: the rest is not silence.
        cut = min(day_of(as_of), int(bought.day.max(initial=-(2**62))) + 1)
        horizon = self.horizon_days or _horizon(bought, cut)
        missing = _missing(bought, cut, horizon)
        if missing:
            report = Report(recipe=self.name, status="not_enough_data", why=missing, as_of=as_of.isoformat())
            return not_enough(self.name, settings, report)
        report = self._judged(bought, cut, horizon, as_of)
        model, spread = waiting.learn(bought, cut - horizon, cut, level=self.level)
        parts = {"pareto_nbd": model}
        return Fitted(
            model_id=model_id(self.name, parts, as_of.isoformat()), recipe=self.name, settings=settings,
            as_of=as_of.isoformat(), parts=parts, extra={"spread": spread, "horizon_days": horizon},
            report=replace(report, seconds=round(time.perf_counter() - began, 3)),
        )  # fmt: skip

    def predict_orders(self, orders: pa.Table, fitted: Fitted, *, as_of: datetime) -> pa.Table:
        """Give `subject_id`, `next_order_date` with `_low` and `_high`, and `days_to_next_order`, the median wait.

        Null where fewer than half of the customers alike came back; a null `_high` lies beyond what the data tell.
        """
        cut = day_of(as_of)
        bought = purchases(_counted(orders), before_day=cut)
        table = summary(bought, cut)
        ids = bought.subject_ids.take(table["subject"].combine_chunks())
        model = fitted.parts.get("pareto_nbd")
        waits = np.full((table.num_rows, 3), np.inf)
        if isinstance(model, ParetoNBD):
            waits = waiting.foresee(model, fitted.extra["spread"], table)
        gone = ~np.isfinite(waits[:, 0])
        names = ("next_order_date", "next_order_date_low", "next_order_date_high")
        dates = {name: _dates(cut, waits[:, place], gone) for place, name in enumerate(names)}
        days = pa.array(np.where(gone, np.nan, waits[:, 0]), from_pandas=True)
        return pa.table({"subject_id": ids, **dates, "days_to_next_order": days})

    def _judged(self, bought: Purchases, cut: int, horizon: int, as_of: datetime) -> Report:
        """Give the report of what is learnt before the judged window and seen in it."""
        judged, inner = cut - horizon, max(cut - 2 * horizon, int(bought.day.min()) + 1)
        model, spread = waiting.learn(bought.between(-(2**62), judged), inner, judged, level=self.level)
        table = summary(bought, judged)
        seen = waiting.foresee(model, spread, table)
        wait, came = waiting.waits(bought, table, judged, cut)
        told = np.isfinite(seen[:, 0])
        again = told & (table["frequency"].to_numpy() > 0)
        theirs = _gaps(bought, table, judged)
        apart = {n: _errors(v[again], wait[again], came[again]) for n, v in {"ours": seen[:, 0], **theirs}.items()}
        held = _held(seen[told], wait[told], came[told])
        metrics = {"interval_held": held, "median_absolute_error_days": _middle(apart["ours"])}
        return Report(
            recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=int(told.sum()),
            positives=int(came[told].sum()),
            evaluation=f"out of time: learnt before {_date(judged)}, judged on the {horizon} days from there",
            why=_compared(apart, self.seed), metrics=metrics,
            intervals={f"error minus {n}": _difference(apart, n, self.seed) for n in theirs},
            baselines={n: {"median_absolute_error_days": _middle(apart[n])} for n in theirs},
            details={
                "dates": {"from": str(_date(int(bought.day.min()))), "to": str(_date(cut))},
                "cautions": _cautions(told),
            },
        )  # fmt: skip


# --- what is known ----------------------------------------------------------------------------------------------------


def _orders(ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
    found: pa.Table = analysis.table(ledger, "order", columns=_COLUMNS, before=as_of)
    return found


def _counted(orders: pa.Table) -> pa.Table:
    """Give orders whose money does not matter: without any revenue each counts as one."""
    if "revenue" in orders.column_names and orders["revenue"].null_count < orders.num_rows:
        return orders
    kept = orders.drop_columns(["revenue"]) if "revenue" in orders.column_names else orders
    return kept.append_column("revenue", pa.array(np.ones(orders.num_rows)))


def _horizon(bought: Purchases, cut: int) -> int:
    third = (cut - int(bought.day.min(initial=cut))) // 3
    return next((days for days in HORIZONS_DAYS if days <= third), HORIZONS_DAYS[-1])


def _missing(bought: Purchases, cut: int, horizon: int) -> str:
    """Give what is missing for learning and judging, or '' when nothing is."""
    if not len(bought.day):
        return "There are no orders. Load a file of orders with customer and date first."
    span = cut - int(bought.day.min())
    if span < 3 * horizon:
        return (
            f"The orders span {span} days; a horizon of {horizon} days needs at least {3 * horizon}: one before what is"
            " learnt from, one to learn, one to judge. Load a longer history, or ask for a shorter horizon_days."
        )
    early = summary(bought, cut - 2 * horizon)
    repeaters = int((early["frequency"].to_numpy() > 0).sum())
    if repeaters < FEWEST_REPEATERS:
        return (
            f"Only {repeaters} customers had ordered on two days before {_date(cut - 2 * horizon)}; at least"
            f" {FEWEST_REPEATERS} are needed. Load a longer history or more customers."
        )
    return ""


# --- how it did -------------------------------------------------------------------------------------------------------


def _gaps(bought: Purchases, table: pa.Table, cut: int) -> dict[str, Floats]:
    """Give the waits that a customer's last gap and average gap would give from the last order on, at least a day."""
    known = bought.between(-(2**62), cut)
    ends = np.searchsorted(known.subject, table["subject"].to_numpy(), side="right") - 1
    repeats, recency, age = (table[n].to_numpy() for n in ("frequency", "recency", "T"))
    last = known.day[ends] - known.day[np.maximum(ends - 1, 0)]
    idle = age - recency
    return {
        LAST_GAP: np.maximum(last - idle + 1, 1.0),
        AVERAGE_GAP: np.maximum(recency / np.maximum(repeats, 1) - idle + 1, 1.0),
    }


def _errors(predicted: Floats, wait: Floats, came: NDArray[np.bool_]) -> Floats:
    """Give how far each prediction was off, in days; NaN where the data ended before anyone can tell.

    Who had not come by the end is off by at least what the end lies after the prediction.
    """
    late = np.where(predicted < wait, wait - predicted, np.nan)
    found: Floats = np.where(came, np.abs(wait - predicted), late)
    return found


def _held(seen: Floats, wait: Floats, came: NDArray[np.bool_]) -> float:
    """Give the share of intervals that held the next order, of those where the data tell."""
    inside = (seen[:, 1] <= wait) & (wait <= seen[:, 2])
    tells = came | (seen[:, 2] < wait)
    return round(float((inside & came)[tells].mean()), 4) if tells.any() else 0.0


def _middle(errors: Floats) -> float:
    return round(float(np.nanmedian(errors)), 2) if np.isfinite(errors).any() else 0.0


def _difference(apart: dict[str, Floats], other: str, seed: int) -> tuple[float, float]:
    """Give the 95% interval of our median error minus another's, over customers drawn with replacement."""
    chance = np.random.default_rng(seed)
    ours, theirs = apart["ours"], apart[other]
    if not (np.isfinite(ours).any() and np.isfinite(theirs).any()):
        return 0.0, 0.0
    drawn = [
        float(np.nanmedian(ours[rows]) - np.nanmedian(theirs[rows]))
        for rows in (chance.integers(0, len(ours), len(ours)) for _ in range(_DRAWS))
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return round(float(low), 2), round(float(high), 2)


def _compared(apart: dict[str, Floats], seed: int) -> str:
    """Say whether the better of the two simple rules is beaten."""
    best = min((LAST_GAP, AVERAGE_GAP), key=lambda n: _middle(apart[n]))
    low, high = _difference(apart, best, seed)
    said = (
        f"median error {_middle(apart['ours'])} days against {_middle(apart[best])} from {best} ({low:+} to {high:+})"
    )
    return f"It beats the simple rules: {said}." if high < 0 else f"It does not surely beat the simple rules: {said}."


def _cautions(told: NDArray[np.bool_]) -> list[str]:
    silent = int((~told).sum())
    if not silent:
        return []
    return [f"For {silent:,} of {len(told):,} customers no date is given: of those alike fewer than half came back."]


def _dates(cut: int, wait: Floats, gone: NDArray[np.bool_]) -> pa.Array:
    """Give the days from *cut* on as dates; a wait of one day is the day of the cut itself."""
    far = ~np.isfinite(wait) | (wait > _LATEST_DAYS)
    day = cut - 1 + np.ceil(np.where(far, 1.0, wait))
    return pa.array(day.astype(np.int32), mask=gone | far).cast(pa.date32())


def _date(day: int) -> Any:  # noqa: ANN401 (a date)
    return datetime.fromtimestamp(0, tz=UTC).date() + timedelta(days=day)
