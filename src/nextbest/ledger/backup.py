"""The whole workspace in one file, taken while it goes on working; and back, without bringing anybody back.

A backup is a zip without compression: the journal as of one moment, the segments that this journal names, models,
settings and the workspace's secret, without which suppressions could not be honoured. Whoever has it has everything.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import zipfile
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest import config
from nextbest.errors import IntegrityError, LedgerError
from nextbest.ledger import archive, catalogue, places, replay
from nextbest.ledger.files import scratch, sweep, sync
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import JOURNAL, SECRET, new_id, open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from nextbest.ledger.catalogue import Segment
    from nextbest.ledger.workspace import Ledger

MANIFEST = "manifest.json"
RESTORING = "restoring"
FORMAT = 1
_CHUNK = 1 << 20
_ATTEMPTS = 5
_WAIT_S = 30.0  # for the commits that are under way
_LEFT_OUT = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", RESTORING, ".door", ".room")
# What the zip and manifest readers raise on damaged bytes; NotImplementedError and RuntimeError mean changed flags.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, msgspec.MsgspecError, LookupError, EOFError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
_DAMAGED = "The backup is damaged and nothing was restored. Use another copy."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """What a backup says about itself: SHA-256 per file."""

    format: int
    name: str
    taken_ts: int
    files: dict[str, str]


def backup(ledger: Ledger, file: Path) -> dict[str, Any]:
    """Write the workspace to one file and give what is in it; raises `IntegrityError` for a changed segment."""
    archive.tidy(ledger)
    partial = file.with_name(f"{file.name}.{new_id('b')}.part")
    try:
        for _ in range(_ATTEMPTS):
            try:
                said = _write(ledger, partial)
                break
            except FileNotFoundError:  # an erasure took a segment away meanwhile: what it left is backed up
                continue
        else:
            raise LedgerError(f"The archive changed {_ATTEMPTS} times while it was being backed up. Try again.")
        sync(partial)
        partial.replace(file)
        sync(file.parent)
    finally:
        partial.unlink(missing_ok=True)
    return {"file": str(file), "bytes": file.stat().st_size, "holds_secret": True, **said}


def restore(file: Path, path: Path, *, clock: Callable[[], datetime] | None = None) -> Ledger:
    """Bring a backup back to a folder and open it; later consent and erasures found there are replayed before.

    A folder that is not empty must be the same workspace with a readable journal; it is kept beside the new one as
    `<name>.before-restore-<id>`. A program that has it open writes nothing any more, and must be started again. Raises
    `LedgerError` or `IntegrityError`, and then nothing has changed.
    """
    target = path.resolve()
    there = _later(target) is not None
    mark = new_id("r")
    with _staging(target, mark) as folder:
        _extract(file, folder)
        if there and (folder / SECRET).read_bytes() != (target / SECRET).read_bytes():
            raise LedgerError(f"{file} is a backup of another workspace than {target}. Restore it to a new folder.")
        with open_ledger(folder, clock=clock) as ledger:
            _check(ledger)
        with _still(target if there else None):
            with open_ledger(folder, clock=clock) as ledger:
                replay.replay(ledger, _later(target))
            (folder / RESTORING).unlink()
            _swap(folder, target, mark)
    return open_ledger(target, clock=clock)


def _write(ledger: Ledger, file: Path) -> dict[str, Any]:
    """Write one consistent backup: first the journal, then only what that journal names."""
    hashes: dict[str, str] = {}
    with scratch(ledger.path / archive.TEMPORARY / new_id("b")) as folder, _create(file) as target:
        segments = _snapshot(ledger, folder / JOURNAL)
        hashes[JOURNAL] = _store(target, folder / JOURNAL, JOURNAL)
        for segment in segments:
            hashes[segment.path] = _store(target, ledger.path / segment.path, segment.path)
            if hashes[segment.path] != segment.sha256:
                raise IntegrityError(f"{segment.path} has changed since it was stored; see `nextbest verify`.")
        for name in _others(ledger):
            hashes[name] = _store(target, ledger.path / name, name)
        manifest = _Manifest(format=FORMAT, name=ledger.config.name, taken_ts=to_micros(ledger.clock()), files=hashes)
        target.writestr(MANIFEST, msgspec.json.encode(manifest))
    rows = sum(s.rows for s in segments)
    return {"files": len(hashes), "segments": len(segments), "rows": rows, "taken_ts": ledger.clock().isoformat()}


@contextmanager
def _create(file: Path) -> Iterator[zipfile.ZipFile]:
    """Give a new zip that only its owner can read."""
    with (
        os.fdopen(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600), "w+b") as raw,
        zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED, strict_timestamps=False) as target,
    ):
        yield target


def _snapshot(ledger: Ledger, file: Path) -> list[Segment]:
    """Copy the journal as of one moment; gives the segments that the copy names."""
    with (
        closing(sqlite3.connect(ledger.journal.file)) as source,
        closing(sqlite3.connect(file)) as copy,
    ):
        source.backup(copy)
        return catalogue.segments(copy)


def _store(target: zipfile.ZipFile, path: Path, name: str) -> str:
    """Add a file; gives the SHA-256 of the bytes that went in."""
    seen = hashlib.sha256()
    with path.open("rb") as source, target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as out:
        while chunk := source.read(_CHUNK):
            seen.update(chunk)
            out.write(chunk)
    return seen.hexdigest()


def _others(ledger: Ledger) -> Iterator[str]:
    """Give the further files that belong to a workspace: settings, secret, models, rejects, mappings."""
    for path in sorted(p for p in ledger.path.rglob("*") if p.is_file()):
        name = path.relative_to(ledger.path).as_posix()
        place = places.place_of(name)
        if place is not None and name not in _LEFT_OUT and place.how != "sweep" and not name.startswith("archive/"):
            yield name


def _later(target: Path) -> replay.Later | None:
    """Give what the workspace at the target says, or None when there is none; refuses a folder of something else."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    if not all((target / name).is_file() for name in (config.FILE, JOURNAL, SECRET)):
        raise LedgerError(f"{target} is not empty and is no whole workspace. Restore to a new folder, or move it away.")
    return replay.read(target / JOURNAL)


