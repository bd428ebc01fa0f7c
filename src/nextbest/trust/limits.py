"""What a model is not for: said on its card, whoever reads it."""

from __future__ import annotations

_OF_CHANCES = "It says who is likely to, not whom an action would move: for that, measure the effect against a holdout."
_ALWAYS = (
    "It was judged on the data it came from. Judge it again when prices, products, channels or customers change.",
)
_OF = {
    "churn": (
        "Those most likely to leave are not those whom an offer keeps. Do not choose whom to pay by this alone.",
        "By silence, not for things that are bought once in years: no horizon tells a leaver from a sleeper.",
    ),
    "value": (
        "An amount for one customer is uncertain, a total over many less so: plan with totals, rank with the rest.",
        "It takes the buying of the past to go on. It knows nothing of a new price, product or competitor.",
    ),
    "lead_score": ("It ranks leads for attention. It is no ground for refusing anybody service or credit.",),
    "propensity": ("A likely event is not a caused one: the likely would often have done it without a message.",),
    "deal_win": ("A deal that is worked on because of its score changes what the score was learnt from.",),
    "pipeline": ("A stalled deal is slow beside those that were won: it is a reason to ask, none to give it up.",),
    "sales_forecast": (
        "It takes deals to come in and to move as they did. It knows nothing of a new product, price or team.",
        "What a single deal brings cannot be read from it: the interval is of the total.",
    ),
    "sales_ready": ("Who is below the line is not lost: the line moves with the capacity and the cost of a call.",),
    "audience": ("The score is for choosing people. It is no probability that they buy, or belong.",),
    "segments": ("Segments describe. That people differ says nothing about what a message would do to them.",),
    "rep_performance": ("It is no ground for pay or dismissal: reps did not get their deals by lot.",),
    "rep_capacity": ("It plans within the visits that were seen. What more of them would bring, nobody has tried.",),
    "next_order_date": ("A date is the middle of many: half of customers alike come later.",),
    "demand": ("What was not on the shelf was not sold: sales are not what people would have bought.",),
    "restock": ("It weighs costs as they were given. Wrong costs give wrong amounts, however good the forecast.",),
}
_NO_CHANCES = frozenset(
    {"value", "sales_forecast", "segments", "rep_performance", "rep_capacity", "next_order_date", "demand", "restock"}
)


def limits(recipe: str) -> tuple[str, ...]:
    """Give the sentences on when not to use a recipe, its own first."""
    return (*_OF.get(recipe, ()), *(() if recipe in _NO_CHANCES else (_OF_CHANCES,)), *_ALWAYS)
