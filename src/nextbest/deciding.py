"""What a service needs to decide live: the engine of a workspace, the words of a request, and one commit for many.

The HTTP service uses this file as it uses `verbs.py` and `operations.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ConflictError, NextbestError, UsageError
from nextbest.policies.live.ask import Ask, Offer, Offers
from nextbest.policies.live.chosen import Chosen
from nextbest.policies.live.proposal import Proposal
from nextbest.types import NO_ACTION, Decision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from nextbest.ledger import Ledger
    from nextbest.policies.live.engine import Engine
    from nextbest.policies.live.learning import State
    from nextbest.types import Play

__all__ = [
    "Ask",
    "Chosen",
    "Made",
    "Offer",
    "Offers",
    "Proposal",
    "Wanted",
    "engine",
    "explained",
    "keyed",
    "learnt",
    "nothing",
    "patience",
    "table",
    "warm",
    "withdraw",
    "write",
]

Made = Chosen | Decision

_log = logging.getLogger("nextbest")
_LATE = "deadline"
_UNHURRIED_MS = 60_000.0
_AGAIN = "This Idempotency-Key came before with another body. Use a new key for a new request."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """One proposal to be written; with an idempotency key, its name and the digest of its request.

    Once something is in `left`, the caller has been told something else, and nothing is written any more.
    """

    proposal: Proposal
    key: str = ""
    request: str = ""
    left: list[str] = field(default_factory=list)


def engine(ledger: Ledger) -> Engine:
    """Give the engine that decides for a workspace in this process.

    Until the ledger closes, threads learn from its log, and take over fitted models that begin to serve.
    """
    from nextbest.policies.learners.loop import Learning
    from nextbest.policies.live.engine import Engine
    from nextbest.policies.live.memory import Memory
    from nextbest.policies.rollout import Staged
    from nextbest.recipes.action_live import LEARNER, Fits

    plays = Staged(ledger)
    learning, fits = Learning(ledger, plays=plays).start(), Fits(ledger, plays=plays).start()

    def states(play: Play) -> State | None:
        return fits.state(play) if play.learner.get("name") == LEARNER else learning.state(play)

    return Engine(ledger, plays=plays, states=states, know=Memory(ledger))


def warm(ledger: Ledger, made: Engine) -> None:
    """Decide once per play without logging, so that nobody waits while plays are read and code is loaded.

    A service does it before it answers: its first requests would pass their deadlines and get the default.
    """
    from nextbest.policies.default import plays

    for play in plays(ledger):
        try:
            made.decide(Ask(play=play, subject_id="_", mode="replay", deadline_ms=_UNHURRIED_MS))
        except NextbestError as error:  # the service starts all the same, and says it to whoever asks for the play
            _log.error("play %s cannot be made ready: %s", play, error)


def learnt(ledger: Ledger, play: Play) -> State | None:
    """Give what a play's learner has learnt by now, for a single decision; None where the lifts decide."""
    from nextbest.policies.learners.loop import Learning
    from nextbest.recipes.action_live import LEARNER, Fits

    plays = {play.name: play}
    if play.learner.get("name") != LEARNER:
        return Learning(ledger, plays=plays).state(play)
    fits = Fits(ledger, plays=plays)
    fits.tick()
    return fits.state(play)


def nothing(using: Engine, ask: Ask, proposal: Proposal | None = None) -> Decision:
    """Give the answer when a request could not be ranked or logged; it is not on record.

    What was ranked gets what the fail-safe table leaves: a page's default, a task, a list price; else nothing is done.
    """
    if proposal is not None:
        return using.unlogged(proposal)
    return using.nothing(ask, "What the decision needs is broken or cannot be written, so nothing is done.")


def patience(proposal: Proposal) -> float | None:
    """Give after how many seconds a request is answered although it is not logged; None: it waits for its log.

    That is its deadline, where the play has a default that may be done without a log (a page's, a list price, a task).
    """
    from nextbest.policies.live.failsafe import Failure, effects

    unlogged: tuple[Failure, ...] = ("log",)
    play = proposal.compiled.play
    default = next((a for a in play.actions if a.id == play.default), None)
    if default is None or default.id == NO_ACTION or {"default", "listed"}.isdisjoint(effects(unlogged, default)):
        return None
    return (play.deadline_ms if proposal.ask.deadline_ms is None else proposal.ask.deadline_ms) / 1000


