"""Settle proposals in one write transaction: stop switch, permissions, caps, limits, then the draw of each position."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import LedgerError
from nextbest.ledger import faults, spent, switches
from nextbest.ledger.backup import RESTORING
from nextbest.ledger.permits import Permits
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id
from nextbest.policies.arms import ARMS
from nextbest.policies.gates import (
    CAPS_UNREADABLE,
    CONSENT_UNREADABLE,
    KILL_SWITCH,
    NOT_OFFERED,
    cap_rule,
)
from nextbest.policies.live import words
from nextbest.policies.live.chance import fingerprint, seed, uniform
from nextbest.policies.live.chosen import Chosen
from nextbest.policies.live.fallback import Fallen, failing, fall, taken
from nextbest.policies.live.limits import Priced, Till, amount_of
from nextbest.policies.live.proposal import AUDIENCE
from nextbest.policies.live.weighing import HOLDOUT, POLICY, RANDOM, USUAL, Arms, best, drawn, policy
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger import Ledger
    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.clock import Watch
    from nextbest.policies.live.compiled import Compiled
    from nextbest.policies.live.failsafe import Answer, Failure
    from nextbest.policies.live.menu import Flags
    from nextbest.policies.live.proposal import Proposal

_TURNS = count()
CHOSEN_ABOVE, GPC = "chosen_above", "consent:gpc"
_DAY = 86_400_000_000


class Group:
    """What one transaction has read and made so far: switches, permissions, contacts, money; used by one thread."""

    def __init__(
        self,
        ledger: Ledger,
        connection: sqlite3.Connection,
        clock: Watch | None = None,
        failures: tuple[Failure, ...] = (),
    ) -> None:
        self.ledger, self.connection = ledger, connection
        self.failures = (*failures, *self._failures(clock))
        self.fallen: list[str] = []
        self.permits = self._permits()
        self.stops = self._stops()
        self.tills: dict[str, Till] = {}
        self.reached: list[tuple[str, int, str, str, str, str]] = []
        self.made: dict[str, list[tuple[int, str]]] = {}

    def _permits(self) -> Permits | None:
        try:
            return Permits(self.connection, self.ledger.config, self.ledger.secret)
        except (sqlite3.Error, LedgerError):
            return None

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

    def _failures(self, clock: Watch | None) -> tuple[Failure, ...]:
        """Give what is wrong for everybody: a restore under way, a clock that cannot be trusted."""
        found: list[Failure] = ["restored"] if (self.ledger.path / RESTORING).exists() else []
        try:
            if clock is not None and clock.suspect(self.ledger.clock(), last_logged=spent.last_logged(self.connection)):
                found.append("clock")
        except (sqlite3.Error, LedgerError):
            found.append("clock")
        return tuple(found)

    def till(self, proposal: Proposal) -> Till:
        """Give the till of the proposal's time zone."""
        key = str(proposal.compiled.zone)
        if key not in self.tills:
            self.tills[key] = Till(self.connection, proposal.ts, proposal.compiled.zone)
        return self.tills[key]


def settle_one(group: Group, proposal: Proposal) -> tuple[Chosen, ...]:
    """Give the decided positions of one proposal, and note what they use up in the group."""
    rules = _rules(group, proposal)
    open_to_all = rules.count(None) == len(rules)
    shown = proposal.shown
    removed = [None] * len(shown.ids) if open_to_all else [rules[kind] for kind in shown.kinds.tolist()]
    for at in proposal.not_offered:
        removed[at] = NOT_OFFERED
    if group.stops and shown.items:
        _stopped_items(group, proposal, removed)
    failures = failing(proposal, removed, group.failures) if proposal.inside else ()
    fallen = None
    if failures:
        till, play = group.till(proposal), proposal.compiled.play.name
        fallen = fall(proposal, removed, failures, lambda action_id: till.approved(play, action_id))
        group.fallen.append(failures[0])
    return _Slate(group, proposal, removed, fallen).decide()


