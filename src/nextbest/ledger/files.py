"""Bytes on the disk: made durable, known by their hash, and folders that say whether their owner is alive."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ABANDONED_S = 3_600.0  # what cannot be locked belongs to nobody when it is that old


def sync(path: Path) -> None:
    """Make a file or folder durable: return only when the disk has it."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and renames there are durable by themselves
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give *folder*, new and held by this process; it goes, with all that is in it, when the block ends."""
    folder.mkdir(parents=True)
    handle = _hold(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def sweep(folder: Path, pattern: str = "*") -> list[Path]:
    """Remove whatever in a folder of scratch folders is held by no living process, and give the paths."""
    removed = [p for p in folder.glob(pattern) if _abandoned(p)]
    for path in removed:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return removed


def _hold(folder: Path) -> int | None:
    """Take the folder for this process; gives None when another holds it, or where there are no such locks."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _abandoned(path: Path) -> bool:
    try:
        if fcntl is None or path.is_file():
            return time.time() - path.stat().st_mtime > _ABANDONED_S
        handle = _hold(path)
    except FileNotFoundError:
        return False
    if handle is None:
        return False
    os.close(handle)
    return True
