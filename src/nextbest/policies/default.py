"""The play of a workspace that has declared none: one that any business can start from, and should replace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.ledger import analysis
from nextbest.types import NONE, Action, Cap, Play

if TYPE_CHECKING:
    from nextbest.ledger import Ledger

NAME = "stay_in_touch"
_SILENT = "orders_ever >= 2 and days_since_last_order > 1.5 * average_days_between_orders"
_NOTE = Action(id="check_in", channel="email", cost=0.05, text="A short personal note: how are things, what is new")
_TASK = Action(id="follow_up", channel="task", action_class="internal", cost=5.0, text="Take the next step")


def default_play(ledger: Ledger) -> Play:
    """Give a note to customers silent for longer than is usual for them; without orders, a task for a person."""
    kinds = analysis.kinds_present(ledger)
    if "order" in kinds or "order_line" in kinds:
        return Play(name=NAME, actions=(_NOTE, NONE), audience=_SILENT, caps=(Cap(count=1, days=30),))
    return Play(name=NAME, actions=(_TASK, NONE), value="100", caps=(Cap(count=1, days=30),))
