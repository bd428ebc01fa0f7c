"""The write-ahead log is folded into the journal's file beside the thread that writes it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_logger = logging.getLogger("nextbest")
_FOLD_S = 0.25
_FOLD_BYTES = 4 << 20
_LONG, _SHORT, _PASSES = 65536, 64, 8  # frames of 4 KiB: when the log is begun anew, and what the writer folds for it


class Folder:
    """Folds the write-ahead log into the file beside the writing thread, a few times a second while it is long.

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
        try:
            while self._wanted.wait() and not self._closed:
                with self.lock:
                    self.rest = self._folded(connection)
                self._pause.wait(_FOLD_S)
                if not self._closed:
                    self._wanted.clear()
        finally:
            connection.close()

    @staticmethod
    def _folded(connection: sqlite3.Connection) -> bool:
        """Fold until little is left; tell whether the writer should fold the rest."""
        for _ in range(_PASSES):
            frames, folded = fold(connection)
            if frames < _LONG:
                return False
            if frames - folded < _SHORT:
                return True
        return True


def fold(connection: sqlite3.Connection) -> tuple[int, int]:
    """Fold what can be folded without making anybody wait; gives the frames of the log and how many are folded."""
    try:
        _, frames, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:  # the writer folds by itself when the log grows long
        _logger.warning("The journal's log could not be folded: %s", error)
        return 0, 0
    return int(frames), int(folded)
