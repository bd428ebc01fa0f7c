"""The journal: one SQLite file, one writing thread, and no reply before its commit.

Callers hand in small functions; the writer takes all that are waiting, runs each in its own savepoint, commits them
together and then answers. The commit syncs to disk (`synchronous=FULL`), so an answer survives a power cut; waiting
callers share the sync, so many small writes are cheap. Several processes may have the same journal open.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from nextbest.errors import LedgerError
from nextbest.ledger import faults
from nextbest.ledger.folding import Folder, fold
from nextbest.ledger.migrations import migrate
from nextbest.ledger.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

_logger = logging.getLogger("nextbest")
GROUP = 256  # functions per commit; more would make the first caller wait for the last
BUSY_MS = 10_000
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL loses acknowledged commits at a power cut
    "PRAGMA secure_delete = ON",  # what is erased is overwritten, not only unlinked
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",  # no personal data in temporary files
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)
_WRITER = (
    "PRAGMA cache_size = -65536",  # KiB: the leaves of the indexes, which every row touches anew
    "PRAGMA wal_autocheckpoint = 131072",  # pages; `Folder` is there before, so that no caller waits for it
)
REPLACED = "a restore has put another journal in its place while this program ran; start the program again"


class Connection(sqlite3.Connection):
    """A connection that knows the workspace's secret, so that permission can be checked with nothing but it."""

    secret: bytes = b""


class _Stop:
    """The last thing in the queue."""


class _Checkpoint:
    """Asks for the write-ahead log to be folded into the file and emptied."""


_Work = tuple["Callable[[sqlite3.Connection], Any] | _Checkpoint | _Stop", "Future[Any]"]


def _identity(file: Path) -> tuple[int, int]:
    """Give what tells a file from another one that takes its name."""
    found = os.stat(file)  # noqa: PTH116 (hot path)
    return found.st_dev, found.st_ino


