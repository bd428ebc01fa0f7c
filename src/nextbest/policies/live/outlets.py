"""Channels whose target is dead or whose queue is full: what would only wait there, and expire, is not decided now.

A channel is dead when nothing has gone out since a message that still waits first failed, for longer than a new message
would be valid. While nothing waits on it for another try, a new decision may try it: that is how it comes back.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from nextbest.errors import LedgerError
from nextbest.ledger import outbox
from nextbest.ledger.times import to_micros
from nextbest.policies.live.failsafe import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.ledger.outbox import Stuck
    from nextbest.types import Action

MOST_WAITING = 50_000  # messages of a channel that failed and wait: at about 1 kB each, 50 MB of journal
VALID_HOURS = 168.0  # how long a message may wait unless its action says otherwise
LOOK_S = 1.0  # a target that dies is held on to by dispatch anyway; this only keeps the queue from growing
_HOUR_US = 3_600_000_000


class Outlets:
    """What waits per channel, looked at no more often than every `LOOK_S` seconds."""

    def __init__(self, *, every_s: float = LOOK_S) -> None:
        self._every_s = every_s
        self._looked = -every_s
        self._stuck: Mapping[str, Stuck] = {}

    def now(self, connection: sqlite3.Connection) -> Mapping[str, Stuck]:
        """Give the channels on which something failed and waits; what cannot be read is taken as before."""
        moment = time.monotonic()
        if moment - self._looked >= self._every_s:
            self._looked = moment
            try:
                self._stuck = outbox.stuck(connection)
            except (sqlite3.Error, LedgerError):  # dispatch reads it again; a message that cannot be queued is not sent
                return self._stuck
        return self._stuck


def holds(stuck: Mapping[str, Stuck], action: Action, now: datetime) -> bool:
    """Say whether an action would only wait on its channel; a grave matter waits for its person anyway."""
    if action.channel not in stuck or TABLE["outbox", action.action_class] != "hold":
        return False
    found = stuck[action.channel]
    valid = VALID_HOURS if action.valid_hours is None else action.valid_hours
    return found.waiting > MOST_WAITING or to_micros(now) - found.since > valid * _HOUR_US
