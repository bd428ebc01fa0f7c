"""The kinds of facts the ledger keeps: columns, types, units, what is personal, what is known only afterwards.

One `Column` is one column of one kind. Event kinds share `COMMON`; tables of nouns (subjects, items, links,
identities, consent, outcomes) have their own. Times are UTC microseconds; `ts_offset_min` keeps the local offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from nextbest.errors import unknown

ColumnType = Literal["text", "number", "integer", "boolean", "timestamp"]

ARROW: dict[ColumnType, pa.DataType] = {
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: `personal` is erased and never a feature; `afterwards` is known only after an outcome."""

    name: str
    type: ColumnType = "text"
    unit: str = ""
    required: bool = False
    personal: bool = False
    afterwards: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fact: what one row means, its columns, and the columns that identify a row."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    event: bool = True

    def column(self, name: str) -> Column:
        """Give the column of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise unknown(f"column of kind '{self.name}'", name, [c.name for c in self.columns])

    def schema(self) -> pa.Schema:
        """Give the Arrow schema of a stored row."""
        return pa.schema([pa.field(c.name, ARROW[c.type]) for c in self.columns])


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=n) for n in names)


def _personal(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=n, personal=True) for n in names)


def _number(*names: str, unit: str = "") -> tuple[Column, ...]:
    return tuple(Column(name=n, type="number", unit=unit) for n in names)


COMMON: tuple[Column, ...] = (
    Column(name="event_id", required=True),
    Column(name="subject_id", required=True),
    Column(name="subject_type"),
    Column(name="ts", type="timestamp", required=True),
    Column(name="ts_offset_min", type="integer", unit="minutes"),
    Column(name="received_ts", type="timestamp", required=True),
    Column(name="source"),
)


def _event(name: str, meaning: str, *columns: Column, key: tuple[str, ...] = ()) -> Kind:
    return Kind(name=name, meaning=meaning, columns=COMMON + columns, key=key)


def _table(name: str, meaning: str, *columns: Column, key: tuple[str, ...] = ()) -> Kind:
    return Kind(name=name, meaning=meaning, columns=columns, key=key, event=False)


_PAGE = (*_text("url", "referrer", "session_id", "device", "country", "campaign", "medium", "origin"),)
_PRODUCT = (*_text("product_id", "session_id", "category"), *_number("price", unit="currency"), Column(name="quantity", type="number"))
_MESSAGE = _text("message_ref", "campaign", "channel", "subject_line", "variant")

_KINDS = (
    _event(
        "order", "One order of one subject, with its totals.",
        *_text("order_id", "currency", "channel", "coupon", "payment_status", "fulfilment_status", "store", "country", "tags"),
        *_number("revenue", "subtotal", "shipping", "tax", "discount", unit="currency"),
        *_number("quantity"),
        Column(name="refunded", type="number", unit="currency", afterwards=True),
        Column(name="cancelled_ts", type="timestamp", afterwards=True),
        key=("order_id",),
    ),
    _event(
        "order_line", "One product within an order.",
        *_text("order_id", "product_id", "name", "category", "coupon", "currency"),
        *_number("quantity"), *_number("price", "revenue", "discount", unit="currency"),
    ),
    _event("page_view", "One page or screen seen.", *_PAGE),
    _event("product_view", "One product looked at.", *_PRODUCT),
    _event("cart_add", "One product put in a cart.", *_PRODUCT),
    _event("checkout_start", "One checkout begun.", *_text("order_id", "session_id", "currency"), *_number("revenue", unit="currency")),
    _event("search", "One search.", *_text("query", "session_id"), *_number("results")),
    _event("message", "One message sent to a subject.", *_MESSAGE),
    _event("message_open", "One message opened.", *_MESSAGE, Column(name="machine", type="boolean")),
    _event("message_click", "One link in a message followed.", *_MESSAGE, *_text("url")),
    _event("message_bounce", "One message that did not arrive.", *_MESSAGE, *_text("reason")),
    _event("unsubscribe", "One opt-out.", *_MESSAGE, *_text("reason")),
    _event("touch", "One contact with marketing, paid or not.", *_text("channel", "campaign", "medium", "origin", "content", "term"), *_number("cost", unit="currency")),
    _event("spend", "Money spent on a channel on a day; the subject is the campaign.", *_text("channel", "campaign", "currency"), *_number("cost", unit="currency"), *_number("impressions", "clicks")),
    _event("ticket", "One support case.", *_text("ticket_id", "status", "priority", "category", "topic"), Column(name="closed_ts", type="timestamp", afterwards=True), key=("ticket_id",)),
    _event("review", "One review or rating.", *_text("product_id", "review_id"), *_personal("text"), *_number("rating")),
    _event("chat_turn", "One turn of a conversation.", *_text("conversation_id", "speaker"), *_personal("text"), *_number("turn")),
    _event("call", "One telephone call.", *_text("call_id", "direction", "disposition", "owner_id"), *_number("duration_s", unit="seconds"), *_personal("text")),
    _event("activity", "One sales activity: task, meeting, note, mail.", *_text("activity_type", "owner_id", "status", "deal_id", "outcome"), *_personal("text"), *_number("duration_s", unit="seconds")),
    _event(
        "deal_stage", "One deal entering a stage, or its state at an export.",
        *_text("deal_id", "stage", "pipeline", "owner_id", "account_id", "currency", "lead_source", "deal_type", "product"), *_personal("name"),
        *_number("amount", unit="currency"),
        Column(name="expected_close_ts", type="timestamp", afterwards=True), Column(name="closed_ts", type="timestamp", afterwards=True),
        Column(name="won", type="boolean", afterwards=True), Column(name="closed", type="boolean", afterwards=True),
    ),
    _event(
        "subscription", "The state of one subscription at a moment.",
        *_text("subscription_id", "status", "plan", "currency", "interval"), *_number("amount", unit="currency per interval"), *_number("quantity"),
        Column(name="started_ts", type="timestamp"), Column(name="ended_ts", type="timestamp", afterwards=True),
        Column(name="cancelled_ts", type="timestamp", afterwards=True), Column(name="cancel_at_period_end", type="boolean", afterwards=True),
    ),
    _event("payment", "One payment or attempt.", *_text("payment_id", "order_id", "currency", "status", "failure_code"), *_number("amount", "fee", unit="currency"), Column(name="refunded", type="number", unit="currency", afterwards=True), Column(name="disputed", type="number", unit="currency", afterwards=True), key=("payment_id",)),
    _event("coupon_redeem", "One coupon used.", *_text("coupon", "campaign", "order_id", "product_id"), *_number("discount", unit="currency")),
    _event("reading", "One reading of a device.", *_text("sensor", "unit"), *_number("value")),
    _event("label", "One judgement: by a person, a rule, or an outcome of record.", *_text("name", "worker_id", "text_value"), *_number("value")),
    _event("custom", "Any other named event.", *_text("name", "properties"), *_number("value")),
    _table(
        "subjects", "One state of one subject's attributes from `valid_from` on.",
        Column(name="subject_id", required=True), Column(name="subject_type"), Column(name="valid_from", type="timestamp"),
        Column(name="created_ts", type="timestamp"),
        *_personal("email", "phone", "first_name", "last_name", "name", "address", "zip", "birthday"),
        *_text("company", "job_title", "industry", "city", "state", "country", "timezone", "language", "lifecycle_stage", "lead_status", "owner_id", "lead_source", "tags", "account_id", "segment"),
        *_number("employees", "annual_revenue", "historic_value", "order_count", "external_score"),
        Column(name="attributes"), Column(name="received_ts", type="timestamp"), Column(name="source"),
        key=("subject_id",),
    ),
    _table("items", "One product, coupon or piece of content.", Column(name="item_id", required=True), *_text("item_type", "name", "brand", "category", "subcategory", "sku", "status", "url", "currency"), *_number("price", "list_price", "unit_cost", unit="currency"), *_number("stock"), Column(name="attributes"), Column(name="valid_from", type="timestamp"), Column(name="source"), key=("item_id",)),
    _table("links", "One tie between two subjects: contact to account, contact to deal.", Column(name="subject_id", required=True), Column(name="to_subject_id", required=True), *_text("link_type"), Column(name="ts", type="timestamp"), Column(name="source"), key=("subject_id", "to_subject_id", "link_type")),
    _table("identities", "One identifier that belongs to a subject.", Column(name="subject_id", required=True), Column(name="identity_type", required=True), Column(name="identity", required=True, personal=True), Column(name="ts", type="timestamp"), Column(name="source"), key=("identity_type", "identity", "subject_id")),
    _table("consent", "One yes or no of a subject, per purpose and channel, with its proof.", Column(name="subject_id", required=True), *_text("purpose", "channel"), Column(name="allowed", type="boolean", required=True), Column(name="ts", type="timestamp", required=True), *_text("proof", "source")),
    _table("outcomes", "One thing that came of a decision, or that a subject did.", Column(name="outcome_id", required=True), Column(name="decision_id"), Column(name="subject_id", required=True), Column(name="ts", type="timestamp", required=True), Column(name="name", required=True), Column(name="value", type="number"), Column(name="source"), key=("outcome_id",)),
)

KINDS: dict[str, Kind] = {k.name: k for k in _KINDS}
EVENTS: tuple[str, ...] = tuple(k.name for k in _KINDS if k.event)


def kind(name: str) -> Kind:
    """Give the kind of that name; raises `UnknownNameError` with the nearest known one."""
    if name not in KINDS:
        raise unknown("kind", name, KINDS)
    return KINDS[name]
