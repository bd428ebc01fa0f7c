"""A backup is consistent and complete; a restore brings back everything but the people who left."""

from __future__ import annotations

import random
import threading
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.ledger.makers import CONFIG, NOW, decision, event

from nextbest import operations
from nextbest.errors import IntegrityError, LedgerError, NextbestError
from nextbest.ledger import (
    Ledger,
    analysis,
    archive,
    backup,
    chain,
    consent,
    contacts,
    create,
    decisions,
    erasure,
    events,
    identities,
    open_ledger,
    outbox,
    switches,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clocks import Clock


def orders(*subjects: str) -> pa.Table:
    """Give one order per subject."""
    return pa.table({"subject_id": subjects, "ts": [NOW] * len(subjects)})


def subjects(ledger: Ledger) -> list[str]:
    """Give who has an order."""
    found: list[str] = sorted(analysis.table(ledger, "order")["subject_id"].to_pylist())
    return found


def message(key: str) -> outbox.Message:
    """Give one message to be sent."""
    return outbox.Message(
        key=key, decision_id="d1", play="win_back", subject_id="a", channel="email", action_id="coupon", due=NOW
    )


def put(ledger: Ledger, *keys: str) -> None:
    """Put messages into the outbox."""
    ledger.journal.write(lambda connection: outbox.enqueue(connection, [message(k) for k in keys]))


def allowed(ledger: Ledger, *who: str) -> list[str | None]:
    """Give the rule that closes each subject to e-mail, or None."""
    with ledger.journal.read() as connection:
        gate = consent.gate(connection, ledger.config, purpose="marketing", channels=["email"])
    return gate.removed(who, "email")


def test_a_backup_comes_back_whole(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """A restored workspace has the same rows, decisions, models, chain and permissions."""
    archive.append(ledger, "order", orders("a", "b"), source="file")
    events.ingest(ledger, [event(1, subject_id="c")], source="api")
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [decision(1)]))
    consent.record(ledger, "a", allow=True, proof="form")
    (ledger.path / "models" / "m1").mkdir()
    (ledger.path / "models" / "m1" / "model.txt").write_bytes(b"trees\r\n")
    said = backup.backup(ledger, tmp_path / "b.zip")
    assert (said["segments"], said["rows"], said["holds_secret"]) == (1, 2, True)
    with backup.restore(tmp_path / "b.zip", tmp_path / "new", clock=clock) as again:
        assert subjects(again) == ["a", "b", "c"]
        assert decisions.get(again, "d1") == decisions.get(ledger, "d1")
        assert (again.path / "models" / "m1" / "model.txt").read_bytes() == b"trees\r\n"
        assert again.secret == ledger.secret
        assert chain.verify(again).ok
        assert archive.verify(again) == []
        assert allowed(again, "a", "b") == [None, "consent:unknown"]
        assert not (again.path / backup.RESTORING).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["acme", "b.zip", "new"]


def test_a_backup_under_load_is_consistent(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """While others write and load, a backup holds everything acknowledged before it began, and it verifies."""
    stop, acknowledged = threading.Event(), list[str]()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            events.ingest(ledger, [event(number)], source="api")
            archive.append(ledger, "order", orders(f"f{number}"), source="file")
            acknowledged.extend((f"c{number}", f"f{number}"))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while len(acknowledged) < 20:
            stop.wait(0.01)
        before = list(acknowledged)
        backup.backup(ledger, tmp_path / "b.zip")
    finally:
        stop.set()
        thread.join()
    with backup.restore(tmp_path / "b.zip", tmp_path / "new", clock=clock) as again:
        assert set(before) <= set(subjects(again))
        assert chain.verify(again).ok


def test_a_restore_replays_what_came_later(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """Opt-outs, suppressions, erasures, stops and contacts after the backup hold in the restored workspace."""
    for who in ("out", "gone", "stays", "listed"):
        consent.record(ledger, who, allow=True, proof="form")
    archive.append(ledger, "order", orders("out", "gone", "stays"), source="file")
    events.ingest(ledger, [event(9, subject_id="gone")], source="api")
    identities.link(ledger, "listed", identity_type="email", identity="listed@example.com")
    backup.backup(ledger, tmp_path / "b.zip")
    clock.forward(days=1)
    consent.record(ledger, "out", allow=False, proof="link in mail")
    consent.suppress(ledger, "Listed@example.com", reason="complaint")
    erasure.erase(ledger, "gone")
    switches.stop(ledger, play="win_back", why="budget")
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [decision(5, subject_id="stays")]))
    consent_before = _version(ledger)
    ledger.journal.close()
    with backup.restore(tmp_path / "b.zip", tmp_path / "acme", clock=clock) as again:
        assert allowed(again, "out", "gone", "stays", "listed") == [
            "consent:denied", "consent:erased", None, "suppressed",
        ]  # fmt: skip
        assert subjects(again) == ["out", "stays"]
        with again.journal.read() as connection:
            assert contacts.recent(connection, since=NOW)["subject_id"].to_pylist() == ["stays"]
            assert switches.stopped(connection, play="win_back", channel="email", action="coupon")
        assert _version(again) > consent_before
        assert chain.verify(again).ok
        data = b"".join(p.read_bytes() for p in again.path.rglob("*") if p.is_file())
        assert b"gone" not in data
    (aside,) = tmp_path.glob("acme.before-restore-*")
    assert (aside / "ledger.sqlite").is_file()


def _version(ledger: Ledger) -> int:
    with ledger.journal.read() as connection:
        return consent.version(connection)


