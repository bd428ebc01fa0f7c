"""One run of a play over a table of subjects: what decide_bulk and decide_one have in common, so that they agree."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from nextbest.policies import evidence, gates, limits
from nextbest.policies.choose import Choice, choose, policy_version, together, weighs
from nextbest.policies.draw import fingerprints
from nextbest.policies.left import Used, left_today, used_today
from nextbest.policies.removals import Removals
from nextbest.policies.response import Ranking, rank
from nextbest.types import ANY_ITEM, NO_ACTION, NONE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.policies.draw import Numbers, Words
    from nextbest.policies.learners.linear import LinearState
    from nextbest.policies.lift import Lifts
    from nextbest.types import Action, Play

_log = logging.getLogger("nextbest")
BLOCK = 1 << 16  # rows worked on at once: what a block needs stays small, whatever the list


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A play about to be decided: its actions with `none`, what is known of their effects, the time and the salt."""

    moment: gates.Moment
    lifts: Lifts
    version: str
    salt: str
    day: str
    state: LinearState | None = None

    @property
    def play(self) -> Play:
        """The play."""
        return self.moment.play

    @property
    def actions(self) -> tuple[Action, ...]:
        """Its actions, `none` among them."""
        return self.moment.actions

    @property
    def none(self) -> int:
        """The position of `none`."""
        return [a.id for a in self.actions].index(NO_ACTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The subjects of a run with what each action is worth to them."""

    table: pa.Table
    subjects: Words
    ranking: Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What came of one pass through the gates: who removed what, worth after prices, and what was drawn."""

    removals: Removals
    choice: Choice
    charged: Ranking
    consent_version: int
    plan: limits.Allocated | None
    left: limits.Left
    used: Used


def actions_of(play: Play) -> tuple[Action, ...]:
    """Give the actions of a play; doing nothing is always one of them."""
    return play.actions if any(a.id == NO_ACTION for a in play.actions) else (*play.actions, NONE)


def prepare(
    ledger: Ledger, play: Play, *, now: datetime, salt: str | None, quiet: bool, offered: frozenset[str] | None = None
) -> Run:
    """Give the run of a play at a moment; the salt is the workspace's own unless one is given."""
    from nextbest.ledger.workspace import digest

    actions = actions_of(play)
    moment = gates.Moment(play=play, actions=actions, now=now, config=ledger.config, offered=offered, quiet=quiet)
    lifts = evidence.lifts(ledger, play, actions, as_of=now)
    version = policy_version(play, margin=ledger.config.margin, lifts=lifts)
    state = _learnt(ledger, play)
    version = version if state is None or not state.version else f"{version}.{state.version[:16]}"
    own = digest(ledger, "draw") if salt is None else salt
    return Run(
        moment=moment, lifts=lifts, version=version, salt=own, day=_local(ledger, now).date().isoformat(), state=state
    )


def _learnt(ledger: Ledger, play: Play) -> LinearState | None:
    """Give the newest state of the play's learner, the one before any decision where none is; None: it learns lifts."""
    from nextbest.policies.learners import learn

    settings = learn.settings_of(play)
    if settings is None or any(a.id == ANY_ITEM for a in play.actions):
        return None
    found = learn.newest(ledger, play)
    return settings.start() if found is None else found.state


def ranked(run: Run, table: pa.Table) -> Ranked:
    """Give what every action is worth to every subject of the table."""
    learnt, margin = _said(run, table), run.moment.config.margin
    failed = learnt is not None and not (np.isfinite(learnt[0]).all() and np.isfinite(learnt[1]).all())
    if failed:
        _log.error("decide %s: the model gave something other than numbers", run.play.name)
    ranking = rank(run.play, table, run.actions, run.lifts, margin=margin, learnt=None if failed else learnt)
    ranking = replace(ranking, degraded=np.ones(table.num_rows, dtype=bool)) if failed else ranking
    words = [fingerprints(table["subject_id"].slice(part.start, BLOCK).to_pylist()) for part in blocks(table.num_rows)]
    return Ranked(table=table, subjects=np.concatenate(words), ranking=ranking)


def _said(run: Run, table: pa.Table) -> tuple[Numbers, Numbers] | None:
    """Give mean and standard deviation of the response by the play's learner, shape (subjects, actions)."""
    if run.state is None:
        return None
    from nextbest.policies.learners.many import responses
    from nextbest.policies.live.ask import Offers
    from nextbest.policies.live.menu import described, menu

    shown = menu(run.actions)
    names, values = described(run.actions, shown, None)
    return responses(run.state, table, Offers(ids=shown.ids, names=names, values=values))


def blocks(rows: int) -> Iterator[slice]:
    """Give the spans of rows that are worked on at once; nobody at all is one span."""
    for start in range(0, max(rows, 1), BLOCK):
        yield slice(start, min(start + BLOCK, rows))


def settle(ledger: Ledger, connection: sqlite3.Connection, run: Run, known: Ranked) -> Settled:
    """Close the gates, apply the limits, and draw; reads only through the connection it is given."""
    removals = Removals(known.table.num_rows, len(run.actions))
    version = gates.close_gates(ledger, connection, run.moment, known.table, removals)
    gates.remove_degraded(run.moment, known.ranking.degraded, removals)
    used = used_today(connection, run.moment)
    left = left_today(run.moment, known.table, used)
    plan = limits.apply(removals, known.ranking.worth, run.actions, run.none, left) if limits.binds(left) else None
    charged = known.ranking if plan is None else replace(known.ranking, worth=plan.worth)
    choice = _choose(run, known, charged, removals)
    return Settled(
        removals=removals, choice=choice, charged=charged, consent_version=version, plan=plan, left=left, used=used
    )


def _choose(run: Run, known: Ranked, ranking: Ranking, removals: Removals) -> Choice:
    """Draw for everyone; by blocks where the policy looks at one subject at a time."""
    made = [
        choose(
            run.play,
            known.table.slice(part.start, part.stop - part.start),
            run.actions,
            ranking=ranking.part(part),
            removals=removals.part(part),
            subjects=known.subjects[part],
            key=(run.version, run.day, run.salt),
        )
        for part in (blocks(known.table.num_rows) if weighs(run.play) else [slice(0, known.table.num_rows)])
    ]
    return together(made)


def _local(ledger: Ledger, now: datetime) -> datetime:
    return now.astimezone(ZoneInfo(ledger.config.timezone))


def chosen_gain(run: Run, known: Ranked, choice: Choice) -> float:
    """Give what the chosen actions are expected to earn more than doing nothing, summed over subjects."""
    worth = known.ranking.worth
    return float((worth[np.arange(len(worth)), choice.action] - worth[:, run.none]).sum())
