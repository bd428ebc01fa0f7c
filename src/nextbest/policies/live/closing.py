"""The gates of one write transaction, for one proposal after the other: stop switch, permissions, caps.

They are read inside the transaction that logs; what cannot be read says no.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from nextbest.errors import LedgerError
from nextbest.ledger import alarms, faults, spent, switches
from nextbest.ledger.backup import RESTORING
from nextbest.ledger.contacts import Asked
from nextbest.ledger.permits import Permits
from nextbest.ledger.times import to_micros
from nextbest.policies.gates import CAPS_UNREADABLE, CONSENT_UNREADABLE, GPC, KILL_SWITCH, OUTBOX, cap_rule
from nextbest.policies.live.limits import Till
from nextbest.policies.live.outlets import holds
from nextbest.policies.live.proposal import AUDIENCE
from nextbest.policies.pacer import Paces
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.policies.live.clock import Watch
    from nextbest.policies.live.failsafe import Failure
    from nextbest.policies.live.outlets import Outlets
    from nextbest.policies.live.proposal import Proposal
    from nextbest.types import Cap

_DAY = 86_400_000_000


class Group:
    """What one transaction has read and made so far: switches, permissions, contacts, money; used by one thread."""

    def __init__(
        self,
        ledger: Ledger,
        connection: sqlite3.Connection,
        clock: Watch | None = None,
        failures: tuple[Failure, ...] = (),
        outlets: Outlets | None = None,
    ) -> None:
        self.ledger, self.connection = ledger, connection
        self.failures = (*failures, *self._failures(clock))
        self.fallen: list[str] = []
        self.permits = self._permits()
        self.stops = self._stops()
        self.alarms = self._alarms()
        self.stuck = {} if outlets is None else outlets.now(connection)
        self.disagreed = False
        self.tills: dict[str, Till] = {}
        self.paces = Paces(connection)
        self.reached: list[tuple[str, int, str, str, str, str]] = []
        self.made: dict[str, list[tuple[int, str]]] = {}

    def _permits(self) -> Permits | None:
        try:
            return Permits(self.connection, self.ledger.config, self.ledger.secret)
        except (sqlite3.Error, LedgerError):
            return None

    def foresee(self, proposals: Sequence[Proposal]) -> None:
        """Read together what will be asked of all; what cannot be read then is asked one by one, and says no."""
        inside = [p for p in proposals if p.inside and (p.compiled.consents or p.compiled.caps)]
        if self.permits is None or not inside:
            return
        try:
            self.permits.foresee(p.known.subject_id for p in inside)
            self.permits.foresee_contacts(
                _asked(p, cap, self.permits.ids(p.known.subject_id)) for p in inside for cap, _ in p.compiled.caps
            )
        except (sqlite3.Error, LedgerError):
            return

    def readable(self) -> Permits:
        """Give the permissions; raises `LedgerError` when they could not be read."""
        if self.permits is None:
            raise LedgerError("Permissions could not be read.")
        return self.permits

    def _stops(self) -> switches.Stops:
        """Give the stops in force; what cannot be read stops everything."""
        try:
            return switches.stops(self.connection)
        except (sqlite3.Error, LedgerError):
            return switches.Stops(everything=True)

    def _alarms(self) -> Mapping[str, datetime]:
        """Give since when plays are under alarm; what cannot be read is an alarm of all."""
        try:
            return alarms.since(self.connection)
        except (sqlite3.Error, LedgerError):
            return {alarms.ANY: self.ledger.clock()}

    def failures_of(self, play: str) -> tuple[Failure, ...]:
        """Give what is wrong for a play: what is wrong for everybody, and whether it is under alarm."""
        if self.alarms and (play in self.alarms or alarms.ANY in self.alarms):
            return (*self.failures, "alarm")
        return self.failures

    def _failures(self, clock: Watch | None) -> tuple[Failure, ...]:
        """Give what is wrong for everybody: a restore under way, a clock that cannot be trusted."""
        found: list[Failure] = ["restored"] if (self.ledger.path / RESTORING).exists() else []
        try:
            if clock is not None and clock.suspect(self.ledger.clock(), last_logged=spent.last_logged(self.connection)):
                found.append("clock")
        except (sqlite3.Error, LedgerError):
            found.append("clock")
        return tuple(found)

    def price(self, proposal: Proposal) -> float:
        """Give what a unit of money has to earn beside itself, as the log says it was spent; 0 without a budget."""
        compiled = proposal.compiled
        if compiled.pacer is None:
            return 0.0
        return self.paces.price(compiled.play, proposal.ts, compiled.zone, compiled.pacer)

    def till(self, proposal: Proposal) -> Till:
        """Give the till of the proposal's time zone."""
        key = str(proposal.compiled.zone)
        if key not in self.tills:
            self.tills[key] = Till(self.connection, proposal.ts, proposal.compiled.zone)
        return self.tills[key]


