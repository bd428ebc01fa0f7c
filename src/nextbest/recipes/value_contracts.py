"""Value of subscribers, where leaving is seen: the monthly amount for as long as it is expected to be renewed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import contract_value
from nextbest.models.contracts import MONTH_DAYS, contracts
from nextbest.models.evaluate import bootstrap_interval, rmse, total_error
from nextbest.models.likelihood import read_estimate
from nextbest.models.order_history import day_of
from nextbest.recipes.fitting import model_id, not_enough
from nextbest.recipes.value_baselines import told
from nextbest.recipes.value_judged import day, deciles
from nextbest.recipes.value_orders import one_currency
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.models.contracts import Contracts
    from nextbest.types import Model

    Floats = NDArray[np.float64]

COLUMNS = (
    "subject_id", "subscription_id", "ts", "status", "currency", "interval", "amount", "quantity", "started_ts",
    "ended_ts", "cancelled_ts",
)  # fmt: skip
HORIZONS_DAYS = (365, 180, 90, 60, 30)
FEWEST, FEWEST_ENDED = 30, 10  # contracts before the judged window, and of them ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked: how far ahead (None: as far as can be judged), the discount per year, the level of intervals."""

    horizon_days: int | None
    discount_rate: float
    level: float
    seed: int
    settings: Mapping[str, Any]


