"""How the value recipe is judged: on the last window, by a model learnt before it, beside everything simpler."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import clv
from nextbest.models.curves import capture
from nextbest.models.evaluate import bootstrap_interval, mae, normalised_gini, total_error
from nextbest.recipes.value_baselines import baselines, told
from nextbest.types import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases

    Floats = NDArray[np.float64]

RIVALS = ("recency_frequency", "pareto_nbd_gamma_gamma", "boosting")  # of whom it is said whether they are beaten
_ORDER_METRICS = ("mae", "correlation", "total_error")
_DRAWS = 60
_MOST_ROWS = 20_000  # customers per draw; intervals are narrowed to the size of all
_LEVEL = 0.95


def judge(
    bought: Purchases, cut: int, horizon: int, *, level: float, seed: int, cautions: Sequence[str] = ()
) -> Report:
    """Give the report of what is learnt before the judged window, the last `horizon` days, and seen in it."""
    judged = cut - horizon
    learnt = clv.learn(bought, judged, horizon_days=horizon, level=level, seed=seed)
    seen = clv.foresee(learnt, bought, judged, horizon_days=horizon)
    window = bought.between(judged, cut)
    subject = seen["table"]["subject"].to_numpy()
    spent, days = window.spent()[subject], window.sums()[subject]
    simple = baselines(bought, judged, horizon, seen)
    leads = {name: lead(spent, seen["value"], simple[name], seed=seed) for name in RIVALS if name in simple}
    ends = {
        name: bootstrap_interval(metric, spent, seen["value"], draws=50, seed=seed)
        for name, metric in (("normalised_gini", normalised_gini), ("total_error", total_error))
    }
    return Report(
        recipe="value",
        status="ok",
        why=_against(leads),
        rows=len(subject),
        positives=int((spent > 0).sum()),
        evaluation=f"out of time: learnt before {day(judged)}, judged on the {horizon} days from there",
        metrics=_metrics(seen, spent, days),
        intervals={**ends, **{f"normalised_gini minus {name}": (low, high) for name, (_, low, high) in leads.items()}},
        baselines={name: told(spent, values) for name, values in simple.items()},
        details={
            "by": "orders",
            "deciles": deciles(spent, seen["value"]),
            "capture": capture(spent, seen["value"], {name: simple[name] for name in RIVALS[:1]}),
            "intervals": _held(level, seen, spent, days),
            "weights": {what: round(learnt.facts[f"{what}_weight"], 3) for what in ("value", "orders")},
            "cautions": [*cautions, *unsettled(learnt.facts)],
            "dates": {
                "from": day(int(bought.day.min())).isoformat(),
                "to": day(cut - 1).isoformat(),
                "judged_from": day(judged).isoformat(),
            },
        },
    )


def lead(actual: Floats, ours: Floats, theirs: Floats, *, seed: int) -> tuple[float, float, float]:
    """Give normalised Gini of *ours* minus *theirs* with its interval, by customers drawn with replacement.

    The ends follow from the spread of the draws: the ends of so few draws would themselves be chance. Of many customers
    each draw takes fewer than there are; the spread shrinks with the square root of their number,
    so it is narrowed accordingly (the m out of n bootstrap of a mean).
    """
    rows, chance = len(actual), np.random.default_rng(seed)
    taken = min(rows, _MOST_ROWS)
    found = []
    for _ in range(_DRAWS):
        drawn = chance.integers(0, rows, taken)
        found.append(normalised_gini(actual[drawn], ours[drawn]) - normalised_gini(actual[drawn], theirs[drawn]))
    middle = normalised_gini(actual, ours) - normalised_gini(actual, theirs)
    away = NormalDist().inv_cdf((1 + _LEVEL) / 2) * float(np.nanstd(found, ddof=1)) * np.sqrt(taken / rows)
    return float(middle), float(middle - away), float(middle + away)


def deciles(actual: Floats, predicted: Floats) -> list[dict[str, float]]:
    """Give ten rows, the highest predictions first: `decile`, `customers`, mean `predicted` and mean `actual`."""
    parts = np.array_split(np.argsort(-predicted, kind="stable"), 10)
    return [
        {
            "decile": number + 1,
            "customers": len(rows),
            "predicted": round(float(predicted[rows].mean()), 2),
            "actual": round(float(actual[rows].mean()), 2),
        }
        for number, rows in enumerate(parts)
        if len(rows)
    ]


def unsettled(facts: Mapping[str, Any]) -> list[str]:
    """Give what has to be said when the search for the parameters of a purchase model did not end."""
    said = []
    pulled = [name for name in facts["pulled"] if name not in facts["unsettled"]]
    if pulled:
        said.append(
            f"The likelihood of {' and '.join(pulled)} has no clear maximum on these orders, so its parameters were "
            "held near plain ones. Predictions are good; the parameters by themselves say little."
        )
    if facts["unsettled"]:
        rest = "boosting alone speaks for money and orders" if facts["value_weight"] == 1 else "treat it with care"
        said.append(f"The search for the parameters of {' and '.join(facts['unsettled'])} did not end; {rest}.")
    return said


def day(number: int) -> date:
    """Give the date of a day counted from 1970-01-01."""
    return datetime.fromtimestamp(0, tz=UTC).date() + timedelta(days=number)


def _metrics(seen: Mapping[str, Any], spent: Floats, days: Floats) -> dict[str, float]:
    orders = told(days, seen["orders"])
    return {
        **told(spent, seen["value"]),
        "interval_held": _share(spent, seen, "value"),
        **{f"orders_{name}": orders[name] for name in _ORDER_METRICS if name in orders},
        "median_orders_mae": mae(days, seen["median_orders"]),
    }


def _held(level: float, seen: Mapping[str, Any], spent: Floats, days: Floats) -> dict[str, float]:
    return {"level": level, "money_held": _share(spent, seen, "value"), "orders_held": _share(days, seen, "orders")}


def _share(actual: Floats, seen: Mapping[str, Any], what: str) -> float:
    return float(np.mean((actual >= seen[f"{what}_low"]) & (actual <= seen[f"{what}_high"])))


def _against(leads: Mapping[str, tuple[float, float, float]]) -> str:
    """Say which of the simpler ways are surely beaten in ranking customers by money, and which are not."""
    beaten = [name for name, (_, low, _) in leads.items() if low > 0]
    worse = [name for name, (_, _, high) in leads.items() if high < 0]
    rest = [name for name in leads if name not in beaten and name not in worse]
    said = []
    if beaten:
        said.append(f"It ranks customers surely better than {_named(beaten, leads)}.")
    if rest:
        said.append(f"It does not surely beat {_named(rest, leads)}.")
    if worse:
        said.append(f"It ranks them worse than {_named(worse, leads)}.")
    return " ".join([*said, "Differences of the normalised Gini with 95% intervals."]) if said else ""


def _named(names: Sequence[str], leads: Mapping[str, tuple[float, float, float]]) -> str:
    return ", ".join(f"{n} ({leads[n][0]:+.3f}, {leads[n][1]:+.3f} to {leads[n][2]:+.3f})" for n in names)
