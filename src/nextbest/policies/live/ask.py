"""What a caller asks: for whom, in which play, among which candidates, how many, and how soon."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (msgspec and the doors build these classes from their annotations)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import UsageError
from nextbest.types import Mode  # noqa: TC001

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers

Value = float | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One candidate of a request: an action of the play, or an item under its action `*`, with what describes it."""

    action_id: str
    features: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offers:
    """Many candidates in compact form: `values` is float64 of shape (ids, names); what is missing is NaN.

    A text feature is a name of its own for each of its values (`colour=red`), 1 where it holds and 0 elsewhere.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: Numbers

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.names)) or self.values.dtype != np.float64:
            raise UsageError(
                f"Offers of {len(self.ids)} ids and {len(self.names)} names need float64 values of shape "
                f"({len(self.ids)}, {len(self.names)}); got {self.values.dtype} of shape {self.values.shape}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request for one subject; `chosen` is what the caller itself does or would do.

    `gpc` says that the caller's person objects (`Sec-GPC: 1`). With a `request_id` chance is drawn anew; without one a
    subject gets the same draw all day, as in a list, as long as neither the play nor what was learnt changes. Equal
    draws are one observation: outcomes are compared with subjects as clusters.
    """

    play: str
    subject_id: str
    context: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Offer, ...] | Offers | None = None
    count: int = 1
    mode: Mode = "live"
    chosen: str | None = None
    deadline_ms: float | None = None
    request_id: str = ""
    gpc: bool = False


def compact(offers: tuple[Offer, ...]) -> Offers:
    """Give offers in compact form; raises `UsageError` for an id that comes twice."""
    names: dict[str, int] = {}
    cells: list[tuple[int, int, float]] = []
    shown: set[int] = set()
    for row, offer in enumerate(offers):
        for name, value in offer.features.items():
            text = isinstance(value, str)
            column = names.setdefault(f"{name}={value}" if text else name, len(names))
            if text:
                shown.add(column)
                cells.append((row, column, 1.0))
            elif value is not None:
                cells.append((row, column, float(value)))
    values = np.full((len(offers), len(names)), np.nan)
    values[:, sorted(shown)] = 0.0
    for row, column, number in cells:
        values[row, column] = number
    return Offers(ids=tuple(o.action_id for o in offers), names=tuple(names), values=values)
