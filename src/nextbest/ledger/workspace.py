"""A workspace is a folder with `nextbest.toml`; it is also the tenant: its own journal, archive, models and secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nextbest import config as configuration
from nextbest.errors import LedgerError
from nextbest.ledger import chain
from nextbest.ledger.journal import Journal
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from types import TracebackType

    from nextbest.config import Config

JOURNAL = "ledger.sqlite"
SECRET = ".secret"  # noqa: S105 (a file name)
FOLDERS = ("archive", "models")
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ledger:
    """A handle on one workspace, without logic: the rooms' functions take it first."""

    path: Path
    config: Config
    journal: Journal
    clock: Callable[[], datetime]
    secret: bytes

    def close(self) -> None:
        """Commit what is waiting and let the files go."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create(path: str | Path, *, config_text: str | None = None, clock: Callable[[], datetime] | None = None) -> Ledger:
    """Make a workspace in a folder (new or without one) and open it; raises `LedgerError` if there is one already."""
    folder = Path(path).resolve()
    file = folder / configuration.FILE
    if file.exists():
        raise LedgerError(f"{folder} is a workspace already. Open it, or choose another folder.")
    text = config_text if config_text is not None else f"name = {json.dumps(folder.name or 'workspace')}\n"
    configuration.parse(text)
    folder.mkdir(parents=True, exist_ok=True)
    _write_secret(folder)
    _prepare(folder)
    file.write_text(text, encoding="utf-8")  # last: from now on the folder is a workspace
    return open_ledger(folder, clock=clock)


def open_ledger(path: str | Path | None = None, *, clock: Callable[[], datetime] | None = None) -> Ledger:
    """Open the nearest workspace upwards from *path* (or the current folder), as git does.

    Runs migrations; raises `LedgerError` when there is none, when it is damaged, or when it is of a newer version.
    """
    start = Path(path).resolve() if path is not None else Path.cwd()
    folder = _nearest(start)
    settings = configuration.read(folder)
    if not (folder / SECRET).exists() and not (folder / JOURNAL).exists():
        _write_secret(folder)  # a nextbest.toml written by hand: the rest is made now
    _prepare(folder)
    secret = _read_secret(folder)
    ledger = Ledger(folder, settings, Journal(folder / JOURNAL, secret=secret), clock or wall_clock, secret)
    _note_config(ledger)
    return ledger


def adopt(ledger: Ledger, settings: Config) -> None:
    """Put other settings in the place of the ledger's, chained before whatever is written from now on."""
    sha256 = _config_sha256(ledger)
    ledger.journal.submit(lambda connection: _note(ledger, connection, sha256))
    # The one thing of a handle that may change: every room reads `ledger.config` anew whenever it needs it.
    object.__setattr__(ledger, "config", settings)


def digest(ledger: Ledger, text: str) -> str:
    """Give the keyed hash (HMAC-SHA256, 64 hex digits) of a text under the workspace's secret."""
    return keyed(ledger.secret, text)


def keyed(secret: bytes, text: str) -> str:
    """Give the keyed hash (HMAC-SHA256, 64 hex digits) of a text."""
    return hmac.digest(secret, text.encode(errors="surrogatepass"), "sha256").hex()


def new_id(prefix: str) -> str:
    """Give an opaque id that sorts by time: `<prefix>_<time><random>`, within [a-z0-9_-]{1,64}."""
    return f"{prefix}_{time.time_ns() // 1000:014x}{os.urandom(8).hex()}"


def _nearest(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / configuration.FILE).is_file():
            return folder
    raise LedgerError(f"There is no workspace in {start} or above it. Make one with `nextbest init`.")


def _prepare(folder: Path) -> None:
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    file = folder / JOURNAL
    if not file.exists():
        if any((folder / "archive").rglob("*.parquet")):
            message = f"{file} is missing but the archive is not empty. Bring the file back, or `nextbest restore` it."
            raise LedgerError(message)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _write_secret(folder: Path) -> None:
    try:
        handle = os.open(folder / SECRET, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _read_secret(folder: Path) -> bytes:
    file = folder / SECRET
    try:
        secret = file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}. Suppressions cannot be honoured without it; bring it back."
        raise LedgerError(message) from error
    if len(secret) != SECRET_BYTES:
        raise LedgerError(f"{file} has {len(secret)} bytes instead of {SECRET_BYTES}. Bring the right file back.")
    return secret


def _note_config(ledger: Ledger) -> None:
    """Chain the state of nextbest.toml when it is not the one that was chained last."""
    sha256 = _config_sha256(ledger)
    with ledger.journal.read() as connection:
        if _last_config(connection) == sha256:
            return

    ledger.journal.write(lambda connection: _note(ledger, connection, sha256))


def _config_sha256(ledger: Ledger) -> str:
    return hashlib.sha256((ledger.path / configuration.FILE).read_bytes()).hexdigest()


def _note(ledger: Ledger, connection: sqlite3.Connection, sha256: str) -> None:
    if _last_config(connection) != sha256:
        ref, ts = new_id("cfg"), to_micros(ledger.clock())
        connection.execute(load("config.sql", "insert"), (ref, sha256, ts))
        chain.add_stored(connection, "config", ref)


def _last_config(connection: sqlite3.Connection) -> str | None:
    row = connection.execute(load("config.sql", "latest")).fetchone()
    return row[0] if row else None


def wall_clock() -> datetime:
    """Give the time of this machine, in UTC."""
    return datetime.now(UTC)
