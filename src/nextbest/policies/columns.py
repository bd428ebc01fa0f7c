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
    from nextbest.policies.draw import Numbers
    from nextbest.types import Play

_ARROW = {"number": pa.float64(), "text": pa.string(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us", tz="UTC")}

CHURN = "churn_probability"
DEFAULT_RESPONSE = f"1 - {CHURN}"

# What recipes may add to the table under these public names; absent until the recipe is fitted.
PREDICTIONS = frozenset({
    "churn_probability", "churn_probability_low", "churn_probability_high",
    "predicted_clv", "predicted_clv_low", "predicted_clv_high",
    "predicted_number_of_orders", "predicted_number_of_orders_low", "predicted_number_of_orders_high",
    "probability_alive", "historic_clv", "average_order_value", "average_days_between_orders",
    "expected_next_order_date", "lead_score", "fit_score", "engagement_score", "conversion_probability",
    "sales_ready", "next_order_date", "days_to_next_order", "win_probability",
})  # fmt: skip


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


def expressions(play: Play) -> list[str]:
    """Give every expression of a play: audience, response, value, eligibility, the conditions of its rules."""
    rules = [rule[0] for rule in play.policy.get("when", ())]
    return [
        play.audience,
        play.response or DEFAULT_RESPONSE,
        play.value,
        *(a.eligibility for a in play.actions),
        *rules,
    ]


def asked_for(play: Play) -> set[str]:
    """Give the columns that the expressions of a play read."""
    from nextbest.features import expression

    return {name for text in expressions(play) for name in expression.parse(text).columns}


def with_missing_columns(table: pa.Table, play: Play) -> pa.Table:
    """Give the table with nulls for what the play asks for and is not there, or of another type: unknown, no error."""
    from nextbest.features import checking, expression

    for text in expressions(play):
        parsed = expression.parse(text)
        types, _ = checking.resolve(parsed.text, parsed.root, {}, None)
        for name in sorted(parsed.columns):
            kind = types.get(name)
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(table.num_rows, _ARROW[kind or "number"]))
            elif kind and checking.type_named(table.schema.field(name).type) != kind:
                at = table.column_names.index(name)
                table = table.set_column(at, name, pa.nulls(table.num_rows, _ARROW[kind]))
    return table


def _evaluate(text: str, table: pa.Table, where: str) -> Any:  # noqa: ANN401 (an Arrow array of any type)
    from nextbest.features import expression

    parsed = expression.parse(text)
    for name in sorted(parsed.columns - set(table.column_names)):
        if name not in PREDICTIONS:
            known = sorted({*table.column_names, *PREDICTIONS})
            raise ConfigError(f"{where} asks for '{name}', which nobody knows here.{nearest(name, known)}")
        table = table.append_column(name, pa.nulls(table.num_rows, pa.float64()))
    return expression.evaluate(parsed, table)
