"""The write-ahead log beside the writer: folded in small pieces, begun anew, and nothing lost by it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from nextbest.ledger import Ledger, folding
from nextbest.ledger.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
# A process that folds holds byte 121 of the shared index (sqlite.org/walformat.html, section 2.3.1).
HOLD = (
    "import fcntl, sys\n"
    "with open(sys.argv[1], 'r+b') as file:\n"
    "    fcntl.lockf(file, fcntl.LOCK_EX, 1, 121)\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.mark.parametrize(
    ("pause", "piece", "took", "next_pause"),
    [
        (0.25, 256, 0.0, 0.25),
        (0.25, 1280, 0.0, 0.05),
        (0.25, 100_000, 0.0, 0.05),
        (0.05, 0, 0.0, 0.25),
        (0.05, 256, 0.1, 0.1),
        (0.05, 2560, 9.0, 0.25),
    ],
)
def test_pieces_stay_small_and_few(pause: float, piece: int, took: float, next_pause: float) -> None:
    """Large pieces come sooner, small ones later, on a slow disk as long after as they took, within the limits."""
    assert folding.pace(pause, piece, took) == pytest.approx(next_pause)


def test_a_log_under_constant_writing_is_begun_anew(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though somebody writes without a pause, the log is begun anew again and again, and all rows are there."""
    monkeypatch.setattr(folding, "_LONG", 512)
    monkeypatch.setattr(folding, "_FOLD_BYTES", 128 * PAGE)
    log, text, written = ledger.journal.file.with_suffix(".sqlite-wal"), "x" * 4 * PAGE, 0
    first, until = times_begun(log), time.monotonic() + 10  # it takes half a second; by chance alone, twenty
    while times_begun(log) < first + 3:
        ledger.journal.write(lambda c, n=written: c.execute("INSERT INTO counter VALUES (?, 1)", (f"{n:05d}{text}",)))
        written += 1
        assert time.monotonic() < until
    with ledger.journal.read() as connection:
        assert connection.execute("SELECT count(*) FROM counter WHERE name LIKE '_____x%'").fetchone() == (written,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def times_begun(log: Path) -> int:
    """Give how often a write-ahead log was begun, as its header counts (walformat.html, section 2.1)."""
    with log.open("rb") as file:
        return int.from_bytes(file.read(16)[12:], "big")


def test_who_finds_another_process_folding_goes_on(tmp_path: Path) -> None:
    """While another process folds nothing is known and nothing waits; afterwards the whole log is folded."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.write(lambda c: c.execute("INSERT INTO counter VALUES ('a', 1)"))
    command = [sys.executable, "-c", HOLD, str(tmp_path / "j.sqlite-shm")]
    with sqlite3.connect(journal.file) as connection:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            assert folding.fold(connection) == (-1, -1)
            journal.write(lambda c: c.execute("INSERT INTO counter VALUES ('b', 1)"))
            other.communicate("")
        frames, folded = folding.fold(connection)
    assert frames == folded > 0
    journal.close()


def test_a_fold_that_fails_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error of the disk stops nobody: it stands in the log, and what is folded counts as unknown."""
    connection = sqlite3.connect(tmp_path / "x")
    connection.close()
    assert folding.fold(connection) == (-1, -1)
    assert "could not be folded" in caplog.text
