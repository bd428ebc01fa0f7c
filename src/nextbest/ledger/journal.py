"""The journal: one SQLite file, one writing thread, and no reply before its commit.

Callers hand in small functions; the writer takes all that are waiting, runs each in its own savepoint, commits them
together and then answers. The commit syncs to disk (`synchronous=FULL`), so an answer survives a power cut; waiting
callers share the sync, so many small writes are cheap. Several processes may have the same journal open.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from nextbest.errors import LedgerError
from nextbest.ledger.migrations import migrate
from nextbest.ledger.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

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


class Connection(sqlite3.Connection):
    """A connection that knows the workspace's secret, so that permission can be checked with nothing but it."""

    secret: bytes = b""


class _Stop:
    """The last thing in the queue."""


class _Checkpoint:
    """Asks for the write-ahead log to be folded into the file and emptied."""


_Work = tuple["Callable[[sqlite3.Connection], Any] | _Checkpoint | _Stop", "Future[Any]"]


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
        with _errors(file):
            connection = self._connect()
            try:
                migrate(connection)
            finally:
                connection.close()

    def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run *fn* in the next commit group and give its result once that is durable.

        An error of *fn* undoes only what *fn* did and is raised here; a failed commit raises `LedgerError`.
        """
        if threading.current_thread() is self._thread:
            raise LedgerError("A write was asked for inside a write. Use the connection that the function was given.")
        return self.submit(fn).result()

    def submit(self, fn: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue *fn* for the next commit group; the future resolves after the commit."""
        return self._put(fn)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a read-only connection that sees one snapshot for as long as the block lasts."""
        if self._closed:
            raise LedgerError(f"The journal {self.file} is closed.")
        with _errors(self.file):
            connection = self._reader()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
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
        while not self._readers.empty():
            self._readers.get().close()

    def _put(self, work: Callable[[sqlite3.Connection], Any] | _Checkpoint) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise LedgerError(f"The journal {self.file} is closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nextbest-journal", daemon=True)
                self._thread.start()
            self._queue.put((work, future))
        return future

    def _connect(self) -> Connection:
        connection = sqlite3.connect(
            self.file, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.secret = self._secret
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

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
                connection = connection or self._connect()
                turns = turns or Turns(self.file.parent)
                with turns.turn():
                    _serve(connection, work)
            except (sqlite3.Error, OSError) as error:
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


def _serve(connection: Connection, group: list[_Work]) -> None:
    """Commit the group's functions together and answer; then do the checkpoints that were asked for."""
    writes = [(work, future) for work, future in group if callable(work)]
    if writes:
        _commit(connection, writes)
    for work, future in group:
        if isinstance(work, _Checkpoint):
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            future.set_result(not busy)


def _commit(connection: Connection, writes: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]]) -> None:
    """Run each function in its savepoint, commit, and only then answer."""
    answers: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for fn, future in writes:
            if future.set_running_or_notify_cancel():
                answers.append((future, *_step(connection, fn)))
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


def _fail(group: list[_Work], error: Exception) -> None:
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