def read(ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
    """Give the states of subscriptions in the ledger before a moment."""
    from nextbest.ledger import analysis

    found: pa.Table = analysis.table(ledger, "subscription", columns=COLUMNS, before=as_of)
    return found


def subscribers(states: pa.Table) -> int:
    """Give how many subjects have a subscription that tells an amount."""
    paid = states.filter(pc.fill_null(pc.greater(states["amount"], 0.0), False))  # noqa: FBT003 (a value)
    return len(pc.unique(paid["subject_id"]))


def fit(states: pa.Table, terms: Terms, *, as_of: datetime) -> Fitted:
    """Learn from states of subscriptions; `report.status` says when too few have begun or ended."""
    began = time.perf_counter()
    states, currency, cautions = one_currency(states, "subscriptions", None)
    cut = float(day_of(as_of))
    horizon, missing = _horizon(states, cut, terms)
    if missing:
        report = Report(recipe="value", status="not_enough_data", why=missing, as_of=as_of.isoformat())
        return not_enough("value", terms.settings, report)
    known = contracts(states, cut)
    parts = contract_value.retention(known, cut)
    grown = contract_value.growth(known)
    report = _judged(states, cut, horizon, terms)
    extra = {
        "by": "subscriptions",
        "horizon_days": horizon,
        "currency": currency,
        "growth": grown.used,
        "discount_rate": terms.discount_rate,
    }
    return Fitted(
        model_id=model_id("value", parts, f"{as_of.isoformat()} {sorted(extra.items())}"),
        recipe="value",
        settings=terms.settings,
        as_of=as_of.isoformat(),
        parts=parts,
        report=replace(
            report,
            as_of=as_of.isoformat(),
            seconds=time.perf_counter() - began,
            details={
                **report.details,
                "growth_per_month": {"rate": grown.rate, "low": grown.low, "high": grown.high, "used": grown.used},
                "cautions": [*cautions, *_cautions(known, grown)],
            },
        ),
        extra=extra,
    )


def predict(states: pa.Table, fitted: Fitted, *, as_of: datetime, level: float) -> pa.Table:
    """Give one row per subscriber: `predicted_clv` with `_low`, `_high`, `mrr`, `probability_staying`, ..."""
    states, _, _ = one_currency(states, "subscriptions", fitted.extra.get("currency") or None)
    cut = float(day_of(as_of))
    known = contracts(states, cut)
    said = contract_value.worth(
        fitted.parts,
        known,
        cut,
        days=int(fitted.extra["horizon_days"]),
        growing=fitted.extra["growth"],
        discount_rate=fitted.extra["discount_rate"],
        level=level,
    )
    running = np.isinf(known.end)
    lived = np.clip(np.minimum(known.end, cut) - known.start, 0.0, None) / MONTH_DAYS
    with np.errstate(divide="ignore"):
        none_stays = np.exp(_per_subject(known, np.log1p(-np.minimum(said["stays"], 1.0))))
    return pa.table(
        {
            "subject_id": known.subject_ids,
            "predicted_clv": _per_subject(known, said["value"]),
            "predicted_clv_low": _per_subject(known, said["low"]),
            "predicted_clv_high": _per_subject(known, said["high"]),
            "mrr": _per_subject(known, np.where(running, known.mrr, 0.0)),
            "probability_staying": 1 - none_stays,
            "running_subscriptions": _per_subject(known, running.astype(np.float64)),
            "historic_clv": _per_subject(known, known.mrr * lived),
        }
    )


def _per_subject(known: Contracts, values: Floats) -> Floats:
    return np.bincount(known.subject, values, minlength=len(known.subject_ids)).astype(np.float64)


def _horizon(states: pa.Table, cut: float, terms: Terms) -> tuple[int, str]:
    """Give the longest usual horizon before which enough contracts had begun and ended, or what is missing."""
    if not states.num_rows or not subscribers(states):
        return 0, "No subscription has an amount. Map the columns with the price and the billing interval."
    found = (0, 0)
    for days in (terms.horizon_days,) if terms.horizon_days else HORIZONS_DAYS:
        known = contracts(states, cut - days)
        paid = known.mrr > 0
        found = int(paid.sum()), int((paid & np.isfinite(known.end)).sum())
        if found[0] >= FEWEST and found[1] >= FEWEST_ENDED and np.any(paid & np.isinf(known.end)):
            return days, ""
    return 0, (
        f"{days} days ago {found[0]} subscriptions with an amount had begun and {found[1]} of them had ended; at least "
        f"{FEWEST} and {FEWEST_ENDED} are needed, and one that runs. Load those that have ended as well, a longer "
        "history, or ask for a shorter horizon_days."
    )


# --- how it is judged -------------------------------------------------------------------------------------------------


def _judged(states: pa.Table, cut: float, horizon: int, terms: Terms) -> Report:
    """Give the report: what was learnt before the last `horizon` days, on what came in them."""
    before, now = contracts(states, cut - horizon), contracts(states, cut)
    parts, grown = contract_value.retention(before, cut - horizon), contract_value.growth(before)
    said = contract_value.worth(parts, before, cut - horizon, days=horizon, growing=grown.used, level=terms.level)
    rows = np.isinf(before.end) & (before.mrr > 0)
    actual = _came(before, now, cut, horizon)[rows]
    ours = said["value"][rows]
    simple = {name: values[rows] for name, values in _baselines(before, cut - horizon, horizon).items()}
    return Report(
        recipe="value",
        status="ok",
        why=_against(actual, ours, simple),
        rows=len(actual),
        positives=int((now.end[pc.index_in(before.key, now.key).to_numpy()][rows] < np.inf).sum()),
        evaluation=f"out of time: learnt before {day(int(cut) - horizon)}, judged on the running subscriptions' "
        f"{horizon} days from there",
        metrics={**told(actual, ours), "interval_held": _held(actual, said, rows)},
        intervals={"total_error": bootstrap_interval(total_error, actual, ours, draws=100, seed=terms.seed)},
        baselines={name: told(actual, values) for name, values in simple.items()},
        details={
            "by": "subscriptions",
            "deciles": deciles(actual, ours),
            "parameters": _parameters(parts),
            "dates": {
                "from": day(int(now.start.min())).isoformat(),
                "to": day(int(cut) - 1).isoformat(),
                "judged_from": day(int(cut) - horizon).isoformat(),
            },
        },
    )


def _came(before: Contracts, now: Contracts, cut: float, horizon: int) -> Floats:
    """Give what each contract brought in the window: months it ran, at the mean of its amount before and after."""
    place = pc.index_in(before.key, now.key).to_numpy()
    ran = np.clip(np.minimum(now.end[place], cut) - (cut - horizon), 0.0, None) / MONTH_DAYS
    return np.asarray(ran * (before.mrr + now.mrr[place]) / 2)


def _held(actual: Floats, said: Mapping[str, Floats], rows: NDArray[np.bool_]) -> float:
    """Give the share inside; a day's revenue either way is rounding of months, not a miss."""
    slack = 0.01 * np.maximum(said["high"][rows], 1e-12)
    return float(np.mean((actual >= said["low"][rows] - slack) & (actual <= said["high"][rows] + slack)))


def _baselines(known: Contracts, cut: float, horizon: int) -> dict[str, Floats]:
    """Give what comes when everybody stays, and when everybody leaves at the average rate per month so far."""
    months = horizon / MONTH_DAYS
    lived = (np.minimum(known.end, cut) - known.start).sum() / MONTH_DAYS
    rate = max(float(np.isfinite(known.end).sum() / max(lived, 1e-9)), 1e-9)
    amount = np.where(np.isinf(known.end), known.mrr, 0.0)
    return {"everybody_stays": amount * months, "constant_churn": amount * -np.expm1(-rate * months) / rate}


def _against(actual: Floats, ours: Floats, simple: Mapping[str, Floats]) -> str:
    """Say which baselines have surely larger squared errors: those that a mean is meant to make small."""
    said = []
    for name, theirs in simple.items():
        gain = (actual - theirs) ** 2 - (actual - ours) ** 2
        error = 1.96 * float(gain.std()) / np.sqrt(max(len(gain), 1))
        verb = "beats" if gain.mean() > error else "does not surely beat"
        said.append(
            f"It {verb} {name.replace('_', ' ')}: rmse {rmse(actual, ours):.2f} against {rmse(actual, theirs):.2f}."
        )
    return " ".join(said)


def _parameters(parts: Mapping[str, Model]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, part in sorted(parts.items()):
        estimate = read_estimate(getattr(part, "files", {}), name)
        found.append({"curve": name, **estimate.parameters, "subscriptions": estimate.customers})
    return found


def _cautions(known: Contracts, grown: contract_value.Growth) -> list[str]:
    said = []
    if known.unknown_interval:
        said.append(f"{known.unknown_interval:,} subscriptions name no known billing interval and count as monthly.")
    if grown.low is None:
        said.append("No subscription has two states with an amount, so amounts are taken to stay as they are.")
    elif not grown.used:
        said.append("Amounts did not surely rise or fall while subscriptions ran, so they are taken to stay.")
    return said
