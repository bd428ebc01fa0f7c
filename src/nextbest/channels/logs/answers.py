"""Logs in which a line is an outcome: what came of a decision that another file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.channels.logs import seen as cells
from nextbest.channels.logs.seen import Came, Read
from nextbest.channels.logs.sheet import each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nextbest.channels.logs.seen import Seen
    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped


def read(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give one outcome per line, of the decision that it names, or of its subject."""
    columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
    when = cells.clock(columns["ts"], mapped.headers["ts"], timezone, latest)
    empty: Sequence[str | None] = [None] * len(sheet.lines)

    def take(row: int) -> tuple[Seen | None, Sequence[Came]]:
        value = cells.number(columns.get("reward", empty)[row], mapped.headers.get("reward", ""))
        one = Came(
            line=sheet.lines[row],
            subject_id=cells.needed(columns["subject_id"][row], mapped.headers["subject_id"]),
            ts=when(columns["ts"][row]),
            name=outcome_name(columns["outcome"][row], mapped.headers["outcome"]),
            value=1.0 if value is None else value,
            decision_id=columns.get("decision_id", empty)[row],
        )
        return None, (one,)

    return each(sheet, take)


def outcome_name(text: str | None, header: str) -> str:
    """Give the name of an outcome as it is written here: in lower case, words joined by underscores."""
    return "_".join(cells.needed(text, header).lower().split())
