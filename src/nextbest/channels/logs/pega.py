"""Pega: interaction history (several outcomes of one action) and decision extracts (every action at every stage).

In a history the lines of one interaction and action are one decision, first seen when its first line was written. In
an extract the actions that came through to the last stage are the list that was shown, best rank or priority first;
the others are candidates that a stage removed. Neither holds the chance of the choice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nextbest.channels.logs import seen as cells
from nextbest.channels.logs.answers import outcome_name
from nextbest.channels.logs.seen import Came, Read, RefusedError, Seen
from nextbest.channels.logs.sheet import rejected
from nextbest.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped
    from nextbest.ledger.rejects import Reject

_KEPT = frozenset({"output", "final"})  # what Pega calls the last stage, and a record that came through


def history(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give one decision per interaction and action, and one outcome per line, named as the line's Outcome."""
    cell = _cells(sheet, mapped)
    when = cells.clock(sheet.column(mapped.headers["ts"]), mapped.headers["ts"], timezone, latest)
    decisions: list[Seen] = []
    outcomes: list[Came] = []
    rejects: list[Reject] = []
    places: dict[tuple[str, ...], int] = {}
    for row, line in enumerate(sheet.lines):
        try:
            seen = _acted(cell, mapped, row, line, when(cell("ts", row)))
            name = outcome_name(cell("outcome", row), mapped.headers["outcome"])
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
            continue
        place = places.setdefault(seen.key, len(decisions))
        if place == len(decisions):
            decisions.append(seen)
        elif seen.ts < decisions[place].ts:
            decisions[place] = replace(decisions[place], ts=seen.ts)
        outcomes.append(Came(line=line, subject_id=seen.subject_id, ts=seen.ts, name=name, decision=place))
    return Read(decisions=_listed(decisions), outcomes=outcomes, rejects=rejects)


def extract(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give one decision per interaction and position, with every action that a stage removed and by which."""
    cell = _cells(sheet, mapped)
    when = cells.clock(sheet.column(mapped.headers["ts"]), mapped.headers["ts"], timezone, latest)
    asked: dict[str, list[tuple[Seen, int]]] = {}
    rejects: list[Reject] = []
    for row, line in enumerate(sheet.lines):
        try:
            seen = _acted(cell, mapped, row, line, when(cell("ts", row)))
            value = cells.number(cell("expected_value", row), mapped.headers["expected_value"])
            cells.needed(cell("stage", row), mapped.headers["stage"])
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
            continue
        asked.setdefault(seen.request[0], []).append((replace(seen, expected_value=value), row))
    decisions: list[Seen] = []
    for rows in asked.values():
        made = _interaction(cell, rows)
        decisions += made
        if not made:
            rejects += [_nothing_left(seen.line, seen.request[0]) for seen, _ in rows]
    return Read(decisions=decisions, rejects=sorted(rejects, key=lambda r: r.line))


def _cells(sheet: Sheet, mapped: Mapped) -> Callable[[str, int], str | None]:
    columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
    return lambda to, row: columns[to][row] if to in columns else None


def _acted(cell: Callable[[str, int], str | None], mapped: Mapped, row: int, line: int, ts: datetime) -> Seen:
    """Give what a line says of one action in one interaction."""
    interaction = cells.needed(cell("request_id", row), mapped.headers["request_id"])
    name = cells.needed(cell("name", row), mapped.headers["name"])
    parts = (cell("issue", row), cell("group", row), name, cell("treatment", row))
    channel, direction = cell("channel", row) or "", cell("direction", row) or ""
    action = "/".join(p.strip() for p in parts if p)
    rank = cells.whole(cell("rank", row), mapped.headers.get("rank", ""))
    said = {"channel": channel, "direction": direction}
    own = {"issue": parts[0], "group": parts[1], "treatment": parts[3]}
    header = mapped.headers.get("response_probability", "")
    return Seen(
        line=line,
        key=(interaction, action, channel, direction),
        subject_id=cells.needed(cell("subject_id", row), mapped.headers["subject_id"]),
        ts=ts,
        action_id=action,
        response_probability=cells.probability(cell("response_probability", row), header, chosen=False),
        request=(interaction,),
        position=rank or 1,
        context={k: v for k, v in said.items() if v},
        action_features={action: {k: v for k, v in own.items() if v}},
        model_version=cell("model_version", row) or "",
    )


def _listed(decisions: list[Seen]) -> list[Seen]:
    """Give the decisions of an interaction their positions: by rank where the log has one, else as they came."""
    above: dict[tuple[str, ...], list[str]] = {}
    order = sorted(range(len(decisions)), key=lambda i: (decisions[i].position, i))
    made = list(decisions)
    for place in order:
        before = above.setdefault((*decisions[place].request, *decisions[place].key[2:]), [])
        made[place] = replace(decisions[place], position=len(before) + 1, above=tuple(before))
        before.append(decisions[place].action_id)
    return made


# --- an extract -------------------------------------------------------------------------------------------------------


def _interaction(cell: Callable[[str, int], str | None], rows: Sequence[tuple[Seen, int]]) -> list[Seen]:
    """Give the decisions of one interaction; none where every action was removed before the last stage."""
    last = {seen.action_id: (seen, row) for seen, row in sorted(rows, key=lambda r: _order(cell, r[1]))}
    shown = [seen for seen, row in last.values() if _came_through(cell, row)]
    shown.sort(key=lambda s: (s.position, -(s.expected_value or 0.0), s.line))
    removed = tuple(
        Candidate(
            action_id=seen.action_id,
            removed_by=_rule(cell, row),
            response_probability=seen.response_probability,
            expected_value=seen.expected_value,
        )
        for seen, row in last.values()
        if not _came_through(cell, row)
    )
    made = []
    for place, seen in enumerate(shown):
        later = tuple(
            Candidate(
                action_id=s.action_id, response_probability=s.response_probability, expected_value=s.expected_value
            )
            for s in shown[place + 1 :]
        )
        before = tuple(s.action_id for s in shown[:place])
        made.append(replace(seen, listed=(*later, *removed), position=place + 1, above=before, ts=rows[0][0].ts))
    return made


def _order(cell: Callable[[str, int], str | None], row: int) -> float:
    text = cell("stage_order", row)
    try:
        return float(text) if text else 0.0
    except ValueError:
        return 0.0


def _came_through(cell: Callable[[str, int], str | None], row: int) -> bool:
    """Tell whether a line is of the last stage, by its kind of record where the log has one."""
    record = (cell("record", row) or "").strip().lower()
    if record:
        return record in _KEPT
    return bool({(cell(to, row) or "").strip().lower() for to in ("stage", "stage_group")} & _KEPT)


def _rule(cell: Callable[[str, int], str | None], row: int) -> str:
    """Give the stage and component that removed an action, as a rule of the log."""
    said = [cell(to, row) for to in ("stage_group", "stage", "component")]
    return "pega:" + "/".join(dict.fromkeys(s.strip() for s in said if s and s.strip()))


def _nothing_left(line: int, interaction: str) -> Reject:
    from nextbest.ledger.rejects import Reject

    remedy = "Export the last stage (Output) too; an interaction that showed nothing is no decision."
    return Reject(line, "Stage", interaction, "no action of this interaction came through to the last stage", remedy)