class Journal:
    """The write queue and the read connections of one SQLite file."""

    def __init__(self, file: Path, *, secret: bytes = b"") -> None:
        self.file = file
        self._secret = secret
        self._queue: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._readers: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._asked = self._done = 0
        self._counting = threading.Lock()
        self._folder = Folder(file, self._connect)
        with _errors(file):
            connection = self._connect()
            try:
                migrate(connection)
            finally:
                connection.close()
            self._identity = _identity(file)

    def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run *fn* in the next commit group and give its result once that is durable.

        An error of *fn* undoes only what *fn* did and is raised here; a failed commit raises `LedgerError`.
        """
        if threading.current_thread() is self._thread:
            raise LedgerError("A write was asked for inside a write. Use the connection that the function was given.")
        return self.submit(fn).result()

    def submit(self, fn: Callable[[sqlite3.Connection], T], *, decides: bool = False) -> Future[T]:
        """Queue *fn* for the next commit group; the future resolves after the commit.

        *decides* says that it writes decisions only, so that what is known of subjects stays as it is (`mark`).
        """
        return self._put(fn, decides=decides)

    def mark(self) -> int | None:
        """Give a number that stays while this process writes nothing but decisions; None while something is under way.

        What was read under a number stands while it is given again, but for what other processes write.
        """
        asked = self._asked
        return asked if asked == self._done else None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a read-only connection that sees one snapshot for as long as the block lasts."""
        with self.look() as connection:
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """Give a read-only connection for one statement; a second one may see what was written meanwhile."""
        if self._closed:
            raise LedgerError(f"The journal {self.file} is closed.")
        with _errors(self.file):
            connection = self._reader()
            try:
                yield connection
            finally:
                self._give_back(connection)

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for the writing thread, about."""
        return self._queue.qsize()

    def checkpoint(self) -> bool:
        """Fold the write-ahead log into the file and empty it, so that erased bytes are gone from both.

        Gives False when a reader or another process kept it from being emptied.
        """
        emptied: bool = self._put(_Checkpoint()).result()
        return emptied

    @property
    def replaced(self) -> bool:
        """Whether another file stands in its place, as after a restore: then nothing can be written any more."""
        try:
            return _identity(self.file) != self._identity
        except OSError:
            return True

    @property
    def closed(self) -> bool:
        """Whether it was closed: nothing can be read or written any more."""
        return self._closed

    def close(self) -> None:
        """Commit what is queued, then close; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            self._queue.put((_Stop(), Future()))
        if thread is not None:
            thread.join()
        self._folder.close()
        while not self._readers.empty():
            self._readers.get().close()

    def _put(self, work: Callable[[sqlite3.Connection], Any] | _Checkpoint, *, decides: bool = False) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise LedgerError(f"The journal {self.file} is closed.")
            if self._thread is None or not self._thread.is_alive():  # whatever ended it, writing goes on
                self._thread = threading.Thread(target=self._run, name="nextbest-journal", daemon=True)
                self._thread.start()
            if not decides:
                self._asked += 1
                future.add_done_callback(self._count)
            self._queue.put((work, future))
        return future

    def _count(self, future: Future[Any]) -> None:
        del future
        with self._counting:
            self._done += 1

    def _connect(self) -> Connection:
        connection = sqlite3.connect(
            self.file, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.secret = self._secret
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    def _connect_writer(self) -> Connection:
        connection = self._connect()
        for pragma in _WRITER:
            connection.execute(pragma)
        return connection

    def _serve(self, connection: Connection, group: list[_Work]) -> None:
        """Commit the group's functions together and answer; then do the checkpoints that were asked for."""
        writes = [(work, future) for work, future in group if callable(work)]
        if writes:
            _commit(self, connection, writes)
        for work, future in group:
            if isinstance(work, _Checkpoint):
                with self._folder.lock:  # two at a time would give the later one up
                    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                future.set_result(not busy)

    def _reader(self) -> Connection:
        try:
            return self._readers.get_nowait()
        except queue.Empty:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._readers.put(connection)

    def _run(self) -> None:
        """Serve the queue until told to stop; the writing connection never leaves this thread."""
        connection: Connection | None = None
        turns: Turns | None = None
        while True:
            group = self._take()
            stop = isinstance(group[-1][0], _Stop)
            work = group[:-1] if stop else group
            try:
                connection = connection or self._connect_writer()
                turns = turns or Turns(self.file.parent)
                with turns.turn():
                    self._serve(connection, work)
                    if self._folder.rest:  # within the turn, or another process adds to it meanwhile
                        self._folder.rest = False
                        fold(connection)
                self._folder.wake()
            except BaseException as error:  # noqa: BLE001 (who waits must hear of it, and writing goes on)
                if not isinstance(error, sqlite3.Error | OSError):
                    _logger.critical("The journal's writing thread failed and goes on: %s", type(error).__name__)
                _fail(work, error)
            if stop:
                break
        for open_thing in (connection, turns):
            if open_thing is not None:
                open_thing.close()

    def _take(self) -> list[_Work]:
        """Wait for one piece of work, then take all that is waiting, up to a group."""
        group = [self._queue.get()]
        while len(group) < GROUP and not isinstance(group[-1][0], _Stop):
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return group


def _commit(
    journal: Journal, connection: Connection, writes: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]]
) -> None:
    """Run each function in its savepoint, commit, and only then answer."""
    answers: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        if journal.replaced:  # under the lock that a restore holds while it swaps: nothing is written to what it moved
            raise sqlite3.OperationalError(REPLACED)
        for fn, future in writes:
            if future.set_running_or_notify_cancel():
                answers.append((future, *_step(connection, fn)))
        faults.at("commit", len(answers))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    for future, result, error in answers:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _step(connection: Connection, fn: Callable[[sqlite3.Connection], Any]) -> tuple[Any, BaseException | None]:
    connection.execute("SAVEPOINT step")
    try:
        result = fn(connection)
    except BaseException as error:  # whatever it is, it belongs to the caller who waits for it
        if not connection.in_transaction:  # SQLite gave the whole group up: disk full, I/O error
            raise sqlite3.OperationalError(str(error)) from error
        connection.execute("ROLLBACK TO step")
        connection.execute("RELEASE step")
        return None, _ledger_error(error) if isinstance(error, sqlite3.OperationalError) else error
    if not connection.in_transaction:
        raise sqlite3.OperationalError("a write function ended the transaction of its group")
    connection.execute("RELEASE step")
    return result, None


def _fail(group: list[_Work], error: BaseException) -> None:
    """Tell every caller of the group that nothing of it was kept."""
    for _, future in group:
        if not future.done():
            future.set_exception(_ledger_error(error))


def _ledger_error(error: BaseException) -> LedgerError:
    problem = LedgerError(f"The journal could not be written: {error}. Nothing of this call was kept; try again.")
    problem.__cause__ = error
    return problem


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"The journal {file} cannot be read: {error}.") from error
