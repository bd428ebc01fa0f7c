"""The candidates of one request, laid out for the linear learner: gathered once per menu, then reused."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from nextbest.policies.learners.layout import feature_of, said

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.policies.learners.layout import Layout
    from nextbest.policies.learners.posterior import Posterior


class Candidates(Protocol):
    """What a request brings: ids, the names of their features, and values of shape (ids, names), NaN where missing."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The actions."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of `values` mean."""
        ...

    @property
    def values(self) -> Numbers:
        """Their features."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """Per candidate: departures (ids, d), pull' (ids * D, d), inverse (ids * d, d); and a root of cov, shape (D, D)."""

    departures: Numbers
    pull: Numbers
    inverse: Numbers
    root: Numbers


def shown(known: Posterior, groups: np.ndarray[Any, np.dtype[np.intp]]) -> Shown:
    """Give what a posterior says of the actions of some groups; group -1 is an action nobody has tried."""
    d, v = known.frame.d, known.variances
    prior = np.full(d, v.slopes / v.noise)
    prior[0] = v.offset / v.noise
    new = groups < 0
    departures, pull, inverse = known.departures[groups], known.pull[groups], known.inverse[groups]
    departures[new], pull[new], inverse[new] = 0.0, 0.0, np.diag(prior)
    return Shown(
        departures=np.ascontiguousarray(departures),
        pull=np.ascontiguousarray(pull.transpose(0, 2, 1)).reshape(-1, d),
        inverse=np.ascontiguousarray(inverse).reshape(-1, d),
        root=_root(known.cov),
    )


def _root(cov: Numbers) -> Numbers:
    values, vectors = np.linalg.eigh(cov)
    return np.asarray(np.ascontiguousarray(vectors * np.sqrt(np.maximum(values, 0.0))))


def encode_offers(layout: Layout, offers: Candidates) -> Numbers:
    """Give the offers' features in the columns of the layout, shape (ids, columns)."""
    plan = _plan(layout, offers.names)
    out = np.zeros((len(offers.ids), len(layout.columns)))
    values = offers.values[:, plan.numbers]
    gone = ~np.isfinite(values)
    out[:, plan.numbers_at] = np.where(gone, 0.0, values - plan.centre)
    out[:, plan.absence_at] = gone[:, plan.absence_of]
    for feature in plan.texts:
        marked = np.isfinite(offers.values[:, feature.marks]) & (offers.values[:, feature.marks] != 0)
        for i, column in enumerate(feature.columns):
            if column >= 0:
                out[marked[:, i], column] = 1.0
        if feature.absence >= 0:
            out[:, feature.absence] = ~marked.any(axis=1)
    out[:, plan.never] = 1.0
    return out


class _Text(NamedTuple):
    marks: list[int]
    columns: list[int]
    absence: int


class _Plan(NamedTuple):
    """Where the names of offers go: numbers with their columns, texts mark by mark, absences of what never comes."""

    numbers: list[int]
    numbers_at: list[int]
    centre: Numbers
    absence_at: list[int]
    absence_of: list[int]
    texts: tuple[_Text, ...]
    never: list[int]


@lru_cache(maxsize=256)
def _plan(layout: Layout, names: tuple[str, ...]) -> _Plan:
    at = {name: i for i, name in enumerate(layout.columns)}
    numbers = [i for i, name in enumerate(names) if said(name) == name and name in at]
    marks: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if said(name) != name:
            marks.setdefault(feature_of(name), []).append(i)
    absent = [(n, at[names[i] + "?"]) for n, i in enumerate(numbers) if names[i] + "?" in at]
    texts = tuple(
        _Text(own, [at.get(said(names[i]), at.get(f"{feature}=*", -1)) for i in own], at.get(f"{feature}?", -1))
        for feature, own in marks.items()
    )
    told = {*marks, *(names[i] for i in numbers)}
    return _Plan(
        numbers=numbers,
        numbers_at=[at[names[i]] for i in numbers],
        centre=np.array([layout.centre[at[names[i]]] for i in numbers]),
        absence_at=[column for _, column in absent],
        absence_of=[n for n, _ in absent],
        texts=texts,
        never=[i for name, i in at.items() if name.endswith("?") and feature_of(name) not in told],
    )
