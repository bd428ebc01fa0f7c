"""Predictions and inner columns whose name alone does not say in words what they mean."""

from __future__ import annotations

import re
from math import exp
from typing import TYPE_CHECKING, Any

from nextbest.models.hazard import AHEAD, SO_FAR, USUAL

if TYPE_CHECKING:
    from nextbest.types import Fitted

_SURVIVAL = re.compile(r"survival_(?P<whole>\d+)(?:_(?P<part>\d+))?(?:_(?P<unit>[a-z]+))?")
_WAYS = {"voluntary_churn_probability": "by their own will", "involuntary_churn_probability": "as a payment fails"}


def told(fitted: Fitted, name: str, value: Any) -> str:  # noqa: ANN401 (any value of a prediction or column)
    """Give what a value means, or '' where its name says it well enough."""
    if isinstance(value, bool):
        return ("in the audience" if value else "not in the audience") if name == "lookalike" else ""
    if not isinstance(value, int | float):
        return ""
    return _of_time(fitted, name, value) or _of_leaving(fitted, name, value) or _of_lists(name, value)


def percent(value: float) -> str:
    """Give a share as "12%", or "0.4%" near the ends."""
    share = 100 * value
    return f"{share:.0f}%" if 1 <= share <= 99 else f"{share:.1f}%"


def _of_time(fitted: Fitted, name: str, value: float) -> str:
    """Give what the curve of *when* says, and the two columns of time that its model reads."""
    unit = str(fitted.extra.get("unit") or ("days" if fitted.report.details.get("by") == "subscription" else ""))
    if match := _SURVIVAL.fullmatch(name):
        time = f"{match['whole']}.{match['part']}" if match["part"] else match["whole"]
        return f"{percent(value)} still there after {time} {match['unit'] or 'more'}"
    if name == "remaining_median":
        return f"half of such subjects leave within {value:,.1f} {unit}".rstrip()
    if name == AHEAD:
        return f"what is known is {value:,.3g} {unit} old".replace("  ", " ")
    if name == SO_FAR:
        return f"there for {value:,.3g} {unit}".rstrip()
    return f"{percent(1 / (1 + exp(-value)))} usually leave in a period like this" if name == USUAL else ""


def _of_leaving(fitted: Fitted, name: str, value: float) -> str:
    by = fitted.report.details.get("by")
    if name in _WAYS:
        return f"{percent(value)} {_WAYS[name]}"
    if name != "churn_probability" or by not in {"subscription", "duration"}:
        return ""
    unit = "days" if by == "subscription" else fitted.extra.get("unit", "")
    return f"{percent(value)} likely to leave within {fitted.extra['horizon']:.3g} {unit}".rstrip()


def _of_lists(name: str, value: float) -> str:
    return f"{percent(value)} likely to be on such a list" if name == "lookalike_score" else ""