def _rules(group: Group, proposal: Proposal) -> list[str | None]:
    """Give the rule that removes each declared action, the first that says no."""
    actions = proposal.compiled.actions
    if not proposal.inside:
        return [None if a.id == NO_ACTION else AUDIENCE for a in actions]
    rules: list[str | None] = [None] * len(actions)
    _switches(group, proposal, rules)
    ids = _permissions(group, proposal, rules)
    _later(rules, proposal.early)
    _caps(group, proposal, rules, ids)
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


def _stopped_items(group: Group, proposal: Proposal, removed: list[str | None]) -> None:
    """Remove items that are stopped by their own id."""
    shown, play = proposal.shown, proposal.compiled.play.name
    for i in range(shown.items):
        channel = proposal.compiled.actions[shown.kinds[i]].channel
        if group.stops.of(play=play, channel=channel, action=shown.ids[i]):
            removed[i] = KILL_SWITCH


def _permissions(group: Group, proposal: Proposal, rules: list[str | None]) -> list[str] | None:
    """Ask once per channel, and give every id of the subject; what cannot be read forbids it."""
    compiled = proposal.compiled
    channels = [channel for channel, _ in compiled.consents]
    if not channels:
        return None
    ids: list[str] | None = None
    try:
        permits = group.readable()
        ids = permits.ids(proposal.known.subject_id)
        faults.at("consent", ids)
        found = permits.removed(ids, purpose=compiled.play.purpose, channels=channels)
    except (sqlite3.Error, LedgerError):
        found = [CONSENT_UNREADABLE] * len(channels)
    for (_, positions), rule in zip(compiled.consents, found, strict=True):
        said = GPC if rule is None and proposal.ask.gpc else rule
        if said is not None:
            for i in positions:
                rules[i] = rules[i] or said
    return ids


def _caps(group: Group, proposal: Proposal, rules: list[str | None], ids: list[str] | None) -> None:
    caps = [(cap, [i for i in positions if rules[i] is None]) for cap, positions in proposal.compiled.caps]
    caps = [(cap, positions) for cap, positions in caps if positions]
    if not caps:
        return
    now = to_micros(proposal.ts)
    try:
        permits = group.readable()
        known = permits.ids(proposal.known.subject_id) if ids is None else ids
        faults.at("caps", known)
        since = now - max(cap.days for cap, _ in caps) * _DAY
        contacts = permits.contacts(known, since=since) + group.made.get(known[0], [])
    except (sqlite3.Error, LedgerError):
        for _, positions in caps:
            for i in positions:
                rules[i] = CAPS_UNREADABLE
        return
    for cap, positions in caps:
        edge = now - cap.days * _DAY
        if sum(1 for ts, used in contacts if ts >= edge and cap.channel in ("", used)) >= cap.count:
            for i in positions:
                rules[i] = rules[i] or cap_rule(cap)


def _limits(group: Group, proposal: Proposal, removed: list[str | None], fallen: Fallen | None) -> None:
    """Apply the hard limits outside the model to what is left."""
    hard = proposal.compiled.hard
    if hard is None:
        return
    shown, declared = proposal.shown, proposal.compiled.actions
    priced = [
        Priced(shown.ids[i], declared[kind], shown.costs[i], _amount(proposal, i, fallen))
        for i, kind in enumerate(shown.kinds.tolist())
        if removed[i] is None
    ]
    for action_id, rule in group.till(proposal).removed(hard, priced).items():
        removed[shown.index[action_id]] = rule


def _amount(proposal: Proposal, at: int, fallen: Fallen | None) -> float | None:
    if fallen is not None and at in fallen.amounts:
        return fallen.amounts[at]
    action = proposal.compiled.actions[proposal.shown.kinds[at]]
    if proposal.values is not None and "amount" in proposal.names:
        given = float(proposal.values[at, proposal.names.index("amount")])
        return action.amount if np.isnan(given) else given
    return amount_of(action, {})


