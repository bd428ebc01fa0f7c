"""What a zip file holds: its readable members, unpacked one by one within limits."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nextbest.channels.files.discover import PLAIN_ENDINGS
from nextbest.channels.files.plain import CHUNK, check_size
from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEMBERS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One unpacked member: its name inside, and where it lies now."""

    name: str
    path: Path


def members(path: Path, scratch: Path) -> Iterator[Member]:
    """Give the readable members, each unpacked when it is asked for; raises `DataError` for a bomb or a torn file."""
    try:
        with zipfile.ZipFile(path) as archive:
            readable = [i for i in archive.infolist() if _readable(i)]
            if not readable or len(readable) > MOST_MEMBERS:
                raise DataError(f"{path.name} holds {len(readable)} readable files; 1 to {MOST_MEMBERS} are taken.")
            total = 0
            for number, info in enumerate(sorted(readable, key=lambda i: i.filename)):
                target = _target(scratch, number, info.filename)
                total += _unpack(archive, info, target, path, total)
                yield Member(name=info.filename, path=target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path.name} cannot be unpacked: {error}. Unpack it and load what is inside.") from error


def _target(scratch: Path, number: int, name: str) -> Path:
    """Give where a member goes: under a name of ours, with its ending only, so that no path inside can lead away."""
    folder = scratch / f"z{sum(1 for _ in scratch.iterdir()):05d}"
    folder.mkdir(parents=True)
    return folder / f"member{number}{PurePosixPath(name).suffix.lower()}"


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, path: Path, before: int) -> int:
    size, written = max(path.stat().st_size, 1), 0
    with archive.open(info) as source, target.open("wb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            check_size(path.name, packed=size, unpacked=before + written)
            out.write(chunk)
    return written


def _readable(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename)
    hidden = any(p.startswith((".", "__MACOSX")) for p in parts.parts)
    return not info.is_dir() and not hidden and parts.suffix.lower() in PLAIN_ENDINGS
