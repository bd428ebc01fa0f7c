"""What a segment is called: by what its people do more, or less, than the others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Labels = NDArray[np.int64]

_CLEAR = 0.4  # deviations from everyone's mean, from which a segment is called after a column
_DRIVERS = 2
_Z90 = 1.6448536269514722
_WINDOW = re.compile(r"_(\d+)d$|_ever$")
# How a segment is called that is high, or low, in a feature.
_WORDS = {
    "days_since_last_order": ("silent", "recent"),
    "orders": ("frequent", "rare"),
    "revenue": ("high revenue", "low revenue"),
    "average_order_value": ("big baskets", "small baskets"),
    "discount_share": ("bargain hunters", "full price"),
    "distinct_categories": ("many categories", "few categories"),
    "days_since_first_order": ("long known", "new"),
    "orders_trend": ("growing", "shrinking"),
    "items_per_order": ("full carts", "few items"),
}


@dataclass(frozen=True, slots=True)
class Driver:
    """A column in a segment: how far its mean is from everyone's, in deviations, `within` how many (90%)."""

    column: str
    deviations: float
    within: float = 0.0


def drivers(points: Matrix, labels: Labels, columns: Sequence[str]) -> list[list[Driver]]:
    """Give per segment its columns, most telling first."""
    found = []
    for number in range(int(labels.max()) + 1):
        inside = points[labels == number]
        apart = inside.mean(axis=0) - points.mean(axis=0)
        within = _Z90 * inside.std(axis=0) / np.sqrt(len(inside))
        order = np.argsort(-np.abs(apart), kind="stable")
        found.append([Driver(columns[i], float(apart[i]), float(within[i])) for i in order])
    return found


def named(told: Sequence[Sequence[Driver]]) -> list[str]:
    """Give every segment a name of its own, from its first drivers: more of them while two names are the same."""
    names = [_name(one, _DRIVERS) for one in told]
    most = max((len(one) for one in told), default=0)
    for count in range(_DRIVERS + 1, most + 1):
        twice = {name for name in names if names.count(name) > 1}
        names = [_name(one, count) if name in twice else name for one, name in zip(told, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def _name(told: Sequence[Driver], count: int) -> str:
    """Give "recent, frequent"; "in between" for a segment that differs in nothing."""
    words = [_word(d.column, d.deviations) for d in told if abs(d.deviations) >= _CLEAR]
    return ", ".join(list(dict.fromkeys(words))[:count]) or "in between"


def _word(column: str, apart: float) -> str:
    stem = _WINDOW.sub("", column)
    if stem in _WORDS:
        return _WORDS[stem][0 if apart > 0 else 1]
    return f"{'high' if apart > 0 else 'low'} {stem.replace('_', ' ').strip()}"
