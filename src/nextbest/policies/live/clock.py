"""Whether the clock can be trusted: a wrong one would end quiet hours early and give caps back.

Two signs: the time is behind the last logged decision, or it has moved by more than `GAP_S` seconds against a clock
that only counts. While either holds, nobody is contacted. It does not wear off: a clock that is wrong for long is still
wrong. It ends when the time fits again, or with a restart, which is how an operator says that the new time is right;
a restart does not help against a time behind the log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from nextbest.ledger.workspace import wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nextbest.ledger import Ledger

GAP_S = 2.0  # more than a clock is ever slewed between two looks, less than quiet hours or a cap could notice
_GAP = timedelta(seconds=GAP_S)


@dataclass(slots=True, kw_only=True)
class Watch:
    """A clock that is compared with one that only counts, from the moment the watch was made.

    `latest` is the latest logged moment that it has been told of: what is logged by a clock that was set back must not
    make that clock right.
    """

    counter: Callable[[], float] | None
    started: datetime
    counted: float
    latest: datetime | None = None

    def jumped(self, now: datetime) -> bool:
        """Say whether the wall clock and the counter have come apart by more than `GAP_S` since the start."""
        if self.counter is None:
            return False
        gap = (now - self.started).total_seconds() - (self.counter() - self.counted)
        return abs(gap) > GAP_S

    def suspect(self, now: datetime, *, last_logged: datetime | None) -> str:
        """Say why the time cannot be trusted, or give ''."""
        if last_logged is not None and (self.latest is None or last_logged > self.latest):
            self.latest = last_logged
        if self.latest is not None and now < self.latest - _GAP:
            return f"the clock is {(self.latest - now).total_seconds():.0f} s behind the last logged decision"
        return "the clock has jumped since the start" if self.jumped(now) else ""


def watch(ledger: Ledger, *, counter: Callable[[], float] | None = None) -> Watch:
    """Give a watch on the ledger's clock.

    A clock that a caller has put in place of the wall clock is compared only with the *counter* given.
    """
    counts = counter or (_counter if ledger.clock is wall_clock else None)
    return Watch(counter=counts, started=ledger.clock(), counted=counts() if counts is not None else 0.0)


def _counter() -> float:
    """Give seconds that go on while the machine sleeps, where the system counts them."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if kind is None else time.clock_gettime(kind)