@dataclass(frozen=True, slots=True)
class _Slate:
    """The positions of one proposal, drawn one after the other."""

    group: Group
    proposal: Proposal
    removed: list[str | None]
    fallen: Fallen | None

    def decide(self) -> tuple[Chosen, ...]:
        """Give one row per position; `none` ends the slate."""
        proposal, compiled = self.proposal, self.proposal.compiled
        words_of = fingerprint(proposal.known.subject_id)
        arm = _arm(compiled, words_of)
        share = compiled.share
        arms = Arms((share.policy, share.random, share.business_as_usual, share.holdout), proposal.shown.none)
        made: list[Chosen] = []
        request_id = proposal.ask.request_id or (new_id("r") if proposal.ask.count > 1 else "")
        for position in range(1, proposal.ask.count + 1):
            self._close(made)
            allowed = _allowed(self.removed)
            p, degraded, instead = self._weighed(allowed)
            explored = p > 0 if degraded else allowed
            usual = self._usual(allowed, position)
            mixed = arms.mixed(p, explored, usual)
            key = self._seed(position)
            at = usual if arm == USUAL else proposal.shown.none
            if arm in (POLICY, RANDOM):
                at = drawn(p if arm == POLICY else explored / explored.sum(), uniform(key, words_of))
            chosen = self._row(request_id, position, arm, at, allowed=allowed, mixed=mixed, key=key, degraded=degraded)
            if instead is not None:
                chosen = replace(chosen, **_told(chosen, arm, instead))
            made.append(chosen)
            self._note(chosen)
            if at == proposal.shown.none or position == proposal.ask.count or instead is not None:
                break
            arms = arms.given(p, explored, usual, at)
            self.removed[at] = CHOSEN_ABOVE
        return tuple(made)

    def _close(self, made: list[Chosen]) -> None:
        """Apply caps and limits again for each position: what was chosen above has used them up."""
        if made and made[-1].reaches and made[-1].mode == "live":
            rules: list[str | None] = [None] * len(self.proposal.compiled.actions)
            _caps(self.group, self.proposal, rules, None)
            for at, kind in enumerate(self.proposal.shown.kinds.tolist()):
                self.removed[at] = self.removed[at] or rules[kind]
        _limits(self.group, self.proposal, self.removed, self.fallen)

    def _weighed(self, allowed: Flags) -> tuple[Numbers, bool, Answer | None]:
        """Give the probabilities of what is allowed; where a part has failed, those of what the table takes."""
        proposal = self.proposal
        if self.fallen is None:
            return *policy(proposal.compiled, proposal.shown, proposal.ranks, allowed, proposal.row), None
        at, instead = taken(proposal, self.removed, self.fallen, turn=next(_TURNS))
        p = np.zeros(len(allowed))
        p[at] = 1.0
        return p, True, instead

    def _usual(self, allowed: Flags, position: int) -> int:
        """Give what business as usual takes: what the caller does, else the habit, where it is allowed."""
        shown, ask = self.proposal.shown, self.proposal.ask
        if position > 1:
            return shown.none
        at = shown.index.get(self.proposal.compiled.play.habit if ask.chosen is None else ask.chosen, shown.none)
        return at if allowed[at] else shown.none

    def _seed(self, position: int) -> int:
        proposal, compiled = self.proposal, self.proposal.compiled
        day = proposal.ts.astimezone(compiled.zone).date().isoformat()
        parts = [proposal.ask.request_id] if proposal.ask.request_id else []
        if position > 1:
            parts.append(f"position {position}")
        return seed(("action", compiled.play.name, proposal.version, day, compiled.salt), parts)

    def _row(
        self,
        request_id: str,
        position: int,
        arm: int,
        at: int,
        *,
        allowed: Flags,
        mixed: Numbers,
        key: int,
        degraded: bool,
    ) -> Chosen:
        proposal = self.proposal
        compiled, shown, ranks = proposal.compiled, proposal.shown, proposal.ranks
        mode = proposal.ask.mode if compiled.play.mode == "live" or proposal.ask.mode == "replay" else "shadow"
        models: dict[str, str] = {**proposal.known.versions, "policy": proposal.version}
        if proposal.learner:
            models["learner"] = proposal.learner
        permits = self.group.permits
        return Chosen(
            decision_id=new_id("d"),
            request_id=request_id,
            play=compiled.play.name,
            mode=mode,
            arm=ARMS[arm],
            subject_id=proposal.known.subject_id,
            ts=proposal.ts,
            at=at,
            position=position,
            ids=shown.ids,
            costs=shown.costs,
            removed=self.removed.copy(),
            response=ranks.response.tolist(),
            worth=ranks.worth.tolist(),
            probability=mixed.tolist(),
            seed=key,
            context=self._context(),
            features=proposal.known.features,
            offers=proposal.offers,
            consent_version=permits.version if permits is not None else 0,
            policy_version=proposal.version,
            model_versions=models,
            reason=self._reason(arm, at, allowed),
            degraded=degraded,
            latency_us=(time.perf_counter_ns() - proposal.started) // 1000,
            reaches=int(shown.kinds[at]) in compiled.reaching,
        )

    def _context(self) -> Mapping[str, Any]:
        """Give what the caller said; in shadow, also what it does itself."""
        ask = self.proposal.ask
        return ask.context if ask.chosen is None else {**ask.context, "chosen": ask.chosen}

    def _reason(self, arm: int, at: int, allowed: Flags) -> str:
        proposal = self.proposal
        shown, ranks = proposal.shown, proposal.ranks
        none, worth = shown.none, ranks.worth
        if not proposal.inside:
            return f"Nothing: the subject is not in the audience of '{proposal.compiled.play.name}'."
        if at == none:
            wanted = best(worth, np.ones(len(worth), dtype=bool), none)
            told = words.nothing(
                held_out=arm in (USUAL, HOLDOUT),
                top=shown.ids[best(worth, allowed, none)],
                wanted=shown.ids[wanted],
                rule=self.removed[wanted],
            )
        elif arm == USUAL:
            told = words.usual(shown.ids[at])
        elif at == best(worth, allowed, none):
            gain, response = float(worth[at] - worth[none]), ranks.response
            assumed = self._assumed(at)
            told = words.pays(shown.ids[at], gain, float(response[at]), float(response[none]), assumed=assumed)
        else:
            told = words.drawn(shown.ids[at])
        return words.missing(told) if ranks.degraded else told

    def _assumed(self, at: int) -> bool:
        lift = self.proposal.compiled.lifts.by_action.get(
            self.proposal.compiled.actions[self.proposal.shown.kinds[at]].id
        )
        return not self.proposal.learner and (lift is None or lift.assumed)

    def _note(self, chosen: Chosen) -> None:
        """Note a live contact and its money, so that the next of the group counts them."""
        if chosen.mode != "live" or chosen.action_id == NO_ACTION:
            return
        action = self.proposal.compiled.actions[self.proposal.shown.kinds[chosen.at]]
        play = chosen.play
        till = self.group.till(self.proposal)
        till.book(
            play,
            action,
            action_id=chosen.action_id,
            cost=chosen.costs[chosen.at],
            amount=_amount(self.proposal, chosen.at, self.fallen),
        )
        if chosen.reaches:
            ts = to_micros(chosen.ts)
            self.group.made.setdefault(chosen.subject_id, []).append((ts, action.channel))
            self.group.reached.append(
                (chosen.subject_id, ts, chosen.decision_id, action.channel, play, chosen.action_id)
            )


def _allowed(removed: list[str | None]) -> Flags:
    if removed.count(None) == len(removed):
        return np.ones(len(removed), dtype=bool)
    return np.array([rule is None for rule in removed])


def _told(chosen: Chosen, arm: int, instead: Answer) -> dict[str, Any]:
    """Give what a decision says that fell back; who is held out is held out whatever fails."""
    told = chosen.reason if arm in (USUAL, HOLDOUT) else instead.reason
    return {"reason": told, "context": {**chosen.context, **instead.context}}


def _arm(compiled: Compiled, words_of: tuple[int, int]) -> int:
    """Give the arm of a subject, by the same number and the same edges as `arms.assign`."""
    share = compiled.share
    if share.policy >= 1.0:
        return POLICY
    u = uniform(compiled.arm_seed, words_of)
    if u < share.holdout:
        return HOLDOUT
    if u < share.holdout + share.random:
        return RANDOM
    return USUAL if u < share.holdout + share.random + share.business_as_usual else POLICY
