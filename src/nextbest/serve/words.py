"""How the page writes money, shares, moments and names."""

from __future__ import annotations

from datetime import datetime

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_ARMS = {
    "policy": "chosen by the policy",
    "random": "chosen at random, to learn",
    "business_as_usual": "as usual",
    "holdout": "held out, to measure",
}


def money(value: float, currency: str) -> str:
    """Give an amount of money: 12.5, USD is "$12.50"."""
    amount = f"{abs(value):,.2f}" if abs(value) < 1000 else f"{abs(value):,.0f}"
    sign = "-" if value < 0 else ""
    return f"{sign}{_SIGNS[currency]}{amount}" if currency in _SIGNS else f"{sign}{amount} {currency}"


def share(value: float) -> str:
    """Give a probability: 0.608 is "61%"."""
    return "under 1%" if 0 < value < 0.01 else f"{value:.0%}"


def number(value: float) -> str:
    """Give a count: 12345 is "12,345"."""
    return f"{value:,}"


def moment(text: str) -> str:
    """Give a moment: "2017-12-01T00:00:00+00:00" is "1 December 2017, 00:00 UTC"."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname() or ''}".strip()


def arm(name: str) -> str:
    """Give what an arm of a play means."""
    return _ARMS.get(name, name)


def spoken(name: str) -> str:
    """Give a name of the configuration as words: produce_coupon is "produce coupon"."""
    return name.replace("_", " ")
