"""The journal: durable before it answers, nothing half done, one writer for many callers."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nextbest.errors import LedgerError
from nextbest.ledger import Ledger, create, faults, migrations, open_ledger
from nextbest.ledger.journal import Journal
from nextbest.ledger.statements import script
from nextbest.ledger.workspace import digest, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.clocks import Clock


def _add(name: str, value: int = 1) -> Callable[[sqlite3.Connection], int]:
    return lambda c: c.execute("INSERT INTO counter VALUES (?, ?)", (name, value)).rowcount


def _counters(ledger: Ledger) -> dict[str, int]:
    with ledger.journal.read() as connection:
        return dict(connection.execute("SELECT name, value FROM counter WHERE name != 'consent'").fetchall())


def _configurations(ledger: Ledger) -> int:
    with ledger.journal.read() as connection:
        return connection.execute("SELECT count(*) FROM config_change").fetchone()[0]


def test_the_settings_that_make_it_durable_are_in_force(ledger: Ledger) -> None:
    """The writer syncs every commit, overwrites what is deleted, and writes ahead."""
    names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "temp_store")
    found = ledger.journal.write(lambda c: [c.execute(f"PRAGMA {n}").fetchone()[0] for n in names])
    assert found == ["wal", 2, 1, 1, 2]
    fresh = sqlite3.connect(ledger.journal.file)
    assert fresh.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    fresh.close()


def test_a_write_is_seen_by_another_connection_when_it_returns(ledger: Ledger) -> None:
    """What `write` has answered is committed."""
    ledger.journal.write(_add("a"))
    fresh = sqlite3.connect(ledger.journal.file)
    assert fresh.execute("SELECT value FROM counter WHERE name = 'a'").fetchone() == (1,)
    fresh.close()


def test_an_error_undoes_only_its_own_function(ledger: Ledger) -> None:
    """Of functions that share a commit, the failing one leaves nothing and the others stay."""
    gate = threading.Event()
    blocked = ledger.journal.submit(lambda c: gate.wait(5))

    def fails(connection: sqlite3.Connection) -> None:
        _add("half")(connection)
        raise ValueError("on purpose")

    futures = [ledger.journal.submit(f) for f in (_add("before"), fails, _add("after"))]
    gate.set()
    assert blocked.result()
    assert futures[0].result() == futures[2].result() == 1
    with pytest.raises(ValueError, match="on purpose"):
        futures[1].result()
    assert _counters(ledger) == {"before": 1, "after": 1}


def test_a_function_that_commits_fails_with_its_group(ledger: Ledger) -> None:
    """A function cannot end the transaction it shares; its group is told and the journal goes on."""
    with pytest.raises(LedgerError, match="ended the transaction"):
        ledger.journal.write(lambda c: c.execute("ROLLBACK"))
    assert ledger.journal.write(_add("next")) == 1


def test_a_write_inside_a_write_is_refused(ledger: Ledger) -> None:
    """A write within a write would wait for itself, and is refused with the remedy."""
    with pytest.raises(LedgerError, match="inside a write"):
        ledger.journal.write(lambda _: ledger.journal.write(_add("x")))


def test_a_read_sees_one_snapshot_and_cannot_write(ledger: Ledger) -> None:
    """A reading block does not see commits made while it lasts, and may not write."""
    with ledger.journal.read() as connection:
        before = connection.execute("SELECT count(*) FROM counter").fetchone()
        ledger.journal.write(_add("later"))
        assert connection.execute("SELECT count(*) FROM counter").fetchone() == before
    with pytest.raises(LedgerError, match="readonly"), ledger.journal.read() as connection:
        connection.execute("INSERT INTO counter VALUES ('x', 1)")
    assert _counters(ledger) == {"later": 1}


def test_many_threads_lose_nothing(ledger: Ledger) -> None:
    """Sixteen threads that write at once all find their rows."""
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda i: ledger.journal.write(_add(f"k{i}")), range(800))) == 800
    assert len(_counters(ledger)) == 800


def test_close_commits_what_waits_and_then_refuses(ledger: Ledger) -> None:
    """What was submitted before `close` is kept; after it nothing is taken."""
    futures = [ledger.journal.submit(_add(f"k{i}")) for i in range(50)]
    ledger.journal.close()
    ledger.journal.close()
    assert sum(f.result() for f in futures) == 50
    with pytest.raises(LedgerError, match="closed"):
        ledger.journal.write(_add("x"))
    with pytest.raises(LedgerError, match="closed"), ledger.journal.read():
        pass


def test_two_processes_write_to_one_journal(ledger: Ledger) -> None:
    """Another process that writes at the same time causes no error and no loss."""
    code = (
        "import sys\nfrom nextbest.ledger import open_ledger\n"
        "with open_ledger(sys.argv[1]) as l:\n"
        "    for i in range(200):\n"
        "        l.journal.write(lambda c: c.execute('INSERT INTO counter VALUES (?, 1)', (f'child{i}',)))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(ledger.path)])
    for i in range(200):
        ledger.journal.write(_add(f"parent{i}"))
    assert child.wait(60) == 0
    assert len(_counters(ledger)) == 400


def test_a_full_disk_is_an_error_to_every_caller_and_passes(ledger: Ledger) -> None:
    """When the file may not grow, writers get a LedgerError; once it may, writing works without a restart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ledger.journal.write(_add("first"))
    size = max(ledger.journal.file.stat().st_size, ledger.journal.file.with_suffix(".sqlite-wal").stat().st_size)
    big = "x" * 4_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, hard))
    try:
        with pytest.raises(LedgerError, match="Nothing of this call was kept"):
            ledger.journal.write(lambda c: c.execute("INSERT INTO counter VALUES (?, 1)", (big,)))
        assert _counters(ledger) == {"first": 1}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ledger.journal.write(_add("after")) == 1


