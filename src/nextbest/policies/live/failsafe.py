"""What a decision does when a part fails, as one table: failure x class of action.

The model fails soft, permission fails closed, money falls back to the last approved value, and nothing that cannot be
logged is done. The engine asks `closes` for each candidate, after the gates, and `answer` for what is left. A decision
made this way is marked degraded, has no choice probability, and is not learnt from; nothing is explored.

`queue` is a decision `none` whose reason starts with "Queued for a person" and whose context names the actions; it
stands in today's list until a person approves one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nextbest.types import Action, ActionClass

Failure = Literal[
    "model",  # missing, unverified, not a number, an action nobody declared
    "deadline",  # ranking took longer than the request allows
    "features",  # stale beyond their limit, or missing
    "consent",  # permissions cannot be read
    "signals",  # Sec-GPC, the ledger and the caller do not agree
    "caps",  # contacts cannot be counted
    "timezone",  # nobody knows what time it is where the subject is
    "clock",  # behind the last logged decision, or it jumped
    "log",  # the decision cannot be written
    "outbox",  # full, or its target is dead
    "restored",  # a restore whose later consent and erasures are not replayed yet
    "alarm",  # drift, a wrong sample ratio, rewards that look poisoned
    "config",  # nextbest.toml cannot be used
]
Effect = Literal[
    "rank",  # as if nothing had failed, but flagged
    "previous",  # by the last model, policy or configuration that was verified; without one as `default`
    "default",  # only the play's default, if every gate lets it pass
    "approved",  # only the play's default, at the amount that was last approved
    "listed",  # only the play's default, at the amount it is declared with
    "turn",  # the next in turn
    "hold",  # not now; ask again
    "queue",  # a person decides
    "refuse",  # not at all
    "none",  # nothing
]

FAILURES: tuple[Failure, ...] = get_args(Failure)
CLASSES: tuple[ActionClass, ...] = ("content", "outbound", "money", "significant", "internal")
RULE = "failsafe:"
QUEUED = "Queued for a person"

# One line per failure; the columns are the classes in the order of CLASSES.
_ROWS: dict[Failure, tuple[Effect, Effect, Effect, Effect, Effect]] = {
    "model": ("default", "default", "approved", "queue", "turn"),
    "deadline": ("default", "hold", "approved", "queue", "default"),
    "features": ("rank", "rank", "approved", "queue", "default"),
    "consent": ("default", "none", "listed", "queue", "default"),
    "signals": ("rank", "rank", "listed", "queue", "rank"),  # the most restrictive has been applied by the gates
    "caps": ("default", "none", "approved", "queue", "default"),
    "timezone": ("rank", "hold", "rank", "rank", "rank"),  # `policies.quiet` has asked every plausible zone
    "clock": ("default", "hold", "approved", "queue", "default"),
    "log": ("default", "none", "listed", "refuse", "default"),
    "outbox": ("rank", "hold", "hold", "queue", "hold"),
    "restored": ("default", "none", "listed", "refuse", "default"),
    "alarm": ("previous", "previous", "approved", "queue", "previous"),
    "config": ("previous", "previous", "previous", "previous", "previous"),
}
TABLE: Mapping[tuple[Failure, ActionClass], Effect] = {
    (failure, kind): effect for failure, row in _ROWS.items() for kind, effect in zip(CLASSES, row, strict=True)
}

WHY: Mapping[Failure, str] = {
    "model": "The model cannot be used",
    "deadline": "Ranking took too long",
    "features": "What is known of the subject is missing or too old",
    "consent": "Permissions could not be read",
    "signals": "The signals about consent do not agree, and the most restrictive counts",
    "caps": "Earlier contacts could not be counted",
    "timezone": "Nobody knows what time it is where the subject is",
    "clock": "The clock cannot be trusted",
    "log": "The decision could not be logged",
    "outbox": "What is to be sent cannot leave",
    "restored": "The workspace is being restored",
    "alarm": "An alarm is on",
    "config": "The configuration cannot be used, so the last valid one is kept",
}
_RANKED: frozenset[Effect] = frozenset({"rank", "previous"})
_DEFAULT: frozenset[Effect] = frozenset({"default", "approved", "listed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What money actions may cost: the amount last approved, and the one declared, by action id."""

    approved: Mapping[str, float] = field(default_factory=dict)
    declared: Mapping[str, float] = field(default_factory=dict)