def test_a_message_sent_after_the_backup_is_not_sent_again(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """The state of a message is what the replaced journal says; where nobody knows, the message is closed."""
    put(ledger, "k1", "k2")
    backup.backup(ledger, tmp_path / "b.zip")
    outbox.mark(ledger, "k1", "sent")
    ledger.journal.close()
    with backup.restore(tmp_path / "b.zip", tmp_path / "elsewhere", clock=clock) as lost:
        assert outbox.due(lost, "email", 10, NOW) == []
    with backup.restore(tmp_path / "b.zip", tmp_path / "acme", clock=clock) as again:
        assert [m.key for m in outbox.due(again, "email", 10, NOW)] == ["k2"]


def test_who_has_the_replaced_workspace_open_writes_nothing_more(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """After a restore beside a running program its writes fail, and it says that it is not ready."""
    backup.backup(ledger, tmp_path / "b.zip")
    consent.record(ledger, "b", purpose="marketing", channel="email", allow=False, proof="said so")
    assert not ledger.journal.replaced
    with backup.restore(tmp_path / "b.zip", tmp_path / "acme", clock=clock) as again:
        with pytest.raises(LedgerError, match="start the program again"):
            consent.record(ledger, "c", purpose="marketing", channel="email", allow=False, proof="too late")
        assert ledger.journal.replaced
        assert "restored while this program ran" in operations.not_ready(ledger)[0]
        assert operations.not_ready(again) == ()
        assert allowed(again, "b") == ["consent:denied"]
    ledger.journal.close()  # the last one out leaves the files of the new workspace alone
    with open_ledger(tmp_path / "acme", clock=clock) as once_more:
        assert chain.verify(once_more).ok


def test_no_answered_no_is_left_behind_by_a_restore(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """Of people who opt out one after the other while a restore runs, each who was answered is denied afterwards."""
    backup.backup(ledger, tmp_path / "b.zip")
    answered: list[str] = []

    def opt_out() -> None:
        for i in range(100_000):
            try:
                consent.record(ledger, f"s{i}", purpose="marketing", channel="email", allow=False, proof="a form")
            except LedgerError:
                return
            answered.append(f"s{i}")

    leaving = threading.Thread(target=opt_out)
    leaving.start()
    with backup.restore(tmp_path / "b.zip", tmp_path / "acme", clock=clock) as again:
        leaving.join(timeout=30)
        assert answered
        assert set(allowed(again, *answered)) == {"consent:denied"}


def test_a_folder_of_something_else_is_not_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    """A restore refuses a folder with other files, a damaged journal and another workspace, and leaves them alone."""
    backup.backup(ledger, tmp_path / "b.zip")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(LedgerError, match="is not empty and is no whole workspace"):
        backup.restore(tmp_path / "b.zip", tmp_path / "full")
    with create(tmp_path / "other", config_text=CONFIG):
        pass
    with pytest.raises(LedgerError, match="another workspace"):
        backup.restore(tmp_path / "b.zip", tmp_path / "other")
    (tmp_path / "other" / "ledger.sqlite").write_bytes(b"not a database" * 500)
    with pytest.raises(LedgerError, match=r"cannot be read: .* move the folder away"):
        backup.restore(tmp_path / "b.zip", tmp_path / "other")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["acme", "b.zip", "full", "other"]


def test_a_damaged_backup_is_refused(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """Of 60 backups with one flipped byte or a cut end, each is refused, or restores the very same bytes."""
    archive.append(ledger, "order", orders("a", "b"), source="file")
    backup.backup(ledger, tmp_path / "b.zip")
    good = (tmp_path / "b.zip").read_bytes()
    rng, refused = random.Random(5), 0
    for trial in range(60):
        data = bytearray(good)
        if trial % 6 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "bad.zip").write_bytes(data)
        try:
            with backup.restore(tmp_path / "bad.zip", tmp_path / f"new{trial}", clock=clock) as again:
                assert subjects(again) == ["a", "b"]
                assert again.secret == ledger.secret
        except NextbestError:
            refused += 1
            assert not (tmp_path / f"new{trial}").exists()
    assert refused >= 50


@pytest.mark.parametrize("name", ["../evil.toml", "/etc/evil", "models/../../evil", "evil.py"])
def test_a_backup_cannot_write_outside_its_folder(ledger: Ledger, tmp_path: Path, name: str) -> None:
    """A backup with a path that leaves the folder, or that no workspace has, is refused."""
    backup.backup(ledger, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as source, zipfile.ZipFile(tmp_path / "evil.zip", "w") as target:
        for member in source.namelist():
            data = source.read(member)
            if member == backup.MANIFEST:
                data = data.replace(b'"files":{', f'"files":{{"{name}":"00",'.encode())
            target.writestr(member, data)
        target.writestr(name, b"evil")
    with pytest.raises(IntegrityError, match="cannot hold a file named"):
        backup.restore(tmp_path / "evil.zip", tmp_path / "deep" / "new")
    assert not list(tmp_path.rglob("evil")) + list(tmp_path.rglob("evil.py"))


def test_a_changed_segment_is_not_backed_up_in_silence(ledger: Ledger, tmp_path: Path) -> None:
    """A backup of an archive with a flipped byte is refused, and leaves no file."""
    archive.append(ledger, "order", orders("a"), source="file")
    (file,) = (ledger.path / "archive" / "order").iterdir()
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="has changed since it was stored"):
        backup.backup(ledger, tmp_path / "b.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["acme"]


def test_what_a_killed_restore_left_is_swept(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """The half-restored folder of a dead process holds people's data; the next restore removes it."""
    backup.backup(ledger, tmp_path / "b.zip")
    left = tmp_path / ".new.r_left"
    left.mkdir()
    (left / "ledger.sqlite").write_bytes(b"people")
    backup.restore(tmp_path / "b.zip", tmp_path / "new", clock=clock).journal.close()
    assert not left.exists()
