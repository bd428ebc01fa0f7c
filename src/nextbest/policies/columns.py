"""Expressions over the table of subjects: who is meant, who may get what, what a response is worth.

A column that no fitted recipe has filled yet is missing for everyone (the model fails soft); a column that nobody
knows is a typing error, and is refused with the nearest known one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import ConfigError, nearest
from nextbest.policies.matrix import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.types import Play

_ARROW = {"number": pa.float64(), "text": pa.string(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us", tz="UTC")}

CHURN = "churn_probability"
DEFAULT_RESPONSE = f"1 - {CHURN}"
DEFAULT_VALUE = "average_order_value"
DEAL = "deal"
WINNING, WORTH = "win_probability", "amount"
_OF_ORDERS = ("order", "revenue", "payment", "subscription")  # goals in money: to count them as 1 would be a wrong sum

# What recipes may add to the table under these public names; absent until the recipe is fitted.
_RANGED = {  # with `_low` and `_high` beside them
    "churn": ("churn_probability", "remaining_median", "expected_churn_date"),
    "value": ("predicted_clv", "predicted_number_of_orders", "expected_next_order_date"),
    "lead_score": ("lead_score", "conversion_probability"),
    "next_order_date": ("next_order_date",),
    "propensity": ("propensity_probability",),
    "deal_win": ("win_probability",),
    "audience": ("lookalike_score",),
}
_SINGLE = {
    "churn": ("voluntary_churn_probability", "involuntary_churn_probability"),
    "value": ("median_number_of_orders", "probability_alive", "historic_clv", "average_order_value",
              "average_days_between_orders", "mrr", "probability_staying", "running_subscriptions"),
    "lead_score": ("fit_score", "engagement_score"),
    "sales_ready": ("sales_ready", "reason"),
    "next_order_date": ("days_to_next_order",),
    "segments": ("segment", "segment_confidence"),
    "audience": ("lookalike",),
    "pipeline": ("stage", "days_in_stage", "stalled", "stalled_after_days", "unusually_unlikely", "next_stage",
                 "next_stage_date", "amount"),
}  # fmt: skip
_BOUNDS = ("", "_low", "_high")
_TYPES = {
    "text": ("reason", "segment", "stage", "next_stage"),
    "boolean": ("sales_ready", "lookalike", "stalled", "unusually_unlikely"),
}


def _said() -> dict[str, str]:
    """Give the recipe behind each column that the built-in recipes add."""
    single = {name: recipe for recipe, names in _SINGLE.items() for name in names}
    return {f"{n}{end}": recipe for recipe, names in _RANGED.items() for n in names for end in _BOUNDS} | single


RECIPE_OF = _said()
PREDICTIONS = frozenset(RECIPE_OF)


def recipe_of(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Give the recipe to fit for each column: the built-in ones, and those *declared* in the configuration.

    A propensity speaks under its own name: `[recipes.buys_shoes]` gives `buys_shoes_probability`.
    """
    own = [name for name, settings in declared.items() if settings.get("recipe") == "propensity"]
    return RECIPE_OF | {f"{name}_probability{end}": name for name in own for end in _BOUNDS}


def with_unfitted(table: pa.Table, play: Play, known: Mapping[str, str]) -> pa.Table:
    """Give the table with nulls for the predictions that the play asks for and no fitted recipe says: unknown.

    Raises `ConfigError` for a name that is no column and no prediction, of a recipe that is built in or declared.
    """
    names = {*table.column_names, *known}
    for name in sorted(asked_for(play) - names):
        message = f"Play '{play.name}' asks for '{name}', which nobody knows here.{nearest(name, sorted(names))}"
        raise ConfigError(message)
    for name in sorted(asked_for(play) & known.keys() - set(table.column_names)):
        table = table.append_column(name, pa.nulls(table.num_rows, _type_of(name)))
    return table


def _type_of(name: str) -> pa.DataType:
    kind = next((kind for kind, names in _TYPES.items() if name in names), "number")
    return _ARROW["timestamp" if "_date" in name else kind]


def condition(text: str, table: pa.Table, where: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Give where a condition holds, one flag per row; the empty condition always holds, a missing value never does."""
    if not text.strip():
        return np.ones(table.num_rows, dtype=bool)
    held = pc.fill_null(pc.cast(_evaluate(text, table, where), pa.bool_()), fill_value=False)
    whole = held.combine_chunks() if isinstance(held, pa.ChunkedArray) else held
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=bool)


def amount(text: str, table: pa.Table, where: str) -> Numbers:
    """Give the value of an expression per row; what cannot be known is NaN, and so is anything infinite."""
    value = numbers(_evaluate(text, table, where))
    return np.where(np.isfinite(value), value, np.nan)


def response_of(play: Play) -> str:
    """Give the expression of the chance to respond: as written, else the one that suits what the play is about."""
    return play.response or (WINNING if play.subject_type == DEAL else DEFAULT_RESPONSE)


def value_of(play: Play) -> str:
    """Give the expression of what a response is worth: as written, else what suits the goal.

    A deal is worth its amount. A click, a visit or a sign-up of somebody without orders is worth 1, so that responses
    are counted; an order of unknown size stays unknown.
    """
    if play.value != DEFAULT_VALUE:
        return play.value
    if play.subject_type == DEAL:
        return WORTH
    return DEFAULT_VALUE if play.goal.startswith(_OF_ORDERS) else f"coalesce({DEFAULT_VALUE}, 1)"


def expressions(play: Play) -> list[str]:
    """Give every expression of a play: audience, response, value, eligibility, the conditions of its rules."""
    rules = [rule[0] for rule in play.policy.get("when", ())]
    return [
        play.audience,
        response_of(play),
        value_of(play),
        *(a.eligibility for a in play.actions),
        *(a.weight for a in play.actions if a.weight.strip()),
        *rules,
    ]


def asked_for(play: Play) -> set[str]:
    """Give the columns that the expressions of a play read."""
    from nextbest.features import expression

    return {name for text in expressions(play) for name in expression.parse(text).columns}


def _evaluate(text: str, table: pa.Table, where: str) -> Any:  # noqa: ANN401 (an Arrow array of any type)
    from nextbest.features import expression

    parsed = expression.parse(text)
    for name in sorted(parsed.columns - set(table.column_names)):
        if name not in PREDICTIONS:
            known = sorted({*table.column_names, *PREDICTIONS})
            raise ConfigError(f"{where} asks for '{name}', which nobody knows here.{nearest(name, known)}")
        table = table.append_column(name, pa.nulls(table.num_rows, pa.float64()))
    return expression.evaluate(parsed, table)
