"""Logs of feedback: that something was shown is itself a line, and what was done with it are further lines.

A line that only says what somebody did, about something that no line says was shown, is an outcome of the subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.channels.logs import seen as cells
from nextbest.channels.logs.answers import outcome_name
from nextbest.channels.logs.seen import Came, Read, RefusedError, Seen
from nextbest.channels.logs.sheet import rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped
    from nextbest.ledger.rejects import Reject

_SHOWN = {"gorse": frozenset({"read"}), "personalize": frozenset({"viewed"})}


def read(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give one decision per line that says something was shown, and the other lines as outcomes of the last one."""
    columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
    when = cells.clock(columns["ts"], mapped.headers["ts"], timezone, latest)
    shown = _SHOWN[mapped.log.system]
    # A line sorts by its time, and what was shown comes before what was done with it.
    found: list[tuple[datetime, int, int, str, str, str, float]] = []
    rejects: list[Reject] = []
    for row, line in enumerate(sheet.lines):
        try:
            name, user, item, value = _line(columns, mapped.headers, row)
            found.append((when(columns["ts"][row]), int(name not in shown), line, user, item, name, value))
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
    decisions: list[Seen] = []
    outcomes: list[Came] = []
    last: dict[tuple[str, str], int] = {}
    for ts, what, line, user, item, name, value in sorted(found):
        if what == 0:
            last[user, item] = len(decisions)
            decisions.append(Seen(line=line, key=(user, item, ts.isoformat()), subject_id=user, ts=ts, action_id=item))
        else:
            place = last.get((user, item))
            outcomes.append(Came(line=line, subject_id=user, ts=ts, name=name, value=value, decision=place))
    return Read(decisions=_once(decisions), outcomes=outcomes, rejects=rejects)


def _line(
    columns: Mapping[str, Sequence[str | None]], headers: Mapping[str, str], row: int
) -> tuple[str, str, str, float]:
    """Give what was done, by whom, with what, and how much."""
    name = outcome_name(columns["outcome"][row], headers["outcome"])
    value = cells.number(columns["reward"][row], headers["reward"]) if "reward" in columns else None
    user = cells.needed(columns["subject_id"][row], headers["subject_id"])
    item = cells.needed(columns["action_id"][row], headers["action_id"])
    return name, user, item, 1.0 if value is None else value


def _once(decisions: Sequence[Seen]) -> list[Seen]:
    """Give every decision a key of its own, where the same was shown twice at one moment."""
    from collections import Counter
    from dataclasses import replace

    seen: Counter[tuple[str, ...]] = Counter()
    made = []
    for decision in decisions:
        seen[decision.key] += 1
        made.append(replace(decision, key=(*decision.key, str(seen[decision.key]))))
    return made