def test_deleted_bytes_are_gone_from_every_file(ledger: Ledger) -> None:
    """After a delete and a checkpoint the text is in neither the database nor its write-ahead log."""
    ledger.journal.write(_add("canary-7b1f", 1))
    ledger.journal.write(lambda c: c.execute("DELETE FROM counter WHERE name = 'canary-7b1f'").rowcount)
    assert ledger.journal.checkpoint()
    found = [f.name for f in ledger.path.glob("ledger.sqlite*") if b"canary-7b1f" in f.read_bytes()]
    assert found == []


def test_a_newer_schema_is_refused_and_left_alone(ledger: Ledger) -> None:
    """A journal of a later version is not opened and not changed."""
    newer = len(migrations.STEPS) + 1
    ledger.journal.write(lambda c: c.execute(f"PRAGMA user_version = {newer}").fetchall())
    ledger.journal.close()
    with pytest.raises(LedgerError, match="Upgrade nextbest"):
        open_ledger(ledger.path)
    fresh = sqlite3.connect(ledger.journal.file)
    assert fresh.execute("PRAGMA user_version").fetchone() == (newer,)
    fresh.close()


def test_every_migration_sets_its_number() -> None:
    """The last statement of step n sets the schema version to n."""
    for number, step in enumerate(migrations.STEPS, 1):
        assert f"user_version = {number};" in script(step)[-1]


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    """A file that is no database gives a LedgerError that names it."""
    create(tmp_path).journal.close()
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 50)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        open_ledger(tmp_path)


def test_the_nearest_workspace_upwards_is_opened(ledger: Ledger) -> None:
    """A folder below the workspace finds it; a folder outside any says how to make one."""
    below = ledger.path / "exports" / "may"
    below.mkdir(parents=True)
    with open_ledger(below) as found:
        assert found.path == ledger.path
        assert found.config.name == "acme"
    with pytest.raises(LedgerError, match="nextbest init"):
        open_ledger(ledger.path.parent)
    with pytest.raises(LedgerError, match="already"):
        create(ledger.path)


