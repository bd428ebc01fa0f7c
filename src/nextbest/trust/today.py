"""Today's list: the newest decision per play and subject, best money first, with reasons and what was ruled out.

The reasons are the features that the play itself asked about: the chosen action's eligibility, then the audience.
A decision that was left to a person stands in the list with the action `none`, and its alternatives are the choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nextbest.features.expression import parse
from nextbest.ledger import analysis, feedback, logs
from nextbest.policies import evidence
from nextbest.policies.live.failsafe import QUEUED
from nextbest.trust.words import teller
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.trust.words import Teller
    from nextbest.types import Action, Play

REASONS = 2
_RUN = timedelta(hours=24)  # decisions this close to a play's newest one belong to the same list


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the list. `expected_gain`: money over doing nothing. `removed`: rules and what they removed."""

    decision_id: str
    play: str
    subject_id: str
    action_id: str
    action_text: str
    channel: str
    expected_gain: float
    response_probability: float
    choice_probability: float
    arm: str
    reason: str
    reasons: tuple[str, ...]
    removed: tuple[Mapping[str, str], ...]
    alternatives: tuple[str, ...]
    feedback: str | None
    changed_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The list and its totals: how many subjects were decided, by action and by arm, and what the list should earn.

    `assumed` names the actions whose effect nobody has measured yet; `removed_by` counts what each rule ruled out.
    """

    items: tuple[Item, ...] = ()
    decided: int = 0
    by_action: Mapping[str, int] = field(default_factory=dict)
    by_arm: Mapping[str, int] = field(default_factory=dict)
    removed_by: Mapping[str, int] = field(default_factory=dict)
    expected_gain: float = 0.0
    assumed: tuple[str, ...] = ()
    decided_ts: str = ""
    currency: str = ""
    regime: str = ""
    note: str = ""


def today(ledger: Ledger, plays: Mapping[str, Play], *, limit: int = 100) -> Today:
    """Give the newest list of the workspace; empty when nothing has been decided yet."""
    rows = _newest(_to_work(logs.ours(analysis.table(ledger, "decisions")), plays))
    settings = ledger.config
    if not rows.num_rows:
        return Today(currency=settings.currency, regime=settings.consent.regime, note=settings.consent.note)
    acted = [row for row in rows.to_pylist() if row["action_id"] != NO_ACTION or _waits(row)]
    acted.sort(key=_gain, reverse=True)
    tell = teller(ledger)
    return Today(
        items=tuple(_item(ledger, row, plays.get(row["play"]), tell) for row in acted[:limit]),
        decided=rows.num_rows,
        by_action=_counts(rows["action_id"]),
        by_arm=_counts(rows["arm"]),
        removed_by=_counts(pc.struct_field(pc.list_flatten(rows["candidates"]), "removed_by").drop_null()),
        expected_gain=sum(_gain(row) for row in acted),
        assumed=tuple(_assumed(ledger, plays, {(row["play"], row["action_id"]) for row in acted})),
        decided_ts=pc.max(rows["ts"]).as_py().isoformat(),
        currency=settings.currency,
        regime=settings.consent.regime,
        note=settings.consent.note,
    )


def _waits(row: Mapping[str, Any]) -> bool:
    """Tell whether a decision was left to a person: nothing is done until someone puts an action in its place."""
    return bool(row["reason"].startswith(QUEUED))


def _queued(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the actions among which a person is asked to choose."""
    return tuple(json.loads(row["context"]).get("queued", ())) if _waits(row) else ()


def _assumed(ledger: Ledger, plays: Mapping[str, Play], done: set[tuple[str, str]]) -> list[str]:
    """Give the actions of the list whose effect is still the one that was assumed."""
    found = set()
    for play in (plays[name] for name in {name for name, _ in done} if name in plays):
        lifts = evidence.lifts(ledger, play, play.actions, as_of=ledger.clock())
        mine = {action for name, action in done if name == play.name and action in lifts.by_action}
        found |= {action for action in mine if lifts.by_action[action].assumed}
    return sorted(found)


