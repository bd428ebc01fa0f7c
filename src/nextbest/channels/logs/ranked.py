"""Logs of lists: a page of items in order, of which some were taken up. One decision per position.

A later position could not have what stood above it. Ten positions are kept: further down nobody looks, and each
position repeats the whole list.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from nextbest.channels.logs import seen as cells
from nextbest.channels.logs.answers import outcome_name
from nextbest.channels.logs.seen import Came, Read, RefusedError, Seen
from nextbest.channels.logs.sheet import rejected
from nextbest.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped
    from nextbest.ledger.rejects import Reject

POSITIONS = 10
_IS_NO_DECISION = frozenset({"item", "user"})


def metarank(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give the rankings as decisions and the interactions as outcomes; metadata of items and users is read over."""
    columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
    when = cells.clock(columns["ts"], mapped.headers["ts"], timezone, latest)
    decisions: list[Seen] = []
    rejects: list[Reject] = []
    later: list[int] = []
    places: dict[tuple[str, str], int] = {}
    for row, line in enumerate(sheet.lines):
        kind = (columns["event"][row] or "").strip()
        try:
            if kind == "ranking":
                made = _ranking(columns, row, line, when(columns["ts"][row]))
                for seen in made:
                    places[seen.request[0], seen.action_id] = len(decisions)
                    decisions.append(seen)
            elif kind == "interaction":
                later.append(row)
            elif kind not in _IS_NO_DECISION:
                _unknown_event(kind)
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
    outcomes, refused_ones = _interactions(sheet, columns, later, when, places)
    return Read(decisions=decisions, outcomes=outcomes, rejects=[*rejects, *refused_ones])


def _unknown_event(kind: str) -> NoReturn:
    raise RefusedError("event", kind, "is no event of Metarank", "Write ranking, interaction, item or user.")


def _ranking(columns: Mapping[str, Sequence[str | None]], row: int, line: int, ts: datetime) -> list[Seen]:
    items = cells.document(columns["candidates"][row], "items")
    named = [str(i["id"]) for i in items if isinstance(i, dict) and i.get("id")] if isinstance(items, list) else []
    if not named or len(set(named)) != len(named):
        raise RefusedError("items", columns["candidates"][row], "is not a list of different items", "Give [{id: ...}].")
    own = cells.needed(columns["decision_id"][row], "id")
    subject = columns.get("subject_id", [None] * (row + 1))[row] or columns.get("request_id", [None] * (row + 1))[row]
    fields = columns.get("subject_words")
    return positions(
        named,
        Seen(line=line, key=(own,), subject_id=subject or "", ts=ts, action_id="", request=(own,),
             context=_fields(cells.document(fields[row], "fields") if fields else None)),
    )  # fmt: skip


def positions(named: Sequence[str], common: Seen) -> list[Seen]:
    """Give one decision per position of a list, each with the items below it as its other candidates."""
    made = []
    for place, action in enumerate(named[:POSITIONS]):
        below = tuple(Candidate(action_id=other) for other in named[place + 1 :])
        made.append(
            replace(
                common,
                key=(*common.key, str(place + 1)),
                action_id=action,
                listed=below,
                position=place + 1,
                above=tuple(named[:place]),
            )
        )
    return made


def _interactions(
    sheet: Sheet,
    columns: Mapping[str, Sequence[str | None]],
    rows: Sequence[int],
    when: Any,  # noqa: ANN401 (what reads a moment)
    places: Mapping[tuple[str, str], int],
) -> tuple[list[Came], list[Reject]]:
    """Give what came of the rankings, by ranking and item; an item further down is an outcome of the subject."""
    outcomes, rejects = [], []
    nothing: list[str | None] = [None] * len(sheet.lines)
    for row in rows:
        line = sheet.lines[row]
        try:
            item = cells.needed(columns.get("action_id", nothing)[row], "item")
            name = outcome_name(columns.get("outcome", nothing)[row], "type")
            place = places.get((columns.get("ranking", nothing)[row] or "", item))
            subject = columns.get("subject_id", nothing)[row] or columns.get("request_id", nothing)[row]
            who = subject or ("" if place is not None else cells.needed(subject, "user"))
            ts = when(columns["ts"][row])
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
            continue
        outcomes.append(Came(line=line, subject_id=who, ts=ts, name=name, decision=place))
    return outcomes, rejects


def _fields(said: Any) -> dict[str, Any]:  # noqa: ANN401 (any JSON)
    """Give [{name, value}, ...] as names and values, those that are texts and numbers."""
    listed = said if isinstance(said, list) else []
    pairs = [(f.get("name"), f.get("value")) for f in listed if isinstance(f, dict)]
    return {str(n): v for n, v in pairs if n and isinstance(v, str | int | float | bool)}


# --- Amazon Personalize -----------------------------------------------------------------------------------------------


def personalize(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give the impressions as decisions (items joined by |) and what was done with an item as its outcome.

    Lines of one user, time and impression are one list. A line without an impression says nothing of what was shown.
    """
    columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
    nothing: list[str | None] = [None] * len(sheet.lines)
    when = cells.clock(columns["ts"], mapped.headers["ts"], timezone, latest)
    decisions: list[Seen] = []
    outcomes: list[Came] = []
    rejects: list[Reject] = []
    lists: dict[tuple[str, ...], dict[str, int]] = {}
    for row, line in enumerate(sheet.lines):
        try:
            user = cells.needed(columns["subject_id"][row], "USER_ID")
            item, ts = cells.needed(columns["action_id"][row], "ITEM_ID"), when(columns["ts"][row])
            shown = [i for i in cells.needed(columns["item_ids"][row], "IMPRESSION").split("|") if i]
            value = cells.number(columns.get("reward", nothing)[row], "EVENT_VALUE")
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
            continue
        key = (user, ts.isoformat(), "|".join(shown))
        if key not in lists:
            common = Seen(line=line, key=key, subject_id=user, ts=ts, action_id="", request=key)
            made = positions(list(dict.fromkeys(shown)), common)
            lists[key] = {seen.action_id: len(decisions) + i for i, seen in enumerate(made)}
            decisions += made
        name = "_".join((columns.get("outcome", nothing)[row] or "interaction").lower().split())
        place = lists[key].get(item)
        outcomes.append(
            Came(line=line, subject_id=user, ts=ts, name=name, value=1.0 if value is None else value, decision=place)
        )
    return Read(decisions=decisions, outcomes=outcomes, rejects=rejects)
