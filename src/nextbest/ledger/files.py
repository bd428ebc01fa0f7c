"""Bytes on the disk: made durable, and known by their hash."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync(path: Path) -> None:
    """Make a file or folder durable: return only when the disk has it."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and renames there are durable by themselves
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
