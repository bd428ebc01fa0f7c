"""Learn from the log: an answer counts at once, silence counts for as much of its time as has gone by.

A pending decision is not a no. Were it left out until its time is up while answers count at once, every young action
would look as if everybody answered. So silence counts as far as answers would have come by then: in steps, after 1/512,
1/64 and 1/8 of `goal_days` and whole when the time is up, each by the share of the play's answers that came within it
(for small chances p, p F / (p F + F) is p again, F being the share that has come). Until 30 answers have come the four
shares are even; they are settled again whenever the answers have doubled, and the log is then learnt from the
beginning. The answers of young decisions are the quick ones: a play younger than its `goal_days` counts silence rather
too early than too late. An answer makes the decision a whole yes, and puts right what was counted of it before, also
when it comes late; the sums that are left in the end know nothing of the steps.

Degraded decisions, shadows and replays teach nothing, nor does what was decided in hindsight or for a machine, nor what
the caller chose itself as business as usual: why it chose that may be why the person answered, and the log does not
know. A habit that is the same for everyone does teach. When a
person has been erased, or the settings have changed, the state is learnt again from the beginning, from the log as it
is now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from nextbest.ledger import alarms, learning
from nextbest.ledger.learning import Cursor, Seen, Stored
from nextbest.ledger.times import from_micros, to_micros
from nextbest.policies.learners.linear import Lesson, Linear, LinearState
from nextbest.policies.learners.storing import from_bytes, to_bytes, version_of
from nextbest.policies.settings import learner_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from nextbest.ledger import Ledger
    from nextbest.types import Play

NAME = "linear"
_MOST = 5_000  # decisions, and answers, at a time
_DAY = 86_400_000_000
STEPS = (1 / 512, 1 / 64, 1 / 8, 1.0)  # of the time that an answer has
_ENOUGH = 30  # answers, to say how soon they come: a share is then known to a tenth
_PARTS = 1024
_MOVED = 0.05  # of a row: a smaller change is not worth learning the log again


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A play's published state, by number, and how far it has learnt; `lessons` is how many this advance added."""

    number: int
    state: LinearState
    cursor: Cursor
    lessons: int = 0


def settings_of(play: Play) -> Linear | None:
    """Give the settings of the play's linear learner; None when it learns otherwise."""
    if play.learner.get("name") != NAME:
        return None
    made: Linear = learner_of(play)
    return made


def newest(ledger: Ledger, play: Play, known: Learnt | None = None) -> Learnt | None:
    """Give the play's published state; `known` is given back while it is the newest. None: nothing was learnt yet."""
    with ledger.journal.read() as connection:
        if known is not None and learning.number(connection, play.name) == known.number:
            return known
        stored = learning.newest(connection, play.name)
    return None if stored is None else _of(stored)


def advance(ledger: Ledger, play: Play, known: Learnt | None = None) -> Learnt | None:
    """Learn what the log says beyond the newest state, and publish it; gives the newest state.

    When another process published first, gives theirs. None: the play has no linear learner, or nothing to learn yet.
    """
    settings = settings_of(play)
    if settings is None:
        return None
    before = newest(ledger, play, known)
    with ledger.journal.read() as connection:
        erased = learning.erasures(connection)
        afresh = before is None or before.state.settings != settings or before.cursor.erased != erased
        kept = Cursor() if before is None else before.cursor
        base = _nothing(settings, replace(Cursor(erased=erased), shares=kept.shares, settled=kept.settled))
        base = base if afresh or before is None else before
        if not afresh and alarms.stands(connection, play.name):
            return before
        after, answered = _all(ledger, connection, play, base, afresh=afresh)
        settled = _settled(after.cursor)
        if settled.shares != after.cursor.shares:
            afresh = True
            again = replace(Cursor(erased=erased), shares=settled.shares, settled=settled.settled)
            after, answered = _all(ledger, connection, play, _nothing(settings, again), afresh=True)
        after = replace(after, cursor=replace(after.cursor, settled=settled.settled))
    if not after.lessons and not _is_far(before, after):
        return before
    body = to_bytes(after.state)
    stored = Stored(
        number=(0 if before is None else before.number) + 1,
        version=version_of(body),
        body=body,
        cursor=after.cursor,
        ts=to_micros(ledger.clock()),
    )
    if not learning.publish(ledger, play.name, stored, answered, afresh=afresh):
        return newest(ledger, play)
    return replace(after, number=stored.number, state=replace(after.state, version=stored.version))


def _nothing(settings: Linear, cursor: Cursor) -> Learnt:
    """Give the state before any decision."""
    return Learnt(number=0, state=settings.start(), cursor=cursor)


