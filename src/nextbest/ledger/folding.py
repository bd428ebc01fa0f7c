"""The write-ahead log is folded into the journal's file beside the thread that writes it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_logger = logging.getLogger("nextbest")
_FOLD_BYTES = 4 << 20  # a log shorter than that is left alone
_PIECE = 256  # frames of 4 KiB: a commit waits for the disk while a piece is synced, so pieces are small
_LEAST_S, _MOST_S = 0.05, 0.25  # between two pieces
_LONG, _SHORT, _PASSES = 65536, 64, 8  # frames: when the log is begun anew, and what the writer folds for it


class Folder:
    """Folds the write-ahead log into the file beside the writing thread, piece by piece while it is long.

    While commits go on, something is always left behind, and a log that is never folded whole is never begun anew. So
    the long part is folded here, and the writer folds the short rest, between two groups, when `rest` asks for it.
    """

    def __init__(self, file: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self.lock = threading.Lock()
        self._connect = connect
        self._log = f"{file}-wal"
        self.rest = False
        self._wanted, self._pause, self._closed = threading.Event(), threading.Event(), False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Say that something was committed."""
        if self._wanted.is_set() or not os.path.exists(self._log) or os.path.getsize(self._log) < _FOLD_BYTES:  # noqa: PTH110, PTH202 (hot path)
            return
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nextbest-folder", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop after the fold that is under way."""
        self._closed = True
        self._pause.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        folded, pause = 0, _MOST_S
        try:
            while self._wanted.wait() and not self._closed:
                began = time.monotonic()
                with self.lock:
                    self.rest, now = _folded(connection)
                if now >= 0:
                    piece = now - folded if now >= folded else now  # less is folded of a log begun anew
                    folded, pause = now, pace(pause, piece, time.monotonic() - began)
                self._pause.wait(pause)
                if not self._closed:
                    self._wanted.clear()
        finally:
            connection.close()


def pace(pause: float, piece: int, took: float) -> float:
    """Give the seconds to wait for the next piece, after a pause that led to *piece* frames, folded in *took* seconds.

    What comes slowly is folded seldom, for each piece costs a sync; and folding takes half of the time at most, unless
    that would make the pieces large.

    >>> pace(0.25, 1024, 0.01), pace(0.05, 64, 0.01), pace(0.05, 256, 0.08)
    (0.0625, 0.2, 0.08)
    """
    return min(max(pause * _PIECE / max(piece, 1), _LEAST_S, took), _MOST_S)


def _folded(connection: sqlite3.Connection) -> tuple[bool, int]:
    """Fold until little is left; tell whether the writer should fold the rest, and how many frames are folded."""
    folded = 0
    for _ in range(_PASSES):
        frames, folded = fold(connection)
        if frames < _LONG:
            return False, folded
        if frames - folded < _SHORT:
            break
    return True, folded


def fold(connection: sqlite3.Connection) -> tuple[int, int]:
    """Fold what can be folded without making anybody wait; gives the frames of the log and how many are folded.

    Both are -1 where that is not known: another process is folding, or it failed, which is logged.
    """
    try:
        _, frames, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:  # the writer folds by itself when the log grows long
        _logger.warning("The journal's log could not be folded: %s", error)
        return -1, -1
    return int(frames), int(folded)