@contextmanager
def _still(target: Path | None) -> Iterator[None]:
    """Let nobody write to the workspace that is replaced, so that no acknowledged no is left behind in it."""
    if target is None:
        yield
        return
    with closing(sqlite3.connect(target / JOURNAL, timeout=_WAIT_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise LedgerError(f"The journal of {target} cannot be held: {error}. Stop what writes to it.") from error
        yield


@contextmanager
def _staging(target: Path, mark: str) -> Iterator[Path]:
    """Give a folder beside the target, marked as not to be served; it goes when the restore fails."""
    sweep(target.parent, f".{target.name}.r_*")
    with scratch(target.with_name(f".{target.name}.{mark}")) as folder:
        folder.chmod(0o700)
        (folder / RESTORING).touch()
        yield folder


def _extract(file: Path, folder: Path) -> None:
    """Unpack a backup, every byte checked against its manifest."""
    try:
        with zipfile.ZipFile(file) as source:
            manifest = msgspec.json.decode(source.read(MANIFEST), type=_Manifest)
            if manifest.format > FORMAT:
                raise LedgerError(f"{file} was made by a newer version of nextbest. Upgrade, and try again.")
            if sorted(source.namelist()) != sorted([*manifest.files, MANIFEST]):
                raise IntegrityError(f"{file} does not hold the files that it says it holds. {_DAMAGED}")
            if missing := {config.FILE, SECRET, JOURNAL} - manifest.files.keys():
                raise IntegrityError(f"{file} lacks {', '.join(sorted(missing))}. {_DAMAGED}")
            for name, sha256 in manifest.files.items():
                if _unpack(source, name, folder / _safe(name)) != sha256:
                    raise IntegrityError(f"'{name}' in {file} is not what was stored. {_DAMAGED}")
    except OSError as error:
        raise LedgerError(f"{file} cannot be read: {error.strerror or error}.") from error
    except _UNREADABLE as error:
        raise IntegrityError(f"{file} cannot be unpacked: {error}. {_DAMAGED}") from error
    for name in (SECRET, JOURNAL):
        (folder / name).chmod(0o600)


def _unpack(source: zipfile.ZipFile, name: str, path: Path) -> str:
    seen = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open(name) as member, path.open("wb") as out:
        while chunk := member.read(_CHUNK):
            seen.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return seen.hexdigest()


def _safe(name: str) -> Path:
    """Give the relative path of a member that stays inside the folder and that a workspace can have."""
    parts = PurePosixPath(name).parts
    known = name == JOURNAL or places.place_of(name) is not None
    if not known or not parts or ".." in parts or "\\" in name or ":" in name or PurePosixPath(name).is_absolute():
        raise IntegrityError(f"A backup cannot hold a file named '{name}'. {_DAMAGED}")
    return Path(*parts)


def _check(ledger: Ledger) -> None:
    """Refuse a backup whose segments are not those that its journal names."""
    problems = archive.verify(ledger)
    if problems:
        raise IntegrityError(f"{problems[0]} {_DAMAGED}")


def _swap(folder: Path, target: Path, mark: str) -> None:
    """Put the restored folder in the place of the target, which is kept beside it when it held anything."""
    aside = target.with_name(f"{target.name}.before-restore-{mark}")
    held = target.exists() and any(target.iterdir())
    try:
        if held:
            target.rename(aside)
        elif target.exists():
            target.rmdir()
        try:
            folder.rename(target)
        except OSError:
            if held:
                aside.rename(target)
            raise
        sync(target.parent)
    except OSError as error:
        raise LedgerError(
            f"{target} cannot be replaced: {error.strerror}. Start from another current folder."
        ) from error
