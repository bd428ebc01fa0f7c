"""The closed language of features: one kind of event, one filter, one window, one aggregate; or a ratio of two.

    Feature(name="orders_30d", kind="order", aggregate="count", window_days=30)

A feature is computed as of a moment: from what happened strictly before it, and within `window_days` times 24 hours
before it. A day is 86,400 elapsed seconds, never a midnight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from nextbest.errors import ConfigError, nearest
from nextbest.features.expression import Expression, check, parse
from nextbest.ledger.kinds import Kind, kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Aggregate = Literal[
    "count",  # rows; 0 when there are none
    "sum",  # of a number; 0 when there are none
    "mean",
    "min",
    "max",
    "first",  # the number at the earliest moment (the smallest, when several are at that moment)
    "last",  # the number at the latest moment (the largest, when several are at that moment)
    "distinct",  # different values; 0 when there are none
    "recency",  # days since the last row
    "tenure",  # days since the first row
    "gap_mean",  # mean days between different moments; null below two moments
    "gap_deviation",  # sample standard deviation of those gaps; null below three moments
    "trend",  # (recent half - earlier half) / both, in rows of the window: -1 to 1; null when there are none
    "open",  # rows whose closing moment (`column`) is missing or not yet reached; 0 when there are none
    "ratio",  # the first of two features over the second; null when the second is 0
    "attribute",  # the latest number known of a subject; of a timestamp, the days since
]

AGGREGATES: tuple[str, ...] = get_args(Aggregate)
WITHOUT_COLUMN = ("count", "recency", "tenure", "gap_mean", "gap_deviation", "trend", "ratio")
ZERO_WHEN_NONE = ("count", "sum", "distinct", "open")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number about a subject as of a moment.

    `column` is a column of the kind, or an expression over its columns; `where` is a condition over them. `of` names
    the two features of a ratio. `sentence` may hold `{value}`; without it the name explains itself.
    Raises `ConfigError` for anything impossible, for a personal column, and for one known only afterwards.
    """

    name: str
    aggregate: Aggregate
    kind: str = ""
    column: str = ""
    window_days: int | None = None
    where: str = ""
    of: tuple[Feature, Feature] | tuple[()] = ()
    sentence: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == "subject_id":
            raise ConfigError(f"'{self.name}' cannot name a feature: small letters, digits and _, a letter first.")
        if self.aggregate not in AGGREGATES:
            near = nearest(self.aggregate, AGGREGATES)
            raise self._off(f"there is no aggregate '{self.aggregate}'.{near} Known: {', '.join(AGGREGATES)}.")
        if self.window_days is not None and not 1 <= self.window_days <= _LONGEST_DAYS:
            raise self._off(f"window_days is {self.window_days}; it must be from 1 to {_LONGEST_DAYS}.")
        if self.aggregate == "ratio":
            self._check_ratio()
        else:
            self._check_source()

    def _off(self, what: str) -> ConfigError:
        return ConfigError(f"Feature '{self.name}': {what}")

    def _check_ratio(self) -> None:
        if len(self.of) != len(("over", "under")) or self.kind or self.column or self.where or self.window_days:
            raise self._off("a ratio takes `of`, a pair of features, and nothing else.")

    def _check_source(self) -> None:
        source = kind(self.kind)
        if self.of:
            raise self._off("only a ratio takes `of`.")
        if (self.aggregate == "attribute") != (source.name == "subjects"):
            raise self._off("the aggregate `attribute` goes with the kind `subjects`, and only with it.")
        if not source.event and source.name != "subjects":
            raise self._off(f"'{source.name}' is not a kind of event.")
        if bool(self.column) == (self.aggregate in WITHOUT_COLUMN):
            needs = "no column" if self.column else "a column"
            raise self._off(f"the aggregate `{self.aggregate}` takes {needs}.")
        if self.aggregate == "trend" and not self.window_days:
            raise self._off("a trend compares the halves of a window; set window_days.")
        self._check_columns(source)

    def _check_columns(self, source: Kind) -> None:
        if self.where:
            check(self.condition, usable(source), gives="boolean")
        if self.aggregate == "open":
            if source.column(self.column).type != "timestamp":
                raise self._off(f"`open` needs a timestamp column; '{self.column}' is none.")
        elif self.column:
            self._check_value(source)

    def _check_value(self, source: Kind) -> None:
        found = check(self.value, usable(source))
        wanted = {"distinct": ("text", "number"), "attribute": ("number", "boolean", "timestamp")}
        allowed = wanted.get(self.aggregate, ("number", "boolean"))
        if found not in allowed:
            raise self._off(f"`{self.aggregate}` needs a {' or '.join(allowed)}; '{self.column}' is a {found}.")

    @property
    def condition(self) -> Expression:
        """The parsed filter."""
        return parse(self.where, gives="boolean")

    @property
    def value(self) -> Expression:
        """The parsed column expression."""
        return parse(self.column)

    def parts(self) -> tuple[Feature, ...]:
        """Give the features that read events: itself, or both sides of a ratio all the way down."""
        return tuple(p for f in self.of for p in f.parts()) if self.of else (self,)


class _Usable(dict[str, object]):
    """The columns of a kind that a feature may read; asking for a hidden one says why it is hidden."""

    hidden: Mapping[str, str]

    def __contains__(self, name: object) -> bool:
        if name in self.hidden:
            raise ConfigError(f"Column '{name}' cannot be part of a feature: {self.hidden[str(name)]}.")
        return super().__contains__(name)


def usable(source: Kind) -> dict[str, object]:
    """Give the types of the columns that features may read; a personal or later column raises when it is asked for."""
    columns = _Usable({c.name: c.type for c in source.columns})
    hidden = {c.name: "it is personal" for c in source.columns if c.personal}
    hidden |= {"subject_id": "it names the subject"}
    hidden |= {c.name: "it is known only after the outcome" for c in source.columns if c.afterwards}
    columns.hidden = hidden
    return columns


def distinct_names(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Give the features as they are; raises when two different ones share a name."""
    found: dict[str, Feature] = {}
    listed = tuple(features)
    for feature in (p for f in listed for p in (f, *f.parts())):
        if found.setdefault(feature.name, feature) != feature:
            raise ConfigError(f"Two different features are named '{feature.name}'. Rename one.")
    return listed


def kinds_used(features: Iterable[Feature]) -> tuple[str, ...]:
    """Give the kinds that features read, sorted."""
    return tuple(sorted({p.kind for f in features for p in f.parts()}))