NO_AMOUNTS = Amounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is done instead: the action, its amount where money is meant, the reason, and what a person has to decide.

    `held` says that the same question may be asked again later; `logged` is False when it cannot be written down.
    """

    action_id: str
    reason: str
    failures: tuple[Failure, ...]
    amount: float | None = None
    queued: tuple[str, ...] = ()
    held: bool = False
    logged: bool = True

    @property
    def context(self) -> dict[str, Any]:
        """What a degraded decision adds to the context that is logged and replied."""
        told: dict[str, Any] = {}
        if self.amount is not None:
            told["amount"] = self.amount
        if self.queued:
            told["queued"] = list(self.queued)
        if not self.logged:
            told["logged"] = False
        return told


def effects(failures: Collection[Failure], action: Action) -> tuple[Effect, ...]:
    """Give what each failure does to an action; `none` stays whatever fails."""
    if action.id == NO_ACTION:
        return tuple("rank" for _ in failures)
    return tuple(_effect(failure, action) for failure in failures)


def _effect(failure: Failure, action: Action) -> Effect:
    """Give one cell; money that goes over a channel reaches a person, so it waits where a message would."""
    reaching = TABLE[failure, "outbound"]
    if action.action_class == "money" and action.channel and reaching in ("hold", "none"):
        return reaching
    return TABLE[failure, action.action_class]


def closes(failures: Sequence[Failure], action: Action, *, default: str, previous: bool = False) -> str | None:
    """Give the rule `failsafe:<failure>` that takes a candidate away, or None where it stays; `none` always stays.

    *default* is the play's; *previous* says that a verified model or policy of before is ranking now.
    """
    for failure, effect in zip(failures, effects(failures, action), strict=True):
        ranked = effect == "rank" or (effect == "previous" and previous)
        if not (ranked or effect == "turn" or (action.id == default and effect in _DEFAULT | {"previous"})):
            return RULE + failure
    return None


def answer(
    failures: Sequence[Failure],
    standing: Mapping[str, Action],
    *,
    default: str,
    ranked: Sequence[str] = (),
    removed: Mapping[str, tuple[Action, str]] | None = None,
    amounts: Amounts = NO_AMOUNTS,
    turn: int = 0,
) -> Answer:
    """Choose without chance among what gates, limits and `closes` have left standing.

    *ranked* holds the ids from best to worst where something could still rank them; *removed* the candidates that
    `closes` took, with the rule; *turn* is any number that goes up by one per decision (round robin).
    """
    chosen, how = _chosen(failures, standing, default, ranked, turn)
    taken = removed or {}
    queued = tuple(i for i, (a, rule) in taken.items() if "queue" in effects((_failure(rule),), a))
    held = any("hold" in effects((_failure(rule),), a) for a, rule in taken.values())
    action = standing.get(chosen)
    amount = _amount(failures, action, amounts) if action is not None else None
    why = "; ".join(WHY[f] for f in failures)
    reason = _reason(why, chosen, how, amount, queued=queued, held=held)
    return Answer(
        action_id=chosen,
        reason=reason,
        failures=tuple(failures),
        amount=amount,
        queued=queued if "log" not in failures else (),
        held=held,
        logged="log" not in failures,
    )


def _chosen(
    failures: Sequence[Failure], standing: Mapping[str, Action], default: str, ranked: Sequence[str], turn: int
) -> tuple[str, str]:
    """Give the best that may still be ranked, else the default, else the next in turn, else none."""
    rankable = {i for i, a in standing.items() if set(effects(failures, a)) <= _RANKED}
    best = next((i for i in ranked if i in rankable or i == NO_ACTION), NO_ACTION)
    if best != NO_ACTION:
        return best, "best"
    waiting = sorted(i for i, a in standing.items() if "turn" in effects(failures, a))
    if default in standing and default not in (*waiting, NO_ACTION):
        return default, "default"
    return (waiting[turn % len(waiting)], "turn") if waiting else (NO_ACTION, "none")


def _failure(rule: str) -> Failure:
    return next(f for f in FAILURES if RULE + f == rule)


def _amount(failures: Sequence[Failure], action: Action, amounts: Amounts) -> float | None:
    """Give the amount that stands: the declared one when even approvals cannot be relied on."""
    asked = set(effects(failures, action))
    declared = amounts.declared.get(action.id, action.amount)
    if "listed" in asked:
        return declared
    return amounts.approved.get(action.id, declared) if "approved" in asked else None


def _reason(why: str, chosen: str, how: str, amount: float | None, *, queued: Sequence[str], held: bool) -> str:
    if chosen != NO_ACTION:
        told = {"best": "the best by what is left", "default": "the default", "turn": "the next in turn"}[how]
        at = "" if amount is None else f" at {amount:g}"
        return f"{why}: {told}, {chosen}{at}, without exploring."
    if queued:
        return f"{QUEUED}: {', '.join(queued)}. {why}."
    return f"{why}: nothing is done{' now; ask again later' if held else ''}."
