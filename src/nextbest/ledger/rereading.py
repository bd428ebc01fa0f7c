"""A running program reads nextbest.toml again when it changes; what cannot be used is refused, and the last one stays.

A change that is taken is chained before any decision made by it, as at the start.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from nextbest import config as configuration
from nextbest.errors import ConfigError
from nextbest.ledger.workspace import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.ledger.workspace import Ledger

LOOK_S = 1.0
_log = logging.getLogger("nextbest")
Stamp = tuple[int, int, int]


class Rereading:
    """Looks at one workspace's nextbest.toml at most every `every_s` seconds; thread-safe.

    `problem` says why the file that is there now is refused, '' while it is in use; `refused` counts such files.
    """

    def __init__(self, ledger: Ledger, *, every_s: float = LOOK_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.problem = ""
        self.refused = 0
        self._ledger, self._every_s, self._clock = ledger, every_s, clock
        self._file = ledger.path / configuration.FILE
        self._looked = clock()
        # What was in the file when the ledger was opened is not known here: it is read once more at the first look.
        self._stamp: Stamp | None = None
        self._lock = threading.Lock()

    def look(self) -> None:
        """Take over a file that has changed; does nothing when that was looked at just now."""
        if self._clock() - self._looked < self._every_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked = self._clock()
            stamp = self._stamped()
            if stamp is None or stamp != self._stamp:
                self._read(stamp)
        finally:
            self._lock.release()

    def _read(self, stamp: Stamp | None) -> None:
        try:
            found = configuration.read(self._ledger.path)
        except ConfigError as error:
            self._refuse(str(error))
        else:
            self.problem = ""
            if found != self._ledger.config:
                adopt(self._ledger, found)
                _log.info("%s has changed and is in use", configuration.FILE)
        self._stamp = stamp

    def _refuse(self, problem: str) -> None:
        if problem != self.problem:
            self.refused += 1
            _log.error("%s is refused, and what was read before stays: %s", configuration.FILE, problem)
        self.problem = problem

    def _stamped(self) -> Stamp | None:
        """Give what changes with the file; None when there is none."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def refused(ledger: Ledger) -> str:
    """Say why the nextbest.toml that is there now cannot be used, or give ''."""
    try:
        configuration.read(ledger.path)
    except ConfigError as error:
        return f"{error} What was read before is still in use."
    return ""
