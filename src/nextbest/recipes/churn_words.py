"""What a chance to leave rests on where no one model says so, in sentences: who is gone, gave notice, or two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest.features.sentences import sentence
from nextbest.models import contributions
from nextbest.models.hazard import AHEAD, SO_FAR, USUAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from nextbest.types import Fitted

_WAYS = {"voluntary": "By their own will", "involuntary": "Because a payment fails"}
_MOST = 2
_OF_TIME = frozenset({SO_FAR, USUAL, AHEAD})


def gone(label: str | None, positive: Any) -> tuple[str, ...]:  # noqa: ANN401 (a value of the table)
    """Give that somebody has left."""
    return (f"They have left: '{label}' is '{positive}'. There is nothing left to predict.",)


def noticed() -> tuple[str, ...]:
    """Give that somebody has given notice."""
    return ("Notice has been given: the subscription runs out with the time that is paid.",)


def by_cause(fitted: Fitted, row: pa.Table) -> tuple[str, ...]:
    """Give, per way of leaving, what moves its chance in the present period most; nothing where one model tells all."""
    return tuple(
        f"{words}: {_listed(contributions.reasons(fitted.parts[name], row, count=_MOST, sentence=_said)[0])}."
        for name, words in _WAYS.items()
        if name in fitted.parts
    )


def _listed(reasons: Sequence[Mapping[str, Any]]) -> str:
    told = [f"{r['sentence']} {'raises' if r['contribution'] > 0 else 'lowers'} it" for r in reasons]
    return "; ".join(told) or "nothing moves it much"


def _said(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a feature)
    if name in _OF_TIME:
        return name if name == USUAL else f"{name} {value:,.0f} days"
    return sentence(name, value)
