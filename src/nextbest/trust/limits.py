"""What a model is not for: said on its card, whoever reads it."""

from __future__ import annotations

_ALWAYS = (
    "It says who is likely to, not whom an action would move: for that, measure the effect against a holdout.",
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
}


def limits(recipe: str) -> tuple[str, ...]:
    """Give the sentences on when not to use a recipe, its own first."""
    return (*_OF.get(recipe, ()), *_ALWAYS)