def _to_work(decisions: pa.Table, plays: Mapping[str, Play]) -> pa.Table:
    """Leave out what pages asked for and have shown already: nobody has to work through that."""
    shown = [n for n, p in plays.items() if {a.action_class for a in p.actions if a.id != NO_ACTION} == {"content"}]
    asked = pc.not_equal(decisions["request_id"], "")
    return decisions.filter(pc.invert(pc.and_(asked, pc.is_in(decisions["play"], pa.array(shown, pa.string())))))


def _newest(decisions: pa.Table) -> pa.Table:
    """Keep the last live decision per play and subject, from each play's newest run and since.

    A run is what was decided in bulk; one request from a shop must not replace a list of thousands.
    """
    live = decisions.filter(pc.equal(decisions["mode"], "live"))
    joined = live.sort_by([("ts", "descending"), ("decision_id", "descending")])
    last = _last(live) | _last(live.filter(pc.not_equal(live["request_id"], "")))
    seen: set[tuple[str, str]] = set()
    keep = []
    keys = zip(joined["play"].to_pylist(), joined["subject_id"].to_pylist(), joined["ts"].to_pylist(), strict=True)
    for position, (play, subject, ts) in enumerate(keys):
        if ts > last[play] - _RUN and (play, subject) not in seen:
            seen.add((play, subject))
            keep.append(position)
    return joined.take(pa.array(keep, pa.int64()))


def _last(decisions: pa.Table) -> dict[str, datetime]:
    """Give the moment of the last decision per play."""
    latest = decisions.group_by("play").aggregate([("ts", "max")])
    return dict(zip(latest["play"].to_pylist(), latest["ts_max"].to_pylist(), strict=True))


def _item(ledger: Ledger, row: Mapping[str, Any], play: Play | None, tell: Teller) -> Item:
    action = next((a for a in play.actions if a.id == row["action_id"]), None) if play else None
    chosen = _candidate(row, row["action_id"])
    with ledger.journal.read() as connection:
        said = feedback.of_decision(connection, row["decision_id"])
    return Item(
        decision_id=row["decision_id"],
        play=row["play"],
        subject_id=row["subject_id"],
        action_id=row["action_id"],
        action_text=(action.text if action else "") or row["action_id"],
        channel=action.channel if action else "",
        expected_gain=_gain(row),
        response_probability=chosen["response_probability"],
        choice_probability=chosen["choice_probability"],
        arm=row["arm"],
        reason=row["reason"],
        reasons=tuple(_reasons(row, play, action, tell)),
        removed=tuple({"action_id": c["action_id"], "rule": c["removed_by"]} for c in _removed(row)),
        alternatives=(
            *(c["action_id"] for c in row["candidates"] if _possible(c, row["action_id"])),
            *_queued(row),
        ),
        feedback=said[-1].verdict if said else None,
        changed_to=said[-1].action_id if said else None,
    )


def _reasons(row: Mapping[str, Any], play: Play | None, action: Action | None, tell: Teller) -> Iterator[str]:
    """Give the sentences of the features that the play asked about, those of the action first."""
    values = json.loads(row["features"])
    asked = [text for text in (action.eligibility if action else "", play.audience if play else "") if text]
    names = dict.fromkeys(name for text in asked for name in _in_order(text))
    told = [name for name in names if values.get(name) is not None]
    return (tell(name, values[name]) for name in told[:REASONS])


def _in_order(text: str) -> list[str]:
    """Give the names an expression reads, in the order in which it reads them."""
    return sorted(parse(text).columns, key=text.find)


def _gain(row: Mapping[str, Any]) -> float:
    chosen, nothing = _candidate(row, row["action_id"]), _candidate(row, NO_ACTION)
    return float((chosen["expected_value"] or 0.0) - (nothing["expected_value"] or 0.0))


def _candidate(row: Mapping[str, Any], action_id: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(c for c in row["candidates"] if c["action_id"] == action_id)
    return found


def _removed(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (c for c in row["candidates"] if c["removed_by"] is not None)


def _possible(candidate: Mapping[str, Any], chosen: str) -> bool:
    return candidate["removed_by"] is None and candidate["action_id"] not in (chosen, NO_ACTION)


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(values).to_pylist()
    return {c["values"]: c["counts"] for c in sorted(counted, key=lambda c: (-c["counts"], c["values"]))}
