"""Another policy for a play, as it would have weighed what was logged: other settings, another rule, cap or price.

It sees each decision as it was made: the candidates that no rule had removed, their expected values as logged, how sure
the learner was of them, what money and places cost then, and the features as served. `cap.1 in 7 days` and
`eligibility` can only take candidates away: what a rule had removed was never tried, so nobody knows what it would have
done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import ConfigError, UsageError, nearest, unknown
from nextbest.policies import arms
from nextbest.policies.choose import policy_of
from nextbest.policies.columns import condition
from nextbest.policies.gates import reaches
from nextbest.policies.matrix import SPREAD, VALUE, as_matrix
from nextbest.policies.run import actions_of
from nextbest.types import ANY_ITEM, NO_ACTION, Action, Cap, Play

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.policies.arms import Positions
    from nextbest.policies.draw import Numbers
    from nextbest.policies.removals import Flags

SHARES = ("holdout", "random", "business_as_usual")
OF_ACTIONS = ("lever", "cost", "eligibility")
NEEDS_SPREAD = ("squarecb", "thompson", "top_two", "linucb")
USUAL = "chosen"  # what the caller does by itself, where a request said so
_CAP = re.compile(r"(?P<count>\d+) in (?P<days>\d+)( days?)?( by (?P<channel>\w+))?")
_EXAMPLES = "holdout=0, lever.ACTION=0.5, cost.ACTION=2, eligibility.ACTION=EXPRESSION, without=ACTION, cap=1 in 7 days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Some logged decisions: columns as known then, and arrays (decisions, actions) as logged.

    `recent` is how often the subject had been contacted within the days of the cap that is asked about. `spread` is the
    standard deviation of each worth, 0 where nothing is on record; `price` what a unit of money (decisions, 1) and a
    use of each action (decisions or 1, actions) cost then.
    """

    known: pa.Table
    actions: tuple[Action, ...]
    worth: Numbers
    cost: Numbers
    eligible: Flags
    recent: Numbers
    spread: Numbers
    price: tuple[Numbers, Numbers] = (np.zeros((1, 1)), np.zeros((1, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The play as it was and as it would be, the cap that would hold beside its own, and what is said of it.

    `alone` leaves out the arms: the policy decides for everyone.
    """

    was: Play
    play: Play
    words: str
    cap: Cap | None = None
    without: frozenset[str] = frozenset()
    alone: bool = False

    def remarks(self, *, unsure: int, unpriced: int, of: int) -> tuple[str, ...]:
        """Give what this alternative cannot show, in sentences.

        Of so many decisions `unsure` have no spread on record, and `unpriced` no price of money.
        """
        said = []
        if unsure and self._needs_spread():
            said.append(
                f"How sure the learner was is not on record for {unsure:,} of {of:,} decisions: there the policy is "
                "taken to be sure of every value."
            )
        if unpriced and self.play.budget is not None:
            said.append(
                f"The budget's price of money is not on record for {unpriced:,} of {of:,} decisions: there it is taken "
                "to be 0."
            )
        if self.cap is not None:
            said.append("The cap counts the contacts that were logged, of which there would have been fewer.")
        return tuple(said)

    def conditions(self) -> list[str]:
        """Give the expressions that it asks of what was known."""
        rules = [rule[0] for rule in self.play.policy.get("when", ())]
        usual = [USUAL] if self.play.business_as_usual and not self.alone else []
        return [*rules, *usual, *(new for _, new in self._eligibility())]

    def _needs_spread(self) -> bool:
        """Tell whether the policy would choose otherwise if it knew how sure its learner was."""
        asked = self.play.policy
        if asked.get("name") == "uplift_cut":
            return bool(asked.get("caution"))
        return asked.get("name") in NEEDS_SPREAD and asked.get("gamma") is None

    def chances(self, seen: Seen) -> Numbers:
        """Give the probability of every action for every decision, the arms included unless it stands alone."""
        ids = [a.id for a in seen.actions]
        none = ids.index(NO_ACTION)
        eligible = self._eligible(seen, ids)
        money, each = seen.price
        cost, policy = self._cost(seen, ids), policy_of(self.play)
        worth = self._worth(seen, ids, none) - money * cost - each
        charged = getattr(policy, "charged", None)
        if charged is not None:
            worth = charged(worth, cost, ids)
        spread = seen.spread * self._levered(ids)
        p = np.where(eligible, _asked(policy, seen, np.where(eligible, worth, -np.inf), spread), 0.0)
        total = p.sum(axis=1, keepdims=True)
        nothing = np.eye(len(ids))[none]
        p = np.where(total > 0, p / np.where(total > 0, total, 1.0), nothing)
        return p if self.alone else self._mixed(p, eligible, ids, none, seen.known)

    def _mixed(self, p: Numbers, eligible: Flags, ids: list[str], none: int, known: pa.Table) -> Numbers:
        """Give the probabilities over all that is drawn: the play's arms as they are, or as they would be."""
        share = arms.shares(self.play)
        mixed = share.policy * p + share.random * eligible / eligible.sum(axis=1, keepdims=True)
        rows, usual = np.arange(len(p)), _usual(self.play.habit, ids, none, known)
        mixed[rows, np.where(eligible[rows, usual], usual, none)] += share.business_as_usual
        mixed[:, none] += share.holdout
        return np.asarray(mixed, dtype=np.float64)

    def _eligible(self, seen: Seen, ids: list[str]) -> Flags:
        eligible = seen.eligible.copy()
        for name, text in self._eligibility():
            where = f"eligibility of '{name}'"
            if name in ids:
                eligible[:, ids.index(name)] &= condition(text, seen.known, where)
        for j, action in enumerate(seen.actions):
            if action.id in self.without:
                eligible[:, j] = False
            if self.cap is not None and reaches(action) and self.cap.channel in {"", action.channel}:
                eligible[:, j] &= seen.recent < self.cap.count
        return eligible

    def _worth(self, seen: Seen, ids: list[str], none: int) -> Numbers:
        """Give the expected values under other levers and costs: none + gain x lever - cost, as they were made."""
        worth, cost = seen.worth.copy(), seen.cost.copy()
        left = worth[:, none]
        then, now = ({a.id: a for a in play.actions} for play in (self.was, self.play))
        for j, name in enumerate(ids):
            old, new = then.get(name), now.get(name)
            if old is None or new is None or (old.lever, old.cost) == (new.lever, new.cost):
                continue
            if old.lever == 0:
                raise UsageError(f"The lever of '{name}' was 0, so the log does not say what it is worth.")
            gain = (worth[:, j] + cost[:, j] - left) * (new.lever / old.lever)
            worth[:, j] = left + gain - (cost[:, j] if new.cost == old.cost else new.cost)
        return worth

    def _levered(self, ids: list[str]) -> Numbers:
        """Give by how much other levers widen what is known of each action's worth."""
        then, now = ({a.id: a for a in play.actions} for play in (self.was, self.play))
        pairs = [(then.get(name), now.get(name)) for name in ids]
        return np.array([1.0 if a is None or b is None or not a.lever else abs(b.lever / a.lever) for a, b in pairs])

    def _cost(self, seen: Seen, ids: list[str]) -> Numbers:
        """Give the costs as they were, or as they would be."""
        cost, then = seen.cost.copy(), {a.id: a.cost for a in self.was.actions}
        for action in self.play.actions:
            if action.id in ids and action.cost != then.get(action.id, action.cost):
                cost[:, ids.index(action.id)] = action.cost
        return cost

    def _eligibility(self) -> list[tuple[str, str]]:
        then = {a.id: a.eligibility for a in self.was.actions}
        return [(a.id, a.eligibility) for a in self.play.actions if a.eligibility != then.get(a.id, "")]


def alternative(
    play: Play, *, policy: str = "", settings: Mapping[str, str] | None = None, as_if: Sequence[str] = ()
) -> Alternative:
    """Give a play with another policy, other settings, and other rules; `as_if` are texts such as "holdout=0".

    Raises `UsageError` for what cannot be meant.
    """
    name = policy or str(play.policy.get("name", "greedy"))
    kept = {} if policy and policy != play.policy.get("name") else dict(play.policy)
    made = {**kept, **registry.from_text("policies", name, settings or {}), "name": name}
    found = Alternative(was=play, play=replace(play, policy=made), words="", alone=play.places > 1)
    for text in as_if:
        found = _changed(found, text)
    policy_of(found.play)
    arms.shares(found.play)
    said = [name, *(f"{k}={v}" for k, v in (settings or {}).items()), *as_if]
    return replace(found, words=" ".join(said))


def actions_in(play: Play, ids: Sequence[str]) -> tuple[Action, ...]:
    """Give an action per logged id: the play's own, else what the play says of items that requests bring."""
    known = {a.id: a for a in actions_of(play)}
    other = known.get(ANY_ITEM, Action(id=ANY_ITEM))
    return tuple(known[i] if i in known else replace(other, id=i) for i in ids)


def _usual(habit: str, ids: list[str], none: int, known: pa.Table) -> Positions:
    """Give what business as usual takes per decision: what the caller said it does, else the habit, else nothing."""
    own = ids.index(habit) if habit in ids else none
    if USUAL not in known.column_names:
        return np.full(known.num_rows, own)
    said = pc.cast(known[USUAL], pa.string())
    at = pc.fill_null(pc.index_in(said, value_set=pa.array(ids, pa.string())), none)
    found = np.asarray(at.to_numpy(), dtype=np.intp)
    return np.where(np.asarray(pc.is_null(said)), own, found)


def _changed(found: Alternative, text: str) -> Alternative:
    """Give the alternative with one more change, written as name=value."""
    name, sign, value = (part.strip() for part in text.partition("="))
    what, dot, which = name.partition(".")
    if not sign or not value:
        raise UsageError(f"--as-if takes name=value, such as {_EXAMPLES}. Got '{text}'.")
    if name in SHARES:
        shares: dict[str, Any] = {name: _number(name, value)}
        return replace(found, play=replace(found.play, **shares))
    if name == "cap":
        return replace(found, cap=_cap(value))
    if name == "without":
        return replace(found, without=found.without | {_action(found.play, value).id})
    if dot and what in OF_ACTIONS:
        return replace(found, play=_with_action(found.play, which, what, value))
    raise UsageError(
        f"--as-if does not know '{name}'.{nearest(what, (*SHARES, *OF_ACTIONS, 'cap'))} Such as: {_EXAMPLES}."
    )


def _with_action(play: Play, which: str, what: str, value: str) -> Play:
    action = _action(play, which)
    changed: Any = value if what == "eligibility" else _number(f"{what}.{which}", value)
    new = replace(action, **{what: changed})
    return replace(play, actions=tuple(new if a.id == which else a for a in play.actions))


def _action(play: Play, which: str) -> Action:
    known = {a.id: a for a in play.actions}
    if which not in known:
        raise unknown(f"action of play '{play.name}'", which, known)
    return known[which]


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--as-if {name}= takes a number, got '{text}'.") from error


def _cap(text: str) -> Cap:
    match = _CAP.fullmatch(text)
    if match is None:
        raise UsageError(f"A cap is written '1 in 7 days' or '1 in 7 days by email', got '{text}'.")
    return Cap(count=int(match["count"]), days=int(match["days"]), channel=match["channel"] or "")


def _asked(policy: Any, seen: Seen, worth: Numbers, spread: Numbers) -> Numbers:  # noqa: ANN401 (a policy, with or without `weigh`)
    """Ask the policy as the engine does: by arrays where it can, else by a table."""
    if hasattr(policy, "weigh"):
        none = [a.id for a in seen.actions].index(NO_ACTION)
        weighed: Numbers = policy.weigh(worth, spread, none=none)
        return weighed
    table = seen.known
    for j, action in enumerate(seen.actions):
        column = pa.array(worth[:, j], mask=np.isneginf(worth[:, j]))
        table = table.append_column(VALUE + action.id, column)
        table = table.append_column(SPREAD + action.id, pa.array(spread[:, j]))
    p = as_matrix(policy.probabilities(table, seen.actions), seen.actions)
    if p.shape != worth.shape:
        raise ConfigError(f"The policy gave {p.shape[0]} rows for {worth.shape[0]} decisions.")
    return p