def withdraw(ledger: Ledger, made: Sequence[Made]) -> None:
    """Note beside decisions that became durable too late that nobody was told of them: a judgement `reject`."""
    from nextbest.ledger import feedback

    note = "It became durable after its deadline, and the caller was told the default instead."
    for decision in made:
        feedback.record(ledger, decision.decision_id, verdict="reject", by=_LATE, note=note)


def explained(ledger: Ledger, decision_id: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Give why a logged decision came about, in sentences and as data; raises `UnknownNameError`."""
    from nextbest.trust.decision_reasons import explain_logged

    told = explain_logged(ledger, decision_id)
    return told.sentences, told.details


def table(ids: Sequence[str], names: Sequence[str], values: Sequence[Sequence[float]]) -> Offers:
    """Give candidates in compact form; raises `UsageError` unless there is a row per id and a number per name."""
    width = len(names)
    if (values or width) and (len(values) != len(ids) or any(len(row) != width for row in values)):
        raise UsageError(f"'values' needs {len(ids)} rows of {width} numbers, one per id and name.")
    flat = np.fromiter(chain.from_iterable(values), np.float64, len(ids) * width)
    return Offers(ids=tuple(ids), names=tuple(names), values=flat.reshape(len(ids), width))


def keyed(ledger: Ledger, name: str, request: bytes) -> tuple[str, str]:
    """Give what an idempotency key and a request are stored as: keyed hashes."""
    from nextbest.ledger.workspace import digest

    return digest(ledger, name), digest(ledger, request.hex())


def write(
    ledger: Ledger, using: Engine, gather: Callable[[], Sequence[Wanted]], encode: Callable[[Sequence[Made]], bytes]
) -> Future[list[Any]]:
    """Settle and log many proposals in one commit; resolves after it. `gather` gives them when the turn has come.

    Gives per proposal its decisions; with an idempotency key that came before, its first reply as bytes, or a
    `ConflictError`. A first reply is kept in the same commit, as `encode` gives it.
    """

    def written(connection: sqlite3.Connection) -> list[Any]:
        group = gather()
        return _written(ledger, using, connection, group, encode) if group else []

    return ledger.journal.submit(written, decides=True)


def _written(
    ledger: Ledger,
    using: Engine,
    connection: sqlite3.Connection,
    group: Sequence[Wanted],
    encode: Callable[[Sequence[Made]], bytes],
) -> list[Any]:
    there = [wanted for wanted in group if not wanted.left]
    if len(there) < len(group):  # answered while they waited for their turn
        written = iter(_written(ledger, using, connection, there, encode)) if there else iter(())
        return [next(written) if wanted in there else () for wanted in group]
    if not any(wanted.key for wanted in group):
        return list(using.settle(connection, [wanted.proposal for wanted in group]))
    answers: list[Any] = [_before(connection, wanted) for wanted in group]
    first: dict[str, int] = {}
    for i, wanted in enumerate(group):
        if wanted.key and answers[i] is None:
            first.setdefault(wanted.key, i)
    new = [i for i, w in enumerate(group) if answers[i] is None and first.get(w.key, i) == i]
    for i, made in zip(new, using.settle(connection, [group[i].proposal for i in new]), strict=True):
        answers[i] = made
        if group[i].key:
            _keep(ledger, connection, group[i], encode(made), subject_id=made[0].subject_id)
    for i, wanted in enumerate(group):
        if answers[i] is None:
            same = group[first[wanted.key]].request == wanted.request
            answers[i] = answers[first[wanted.key]] if same else ConflictError(_AGAIN)
    return answers


def _before(connection: sqlite3.Connection, wanted: Wanted) -> bytes | ConflictError | None:
    from nextbest.ledger import idempotency

    if not wanted.key:
        return None
    try:
        return idempotency.lookup(connection, wanted.key, wanted.request)
    except ConflictError as error:
        return error


def _keep(ledger: Ledger, connection: sqlite3.Connection, wanted: Wanted, reply: bytes, *, subject_id: str) -> None:
    from nextbest.ledger import idempotency

    now = ledger.clock()
    idempotency.prune(connection, before=now - timedelta(days=idempotency.KEPT_DAYS))
    idempotency.store(connection, wanted.key, wanted.request, reply, now=now, subject_id=subject_id)
