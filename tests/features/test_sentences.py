"""Names explain themselves: every default feature and prediction has a sentence."""

from __future__ import annotations

import pytest

from nextbest.features.defaults import default_features
from nextbest.features.language import Feature
from nextbest.features.sentences import feature_sentence, join, sentence
from nextbest.ledger.kinds import EVENTS


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("orders_30d", 3.0, "3 orders in the last 30 days"),
        ("orders_30d", 1.0, "1 order in the last 30 days"),
        ("orders_365d", 0.0, "no orders in the last 365 days"),
        ("orders_ever", 12.0, "12 orders so far"),
        ("revenue_365d", 1234.5, "1,234.50 EUR spent in the last 365 days"),
        ("average_order_value", 20.0, "20.00 EUR per order on average"),
        ("average_order_value", None, "no orders yet"),
        ("days_since_last_order", 41.7, "last order 41 days ago"),
        ("days_since_first_order", 1.2, "first order 1 day ago"),
        ("days_since_last_order", 0.2, "last order less than a day ago"),
        ("days_since_last_order", None, "no order yet"),
        ("average_days_between_orders", 12.9, "12 days between orders"),
        ("orders_trend", 0.4, "more orders than before"),
        ("orders_trend", -0.4, "fewer orders than before"),
        ("orders_trend", 0.0, "as many orders as before"),
        ("message_open_rate_365d", 0.25, "25% of messages opened in the last 365 days"),
        ("message_open_rate_365d", None, "no messages sent in the last 365 days"),
        ("churn_probability", 0.61, "61% likely to stop ordering"),
        ("churn_probability", 0.0004, "under 1% likely to stop ordering"),
        ("discount_share_365d", 0.05, "5% of the price taken off by discounts in the last 365 days"),
        ("items_per_order_365d", 2.5, "2.5 items per order in the last 365 days"),
        ("predicted_clv", 99.999, "100.00 EUR expected from now on"),
        ("Contract", "Month-to-month", "Contract: Month-to-month"),
        ("tenure", 4, "tenure: 4"),
        ("SeniorCitizen", True, "SeniorCitizen: true"),
        ("unheard_of", None, "unheard of not known"),
        ("unheard_of", float("nan"), "unheard of not known"),
    ],
)
def test_known_sentences(name: str, value: float | str | None, text: str) -> None:
    """A feature or prediction and its value read as a person would say them."""
    assert sentence(name, value, currency="EUR") == text


def test_every_default_feature_has_its_own_sentence() -> None:
    """No default feature falls back to "name: value", known or not."""
    for feature in (p for f in default_features(EVENTS) for p in (f, *f.parts())):
        for value in (0.0, 0.5, 1.0, 2.0):
            assert ":" not in feature_sentence(feature, value), feature.name
            assert "_" not in feature_sentence(feature, value), feature.name
        assert "_" not in feature_sentence(feature, None)


def test_a_feature_may_bring_its_sentence() -> None:
    """A feature's own sentence is used when there is a value."""
    feature = Feature(name="x", kind="order", aggregate="count", sentence="{value} big orders")
    assert feature_sentence(feature, 2.0) == "2 big orders"
    assert feature_sentence(feature, None) == "x not known"


def test_sentences_join_into_one() -> None:
    """A list of sentences reads as one."""
    assert join([]) == ""
    assert join(["a"]) == "a"
    assert join(["a", "b", "c"]) == "a, b and c"


def test_the_promised_names_are_there() -> None:
    """The names that the reference page promises are among the default features of a full workspace."""
    promised = {
        "orders_30d", "orders_90d", "orders_365d", "revenue_30d", "revenue_90d", "revenue_365d",
        "days_since_last_order",
        "days_since_first_order", "average_order_value", "average_days_between_orders", "order_gap_deviation_days",
        "orders_trend", "items_per_order_365d", "distinct_products_365d", "discount_share_365d",
        "coupons_redeemed_365d",
        "page_views_30d", "cart_adds_30d", "days_since_last_visit", "messages_30d", "message_open_rate_365d",
        "message_click_rate_365d", "tickets_90d", "open_tickets",
    }  # fmt: skip
    assert promised <= {f.name for f in default_features(EVENTS)}


def test_lines_alone_give_the_features_of_orders() -> None:
    """With order lines only, the names of the features of orders stay the same."""
    of_orders = {f.name for f in default_features({"order", "order_line"})}
    assert of_orders - {f.name for f in default_features({"order_line"})} == {"coupons_redeemed_365d"}
