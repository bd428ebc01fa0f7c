"""What a piece in stock costs, what a missing one costs, and what is there: from the settings or the ledger's items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ConfigError
from nextbest.models import encode_values
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.recipes.restock import Restock

    Floats = NDArray[np.float64]

_YEAR_DAYS = 365.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Money per piece and item: `over` for one left at the next review, `under` for one that was missing."""

    over: Floats
    under: Floats
    cautions: tuple[str, ...] = ()

    @property
    def chance(self) -> Floats:
        """The chance with which stock has to last: where one more piece costs as much as it saves."""
        return np.asarray(self.under / (self.under + self.over))

    def said(self) -> dict[str, float]:
        """Give the typical costs and chance for the report."""
        return {
            "left_over_per_piece": float(np.median(self.over)),
            "missing_per_piece": float(np.median(self.under)),
            "covered": float(np.median(self.chance)),
        }


def costs_of(recipe: Restock, ledger: Any, series: Sequence[str], as_of: datetime) -> Costs | None:  # noqa: ANN401
    """Give the costs of each item, None when nobody knows them; an item without its own has the typical ones."""
    if min(recipe.lead_time_days, recipe.review_days - 1) < 0 or recipe.holding_rate <= 0:
        raise ConfigError(
            "A restock needs lead_time_days >= 0, review_days >= 1 and holding_rate > 0; got "
            f"{recipe.lead_time_days}, {recipe.review_days} and {recipe.holding_rate}."
        )
    items = {} if recipe.table is not None else _items(ledger, as_of)
    cost = _each(recipe.unit_cost, [items.get(s, {}).get("unit_cost") for s in series])
    price = _each(None, [items.get(s, {}).get("price") for s in series])
    margin = _each(recipe.margin, list(price - cost))
    assumed = int((~np.isfinite(cost) | ~np.isfinite(margin) | (margin <= 0) | (cost <= 0)).sum())
    cost, margin = _typical(cost), _typical(margin)
    if not (np.isfinite(cost).all() and np.isfinite(margin).all()):
        return None
    said = (f"{assumed} of {len(series)} items have no cost or margin of their own: the typical one is taken.",)
    per_review = recipe.holding_rate * recipe.review_days / _YEAR_DAYS
    return Costs(over=cost * per_review, under=margin, cautions=said if assumed else ())


def stock_of(recipe: Restock, ledger: Any, series: Sequence[str], as_of: datetime) -> Floats:  # noqa: ANN401
    """Give what is there of each item, NaN where nobody knows."""
    if recipe.table is None:
        items = _items(ledger, as_of)
        return _each(None, [items.get(s, {}).get("stock") for s in series])
    if recipe.stock is None or recipe.series is None:
        return np.full(len(series), np.nan)
    rows = flat_table.read(recipe.table)
    days = encode_values.days(flat_table.column(rows, recipe.time, "time"))
    there = encode_values.numbers(flat_table.column(rows, recipe.stock, "stock"))
    ids = flat_table.column(rows, recipe.series, "series").cast("string").to_pylist()
    if days is None or there is None:
        raise ConfigError(f"The column '{recipe.stock}', which stock names, holds no numbers.")
    latest: dict[str, float] = {}
    limit = as_of.timestamp() / 86_400
    for place in np.argsort(days, kind="stable"):
        if days[place] < limit and np.isfinite(there[place]):
            latest[ids[place]] = float(there[place])
    return np.array([latest.get(s, np.nan) for s in series])


def _items(ledger: Any, as_of: datetime) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    from nextbest.ledger import analysis

    rows = analysis.table(ledger, "items", columns=("item_id", "price", "unit_cost", "stock"), before=as_of)
    return {row["item_id"]: row for row in rows.to_pylist()}


def _each(given: float | None, own: Sequence[float | None]) -> Floats:
    if given is not None:
        return np.full(len(own), float(given))
    return np.array([np.nan if x is None else float(x) for x in own])


def _typical(values: Floats) -> Floats:
    """Give the values with the median in place of those that are missing or not above 0."""
    good = np.isfinite(values) & (values > 0)
    return np.where(good, values, np.median(values[good]) if good.any() else np.nan)
