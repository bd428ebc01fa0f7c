"""What anyone would predict without a model, and what each family of models predicts alone, beside the value recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import bg_nbd
from nextbest.models.clv_windows import inner_cut
from nextbest.models.evaluate import amount_metrics
from nextbest.models.grouping import histories
from nextbest.models.order_history import summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases

    Floats = NDArray[np.float64]


def baselines(bought: Purchases, cut: int, horizon: int, seen: Mapping[str, Any]) -> dict[str, Floats]:
    """Give what every baseline predicts for the judged window, all from purchases before day `cut`."""
    known = bought.between(-(2**62), cut)
    predicted = {
        "mean_spend": mean_spend(known, cut, horizon),
        "last_period": last_period(known, cut, horizon),
        "recency_frequency": recency_frequency(known, cut, horizon),
        "bg_nbd_gamma_gamma": _bg_nbd(known, cut, horizon) * seen["order_value"],
        "pareto_nbd_gamma_gamma": seen["value_steady"],
    }
    if seen["value_boosted"] is not None:
        predicted["boosting"] = seen["value_boosted"]
    return predicted


def told(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Give the metrics of amounts that can be told: a constant prediction has no correlation, and JSON has no NaN."""
    constant = len(predicted) == 0 or float(np.ptp(predicted)) == 0
    found = amount_metrics(actual, predicted)
    return {n: v for n, v in found.items() if np.isfinite(v) and not (constant and n == "correlation")}


def mean_spend(known: Purchases, cut: int, horizon: int) -> Floats:
    """Give everyone the same: what a customer spent on average in the window before, per day, times the horizon."""
    inner, days = inner_cut(known, cut, horizon)
    table = summary(known, inner)
    window = known.between(inner, cut)
    mean = window.spent()[table["subject"].to_numpy()].mean() if table.num_rows else 0.0
    return np.full(summary(known, cut).num_rows, float(mean) * horizon / days)


def last_period(known: Purchases, cut: int, horizon: int) -> Floats:
    """Give everyone what they spent in the last `horizon` days, or in as many as there are, scaled."""
    days = min(horizon, cut - int(known.day.min(initial=cut)))
    window = known.between(cut - days, cut)
    return np.asarray(window.spent()[summary(known, cut)["subject"].to_numpy()] * horizon / max(days, 1))


def recency_frequency(known: Purchases, cut: int, horizon: int) -> Floats:
    """Give those who bought within twice their usual gap their spend per day so far, times the horizon; others nothing.

    Who bought once is measured by the usual gap of those who bought again.
    """
    table = summary(known, cut)
    repeats, recency, age = (table[name].to_numpy() for name in ("frequency", "recency", "T"))
    gap = recency / np.maximum(repeats, 1)
    usual = float(np.median(gap[repeats > 0])) if np.any(repeats > 0) else float(horizon)
    active = age - recency <= 2 * np.where(repeats > 0, gap, usual)
    return np.where(active, table["revenue"].to_numpy() / age * horizon, 0.0)


def _bg_nbd(known: Purchases, cut: int, horizon: int) -> Floats:
    rows = histories(summary(known, cut))
    parameters = bg_nbd.fit_histories(rows).parameters
    return bg_nbd.expected_purchases(parameters, rows, float(horizon))[rows.inverse]