def test_a_workspace_without_its_secret_or_journal_is_not_opened(ledger: Ledger) -> None:
    """A lost secret or a lost journal beside an archive is an error, never a fresh start."""
    ledger.journal.close()
    secret = (ledger.path / ".secret").read_bytes()
    (ledger.path / ".secret").unlink()
    with pytest.raises(LedgerError, match="Suppressions cannot be honoured"):
        open_ledger(ledger.path)
    (ledger.path / ".secret").write_bytes(secret)
    segment = ledger.path / "archive" / "order" / "s.parquet"
    segment.parent.mkdir()
    segment.touch()
    (ledger.path / "ledger.sqlite").unlink()
    with pytest.raises(LedgerError, match="restore"):
        open_ledger(ledger.path)


def test_a_configuration_alone_becomes_a_workspace(tmp_path: Path) -> None:
    """A folder with only a nextbest.toml gets the rest when it is opened."""
    (tmp_path / "nextbest.toml").write_text('name = "by_hand"\n')
    with open_ledger(tmp_path) as ledger:
        assert ledger.config.name == "by_hand"
        assert (tmp_path / ".secret").stat().st_mode & 0o777 == 0o600


def test_a_changed_configuration_is_chained_once(ledger: Ledger, clock: Clock) -> None:
    """Opening adds a link when nextbest.toml is not what it was, and none when it is."""
    found = [_configurations(ledger)]
    with (ledger.path / "nextbest.toml").open("a") as file:
        file.write("# later\n")
    for _ in range(2):
        with open_ledger(ledger.path, clock=clock) as again:
            found.append(_configurations(again))
    assert found == [1, 2, 2]


def test_digests_depend_on_the_workspace(ledger: Ledger, tmp_path: Path) -> None:
    """The keyed hash of a text is stable within a workspace and different in another."""
    with create(tmp_path / "other") as other:
        assert digest(ledger, "a@b.de") == digest(ledger, "a@b.de") != digest(other, "a@b.de")
    assert len(digest(ledger, "a@b.de")) == 64


def test_ids_sort_by_time_and_fit_everywhere() -> None:
    """New ids are unique, in order of time, and use only small letters, digits, '-' and '_'."""
    ids = [new_id("dec") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:18] for i in ids] == sorted(i[:18] for i in ids)
    assert all(len(i) <= 64 and set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for i in ids)


def test_a_writer_that_fails_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever breaks in the writing thread, those who wait hear of it, it is logged, and the next write is done."""
    journal = Journal(tmp_path / "journal.db")

    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    with faults.injected("commit", broken), pytest.raises(LedgerError, match="a bug"):
        journal.write(lambda connection: connection.execute("SELECT 1").fetchone())
    assert "goes on" in caplog.text
    assert journal.write(lambda connection: connection.execute("SELECT 2").fetchone()) == (2,)
    journal.close()


def test_a_writer_that_ended_is_started_again(tmp_path: Path) -> None:
    """A writing thread that is gone is replaced by the next write."""
    journal = Journal(tmp_path / "journal.db")
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    journal._thread = gone
    assert journal.write(lambda connection: connection.execute("SELECT 2").fetchone()) == (2,)
    journal.close()


def test_the_mark_stays_through_decisions_only(tmp_path: Path) -> None:
    """A write changes the mark, unless it says that it only decides; while a write is under way there is no mark."""
    journal = Journal(tmp_path / "journal.db")
    marks = [journal.mark()]
    for decides in (True, False):
        journal.submit(lambda connection: connection.execute("SELECT 1"), decides=decides).result()
        marks.append(_settled(journal))
    seen: list[int | None] = []
    journal.submit(lambda _: seen.append(journal.mark())).result()
    assert (marks[0] == marks[1], marks[1] == marks[2], seen) == (True, False, [None])
    journal.close()


def _settled(journal: Journal) -> int:
    """Give the mark once the writing thread has come to rest."""
    until = time.monotonic() + 5
    while (mark := journal.mark()) is None and time.monotonic() < until:
        time.sleep(0.001)
    assert mark is not None
    return mark
