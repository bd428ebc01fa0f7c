"""How this workspace says a value: in the words of its own features, else in those of the name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest.features.sentences import feature_sentence, sentence
from nextbest.features.sets import feature_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.ledger import Ledger

    Teller = Callable[[str, Any], str]


def teller(ledger: Ledger) -> Teller:
    """Give a function that says what a feature or prediction of that name means when it has that value."""
    known = {f.name: f for f in feature_set(ledger)}
    currency = ledger.config.currency

    def tell(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a feature or prediction)
        if name in known:
            return feature_sentence(known[name], value, currency=currency)
        return sentence(name, value, currency=currency)

    return tell
