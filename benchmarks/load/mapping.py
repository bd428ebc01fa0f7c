"""How the benchmark's orders become facts: the mapping a user would confirm."""

from __future__ import annotations

from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

ORDERS = FileMapping(
    system="generic",
    table="orders",
    confidence=1.0,
    emits=(
        Emit(
            kind="order",
            subject=(ColumnRule(to="subject_id", source="Customer ID", parse="id"),),
            columns=(
                ColumnRule(to="order_id", source="Order ID", parse="id", required=True),
                ColumnRule(to="ts", source="Created At", parse="timestamp", required=True),
                ColumnRule(to="revenue", source="Total", parse="number"),
                ColumnRule(to="subtotal", source="Subtotal", parse="number"),
                ColumnRule(to="shipping", source="Shipping", parse="number"),
                ColumnRule(to="tax", source="Tax", parse="number"),
                ColumnRule(to="discount", source="Discount", parse="number"),
                ColumnRule(to="currency", source="Currency"),
                ColumnRule(to="country", source="Country"),
                ColumnRule(to="channel", source="Channel"),
                ColumnRule(to="coupon", source="Coupon"),
                ColumnRule(to="quantity", source="Items", parse="number"),
            ),
        ),
    ),
)
