"""What a fitted recipe answers, in one sentence, and what one of its rows is."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextbest.types import Fitted

# The question in words, and what a row is; {days} is filled in where there is a horizon.
_OF = {
    "audience": ("Who is like those on the list.", "people"),
    "deal_win": ("Which open deals will be won.", "deals that are over"),
    "demand": ("How much is sold of each product, category and in total.", "product periods"),
    "lead_score": ("Which leads convert{days}.", "moments of leads"),
    "next_order_date": ("When each customer orders next.", "customers"),
    "pipeline": ("How each open deal and each stage stands.", "deals that are over"),
    "propensity": ("Who does it{days}.", "moments of people"),
    "rep_capacity": ("What one more visit goes with, and how visits are best spread.", "account periods"),
    "rep_performance": ("Whether reps differ in what they win, beyond luck and the mix of their deals.", "deals"),
    "restock": ("How much to order of each product.", "product periods"),
    "sales_forecast": ("What the coming period brings.", "deals"),
    "sales_ready": ("Which leads are worth a call now.", "moments of leads"),
    "segments": ("Which kinds of customers there are.", "customers"),
    "value": ("What each customer spends{days}.", "customers"),
}
_NO_CHANCE = frozenset({"rep_performance"})  # their label is looked at, and not predicted
_CHURN = {
    "silence": ("Who stops ordering{days}.", "moments of customers"),
    "subscription": ("Which subscribers leave{days}.", "subscribers"),
    "duration": ("When who leaves.", "subjects"),
}


def about(fitted: Fitted) -> str:
    """Give the question in a sentence, and for a label in a table which value of it is predicted."""
    label, words = fitted.settings.get("label"), _words(fitted)
    days = fitted.extra.get("horizon_days", fitted.settings.get("horizon_days"))
    within = f" within {days:g} days" if isinstance(days, int | float) and label is None else ""
    said = words[0].format(days=within) if words else ""
    if label is None or fitted.recipe in _NO_CHANCE:
        name = fitted.recipe.replace("_", " ").capitalize()
        return said or (f"{name} over the next {days} days." if within else f"{name}.")
    positive = fitted.extra.get("positive", fitted.settings.get("positive"))
    if positive is None:
        return said or f"What '{label}' will be."
    return f"{said} The probability that '{label}' is '{positive}'.".lstrip()


def rows_are(fitted: Fitted) -> str:
    """Give what the rows are that it learnt from: "deals", "customers", else "rows"."""
    words = _words(fitted)
    flat = fitted.settings.get("label") is not None and fitted.recipe not in _NO_CHANCE
    return "rows" if words is None or flat else words[1]


def source(fitted: Fitted, *, given: bool) -> str:
    """Give where the rows came from; *given*: a table was handed over for the card."""
    table = fitted.settings.get("table") or fitted.settings.get("panel")
    if table:
        return f"the table {PurePath(str(table)).name}"
    return "a table" if given or fitted.settings.get("label") is not None else "the events of the workspace"


def _words(fitted: Fitted) -> tuple[str, str] | None:
    # A recipe that was declared under a name of its own keeps in its settings which one it is.
    name = str(fitted.settings.get("recipe", fitted.recipe))
    if name == "churn":
        return _CHURN.get(str(fitted.report.details.get("by")))
    return _OF.get(name)
