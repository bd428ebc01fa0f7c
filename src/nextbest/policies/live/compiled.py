"""A play made ready: expressions as closures, its policy, its shares and seeds; made once, used by every request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nextbest.ledger import alarms
from nextbest.policies import evidence
from nextbest.policies.arms import Shares, shares
from nextbest.policies.choose import policy_of, policy_version
from nextbest.policies.columns import asked_for, expressions, response_of, value_of
from nextbest.policies.draw import seed_of
from nextbest.policies.gates import NEEDS_CONSENT, reaches
from nextbest.policies.live.limits import Hard, hard_limits
from nextbest.policies.live.menu import Menu, menu
from nextbest.policies.live.strangers import is_stranger
from nextbest.policies.pacer import pacer_for
from nextbest.policies.run import actions_of
from nextbest.types import ANY_ITEM, NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextbest.features.expression import Closure
    from nextbest.ledger import Ledger
    from nextbest.policies.lift import Lifts
    from nextbest.policies.pacer import Pacer
    from nextbest.types import Action, Cap, Play, Policy

LIFT = "lift"
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "number": (int, float),
    "text": str,
    "boolean": bool,
    "timestamp": datetime,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """One play of one ledger on one day; lists are by the position of the declared action (`none` among them)."""

    play: Play
    actions: tuple[Action, ...]
    lifts: Lifts
    policy: Policy
    weigh: Callable[..., Any] | None
    stranger: bool
    charged: Callable[..., Any] | None
    pacer: Pacer | None
    version: str
    salt: str
    zone: ZoneInfo
    margin: float
    share: Shares
    arm_seed: int
    types: Mapping[str, type | tuple[type, ...]]
    asked: frozenset[str]
    audience: Closure | None
    response: Closure
    value: Closure
    eligibility: tuple[tuple[int, Closure], ...]
    weights: tuple[tuple[int, Closure], ...]
    consents: tuple[tuple[str, tuple[int, ...]], ...]
    reaching: tuple[int, ...]
    caps: tuple[tuple[Cap, tuple[int, ...]], ...]
    declared: Menu
    items: bool
    learns: str
    hard: Hard | None


def compile_play(ledger: Ledger, play: Play, *, now: datetime, salt: str | None = None) -> Compiled:
    """Give a play made ready for the day of *now*; raises `ConfigError` for what cannot be meant."""
    from nextbest.ledger.workspace import digest

    actions = actions_of(play)
    lifts = evidence.lifts(ledger, play, actions, as_of=_trusted_until(ledger, play.name, now))
    own = digest(ledger, "draw") if salt is None else salt
    policy = policy_of(play)
    reaching = tuple(i for i, a in enumerate(actions) if reaches(a))
    return Compiled(
        play=play,
        actions=actions,
        lifts=lifts,
        policy=policy,
        weigh=getattr(policy, "weigh", None),
        stranger=is_stranger(policy),
        charged=getattr(policy, "charged", None),
        pacer=pacer_for(ledger, play, now),
        version=policy_version(play, margin=ledger.config.margin, lifts=lifts),
        salt=own,
        zone=ZoneInfo(ledger.config.timezone),
        margin=ledger.config.margin,
        share=shares(play),
        arm_seed=seed_of("arm", play.name, own),
        types=_types(play),
        asked=frozenset(asked_for(play)),
        audience=_closure(play.audience) if play.audience.strip() else None,
        response=_closure(response_of(play)),
        value=_closure(value_of(play)),
        eligibility=_by_action([a.eligibility for a in actions]),
        weights=_by_action([a.weight for a in actions]),
        consents=_consents(actions),
        reaching=reaching,
        caps=tuple((c, tuple(i for i in reaching if c.channel in {"", actions[i].channel})) for c in play.caps),
        declared=menu(actions),
        items=any(a.id == ANY_ITEM for a in actions),
        learns=str(play.learner.get("name", LIFT)),
        hard=hard_limits(play),
    )


def _trusted_until(ledger: Ledger, play: str, now: datetime) -> datetime:
    """Give the moment up to which the log may be learnt from: now, or when an alarm about the play was raised."""
    with ledger.journal.read() as connection:
        since = alarms.since(connection)
    return min(now, since.get(play, now), since.get(alarms.ANY, now))


def _closure(text: str) -> Closure:
    from nextbest.features import expression

    return expression.compile_closure(expression.parse(text))


def _by_action(texts: list[str]) -> tuple[tuple[int, Closure], ...]:
    return tuple((i, _closure(text)) for i, text in enumerate(texts) if text.strip())


def _consents(actions: tuple[Action, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Give the channels that need a permission, with the positions of their actions."""
    asked: dict[str, list[int]] = {}
    for i, action in enumerate(actions):
        if action.id != NO_ACTION and action.action_class in NEEDS_CONSENT:
            asked.setdefault(action.channel, []).append(i)
    return tuple((channel, tuple(positions)) for channel, positions in asked.items())


def _types(play: Play) -> dict[str, type | tuple[type, ...]]:
    """Give the Python types that the play's expressions need of the columns they name."""
    from nextbest.features import checking, expression

    found: dict[str, type | tuple[type, ...]] = {}
    for text in expressions(play):
        parsed = expression.parse(text)
        types, _ = checking.resolve(parsed.text, parsed.root, {}, None)
        found |= {name: _PYTHON[kind] for name, kind in types.items()}
    return found
