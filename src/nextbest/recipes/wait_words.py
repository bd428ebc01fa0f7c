"""What a date of the next order rests on, in sentences: the customer's own pace, and customers alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def words(history: Mapping[str, Any], said: Mapping[str, Any], *, level: float) -> tuple[str, ...]:
    """Give the pace of a customer (a row of `order_history.summary`), and what the prediction says of it."""
    return _pace(history), *_date(said, level)


def _pace(history: Mapping[str, Any]) -> str:
    silent = int(history["T"] - history["recency"])
    ago = "today" if silent <= 0 else "1 day ago" if silent == 1 else f"{silent:,} days ago"
    if not history["frequency"]:
        return f"They ordered on one day so far, {ago}."
    gap = history["recency"] / history["frequency"]
    often = f"on {history['purchases']:,.0f} days so far, every {gap:,.0f} days on average"
    return f"They ordered {often}, the last time {ago}."


def _date(said: Mapping[str, Any], level: float) -> tuple[str, ...]:
    if said["next_order_date"] is None:
        return ("Of customers alike who had been silent for as long, fewer than half came back: there is no date.",)
    low, high = said["next_order_date_low"], said["next_order_date_high"]
    end = f"and {high}" if high is not None else "and a day that lies beyond what the data tell"
    half = f"Half of customers with such a pace have ordered again by {said['next_order_date']}"
    return (f"{half}; {level:.0%} of next orders come between {low} {end}.",)
