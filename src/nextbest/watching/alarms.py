"""What checks of a play say about its alarms: one that finds what stops raises its own, one that is sound lifts it.

What stops is beyond chance (`Check.stops`); what is merely outside its limit, a choice that narrows, and degraded or
late decisions only warn. An alarm makes decisions degraded, and of these a check may be unable to tell: then the alarm
is lifted once it has stood for a whole window, for nothing that was looked at then is among the decisions of now.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from nextbest.ledger import alarms
from nextbest.ledger.alarms import WATCH, Turn
from nextbest.watching.decisions import NOW_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger import Ledger
    from nextbest.watching.decisions import Watched

WINDOW = timedelta(days=NOW_DAYS)


def turn_alarms(ledger: Ledger, watched: Watched) -> None:
    """Raise and lift the alarms of a play by what its checks found; durable when this returns.

    Only what `watch` itself raised is lifted. What an operator lifted is raised again when the decisions that were
    looked at then are no longer among those of now.
    """
    with ledger.journal.read() as connection:
        known = {a.what: a for a in alarms.newest(connection) if a.play == watched.play}
    turns = list(_turns(ledger, watched, known))
    if turns:
        alarms.turn(ledger, turns)


def _turns(ledger: Ledger, watched: Watched, known: dict[str, alarms.Alarm]) -> Iterator[Turn]:
    for check in watched.checks:
        last = known.get(check.name)
        stands = last is not None and last.raised
        by_other = last is not None and last.by != WATCH
        age = timedelta.max if last is None else ledger.clock() - last.ts
        if stands:
            sound = check.ok if check.status == "ok" else age >= WINDOW
            if sound and not by_other:
                yield Turn(play=watched.play, what=check.name, raised=False, why=check.why, by=WATCH)
        elif check.stops and not (by_other and age < WINDOW):
            yield Turn(play=watched.play, what=check.name, raised=True, why=check.why, by=WATCH)
