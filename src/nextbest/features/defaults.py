"""The features that suit whatever kinds of events are there; their names explain themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import unknown
from nextbest.features.language import Aggregate, Feature

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

YEAR = 365
_GROSS = "revenue + coalesce(discount, 0)"


def default_features(kinds_present: Container[str]) -> tuple[Feature, ...]:
    """Give the default features of the kinds that are present; none when no kind has any."""
    parts = (_orders, _visits, _messages, _service, _contacts)
    found = [feature for part in parts for feature in part(kinds_present)]
    return tuple(dict.fromkeys(found))


def named(names: Iterable[str], kinds_present: Container[str]) -> tuple[Feature, ...]:
    """Give the default features of these names, in their order; raises `UnknownNameError` for one that is not there."""
    known = {f.name: f for f in default_features(kinds_present)}
    listed = list(names)
    for name in listed:
        if name not in known:
            raise unknown("feature", name, known)
    return tuple(known[name] for name in listed)


def _windows(stem: str, kind: str, aggregate: Aggregate, days: Iterable[int], **more: str) -> list[Feature]:
    return [
        Feature(name=f"{stem}_{d}d", kind=kind, aggregate=aggregate, window_days=d, column=more.get("column", ""),
                where=more.get("where", ""))
        for d in days
    ]  # fmt: skip


def _ratio(name: str, over: Feature, under: Feature) -> Feature:
    return Feature(name=name, aggregate="ratio", of=(over, under))


# --- orders -----------------------------------------------------------------------------------------------------------


def _orders(kinds: Container[str]) -> list[Feature]:
    if "order" in kinds:
        return [*_of_orders(), *(_of_lines() if "order_line" in kinds else []), *_coupons(kinds)]
    return [*_orders_from_lines(), *_of_lines(), *_coupons(kinds)] if "order_line" in kinds else _coupons(kinds)


def _of_orders() -> list[Feature]:
    counts = _windows("orders", "order", "count", (30, 90, YEAR))
    ever = Feature(name="orders_ever", kind="order", aggregate="count")
    value = Feature(name="average_order_value", kind="order", aggregate="mean", column="revenue")
    return [*counts, ever, *_money("order"), value, *_rhythm("order"), _discount_share("order")]


def _orders_from_lines() -> list[Feature]:
    """Give the features of orders when only their lines are known: an order is one `order_id`."""
    counts = _windows("orders", "order_line", "distinct", (30, 90, YEAR), column="order_id")
    ever = Feature(name="orders_ever", kind="order_line", aggregate="distinct", column="order_id")
    spent = Feature(name="revenue_ever", kind="order_line", aggregate="sum", column="revenue")
    value = _ratio("average_order_value", spent, ever)
    return [*counts, ever, *_money("order_line"), value, *_rhythm("order_line"), _discount_share("order_line")]


def _money(kind: str) -> list[Feature]:
    spent = Feature(name="revenue_ever", kind=kind, aggregate="sum", column="revenue")
    return [*_windows("revenue", kind, "sum", (30, 90, YEAR), column="revenue"), spent]


def _rhythm(kind: str) -> list[Feature]:
    return [
        Feature(name="days_since_last_order", kind=kind, aggregate="recency"),
        Feature(name="days_since_first_order", kind=kind, aggregate="tenure"),
        Feature(name="average_days_between_orders", kind=kind, aggregate="gap_mean"),
        Feature(name="order_gap_deviation_days", kind=kind, aggregate="gap_deviation"),
        Feature(name="orders_trend", kind=kind, aggregate="trend", window_days=180),
    ]


def _discount_share(kind: str) -> Feature:
    """Give what was taken off the price as a share of the price before it."""
    taken = Feature(name=f"discount_{YEAR}d", kind=kind, aggregate="sum", column="discount", window_days=YEAR)
    gross = Feature(name=f"gross_revenue_{YEAR}d", kind=kind, aggregate="sum", column=_GROSS, window_days=YEAR)
    return _ratio(f"discount_share_{YEAR}d", taken, gross)


def _of_lines() -> list[Feature]:
    items = Feature(name=f"items_{YEAR}d", kind="order_line", aggregate="sum", column="quantity", window_days=YEAR)
    orders = Feature(
        name=f"orders_with_lines_{YEAR}d", kind="order_line", aggregate="distinct", column="order_id", window_days=YEAR
    )
    return [
        _ratio(f"items_per_order_{YEAR}d", items, orders),
        *_windows("distinct_products", "order_line", "distinct", (YEAR,), column="product_id"),
        *_windows("distinct_categories", "order_line", "distinct", (YEAR,), column="category"),
    ]


def _coupons(kinds: Container[str]) -> list[Feature]:
    if "coupon_redeem" in kinds:
        return _windows("coupons_redeemed", "coupon_redeem", "count", (YEAR,))
    if "order" in kinds:
        return _windows("coupons_redeemed", "order", "count", (YEAR,), where="coupon is not null")
    return []


# --- visits -----------------------------------------------------------------------------------------------------------


def _visits(kinds: Container[str]) -> list[Feature]:
    found: list[Feature] = []
    for kind, stem in (("page_view", "page_views"), ("product_view", "product_views"), ("cart_add", "cart_adds")):
        if kind in kinds:
            found += _windows(stem, kind, "count", (7, 30))
    seen = next((k for k in ("page_view", "product_view", "search") if k in kinds), None)
    if seen:
        found.append(Feature(name="days_since_last_visit", kind=seen, aggregate="recency"))
        found += _windows("visits", seen, "distinct", (30,), column="session_id")
        found.append(Feature(name="visits_trend", kind=seen, aggregate="trend", window_days=60))
    if "cart_add" in kinds:
        found.append(Feature(name="days_since_last_cart_add", kind="cart_add", aggregate="recency"))
    if "checkout_start" in kinds:
        found += _windows("checkouts_started", "checkout_start", "count", (30,))
    if "search" in kinds:
        found += _windows("searches", "search", "count", (30,))
    return found


# --- messages, service, subscriptions ---------------------------------------------------------------------------------


def _messages(kinds: Container[str]) -> list[Feature]:
    if "message" not in kinds:
        return _opens_alone(kinds)
    sent = Feature(name=f"messages_{YEAR}d", kind="message", aggregate="count", window_days=YEAR)
    found = [*_windows("messages", "message", "count", (30,)), sent]
    for kind, stem in (("message_open", "message_open"), ("message_click", "message_click")):
        if kind in kinds:
            over = Feature(name=f"{stem}s_{YEAR}d", kind=kind, aggregate="count", window_days=YEAR)
            found.append(_ratio(f"{stem}_rate_{YEAR}d", over, sent))
    return [*found, *_opens_alone(kinds)]


def _opens_alone(kinds: Container[str]) -> list[Feature]:
    found: list[Feature] = []
    if "message_open" in kinds:
        found += _windows("message_opens", "message_open", "count", (30, YEAR))
        found.append(Feature(name="days_since_last_message_open", kind="message_open", aggregate="recency"))
    if "message_click" in kinds:
        found += _windows("message_clicks", "message_click", "count", (30, YEAR))
        found.append(Feature(name="days_since_last_message_click", kind="message_click", aggregate="recency"))
    return found


def _service(kinds: Container[str]) -> list[Feature]:
    found: list[Feature] = []
    if "ticket" in kinds:
        found += _windows("tickets", "ticket", "count", (90, YEAR))
        found.append(Feature(name="open_tickets", kind="ticket", aggregate="open", column="closed_ts"))
        found.append(Feature(name="days_since_last_ticket", kind="ticket", aggregate="recency"))
    if "review" in kinds:
        found += _windows("average_rating", "review", "mean", (YEAR,), column="rating")
    if "subscription" in kinds:
        found.append(Feature(name="days_since_first_subscription", kind="subscription", aggregate="tenure"))
        found.append(Feature(name="days_since_subscription_change", kind="subscription", aggregate="recency"))
        found.append(Feature(name="subscription_amount", kind="subscription", aggregate="last", column="amount"))
        found += _windows("subscription_changes", "subscription", "count", (YEAR,))
    return found


# --- sales and marketing work on leads --------------------------------------------------------------------------------


def _contacts(kinds: Container[str]) -> list[Feature]:
    found: list[Feature] = []
    if "activity" in kinds:
        found += _windows("activities", "activity", "count", (7, 30, 90))
        found.append(Feature(name="days_since_last_activity", kind="activity", aggregate="recency"))
        found.append(Feature(name="days_since_first_activity", kind="activity", aggregate="tenure"))
        found.append(Feature(name="activities_trend", kind="activity", aggregate="trend", window_days=60))
        found += _windows("distinct_activity_types", "activity", "distinct", (90,), column="activity_type")
    for kind in ("call", "touch"):
        if kind in kinds:
            found += _windows(f"{kind}s" if kind == "call" else "touches", kind, "count", (30, 90))
            found.append(Feature(name=f"days_since_last_{kind}", kind=kind, aggregate="recency"))
    if "touch" in kinds:
        found += _windows("distinct_touch_channels", "touch", "distinct", (90,), column="channel")
    if "custom" in kinds:
        found += _windows("other_events", "custom", "count", (7, 30))
        found += _windows("distinct_other_events", "custom", "distinct", (90,), column="name")
        found.append(Feature(name="days_since_last_other_event", kind="custom", aggregate="recency"))
    return found
