"""What customer value is learnt from: several earlier windows, each with what was known before it and bought in it.

One window is one season's luck, and the longest has the least history before it. Shorter ones that end at the same
cut have more: together they show both how a label follows from behaviour and how that changes with a longer history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError
from nextbest.models.gamma_gamma import GammaGamma
from nextbest.models.likelihood import read_estimate
from nextbest.models.order_history import behaviour, summary
from nextbest.models.pareto_nbd import ParetoNBD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases
    from nextbest.types import Model

    Floats = NDArray[np.float64]

SHARES = (1.0, 0.75, 0.5)  # of the longest window: overlapping, so that each still covers habits and not a week
SHORTEST_DAYS = 14
# Where a likelihood is flat there is no inner maximum. A pull of the parameters' logarithms towards the unit of the
# data, per customer and square, that weighs like one customer in a hundred, gives it one and hardly moves others.
PENALTY = 0.01
_FACTORS = (0.5, 2.0)  # windows that ask for more than this are no guide to the next
# Of what the totals of the windows ask for, on the log scale, half is carried on: part of it is drift that stays, part
# is luck and season. On cuts of two shops' real orders (CDNOW, and its tenth) and four simulated shops the total of the
# purchase models was off by 11% on average with nothing carried on, 14% with all, 9% with half; by one window instead
# of three, 10%.
CARRIED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of `days`: the customers known before it, what the purchase models and boosting see, what they did."""

    days: int
    table: pa.Table
    family: Mapping[str, Floats]
    features: pa.Table
    spent: Floats
    bought: Floats

    @property
    def subject(self) -> NDArray[np.int64]:
        """Places of the customers in the list of customers."""
        return np.asarray(self.table["subject"].to_numpy())

    def actual(self, what: str) -> Floats:
        """Give what they did: `value` (money) or `orders` (purchase days)."""
        return self.spent if what == "value" else self.bought


def inner_cut(bought: Purchases, cut: int, horizon_days: int) -> tuple[int, int]:
    """Give the first inner cut and the length of its window: the horizon, or half of the history if that is shorter."""
    history = cut - int(bought.day.min(initial=cut))
    label_days = min(horizon_days, history // 2)
    return cut - label_days, label_days


def windows(known: Purchases, cut: int, horizon_days: int) -> list[Window]:
    """Give the windows that end at day `cut`, the longest first; what boosting sees is alike in all of them."""
    _, longest = inner_cut(known, cut, horizon_days)
    lengths = dict.fromkeys(max(min(SHORTEST_DAYS, longest), int(longest * share)) for share in SHARES)
    return [_window(known, cut, days, longest) for days in lengths]


def _window(known: Purchases, cut: int, days: int, longest: int) -> Window:
    early = known.between(-(2**62), cut - days)
    after = known.between(cut - days, cut)
    table, family = family_of(purchase_models(early, cut - days, days), early, cut - days, days)
    subject = table["subject"].to_numpy()
    return Window(
        days=days,
        table=table,
        family=family,
        features=features_table(early, cut - days, longest, family, days),
        spent=after.spent()[subject],
        bought=after.sums()[subject],
    )


def features_table(
    known: Purchases, cut: int, window_days: int, family: Mapping[str, Floats], family_days: int
) -> pa.Table:
    """Give what boosting sees: behaviour up to the cut, and the purchase models' predictions per year."""
    return pa.table(
        {
            **behaviour(known, cut, window_days=window_days),
            "expected_orders_per_year": family["orders"] / family_days * 365,
            "expected_order_value": family["order_value"],
            "expected_revenue_per_year": family["value"] / family_days * 365,
            "probability_alive": family["alive"],
        }
    )


def families_factor(seen: Sequence[Window], what: str) -> float:
    """Give the factor that the totals of the windows ask of the purchase models, as far as it is carried on."""
    logs = [float(np.log(_factor(window.actual(what), window.family[what]))) for window in seen]
    return float(np.exp(CARRIED * np.mean(logs)))


def _factor(actual: Floats, predicted: Floats) -> float:
    total = float(predicted.sum())
    return float(np.clip(actual.sum() / total, *_FACTORS)) if total > 0 else 1.0


def purchase_models(known: Purchases, cut: int, horizon_days: int) -> dict[str, Model]:
    """Give the purchase models of what was bought before the cut; where one does not converge, fitted with a pull."""
    table = summary(known, cut)
    values = _value_table(table)
    return {
        "pareto_nbd": _settled(ParetoNBD(horizon=float(horizon_days)), "pareto_nbd", table),
        "gamma_gamma": _settled(GammaGamma(), "gamma_gamma", values),
    }


def settling(parts: Mapping[str, Model]) -> dict[str, list[str]]:
    """Give the names of the purchase models that needed the pull (`pulled`), and of those it did not help."""
    models: dict[str, Any] = {name: parts[name] for name in ("pareto_nbd", "gamma_gamma")}
    return {
        "pulled": [name for name, model in models.items() if model.penalty > 0],
        "unsettled": [name for name, model in models.items() if not read_estimate(model.files, name).converged],
    }


def _settled(model: Any, name: str, table: pa.Table) -> Model:  # noqa: ANN401 (one of two purchase models)
    fitted: Model = model.fit(table, table)
    if read_estimate(fitted.files, name).converged:
        return fitted
    pulled: Model = replace(model, penalty=PENALTY).fit(table, table)
    return pulled


def _value_table(table: pa.Table) -> pa.Table:
    """All purchases, the first among them: it tells as much about what a customer spends as any other."""
    return pa.table({"frequency": table["purchases"], "mean_value": table["mean_value"]})


def family_of(
    parts: Mapping[str, Model], known: Purchases, cut: int, horizon_days: int
) -> tuple[pa.Table, dict[str, Floats]]:
    """Give the summary and, from the purchase models, orders, alive, order value and value in the horizon."""
    table = summary(known, cut)
    pareto = parts["pareto_nbd"]
    if not isinstance(pareto, ParetoNBD):
        raise DataError(f"The part 'pareto_nbd' is a {type(pareto).__name__}, not a ParetoNBD. Fit the recipe again.")
    bought = replace(pareto, horizon=float(horizon_days), level=None).predict(table)
    order_value = parts["gamma_gamma"].predict(_value_table(table))["prediction"].to_numpy()
    orders = bought["prediction"].to_numpy()
    family = {
        "orders": orders,
        "alive": bought["probability_alive"].to_numpy(),
        "order_value": order_value,
        "value": orders * order_value,
    }
    return table, family
