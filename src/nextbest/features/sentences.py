"""What a feature or a prediction says, in words: "3 orders in the last 30 days", "61% likely to stop ordering"."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.features.language import Feature

Value = float | int | str | bool | None

_WINDOW = re.compile(r"(?P<stem>.+)_(?P<days>\d+)d")
_SINCE = re.compile(r"days_since_(?P<which>last|first)_(?P<what>.+)")

# What is counted: one of it, and many.
_COUNTED = {
    "orders": ("order", "orders"),
    "orders_with_lines": ("order listed by product", "orders listed by product"),
    "page_views": ("page seen", "pages seen"),
    "product_views": ("product looked at", "products looked at"),
    "cart_adds": ("product put in the cart", "products put in the cart"),
    "visits": ("visit", "visits"),
    "searches": ("search", "searches"),
    "checkouts_started": ("checkout begun", "checkouts begun"),
    "messages": ("message sent", "messages sent"),
    "message_opens": ("message opened", "messages opened"),
    "message_clicks": ("message clicked", "messages clicked"),
    "tickets": ("support case", "support cases"),
    "open_tickets": ("open support case", "open support cases"),
    "coupons_redeemed": ("coupon used", "coupons used"),
    "distinct_products": ("different product bought", "different products bought"),
    "distinct_categories": ("category bought from", "categories bought from"),
    "items": ("item bought", "items bought"),
    "subscription_changes": ("change of subscription", "changes of subscription"),
    "activities": ("sales activity", "sales activities"),
    "distinct_activity_types": ("kind of sales activity", "kinds of sales activity"),
    "calls": ("call", "calls"),
    "touches": ("marketing contact", "marketing contacts"),
    "distinct_touch_channels": ("marketing channel", "marketing channels"),
    "other_events": ("other event", "other events"),
    "distinct_other_events": ("kind of other event", "kinds of other event"),
    "predicted_number_of_orders": ("order expected", "orders expected"),
}
_MONEY = {
    "revenue": "spent",
    "gross_revenue": "spent before discounts",
    "discount": "of discounts",
    "average_order_value": "per order on average",
    "predicted_clv": "expected from now on",
    "historic_clv": "spent so far",
    "subscription_amount": "per subscription period",
}
_SHARE = {
    "discount_share": "of the price taken off by discounts",
    "message_open_rate": "of messages opened",
    "message_click_rate": "of messages clicked",
    "churn_probability": "likely to stop ordering",
    "probability_alive": "likely to be still a customer",
    "win_probability": "likely to be won",
    "conversion_probability": "likely to convert",
}
_DAYS = {
    "average_days_between_orders": "{} between orders",
    "order_gap_deviation_days": "{} of variation between orders",
    "days_since_subscription_change": "{} since the subscription changed",
}
_AVERAGE = {"items_per_order": "items per order", "average_rating": "stars given on average"}
_POINTS = {
    "lead_score": "of 100 points as a lead",
    "fit_score": "of 100 points for who they are",
    "engagement_score": "of 100 points for what they did",
}
_WHAT = {"cart_add": "product put in the cart", "message_open": "message opened", "ticket": "support case",
         "message_click": "message clicked", "activity": "sales activity", "touch": "marketing contact",
         "other_event": "other event"}  # fmt: skip
_UNTOLD = {"average_order_value": "no orders yet", "average_days_between_orders": "fewer than two orders",
           "order_gap_deviation_days": "fewer than three orders"}  # fmt: skip


def sentence(name: str, value: Value, *, currency: str = "") -> str:
    """Give what the feature or prediction of that name says when it has that value; None says what is not known."""
    match = _WINDOW.fullmatch(name)
    stem, when = (match["stem"], f" in the last {match['days']} days") if match else (name, "")
    stem, when = (stem.removesuffix("_ever"), " so far") if stem.endswith("_ever") else (stem, when)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _missing(stem, when)
    if isinstance(value, bool | str):
        return f"{_words(stem)}: {str(value).lower() if isinstance(value, bool) else value}{when}"
    return (_known(stem, value, currency) or _by_shape(stem, value) or f"{_words(stem)}: {_number(value)}") + when


def feature_sentence(feature: Feature, value: Value, *, currency: str = "") -> str:
    """Give the sentence of a feature: its own, with `{value}` filled in, or the one of its name."""
    if feature.sentence and isinstance(value, float | int):
        return feature.sentence.replace("{value}", _number(value))
    return sentence(feature.name, value, currency=currency)


def join(sentences: Sequence[str]) -> str:
    """Give several sentences as one list: "a, b and c"."""
    return " and ".join([p for p in (", ".join(sentences[:-1]), *sentences[-1:]) if p])


def _known(stem: str, value: float, currency: str) -> str:
    if stem in _COUNTED:
        one, many = _COUNTED[stem]
        return f"{_number(value) if value else 'no'} {one if value == 1 else many}"
    if stem in _MONEY:
        return f"{_money(value, currency)} {_MONEY[stem]}"
    if stem in _SHARE:
        return f"{_percent(value)} {_SHARE[stem]}"
    if stem in _DAYS:
        return _DAYS[stem].format(_days(value))
    if stem in _POINTS:
        return f"{value:.0f} {_POINTS[stem]}"
    return f"{_number(value)} {_AVERAGE[stem]}" if stem in _AVERAGE else ""


def _by_shape(stem: str, value: float) -> str:
    """Give the sentence of a name that is built by rule."""
    if match := _SINCE.fullmatch(stem):
        what = _WHAT.get(match["what"], _words(match["what"]))
        return f"{match['which']} {what} {_days(value)} ago"
    if stem.endswith("_trend"):
        way = "more" if value > 0 else "fewer" if value < 0 else "as many"
        return f"{way} {_words(stem.removesuffix('_trend'))} {'as' if way == 'as many' else 'than'} before"
    if stem.endswith(("_probability", "_share", "_rate")):
        return f"{_words(stem)} {_percent(value)}"
    return ""


def _missing(stem: str, when: str) -> str:
    if stem in _UNTOLD:
        return _UNTOLD[stem]
    if match := _SINCE.fullmatch(stem):
        what = match["what"]
        return f"no {_WHAT.get(what, _words(what))} yet"
    if stem.endswith("_trend"):
        return f"no {_words(stem.removesuffix('_trend'))} lately"
    if stem.startswith("message_"):
        return f"no messages sent{when}"
    return f"{_words(stem)} not known{when}"


def _words(stem: str) -> str:
    return stem.replace("_", " ")


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _money(value: float, currency: str) -> str:
    return f"{value:,.2f} {currency}".rstrip()


def _percent(value: float) -> str:
    share = 100 * value
    return f"{share:.0f}%" if abs(share) >= 1 or share == 0 else "under 1%"


def _days(value: float) -> str:
    if value < 1:
        return "less than a day"
    days = math.floor(value)
    return "1 day" if days == 1 else f"{days:,} days"
