"""The last questions before a message leaves, asked in the transaction that hands it over.

A person's veto, the bounds of an amount as they are now, caps, quiet hours; permission and the kill switch are asked by
the outbox itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from nextbest.policies.gates import QUIET, cap_rule, reaches
from nextbest.policies.live.approvals import decided_amount
from nextbest.policies.live.limits import is_bounded, outside
from nextbest.policies.quiet import is_quiet

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from nextbest.config import Config
    from nextbest.ledger.outbox import Message
    from nextbest.types import Action, Cap, Play

VETO = "rejected"
Verdict = tuple[Literal["claim", "held", "removed"], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """Says whether a message may go now; `held` remembers what has to wait, by key, and which rule makes it wait."""

    play: Play
    config: Config
    now: datetime
    actions: Mapping[str, Action]
    decided: Mapping[str, datetime]
    people: Mapping[str, Mapping[str, Any]]
    contacts_now: bool
    held: dict[str, str] = field(default_factory=dict)

    def __call__(self, connection: sqlite3.Connection, message: Message) -> Verdict:
        """Give `claim`, `held` or `removed`, with the rule; asked inside the transaction that hands over."""
        if _vetoed(connection, message.decision_id):
            return "removed", VETO
        action = self.actions[message.key]
        limit = self._out_of_bounds(connection, action, message)
        if limit is not None:
            return "removed", limit
        if not reaches(action):
            return "claim", ""
        for cap in self.play.caps:
            if cap.channel in {"", action.channel} and self._over(connection, cap, message):
                return "removed", cap_rule(cap)
        if self.contacts_now and self._is_quiet(message):
            self.held[message.key] = QUIET
            return "held", QUIET
        return "claim", ""

    def _out_of_bounds(self, connection: sqlite3.Connection, action: Action, message: Message) -> str | None:
        """Give the bound of today's configuration that the decided amount breaks; it may have moved since."""
        if not is_bounded(action):
            return None
        decided = decided_amount(connection, message.decision_id, message.action_id)
        return outside(action, action.amount if decided is None else decided, reference=None)

    def _over(self, connection: sqlite3.Connection, cap: Cap, message: Message) -> bool:
        """Tell whether this contact, made now, would be one too many; the decision itself is on record already."""
        from nextbest.ledger import contacts

        since = self.now - timedelta(days=cap.days)
        recorded = contacts.count(connection, message.subject_id, since=since, channel=cap.channel, most=cap.count + 1)
        itself = self.decided[message.key] >= since
        return recorded - itself + 1 > cap.count

    def _is_quiet(self, message: Message) -> bool:
        hours = self.play.quiet_hours
        person = self.people.get(message.subject_id, {})
        return hours is not None and is_quiet(
            hours,
            self.now.astimezone(UTC),
            timezone=person.get("timezone"),
            country=person.get("country"),
            default=self.config.timezone,
        )


def _vetoed(connection: sqlite3.Connection, decision_id: str) -> bool:
    """Tell whether a person rejected the decision, or put another action in its place; the latest word counts."""
    from nextbest.ledger import feedback

    said = feedback.of_decision(connection, decision_id)
    return bool(said) and said[-1].verdict != "approve"
