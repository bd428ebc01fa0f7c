"""The engine: one per ledger and process. It proposes without the disk, and settles many proposals in one transaction.

    engine = Engine(ledger)
    engine.decide(Ask(play="home_banner", subject_id="c17", candidates=offers))     # durable before it returns

The order of every call: propose (what is known, audience, eligibility, quiet hours, worth), then inside the transaction
that logs: stop switch, consent, caps, hard limits, draw, log. What cannot be read says no; what cannot be logged is not
done.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nextbest.errors import LedgerError, UsageError, unknown
from nextbest.ledger import decisions, faults, spent
from nextbest.ledger.described import pack
from nextbest.ledger.rereading import Rereading
from nextbest.ledger.workspace import new_id
from nextbest.policies.choose import POLICY_FAULTS
from nextbest.policies.live import strangers
from nextbest.policies.live.ask import Offers, compact
from nextbest.policies.live.clock import watch
from nextbest.policies.live.closing import Group
from nextbest.policies.live.compiled import LIFT, Compiled, compile_play
from nextbest.policies.live.guard import Guard
from nextbest.policies.live.known import Known, known
from nextbest.policies.live.menu import Menu, described, menu
from nextbest.policies.live.outlets import Outlets
from nextbest.policies.live.proposal import DEAL, Proposal, own_removals, row_of
from nextbest.policies.live.ranking import ranked
from nextbest.policies.live.settle import settle_one
from nextbest.policies.live.tally import Tally
from nextbest.types import NO_ACTION, Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.policies.live.ask import Ask
    from nextbest.policies.live.chosen import Chosen
    from nextbest.policies.live.learning import State
    from nextbest.policies.live.strangers import Told
    from nextbest.types import Play

UNLOGGED = "The decision could not be logged, so nothing is done."
UNREADABLE = "The ledger could not be read, so nothing is done."
FAULTS = (LedgerError, sqlite3.Error, OSError)
_MOST_MENUS = 1024
_log = logging.getLogger("nextbest")


class Engine:
    """Decide live; thread-safe. `states` gives a play's learnt state of now; `know` what is known of a subject."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        plays: Mapping[str, Play] | None = None,
        states: Callable[[Play], State | None] | None = None,
        know: Callable[..., Known] = known,
        salt: str | None = None,
    ) -> None:
        self.ledger = ledger
        self._plays = plays
        self._states = states
        self._know = know
        self._salt = salt
        self._lock = threading.Lock()
        self._guard = Guard()
        self._watch = watch(ledger)
        self._outlets = Outlets()
        self.rereading = Rereading(ledger)
        self.tally = Tally()
        self._compiled: dict[str, tuple[Play, object, Compiled]] = {}
        self._menus: dict[tuple[str, tuple[str, ...]], tuple[Menu, frozenset[int]]] = {}

    def propose(self, ask: Ask) -> Proposal:
        """Give a request ranked; raises `UsageError` for one that is off, `LedgerError` when nothing can be read."""
        started = time.perf_counter_ns()
        self.rereading.look()
        now = self.ledger.clock()
        compiled = self.compiled(self._play(ask.play), now)
        begun = time.perf_counter_ns()  # a play is made ready once a day: that is not the ranking's time
        shown, offers, left_out = self._offered(compiled, ask)
        about = self._know(self.ledger, ask.subject_id, compiled.asked, ask.context)
        row = row_of(compiled, ask, about)
        names, values = described(compiled.actions, shown, offers)
        brought = Offers(ids=shown.ids, names=names, values=values)
        state, worth, failures = ranked(
            compiled, ask, row, shown, brought, state=self._state, guard=self._guard, started=begun
        )
        if not compiled.asked.isdisjoint(about.stale):
            failures = (*failures, "features")
        elif worth.degraded and not failures and not shown.safe.all():
            failures = ("features",)  # money and grave matters do not rest on guesses: what the table says of them
        early, late = own_removals(self.ledger, compiled, row, now)
        told: Told = ()
        if compiled.stranger and not (failures or worth.degraded):
            closed = [a or b for a, b in zip(early, late, strict=True)]
            told, failures = strangers.told(
                compiled, ask, row, shown, worth, removed=closed, guard=self._guard, started=begun
            )
        meant = (about.features.get("subject_type") == DEAL) == (compiled.play.subject_type == DEAL)
        return Proposal(
            ask=ask,
            compiled=compiled,
            known=about,
            shown=shown,
            table=None if offers is None or not offers.names else pack(offers.ids, offers.names, offers.values),
            amounts=values[:, names.index("amount")].copy() if "amount" in names else None,
            row=row,
            ranks=worth,
            early=early,
            late=late,
            not_offered=left_out,
            inside=meant and (compiled.audience is None or compiled.audience(row) is True),
            version=".".join(filter(None, (compiled.version, state.version[:16] if state is not None else ""))),
            learner="" if state is None else state.version,
            ts=now,
            started=started,
            failures=failures,
            told=told,
        )

    def settle(self, connection: sqlite3.Connection, proposals: Sequence[Proposal]) -> list[tuple[Chosen, ...]]:
        """Give the decided positions per proposal, logged and chained, inside the caller's write transaction."""
        group = Group(self.ledger, connection, self._watch, outlets=self._outlets)
        group.foresee(proposals)
        made = [settle_one(group, proposal) for proposal in proposals]
        faults.at("log", made)
        rows = [chosen.row() for slate in made for chosen in slate if chosen.mode != "replay"]
        decisions.log_rows(connection, rows, group.reached)
        if rows and "clock" in group.failures and self._watch.latest is not None:
            spent.mark_clock(connection, self._watch.latest)
        for till in group.tills.values():
            till.close()
        degraded = sum(slate[0].degraded for slate in made)
        if rows:  # what is only tried out is no decision
            self.tally.add(len(made), group.fallen, degraded=degraded)
        return made

    def decide(self, ask: Ask) -> tuple[Decision, ...]:
        """Give one decision per position, durable before it returns; what fails ends in `none`, marked degraded.

        Raises `UsageError` only for a request that is off: no subject, an action that the play does not have.
        """
        try:
            proposal = self.propose(ask)
        except FAULTS as error:
            _log.error("decide %s: %s", ask.play, type(error).__name__)
            return (self.nothing(ask, UNREADABLE),)
        try:
            if ask.mode == "replay":
                with self.ledger.journal.read() as connection:
                    (slate,) = self.settle(connection, [proposal])
            else:
                (slate,) = self.ledger.journal.write(lambda connection: self.settle(connection, [proposal]))
        except FAULTS as error:
            _log.error("decide %s: not logged: %s", ask.play, type(error).__name__)
            return (self.unlogged(proposal),)
        return tuple(chosen.decision() for chosen in slate)

    def submit(self, asks: Sequence[Ask]) -> Future[list[tuple[Chosen, ...]]]:
        """Propose all, and settle them in one step of the next commit; the future resolves when they are durable."""
        proposals = [self.propose(ask) for ask in asks]
        return self.ledger.journal.submit(lambda connection: self.settle(connection, proposals))

    def unlogged(self, proposal: Proposal) -> Decision:
        """Give what may be done although nothing can be logged: a page's default, a task, the list price, or nothing.

        The gates are read as they stand; it is counted, and never learnt from.
        """
        try:
            with self.ledger.journal.read() as connection:
                chosen = settle_one(Group(self.ledger, connection, self._watch, ("log",), self._outlets), proposal)[0]
        except (*FAULTS, *POLICY_FAULTS):  # it must not fail for the reason for which nothing was logged
            return self.nothing(proposal.ask, UNLOGGED)
        self.tally.add(1, ("log",))
        made = replace(chosen.decision(), choice_probability=None, context={**proposal.ask.context, "logged": False})
        return made if made.action_id != NO_ACTION else self.nothing(proposal.ask, UNLOGGED)

    def nothing(self, ask: Ask, why: str, ts: datetime | None = None) -> Decision:
        """Give the answer when the ledger fails: nothing is done, and the answer says that it is not on record."""
        return Decision(
            decision_id=new_id("d"),
            play=ask.play,
            subject_id=ask.subject_id,
            ts=ts or self.ledger.clock(),
            action_id=NO_ACTION,
            choice_probability=None,
            candidates=(Candidate(action_id=NO_ACTION),),
            mode=ask.mode,
            context={"logged": False},
            reason=why,
            degraded=True,
        )

    def compiled(self, play: Play, now: datetime) -> Compiled:
        """Give the play made ready; it is made anew when the play changes, and on every new day."""
        kept = self._compiled.get(play.name)
        if kept is not None and kept[0] is play and kept[1] == now.date():
            return kept[2]
        with self._lock:
            made = compile_play(self.ledger, play, now=now, salt=self._salt)
            self._compiled[play.name] = (play, now.date(), made)
            self._menus = {key: shown for key, shown in self._menus.items() if key[0] != play.name}
        return made

    def _play(self, name: str) -> Play:
        plays = self.ledger.config.plays if self._plays is None else self._plays
        if name not in plays:
            raise unknown("play", name, plays)
        return plays[name]

    def _state(self, compiled: Compiled) -> State | None:
        return None if self._states is None or compiled.learns == LIFT else self._states(compiled.play)

    def _offered(self, compiled: Compiled, ask: Ask) -> tuple[Menu, Offers | None, frozenset[int]]:
        """Give the menu of a request, what it brought, and the declared actions that it does not offer."""
        _check(compiled, ask)
        if ask.candidates is None:
            return compiled.declared, None, frozenset()
        offers = ask.candidates if isinstance(ask.candidates, Offers) else compact(ask.candidates)
        shown, left_out = self._menu(compiled, offers.ids)
        return shown, offers if offers.names or shown.items else None, left_out

    def _menu(self, compiled: Compiled, ids: tuple[str, ...]) -> tuple[Menu, frozenset[int]]:
        key = (compiled.play.name, ids)
        found = self._menus.get(key)
        if found is None:
            declared = compiled.declared.index
            items = tuple(i for i in ids if i not in declared)
            if len(set(ids)) != len(ids):
                raise UsageError(f"The candidates for play '{compiled.play.name}' name an action twice.")
            if items and not compiled.items:
                raise unknown(f"action of play '{compiled.play.name}'", items[0], list(declared))
            shown = menu(compiled.actions, items)
            more = range(shown.items, len(shown.ids))
            found = shown, frozenset(i for i in more if i != shown.none and shown.ids[i] not in ids)
            if len(self._menus) >= _MOST_MENUS:
                self._menus.clear()
            self._menus[key] = found
        return found


def _check(compiled: Compiled, ask: Ask) -> None:
    if not ask.subject_id:
        raise UsageError("A decision needs a subject_id; got an empty one.")
    places = compiled.play.places
    if not 1 <= ask.count <= places:
        raise UsageError(
            f"Play '{compiled.play.name}' has {places} place{'s' if places > 1 else ''}; got a count of {ask.count}."
        )
