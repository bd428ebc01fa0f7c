"""From named values to columns of numbers, and how a layout grows when it meets something new.

A number is a column, measured from the first value seen. A text is a column per value, known only by its hash; after
`MOST_VALUES` values the rest share one. A value that is missing has a column of its own, so that its absence can say
something. Growing changes nothing for what was learnt before: a new value was 0 in every earlier row, and a new feature
was missing from every earlier row, so that its column of absence is the constant until then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nextbest.policies.draw import Numbers

MOST_VALUES = 32
_OTHER, _MISSING, _IS = "=*", "?", "="
FAR = 1e9  # no number is taken to be further from its centre
# What the log adds to a context, and what is never known when a decision is made: `chosen` is written beside it.
NOT_FEATURES = frozenset(
    {"subject_id", "subject_type", "hindsight", "logged", "bot", "chosen", "estimated_probability"}
    | {"estimated_candidates", "prices"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns by name: `age` (a number), `city=1f..` (a text), `age?` (missing); numbers start from `centre`."""

    columns: tuple[str, ...] = ()
    centre: tuple[float, ...] = ()
    most: int = 256
    only: tuple[str, ...] = ()
    _at: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _plan: dict[str, tuple[int, int, int]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._at.update({name: i for i, name in enumerate(self.columns)})
        for name in dict.fromkeys(feature_of(c) for c in self.columns):
            spots = (self._at.get(name, -1), self._at.get(name + _MISSING, -1), self._at.get(name + _OTHER, -1))
            self._plan[name] = spots

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Tell which columns are numbers with a scale of their own."""
        return tuple(not c.endswith(_MISSING) and _IS not in c for c in self.columns)

    def encode(self, row: Mapping[str, Any]) -> Numbers:
        """Give one row of numbers; what the layout does not know is left out."""
        out = np.zeros(len(self.columns))
        for name, (number, missing, other) in self._plan.items():
            value = row.get(name)
            if isinstance(value, str):
                at = self._at.get(f"{name}{_IS}{code(name, value)}", other)
            elif value is None or not math.isfinite(value):
                at = missing
            else:
                at = -1
                if number >= 0:
                    out[number] = min(max(float(value) - self.centre[number], -FAR), FAR)
            if at >= 0:
                out[at] = 1.0
        return out

    def grown(self, rows: Iterable[Mapping[str, Any]], *, first: bool) -> tuple[Layout, tuple[int, ...]]:
        """Give the layout that fits the rows too, and the new columns that were 1 in every earlier row.

        `first` says that there is no earlier row.
        """
        rows = list(rows)
        found = dict(zip(self.columns, self.centre, strict=True))
        fresh = dict.fromkeys(
            name
            for row in rows
            for name, value in row.items()
            if name not in self._plan and value is not None and self._wanted(name, value)
        )
        since = [] if first else [name + _MISSING for name in fresh]
        found.update(dict.fromkeys(since, 0.0))
        for row in rows:
            for name in (*self._plan, *fresh):
                _add(found, name, row.get(name))
        columns = tuple(found)[: max(self.most, len(self.columns))]
        grown = Layout(columns=columns, centre=tuple(found[c] for c in columns), most=self.most, only=self.only)
        constant = tuple(grown._at[c] for c in since if c in grown._at and c not in self._at)
        return grown, constant

    def _wanted(self, name: str, value: Any) -> bool:  # noqa: ANN401 (any value of JSON)
        scalar = isinstance(value, str | int | float) and (isinstance(value, str) or math.isfinite(value))
        return scalar and (name in self.only if self.only else name not in NOT_FEATURES)


def _add(found: dict[str, float], name: str, value: Any) -> None:  # noqa: ANN401 (any value of JSON)
    """Add the column that a value needs."""
    if isinstance(value, str):
        column = f"{name}{_IS}{code(name, value)}"
        if column not in found and sum(c.startswith(name + _IS) for c in found) >= MOST_VALUES:
            column = name + _OTHER
        found.setdefault(column, 0.0)
    elif not isinstance(value, int | float) or not math.isfinite(value):
        found.setdefault(name + _MISSING, 0.0)
    else:
        found.setdefault(name, float(value))


def feature_of(column: str) -> str:
    """Give the feature that a column comes from."""
    return column.removesuffix(_MISSING).partition(_IS)[0]


@lru_cache(maxsize=65_536)
def code(name: str, value: str) -> str:
    """Give the hash that a text is known by: 16 hex digits."""
    return blake2b(f"{name}\x1f{value}".encode(errors="surrogatepass"), digest_size=8).hexdigest()


@lru_cache(maxsize=4_096)
def said(name: str) -> str:
    """Give the column of an offer's feature by its name there: `colour=red` becomes `colour=<hash>`."""
    feature, is_, value = name.partition(_IS)
    return f"{feature}{_IS}{code(feature, value)}" if is_ else name


def as_features(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give an action's features as the layout reads them; the mark `colour=red` becomes the text `colour`: `red`."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        feature, is_, text = name.partition(_IS)
        if not is_:
            out[name] = value
        elif value:
            out[feature] = text
        else:
            out.setdefault(feature, None)
    return out
