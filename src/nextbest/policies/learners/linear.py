"""A linear learner: what each action's response is, by what is known of the subject and of the action.

The model is that of `posterior.py`: weights that all actions share, and departures per action, drawn towards the shared
ones as far as the data say that actions are alike. A new action starts from the shared part.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.learners.layout import Layout, as_features
from nextbest.policies.learners.posterior import Posterior, frame_of, solve, starting, updated
from nextbest.policies.learners.shown import Shown, encode_offers
from nextbest.policies.learners.shown import shown as prepared
from nextbest.policies.learners.sums import Sums, added, corrected, empty, scaled, widened
from nextbest.types import ANY_ITEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nextbest.policies.draw import Numbers
    from nextbest.policies.learners.shown import Candidates

_GROWTH = 1.2  # columns are measured anew, and variances estimated anew, whenever there is a fifth more data
_AGED = 0.1  # or a tenth of a half-life has gone by
_STEPS = 4
_MOST_KEPT = 64


class Lesson(NamedTuple):
    """One decision to learn from: what was known, what was done, what came of it, on which day (since 1970).

    `share` is the part of a row that it counts as. `again` says that this part was learnt from before; `response` is
    then by how much its response has changed.
    """

    row: Mapping[str, Any]
    action_id: str
    response: float
    day: float
    action_features: Mapping[str, Any] = {}
    again: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """The settings of the learner.

    `features` are the columns of subject and context to learn from; empty: all that the log holds. A decision counts
    half after `half_life_days` (None: nothing is forgotten). Beyond `most_actions` items are told apart by their
    features alone; there are at most `most_columns` columns for subjects, and as many for actions.
    """

    features: tuple[str, ...] = ()
    half_life_days: float | None = None
    most_actions: int = 100
    most_columns: int = 100

    def __post_init__(self) -> None:
        if self.half_life_days is not None and not self.half_life_days > 0:
            raise ConfigError(f"Learner 'linear' has half_life_days {self.half_life_days}; it is a number above 0.")
        for name, value in (("most_actions", self.most_actions), ("most_columns", self.most_columns)):
            if value < 1:
                raise ConfigError(f"Learner 'linear' has {name} {value}; it is a number from 1 up.")

    def start(self) -> LinearState:
        """Give the state before any decision."""
        return _refreshed(
            LinearState(
                settings=self,
                subject=Layout(most=self.most_columns, only=self.features),
                action=Layout(most=self.most_columns),
                groups=(ANY_ITEM,),
                sums=empty(),
                posterior=None,
                refreshed=(0.0, 0.0),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearState:
    """What has been learnt, immutable. `groups` are the actions with departures of their own, the first is the rest."""

    settings: Linear
    subject: Layout
    action: Layout
    groups: tuple[str, ...]
    sums: Sums
    posterior: Posterior | None
    refreshed: tuple[float, float]
    version: str = ""
    _kept: dict[tuple[str, ...], Shown] = field(default_factory=dict, repr=False)

    @property
    def known(self) -> Posterior:
        """The posterior; every state that was made by `start`, `learnt` or `storing` has one."""
        if self.posterior is None:
            raise ConfigError("A state of the learner 'linear' was put together without its posterior. Use `start`.")
        return self.posterior

    def response(self, row: Mapping[str, Any], offers: Candidates) -> tuple[Numbers, Numbers]:
        """Give mean (between 0 and 1) and standard deviation of the response to every offer."""
        known = self.known
        frame, d = known.frame, known.frame.d
        menu = self.shown(offers.ids)
        x = np.ones(d)
        x[1:] = (self.subject.encode(row) - frame.centre[1:d]) / frame.scale[1:d]
        mean = menu.departures @ x + x @ known.mean[:d]
        from_x = (menu.pull @ x).reshape(len(offers.ids), -1)
        rest = -from_x
        rest[:, :d] += x
        if self.action.columns:
            z = (encode_offers(self.action, offers) - frame.centre[d:]) / frame.scale[d:]
            mean = mean + z @ known.mean[d:]
            rest[:, d:] += z
        own = (menu.inverse @ x).reshape(-1, d) @ x
        shared = rest @ menu.root
        variance = known.variances.noise * own + np.einsum("ij,ij->i", shared, shared)
        return np.minimum(np.maximum(mean, 0.0), 1.0), np.sqrt(variance)

    def learnt(self, lessons: Sequence[Lesson]) -> LinearState:
        """Give the state after some more decisions; the order in which decisions are learnt from does not matter."""
        if not lessons:
            return self
        grown = self._grown(lessons)
        widened_ = len(grown.sums.fy) != len(self.sums.fy)
        groups = grown._groups_of(lesson.action_id for lesson in lessons)  # noqa: SLF001 (one class)
        f, y = grown._matrix(lessons), np.array([float(lesson.response) for lesson in lessons])  # noqa: SLF001
        w = grown._weights(lessons)  # noqa: SLF001
        sums, again = grown.sums, np.array([lesson.again for lesson in lessons])
        for adding, chosen in ((added, ~again), (corrected, again)):
            if chosen.any():
                sums = adding(sums, f[chosen], y[chosen], w[chosen], groups[chosen])
        day = max(lesson.day for lesson in lessons)
        after = replace(grown, sums=sums, version="", _kept={})
        if widened_ or after._is_due(day):  # noqa: SLF001
            return _refreshed(after, day)
        return replace(after, posterior=updated(self.known, sums, np.unique(groups)))

    def shown(self, ids: tuple[str, ...]) -> Shown:
        """Give what the actions of a menu need of the posterior, made once per menu."""
        found = self._kept.get(ids)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            found = self._kept[ids] = prepared(self.known, self._groups_of(ids))
        return found

    def _groups_of(self, ids: Iterable[str]) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Give the group of each action; -1: an action that nothing is known of yet."""
        at = {name: i for i, name in enumerate(self.groups)}
        unknown = 0 if len(self.groups) > self.settings.most_actions else -1
        return np.array([at.get(name, unknown) for name in ids], dtype=np.intp)

    def _grown(self, lessons: Sequence[Lesson]) -> LinearState:
        """Give the state with room for what the lessons bring."""
        first = not self.sums.n
        fresh = [lesson for lesson in lessons if not lesson.again]
        subject, since_x = self.subject.grown((lesson.row for lesson in fresh), first=first)
        action, since_z = self.action.grown((as_features(lesson.action_features) for lesson in fresh), first=first)
        new = dict.fromkeys(lesson.action_id for lesson in fresh if lesson.action_id not in self.groups)
        groups = (*self.groups, *tuple(new)[: max(0, self.settings.most_actions + 1 - len(self.groups))])
        old, d = self.sums.xy.shape[1], 1 + len(subject.columns)
        shape = (len(groups), d, d + len(action.columns))
        if (subject, action, groups) == (self.subject, self.action, self.groups):
            return self
        constant = np.array([*(1 + j for j in since_x), *(d + j for j in since_z)], dtype=np.intp)
        at = np.concatenate([np.arange(old), d + np.arange(len(self.sums.fy) - old)])
        sums = widened(self.sums, at, shape, constant)
        return replace(self, subject=subject, action=action, groups=groups, sums=sums)

    def _matrix(self, lessons: Sequence[Lesson]) -> Numbers:
        d = 1 + len(self.subject.columns)
        f = np.ones((len(lessons), d + len(self.action.columns)))
        for i, lesson in enumerate(lessons):
            f[i, 1:d] = self.subject.encode(lesson.row)
            if self.action.columns:
                f[i, d:] = self.action.encode(as_features(lesson.action_features))
        return f

    def _weights(self, lessons: Sequence[Lesson]) -> Numbers:
        life, share = self.settings.half_life_days, np.array([lesson.share for lesson in lessons])
        if life is None:
            return share
        days = np.array([lesson.day for lesson in lessons])
        return np.asarray(share * np.exp2(np.minimum((days - self.sums.since) / life, 500.0)))

    def _is_due(self, day: float) -> bool:
        life, (n, last) = self.settings.half_life_days, self.refreshed
        return self.sums.n >= _GROWTH * n or (life is not None and day - last >= _AGED * life)


def _refreshed(state: LinearState, day: float = 0.0) -> LinearState:
    """Give the state with columns measured and variances estimated anew, as of a day."""
    sums, life = state.sums, state.settings.half_life_days
    if life is not None and day > sums.since:
        # What is older than 500 half-lives weighs nothing; without the bound the first day would divide by zero.
        sums = scaled(sums, float(np.exp2(-min((day - sums.since) / life, 500.0))), day)
    numeric = np.array([False, *state.subject.numeric, *state.action.numeric])
    frame = frame_of(sums, numeric)
    same = state.posterior is not None and len(state.posterior.mean) == len(sums.fy)
    before = state.posterior.variances if same and state.posterior is not None else starting(frame.d, len(sums.fy))
    posterior = solve(sums, frame, before, steps=_STEPS if sums.n else 0)
    return replace(state, sums=sums, posterior=posterior, refreshed=(sums.n, day))
