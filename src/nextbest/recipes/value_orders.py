"""Orders as the value recipe reads them: one currency, what was given back, and what has to be said about both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from datetime import datetime

COLUMNS = ("subject_id", "ts", "ts_offset_min", "revenue", "currency", "cancelled_ts", "refunded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """Orders of one currency ("" when none is named), and the cautions that go with them."""

    orders: pa.Table
    currency: str
    cautions: tuple[str, ...]


def read(ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
    """Give the orders in the ledger that were placed before a moment."""
    from nextbest.ledger import analysis

    found: pa.Table = analysis.table(ledger, "order", columns=COLUMNS, before=as_of)
    return found


def usable(orders: pa.Table, *, currency: str | None = None) -> Usable:
    """Give the orders of one currency: the one named, else the most frequent; orders that name none count as its own.

    Sums over currencies would be no amounts of anything, so the others are left out and counted.
    """
    orders, currency, cautions = one_currency(orders, "orders", currency)
    unknown = _refunds_without_a_moment(orders)
    if unknown:
        cautions.append(
            f"{unknown:,} orders say how much was refunded but not when, so it could not be known at the time: it is "
            "not taken off. Load refunds as rows of their own (negative totals) to have them taken off."
        )
    return Usable(orders=orders, currency=currency, cautions=tuple(cautions))


def one_currency(table: pa.Table, what: str, currency: str | None = None) -> tuple[pa.Table, str, list[str]]:
    """Give the rows of one currency, its name, and a caution when others were left out; `what` the rows are."""
    if "currency" not in table.column_names:
        return table, currency or "", []
    counts = sorted(_counts(table["currency"]).items(), key=lambda item: (-item[1], item[0]))
    chosen = currency or (counts[0][0] if counts else "")
    others = [f"{count:,} in {name}" for name, count in counts if name != chosen]
    if not others:
        return table, chosen, []
    caution = (
        f"Only {what} in {chosen} count, the most frequent currency; left out: {', '.join(others)}. Convert the others "
        "before loading, if they should count."
    )
    kept = table.filter(pc.fill_null(pc.equal(table["currency"], chosen), True))  # noqa: FBT003 (a value)
    return kept, chosen, [caution]


def without_revenue(orders: pa.Table) -> str:
    """Give why nothing can be learnt from orders without amounts, or ''."""
    if not orders.num_rows:
        return "There are no orders. Load a file of orders with customer, date and total first."
    if orders["revenue"].null_count == orders.num_rows:
        return "No order has a revenue, so value cannot be predicted. Map the column with the order totals."
    return ""


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column.drop_null()).to_pylist()}


def _refunds_without_a_moment(orders: pa.Table) -> int:
    if "refunded" not in orders.column_names:
        return 0
    refunded = pc.fill_null(pc.greater(orders["refunded"], 0.0), False)  # noqa: FBT003 (a value)
    if "cancelled_ts" in orders.column_names:
        refunded = pc.and_(refunded, pc.is_null(orders["cancelled_ts"]))
    return int(pc.sum(refunded).as_py() or 0)