def rules_of(group: Group, proposal: Proposal) -> list[str | None]:
    """Give the rule that removes each declared action, the first that says no."""
    actions = proposal.compiled.actions
    if not proposal.inside:
        return [None if a.id == NO_ACTION else AUDIENCE for a in actions]
    rules: list[str | None] = [None] * len(actions)
    group.disagreed = False
    _switches(group, proposal, rules)
    if group.stuck:
        held = [OUTBOX if holds(group.stuck, a, proposal.ts) else None for a in actions]
        _later(rules, tuple(held))
    ids = _permissions(group, proposal, rules)
    _later(rules, proposal.early)
    close_caps(group, proposal, rules, ids)
    _later(rules, proposal.late)
    return rules


def _later(rules: list[str | None], more: tuple[str | None, ...]) -> None:
    for i, rule in enumerate(more):
        if rule is not None and rules[i] is None:
            rules[i] = rule


def _switches(group: Group, proposal: Proposal, rules: list[str | None]) -> None:
    if not group.stops:
        return
    play = proposal.compiled.play.name
    for i, action in enumerate(proposal.compiled.actions):
        if action.id != NO_ACTION and group.stops.of(play=play, channel=action.channel, action=action.id):
            rules[i] = KILL_SWITCH


def stop_items(group: Group, proposal: Proposal, removed: list[str | None]) -> None:
    """Remove items that are stopped by their own id."""
    shown, play = proposal.shown, proposal.compiled.play.name
    for i in range(shown.items):
        channel = proposal.compiled.actions[shown.kinds[i]].channel
        if group.stops.of(play=play, channel=channel, action=shown.ids[i]):
            removed[i] = KILL_SWITCH


def _permissions(group: Group, proposal: Proposal, rules: list[str | None]) -> tuple[str, ...] | None:
    """Ask once per channel, and give every id of the subject; what cannot be read forbids it."""
    compiled = proposal.compiled
    channels = [channel for channel, _ in compiled.consents]
    if not channels:
        return None
    ids: tuple[str, ...] | None = None
    try:
        permits = group.readable()
        ids = permits.ids(proposal.known.subject_id)
        faults.at("consent", ids)
        found = permits.removed(ids, purpose=compiled.play.purpose, channels=channels)
    except (sqlite3.Error, LedgerError):
        found = [CONSENT_UNREADABLE] * len(channels)
    if proposal.ask.gpc:
        group.disagreed = ids is not None and _agreed(group, ids, proposal, found)
        found = [rule or GPC for rule in found]
    for (_, positions), said in zip(compiled.consents, found, strict=True):
        if said is not None:
            for i in positions:
                rules[i] = rules[i] or said
    return ids


def _agreed(group: Group, ids: tuple[str, ...], proposal: Proposal, found: list[str | None]) -> bool:
    """Say whether a contact that the browser objects to was agreed to: a yes on record, not only a lack of a no."""
    channels = [c for (c, _), rule in zip(proposal.compiled.consents, found, strict=True) if rule is None]
    if not channels:
        return False
    try:
        return group.readable().agreed(ids, purpose=proposal.compiled.play.purpose, channels=channels)
    except (sqlite3.Error, LedgerError):
        return False


def close_caps(group: Group, proposal: Proposal, rules: list[str | None], ids: tuple[str, ...] | None) -> None:
    """Remove contacts of who was contacted often enough; a count that cannot be read says no."""
    caps = [(cap, [i for i in positions if rules[i] is None]) for cap, positions in proposal.compiled.caps]
    caps = [(cap, positions) for cap, positions in caps if positions]
    if not caps:
        return
    try:
        permits = group.readable()
        known = permits.ids(proposal.known.subject_id) if ids is None else ids
        faults.at("caps", known)
        counts = [_contacts(group, permits, _asked(proposal, cap, known)) for cap, _ in caps]
    except (sqlite3.Error, LedgerError):
        for _, positions in caps:
            for i in positions:
                rules[i] = CAPS_UNREADABLE
        return
    for (cap, positions), found in zip(caps, counts, strict=True):
        if found >= cap.count:
            for i in positions:
                rules[i] = rules[i] or cap_rule(cap)


def _asked(proposal: Proposal, cap: Cap, ids: tuple[str, ...]) -> Asked:
    return Asked(ids, to_micros(proposal.ts) - cap.days * _DAY, cap.channel, cap.count)


def _contacts(group: Group, permits: Permits, asked: Asked) -> int:
    """Count the contacts that a cap counts: those on record, and those that this group has made."""
    made = group.made.get(asked.ids[0], ())
    own = sum(1 for ts, used in made if ts >= asked.since and asked.channel in ("", used))
    return permits.contacts(asked) + own
