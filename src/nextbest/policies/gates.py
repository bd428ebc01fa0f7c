"""The gates before any ranking counts: stop switch, consent and suppression, eligibility, caps, quiet hours.

They are asked in this order and inside the reader's transaction; what cannot be read says no (permission fails closed).
`none` passes every gate.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import LedgerError
from nextbest.policies.columns import condition
from nextbest.policies.quiet import NIGHT, UNSURE, hours_of
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Collection

    from nextbest.config import Config
    from nextbest.ledger import Ledger
    from nextbest.ledger.consent import Gate
    from nextbest.policies.removals import Flags, Removals
    from nextbest.types import Action, Cap, Play

NEEDS_CONSENT = frozenset({"outbound", "money", "significant"})
FALLS_BACK_TO_NONE = frozenset({"money", "significant"})
KILL_SWITCH, ELIGIBILITY, QUIET, DEGRADED = "kill_switch", "eligibility", "quiet_hours", "degraded"
CONSENT_UNREADABLE, CAPS_UNREADABLE, NOT_OFFERED = "consent:unreadable", "cap:unreadable", "not_offered"
GPC, TIMEZONE, OUTBOX = "consent:gpc", "failsafe:timezone", "failsafe:outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the gates need to know besides the subjects: the play, its actions, the time, and who asks."""

    play: Play
    actions: tuple[Action, ...]
    now: datetime
    config: Config
    offered: Collection[str] | None = None
    quiet: bool = True


def close_gates(
    ledger: Ledger, connection: sqlite3.Connection, moment: Moment, table: pa.Table, removals: Removals
) -> int:
    """Remove what the gates forbid, and give the consent version that they read."""
    ids = table["subject_id"]
    version = _version(connection)
    asked: dict[str, list[str | None]] = {}
    for j, action in enumerate(moment.actions):
        if action.id == NO_ACTION:
            continue
        if moment.offered is not None and action.id not in moment.offered:
            removals.remove(j, where=True, rule=NOT_OFFERED)
        if _stopped(connection, moment.play, action):
            removals.remove(j, where=True, rule=KILL_SWITCH)
        if action.action_class in NEEDS_CONSENT:
            if action.channel not in asked:
                asked[action.channel] = _permitted(ledger, connection, moment, action.channel, ids)
            removals.remove_named(j, asked[action.channel])
        where = f"Play '{moment.play.name}', eligibility of '{action.id}'"
        removals.remove(j, ~condition(action.eligibility, table, where), ELIGIBILITY)
    _caps(connection, moment, ids, removals)
    _quiet_hours(moment, table, removals)
    return version


def _version(connection: sqlite3.Connection) -> int:
    from nextbest.ledger import consent

    try:
        return consent.version(connection)
    except sqlite3.Error:
        return 0


def _stopped(connection: sqlite3.Connection, play: Play, action: Action) -> bool:
    from nextbest.ledger import switches

    try:
        return switches.stopped(connection, play=play.name, channel=action.channel, action=action.id)
    except sqlite3.Error:
        return True


def _permitted(
    ledger: Ledger, connection: sqlite3.Connection, moment: Moment, channel: str, ids: pa.ChunkedArray
) -> list[str | None]:
    """Give per subject the rule that forbids a contact on a channel; what cannot be read forbids it."""
    from nextbest.ledger import consent

    purpose = moment.play.purpose
    try:
        if len(ids) == 1:
            subject = ids[0].as_py()
            alone = consent.removed(connection, moment.config, ledger.secret, subject, purpose=purpose, channel=channel)
            return [alone]
        gate = consent.gate(connection, moment.config, purpose=purpose, channels=[channel])
        return _many(gate, ids, channel)
    except (sqlite3.Error, LedgerError):
        return [CONSENT_UNREADABLE] * len(ids)


def _many(gate: Gate, ids: pa.ChunkedArray, channel: str) -> list[str | None]:
    """Ask for many; those of whom nothing is on record share one answer, so that a million need no million asks."""
    if gate.suppressed_digests or gate.erased_digests:
        return gate.removed(ids.to_pylist(), channel)
    on_record = {*gate.answers, *gate.suppressed, *gate.canonical, *gate.members}
    known = np.asarray(pc.is_in(ids, value_set=pa.array(sorted(on_record), pa.string())).to_numpy(), dtype=bool)
    (stranger,) = gate.removed([""], channel)
    rules: list[str | None] = [stranger] * len(ids)
    rows = np.flatnonzero(known)
    for row, rule in zip(rows.tolist(), gate.removed(ids.filter(pa.array(known)).to_pylist(), channel), strict=True):
        rules[row] = rule
    return rules


def cap_rule(cap: Cap) -> str:
    """Give a cap's name in the log: `cap:1 in 7 days`, with the channel where it has one."""
    days = f"{cap.days} day" if cap.days == 1 else f"{cap.days} days"
    return f"cap:{cap.count} in {days}" + (f" by {cap.channel}" if cap.channel else "")


def reaches(action: Action) -> bool:
    """Tell whether an action contacts its subject: the outbound ones, and money or significant ones with a channel."""
    if action.id == NO_ACTION:
        return False
    return action.action_class == "outbound" or (action.action_class in FALLS_BACK_TO_NONE and bool(action.channel))


def _caps(connection: sqlite3.Connection, moment: Moment, ids: pa.ChunkedArray, removals: Removals) -> None:
    """Remove contacts of subjects who were contacted often enough; an unreadable count says no."""
    contacting = [j for j, a in enumerate(moment.actions) if reaches(a)]
    for cap in moment.play.caps if contacting else ():
        capped = [j for j in contacting if cap.channel in {"", moment.actions[j].channel}]
        try:
            full, rule = _at_cap(connection, cap, moment.now, ids), cap_rule(cap)
        except (sqlite3.Error, LedgerError):
            full, rule = np.ones(len(ids), dtype=bool), CAPS_UNREADABLE
        for j in capped:
            removals.remove(j, full, rule)


def _at_cap(connection: sqlite3.Connection, cap: Cap, now: datetime, ids: pa.ChunkedArray) -> Flags:
    from nextbest.ledger import contacts

    since = now - timedelta(days=cap.days)
    if len(ids) == 1:
        alone = contacts.count(connection, ids[0].as_py(), since=since, channel=cap.channel, most=cap.count)
        return np.array([alone >= cap.count])
    recent = contacts.recent(connection, since=since)
    if cap.channel:
        recent = recent.filter(pc.equal(recent["channel"], cap.channel))
    counted = recent.group_by("subject_id").aggregate([("subject_id", "count")])
    full = counted.filter(pc.greater_equal(counted["subject_id_count"], cap.count))["subject_id"]
    return np.asarray(pc.is_in(ids, value_set=full.combine_chunks()).to_numpy(), dtype=bool)


def _quiet_hours(moment: Moment, table: pa.Table, removals: Removals) -> None:
    hours = moment.play.quiet_hours
    if hours is None or not moment.quiet:
        return
    found = hours_of(hours, moment.now, table, default=moment.config.timezone)
    for j, action in enumerate(moment.actions):
        if reaches(action):
            removals.remove(j, found == NIGHT, QUIET)
            removals.remove(j, found == UNSURE, TIMEZONE)


def remove_degraded(moment: Moment, degraded: Flags, removals: Removals) -> None:
    """Remove what must not rest on missing predictions: money keeps its last price, grave matters wait for a person."""
    for j, action in enumerate(moment.actions):
        if action.action_class in FALLS_BACK_TO_NONE and action.id != NO_ACTION:
            removals.remove(j, degraded, DEGRADED)
