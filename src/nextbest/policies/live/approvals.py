"""What people set: an amount they approve, an action they put in another's place. The limits bind them too."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from nextbest.errors import DataError, UsageError, unknown
from nextbest.ledger import contacts, described, spent
from nextbest.policies.live.limits import CEILING, CHANGE, FLOOR, amount_of, is_bounded, outside

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger import Ledger
    from nextbest.types import Action, Decision

_WORDS = {
    FLOOR: "below its floor of {floor:g}",
    CEILING: "above its ceiling of {ceiling:g}",
    CHANGE: "further from the amount that today began with than max_change {max_change:g} allows",
}


def approve(ledger: Ledger, play: str, action_id: str, *, amount: float, by: str) -> None:
    """Put an amount on record as the one that stands for an action; durable before it returns.

    Raises `DataError` for an amount outside the action's bounds, or moved by more than `max_change` within a day.
    """
    if play not in ledger.config.plays:
        raise unknown("play", play, ledger.config.plays)
    action = contacts.declared(ledger.config, play, action_id)
    if action is None or action.action_class != "money":
        raise UsageError(f"Play '{play}' has no money action '{action_id}'; only those have an amount to approve.")
    if not by.strip():
        raise DataError("An approval needs the name of the person who gave it: set `by`.")
    now = ledger.clock()

    def write(connection: sqlite3.Connection) -> None:
        _check(connection, ledger, (play, action_id), action, amount)
        spent.approve(connection, play, action_id, amount=amount, by=by, ts=now)

    ledger.journal.write(write)


def decided_amount(connection: sqlite3.Connection, decision_id: str, action_id: str) -> float | None:
    """Give the amount that came with a decision's action; None where it had none of its own."""
    table, context = spent.decided(connection, decision_id)
    own = described.by_action(described.read(table)).get(action_id, {}).get("amount")
    found = (msgspec.json.decode(context) if context else {}).get("amount", own)
    return float(found) if isinstance(found, int | float) else None


def check_change(ledger: Ledger, decision: Decision, action_id: str) -> None:
    """Raise `DataError` when a person's change of a decision would break a limit of the new action."""
    action = contacts.declared(ledger.config, decision.play, action_id)
    if action is None or not is_bounded(action):
        return
    amount = amount_of(action, decision.action_features.get(action_id, {}))
    with ledger.journal.read() as connection:
        _check(connection, ledger, (decision.play, action_id), action, amount)


def _check(
    connection: sqlite3.Connection, ledger: Ledger, names: tuple[str, str], action: Action, amount: float | None
) -> None:
    play, action_id = names
    local = ledger.clock().astimezone(ZoneInfo(ledger.config.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    reference = spent.amount_of_day(connection, names, midnight, declared=action.amount)
    rule = outside(action, amount, reference=reference)
    if rule is not None:
        bounds = {name: getattr(action, name) for name in ("floor", "ceiling", "max_change")}
        why = _WORDS[rule].format(**bounds) if rule in _WORDS else "no finite number"
        raise DataError(f"'{action_id}' of play '{play}' cannot be set to {amount}: that is {why}.")
