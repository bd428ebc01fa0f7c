"""The live loop: outcomes change what the next decision is worth within seconds, in every process that decides.

Each process asks for the newest states and learns on from them; whoever publishes first wins, and the others take the
winner's state. A process that has just seen another publish leaves the next turn to it, so that two seldom do the same
work.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from nextbest.errors import NextbestError
from nextbest.policies.learners import learn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from nextbest.ledger import Ledger
    from nextbest.policies.learners.learn import Learnt
    from nextbest.policies.learners.linear import LinearState
    from nextbest.types import Play

EVERY_S = 0.5
FAULTS = (NextbestError, sqlite3.Error, OSError, ValueError, ArithmeticError)
_log = logging.getLogger("nextbest")


class Learning:
    """The learnt states of a ledger's plays; thread-safe. `Engine(ledger, states=learning.state)` decides by them."""

    def __init__(self, ledger: Ledger, *, plays: Mapping[str, Play] | None = None, every_s: float = EVERY_S) -> None:
        self.ledger = ledger
        self.every_s = every_s
        self._plays = plays
        self._known: dict[str, Learnt | None] = {}
        self._unlearnt: dict[str, LinearState] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def state(self, play: Play) -> LinearState | None:
        """Give the play's state of now, without reading the disk after the first time; None: it learns otherwise."""
        settings = learn.settings_of(play) if play.name not in self._known else None
        if play.name not in self._known:
            if settings is None:
                return None
            self._known[play.name] = learn.newest(self.ledger, play)
            self._unlearnt[play.name] = settings.start()
        found = self._known[play.name]
        return found.state if found is not None else self._unlearnt[play.name]

    def tick(self) -> int:
        """Take over newer states, and learn what is new in the log; gives how many plays have another state now."""
        changed = 0
        for play in self._learners():
            before = self._known.get(play.name)
            found = learn.newest(self.ledger, play, before)
            if found is before or found is None:
                found = learn.advance(self.ledger, play, found)
            self.state(play)
            if found is not None and (before is None or found.number != before.number):
                self._known[play.name] = found
                changed += 1
        return changed

    def start(self) -> Self:
        """Tick in a thread of its own until `close`, or until the ledger is closed."""
        if self._thread is None and any(True for _ in self._learners()):
            self._thread = threading.Thread(target=self._run, name="nextbest-learning", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop the thread; a tick under way is finished."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _learners(self) -> list[Play]:
        plays = self.ledger.config.plays if self._plays is None else self._plays
        return [play for play in plays.values() if play.learner.get("name") == learn.NAME]

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.tick()
            except FAULTS as error:  # learning fails soft: decisions go on with what was learnt before
                if self.ledger.journal.closed:
                    return
                _log.error("learning: %s: %s", type(error).__name__, error)
