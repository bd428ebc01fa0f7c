"""Turns between processes: who waits to write comes before who has just written.

SQLite lets waiting processes poll with growing pauses, so that a busy neighbour can starve them for seconds. Here a
writer first takes the door, then the room, and leaves the door: whoever has just written finds the door taken by the
one who waits. These locks only order the writers; what keeps the file whole is SQLite's own lock, so a turn that does
not come in time (a stopped process) is done without.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows: SQLite's own waiting has to do
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILES = (".door", ".room")
_POLL_S = 0.0005
_PATIENCE_S = 2.0


class Turns:
    """The door and the room of one workspace; used by one thread."""

    def __init__(self, folder: Path) -> None:
        self._handles = [os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o600) for name in _FILES]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, and hold it while the block lasts."""
        door, room = self._handles
        _take(door)
        try:
            _take(room)
        finally:
            _leave(door)
        try:
            yield
        finally:
            _leave(room)

    def close(self) -> None:
        """Let the files go."""
        for handle in self._handles:
            os.close(handle)


def _take(handle: int) -> None:
    if fcntl is None:
        return
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        else:
            return


def _leave(handle: int) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)
