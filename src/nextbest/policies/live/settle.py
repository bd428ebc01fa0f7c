"""Settle proposals in one write transaction: stop switch, permissions, caps, limits, then the draw of each position."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id
from nextbest.policies.arms import ARMS
from nextbest.policies.gates import NOT_OFFERED
from nextbest.policies.live import words
from nextbest.policies.live.chance import fingerprint, seed, two, uniform
from nextbest.policies.live.chosen import Chosen
from nextbest.policies.live.closing import Group, close_caps, rules_of, stop_items
from nextbest.policies.live.fallback import Fallen, failing, fall, taken
from nextbest.policies.live.limits import Priced, amount_of
from nextbest.policies.live.weighing import HOLDOUT, POLICY, RANDOM, USUAL, Arms, best, drawn, policy
from nextbest.policies.pacing import charge
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.compiled import Compiled
    from nextbest.policies.live.failsafe import Answer, Failure
    from nextbest.policies.live.menu import Flags, Menu
    from nextbest.policies.live.proposal import Proposal

_TURNS = count()
CHOSEN_ABOVE = "chosen_above"


def settle_one(group: Group, proposal: Proposal) -> tuple[Chosen, ...]:
    """Give the decided positions of one proposal, and note what they use up in the group."""
    rules = rules_of(group, proposal)
    open_to_all = rules.count(None) == len(rules)
    shown = proposal.shown
    removed = [None] * len(shown.ids) if open_to_all else [rules[kind] for kind in shown.kinds.tolist()]
    for at in proposal.not_offered:
        removed[at] = NOT_OFFERED
    if group.stops and shown.items:
        stop_items(group, proposal, removed)
    failures: tuple[Failure, ...] = ()
    if proposal.inside:
        own = group.failures_of(proposal.compiled.play.name)
        if own or proposal.failures or not open_to_all:
            failures = failing(proposal, removed, own, disagreed=group.disagreed)
    fallen = None
    if failures:
        till, play = group.till(proposal), proposal.compiled.play.name
        fallen = fall(proposal, removed, failures, lambda action_id: till.approved(play, action_id))
        group.fallen.append(failures[0])
    price, worth = group.price(proposal), proposal.ranks.worth
    charged = charge(worth, shown.cost, price=price) if price else worth
    return _Slate(group, proposal, removed, fallen, charged, price).decide()


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
    if proposal.amounts is not None:
        given = float(proposal.amounts[at])
        return action.amount if np.isnan(given) else given
    return amount_of(action, {})


class _Slate(msgspec.Struct, frozen=True):
    """The positions of one proposal, drawn one after the other."""

    group: Group
    proposal: Proposal
    removed: list[str | None]
    fallen: Fallen | None
    worth: Numbers
    price: float

    def decide(self) -> tuple[Chosen, ...]:
        """Give one row per position; `none` ends the slate."""
        proposal, compiled = self.proposal, self.proposal.compiled
        words_of = fingerprint(proposal.known.subject_id)
        key = self._seed(1)
        arm, u = _arm(compiled, words_of, key)
        share = compiled.share
        arms = Arms((share.policy, share.random, share.business_as_usual, share.holdout), proposal.shown.none)
        made: list[Chosen] = []
        request_id = proposal.ask.request_id or (new_id("r") if proposal.ask.count > 1 else "")
        for position in range(1, proposal.ask.count + 1):
            self._close(made)
            allowed = _allowed(self.removed, proposal.shown)
            p, degraded, instead = self._weighed(allowed)
            explored = p > 0 if degraded else allowed
            usual = self._usual(allowed, position)
            mixed = arms.mixed(p, explored, usual)
            if position > 1:
                key = self._seed(position)
                u = uniform(key, words_of)
            at = usual if arm == USUAL else proposal.shown.none
            if arm in (POLICY, RANDOM):
                at = drawn(p if arm == POLICY else explored / explored.sum(), u)
            chosen = self._row(request_id, position, arm, at, allowed=allowed, mixed=mixed, key=key, degraded=degraded)
            if instead is not None:
                chosen = msgspec.structs.replace(chosen, **_told(chosen, arm, instead))
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
            close_caps(self.group, self.proposal, rules, None)
            for at, kind in enumerate(self.proposal.shown.kinds.tolist()):
                self.removed[at] = self.removed[at] or rules[kind]
        _limits(self.group, self.proposal, self.removed, self.fallen)

    def _weighed(self, allowed: Flags) -> tuple[Numbers, bool, Answer | None]:
        """Give the probabilities of what is allowed; where a part has failed, those of what the table takes."""
        proposal = self.proposal
        if self.fallen is None:
            return *policy(proposal, allowed, self.worth), None
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
        compiled, shown = proposal.compiled, proposal.shown
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
            shown=shown,
            removed=self.removed.copy(),
            ranks=proposal.ranks,
            probability=mixed,
            seed=key,
            context=self._context(),
            features=proposal.known.features,
            table=proposal.table,
            consent_version=permits.version if permits is not None else 0,
            policy_version=proposal.version,
            model_versions=models,
            reason=self._reason(arm, at, allowed),
            degraded=degraded,
            latency_us=(time.perf_counter_ns() - proposal.started) // 1000,
            reaches=int(shown.kinds[at]) in compiled.reaching,
        )

    def _context(self) -> Mapping[str, Any]:
        """Give what the caller said; in shadow, also what it does itself; under a budget, what money costs now."""
        ask = self.proposal.ask
        said = ask.context if ask.chosen is None else {**ask.context, "chosen": ask.chosen}
        if self.proposal.compiled.pacer is None:
            return said
        return {**said, "prices": {"budget": self.price, "per_action": {}}}

    def _reason(self, arm: int, at: int, allowed: Flags) -> str:
        proposal = self.proposal
        shown, ranks = proposal.shown, proposal.ranks
        none, worth, response = shown.none, ranks.worth, ranks.response
        top = best(self.worth, None if allowed is shown.everything else allowed, none)
        if not proposal.inside:
            return f"Nothing: the subject is not in the audience of '{proposal.compiled.play.name}'."
        if at == none:
            wanted = best(self.worth, None, none)
            told = words.nothing(
                held_out=arm in (USUAL, HOLDOUT),
                top=shown.ids[top],
                wanted=shown.ids[wanted],
                rule=self.removed[wanted],
            )
        elif arm == USUAL:
            told = words.usual(shown.ids[at])
        elif at == top:
            gain = float(worth[at] - worth[none])
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
            cost=chosen.shown.costs[chosen.at],
            amount=_amount(self.proposal, chosen.at, self.fallen) if action.action_class == "money" else None,
        )
        if chosen.reaches:
            ts = to_micros(chosen.ts)
            self.group.made.setdefault(chosen.subject_id, []).append((ts, action.channel))
            self.group.reached.append(
                (chosen.subject_id, ts, chosen.decision_id, action.channel, play, chosen.action_id)
            )


def _allowed(removed: list[str | None], shown: Menu) -> Flags:
    """Give what is not removed; `everything` of the menu itself where nothing is."""
    if removed.count(None) == len(removed):
        return shown.everything
    return np.array([rule is None for rule in removed])


def _told(chosen: Chosen, arm: int, instead: Answer) -> dict[str, Any]:
    """Give what a decision says that fell back; who is held out is held out whatever fails."""
    told = chosen.reason if arm in (USUAL, HOLDOUT) else instead.reason
    return {"reason": told, "context": {**chosen.context, **instead.context}}


def _arm(compiled: Compiled, words_of: tuple[int, int], key: int) -> tuple[int, float]:
    """Give the arm of a subject, by the number and the edges of `arms.assign`, and the number of its first draw."""
    share = compiled.share
    if share.policy >= 1.0:
        return POLICY, uniform(key, words_of)
    own, u = two(compiled.arm_seed, key, words_of)
    if own < share.holdout:
        return HOLDOUT, u
    if own < share.holdout + share.random:
        return RANDOM, u
    return (USUAL if own < share.holdout + share.random + share.business_as_usual else POLICY), u
