"""What is proposed before anything was asked of the ledger's permissions: worth per candidate, and its own removals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nextbest.policies.columns import CHURN, WINNING
from nextbest.policies.gates import ELIGIBILITY, QUIET, TIMEZONE
from nextbest.policies.quiet import DAY, NIGHT, UNSURE, hour_of
from nextbest.policies.response import LEAST, PRIOR_RESPONSE
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.ledger.described import Described
    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.ask import Ask, Offers
    from nextbest.policies.live.compiled import Compiled
    from nextbest.policies.live.failsafe import Failure
    from nextbest.policies.live.known import Known
    from nextbest.policies.live.learning import State
    from nextbest.policies.live.menu import Menu
    from nextbest.types import QuietHours

AUDIENCE = "audience"
DEAL = "deal"
_HOURS = {DAY: None, NIGHT: QUIET, UNSURE: TIMEZONE}


class Ranks(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Response, worth and its standard deviation per candidate; `degraded` where a prediction was missing."""

    response: Numbers
    worth: Numbers
    spread: Numbers | None
    degraded: bool


class Proposal(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One request, ranked: what is left to do needs the transaction.

    `early`, `late` hold the removing rule per declared action of the gates that come before and after caps; `removed`
    that per candidate. `table` is what described the candidates, `amounts` their own amounts. `told` holds the answers
    of a policy that is not ours, asked before the transaction.
    """

    ask: Ask
    compiled: Compiled
    known: Known
    shown: Menu
    table: Described | None
    amounts: Numbers | None
    row: Mapping[str, Any]
    ranks: Ranks
    early: tuple[str | None, ...]
    late: tuple[str | None, ...]
    not_offered: frozenset[int]
    inside: bool
    version: str
    learner: str
    ts: datetime
    started: int
    failures: tuple[Failure, ...] = ()
    told: tuple[Numbers, ...] = ()


def row_of(compiled: Compiled, ask: Ask, known: Known) -> dict[str, Any]:
    """Give what the expressions read: the context, over it what is known; a value of the wrong type is missing."""
    row: dict[str, Any] = {k: v for k, v in ask.context.items() if isinstance(v, str | int | float | bool)}
    row.update(known.features)
    for name, kind in compiled.types.items():
        value = row.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            row[name] = None
    row["subject_id"] = known.subject_id
    return row


def own_removals(
    ledger: Ledger, compiled: Compiled, row: Mapping[str, Any], now: datetime
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Give the rules of the gates that need no transaction, per declared action: before the caps, and after them."""
    early: list[str | None] = [None] * len(compiled.actions)
    late = early.copy()
    for i, holds in compiled.eligibility:
        if holds(row) is not True and compiled.actions[i].id != NO_ACTION:
            early[i] = ELIGIBILITY
    hours = compiled.play.quiet_hours
    if hours is not None and compiled.reaching:
        rule = _HOURS[_hour(ledger, row, now, hours)]
        for i in compiled.reaching:
            late[i] = rule
    return tuple(early), tuple(late)


def _hour(ledger: Ledger, row: Mapping[str, Any], now: datetime, hours: QuietHours) -> int:
    zone, land = row.get("timezone"), row.get("country")
    return hour_of(
        hours,
        now,
        timezone=zone if isinstance(zone, str) and zone else None,
        country=land if isinstance(land, str) and land else None,
        default=ledger.config.timezone,
    )


def ranks(compiled: Compiled, row: Mapping[str, Any], shown: Menu, state: State | None, described: Offers) -> Ranks:
    """Give what each candidate is expected to do and to earn; `ValueError` where a model gives no numbers.

    worth = none + (response - response of none) x value x margin x weight x lever - cost
    """
    value = _number(compiled.value(row))
    money = 0.0 if math.isnan(value) else value * compiled.margin
    if state is None:
        response, spread, degraded = _by_lift(compiled, row, shown)
    else:
        response, spread = state.response(row, described)
        # A response that is no number makes its worth none: see `ranked`.
        if len(response) != len(shown.ids) or not finite(spread):
            raise ValueError("the model gave something other than one number per candidate")
        degraded = False
    factor = _factor(compiled, row, shown)
    if factor is None:
        worth = response * money - shown.cost
        wide = spread * abs(money)
    else:
        least = response[shown.none] * money
        worth = least + (response - response[shown.none]) * (money * factor) - shown.cost
        wide = spread * np.abs(money * factor)
    return Ranks(response=response, worth=worth, spread=wide, degraded=degraded or math.isnan(value))


def _by_lift(compiled: Compiled, row: Mapping[str, Any], shown: Menu) -> tuple[Numbers, Numbers, bool]:
    """Give the response by the play's own expression and the lifts of its actions (see `policies.response`)."""
    lifts = compiled.lifts
    base = _number(compiled.response(row))
    # A response that the play does not write and no model says falls back by itself, as in lists (`base_response`).
    missing = math.isnan(base) and (bool(compiled.play.response) or CHURN in row or WINNING in row)
    if math.isnan(base):
        base = PRIOR_RESPONSE if lifts.base_rate is None else lifts.base_rate
    base = min(max(base, LEAST), 1 - LEAST)
    shift, sd = _shifts(compiled, shown)
    response = 0.5 * (1.0 + np.tanh((math.log(base / (1 - base)) + shift) * 0.5))
    return response, response * (1 - response) * sd, missing


def _shifts(compiled: Compiled, shown: Menu) -> tuple[Numbers, Numbers]:
    by = compiled.lifts.by_action
    known = [by.get(a.id) for a in compiled.actions]
    shift = np.array([0.0 if k is None else k.log_odds for k in known])
    sd = np.array([0.0 if k is None else k.sd for k in known])
    return shift[shown.kinds], sd[shown.kinds]


def _factor(compiled: Compiled, row: Mapping[str, Any], shown: Menu) -> Numbers | None:
    """Give weight x lever per candidate, None where all are 1; a weight that cannot be known counts as 1."""
    if not compiled.weights:
        return shown.lever
    weight = np.ones(len(compiled.actions))
    for i, closure in compiled.weights:
        found = _number(closure(row))
        weight[i] = 1.0 if math.isnan(found) else found
    factor: Numbers = weight[shown.kinds]
    return factor if shown.lever is None else factor * shown.lever


def finite(values: Numbers) -> bool:
    """Say whether all are finite; looking for a zero byte takes half the time of `all`."""
    return b"\0" not in np.isfinite(values).tobytes()


def _number(value: object) -> float:
    """Give a number, NaN for what is none or not finite."""
    if isinstance(value, int | float):
        found = float(value)
        return found if math.isfinite(found) else math.nan
    return math.nan
