"""What checks of a play say about its alarms: a check that fails raises its own, one that is sound again lifts it."""

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

# Those that say that chances, arms or rewards cannot be trusted. Degraded and late decisions are not among them: an
# alarm makes decisions degraded, so it would never end.
RAISED_BY = frozenset({
    *("choice_shares", "impossible_choices", "sample_ratio", "entropy", "reward", "silence", "unlogged"),
})  # fmt: skip


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
        if check.name not in RAISED_BY or check.status != "ok" or stands != check.ok:
            continue
        by_other = last is not None and last.by != WATCH
        if by_other and (stands or (last is not None and ledger.clock() - last.ts < timedelta(days=NOW_DAYS))):
            continue
        yield Turn(play=watched.play, what=check.name, raised=not check.ok, why=check.why, by=WATCH)