def _settled(cursor: Cursor) -> Cursor:
    """Give how much silence counts for at each step, and from how many answers; anew when there are twice as many."""
    many = sum(cursor.delays)
    if many < max(_ENOUGH, 2 * cursor.settled):
        return cursor
    # As if one answer had come in each before; in parts of 1024, so that the shares of a row add up to exactly 1.
    found = [(n + 1) * _PARTS // (many + len(STEPS)) / _PARTS for n in cursor.delays[:-1]]
    new = (*found, 1.0 - sum(found))
    so_far = zip(accumulate(new), accumulate(_shares(cursor)), strict=True)
    moved = max(abs(a - b) for a, b in so_far) > _MOVED
    return replace(cursor, shares=new if moved else cursor.shares, settled=many)


def _shares(cursor: Cursor) -> tuple[float, ...]:
    return cursor.shares or (1 / len(STEPS),) * len(STEPS)


def _all(
    ledger: Ledger, connection: sqlite3.Connection, play: Play, base: Learnt, *, afresh: bool
) -> tuple[Learnt, set[str]]:
    """Learn all there is, a few thousand decisions at a time; gives also the decisions that were answered."""
    answered: set[str] = set()
    until = _seen_until(ledger, connection)
    while True:
        after, new = _step(ledger, connection, play, base, (until, answered, afresh))
        answered |= new
        if after.cursor == base.cursor:
            return after, answered
        base = after


def _is_far(before: Learnt | None, after: Learnt) -> bool:
    """Tell whether so much was read, though nothing was learnt from it, that it should not be read again."""
    if before is None:
        return False
    was, is_ = before.cursor, after.cursor
    read = is_.outcomes + is_.events - was.outcomes - was.events
    return was.erased != is_.erased or abs(read) > _MOST or was.segments != is_.segments


def _step(
    ledger: Ledger,
    connection: sqlite3.Connection,
    play: Play,
    base: Learnt,
    so_far: tuple[int, set[str], bool],
) -> tuple[Learnt, set[str]]:
    until, counted, afresh = so_far
    window = round(play.goal_days * _DAY)
    found, cursor = learning.arrivals(ledger, connection, (play.name, play.goal), base.cursor, most=_MOST)
    answers: dict[str, Seen] = {}
    came: dict[str, int] = {}
    for arrival in found:
        decision = learning.answered(connection, play.name, arrival, window=window)
        if decision is not None and decision.decision_id not in counted and _teaches(decision):
            answers[decision.decision_id] = decision
            came.setdefault(decision.decision_id, arrival.ts - decision.ts)
    for name in () if afresh else learning.learnt(connection, answers):
        del answers[name], came[name]
    passed, shares = base.cursor.closed or (0,) * len(STEPS), _shares(base.cursor)
    lessons = [lesson for d in answers.values() for lesson in _yes(play, d, passed, shares)]
    closed = []
    for since, step, share in zip(passed, STEPS, shares, strict=True):
        rows, reached = _waited(connection, play, since, until - round(step * window))
        closed.append(reached)
        known = set() if afresh else learning.learnt(connection, (row.decision_id for row in rows))
        silent = (d for d in rows if d.decision_id not in known | answers.keys() | counted and _teaches(d))
        lessons += [_lesson(play, d, 0.0, share=share) for d in silent]
    state = base.state.learnt(lessons)
    cursor = replace(cursor, closed=tuple(closed), delays=_delays(base.cursor, came.values(), window))
    return replace(base, state=state, cursor=cursor, lessons=base.lessons + len(lessons)), set(answers)


def _delays(cursor: Cursor, came: Iterable[int], window: int) -> tuple[int, ...]:
    """Give how many answers have come within each step and not within the one before, these among them."""
    counts = list(cursor.delays or (0,) * len(STEPS))
    for delay in came:
        counts[next((i for i, step in enumerate(STEPS) if delay <= step * window), -1)] += 1
    return tuple(counts)


def _yes(play: Play, d: Seen, passed: tuple[int, ...], shares: tuple[float, ...]) -> list[Lesson]:
    """Give what makes a decision a whole yes: the part that was counted as silent changes, the rest is new."""
    counted = sum(share for since, share in zip(passed, shares, strict=True) if d.ts < since)
    changed = [_lesson(play, d, 1.0, share=counted, again=True)] if counted else []
    return [*changed, _lesson(play, d, 1.0, share=1 - counted)] if counted < 1 else changed


def _seen_until(ledger: Ledger, connection: sqlite3.Connection) -> int:
    """Give up to when it is known who was silent: now, or the end of the last day of which anything is known."""
    seen = learning.observed(ledger, connection)
    if seen is None:
        return 0
    end = from_micros(seen).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return min(to_micros(ledger.clock()), to_micros(end))


def _waited(connection: sqlite3.Connection, play: Play, since: int, until: int) -> tuple[list[Seen], int]:
    """Give the decisions that have passed a step of waiting since the last time."""
    return learning.due(connection, play.name, since=since, until=until, most=_MOST) if until > since else ([], since)


def _teaches(decision: Seen) -> bool:
    said: Any = decision.context
    own = decision.arm == "business_as_usual" and "chosen" in said
    return not said.get("hindsight") and not said.get("bot") and not own


def _lesson(play: Play, d: Seen, response: float, *, share: float, again: bool = False) -> Lesson:
    declared = next((a.features for a in play.actions if a.id == d.action_id), {})
    return Lesson(
        row={**d.context, **d.features},
        action_id=d.action_id,
        response=response,
        day=d.ts / _DAY,
        action_features={**declared, **d.action_features},
        again=again,
        share=share,
    )


def _of(stored: Stored) -> Learnt:
    return Learnt(number=stored.number, state=from_bytes(stored.body), cursor=stored.cursor)
