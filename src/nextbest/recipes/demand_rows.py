"""What was sold, as rows of series, day, amount and drivers: from a flat table, or from the ledger's order lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, UsageError
from nextbest.models import encode_values
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DAY_US = 86_400_000_000
_YES, _NO = pa.array(["true", "yes", "y", "t"]), pa.array(["false", "no", "n", "f"])
PRICE, DISCOUNT = "price", "discount_share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """Rows of demand: series, category (or none), day from 1970-01-01, amount (NaN where it is to come), drivers."""

    series: Sequence[str]
    category: Sequence[str | None] | None
    days: NDArray[np.int64]
    amounts: Floats
    drivers: Mapping[str, Floats] = field(default_factory=dict)
    events: bool = False


def from_table(
    table: str | Path | pa.Table,
    *,
    series: str | None,
    time: str,
    value: str,
    category: str | None = None,
    drivers: Sequence[str] = (),
) -> Sold:
    """Give the rows of a flat table; rows without a date or series are left out, without an amount are to come."""
    rows = flat_table.read(table)
    if not rows.num_rows:
        return Sold(series=(), category=None, days=np.zeros(0, np.int64), amounts=np.zeros(0))
    days = encode_values.days(flat_table.column(rows, time, "time"))
    if days is None:
        raise DataError(f"The time column '{time}' does not hold dates. Write them as 2026-01-31.")
    ids = None if series is None else flat_table.column(rows, series, "series").cast(pa.string())
    there = np.isfinite(days)
    if ids is not None:
        there &= pc.is_valid(ids).to_numpy(zero_copy_only=False)
    named = None if category is None else flat_table.column(rows, category, "category").cast(pa.string())
    keep = pa.array(there)
    return Sold(
        series=("all",) * int(there.sum()) if ids is None else ids.filter(keep).to_pylist(),
        category=None if named is None else named.filter(keep).to_pylist(),
        days=np.floor(days[there]).astype(np.int64),
        amounts=_numbers(rows, value, "value")[there],
        drivers={name: _numbers(rows, name, "drivers")[there] for name in drivers},
    )


def from_ledger(ledger: Any, as_of: datetime) -> Sold:  # noqa: ANN401 (see types.Recipe)
    """Give the lines of orders before a moment: quantity above 0 per product, with price and share of discount."""
    from nextbest.ledger import analysis

    columns = ("product_id", "name", "category", "ts", "ts_offset_min", "quantity", "price", "revenue", "discount")
    lines = analysis.table(ledger, "order_line", columns=columns, before=as_of)
    product = pc.coalesce(lines["product_id"], lines["name"])
    quantity = pc.fill_null(lines["quantity"], 1.0)  # a line without a quantity is one piece
    lines = lines.append_column("product", product).append_column("amount", quantity)
    lines = lines.filter(pc.and_(pc.is_valid(lines["product"]), pc.greater(lines["amount"], 0.0)))
    amounts = lines["amount"].to_numpy()
    revenue, discount = _column(lines, "revenue"), np.abs(np.nan_to_num(_column(lines, "discount")))
    price = np.where(np.isfinite(_column(lines, "price")), _column(lines, "price"), revenue / amounts)
    full = np.nan_to_num(revenue) + discount
    minutes = pc.fill_null(lines["ts_offset_min"], 0).to_numpy()
    moments = lines["ts"].cast(pa.int64()).to_numpy() + minutes * 60_000_000
    return Sold(
        series=lines["product"].to_pylist(),
        category=_categories(ledger, lines, as_of),
        days=(moments // _DAY_US).astype(np.int64),
        amounts=amounts,
        drivers={PRICE: price, DISCOUNT: np.where(full > 0, discount / np.where(full > 0, full, 1.0), 0.0)},
        events=True,
    )


def _categories(ledger: Any, lines: pa.Table, as_of: datetime) -> list[str | None] | None:  # noqa: ANN401
    """Give the category of each line: its own, else its product's; None when nobody knows any."""
    from nextbest.ledger import analysis

    items = analysis.table(ledger, "items", columns=("item_id", "category"), before=as_of)
    known = dict(zip(items["item_id"].to_pylist(), items["category"].to_pylist(), strict=True))
    own = lines["category"].to_pylist()
    found = [c or known.get(p) for c, p in zip(own, lines["product"].to_pylist(), strict=True)]
    return found if any(found) else None


def _numbers(rows: pa.Table, name: str, setting: str) -> Floats:
    """Give a column as numbers, yes and no as 1 and 0; raises `UsageError` for other text."""
    values = flat_table.column(rows, name, setting)
    found = encode_values.numbers(values)
    if found is not None:
        return found
    if encode_values.is_text(values.type):
        low = pc.utf8_lower(values)
        yes, no = pc.is_in(low, _YES), pc.is_in(low, _NO)
        if pc.all(pc.or_(pc.or_(yes, no), pc.is_null(values))).as_py():
            flags = pc.if_else(pc.is_null(values), None, pc.cast(yes, pa.float64()))
            return np.asarray(flags.to_numpy(zero_copy_only=False), np.float64)
    raise UsageError(f"The column '{name}', which {setting} names, holds neither numbers nor yes and no.")


def _column(lines: pa.Table, name: str) -> Floats:
    return np.asarray(lines[name].to_numpy(), np.float64)
